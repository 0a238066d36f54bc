//! `offhook migrate`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use offhook::config::{self, Migrated, Problem};

use super::{Failure, remark, say, write_file};

/// Flags of `offhook migrate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory with offhook.toml, models.toml, agents/ and deployments/.
    #[arg(default_value = "config")]
    dir: PathBuf,
    /// Write the documents, all of them or none, and not only say what would change.
    #[arg(long)]
    write: bool,
}

/// Exit code 0: done, or there is nothing to do; 1: nothing was written.
pub(super) fn run(args: &Args) -> ExitCode {
    match migrate(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            remark(&failure);
            ExitCode::FAILURE
        }
    }
}

fn migrate(args: &Args) -> Result<(), Failure> {
    let documents = read(&args.dir)?;
    let migration = config::migrate(&documents);
    for note in &migration.notes {
        remark(note);
    }
    if migration.documents.is_empty() {
        say(&format!("{}: every document is in today's form\n", args.dir.display()));
        return Ok(());
    }
    let mut text = String::new();
    for Migrated { path, changes, .. } in &migration.documents {
        text += &format!("{}\n{}\n\n", args.dir.join(path).display(), changes.join("\n"));
    }
    say(&text);
    if !args.write {
        say("nothing was written; --write does\n");
        return Ok(());
    }
    write(&args.dir, &documents, &migration.documents)?;
    say(&format!("{} documents were written\n", migration.documents.len()));
    Ok(())
}

/// The texts of all documents, by their paths within `dir`.
fn read(dir: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let mut documents = BTreeMap::new();
    let mut add = |path: String| {
        let full = dir.join(&path);
        let text = fs::read_to_string(&full).map_err(|error| format!("{}: cannot be read: {error}", full.display()))?;
        documents.insert(path, text);
        Ok::<(), Failure>(())
    };
    add("offhook.toml".to_owned())?;
    for folder in ["agents", "deployments"] {
        let Ok(entries) = fs::read_dir(dir.join(folder)) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".toml") && !name.starts_with('.') {
                add(format!("{folder}/{name}"))?;
            }
        }
    }
    Ok(documents)
}

/// Writes all of `new` or leaves everything as it was: when one cannot be written, or a problem is there that was not, the old
/// texts are put back.
fn write(dir: &Path, old: &BTreeMap<String, String>, new: &[Migrated]) -> Result<(), Failure> {
    let before = errors(dir);
    for document in new {
        let path = dir.join(&document.path);
        if fs::read_to_string(&path).ok().as_ref() != old.get(&document.path) {
            return Err(format!("{} was changed meanwhile; nothing was written", path.display()));
        }
    }
    // What is named comes first: a server that reads in between never misses it.
    let (server, others): (Vec<_>, Vec<_>) = new.iter().partition(|document| document.path == "offhook.toml");
    let mut written: Vec<&Migrated> = Vec::new();
    let mut failure = None;
    for document in server.into_iter().chain(others) {
        match write_file(&dir.join(&document.path), &document.text) {
            Ok(()) => written.push(document),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    let failure = failure.or_else(|| {
        let now = errors(dir);
        let new = now.iter().find(|error| !before.contains(error))?;
        Some(format!("the documents would not be right any more: {new}"))
    });
    let Some(failure) = failure else { return Ok(()) };
    for document in written.iter().rev() {
        if let Some(text) = old.get(&document.path)
            && let Err(error) = write_file(&dir.join(&document.path), text)
        {
            remark(&error);
        }
    }
    Err(format!("{failure}\nthe documents are as they were"))
}

/// What is wrong with the documents, without lines, which move.
fn errors(dir: &Path) -> Vec<String> {
    let report = config::check(dir);
    let shown = |problem: &Problem| format!("{}: {}: {}", problem.file, problem.text, problem.message);
    report.problems.iter().filter(|problem| problem.is_error()).map(shown).collect()
}
