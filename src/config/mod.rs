//! Configuration: documents as written (TOML) are read into values as meant ([`types`]); the rest of the program sees
//! only the second.
//!
//! A configuration is a directory:
//!
//! | document | what it is |
//! |---|---|
//! | `offhook.toml` | the server; the organization's secrets, plan, residency |
//! | `models.toml` | the catalogue: realtime models and text models, one table each |
//! | `agents/*.toml` | who talks, with defaults; the file's stem is the agent's name |
//! | `deployments/*.toml` | where an agent is met, and what it has otherwise there; the file's stem is its name |
//!
//! Paths in documents are relative to that directory, but for `data_dir`. Secrets are never in documents: in the first two
//! `{ env = "NAME" }` or `{ file = "path" }` says where they are, and agents name what `[secrets]` declares.
//!
//! A document is read by itself first, into a draft that holds names (the private `agent`, `deployment`, `model`); the
//! private `link` follows the names. A phone deployment is read once more then, over its agent's document, so that a call sees one
//! agent.
//!
//! Reading never stops at the first problem: every [`Problem`] of every document is told at once, with its place and
//! with what is allowed. Reading is pure but for what documents name (the private `World`); the private `files` is the
//! one place that reads the disk, and [`Source`] the one that keeps up with it.
//!
//! What is in force is the private `catalogue`'s: each document's last good version, linked with the others', one
//! [`Config`] behind one pointer. [`LastGood`] keeps it for the next start, [`Pinned`] for what is still to be done about
//! a call, and [`Edit`]s write documents back. Where documents are the store's, a working copy takes the folder's place
//! ([`write_stored`]), and [`for_store`] reads what a folder has for it.

mod after;
mod agent;
mod back_channels;
mod catalogue;
mod check;
mod countries;
mod deployment;
mod diff;
mod edit;
mod files;
mod hours;
mod http;
mod idle;
mod keys;
mod last_good;
mod link;
mod look;
mod manner;
mod memory;
mod migrate;
mod model;
mod named;
mod organization;
mod outbound;
mod outgoing;
mod patch;
mod pinned;
mod problem;
mod reader;
mod resolve;
mod ruling;
mod scope;
mod server;
mod sound;
mod spoken;
mod standing;
mod stored;
mod sweep;
mod terms;
#[cfg(test)]
mod tests;
pub(crate) mod tls;
mod tool_sound;
mod tools;
mod turns;
mod typed;
pub mod types;
mod values;
mod waiting;
mod watch;
mod webhooks;
mod world;
mod written;

use std::path::Path;

pub use back_channels::{BackChannels, Remark};
pub use catalogue::{By, Change, DocId, DocState, InForce, Revision};
pub use check::{CheckReport, Found, FoundAgent, FoundChat, FoundDeployment, FoundModel, check, check_by, check_with};
pub use diff::diff;
pub use edit::{Edit, EditError, Edited, Rules, Wanted, Written};
pub use last_good::{Kept, LastGood, LastGoodFolder};
pub use memory::from_memory;
pub use migrate::{Migrated, Migration, migrate};
pub use pinned::Pinned;
pub use problem::{Problem, Problems, Severity};
pub use ruling::{CatalogueRules, Ruling};
pub(crate) use scope::{CALL as CALL_VARIABLES, RESULT as RESULT_VARIABLES, SYSTEM as SYSTEM_VARIABLES};
pub use stored::{FILE as STORED_FILE, Pushed, Stored, for_store, write_stored};
pub use sweep::{Choose, Grid, Prefer, Sweep, parse_sweep};
pub use turns::candidate;
pub use types::*;
pub(crate) use values::is_e164;
pub use watch::{Opening, Refreshed, Source};
pub use written::{keys_of, with_keys};

/// Reads the directory `dir`; secrets come from the process's environment. Warnings are left to [`check()`] and
/// [`Source`].
///
/// # Errors
/// Every problem of every document, warnings too, when there is an error among them.
pub fn load(dir: &Path) -> Result<Config, Problems> {
    load_with(dir, &|name| std::env::var(name).ok())
}

/// As [`load`], with an environment of one's own.
///
/// # Errors
/// Every problem of every document, warnings too, when there is an error among them.
pub fn load_with(dir: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
    let resolved = files::load(dir, env);
    resolved.config.ok_or(resolved.problems)
}

/// Where the server of the directory `dir` keeps its calls: `data_dir`, whatever else is wrong with its documents.
///
/// # Errors
/// There is no `offhook.toml`, or it says so in no way that can be read.
pub fn data_dir(dir: &Path) -> Result<std::path::PathBuf, Problems> {
    let path = dir.join("offhook.toml");
    let file = path.display().to_string();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            let problem = Problem::error(&problem::Place::file(&file), format!("cannot be read ({error})"));
            return Err(Problems::new(vec![problem]));
        }
    };
    let (said, noted) = reader::read(&file, &text, |_, mut table| table.string("data_dir", values::MAX_NAME));
    let problems = Problems::new(noted.problems);
    match said {
        Some(said) if !problems.has_errors() => Ok(said.map_or_else(server::default_data_dir, Into::into)),
        _ => Err(problems),
    }
}

/// Where the server of the directory `dir` keeps its calls, as far as its `offhook.toml` can be understood: it may be broken
/// in any way, and may not be there.
pub fn data_dir_of(dir: &Path) -> std::path::PathBuf {
    let text = std::fs::read(dir.join("offhook.toml")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    // What stands before and after a wrong line is understood all the same.
    let (tree, _) = toml::de::DeTable::parse_recoverable(&text);
    let said = tree.get_ref().get("data_dir").and_then(|value| value.get_ref().as_str().map(std::path::PathBuf::from));
    said.unwrap_or_else(server::default_data_dir)
}

/// How people reach the server of the directory `dir`, as far as its `offhook.toml` says so, whatever else stands there.
pub fn people_url_of(dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(dir.join("offhook.toml")).ok()?;
    let tree = toml::de::DeTable::parse(&text).ok()?;
    let key = if tree.get_ref().contains_key("listen_admin") { "admin_url" } else { "public_url" };
    let said = tree.get_ref().get(key)?.get_ref().as_str()?;
    Some(said.trim_end_matches('/').to_owned())
}

/// PostgreSQL's URL in `[store]` of the `offhook.toml` in `dir`, whatever else stands there; `None`: the store is SQLite's.
///
/// # Errors
/// There is no `offhook.toml`, or it says so in no way that can be read.
pub fn store_url(dir: &Path) -> Result<Option<Secret>, Problems> {
    let path = dir.join("offhook.toml");
    let file = path.display().to_string();
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let problem = Problem::error(&problem::Place::file(&file), format!("cannot be read ({error})"));
        Problems::new(vec![problem])
    })?;
    let (said, noted) = files::with_world(dir, &|name| std::env::var(name).ok(), |world| {
        reader::read(&file, &text, |_, mut table| webhooks::store(table.table("store"), world).url)
    });
    let problems = Problems::new(noted.problems);
    match said {
        Some(said) if !problems.has_errors() => Ok(said),
        _ => Err(problems),
    }
}

/// Whether `text` can name an agent, a model or a deployment; names become labels, file names and parts of URLs.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// What [`is_name`] takes.
const NAME_SHAPE: &str = "1 to 64 letters, digits, - and _";
