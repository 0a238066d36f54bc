//! What is old is deleted: a call's folder, its row and its events together.
//!
//! The folder is renamed aside, row and events deleted, the folder removed, in this order: a process that is killed in
//! between leaves a name that the next sweep recognises and finishes. Events hold numbers and, in reports, words: what
//! nobody took within the time for which calls are kept is not kept for longer than they are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait, ExprTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    QueryTrait as _,
};

use super::entity::{calls, dials, outbox};
use super::outbox::MAX_DEAD;
use super::{
    Core, LONGEST, StoreError, deliveries, id, jobs, kept, lists, now_ms, people, persons, requests, revisions, sql,
};

/// Begins the name of a folder that is being deleted.
pub(super) const ASIDE: &str = ".deleted-";
/// Rows that go in one turn: what is deleted is written over, and calls are let in in between.
const AT_ONCE: u64 = 100;
/// Calls that one sweep deletes; the next goes on.
const MAX_CALLS: u64 = 5_000;
const DAY_MS: i64 = 86_400_000;
/// Days for which a call beyond its time is left to the server that has its folder.
const STRANGE_DAYS: i64 = 7;
/// Days that events which were given up are kept.
const DEAD_DAYS: i64 = 30;
/// Days that requests to dial are remembered.
const DIAL_DAYS: i64 = 7;

/// Finishes what was begun in this data directory, and deletes calls that are old by now.
pub(super) async fn folders(core: &Core) -> Result<(), StoreError> {
    let path = core.data.join("calls");
    // What cannot be deleted must not keep the rest.
    let (mut gone, mut trouble) = (0, Ok(()));
    for call in blocking(move || aside(&path)).await {
        gone += 1;
        trouble = trouble.and(delete(core, &call).await);
    }
    match old_calls(core).await {
        Ok(old) => {
            for call in old {
                let deleted = delete(core, &call).await;
                gone += 1;
                core.counters.deleted.fetch_add(u64::from(deleted.is_ok()), Ordering::Relaxed);
                trouble = trouble.and(deleted);
            }
        }
        Err(error) => trouble = trouble.and(Err(error)),
    }
    trouble = trouble.and(kept::sweep_sound(core).await);
    forget_bytes(core, gone).await?;
    trouble
}

/// Deletes what is old of the rows that servers share, whoever's calls they are about.
pub(super) async fn rows(core: &Core) -> Result<(), StoreError> {
    let (untaken, unplaced) = match before(core) {
        Some(before) => (forget_untaken(core, before).await, lists::forget_unplaced(core, before).await),
        None => (Ok(0), Ok(0)),
    };
    let all = [
        forget_dead(core).await,
        untaken,
        unplaced,
        deliveries::prune(core).await,
        forget_dials(core).await,
        jobs::forget(core).await,
        revisions::prune(core).await,
        requests::forget(core).await,
        people::forget(core).await.map(|()| 0),
        persons::erase::tidy(core).await,
    ];
    let gone = all.iter().map(|gone| gone.as_ref().copied().unwrap_or(1)).sum();
    forget_bytes(core, gone).await?;
    all.into_iter().try_for_each(|gone| gone.map(drop))
}

/// Events that are older than this are old; `None`: none ever is.
fn before(core: &Core) -> Option<i64> {
    let keep_days = core.settings.borrow().store.keep_days;
    (keep_days > 0).then(|| now_ms() - keep_days as i64 * DAY_MS)
}

/// Of so many rows that may have gone nothing is to be left.
async fn forget_bytes(core: &Core, gone: u64) -> Result<(), StoreError> {
    if gone == 0 {
        return Ok(());
    }
    core.within(LONGEST, async { Ok(sql::forget(&core.db).await?) }).await
}

/// Calls that are beyond their time.
async fn old_calls(core: &Core) -> Result<Vec<String>, StoreError> {
    use calls::{Column, Entity, State};
    let now_ms = now_ms();
    let settings = core.settings.borrow().clone();
    let Some(beyond) = kept::beyond(&settings, now_ms) else { return Ok(Vec::new()) };
    // Whoever has the folder deletes it with the row; of a directory that is gone for good, somebody does.
    let here = Condition::any().add(Column::Home.is_null()).add(Column::Home.eq(core.me.home.as_str()));
    let here = here.add_option(kept::beyond(&settings, now_ms - STRANGE_DAYS * DAY_MS));
    let old = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::State.ne(State::Running))
        .filter(here)
        .filter(beyond)
        .order_by_asc(Column::StartedMs)
        .limit(MAX_CALLS)
        .into_tuple();
    core.within(LONGEST, async { Ok(old.all(&core.db).await?) }).await
}

