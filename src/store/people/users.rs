//! Users: members of the organization, and how they prove who they are.

use std::time::SystemTime;

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, DatabaseTransaction, EntityTrait as _,
    PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde_json::json;

use super::entity::users::{ActiveModel, Column, Entity, Model};
use super::{People, audit, factor, links, role_of, sealed, sessions};
use crate::config::{Role, Secret};
use crate::house::people as rules;
use crate::house::principal::Principal;
use crate::store::{IdKind, StoreError, id, ms_of, sql};

/// Users of an organization.
const MOST: u64 = 10_000;

/// A member of the organization, as others may know them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Sorts by when they were made.
    pub id: String,
    /// In lower case.
    pub email: String,
    /// What they may do.
    pub role: Role,
    /// Whether they have set a password, and can log in.
    pub has_password: bool,
    /// Whether they have a second factor.
    pub has_factor: bool,
    /// Milliseconds since 1970, as below.
    pub created_ms: i64,
    /// When they last logged in.
    pub logged_in_ms: Option<i64>,
}

/// What a log-in is held against. Not to be shown to anybody.
pub struct Credentials {
    /// Whose.
    pub user: User,
    /// The password's hash, for the [`Hasher`](super::Hasher).
    pub password: Option<String>,
}

/// A second factor that is to be confirmed.
pub struct Factor {
    /// In base 32, to be typed.
    pub secret: Secret,
}

impl From<Model> for User {
    fn from(row: Model) -> User {
        User {
            role: role_of(&row.role),
            has_password: row.password.is_some(),
            has_factor: row.factor.is_some(),
            id: row.id,
            email: row.email,
            created_ms: row.created_ms,
            logged_in_ms: row.logged_in_ms,
        }
    }
}

