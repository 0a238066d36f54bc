//! `offhook check`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use offhook::config::{self, DocId};
use offhook::house::locks::locked;
use offhook::house::review::rulings;
use offhook::store::{FILE, Store};

use super::{Failure, remark, say};

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

/// How long the store may take to say what is locked.
const PATIENCE: Duration = Duration::from_secs(3);

/// Exit code 0: a server can run by it; 1: it cannot.
pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let locked = match tokio::time::timeout(PATIENCE, held(&args.dir)).await {
        Ok(Ok(locked)) => locked,
        Ok(Err(why)) => unknown(&why),
        Err(_) => unknown("it does not answer"),
    };
    let env = |name: &str| std::env::var(name).ok();
    let report = config::check_by(&args.dir, &env, &rulings, &locked);
    if args.json {
        match serde_json::to_string_pretty(&report) {
            Ok(text) => say(&(text + "\n")),
            Err(error) => remark(format_args!("the report cannot be written as JSON: {error}")),
        }
    } else {
        say(&format!("{report}\n"));
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Documents that running campaigns use, as the store of this directory's server knows them. Where no server ever ran there is
/// none, and documents may be wrong in any way.
async fn held(dir: &Path) -> Result<BTreeMap<DocId, String>, Failure> {
    let (data, url) = (config::data_dir_of(dir), config::store_url(dir).ok().flatten());
    if url.is_none() && !data.join(FILE).exists() {
        return Ok(BTreeMap::new());
    }
    let desk = Store::open(&data, url.as_ref()).await.map_err(|error| error.to_string())?;
    Ok(locked(&desk.locks().await.map_err(|error| error.to_string())?))
}

fn unknown(why: &str) -> BTreeMap<DocId, String> {
    remark(format_args!("what running campaigns lock is not known, for the store cannot be asked: {why}"));
    BTreeMap::new()
}
