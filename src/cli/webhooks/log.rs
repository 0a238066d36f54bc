//! `offhook webhooks log`: what came of attempts to deliver events.

use offhook::config::EventType;
use offhook::lab::tune::table::{Align, Table};
use offhook::store::{Delivery, DeliveryFilter, Desk, Outcome, written};
use serde_json::json;

use super::super::{Failure, say};
use super::moment;

/// Flags of `offhook webhooks log`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Of this webhook only: its name in offhook.toml, or the id or name of one that was made by the API.
    webhook: Option<String>,
    /// Of events of this type, such as call.ended.
    #[arg(long = "type", value_name = "TYPE", value_parser = kind)]
    kind: Option<String>,
    /// Of this call.
    #[arg(long, value_name = "ID")]
    call: Option<String>,
    /// Of this event.
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// What came of them: delivered, failed (tried again or not), given_up.
    #[arg(long, value_name = "OUTCOME", value_parser = ["delivered", "failed", "given_up"])]
    outcome: Option<String>,
    /// Made then or later: RFC 3339 in UTC, or a day.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<i64>,
    /// Made before then.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<i64>,
    /// No more than so many, the newest.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    limit: u64,
    /// Print a JSON list instead of a table, with what was answered.
    #[arg(long)]
    json: bool,
}

/// Lists attempts, the newest first.
pub(super) async fn run(args: &Args, desk: &Desk) -> Result<(), Failure> {
    let endpoint = match &args.webhook {
        Some(named) => Some(desk.endpoint_of(named).await.map_err(|error| error.to_string())?),
        None => None,
    };
    let (delivered, outcome) = match args.outcome.as_deref() {
        Some("delivered") => (Some(true), None),
        Some("given_up") => (Some(false), Some(Outcome::GivenUp)),
        Some(_) => (Some(false), None),
        None => (None, None),
    };
    let filter = DeliveryFilter {
        endpoint,
        kind: args.kind.clone(),
        call: args.call.clone(),
        event: args.event.clone(),
        delivered,
        outcome,
        since_ms: args.since,
        until_ms: args.until,
        before: None,
        limit: args.limit,
    };
    let rows = desk.deliveries(&filter).await.map_err(|error| error.to_string())?;
    if args.json {
        let all: Vec<_> = rows.iter().map(entry).collect();
        let text = serde_json::to_string_pretty(&all).map_err(|error| error.to_string())?;
        say(&(text + "\n"));
        return Ok(());
    }
    if rows.is_empty() {
        say("no such attempt in the log, which goes back 30 days\n");
        return Ok(());
    }
    let (left, right) = (|name| (name, Align::Left), |name| (name, Align::Right));
    let mut table = Table::new(&[
        left("made (UTC)"),
        left("event"),
        left("type"),
        left("about"),
        left("webhook"),
        right("attempt"),
        left("outcome"),
        right("status"),
        right("ms"),
        left("error"),
    ]);
    for row in rows {
        let outcome = if row.test { format!("{} (test)", row.outcome.name()) } else { row.outcome.name().to_owned() };
        table.row([
            written(row.at_ms).replace('T', " "),
            row.event,
            row.kind,
            row.call,
            row.endpoint,
            row.attempt.to_string(),
            outcome,
            row.status.map_or_else(|| "-".to_owned(), |status| status.to_string()),
            row.took_ms.to_string(),
            row.error.unwrap_or_default(),
        ]);
    }
    say(&table.text());
    Ok(())
}

fn entry(row: &Delivery) -> serde_json::Value {
    json!({
        "id": row.seq.to_string(),
        "event": row.event,
        "type": row.kind,
        "about": row.call,
        "webhook": row.endpoint,
        "time": written(row.at_ms),
        "attempt": row.attempt,
        "outcome": row.outcome.name(),
        "status": row.status,
        "took_ms": row.took_ms,
        "answer": row.answer,
        "error": row.error,
        "test": row.test,
    })
}

/// A type of event by its name.
fn kind(text: &str) -> Result<String, String> {
    let known = || format!("allowed: {}", EventType::ALL.map(EventType::name).join(", "));
    EventType::named(text).map(|kind| kind.name().to_owned()).ok_or_else(known)
}
