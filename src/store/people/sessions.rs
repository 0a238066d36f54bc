//! Sessions: who is logged in where, and for how long.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, ExprTrait as _, QueryFilter as _,
    QueryOrder as _,
};

use super::entity::sessions::{ActiveModel, Column, Entity, Model};
use super::entity::users as table;
use super::secret::{self, SecretKind};
use super::{People, User, audit, users};
use crate::config::Secret;
use crate::house::people as rules;
use crate::store::{IdKind, StoreError, id, sql};

/// A session is over after so long without a request, and after so long in any case.
const IDLE_MS: i64 = 12 * 3_600_000;
const LIFE_MS: i64 = 30 * 86_400_000;
/// When a session is seen is written so often.
pub(super) const SEEN_MS: i64 = 60_000;
/// Sessions of one user; the one that was not seen for the longest makes room.
const MOST: usize = 20;
/// Characters of a browser's name.
const MAX_BROWSER: usize = 200;

/// Where somebody is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Not what the cookie says.
    pub id: String,
    /// Milliseconds since 1970, as below.
    pub made_ms: i64,
    /// When it last asked for something, to the minute.
    pub seen_ms: i64,
    /// When it ends in any case.
    pub ends_ms: i64,
    /// Where it was begun from.
    pub address: String,
    /// As the browser calls itself.
    pub browser: String,
}

impl From<Model> for Session {
    fn from(row: Model) -> Session {
        let Model { id, made_ms, seen_ms, ends_ms, address, browser, .. } = row;
        Session { id, made_ms, seen_ms, ends_ms, address, browser }
    }
}

/// A session that was just begun.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// What is kept of it.
    pub session: Session,
    /// What its cookie says.
    pub secret: Secret,
}

/// Who comes with a cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// As they are now.
    pub user: User,
    /// Where they are logged in.
    pub session: Session,
}

impl People {
    /// Begins a session of somebody who has proven who they are: always a new secret, whatever their browser had before.
    ///
    /// # Errors
    /// `not_found`, or the store cannot be written.
    pub async fn log_in(&self, user: &str, address: &str, browser: &str) -> Result<NewSession, StoreError> {
        self.change(async |txn| begin(txn, user, address, browser).await).await
    }

    /// Who comes with this secret, if it is a session that is not over.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn session(&self, secret: &str) -> Result<Option<LoggedIn>, StoreError> {
        if SecretKind::of(secret) != Some(SecretKind::Session) {
            return Ok(None);
        }
        let found = self.0.in_time(find(self.0.db(), secret)).await?;
        if let Some((logged_in, true)) = &found {
            self.saw(&logged_in.session.id).await;
        }
        Ok(found.map(|(logged_in, _)| logged_in))
    }

    /// Somebody's sessions that are not over, the newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn sessions(&self, user: &str) -> Result<Vec<Session>, StoreError> {
        let alive = Expr::cust(alive(self.0.db()));
        let all = Entity::find().filter(Column::UserId.eq(user)).filter(alive).order_by_desc(Column::Id);
        self.0.in_time(async { Ok(all.all(self.0.db()).await?.into_iter().map(Session::from).collect()) }).await
    }

    /// Ends one of somebody's sessions.
    ///
    /// # Errors
    /// `not_found`, or the store cannot be written.
    pub async fn log_out(&self, who: &str, user: &str, session: &str) -> Result<(), StoreError> {
        self.change_standing(async |txn| {
            let this = Column::Id.eq(session).and(Column::UserId.eq(user));
            if Entity::delete_many().filter(this).exec(txn).await?.rows_affected == 0 {
                return Err(rules::not_found("session").into());
            }
            audit::add(txn, who, "session.end", session, None).await
        })
        .await
    }

    /// Ends all of somebody's sessions, but for one.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn log_out_everywhere(&self, who: &str, user: &str, but: Option<&str>) -> Result<(), StoreError> {
        self.change_standing(async |txn| {
            end_all(txn, user, but).await?;
            audit::add(txn, who, "session.end_all", user, None).await
        })
        .await
    }

    /// A session asks for something: written to the minute, and not while others write.
    async fn saw(&self, session: &str) {
        let Some(turn) = self.0.idle() else { return };
        let change = Entity::update_many()
            .col_expr(Column::SeenMs, Expr::cust(sql::clock_text(&*turn)))
            .filter(Column::Id.eq(session));
        // The next request comes to it again.
        let _ = self.0.in_time(async { Ok(change.exec(&*turn).await?) }).await;
    }
}

