//! What the folders know and the rows do not: calls of a killed process, and of times when nothing could be written.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseConnection, EntityTrait as _, QueryFilter as _, QuerySelect as _,
    TransactionTrait as _,
};

use crate::base::time::date;
use crate::config::Webhook;
use crate::report::Report;

use super::calls::{self, Ended};
use super::entity::calls::{Column, Entity, Model, State};
use super::entity::holds;
use super::{Core, LONGEST, StoreError, id, lease, lists, ms_of, persons, schema, sql};

/// Folders that are looked at in one go.
const CHUNK: usize = 200;
/// A report this young may still be on its way through the queue.
const YOUNG: Duration = Duration::from_secs(15);

/// Ends the rows that processes which are gone left running: by their reports, or as lost. Whoever else does so at the same
/// time finds them ended.
pub(super) async fn settle(core: &Core) -> Result<(), StoreError> {
    let running = Entity::find().filter(Column::State.eq(State::Running)).filter(lease::is_free(Column::Owner));
    for row in core.in_time(async { Ok(running.all(&core.db).await?) }).await? {
        let report = report(core, &row.id).await;
        let hooks = core.hooks();
        let mut turn = core.turn.lock().await;
        let done = core.in_time(end(core, &turn, &hooks, report.as_ref(), &row)).await;
        if done.is_err() {
            core.renew(&mut turn).await;
        }
        drop(turn);
        done?;
        let counter = if report.is_some() { &core.counters.repaired } else { &core.counters.lost };
        counter.fetch_add(1, Ordering::Relaxed);
        core.fresh.notify_one();
    }
    lists::lose_sight(core).await?;
    let places = holds::Entity::delete_many().filter(lease::is_free(holds::Column::Owner));
    let _turn = core.turn.lock().await;
    core.in_time(async { Ok(places.exec(&core.db).await?) }).await.map(drop)
}

/// Ends a row by the call's report, or as lost.
async fn end(
    core: &Core,
    db: &DatabaseConnection,
    hooks: &[Arc<Webhook>],
    report: Option<&Ended>,
    row: &Model,
) -> Result<(), StoreError> {
    let txn = db.begin_with_options(sql::immediate()).await?;
    match report {
        Some(ended) => calls::end(&txn, core, hooks, ended, false).await?,
        None => calls::lose(&txn, hooks, row).await?,
    }
    Ok(txn.commit().await?)
}

/// Makes rows for folders that have none: from their reports, or as lost when no server will write one. Calls from
/// before there was a database are nobody's news, so their events are left out.
pub(super) async fn folders(core: &Core) -> Result<(), StoreError> {
    let born_ms = core.in_time(async { Ok(schema::born_ms(&core.db).await?) }).await?;
    let path = core.data.join("calls");
    let names = blocking(move || call_folders(&path)).await;
    let mut from = 0;
    while from < names.len() {
        let to = (from + CHUNK).min(names.len());
        let some = names[from..to].to_vec();
        from = to;
        let known = Entity::find()
            .select_only()
            .columns([Column::Id, Column::State])
            .filter(Column::Id.is_in(some.clone()))
            .into_tuple::<(String, State)>();
        let known = core.within(LONGEST, async { Ok(known.all(&core.db).await?) }).await?;
        let erased = persons::erase::refuse(core, &some).await?;
        for (name, is_known) in not_over(some, known) {
            if erased.contains(&name) {
                continue;
            }
            one(core, &name, is_known, born_ms).await?;
        }
    }
    Ok(())
}

/// The names whose rows do not say that the call is over, and whether there is a row.
fn not_over(names: Vec<String>, known: Vec<(String, State)>) -> Vec<(String, bool)> {
    let known: HashMap<String, State> = known.into_iter().collect();
    let state = |name: String| (known.get(&name).copied(), name);
    let open = names.into_iter().map(state).filter(|(state, _)| !matches!(state, Some(State::Ended | State::Lost)));
    open.map(|(state, name)| (name, state.is_some())).collect()
}

/// A folder whose call has no row, or one that says that it is up.
async fn one(core: &Core, name: &str, is_known: bool, born_ms: i64) -> Result<(), StoreError> {
    // Ids of earlier versions have whole seconds.
    let (began_ms, exact_ms) = id::began(name).unwrap_or((0, 1));
    let began_ms = began_ms + exact_ms - 1;
    let ours = began_ms >= core.since_ms;
    let ended = report(core, name).await;
    if let Some(ended) = &ended
        && ours
        && ended.ended_ms + YOUNG.as_millis() as i64 > super::now_ms()
    {
        return Ok(());
    }
    // One of ours without a report goes on, and its row will come; so will one that is known.
    if ended.is_none() && (ours || is_known) {
        return Ok(());
    }
    let quiet = began_ms < born_ms;
    let hooks = if quiet { Arc::default() } else { core.hooks() };
    let mut turn = core.turn.lock().await;
    let done = core.within(LONGEST, make(core, &turn, &hooks, ended.as_ref(), name, quiet)).await;
    if done.is_err() {
        core.renew(&mut turn).await;
    }
    drop(turn);
    done?;
    let counter = if ended.is_some() { &core.counters.repaired } else { &core.counters.lost };
    counter.fetch_add(1, Ordering::Relaxed);
    core.fresh.notify_one();
    Ok(())
}

/// Makes the row of a folder by its report, or as lost.
async fn make(
    core: &Core,
    db: &DatabaseConnection,
    hooks: &[Arc<Webhook>],
    ended: Option<&Ended>,
    name: &str,
    quiet: bool,
) -> Result<(), StoreError> {
    let txn = db.begin_with_options(sql::immediate()).await?;
    match ended {
        Some(ended) => calls::end(&txn, core, hooks, ended, quiet).await?,
        None => {
            let row = Model { home: Some(core.me.home.clone()), ..calls::unknown(name) };
            if Entity::find_by_id(name.to_owned()).one(&txn).await?.is_none() {
                sea_orm::IntoActiveModel::into_active_model(row.clone()).reset_all().insert(&txn).await?;
                lists::begun(&txn, std::slice::from_ref(&row)).await?;
                calls::lose(&txn, hooks, &row).await?;
            }
        }
    }
    Ok(txn.commit().await?)
}

/// The report in a call's folder, if there is a whole one of this call.
async fn report(core: &Core, call: &str) -> Option<Ended> {
    let (path, call) = (core.data.join("calls").join(id::folder(call)).join("report.json"), call.to_owned());
    blocking(move || {
        let text = fs::read(&path).ok()?;
        let written = fs::metadata(&path).and_then(|m| m.modified()).unwrap_or_else(|_| SystemTime::now());
        let report: Box<Report> = serde_json::from_slice(&text).ok()?;
        if report.call != call {
            return None;
        }
        let began_ms = date::parse(&report.started)
            .map(ms_of)
            .or_else(|| id::began(&call).map(|(ms, _)| ms))
            .unwrap_or_else(|| ms_of(written));
        let ended_ms = began_ms + report.duration_ms as i64;
        Some(Ended { text: serde_json::to_string(&report).ok()?, report, ended_ms, pictures: None })
    })
    .await
}

/// Calls that have folders, in order of their beginnings.
fn call_folders(path: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let ids = names.map(|name| id::of_folder(&name));
    let mut names: Vec<String> = ids.filter(|id| id::began(id).is_some()).collect();
    names.sort_unstable();
    names
}

async fn blocking<T: Send + Default + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // Fails only when the runtime is shutting down.
    tokio::task::spawn_blocking(work).await.unwrap_or_default()
}
