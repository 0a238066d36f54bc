//! `offhook calls`.

mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use offhook::lab::tune::table::{Align, Table, or_dash};
use offhook::store::{CallFilter, CallRow, CallState, Desk, Store, folder_name};
use serde_json::{Value, json};

use super::{Failure, Kept, say};

/// Flags of `offhook calls`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: List,
    #[command(flatten)]
    kept: Kept,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show a call: what was said and done in it, and how it ended.
    Show {
        /// Its id, or as much of its beginning or end as is no other call's.
        id: String,
        /// Print its report as JSON instead.
        #[arg(long)]
        json: bool,
    },
    /// Print the paths of a call's files, the page to look at first.
    Open {
        /// Its id, or as much of its beginning or end as is no other call's.
        id: String,
    },
}

/// Which calls.
#[derive(Debug, clap::Args)]
struct List {
    /// No more than so many, the newest.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    limit: u64,
    /// Begun since then: a date (2026-11-20, 2026-11-20T23:14:55Z) in UTC, or so long ago (30m, 12h, 2d, 1w).
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    since: Option<i64>,
    /// Begun before then, in the same words.
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    until: Option<i64>,
    /// Of this deployment.
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,
    /// Ended so, such as caller_hung_up: a kind of docs/report.md, or server_lost.
    #[arg(long, value_name = "KIND")]
    end: Option<String>,
    /// From or to this number, in E.164.
    #[arg(long, value_name = "NUMBER")]
    number: Option<String>,
    /// In this state: running, ended or lost.
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<CallState>,
    /// Print a JSON list instead of a table.
    #[arg(long)]
    json: bool,
}

/// Lists or shows calls.
pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let data = args.kept.data()?;
    let desk = Store::open(&data, args.kept.store_url()?.as_ref()).await.map_err(|error| error.to_string())?;
    match args.what {
        None => list(&desk, args.list).await?,
        Some(What::Show { id, json }) => {
            let call = find(&desk, &id).await?;
            say(&if json { show::json(&call)? } else { show::text(&call) });
        }
        Some(What::Open { id }) => {
            let call = find(&desk, &id).await?;
            let files = files(&data.join("calls").join(folder_name(&call.id)))?;
            say(&files.iter().map(|path| format!("{}\n", path.display())).collect::<String>());
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(desk: &Desk, list: List) -> Result<(), Failure> {
    let filter = CallFilter {
        since_ms: list.since,
        until_ms: list.until,
        deployment: list.deployment,
        end: list.end,
        number: list.number,
        state: list.state,
        limit: list.limit,
    };
    let calls = desk.calls(&filter).await.map_err(|error| error.to_string())?;
    if list.json {
        let all: Vec<Value> = calls.iter().map(entry).collect();
        let text = serde_json::to_string_pretty(&all).map_err(|error| error.to_string())?;
        say(&(text + "\n"));
        return Ok(());
    }
    if calls.is_empty() {
        say("no calls\n");
        return Ok(());
    }
    let mut table = Table::new(&[
        ("call", Align::Left),
        ("started (UTC)", Align::Left),
        ("way", Align::Left),
        ("from", Align::Left),
        ("to", Align::Left),
        ("deployment", Align::Left),
        ("length", Align::Right),
        ("turns", Align::Right),
        ("end", Align::Left),
    ]);
    calls.iter().for_each(|call| table.row(row(call)));
    say(&table.text());
    Ok(())
}

fn row(call: &CallRow) -> [String; 9] {
    let end = match call.state {
        CallState::Running => "(running)".to_owned(),
        _ => call.end_kind.clone().unwrap_or_default(),
    };
    [
        call.id.clone(),
        when(call.started_ms),
        call.direction.name().to_owned(),
        or_dash(call.from_number.as_ref()),
        or_dash(call.to_number.as_ref()),
        call.deployment.clone(),
        or_dash(call.duration_ms.map(length)),
        or_dash(call.turns),
        end,
    ]
}

fn entry(call: &CallRow) -> Value {
    json!({
        "id": call.id,
        "carrier_call": call.carrier_call,
        "direction": call.direction.name(),
        "deployment": call.deployment,
        "agent": call.agent,
        "revision": call.revision,
        "from": call.from_number,
        "to": call.to_number,
        "started": offhook::store::written(call.started_ms),
        "ended": call.ended_ms.map(offhook::store::written),
        "state": call.state.name(),
        "end": call.end_kind,
        "duration_ms": call.duration_ms,
        "turns": call.turns,
        "interruptions": call.interruptions,
        "cost_micros": call.cost_micros,
        "recording": call.recording,
    })
}

/// The one call that is meant.
async fn find(desk: &Desk, id: &str) -> Result<CallRow, Failure> {
    const SHOWN: usize = 5;
    let mut found = desk.find(id, SHOWN as u64 + 1).await.map_err(|error| error.to_string())?;
    match found.len() {
        0 => Err(format!("there is no call {id:?}; `offhook calls` lists them")),
        1 => Ok(found.remove(0)),
        n => {
            let mut names: Vec<&str> = found.iter().take(SHOWN).map(|call| call.id.as_str()).collect();
            if n > SHOWN {
                names.push("…");
            }
            Err(format!("{id:?} can be {}", names.join(", ")))
        }
    }
}

/// A folder's files, the page first.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    const ORDER: [&str; 5] = ["call.html", "call.svg", "recording.wav", "report.json", "journal"];
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let place = |path: &PathBuf| ORDER.iter().position(|name| path.ends_with(name)).unwrap_or(ORDER.len());
    files.sort_by_key(|path| (place(path), path.clone()));
    Ok(files)
}

/// Milliseconds since 1970 of a date, or of so long ago.
fn moment(text: &str) -> Result<i64, String> {
    if let Some(ms) = offhook::store::read(text) {
        return Ok(ms);
    }
    let ago = || {
        let unit = text.chars().last()?;
        let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
        let seconds = [('m', 60), ('h', 3_600), ('d', 86_400), ('w', 604_800)].iter().find(|(u, _)| *u == unit)?.1;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(since.saturating_sub(Duration::from_secs(count.saturating_mul(seconds))).as_millis() as i64)
    };
    ago().ok_or_else(|| "neither a date such as 2026-11-20 nor so long ago, such as 30m, 12h, 2d or 1w".to_owned())
}

fn state(text: &str) -> Result<CallState, String> {
    let states = [CallState::Running, CallState::Ended, CallState::Lost];
    let found = states.into_iter().find(|state| state.name() == text);
    found.ok_or_else(|| "running, ended or lost".to_owned())
}

/// `2026-11-20 23:14:55`.
fn when(ms: i64) -> String {
    offhook::store::written(ms).replace('T', " ").split('.').next().unwrap_or_default().to_owned()
}

/// `1:02:03` or `2:03`.
fn length(ms: i64) -> String {
    let s = ms.max(0) / 1_000;
    if s >= 3_600 {
        format!("{}:{:02}:{:02}", s / 3_600, s / 60 % 60, s % 60)
    } else {
        format!("{}:{:02}", s / 60, s % 60)
    }
}