impl People {
    /// Whether there is a user at all.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn any(&self) -> Result<bool, StoreError> {
        self.0.in_time(any(self.0.db())).await
    }

    /// Users, the newest first, those that were made before the user `after`, no more than `limit`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn users(&self, after: Option<&str>, limit: u64) -> Result<Vec<User>, StoreError> {
        let mut all = Entity::find().order_by_desc(Column::Id).limit(limit);
        if let Some(after) = after {
            all = all.filter(Column::Id.lt(after));
        }
        self.0.in_time(async { Ok(all.all(self.0.db()).await?.into_iter().map(User::from).collect()) }).await
    }

    /// A user by id.
    ///
    /// # Errors
    /// There is none, or the store cannot be read.
    pub async fn user(&self, id: &str) -> Result<User, StoreError> {
        self.0.in_time(async { Ok(one(self.0.db(), id).await?.into()) }).await
    }

    /// A user by e-mail address.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn user_of(&self, email: &str) -> Result<Option<User>, StoreError> {
        self.0.in_time(async { Ok(of(self.0.db(), email).await?.map(User::from)) }).await
    }

    /// What somebody's log-in is held against.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn credentials(&self, email: &str) -> Result<Option<Credentials>, StoreError> {
        let row = self.0.in_time(of(self.0.db(), email)).await?;
        Ok(row.map(|row| Credentials { password: row.password.clone(), user: row.into() }))
    }

    /// Makes a user; `password` is a hash.
    ///
    /// # Errors
    /// `role`, `email_taken`, `too_many`; or the store cannot be written.
    pub async fn add_user(
        &self,
        who: &Principal,
        email: &str,
        role: Role,
        password: Option<String>,
    ) -> Result<User, StoreError> {
        rules::may_change(who, None, Some(role))?;
        self.change(async |txn| add(txn, &who.name(), email, role, password).await).await
    }

    /// Gives somebody another role. Their sessions end: what they are shown is another's now.
    ///
    /// # Errors
    /// `not_found`, `role`, `last_owner`; or the store cannot be written.
    pub async fn set_role(&self, who: &Principal, id: &str, role: Role) -> Result<User, StoreError> {
        self.change_standing(async |txn| set_role(txn, who, id, role).await).await
    }

    /// Takes somebody out of the organization, with their sessions and links.
    ///
    /// # Errors
    /// As [`set_role`](Self::set_role).
    pub async fn remove_user(&self, who: &Principal, id: &str) -> Result<(), StoreError> {
        self.change_standing(async |txn| remove(txn, who, id).await).await
    }

    /// Sets somebody's password, a hash, and ends all of their sessions.
    ///
    /// # Errors
    /// `not_found`, or the store cannot be written.
    pub async fn set_password(&self, who: &str, id: &str, password: String) -> Result<(), StoreError> {
        self.change_standing(async |txn| {
            let user = one(txn, id).await?;
            set_password(txn, &user.id, password).await?;
            audit::add(txn, who, "user.password", &user.email, None).await
        })
        .await
    }

    /// Begins a second factor: it is in force once a code of it was shown.
    ///
    /// # Errors
    /// `not_found`, `no_seal_key`, or the store cannot be written.
    pub async fn begin_factor(&self, id: &str) -> Result<Factor, StoreError> {
        let secret = factor::new()?;
        let key = self.0.seal_key();
        self.change(async |txn| {
            let user = one(txn, id).await?;
            let kept = sealed::close(key.as_ref(), &user.id, &secret)?;
            let pending = Entity::update_many().col_expr(Column::FactorPending, Expr::value(kept));
            pending.filter(Column::Id.eq(user.id)).exec(txn).await?;
            Ok(())
        })
        .await?;
        Ok(Factor { secret: Secret::new(secret) })
    }

    /// Puts the second factor that was begun in force, and answers its recovery codes, which are shown once.
    ///
    /// # Errors
    /// `no_second_factor`, `second_factor_wrong`; or the store cannot be written.
    pub async fn confirm_factor(&self, who: &str, id: &str, code: &str) -> Result<Vec<String>, StoreError> {
        let codes = factor::recovery()?;
        let hashes: Vec<_> = codes.iter().map(|code| factor::recovery_hash(code)).collect();
        let key = self.0.seal_key();
        self.change(async |txn| {
            let user = one(txn, id).await?;
            let kept = user.factor_pending.ok_or_else(rules::no_factor)?;
            // One that was begun before there was another key is begun anew.
            let secret = sealed::open(key.as_ref(), &user.id, &kept).ok_or_else(rules::no_factor)?;
            let step = factor::step(secret.expose(), code, now_s(), 0).ok_or_else(rules::wrong_code)?;
            Entity::update_many()
                .col_expr(Column::Factor, Expr::value(kept))
                .col_expr(Column::FactorPending, Expr::value(None::<String>))
                .col_expr(Column::FactorStep, Expr::value(step as i64))
                .col_expr(Column::Recovery, Expr::value(json!(hashes).to_string()))
                .filter(Column::Id.eq(user.id))
                .exec(txn)
                .await?;
            audit::add(txn, who, "user.second_factor", &user.email, Some(json!({ "on": true }))).await
        })
        .await?;
        Ok(codes)
    }

    /// Whether this is a code of somebody's second factor, or one of their recovery codes; it is used up by that.
    ///
    /// # Errors
    /// `not_found`, or the store cannot be written.
    pub async fn use_code(&self, id: &str, code: &str) -> Result<bool, StoreError> {
        let key = self.0.seal_key();
        self.change(async |txn| use_code(txn, key.as_ref(), id, code).await).await
    }

    /// Gives somebody's second factor up.
    ///
    /// # Errors
    /// `no_second_factor`, or the store cannot be written.
    pub async fn drop_factor(&self, who: &str, id: &str) -> Result<(), StoreError> {
        self.change_standing(async |txn| {
            let user = one(txn, id).await?;
            if user.factor.is_none() && user.factor_pending.is_none() {
                return Err(rules::no_factor().into());
            }
            Entity::update_many()
                .col_expr(Column::Factor, Expr::value(None::<String>))
                .col_expr(Column::FactorPending, Expr::value(None::<String>))
                .col_expr(Column::Recovery, Expr::value(None::<String>))
                .filter(Column::Id.eq(user.id))
                .exec(txn)
                .await?;
            audit::add(txn, who, "user.second_factor", &user.email, Some(json!({ "on": false }))).await
        })
        .await
    }

    /// Changes members, alone.
    pub(super) async fn change<T>(
        &self,
        work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.0
            .in_time(async {
                let writing = self.0.begin().await?;
                let done = async {
                    sql::changes_people_alone(&writing.txn).await?;
                    work(&writing.txn).await
                }
                .await;
                writing.end(done).await
            })
            .await
    }
}

pub(super) async fn any<C: ConnectionTrait>(db: &C) -> Result<bool, StoreError> {
    Ok(Entity::find().select_only().column(Column::Id).limit(1).into_tuple::<String>().one(db).await?.is_some())
}

pub(super) async fn one<C: ConnectionTrait>(db: &C, id: &str) -> Result<Model, StoreError> {
    Ok(Entity::find_by_id(id).one(db).await?.ok_or_else(|| rules::not_found("user"))?)
}

pub(super) async fn of<C: ConnectionTrait>(db: &C, email: &str) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find().filter(Column::Email.eq(email)).one(db).await?)
}

