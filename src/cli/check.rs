//! `offhook check`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use offhook::config::{self, Config, Problem};
use offhook::house::review::{Document, Facts, review};

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
    let report = config::check_by(&args.dir, &env, &|config| rules(&args.dir, &args.dir, config));
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

/// What the house's rules say of documents that can be read, as of ones that never were in force.
/// `dir`: where `offhook.toml` is; `documents`: where the others are.
pub(super) fn rules(dir: &Path, documents: &Path, config: &Config) -> Vec<Problem> {
    let findings = review(None, &Facts::of(config), Timestamp::now());
    let told = findings.iter().map(|finding| {
        let dir = if finding.document == Document::Server { dir } else { documents };
        let path = dir.join(finding.document.path());
        // It was read a moment ago; if it is gone since, the problem stands at the file.
        let source = std::fs::read_to_string(&path).unwrap_or_default();
        finding.problem(&path.display().to_string(), &source)
    });
    told.collect()
}
