//! API keys: what programs show.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};
use serde_json::json;

use super::entity::api_keys::{ActiveModel, Column, Entity, Model};
use super::secret::{self, SecretKind};
use super::sessions::SEEN_MS;
use super::{People, audit, in_force, role_of};
use crate::config::{Role, Secret};
use crate::house::people::{self as rules, KeyWish};
use crate::house::principal::{Principal, Scopes};
use crate::store::{IdKind, StoreError, id, now_ms, sql};

/// Keys of an organization.
const MOST: u64 = 1_000;

/// An API key, without what makes it one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Sorts by when it was made.
    pub id: String,
    /// What its maker called it.
    pub name: String,
    /// The last four characters of the secret.
    pub hint: String,
    /// What it may do at most.
    pub role: Role,
    /// What of that.
    pub scopes: Scopes,
    /// The only agents it may reach; `None`: all.
    pub agents: Option<Vec<String>>,
    /// Who made it.
    pub made_by: String,
    /// Milliseconds since 1970, as below.
    pub made_ms: i64,
    /// When it ends by itself.
    pub expires_ms: Option<i64>,
    /// When it was last used, to the minute.
    pub used_ms: Option<i64>,
}

impl From<Model> for ApiKey {
    fn from(row: Model) -> ApiKey {
        // What this program cannot read gives nothing.
        let scopes: Vec<_> = row.scopes.split_whitespace().collect();
        let agents = row.agents.map(|text| serde_json::from_str(&text).unwrap_or_default());
        ApiKey {
            role: role_of(&row.role),
            scopes: Scopes::parse(&scopes).unwrap_or_default(),
            agents,
            id: row.id,
            name: row.name,
            hint: row.hint,
            made_by: row.made_by,
            made_ms: row.made_ms,
            expires_ms: row.expires_ms,
            used_ms: row.used_ms,
        }
    }
}

impl ApiKey {
    /// Who comes with it.
    pub fn principal(self) -> Principal {
        let ApiKey { id, name, role, scopes, agents, .. } = self;
        Principal::Key { id, name, role, scopes, agents }
    }
}

impl People {
    /// Makes a key; what it says is shown once.
    ///
    /// # Errors
    /// `name`, `role`, `scope`, `agents`, `expires`, `too_many`; or the store cannot be written.
    pub async fn add_key(&self, who: &Principal, wish: KeyWish) -> Result<(ApiKey, Secret), StoreError> {
        let name = rules::name(&wish.name)?;
        self.change(async |txn| {
            let now_ms = sql::clock_ms(txn).await?;
            rules::may_make(who, &wish, now_ms)?;
            rules::room(Entity::find().count(txn).await?, MOST, "API keys")?;
            let secret = secret::new(SecretKind::Key)?;
            let row = Model {
                id: id::new_at_any_rate(IdKind::Key),
                name,
                hash: secret::hash(&secret),
                hint: secret::hint(&secret),
                role: wish.role.name().to_owned(),
                scopes: wish.scopes.to_string(),
                agents: wish.agents.as_ref().map(|agents| json!(agents).to_string()),
                made_by: who.name(),
                made_ms: now_ms,
                expires_ms: wish.expires_ms,
                used_ms: None,
            };
            Entity::insert(ActiveModel::from(row.clone()).reset_all()).exec_without_returning(txn).await?;
            let detail = json!({ "name": row.name, "role": row.role, "scopes": row.scopes, "agents": wish.agents });
            audit::add(txn, &row.made_by, "key.add", &row.id, Some(detail)).await?;
            Ok((row.into(), Secret::new(secret)))
        })
        .await
    }

    /// Keys, the newest first, those that were made before the key `after`, no more than `limit`; those whose time is over
    /// too.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn keys(&self, after: Option<&str>, limit: u64) -> Result<Vec<ApiKey>, StoreError> {
        let mut all = Entity::find().order_by_desc(Column::Id).limit(limit);
        if let Some(after) = after {
            all = all.filter(Column::Id.lt(after));
        }
        self.0.in_time(async { Ok(all.all(self.0.db()).await?.into_iter().map(ApiKey::from).collect()) }).await
    }

    /// A key by id.
    ///
    /// # Errors
    /// `not_found`, or the store cannot be read.
    pub async fn key(&self, id: &str) -> Result<ApiKey, StoreError> {
        let found = self.0.in_time(async { Ok(Entity::find_by_id(id).one(self.0.db()).await?) }).await?;
        Ok(found.ok_or_else(|| rules::not_found("API key"))?.into())
    }

    /// Who comes with this secret, if it is a key in force.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn key_of(&self, secret: &str) -> Result<Option<ApiKey>, StoreError> {
        if SecretKind::of(secret) != Some(SecretKind::Key) {
            return Ok(None);
        }
        let db = self.0.db();
        let this = Entity::find().filter(Column::Hash.eq(secret::hash(secret))).filter(in_force(db));
        let row = self.0.in_time(async { Ok(this.one(db).await?) }).await?;
        if let Some(row) = &row
            && row.used_ms.is_none_or(|used| now_ms() - used >= SEEN_MS)
            && let Some(turn) = self.0.idle()
        {
            let clock = Expr::cust(sql::clock_text(&*turn));
            let used = Entity::update_many().col_expr(Column::UsedMs, clock).filter(Column::Id.eq(row.id.as_str()));
            // The next request comes to it again.
            let _ = self.0.in_time(async { Ok(used.exec(&*turn).await?) }).await;
        }
        Ok(row.map(ApiKey::from))
    }

    /// Ends a key: from this moment on it is nobody's.
    ///
    /// # Errors
    /// `not_found`, `role`; or the store cannot be written.
    pub async fn remove_key(&self, who: &Principal, id: &str) -> Result<(), StoreError> {
        self.change_standing(async |txn| {
            let key = find(txn, id).await?;
            rules::may_change(who, Some(key.role), None)?;
            Entity::delete_by_id(key.id.as_str()).exec(txn).await?;
            audit::add(txn, &who.name(), "key.remove", &key.id, Some(json!({ "name": key.name }))).await
        })
        .await
    }
}

async fn find<C: ConnectionTrait>(db: &C, id: &str) -> Result<ApiKey, StoreError> {
    Ok(Entity::find_by_id(id).one(db).await?.ok_or_else(|| rules::not_found("API key"))?.into())
}
