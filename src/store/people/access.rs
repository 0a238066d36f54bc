//! What lets somebody without an account in to an internal agent: access tokens and passwords (VIS-04).

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, ExprTrait as _, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde_json::json;

use super::entity::{access_tokens, access_uses, agent_passwords};
use super::secret::{self, SecretKind};
use super::{People, audit, in_force};
use crate::config::Secret;
use crate::house::people as rules;
use crate::house::principal::Principal;
use crate::store::{IdKind, StoreError, id, sql};

pub use access_uses::Model as Use;

/// Tokens of one agent.
const MOST: u64 = 200;
/// Origins that are told apart of one token; the rest count together.
const ORIGINS: u64 = 100;
const REST: &str = "other";
/// Characters of an origin.
const MAX_ORIGIN: usize = 300;

/// An access token, without what makes it one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    /// Sorts by when it was made.
    pub id: String,
    /// The agent that it lets in to.
    pub agent: String,
    /// What its maker called it.
    pub name: String,
    /// The last four characters of the secret.
    pub hint: String,
    /// Who made it.
    pub made_by: String,
    /// Milliseconds since 1970, as below.
    pub made_ms: i64,
    /// When it ends by itself.
    pub expires_ms: Option<i64>,
    /// When it was last used.
    pub used_ms: Option<i64>,
}

impl From<access_tokens::Model> for AccessToken {
    fn from(row: access_tokens::Model) -> AccessToken {
        let access_tokens::Model { id, agent, name, hint, made_by, made_ms, expires_ms, used_ms, .. } = row;
        AccessToken { id, agent, name, hint, made_by, made_ms, expires_ms, used_ms }
    }
}

/// That an agent has a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPassword {
    /// Who set it.
    pub made_by: String,
    /// When, in milliseconds since 1970.
    pub made_ms: i64,
}

impl People {
    /// Makes an access token of an agent, which has to exist; what it says is shown once.
    ///
    /// # Errors
    /// `name`, `expires`, `scope`, `too_many`; or the store cannot be written.
    pub async fn add_access(
        &self,
        who: &Principal,
        agent: &str,
        name: &str,
        expires_ms: Option<i64>,
    ) -> Result<(AccessToken, Secret), StoreError> {
        use access_tokens::{ActiveModel, Entity, Model};
        who.may_ask_for(agent)?;
        let name = rules::name(name)?;
        self.change(async |txn| {
            let now_ms = sql::clock_ms(txn).await?;
            rules::expiry(expires_ms, now_ms)?;
            rules::room(of(agent).count(txn).await?, MOST, "access tokens of this agent")?;
            let secret = secret::new(SecretKind::Access)?;
            let row = Model {
                id: id::new_at_any_rate(IdKind::Token),
                agent: agent.to_owned(),
                name,
                hash: secret::hash(&secret),
                hint: secret::hint(&secret),
                made_by: who.name(),
                made_ms: now_ms,
                expires_ms,
                used_ms: None,
            };
            Entity::insert(ActiveModel::from(row.clone()).reset_all()).exec_without_returning(txn).await?;
            let detail = json!({ "agent": agent, "name": row.name });
            audit::add(txn, &row.made_by, "access_token.add", &row.id, Some(detail)).await?;
            Ok((row.into(), Secret::new(secret)))
        })
        .await
    }