/// Deletes a call.
async fn delete(core: &Core, call: &str) -> Result<(), StoreError> {
    let (folder, gone) = (folder(core, call), core.data.join("calls").join(format!("{ASIDE}{call}")));
    let from = folder.clone();
    let to = gone.clone();
    let moved = blocking(move || match fs::rename(&from, &to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Some(error.to_string()),
        _ => None,
    });
    if let Some(why) = moved.await {
        return Err(StoreError::Io(format!("{}: cannot be deleted: {why}", folder.display())));
    }
    let turn = core.turn.lock().await;
    let row = calls::Entity::delete_by_id(call.to_owned());
    let events = outbox::Entity::delete_many().filter(outbox::Column::Call.eq(call));
    let deleted = core.within(LONGEST, async {
        let events = events.exec(&core.db).await?.rows_affected;
        deliveries::forget_call(&core.db, call).await?;
        lists::gone(&core.db, call).await?;
        // Last: by it the next sweep finds what a killed one has left.
        row.exec(&core.db).await?;
        Ok(events)
    });
    core.counters.events_deleted.fetch_add(deleted.await?, Ordering::Relaxed);
    drop(turn);
    let path = gone.clone();
    let removed = blocking(move || match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Some(error.to_string()),
        _ => None,
    });
    match removed.await {
        Some(why) => Err(StoreError::Io(format!("{}: cannot be deleted: {why}", gone.display()))),
        None => Ok(()),
    }
}

fn folder(core: &Core, call: &str) -> PathBuf {
    core.data.join("calls").join(id::folder(call))
}

/// Calls whose deletion was begun.
fn aside(calls: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(calls) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.strip_prefix(ASIDE).map(str::to_owned)).take(MAX_CALLS as usize).collect()
}

/// Events from before a moment, whether they wait or were given up, also those whose call is gone, and what was said of
/// placed calls. Answers how many rows that were.
async fn forget_untaken(core: &Core, before_ms: i64) -> Result<u64, StoreError> {
    let old = Condition::all().add(outbox::Column::CreatedMs.lt(before_ms));
    let deleted = clear::<outbox::Entity>(core, outbox::Column::Seq, old).await?;
    core.counters.events_deleted.fetch_add(deleted, Ordering::Relaxed);
    // Keys of placed calls are remembered for longer than they may be; what the carrier said of one may quote its number.
    let words = dials::Entity::update_many().col_expr(dials::Column::Error, Expr::value(None::<String>));
    let said = dials::Column::CreatedMs.lt(before_ms).and(dials::Column::Error.is_not_null());
    let silenced = words.filter(said);
    let _turn = core.turn.lock().await;
    let silenced = core.within(LONGEST, async { Ok(silenced.exec(&core.db).await?.rows_affected) }).await?;
    if deleted > 0 {
        tracing::warn!(
            events = deleted,
            "events that nobody took were deleted for their age (`keep_days` in offhook.toml)"
        );
    }
    Ok(deleted + silenced)
}

/// Events that were given up are kept for a while, and not without end. Answers how many were not.
async fn forget_dead(core: &Core) -> Result<u64, StoreError> {
    use outbox::{Column, Entity, State};
    let dead = Condition::all().add(Column::State.eq(State::Dead));
    let old = dead.clone().add(Column::CreatedMs.lt(now_ms() - DEAD_DAYS * DAY_MS));
    let mut gone = clear::<Entity>(core, Column::Seq, old).await?;
    let newest_beyond = Entity::find()
        .select_only()
        .column(Column::Seq)
        .filter(dead.clone())
        .order_by_desc(Column::Seq)
        .offset(MAX_DEAD)
        .limit(1)
        .into_tuple::<i64>();
    if let Some(seq) = core.within(LONGEST, async { Ok(newest_beyond.one(&core.db).await?) }).await? {
        gone += clear::<Entity>(core, Column::Seq, dead.add(Column::Seq.lte(seq))).await?;
    }
    Ok(gone)
}

/// Requests to dial are remembered for a while: who repeats one later means another call.
async fn forget_dials(core: &Core) -> Result<u64, StoreError> {
    let old = Condition::all().add(dials::Column::CreatedMs.lt(now_ms() - DIAL_DAYS * DAY_MS));
    clear::<dials::Entity>(core, dials::Column::Key, old).await
}

/// Deletes rows, a few in each turn, since whoever lets calls in waits for one. Answers how many that were.
pub(super) async fn clear<E: EntityTrait>(core: &Core, key: E::Column, which: Condition) -> Result<u64, StoreError> {
    let mut gone = 0;
    loop {
        let some = E::find().select_only().column(key).filter(which.clone()).limit(AT_ONCE);
        let some = E::delete_many().filter(key.in_subquery(some.into_query()));
        let turn = core.turn.lock().await;
        let deleted = core.within(LONGEST, async { Ok(some.exec(&core.db).await?.rows_affected) }).await?;
        drop(turn);
        gone += deleted;
        if deleted < AT_ONCE {
            return Ok(gone);
        }
    }
}

async fn blocking<T: Send + Default + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // Fails only when the runtime is shutting down.
    tokio::task::spawn_blocking(work).await.unwrap_or_default()
}
