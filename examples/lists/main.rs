//! What lists of calls cost among many: `cargo run --release --example lists [CALLS]`.
//!
//! Fills a store with so many calls (100,000), as servers do, on SQLite and on a PostgreSQL of its own if that is installed, asks
//! for each list that there is, and prints how long the answers took: the median and the longest of 40. All are to be under 50 ms.

#![allow(clippy::expect_used, clippy::panic)] // what goes wrong in a measurement ends it

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use offhook::config::{Secret, StoreSettings};
use offhook::engine::{EndReason, NotAnswered};
use offhook::house::calls::{CallResult, Status};
use offhook::report::{Cost, Report};
use offhook::store::{EndedCall, ListFilter, Settings, Store, StoreOptions, UsageBy, UsageFilter};
use serde_json::json;

#[path = "../../tests/postgres/cluster.rs"]
mod cluster;

type Failed = Box<dyn std::error::Error>;

const ASKED: usize = 40;
const AGENTS: usize = 20;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let calls: usize = std::env::args().nth(1).map_or(Ok(100_000), |count| count.parse())?;
    measure("SQLite", None, calls).await?;
    let cluster = tokio::task::spawn_blocking(cluster::Cluster::start).await?;
    let Some(cluster) = cluster else {
        return say("PostgreSQL is not installed: left out");
    };
    let url = cluster.url(&cluster.database(None));
    measure("PostgreSQL", Some(Secret::new(url)), calls).await
}

async fn measure(name: &str, url: Option<Secret>, calls: usize) -> Result<(), Failed> {
    let data = tempfile::tempdir()?;
    let options =
        StoreOptions { data: data.path().to_owned(), url, address: String::new(), lease: Duration::from_secs(60) };
    let settings = Settings {
        store: StoreSettings::default(),
        keep: Default::default(),
        webhooks: Vec::new(),
        allow_private: false,
    };
    let store = Store::start(options, settings, Arc::default()).await?;
    let began = Instant::now();
    for n in 0..calls {
        store.end_call(ended(n));
        if n % 500 == 499 {
            store.flush().await;
        }
    }
    store.flush().await;
    let found: u64 = store.count_statuses(&ListFilter::default()).await?.iter().map(|(_, n)| n).sum();
    say(&format!("{name}: {found} calls, filled in {:.0} s", began.elapsed().as_secs_f64()))?;
    let mut worst = Duration::ZERO;
    for (what, filter) in filters() {
        // The first pages, and one far behind.
        let mut after = None;
        let mut took = Vec::with_capacity(ASKED);
        for _ in 0..ASKED {
            let began = Instant::now();
            let page = store.list(&filter, after.as_ref(), 100).await?;
            took.push(began.elapsed());
            after = page.next;
        }
        worst = worst.max(tell(what, took)?);
    }
    for agent in [None, Some("agent-3")] {
        let of = ListFilter { agents: agent.iter().map(|a| (*a).to_owned()).collect(), ..ListFilter::default() };
        let mut took = Vec::with_capacity(ASKED);
        for _ in 0..ASKED {
            let began = Instant::now();
            store.count_statuses(&of).await?;
            took.push(began.elapsed());
        }
        worst = worst.max(tell(agent.map_or("statuses of all", |_| "statuses of an agent"), took)?);
    }
    let (all, fortnight) = (UsageFilter::default(), Some(BORN_MS + (calls as i64 * EVERY_MS) - 14 * 86_400_000));
    let hours = UsageFilter { since_ms: fortnight, ..all.clone() };
    for (what, by, of) in [
        ("usage by agent", UsageBy::Agent, all.clone()),
        ("usage by day", UsageBy::Day, all),
        ("usage by hour of a fortnight", UsageBy::Hour, hours),
    ] {
        let mut took = Vec::with_capacity(ASKED);
        for _ in 0..ASKED {
            let began = Instant::now();
            store.usage(&of, by).await?;
            took.push(began.elapsed());
        }
        worst = worst.max(tell(what, took)?);
    }
    say(&format!("{name}: the longest of all {:.1} ms", worst.as_secs_f64() * 1e3))?;
    store.stop().await;
    Ok(())
}

