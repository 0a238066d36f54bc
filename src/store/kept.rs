//! Which calls are beyond their time, by the organization's days and their agents' own, and the sound of those whose recordings
//! are kept for a shorter time than they are.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use sea_orm::sea_query::{Expr, Func};
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, ExprTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::entity::calls::{Column, Entity, State};
use super::entity::listed;
use super::{Core, LONGEST, Settings, StoreError, id, now_ms};
use crate::config::KeepDays;
use crate::house::retention::{self, Kept};

const DAY_MS: i64 = 86_400_000;
/// Calls whose sound one sweep deletes; the next goes on.
const MAX_CALLS: u64 = 5_000;
/// Calls that are marked in one statement.
const CHUNK: usize = 100;
/// What has a call's sound in it whatever else it has: the page embeds the recording.
const SOUND: [&str; 2] = ["recording.wav", "call.html"];
const JOURNAL: &str = "journal";
/// How a line of the journal begins its audio.
const AUDIO: &[u8] = b"\"b64\":";

/// The moment at which a call was over, as far as that is known.
fn over() -> Expr {
    Func::coalesce([Expr::col(Column::EndedMs), Expr::col(Column::StartedMs)]).into()
}

/// Calls that are beyond their time at `now_ms`; `None`: none ever is.
pub(super) fn beyond(settings: &Settings, now_ms: i64) -> Option<Condition> {
    beyond_by(settings, now_ms, |kept| kept.calls)
}

/// Calls whose sound is beyond its time.
fn sound_beyond(settings: &Settings, now_ms: i64) -> Option<Condition> {
    // Where it goes with its call nothing is to be done.
    beyond_by(settings, now_ms, |kept| kept.recordings.filter(|days| kept.calls.is_none_or(|calls| *days < calls)))
}

fn beyond_by(settings: &Settings, now_ms: i64, days: impl Fn(&Kept) -> Option<u64>) -> Option<Condition> {
    let mut others: BTreeMap<Option<u64>, Vec<&str>> = BTreeMap::new();
    for (agent, keep) in &settings.keep {
        others.entry(days(&retention::in_force(&settings.store, *keep))).or_default().push(agent);
    }
    let before = |days: u64| over().lt(now_ms - days as i64 * DAY_MS);
    let mut any = Condition::any();
    if let Some(days) = days(&retention::in_force(&settings.store, KeepDays::default())) {
        any = any.add(before(days).and(Column::Agent.is_not_in(settings.keep.keys().map(String::as_str))));
    }
    for (days, agents) in others {
        if let Some(days) = days {
            any = any.add(before(days).and(Column::Agent.is_in(agents)));
        }
    }
    (!any.is_empty()).then_some(any)
}

/// Deletes the sound that is beyond its time, of calls whose folders are here.
pub(super) async fn sweep_sound(core: &Core) -> Result<(), StoreError> {
    let condition = sound_beyond(&core.settings.borrow(), now_ms());
    let Some(condition) = condition else { return Ok(()) };
    let here = Column::Home.is_null().or(Column::Home.eq(core.me.home.as_str()));
    let calls = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Expr::col("sound_gone").eq(false))
        .filter(Column::State.ne(State::Running))
        .filter(here)
        .filter(condition)
        .order_by_asc(Column::StartedMs)
        .limit(MAX_CALLS)
        .into_tuple::<String>();
    let calls = core.within(LONGEST, async { Ok(calls.all(&core.db).await?) }).await?;
    let mut trouble = Ok(());
    for some in calls.chunks(CHUNK) {
        let (path, names) = (core.data.join("calls"), some.to_vec());
        let deleted = tokio::task::spawn_blocking(move || {
            let mut trouble = None;
            let mut done = Vec::new();
            for call in names {
                match silence(&path.join(id::folder(&call))) {
                    Ok(()) => done.push(call),
                    // What cannot be deleted must not keep the rest.
                    Err(error) => trouble = Some(StoreError::Io(format!("the recording of {call}: {error}"))),
                }
            }
            (done, trouble)
        });
        let (done, failed) = deleted.await.map_err(|error| StoreError::Io(error.to_string()))?;
        if let Some(error) = failed {
            trouble = Err(error);
        }
        let _turn = core.turn.lock().await;
        let marked = Entity::update_many()
            .col_expr(Column::Recording, Expr::value(false))
            .col_expr("sound_gone", Expr::value(true))
            .filter(Column::Id.is_in(done.iter().map(String::as_str)));
        let shown = listed::Entity::update_many()
            .col_expr(listed::Column::Recording, Expr::value(false))
            .filter(listed::Column::Id.is_in(done.iter().map(String::as_str)));
        let marked = async {
            // First, for whoever is killed in between comes to it again.
            shown.exec(&core.db).await?;
            Ok(marked.exec(&core.db).await?)
        };
        core.within(LONGEST, marked).await?;
    }
    trouble
}

/// Deletes what has sound in it of a call's folder.
fn silence(folder: &Path) -> io::Result<()> {
    for name in SOUND {
        delete(&folder.join(name))?;
    }
    let journal = folder.join(JOURNAL);
    if has_audio(&journal)? { delete(&journal) } else { Ok(()) }
}

fn delete(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a journal has the audio of its call, which its first audio tells.
fn has_audio(path: &Path) -> io::Result<bool> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut lines = BufReader::new(file).split(b'\n');
    // The settings come first, and have sounds of their own.
    lines.next().transpose()?;
    for line in lines {
        let line = line?;
        let has = |what: &[u8]| line.windows(what.len()).any(|part| part == what);
        if has(AUDIO) {
            return Ok(true);
        }
        if has(b"\"audio\":{\"at_ms\"") {
            return Ok(false);
        }
    }
    Ok(false)
}