async fn begin<C: ConnectionTrait>(db: &C, user: &str, address: &str, browser: &str) -> Result<NewSession, StoreError> {
    let user = users::one(db, user).await?;
    let secret = secret::new(SecretKind::Session)?;
    let now_ms = sql::clock_ms(db).await?;
    let row = Model {
        id: id::new_at_any_rate(IdKind::Session),
        hash: secret::hash(&secret),
        user_id: user.id.clone(),
        role: user.role.clone(),
        made_ms: now_ms,
        seen_ms: now_ms,
        ends_ms: now_ms + LIFE_MS,
        address: address.to_owned(),
        browser: browser.chars().filter(|c| !c.is_control()).take(MAX_BROWSER).collect(),
    };
    let others = Entity::find().filter(Column::UserId.eq(user.id.as_str())).order_by_desc(Column::SeenMs);
    let others = others.all(db).await?;
    let surplus = others.iter().skip(MOST - 1).map(|row| row.id.as_str());
    Entity::delete_many().filter(Column::Id.is_in(surplus)).exec(db).await?;
    Entity::insert(ActiveModel::from(row.clone()).reset_all()).exec_without_returning(db).await?;
    users::logged_in(db, &user.id, now_ms).await?;
    audit::add(db, &format!("user {}", user.email), "session.begin", &row.id, None).await?;
    Ok(NewSession { session: row.into(), secret: Secret::new(secret) })
}

/// Whether it is time to write that it was seen, too.
async fn find<C: ConnectionTrait>(db: &C, secret: &str) -> Result<Option<(LoggedIn, bool)>, StoreError> {
    let session = Entity::find().filter(Column::Hash.eq(secret::hash(secret))).filter(Expr::cust(alive(db)));
    let Some(session) = session.one(db).await? else { return Ok(None) };
    let Some(user) = table::Entity::find_by_id(session.user_id.as_str()).one(db).await? else { return Ok(None) };
    // Whoever is something else by now logs in again.
    if user.role != session.role {
        return Ok(None);
    }
    let is_due = crate::store::now_ms() - session.seen_ms >= SEEN_MS;
    Ok(Some((LoggedIn { user: user.into(), session: session.into() }, is_due)))
}

/// A session that is not over, by its id, and whose it is, if they are still of its role.
pub(super) async fn of_id<C: ConnectionTrait>(db: &C, id: &str) -> Result<Option<(String, table::Model)>, StoreError> {
    let session = Entity::find_by_id(id).filter(Expr::cust(alive(db))).one(db).await?;
    let Some(session) = session else { return Ok(None) };
    let user = table::Entity::find_by_id(session.user_id.as_str()).one(db).await?;
    Ok(user.filter(|user| user.role == session.role).map(|user| (session.id, user)))
}

pub(super) async fn end_all<C: ConnectionTrait>(db: &C, user: &str, but: Option<&str>) -> Result<(), StoreError> {
    let mut all = Entity::delete_many().filter(Column::UserId.eq(user));
    if let Some(but) = but {
        all = all.filter(Column::Id.ne(but));
    }
    all.exec(db).await?;
    Ok(())
}

fn alive<C: ConnectionTrait>(db: &C) -> String {
    let clock = sql::clock_text(db);
    format!("ends_ms > {clock} AND seen_ms > {clock} - {IDLE_MS}")
}
