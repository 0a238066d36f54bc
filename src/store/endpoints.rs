//! Endpoints: those that were made by the API, which are rows here, and how all of them fare, those of `offhook.toml` too.
//!
//! What the rows say is read every [`LOOK`], and at once where this server changes them: a change applies on all servers
//! within that time. An endpoint that took nothing for [`NOTICE_DAYS`] is told of as an alert to the others, and is switched
//! off after [`OFF_DAYS`] (`fares`). What happens while one is off is kept like what was given up, and can be sent again.

mod fares;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::ActiveValue::{Set, Unchanged};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseTransaction, EntityTrait as _, IntoActiveModel as _,
    PaginatorTrait as _, QueryFilter as _, QuerySelect as _, TransactionTrait as _,
};
use serde_json::Value;
use tokio::sync::watch;

use crate::config::{EventType, MAX_WEBHOOKS, Secret, Webhook};
use crate::house::webhooks::may_seal;

use super::entity::endpoint_states::{Column as StateColumn, Entity as States, Model as State};
use super::entity::endpoints::{ActiveModel, Column, Entity, Model};
use super::entity::{outbox, servers};
use super::{Core, Store, StoreError, changes, id, seal, sql};

use fares::{give_up, tell, watch_over};
pub(super) use fares::{refused, took};

/// How often the rows are read.
const LOOK: Duration = Duration::from_secs(2);
/// Days without success after which others are told, and after which an endpoint is switched off.
pub const NOTICE_DAYS: i64 = 3;
/// The same.
pub const OFF_DAYS: i64 = 5;
/// For how long events carry the former secret's signature too.
pub const ROTATION_MS: i64 = 86_400_000;
const DAY_MS: i64 = 86_400_000;

/// An endpoint with all that is known of it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// What it is.
    pub hook: Arc<Webhook>,
    /// Its row; `None`: it stands in `offhook.toml`.
    pub row: Option<EndpointRow>,
    /// How it fares; `None`: it never failed.
    pub state: Option<EndpointState>,
    /// Events that wait for it.
    pub waiting: u64,
    /// Events that were given up, and can be sent again.
    pub dead: u64,
}

/// How an endpoint fares.
pub use super::entity::endpoint_states::Model as EndpointState;

/// What is known of an endpoint that was made by the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRow {
    /// Counts its changes, from 1.
    pub version: i64,
    /// Whether it is told of all types, also those to come.
    pub all_events: bool,
    /// In milliseconds since 1970, like that below.
    pub created_ms: i64,
    /// When it was changed last.
    pub changed_ms: i64,
    /// By whom.
    pub changed_by: String,
}

/// What an endpoint is to be; `house::webhooks` says what may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEndpoint {
    /// What people call it.
    pub name: String,
    /// Where events are posted.
    pub url: String,
    /// What it is told; `None`: everything, also what is to come.
    pub events: Option<Vec<EventType>>,
    /// Of which agents; empty: of all.
    pub agents: Vec<String>,
    /// As of a [`Webhook`], like all below.
    pub plain_signature: bool,
    /// Events in a second.
    pub per_second: u64,
    /// Milliseconds for one attempt.
    pub timeout_ms: u64,
    /// Milliseconds before the second.
    pub retry_first_ms: u64,
}

/// The rows as they were last read.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    rows: Vec<Model>,
    states: HashMap<String, State>,
    /// Servers that share the rows, this one too.
    servers: u64,
}

impl Core {
    /// Who is told now.
    pub(super) fn hooks(&self) -> Arc<[Arc<Webhook>]> {
        Arc::clone(&self.hooks.borrow())
    }

    /// Puts together who is told, after one of both has changed.
    pub(super) fn join_hooks(&self) {
        let (settings, known) = (self.settings.borrow(), self.known.borrow());
        let off = |id: &str| {
            let state = known.states.get(id)?;
            state.disabled_ms.map(|_| state.reason.clone().unwrap_or_default())
        };
        let files = settings.webhooks.iter().map(|hook| match off(&hook.id) {
            None => Arc::clone(hook),
            off => Arc::new(Webhook { off, ..(**hook).clone() }),
        });
        let key = settings.store.seal_key.as_ref();
        let made = known.rows.iter().map(|row| Arc::new(row.hook(key, settings.allow_private, off(&row.id))));
        let all: Arc<[_]> = files.chain(made).collect();
        self.hooks.send_if_modified(|before| {
            let changed = *before != all;
            if changed {
                *before = all;
            }
            changed
        });
    }
}

