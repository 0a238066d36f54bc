//! `offhook check`.

use std::path::PathBuf;
use std::process::ExitCode;

use offhook::config;
use offhook::house::review::rulings;

use super::{remark, say};

/// Flags of `offhook check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory with offhook.toml, models.toml, agents/ and deployments/.
    #[arg(default_value = "config")]
    dir: PathBuf,
    /// Print one JSON document instead of text.
    #[arg(long)]
    json: bool,
}

/// Exit code 0: a server can run by it; 1: it cannot.
pub(super) fn run(args: &Args) -> ExitCode {
    let env = |name: &str| std::env::var(name).ok();
    let report = config::check_by(&args.dir, &env, &rulings);
    if args.json {
        match serde_json::to_string_pretty(&report) {
            Ok(text) => say(&(text + "\n")),
            Err(error) => remark(format_args!("the report cannot be written as JSON: {error}")),
        }
    } else {
        say(&format!("{report}\n"));
    }
    if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