pub(super) async fn add<C: ConnectionTrait>(
    db: &C,
    who: &str,
    email: &str,
    role: Role,
    password: Option<String>,
) -> Result<User, StoreError> {
    rules::email_free(of(db, email).await?.is_some())?;
    rules::room(Entity::find().count(db).await?, MOST, "users")?;
    let row = Model {
        id: id::new_at_any_rate(IdKind::User),
        email: email.to_owned(),
        role: role.name().to_owned(),
        password,
        factor: None,
        factor_step: 0,
        factor_pending: None,
        recovery: None,
        created_ms: sql::clock_ms(db).await?,
        logged_in_ms: None,
    };
    Entity::insert(ActiveModel::from(row.clone()).reset_all()).exec_without_returning(db).await?;
    audit::add(db, who, "user.add", email, Some(json!({ "role": role.name() }))).await?;
    Ok(row.into())
}

async fn set_role<C: ConnectionTrait>(db: &C, who: &Principal, id: &str, role: Role) -> Result<User, StoreError> {
    let user = one(db, id).await?;
    let from = role_of(&user.role);
    rules::may_change(who, Some(from), Some(role))?;
    if from == role {
        return Ok(user.into());
    }
    if from == Role::Owner {
        rules::owners_left(owners(db).await?.saturating_sub(1))?;
    }
    let change = Entity::update_many().col_expr(Column::Role, Expr::value(role.name()));
    change.filter(Column::Id.eq(user.id.as_str())).exec(db).await?;
    sessions::end_all(db, &user.id, None).await?;
    let detail = json!({ "from": from.name(), "to": role.name() });
    audit::add(db, &who.name(), "user.role", &user.email, Some(detail)).await?;
    Ok(User { role, ..user.into() })
}

async fn remove<C: ConnectionTrait>(db: &C, who: &Principal, id: &str) -> Result<(), StoreError> {
    let user = one(db, id).await?;
    let from = role_of(&user.role);
    rules::may_change(who, Some(from), None)?;
    if from == Role::Owner {
        rules::owners_left(owners(db).await?.saturating_sub(1))?;
    }
    sessions::end_all(db, &user.id, None).await?;
    links::end_all(db, &user.email).await?;
    Entity::delete_by_id(user.id).exec(db).await?;
    audit::add(db, &who.name(), "user.remove", &user.email, Some(json!({ "role": from.name() }))).await
}

pub(super) async fn set_password<C: ConnectionTrait>(db: &C, id: &str, password: String) -> Result<(), StoreError> {
    let change = Entity::update_many().col_expr(Column::Password, Expr::value(password));
    change.filter(Column::Id.eq(id)).exec(db).await?;
    sessions::end_all(db, id, None).await
}

pub(super) async fn logged_in<C: ConnectionTrait>(db: &C, id: &str, at_ms: i64) -> Result<(), StoreError> {
    let change = Entity::update_many().col_expr(Column::LoggedInMs, Expr::value(at_ms));
    change.filter(Column::Id.eq(id)).exec(db).await?;
    Ok(())
}

async fn owners<C: ConnectionTrait>(db: &C) -> Result<u64, StoreError> {
    Ok(Entity::find().filter(Column::Role.eq(Role::Owner.name())).count(db).await?)
}

async fn use_code<C: ConnectionTrait>(db: &C, key: Option<&Secret>, id: &str, code: &str) -> Result<bool, StoreError> {
    let user = one(db, id).await?;
    let Some(kept) = user.factor else { return Ok(false) };
    let this = Column::Id.eq(user.id.as_str());
    let secret = sealed::open(key, &user.id, &kept);
    if secret.is_none() {
        // Recovery codes are kept by their hash, and let in all the same.
        tracing::warn!(user = user.id, "the secret of a second factor cannot be read with [store] seal_key");
    }
    let step = secret.and_then(|secret| factor::step(secret.expose(), code, now_s(), user.factor_step as u64));
    if let Some(step) = step {
        let used = Entity::update_many().col_expr(Column::FactorStep, Expr::value(step as i64));
        used.filter(this).exec(db).await?;
        return Ok(true);
    }
    let left: Vec<String> = user.recovery.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let hash = factor::recovery_hash(code);
    let Some(at) = left.iter().position(|known| *known == hash) else { return Ok(false) };
    let left: Vec<_> = left.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, hash)| hash).collect();
    let used = Entity::update_many().col_expr(Column::Recovery, Expr::value(json!(left).to_string()));
    used.filter(this).exec(db).await?;
    audit::add(
        db,
        &format!("user {}", user.email),
        "user.recovery_code",
        &user.email,
        Some(json!({ "left": left.len() })),
    )
    .await?;
    Ok(true)
}

fn now_s() -> u64 {
    (ms_of(SystemTime::now()) / 1_000) as u64
}
