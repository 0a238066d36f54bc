//! Who may do what here: users and how they prove who they are, their sessions, one-time links, keys of programs, access
//! tokens and passwords of internal agents, what the organization has chosen, and the log of what was done.
//!
//! The rules are the house's; here they are asked within the transaction that would break them. No secret is kept that could
//! be used: random ones by their SHA-256, passwords by argon2id. The second factor's secret has to be known to hold a code against
//! it: it is sealed with the operator's key (`sealed`).

mod access;
mod audit;
mod entity;
mod factor;
mod hasher;
mod keys;
mod links;
mod sealed;
mod secret;
mod sessions;
mod somebody;
mod standing;
mod users;

use std::sync::Arc;

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ConnectionTrait, EntityTrait as _};

use crate::config::Role;

pub use access::{AccessToken, AgentPassword, Use};
pub use audit::{AuditFilter, AuditRow};
pub use factor::{address as factor_address, code as factor_code};
pub use hasher::Hasher;
pub use keys::ApiKey;
pub use links::{Link, LinkKind, NewLink};
pub use secret::{SecretKind, new_embed_key};
pub use sessions::{LoggedIn, NewSession, Session};
pub use somebody::Somebody;
pub use users::{Credentials, Factor, User};

pub(super) use audit::{add as add_audit, forget};

use super::notices::{self, Topic};
use super::whose::Whose;
use super::{Core, Desk, Store, StoreError};

/// The people of a store. Cheap to clone.
#[derive(Clone)]
pub struct People(Whose, Hasher);

/// What the organization has chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrgSettings {
    /// Every user needs a second factor.
    pub second_factor: bool,
}

const SECOND_FACTOR: &str = "second_factor";

impl Store {
    /// Who may do what here.
    pub fn people(&self) -> People {
        People::of(&self.core)
    }

    /// Notes that somebody did something: `who` as [`Principal::name`](crate::house::principal::Principal::name),
    /// `action` as `thing.verb`, `object` its id or name; `detail` has no secret in it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn audit(
        &self,
        who: &str,
        action: &str,
        object: &str,
        detail: Option<serde_json::Value>,
    ) -> Result<(), StoreError> {
        self.people().audit(who, action, object, detail).await
    }
}

impl Desk {
    /// Who may do what here.
    pub fn people(&self) -> People {
        People(Whose::Command(self.db.clone()), Hasher::default())
    }
}

impl People {
    pub(super) fn of(core: &Arc<Core>) -> People {
        People(Whose::Server(Arc::clone(core)), core.hasher.clone())
    }

    /// Where passwords are hashed and looked at.
    pub fn hasher(&self) -> &Hasher {
        &self.1
    }

    /// What the organization has chosen.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn settings(&self) -> Result<OrgSettings, StoreError> {
        self.0.in_time(settings(self.0.db())).await
    }

    /// Chooses.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn set_settings(&self, who: &str, new: OrgSettings) -> Result<(), StoreError> {
        self.0
            .in_time(async {
                let writing = self.0.begin().await?;
                let done = async {
                    set_settings(&writing.txn, who, new).await?;
                    Ok(notices::notify(&writing.txn, Topic::People, "").await?)
                }
                .await;
                writing.end(done).await
            })
            .await?;
        self.told();
        Ok(())
    }
}

async fn settings<C: ConnectionTrait>(db: &C) -> Result<OrgSettings, StoreError> {
    let row = entity::org_settings::Entity::find_by_id(SECOND_FACTOR).one(db).await?;
    Ok(OrgSettings { second_factor: row.is_some_and(|row| row.value == "true") })
}

async fn set_settings<C: ConnectionTrait>(db: &C, who: &str, new: OrgSettings) -> Result<(), StoreError> {
    use entity::org_settings::{ActiveModel, Column, Entity};
    let value = new.second_factor.to_string();
    let row = ActiveModel { name: Set(SECOND_FACTOR.to_owned()), value: Set(value.clone()) };
    let there = OnConflict::column(Column::Name).update_column(Column::Value).to_owned();
    Entity::insert(row).on_conflict(there).exec_without_returning(db).await?;
    audit::add(db, who, "org.change", "organization", Some(serde_json::json!({ "second_factor": new.second_factor })))
        .await
}

/// A role as its row says; of one that nobody knows the least.
pub(super) fn role_of(text: &str) -> Role {
    Role::ALL.iter().find(|(name, _)| *name == text).map_or(Role::Member, |(_, role)| *role)
}

/// Nothing ends it, or not yet, by the database's clock.
fn in_force<C: ConnectionTrait>(db: &C) -> Expr {
    let clock = super::sql::clock_text(db);
    Expr::cust(format!("(expires_ms IS NULL OR expires_ms > {clock})"))
}