/// What can be asked for, the hard cases too: what nothing is like, what all are like, and what is rare.
fn filters() -> Vec<(&'static str, ListFilter)> {
    let all = ListFilter::default;
    let day = 86_400_000;
    vec![
        ("all", all()),
        ("a day", ListFilter { since_ms: Some(BORN_MS + 40 * day), until_ms: Some(BORN_MS + 41 * day), ..all() }),
        ("an agent", ListFilter { agents: vec!["agent-3".to_owned()], ..all() }),
        ("two agents", ListFilter { agents: vec!["agent-3".to_owned(), "agent-4".to_owned()], ..all() }),
        ("no such agent", ListFilter { agents: vec!["nobody".to_owned()], ..all() }),
        ("a deployment", ListFilter { deployments: vec!["desk-7".to_owned()], ..all() }),
        ("a person's number", ListFilter { number: Some("+15550000077".to_owned()), ..all() }),
        ("our own number", ListFilter { number: Some("+15551234567".to_owned()), ..all() }),
        ("no such number", ListFilter { number: Some("+15559999999".to_owned()), ..all() }),
        ("placed", ListFilter { direction: Some(offhook::store::Direction::Outbound), ..all() }),
        ("failed", ListFilter { statuses: vec![Status::Failed], ..all() }),
        ("live", ListFilter { statuses: vec![Status::Dialing, Status::InProgress], ..all() }),
        ("an end that is rare", ListFilter { ends: vec!["model_silent".to_owned()], ..all() }),
        (
            "an end and an agent",
            ListFilter { ends: vec!["model_silent".to_owned()], agents: vec!["agent-3".to_owned()], ..all() },
        ),
        ("a result that none has", ListFilter { results: vec![CallResult::Success], ..all() }),
        ("longer than any", ListFilter { min_duration_ms: Some(10_000_000), ..all() }),
        ("dearer than any", ListFilter { min_cost_micros: Some(10_000_000_000), ..all() }),
        (
            "an agent's, longer than any",
            ListFilter { agents: vec!["agent-3".to_owned()], min_duration_ms: Some(10_000_000), ..all() },
        ),
        (
            "our own number's, dearer than any",
            ListFilter { number: Some("+15551234567".to_owned()), min_cost_micros: Some(10_000_000_000), ..all() },
        ),
    ]
}

/// January 2026.
const BORN_MS: i64 = 1_767_225_600_000;
/// Between two calls: 100,000 in ninety days.
const EVERY_MS: i64 = 77_760;

fn ended(n: usize) -> EndedCall {
    let began_ms = BORN_MS + n as i64 * EVERY_MS;
    let duration_ms = 20_000 + (n as u64 * 7_919) % 400_000;
    let end = match n % 100 {
        0..=2 => EndReason::NotAnswered { how: NotAnswered::Busy, why: String::new() },
        3..=9 => EndReason::NotAnswered { how: NotAnswered::NoAnswer, why: String::new() },
        10 if n % 2_000 == 10 => EndReason::ModelSilent,
        11..=40 => EndReason::AgentHungUp { why: "done".to_owned() },
        _ => EndReason::CallerHungUp,
    };
    let direction = if n % 100 < 10 || n.is_multiple_of(3) { "outbound" } else { "inbound" };
    let (ours, theirs) = ("+15551234567".to_owned(), format!("+1555{:07}", n % 5_000));
    let (from, to) = if direction == "outbound" { (ours, theirs) } else { (theirs, ours) };
    let lines: Vec<_> = (0..20).map(line_of).collect();
    let mut report: Report = serde_json::from_value(json!({
        "schema": 1, "call": format!("call_{n:020}"), "carrier_call": format!("CA{n}"), "started": "",
        "direction": direction, "from": from, "to": to, "deployment": format!("desk-{}", n % (2 * AGENTS)),
        "agent": format!("agent-{}", n % AGENTS), "revision": "c12ddfe954b8", "rate_hz": 8000, "duration_ms": duration_ms,
        "media_start_at_ms": 400, "model_ready_at_ms": 300, "end": end, "lines": lines, "turns": [], "interruptions": [],
        "notes": [], "keys": [], "tools": [], "gaps": [], "counters": {}, "usage": offhook::engine::Usage::default(),
        "cost_micros": duration_ms / 10, "recording": null,
    }))
    .unwrap_or_else(|error| panic!("a report: {error}"));
    report.cost = Some(Cost { time_micros: duration_ms / 10, ..Cost::default() });
    let ended = UNIX_EPOCH + Duration::from_millis(began_ms as u64 + duration_ms);
    EndedCall { report: Box::new(report), ended: SystemTime::min(ended, SystemTime::now()), pictures: false }
}

fn line_of(n: usize) -> serde_json::Value {
    let who = if n.is_multiple_of(2) { "agent" } else { "caller" };
    json!({
        "who": who, "at_ms": n * 4_000, "end_at_ms": n * 4_000 + 3_000, "media_at_ms": n * 4_000, "media_end_ms": n * 4_000 + 3_000,
        "text": "I would like a table for four on Friday at seven, please.", "unheard": "", "heard_ms": 0, "received_ms": 0,
        "back_channel": false,
    })
}

/// Prints the median and the longest, and answers the longest.
fn tell(what: &str, mut took: Vec<Duration>) -> Result<Duration, Failed> {
    took.sort_unstable();
    let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
    say(&format!("{what:<40} {:>8.2} ms {:>8.2} ms", median.as_secs_f64() * 1e3, longest.as_secs_f64() * 1e3))?;
    Ok(longest)
}

fn say(line: &str) -> Result<(), Failed> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