    /// Access tokens of an agent, the newest first, those that were made before the token `after`, no more than `limit`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn accesses(&self, agent: &str, after: Option<&str>, limit: u64) -> Result<Vec<AccessToken>, StoreError> {
        use access_tokens::Column;
        let mut all = of(agent).order_by_desc(Column::Id).limit(limit);
        if let Some(after) = after {
            all = all.filter(Column::Id.lt(after));
        }
        self.0.in_time(async { Ok(all.all(self.0.db()).await?.into_iter().map(AccessToken::from).collect()) }).await
    }

    /// How often the tokens of these ids were used, and from where, the most used origins first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn uses(&self, tokens: &[String]) -> Result<Vec<Use>, StoreError> {
        use access_uses::{Column, Entity};
        let all = Entity::find().filter(Column::Token.is_in(tokens.iter().map(String::as_str)));
        let all = all.order_by_desc(Column::Uses);
        self.0.in_time(async { Ok(all.all(self.0.db()).await?) }).await
    }

    /// Whose access token this is, if it is in force.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn access_of(&self, secret: &str) -> Result<Option<AccessToken>, StoreError> {
        use access_tokens::{Column, Entity};
        if SecretKind::of(secret) != Some(SecretKind::Access) {
            return Ok(None);
        }
        let db = self.0.db();
        let this = Entity::find().filter(Column::Hash.eq(secret::hash(secret))).filter(in_force(db));
        Ok(self.0.in_time(async { Ok(this.one(db).await?) }).await?.map(AccessToken::from))
    }

    /// Counts a use of an access token from `origin`, or from an address where there is none.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn count_access(&self, token: &str, origin: &str) -> Result<(), StoreError> {
        let origin: String = origin.chars().filter(|c| !c.is_control()).take(MAX_ORIGIN).collect();
        self.change(async |txn| used(txn, token, &origin).await).await
    }

    /// Ends an access token of an agent.
    ///
    /// # Errors
    /// `not_found`, `scope`; or the store cannot be written.
    pub async fn remove_access(&self, who: &Principal, agent: &str, id: &str) -> Result<(), StoreError> {
        use access_tokens::{Column, Entity};
        who.may_ask_for(agent)?;
        self.change(async |txn| {
            let this = Column::Id.eq(id).and(Column::Agent.eq(agent));
            if Entity::delete_many().filter(this).exec(txn).await?.rows_affected == 0 {
                return Err(rules::not_found("access token").into());
            }
            audit::add(txn, &who.name(), "access_token.remove", id, Some(json!({ "agent": agent }))).await
        })
        .await
    }

    /// Sets the password of an agent, a hash; `None`: it has none any more.
    ///
    /// # Errors
    /// `scope`, `not_found`: there was none to take away; or the store cannot be written.
    pub async fn set_agent_password(
        &self,
        who: &Principal,
        agent: &str,
        hash: Option<String>,
    ) -> Result<(), StoreError> {
        use agent_passwords::{ActiveModel, Column, Entity, Model};
        who.may_ask_for(agent)?;
        self.change(async |txn| {
            let Some(hash) = hash else {
                if Entity::delete_by_id(agent).exec(txn).await?.rows_affected == 0 {
                    return Err(rules::not_found("password").into());
                }
                return audit::add(txn, &who.name(), "agent.password", agent, Some(json!({ "on": false }))).await;
            };
            let (agent, made_by) = (agent.to_owned(), who.name());
            let row = Model { agent, hash, made_by, made_ms: sql::clock_ms(txn).await? };
            let there = OnConflict::column(Column::Agent)
                .update_columns([Column::Hash, Column::MadeBy, Column::MadeMs])
                .to_owned();
            let new = ActiveModel::from(row.clone()).reset_all();
            Entity::insert(new).on_conflict(there).exec_without_returning(txn).await?;
            audit::add(txn, &row.made_by, "agent.password", &row.agent, Some(json!({ "on": true }))).await
        })
        .await
    }

    /// Whether an agent has a password, and since when.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn agent_password(&self, agent: &str) -> Result<Option<AgentPassword>, StoreError> {
        let row = self.agent_hash(agent).await?;
        Ok(row.map(|row| AgentPassword { made_by: row.made_by, made_ms: row.made_ms }))
    }

    /// Whether this is the password of an agent; one that has none takes as long to say no.
    ///
    /// # Errors
    /// `busy`, or the store cannot be read.
    pub async fn is_agent_password(&self, agent: &str, password: Secret) -> Result<bool, StoreError> {
        let hash = self.agent_hash(agent).await?.map(|row| row.hash);
        Ok(self.hasher().verify(password, hash).await?)
    }

    /// Ends all access tokens of an agent that is gone, and its password: another of its name begins without.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn forget_agent(&self, agent: &str) -> Result<(), StoreError> {
        self.change(async |txn| {
            let tokens = access_tokens::Column::Agent.eq(agent);
            access_tokens::Entity::delete_many().filter(tokens).exec(txn).await?;
            agent_passwords::Entity::delete_by_id(agent).exec(txn).await?;
            Ok(())
        })
        .await
    }

    async fn agent_hash(&self, agent: &str) -> Result<Option<agent_passwords::Model>, StoreError> {
        let row = agent_passwords::Entity::find_by_id(agent);
        self.0.in_time(async { Ok(row.one(self.0.db()).await?) }).await
    }
}

fn of(agent: &str) -> sea_orm::Select<access_tokens::Entity> {
    access_tokens::Entity::find().filter(access_tokens::Column::Agent.eq(agent))
}

async fn used<C: ConnectionTrait>(db: &C, token: &str, origin: &str) -> Result<(), StoreError> {
    use access_uses::{ActiveModel, Column, Entity, Model};
    let now_ms = sql::clock_ms(db).await?;
    let key = |origin: &str| (token.to_owned(), origin.to_owned());
    let is_known = Entity::find_by_id(key(origin)).one(db).await?.is_some();
    let is_room = || Entity::find().filter(Column::Token.eq(token)).count(db);
    let origin = if is_known || is_room().await? < ORIGINS { origin } else { REST };
    let row = Model { token: token.to_owned(), origin: origin.to_owned(), uses: 1, used_ms: now_ms };
    let there = OnConflict::columns([Column::Token, Column::Origin])
        .value(Column::Uses, Expr::col((Entity, Column::Uses)).add(1))
        .value(Column::UsedMs, Expr::value(now_ms))
        .to_owned();
    let new = ActiveModel::from(row).reset_all();
    Entity::insert(new).on_conflict(there).exec_without_returning(db).await?;
    let change = access_tokens::Entity::update_many();
    let change = change.col_expr(access_tokens::Column::UsedMs, Expr::value(now_ms));
    change.filter(access_tokens::Column::Id.eq(token)).exec(db).await?;
    Ok(())
}
