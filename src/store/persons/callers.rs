//! Members as callers: the numbers that they call with, and the PIN that they key in where the carrier does not vouch for those.
//!
//! A try is counted before it is looked at, so that calls beside each other have no more tries than calls after each other.
//! What is counted is the member's alone: however many guess, nobody else waits.

use std::sync::Arc;

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, ExprTrait as _, FromQueryResult, PaginatorTrait as _,
    QueryFilter as _, Statement,
};
use serde_json::json;

use super::rows::{callers, pins};
use crate::config::{Role, Secret};
use crate::house::access::Member;
use crate::house::callers as rules;
use crate::house::people::not_found;
use crate::store::people::{Hasher, add_audit, role_of};
use crate::store::whose::Whose;
use crate::store::{Desk, Store, StoreError, sql};

/// Another try may be counted meanwhile.
const AGAIN: usize = 3;

/// The callers of a store. Cheap to clone.
#[derive(Clone)]
pub struct Callers(Whose, Hasher);

/// A member who is known by a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The user's id.
    pub id: String,
    /// Who it is, and what they may do now.
    pub member: Member,
    /// Where they are with their PIN before it is asked for.
    pub pin: rules::Pin,
}

/// A member with what they are known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user's id.
    pub id: String,
    /// E-mail address.
    pub email: String,
    /// What they may do.
    pub role: Role,
    /// E.164, in order.
    pub numbers: Vec<String>,
    /// Whether they have a PIN.
    pub has_pin: bool,
    /// No PIN of theirs is looked at before, in milliseconds since 1970; `None`: the next one is.
    pub paused_until_ms: Option<i64>,
}

impl Store {
    /// Members as callers.
    pub fn callers(&self) -> Callers {
        Callers(Whose::Server(Arc::clone(&self.core)), self.core.hasher.clone())
    }
}

impl Desk {
    /// Members as callers.
    pub fn callers(&self) -> Callers {
        Callers(Whose::Command(self.db.clone()), Hasher::default())
    }
}