impl Model {
    fn hook(&self, key: Option<&Secret>, allow_private: bool, off: Option<String>) -> Webhook {
        let open = |sealed: &str| key.and_then(|key| seal::open(key, &self.id, sealed));
        let secret = open(&self.secret);
        let unread = secret.is_none().then(|| "its secret cannot be read with [store] seal_key".to_owned());
        let names = |text: &str| serde_json::from_str::<Vec<String>>(text).unwrap_or_default();
        let events =
            self.events.as_deref().map(|text| names(text).iter().filter_map(|n| EventType::named(n)).collect());
        let number = |n: i64| u64::try_from(n).ok().filter(|n| *n > 0).unwrap_or(1);
        Webhook {
            name: self.name.clone(),
            previous: self.previous.as_deref().and_then(open),
            previous_until_ms: self.previous_until_ms,
            events: events.unwrap_or(EventType::ALL.to_vec()),
            agents: names(&self.agents),
            plain_signature: self.plain_signature,
            per_second: number(self.per_second),
            timeout_ms: number(self.timeout_ms),
            retry_first_ms: number(self.retry_first_ms),
            allow_private,
            off: off.or(unread),
            ..Webhook::new(&self.id, &self.url, secret.unwrap_or(Secret::new("")))
        }
    }
}

impl Store {
    /// How many servers share the rows, this one too.
    pub fn servers(&self) -> u64 {
        Ord::max(self.core.known.borrow().servers, 1)
    }

