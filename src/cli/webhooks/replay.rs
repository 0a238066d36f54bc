//! `offhook webhooks replay`: events are sent again, whatever became of them (BEYOND-46).

use offhook::store::{Desk, written};

use super::super::{Failure, say};
use super::moment;

/// Who asks, in the audit log.
const WHO: &str = "terminal";

/// Flags of `offhook webhooks replay`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// To which webhook: its name in offhook.toml, or the id or name of one that was made by the API.
    webhook: String,
    /// This event, as `offhook webhooks log` has it.
    #[arg(long, value_name = "ID", required_unless_present = "since")]
    event: Option<String>,
    /// All that happened then or later: RFC 3339 in UTC, or a day.
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "event")]
    since: Option<i64>,
    /// And before then; left out: until now.
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "since")]
    until: Option<i64>,
    /// Of those, only what was given up.
    #[arg(long, requires = "since")]
    dead: bool,
}

/// Has events sent again, by the server that runs or the next one: the same bytes under the same ids.
pub(super) async fn run(args: &Args, desk: &Desk) -> Result<(), Failure> {
    let words = |error: offhook::store::StoreError| error.to_string();
    let endpoint = desk.endpoint_of(&args.webhook).await.map_err(words)?;
    if let Some(event) = &args.event {
        desk.replay(&endpoint, event, WHO).await.map_err(words)?;
        say("1 event put back; a running server sends it within seconds\n");
        return Ok(());
    }
    let (mut since, until) = (args.since.unwrap_or_default(), args.until.unwrap_or(i64::MAX));
    let mut events = 0;
    loop {
        let done = desk.replay_window(&endpoint, since, until, args.dead, WHO).await.map_err(|error| {
            let begun = if events > 0 {
                format!("{events} events put back up to {}; then: ", written(since))
            } else {
                String::new()
            };
            format!("{begun}{error}")
        })?;
        events += done.events;
        match done.more_from_ms {
            Some(more) if more > since => since = more,
            Some(_) => {
                let at = written(since);
                return Err(format!("more events happened at {at} than go at once: send them by --event, one by one"));
            }
            None => break,
        }
    }
    let words = if events == 1 { "event" } else { "events" };
    say(&format!("{events} {words} put back; a running server sends them within seconds\n"));
    Ok(())
}
