//! `offhook erase`.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use offhook::lab::tune::table::{Align, Table};
use offhook::store::{Erasure, FoundOfPerson, Store, written};
use serde_json::{Value, json};

use super::{Failure, Kept, say};

/// Who erases, in receipts and in the audit log.
const WHO: &str = "terminal";
/// Receipts that are listed.
const LISTED: u64 = 100;

/// Flags of `offhook erase`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Whose calls are erased: the other party's number in E.164, such as +15550100001.
    #[arg(required_unless_present_any = ["receipts", "receipt"])]
    number: Option<String>,
    /// Only say what there is.
    #[arg(long, requires = "number")]
    dry_run: bool,
    /// Do not ask first.
    #[arg(long, requires = "number")]
    yes: bool,
    /// List receipts of erasures, the newest first.
    #[arg(long, conflicts_with = "number")]
    receipts: bool,
    /// Show the receipt with this id.
    #[arg(long, value_name = "ID", conflicts_with_all = ["number", "receipts"])]
    receipt: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    kept: Kept,
}

/// Erases a person, or shows what was erased.
pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let words = |error: offhook::store::StoreError| error.to_string();
    let data = args.kept.data()?;
    let desk = Store::open(&data, args.kept.store_url()?.as_ref()).await.map_err(words)?;
    let Some(number) = &args.number else {
        let all = match &args.receipt {
            Some(id) => {
                let found = desk.erasure(id).await.map_err(words)?;
                vec![
                    found
                        .ok_or_else(|| format!("there is no receipt {id:?}; `offhook erase --receipts` lists them"))?,
                ]
            }
            None => desk.erasures(LISTED).await.map_err(words)?,
        };
        match args.json {
            true => print(&all.iter().map(entry).collect())?,
            false => list(&all),
        }
        return Ok(ExitCode::SUCCESS);
    };
    let found = desk.found(number).await.map_err(words)?;
    if args.dry_run {
        match args.json {
            true => print(&json!({
                "calls": found.calls, "running": found.running, "recordings": found.recordings, "events": found.events,
            }))?,
            false => say(&format!("{}\n", there_is(&found))),
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes && std::io::stdin().is_terminal() && !agreed(&found)? {
        return Err("nothing was erased".to_owned());
    }
    let erasure = desk.erase(&data, number, WHO).await.map_err(words)?;
    match args.json {
        true => print(&entry(&erasure))?,
        false => say(&text(&erasure)),
    }
    Ok(ExitCode::SUCCESS)
}

fn print(value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    say(&(text + "\n"));
    Ok(())
}

fn there_is(found: &FoundOfPerson) -> String {
    let FoundOfPerson { calls, running, recordings, events } = found;
    format!("{calls} calls ({running} of them up), {recordings} recordings, {events} events that wait or were given up")
}

/// Asks, on a terminal.
fn agreed(found: &FoundOfPerson) -> Result<bool, Failure> {
    let asks = format!("{}\nErase all of this? It cannot be undone. [y/N] ", there_is(found));
    let mut out = std::io::stderr();
    out.write_all(asks.as_bytes()).and_then(|()| out.flush()).map_err(|error| error.to_string())?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| error.to_string())?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

fn text(erasure: &Erasure) -> String {
    let receipt = &erasure.receipt;
    let mut text = format!(
        "receipt {}\nsubject {}\nerased  {} calls, {} recordings, {} folders, {} events, {} attempts at webhooks, {} jobs, \
         {} requests to dial\n",
        receipt.id,
        receipt.subject,
        receipt.calls,
        receipt.recordings,
        receipt.folders,
        receipt.events,
        receipt.attempts,
        receipt.jobs,
        receipt.dials
    );
    if erasure.calls_left > 0 {
        text += &format!(
            "left    {} calls that are up or being looked into: the server erases them when that is over\n",
            erasure.calls_left
        );
    }
    if erasure.folders_left > 0 {
        text += &format!("left    {} folders of other servers, which delete them\n", erasure.folders_left);
    }
    text += &match receipt.done_ms {
        Some(at) => format!("done    {}\n", written(at)),
        None => format!("`offhook erase --receipt {}` says when it is done\n", receipt.id),
    };
    text
}

fn list(all: &[Erasure]) {
    if let [one] = all {
        return say(&text(one));
    }
    if all.is_empty() {
        return say("nobody was erased\n");
    }
    let (left, right) = (|name| (name, Align::Left), |name| (name, Align::Right));
    let columns =
        [left("receipt"), left("asked (UTC)"), left("by"), right("calls"), right("folders"), left("done (UTC)")];
    let mut table = Table::new(&columns);
    for Erasure { receipt, .. } in all {
        table.row([
            receipt.id.clone(),
            written(receipt.asked_ms),
            receipt.asked_by.clone(),
            receipt.calls.to_string(),
            receipt.folders.to_string(),
            receipt.done_ms.map_or_else(|| "(under way)".to_owned(), written),
        ]);
    }
    say(&table.text());
}

fn entry(erasure: &Erasure) -> Value {
    let receipt = &erasure.receipt;
    json!({
        "id": receipt.id,
        "subject": receipt.subject,
        "asked_by": receipt.asked_by,
        "asked": written(receipt.asked_ms),
        "done": receipt.done_ms.map(written),
        "erased": {
            "calls": receipt.calls,
            "recordings": receipt.recordings,
            "folders": receipt.folders,
            "events": receipt.events,
            "attempts": receipt.attempts,
            "jobs": receipt.jobs,
            "dials": receipt.dials,
        },
        "left": { "calls": erasure.calls_left, "folders": erasure.folders_left },
    })
}
