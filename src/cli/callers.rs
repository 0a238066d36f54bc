//! `offhook callers`.

use std::io::BufRead as _;
use std::process::ExitCode;

use offhook::config::Secret;
use offhook::house::callers;
use offhook::house::principal::Principal;
use offhook::lab::tune::table::{Align, Table};
use offhook::store::{Store, written};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::{Failure, Kept, say};

/// Digits of a PIN that is made up.
const DIGITS: usize = 6;
/// Members that are listed.
const LISTED: u64 = 10_000;

/// Flags of `offhook callers`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    kept: Kept,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List members who are known when they call.
    List,
    /// Let a member be known by a number.
    Add {
        /// The member's e-mail address.
        email: String,
        /// In E.164, such as +15550100001.
        number: String,
    },
    /// Let nobody be known by a number any more.
    Remove {
        /// In E.164.
        number: String,
    },
    /// Give a member a new PIN: one that is made up and printed here, once.
    Pin {
        /// The member's e-mail address.
        email: String,
        /// Read it from standard input instead: 4 to 8 digits.
        #[arg(long)]
        stdin: bool,
        /// Take it away instead.
        #[arg(long, conflicts_with = "stdin")]
        remove: bool,
    },
}

/// Says who is known when they call.
pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let words = |error: offhook::store::StoreError| error.to_string();
    let desk = Store::open(&args.kept.data()?, args.kept.store_url()?.as_ref()).await.map_err(words)?;
    let (known, who) = (desk.callers(), Principal::Operator.name());
    match args.what {
        What::List => {
            let left = |name| (name, Align::Left);
            let mut table = Table::new(&["member", "role", "numbers", "PIN"].map(left));
            let all = known.list(None, LISTED).await.map_err(words)?;
            if all.is_empty() {
                say("no member is known by a number; `offhook callers add EMAIL NUMBER`\n");
                return Ok(ExitCode::SUCCESS);
            }
            for caller in all {
                let pin = match (caller.has_pin, caller.paused_until_ms) {
                    (false, _) => "none".to_owned(),
                    (true, None) => "set".to_owned(),
                    (true, Some(ms)) => format!("guessed at; paused until {}", written(ms)),
                };
                table.row([caller.email, caller.role.name().to_owned(), caller.numbers.join(" "), pin]);
            }
            say(&table.text());
        }
        What::Add { email, number } => known.add(&who, &email.to_lowercase(), &number).await.map_err(words)?,
        What::Remove { number } => known.remove(&who, None, &number).await.map_err(words)?,
        What::Pin { email, remove: true, .. } => known.drop_pin(&who, &email.to_lowercase()).await.map_err(words)?,
        What::Pin { email, stdin: true, .. } => {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map_err(|error| error.to_string())?;
            known.set_pin(&who, &email.to_lowercase(), Secret::new(line.trim())).await.map_err(words)?;
        }
        What::Pin { email, .. } => {
            let pin = made_up()?;
            known.set_pin(&who, &email.to_lowercase(), Secret::new(&pin)).await.map_err(words)?;
            say(&format!("{pin}\n"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A PIN that nobody guesses at once.
fn made_up() -> Result<String, Failure> {
    loop {
        let mut bytes = [0u8; DIGITS];
        SystemRandom::new().fill(&mut bytes).map_err(|_| "the system has no randomness".to_owned())?;
        // 250 is the largest multiple of ten: beyond it some digits would be more likely.
        if bytes.iter().any(|byte| *byte >= 250) {
            continue;
        }
        let pin: String = bytes.iter().map(|byte| char::from(b'0' + byte % 10)).collect();
        if callers::check_pin(&pin, []).is_ok() {
            return Ok(pin);
        }
    }
}