impl Callers {
    /// The member who calls with this number.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn known(&self, number: &str) -> Result<Option<Known>, StoreError> {
        let db = self.0.db();
        let clock = sql::clock_text(db);
        let asked = Statement::from_sql_and_values(
            db.get_database_backend(),
            format!(
                "SELECT users.id AS id, users.email AS email, users.role AS role, \
                 CASE WHEN caller_pins.member IS NULL THEN 'none' WHEN caller_pins.free_ms > {clock} THEN 'paused' \
                 ELSE 'some' END AS pin \
                 FROM callers JOIN users ON users.id = callers.member \
                 LEFT JOIN caller_pins ON caller_pins.member = callers.member WHERE callers.number = $1"
            ),
            [number.into()],
        );
        let row = self.0.in_time(async { Ok(Row::find_by_statement(asked).one(db).await?) }).await?;
        Ok(row.map(|row| Known {
            id: row.id,
            member: Member { email: row.email, role: role_of(&row.role) },
            pin: match row.pin.as_str() {
                "some" => rules::Pin::Unasked,
                "paused" => rules::Pin::Paused,
                _ => rules::Pin::Missing,
            },
        }))
    }

    /// Whether somebody keyed in a member's PIN; `tries`: how often they tried in this call, this time included.
    ///
    /// # Errors
    /// The store cannot be written, or too many passwords are being looked at: the try does not count then.
    pub async fn try_pin(&self, member: &str, digits: Secret, tries: u32) -> Result<rules::Pin, StoreError> {
        // Whoever keys in no PIN at all does not guess.
        if !rules::is_pin(digits.expose()) {
            return Ok(rules::Pin::Wrong(tries));
        }
        for _ in 0..AGAIN {
            let Some(pin) = self.pin(member).await? else { return Ok(rules::Pin::Missing) };
            let wrong = pin.wrong + 1;
            let pause = rules::pause_after(u32::try_from(wrong).unwrap_or(u32::MAX)).as_millis() as i64;
            let free = Expr::cust(format!("free_ms <= {}", sql::clock_text(self.0.db())));
            let counted = pins::Entity::update_many()
                .col_expr(pins::Column::Wrong, Expr::value(wrong))
                .col_expr(pins::Column::FreeMs, sql::clock(self.0.db()).add(pause))
                .filter(same(&pin).and(pins::Column::Wrong.eq(pin.wrong)))
                .filter(free);
            if self.write(counted).await? == 0 {
                match self.known_pause(member).await? {
                    true => return Ok(rules::Pin::Paused),
                    false => continue,
                }
            }
            let is_right = self.1.verify(digits, Some(pin.hash.clone())).await;
            let taken_back = match is_right {
                Ok(false) => return Ok(rules::Pin::Wrong(tries)),
                Ok(true) => 0,
                Err(_) => pin.wrong,
            };
            let good = pins::Entity::update_many()
                .col_expr(pins::Column::Wrong, Expr::value(taken_back))
                .col_expr(pins::Column::FreeMs, Expr::value(0))
                .filter(same(&pin));
            self.write(good).await?;
            return Ok(is_right.map(|_| rules::Pin::Right)?);
        }
        Ok(rules::Pin::Paused)
    }

    /// Gives a member, by id or e-mail address, a number.
    ///
    /// # Errors
    /// `not_found`: there is no such member; `number_shape`, `number_taken`, `number_limit`; or the store cannot be written.
    pub async fn add(&self, who: &str, member: &str, number: &str) -> Result<(), StoreError> {
        self.change(async |db| {
            // Of two numbers beside each other one is first: there is a most, and each is one member's.
            sql::changes_people_alone(db).await?;
            let Row { id, email, .. } = one(db, member).await?;
            let held = Statement::from_sql_and_values(
                db.get_database_backend(),
                "SELECT users.id AS id, users.email AS email, users.role AS role, '' AS pin \
                 FROM callers JOIN users ON users.id = callers.member WHERE callers.number = $1",
                [number.into()],
            );
            let held = Row::find_by_statement(held).one(db).await?.map(|row| row.id);
            let has = callers::Entity::find().filter(callers::Column::Member.eq(id.as_str())).count(db).await?;
            rules::check_number(number, &id, held.as_deref(), has)?;
            if held.is_some() {
                return Ok(());
            }
            let row = callers::ActiveModel {
                number: Set(number.to_owned()),
                member: Set(id),
                added_by: Set(who.to_owned()),
                added_ms: Set(sql::clock_ms(db).await?),
            };
            callers::Entity::insert(row).exec_without_returning(db).await?;
            add_audit(db, who, "caller.add", &email, Some(json!({ "number": number }))).await
        })
        .await
    }

    /// Takes a number from whoever has it; where `member` is given, by id or e-mail address, from nobody else.
    ///
    /// # Errors
    /// `not_found`; or the store cannot be written.
    pub async fn remove(&self, who: &str, member: Option<&str>, number: &str) -> Result<(), StoreError> {
        self.change(async |db| {
            let row = callers::Entity::find_by_id(number).one(db).await?.ok_or_else(|| not_found("number"))?;
            let holder = one(db, &row.member).await?;
            if member.is_some_and(|member| member != holder.id && member != holder.email) {
                return Err(not_found("number").into());
            }
            callers::Entity::delete_by_id(number).exec(db).await?;
            add_audit(db, who, "caller.remove", &holder.email, Some(json!({ "number": number }))).await
        })
        .await
    }

    /// Gives a member, by id or e-mail address, a PIN, and with it new tries.
    ///
    /// # Errors
    /// `not_found`, `pin_shape`, `pin_easy`, `busy`; or the store cannot be written.
    pub async fn set_pin(&self, who: &str, member: &str, pin: Secret) -> Result<(), StoreError> {
        let found = self.0.in_time(async {
            let found = one(self.0.db(), member).await?;
            let own = callers::Column::Member.eq(found.id.as_str());
            Ok((found, callers::Entity::find().filter(own).all(self.0.db()).await?))
        });
        let (Row { id, email, .. }, numbers) = found.await?;
        rules::check_pin(pin.expose(), numbers.iter().map(|row| row.number.as_str()))?;
        let hash = self.1.hash(pin).await?;
        self.change(async |db| {
            use pins::Column;
            let row = pins::ActiveModel {
                member: Set(id),
                hash: Set(hash),
                set_ms: Set(sql::clock_ms(db).await?),
                wrong: Set(0),
                free_ms: Set(0),
            };
            let all = [Column::Hash, Column::SetMs, Column::Wrong, Column::FreeMs];
            let there = OnConflict::column(Column::Member).update_columns(all).to_owned();
            pins::Entity::insert(row).on_conflict(there).exec_without_returning(db).await?;
            add_audit(db, who, "caller.pin", &email, Some(json!({ "set": true }))).await
        })
        .await
    }

    /// Takes a member's PIN away, by their id or e-mail address.
    ///
    /// # Errors
    /// `not_found`; or the store cannot be written.
    pub async fn drop_pin(&self, who: &str, member: &str) -> Result<(), StoreError> {
        self.change(async |db| {
            let Row { id, email, .. } = one(db, member).await?;
            let gone = pins::Entity::delete_by_id(id).exec(db).await?;
            if gone.rows_affected == 0 {
                return Err(not_found("PIN").into());
            }
            add_audit(db, who, "caller.pin", &email, Some(json!({ "set": false }))).await
        })
        .await
    }

    /// Members who have a number or a PIN, by e-mail address: those after `after`, no more than `limit`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn list(&self, after: Option<&str>, limit: u64) -> Result<Vec<Caller>, StoreError> {
        let db = self.0.db();
        let clock = sql::clock_text(db);
        let asked = Statement::from_sql_and_values(
            db.get_database_backend(),
            format!(
                "SELECT users.id AS id, users.email AS email, users.role AS role, \
                 caller_pins.member IS NOT NULL AS has_pin, \
                 CASE WHEN caller_pins.free_ms > {clock} THEN caller_pins.free_ms END AS paused_until_ms \
                 FROM users LEFT JOIN caller_pins ON caller_pins.member = users.id WHERE users.email > $1 \
                 AND (caller_pins.member IS NOT NULL OR EXISTS (SELECT 1 FROM callers WHERE callers.member = users.id)) \
                 ORDER BY users.email LIMIT $2"
            ),
            [after.unwrap_or_default().into(), (limit as i64).into()],
        );
        self.0
            .in_time(async {
                let rows = Listed::find_by_statement(asked).all(db).await?;
                let of = callers::Column::Member.is_in(rows.iter().map(|row| row.id.as_str()));
                let mut numbers = callers::Entity::find().filter(of).all(db).await?;
                numbers.sort_by(|one, other| one.number.cmp(&other.number));
                Ok(rows.into_iter().map(|row| row.with(&numbers)).collect())
            })
            .await
    }

    async fn pin(&self, member: &str) -> Result<Option<pins::Model>, StoreError> {
        let found = pins::Entity::find_by_id(member);
        self.0.in_time(async { Ok(found.one(self.0.db()).await?) }).await
    }

    async fn known_pause(&self, member: &str) -> Result<bool, StoreError> {
        let paused = Expr::cust(format!("free_ms > {}", sql::clock_text(self.0.db())));
        let paused = pins::Entity::find_by_id(member).filter(paused);
        self.0.in_time(async { Ok(paused.one(self.0.db()).await?.is_some()) }).await
    }

    async fn write(&self, update: sea_orm::UpdateMany<pins::Entity>) -> Result<u64, StoreError> {
        self.change(async |db| Ok(update.exec(db).await?.rows_affected)).await
    }

    async fn change<T>(
        &self,
        work: impl AsyncFnOnce(&sea_orm::DatabaseTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.0
            .in_time(async {
                let writing = self.0.begin().await?;
                let done = work(&writing.txn).await;
                writing.end(done).await
            })
            .await
    }
}

