//! `offhook tokens`.

use std::process::ExitCode;

use offhook::config::Role;
use offhook::house::people::{self as rules, KeyWish};
use offhook::house::principal::{Principal, Scopes};
use offhook::lab::tune::table::{Align, Table};
use offhook::store;
use serde_json::json;

use super::users::{people, role};
use super::{Failure, Kept, say};
use offhook::output::remark;

/// Flags of `offhook tokens`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    kept: Kept,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make an API key, and print it: it is shown this once.
    Create {
        /// What it is for, such as staging.
        name: String,
        /// What it may do at most: member, builder, admin, owner.
        #[arg(long, value_parser = role)]
        role: Role,
        /// What of that: calls:read, agents:write, *:read. May be given several times; left out: all.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// The only agents it may reach. May be given several times; left out: all.
        #[arg(long = "agent", value_name = "AGENT")]
        agents: Vec<String>,
        /// End it after so many days; left out: never.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(i64).range(1..=3_650))]
        expires_days: Option<i64>,
    },
    /// List API keys; those of 90 days and more are flagged.
    List {
        /// Print a JSON list instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// End an API key, at once.
    Revoke {
        /// The key's id, as `offhook tokens list` prints it.
        id: String,
    },
}

/// Makes, lists or ends API keys.
pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let people = people(&args.kept).await?;
    let who = Principal::Operator;
    match args.what {
        What::Create { name, role, scopes, agents, expires_days } => {
            let scopes = if scopes.is_empty() { Ok(Scopes::all()) } else { Scopes::parse(&scopes) };
            let wish = KeyWish {
                name,
                role,
                scopes: scopes.map_err(|no| no.to_string())?,
                agents: (!agents.is_empty()).then_some(agents),
                expires_ms: expires_days.map(|days| store::now_ms() + days * DAY_MS),
            };
            let (key, secret) = people.add_key(&who, wish).await.map_err(|error| error.to_string())?;
            remark(format!("{} ({}): shown this once", key.name, key.id));
            say(&format!("{}\n", secret.expose()));
        }
        What::List { json } => {
            let keys = people.keys(None, MOST).await.map_err(|error| error.to_string())?;
            if json {
                let all: Vec<_> = keys
                    .iter()
                    .map(|key| {
                        json!({
                            "id": key.id,
                            "name": key.name,
                            "hint": key.hint,
                            "role": key.role.name(),
                            "scopes": key.scopes.names(),
                            "agents": key.agents,
                            "made_by": key.made_by,
                            "created": store::written(key.made_ms),
                            "expires": key.expires_ms.map(store::written),
                            "used": key.used_ms.map(store::written),
                            "rotate": rules::is_old(key.made_ms, store::now_ms()).is_some(),
                        })
                    })
                    .collect();
                let text = serde_json::to_string_pretty(&all).map_err(|error| error.to_string())?;
                say(&(text + "\n"));
                return Ok(ExitCode::SUCCESS);
            }
            if keys.is_empty() {
                say("there are no API keys\n");
                return Ok(ExitCode::SUCCESS);
            }
            let columns =
                ["key", "name", "ends in", "role", "scopes", "agents", "created (UTC)", "last used (UTC)", ""];
            let mut table = Table::new(&columns.map(|name| (name, Align::Left)));
            let moment = |ms: i64| store::written(ms).replace('T', " ");
            for key in keys {
                let state = match key.expires_ms {
                    Some(at) if at <= store::now_ms() => "over",
                    _ if rules::is_old(key.made_ms, store::now_ms()).is_some() => "rotate: older than 90 days",
                    _ => "",
                };
                table.row([
                    key.id,
                    key.name,
                    key.hint,
                    key.role.title().to_owned(),
                    key.scopes.to_string(),
                    key.agents.map_or_else(|| "all".to_owned(), |agents| agents.join(" ")),
                    moment(key.made_ms),
                    key.used_ms.map_or_else(|| "never".to_owned(), moment),
                    state.to_owned(),
                ]);
            }
            say(&table.text());
        }
        What::Revoke { id } => {
            people.remove_key(&who, &id).await.map_err(|error| error.to_string())?;
            say(&format!("{id} is ended\n"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

const DAY_MS: i64 = 86_400_000;
/// More keys than an organization can have.
const MOST: u64 = 100_000;
