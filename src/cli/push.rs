//! `offhook push`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use offhook::config::{self, DocumentSource, Pushed, STORED_FILE, Stored};
use offhook::house::review::rulings;
use offhook::store::{Document, NewDocument, Store};

use super::copy::{WorkingCopy, in_store};
use super::{Failure, Kept, remark, revisions, say};

/// Flags of `offhook push`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory with models.toml, agents/ and deployments/. An offhook.toml in it stays a file of its server.
    dir: PathBuf,
    /// Take away what is in the store and not in the directory.
    #[arg(long)]
    delete: bool,
    /// Only say what would change, line by line.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    kept: Kept,
}

/// What becomes of a document.
struct Change {
    path: String,
    before: Option<Document>,
    after: Stored,
}

/// Exit code 0: the store says what the directory does, or would; 1: nothing was changed.
pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let (config, dir) = (&args.kept.config, &args.dir);
    let pushed = read(config, dir);
    for problem in pushed.report.problems.iter() {
        remark(problem);
    }
    if !pushed.report.ok {
        return Err(format!("{}: {} errors; nothing was pushed", dir.display(), pushed.report.errors));
    }
    if pushed.documents.is_empty() {
        return Err(format!("{}: there is no models.toml, and nothing in agents/ and deployments/", dir.display()));
    }
    for path in &pushed.elsewhere {
        remark(format_args!("{path} is not pushed: each server needs its own"));
    }
    let desk = Store::open(&args.kept.data()?, args.kept.store_url()?.as_ref()).await;
    let store = desk.map_err(|error| error.to_string())?.documents();
    let mut there = in_store(&store).await?;
    let mut changes = Vec::new();
    for after in pushed.documents {
        let path = after.path().ok_or_else(|| format!("{} {} cannot be in the store", after.kind, after.name))?;
        let before = there.remove(&(after.kind.clone(), after.name.clone()));
        if before.as_ref().is_none_or(|before| before.revision != after.revision) {
            changes.push(Change { path, before, after });
        }
    }
    let mut left: Vec<Stored> = Vec::new();
    for ((kind, name), before) in there {
        let gone = Stored { kind, name, revision: String::new(), text: None };
        // What cannot be a document is none.
        let Some(path) = gone.path() else { continue };
        if args.delete {
            changes.push(Change { path, before: Some(before), after: gone });
        } else {
            left.push(Stored { revision: before.revision, text: before.text, ..gone });
        }
    }
    together(config, dir, &changes, &left)?;
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    say(&told(&changes, &left, args.dry_run));
    if args.dry_run || changes.is_empty() {
        say(if changes.is_empty() { "the store says so already\n" } else { "nothing was pushed: --dry-run\n" });
        return Ok(ExitCode::SUCCESS);
    }
    let (count, by) = (changes.len(), revisions::account());
    let all = changes.into_iter().map(|change| {
        let Stored { kind, name, revision, text } = change.after;
        let new = NewDocument { kind, name, revision, text, applied_by: by.clone(), way: "push".to_owned() };
        (new, change.before.map(|before| before.revision))
    });
    store.apply_all(all.collect()).await.map_err(|error| format!("nothing was pushed: {error}"))?;
    let then = match source(config) {
        Some(DocumentSource::Files) => "; no server of this offhook.toml reads it: [config] source is \"files\"",
        _ => "; servers apply it within seconds",
    };
    say(&format!("{count} of them pushed by {by}{then}\n"));
    Ok(ExitCode::SUCCESS)
}

fn read(config: &Path, dir: &Path) -> Pushed {
    let env = |name: &str| std::env::var(name).ok();
    config::for_store(config, dir, &env, &rulings)
}

fn source(dir: &Path) -> Option<DocumentSource> {
    let source = config::Opening::new(dir).open().ok()?;
    Some(source.current().server.source)
}

/// What stays in the store must fit what is pushed: both are read together, as a server would.
fn together(config: &Path, dir: &Path, changes: &[Change], left: &[Stored]) -> Result<(), Failure> {
    if left.iter().all(|left| left.kind == STORED_FILE) {
        return Ok(());
    }
    // What is in the directory and unchanged is read there again, so that all of it is.
    let pushed = read(config, dir).documents;
    let all: Vec<Stored> = pushed.into_iter().chain(left.iter().cloned()).collect();
    let copy = WorkingCopy::new("push", &all)?;
    let read = read(config, copy.path());
    if read.report.ok {
        return Ok(());
    }
    for problem in read.report.problems.iter() {
        remark(copy.said(problem));
    }
    let kept: Vec<String> = left.iter().filter_map(Stored::path).collect();
    let changed = changes.len();
    Err(format!(
        "nothing was pushed: {changed} documents do not fit what else is in the store ({}); --delete takes that away",
        kept.join(", ")
    ))
}

/// What changes, for people; `whole`: line by line.
fn told(changes: &[Change], left: &[Stored], whole: bool) -> String {
    let mut text = String::new();
    for Change { path, before, after } in changes {
        let what = match (before, &after.text) {
            (None, _) => "new",
            (Some(_), Some(_)) => "changed",
            (Some(_), None) => "deleted",
        };
        let from = before.as_ref().map(|before| format!("{} -> ", before.revision)).unwrap_or_default();
        let to = if after.text.is_some() { &after.revision } else { "none" };
        text += &format!("{what:<8} {path}  {from}{to}\n");
        if whole && after.kind != STORED_FILE {
            let old = before.as_ref().and_then(|before| before.text.as_deref()).unwrap_or_default();
            text += &config::diff(old, after.text.as_deref().unwrap_or_default());
        }
    }
    for path in left.iter().filter_map(Stored::path) {
        text += &format!("{:<8} {path}  it is not in the directory; --delete takes it away\n", "stays");
    }
    text
}