/// The PIN, unless it was changed meanwhile.
fn same(pin: &pins::Model) -> Expr {
    pins::Column::Member.eq(pin.member.as_str()).and(pins::Column::Hash.eq(pin.hash.as_str()))
}

/// The member with an id or an e-mail address.
async fn one<C: ConnectionTrait>(db: &C, member: &str) -> Result<Row, StoreError> {
    let asked = Statement::from_sql_and_values(
        db.get_database_backend(),
        "SELECT id, email, role, '' AS pin FROM users WHERE id = $1 OR email = $1",
        [member.into()],
    );
    let row = Row::find_by_statement(asked).one(db).await?;
    Ok(row.ok_or_else(|| not_found("user"))?)
}

#[derive(Debug, FromQueryResult)]
struct Row {
    id: String,
    email: String,
    role: String,
    pin: String,
}

#[derive(Debug, FromQueryResult)]
struct Listed {
    id: String,
    email: String,
    role: String,
    has_pin: bool,
    paused_until_ms: Option<i64>,
}

impl Listed {
    fn with(self, numbers: &[callers::Model]) -> Caller {
        let own = numbers.iter().filter(|row| row.member == self.id).map(|row| row.number.clone());
        Caller {
            numbers: own.collect(),
            role: role_of(&self.role),
            id: self.id,
            email: self.email,
            has_pin: self.has_pin,
            paused_until_ms: self.paused_until_ms,
        }
    }
}
