//! Whether anybody gets in at all: who there is, in as few rows as tell it.

use std::collections::HashSet;

use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _};

use super::entity::{access_tokens, agent_passwords, users};
use super::{People, in_force, role_of};
use crate::house::access::Member;
use crate::store::StoreError;

/// Addresses that are looked for in one question.
const AT_ONCE: usize = 500;

/// Who might get in somewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Somebody {
    /// One member of each role that somebody has, and of those who were asked for all who are members.
    pub members: Vec<Member>,
    /// Agents that have a password, or an access token that is in force.
    pub with_token: HashSet<String>,
}

impl People {
    /// Who might get in; `invited`: addresses that matter by themselves.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn somebody(&self, invited: &[&str]) -> Result<Somebody, StoreError> {
        self.0.in_time(self.look(invited)).await
    }

    async fn look(&self, invited: &[&str]) -> Result<Somebody, StoreError> {
        use users::{Column, Entity};
        let db = self.0.db();
        let one_of_each = Entity::find().select_only().column_as(Column::Email.min(), "email").column(Column::Role);
        let one_of_each = one_of_each.group_by(Column::Role).into_tuple::<(String, String)>().all(db).await?;
        let mut found: HashSet<(String, String)> = one_of_each.into_iter().collect();
        for some in invited.chunks(AT_ONCE) {
            let these = Entity::find().select_only().column(Column::Email).column(Column::Role);
            let these = these.filter(Column::Email.is_in(some.iter().copied()));
            found.extend(these.into_tuple::<(String, String)>().all(db).await?);
        }
        let members = found.into_iter().map(|(email, role)| Member { email, role: role_of(&role) }).collect();
        let tokens = access_tokens::Entity::find().select_only().column(access_tokens::Column::Agent).distinct();
        let tokens = tokens.filter(in_force(db)).into_tuple::<String>().all(db).await?;
        let passwords = agent_passwords::Entity::find().select_only().column(agent_passwords::Column::Agent);
        let passwords = passwords.into_tuple::<String>().all(db).await?;
        Ok(Somebody { members, with_token: tokens.into_iter().chain(passwords).collect() })
    }
}