    /// Reads now what others may have changed.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn look_at_endpoints(&self) -> Result<(), StoreError> {
        self.in_time(refresh(&self.core)).await
    }

    /// All endpoints: those of `offhook.toml`, then the others in the order in which they were made.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        self.look_at_endpoints().await?;
        let counted = outbox::Entity::find()
            .select_only()
            .columns([outbox::Column::Endpoint, outbox::Column::State])
            .expr(Expr::cust("count(*)"))
            .group_by(outbox::Column::Endpoint)
            .group_by(outbox::Column::State)
            .into_tuple::<(String, outbox::State, i64)>();
        let counted = self.in_time(async { Ok(counted.all(self.db()).await?) }).await?;
        let count = |id: &str, state: outbox::State| {
            let found = counted.iter().find(|(endpoint, of, _)| endpoint == id && *of == state);
            found.map_or(0, |(_, _, count)| u64::try_from(*count).unwrap_or(0))
        };
        let known = self.core.known.borrow().clone();
        let endpoint = |hook: &Arc<Webhook>| Endpoint {
            row: known.rows.iter().find(|row| row.id == hook.id).map(|row| EndpointRow {
                version: row.version,
                all_events: row.events.is_none(),
                created_ms: row.created_ms,
                changed_ms: row.changed_ms,
                changed_by: row.changed_by.clone(),
            }),
            state: known.states.get(&hook.id).cloned(),
            waiting: count(&hook.id, outbox::State::Waiting),
            dead: count(&hook.id, outbox::State::Dead),
            hook: Arc::clone(hook),
        };
        Ok(self.core.hooks().iter().map(endpoint).collect())
    }

    /// Makes an endpoint. Answers its id.
    ///
    /// # Errors
    /// There is no key to seal its secret with, its name is another's, there are too many, or the store cannot be written.
    pub async fn add_endpoint(&self, new: &NewEndpoint, secret: &Secret, by: &str) -> Result<String, StoreError> {
        let id = id::new_at_any_rate(id::Kind::Webhook);
        let sealed = self.sealed(&id, secret)?;
        let files = self.core.settings.borrow().webhooks.len() as u64;
        self.change(async |txn| {
            if Entity::find().count(txn).await? + files >= MAX_WEBHOOKS as u64 {
                return Err(StoreError::Refused(format!("There are {MAX_WEBHOOKS} webhooks already.")));
            }
            self.is_free(txn, &new.name, &id).await?;
            let now_ms = sql::clock_ms(txn).await?;
            let row = ActiveModel {
                id: Set(id.clone()),
                secret: Set(sealed),
                previous: Set(None),
                previous_until_ms: Set(None),
                version: Set(1),
                created_ms: Set(now_ms),
                changed_ms: Set(now_ms),
                changed_by: Set(by.to_owned()),
                ..written_as(new)
            };
            Entity::insert(row).exec_without_returning(txn).await?;
            Ok(id)
        })
        .await
    }

    /// Changes an endpoint that was made by the API. `version`: the one that whoever changes it has read.
    ///
    /// # Errors
    /// It is gone ([`StoreError::Gone`]), was changed meanwhile, its name is another's, or the store cannot be written.
    pub async fn change_endpoint(
        &self,
        id: &str,
        new: &NewEndpoint,
        version: Option<i64>,
        by: &str,
    ) -> Result<(), StoreError> {
        self.change(async |txn| {
            let found = find(txn, id, version).await?;
            self.is_free(txn, &new.name, id).await?;
            let row = ActiveModel {
                id: Unchanged(id.to_owned()),
                version: Set(found.version + 1),
                changed_ms: Set(sql::clock_ms(txn).await?),
                changed_by: Set(by.to_owned()),
                ..written_as(new)
            };
            Entity::update_many().set(row).filter(Column::Id.eq(id)).exec(txn).await?;
            Ok(())
        })
        .await
    }

    /// Gives an endpoint that was made by the API a new secret; for [`ROTATION_MS`] events carry the former one's signature
    /// too. Answers until when, in milliseconds since 1970.
    ///
    /// # Errors
    /// It is gone, there is no key to seal with, or the store cannot be written.
    pub async fn rotate_secret(&self, id: &str, secret: &Secret, by: &str) -> Result<i64, StoreError> {
        let sealed = self.sealed(id, secret)?;
        self.change(async |txn| {
            let found = find(txn, id, None).await?;
            let now_ms = sql::clock_ms(txn).await?;
            let row = ActiveModel {
                previous: Set(Some(found.secret)),
                previous_until_ms: Set(Some(now_ms + ROTATION_MS)),
                secret: Set(sealed),
                version: Set(found.version + 1),
                changed_ms: Set(now_ms),
                changed_by: Set(by.to_owned()),
                ..Default::default()
            };
            Entity::update_many().set(row).filter(Column::Id.eq(id)).exec(txn).await?;
            Ok(now_ms + ROTATION_MS)
        })
        .await
    }

    /// Deletes an endpoint that was made by the API. What waits for it is given up; the log of its attempts stays for its
    /// time. `false`: there is none.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn delete_endpoint(&self, id: &str) -> Result<bool, StoreError> {
        self.change(async |txn| {
            let gone = Entity::delete_by_id(id.to_owned()).exec(txn).await?.rows_affected > 0;
            if gone {
                States::delete_by_id(id.to_owned()).exec(txn).await?;
            }
            Ok(gone)
        })
        .await
    }

    /// Switches any endpoint on, which forgets that it failed, or off, for a reason. What waits for one that is off is given
    /// up, and can be sent again.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn switch_endpoint(&self, id: &str, off: Option<&str>, by: &str) -> Result<(), StoreError> {
        let hooks = self.core.hooks();
        self.change(async |txn| {
            let Some(why) = off else {
                let was = States::find_by_id(id.to_owned()).one(txn).await?;
                States::delete_by_id(id.to_owned()).exec(txn).await?;
                if let Some(was) = was.filter(State::is_alarming) {
                    tell(txn, &hooks, EventType::AlertResolved, &was, None).await?;
                }
                return Ok(());
            };
            let now_ms = sql::clock_ms(txn).await?;
            let row = State { disabled_by: Some(by.to_owned()), ..State::off(id, now_ms, why) };
            let columns = [StateColumn::DisabledMs, StateColumn::DisabledBy, StateColumn::Reason];
            let there = OnConflict::column(StateColumn::Endpoint).update_columns(columns).to_owned();

            let row = row.into_active_model().reset_all();
            States::insert(row).on_conflict(there).exec_without_returning(txn).await?;
            give_up(txn, id, why).await?;
            Ok(())
        })
        .await
    }

    fn sealed(&self, whose: &str, secret: &Secret) -> Result<String, StoreError> {
        let key = self.core.settings.borrow().store.seal_key.clone();
        may_seal(key.is_some()).map_err(|no| StoreError::Refused(no.message))?;
        let sealed = key.and_then(|key| seal::seal(&key, whose, secret));
        sealed.ok_or_else(|| StoreError::Io("the system has no randomness".to_owned()))
    }

    async fn is_free(&self, txn: &DatabaseTransaction, name: &str, id: &str) -> Result<(), StoreError> {
        let other = Entity::find().filter(Column::Name.eq(name)).filter(Column::Id.ne(id)).count(txn).await?;
        let in_file = self.core.settings.borrow().webhooks.iter().any(|hook| hook.name == name);
        if other == 0 && !in_file {
            return Ok(());
        }
        Err(StoreError::Refused("Another webhook has this name.".to_owned()))
    }

    /// Changes rows in one transaction, and reads them again.
    async fn change<T>(
        &self,
        work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.in_time(async {
            let mut turn = self.core.turn.lock().await;
            let done = async {
                let txn = turn.begin_with_options(sql::immediate()).await?;
                sql::applies_alone(&txn).await?;
                let done = work(&txn).await?;
                txn.commit().await?;
                Ok(done)
            };
            let done = done.await;
            if matches!(done, Err(StoreError::Db(_))) {
                self.core.renew(&mut turn).await;
            }
            drop(turn);
            if done.is_ok() {
                refresh(&self.core).await?;
                self.core.fresh.notify_one();
            }
            done
        })
        .await
    }
}

