//! `offhook webhooks`.

mod listen;
mod log;
mod replay;

use std::process::ExitCode;

use offhook::lab::tune::table::{Align, Table};
use offhook::store::Store;

use super::{Failure, Kept, say};

/// Flags of `offhook webhooks`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    kept: Kept,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Receive events on this machine, verify them, and print a line for each.
    Listen(listen::Args),
    /// List attempts to deliver events of the last 30 days, and what came of each.
    Log(log::Args),
    /// Have events sent again, by the server that runs or the next one: one, or those of a window of time.
    Replay(replay::Args),
    /// List events that were given up.
    Dead {
        /// No more than so many, the newest.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
        limit: u64,
    },
    /// Have events that were given up sent again, by the server that runs or the next one.
    Resend {
        /// The event's id.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// All of them.
        #[arg(long)]
        all: bool,
    },
}

/// Receives, lists, or has events sent again.
pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let open = async || {
        let (data, url) = (args.kept.data()?, args.kept.store_url()?);
        Store::open(&data, url.as_ref()).await.map_err(|error| error.to_string())
    };
    match &args.what {
        What::Listen(args) => return listen::run(args).await,
        What::Log(args) => log::run(args, &open().await?).await?,
        What::Replay(args) => replay::run(args, &open().await?).await?,
        What::Dead { limit } => {
            let dead = open().await?.dead(*limit).await.map_err(|error| error.to_string())?;
            if dead.is_empty() {
                say("no event was given up\n");
                return Ok(ExitCode::SUCCESS);
            }
            let left = |name| (name, Align::Left);
            let columns = ["event", "type", "call", "webhook", "created (UTC)"].map(left);
            let mut table = Table::new(&[&columns[..], &[("attempts", Align::Right), left("last error")]].concat());
            for row in dead {
                let created = offhook::store::written(row.created_ms).replace('T', " ");
                let error = row.last_error.unwrap_or_default();
                table.row([row.id, row.kind, row.call, row.endpoint, created, row.attempts.to_string(), error]);
            }
            say(&table.text());
        }
        What::Resend { id, .. } => {
            let again = open().await?.resend(id.as_deref()).await.map_err(|error| error.to_string())?;
            if again == 0
                && let Some(id) = id
            {
                return Err(format!("no event {id:?} was given up; `offhook webhooks dead` lists those that were"));
            }
            let events = if again == 1 { "event" } else { "events" };
            say(&format!("{again} {events} put back; a running server sends them within seconds\n"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A moment, in milliseconds since 1970.
fn moment(text: &str) -> Result<i64, String> {
    let wrong = "a time is RFC 3339 in UTC, such as 2026-11-20T23:14:55Z, or a day";
    offhook::store::read(text).ok_or_else(|| wrong.to_owned())
}