async fn find(txn: &DatabaseTransaction, id: &str, version: Option<i64>) -> Result<Model, StoreError> {
    let found = Entity::find_by_id(id.to_owned()).one(txn).await?.ok_or(StoreError::Gone)?;
    if version.is_some_and(|version| version != found.version) {
        let by = &found.changed_by;
        return Err(StoreError::Refused(format!("The webhook was changed meanwhile, by {by}: read it again.")));
    }
    Ok(found)
}

fn written_as(new: &NewEndpoint) -> ActiveModel {
    let list = |names: Vec<&str>| Value::from(names).to_string();
    let number = |n: u64| Set(i64::try_from(n).unwrap_or(i64::MAX));
    let events = new.events.as_ref().map(|events| list(events.iter().map(|kind| kind.name()).collect()));
    ActiveModel {
        name: Set(new.name.clone()),
        url: Set(new.url.clone()),
        events: Set(events),
        agents: Set(list(new.agents.iter().map(String::as_str).collect())),
        plain_signature: Set(new.plain_signature),
        per_second: number(new.per_second),
        timeout_ms: number(new.timeout_ms),
        retry_first_ms: number(new.retry_first_ms),
        ..Default::default()
    }
}

/// Reads the rows.
pub(super) async fn refresh(core: &Core) -> Result<(), StoreError> {
    use sea_orm::QueryOrder as _;
    let rows = Entity::find().order_by_asc(Column::CreatedMs).order_by_asc(Column::Id).all(&core.db).await?;
    let states = States::find().all(&core.db).await?;
    let servers = servers::Entity::find().count(&core.db).await?;
    let states = states.into_iter().map(|state| (state.endpoint.clone(), state)).collect();
    core.known.send_replace(Known { rows, states, servers });
    core.join_hooks();
    Ok(())
}

/// Until the store is stopped: keeps up with the rows, tells of endpoints that fail and switches them off, and
/// tells of deployments that changed.
pub(super) async fn keep(core: Arc<Core>, mut stopping: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        if !core.is_ready() {
            continue;
        }
        let done = core.in_time(refresh(&core)).await;
        let done = match done {
            Ok(()) => core.in_time(watch_over(&core)).await.and(core.in_time(changes::tell(&core)).await),
            failed => failed,
        };
        if let Err(error) = done {
            core.trouble("does not say what webhooks are to know", &error);
        }
    }
}
