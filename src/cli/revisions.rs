//! `offhook revisions`, `offhook diff` and `offhook restore`.

use std::process::ExitCode;

use offhook::config::{self, By, DocId, DocumentSource, Edit, LastGoodFolder, Opening, Source, Stored, Wanted};
use offhook::house::locks::may_change;
use offhook::house::review::rulings;
use offhook::lab::tune::table::{Align, Table};
use offhook::store::{self, Desk, Document, Locked, NewDocument, Revisions, Store, StoreError};
use serde_json::json;

use super::copy::{WorkingCopy, in_store};
use super::{Failure, Kept, say};

/// Flags of `offhook revisions`.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Of this document only, such as agents/reception.toml.
    document: Option<String>,
    /// No more than so many, the newest.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    limit: u64,
    /// Print a JSON list instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    kept: Kept,
}

/// Flags of `offhook diff`.
#[derive(Debug, clap::Args)]
pub(super) struct DiffArgs {
    /// Which document, such as agents/reception.toml.
    document: String,
    /// From this revision, or as much of its beginning as is no other's. Left out: the one before.
    from: Option<String>,
    /// To this one. Left out: the one that was applied last.
    to: Option<String>,
    #[command(flatten)]
    kept: Kept,
}

/// Flags of `offhook restore`.
#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    /// Which document, such as agents/reception.toml.
    document: String,
    /// The revision that is to be in force again, or as much of its beginning as is no other's.
    revision: String,
    #[command(flatten)]
    kept: Kept,
}

/// Lists what was applied, the newest first.
pub(super) async fn list(args: ListArgs) -> Result<ExitCode, Failure> {
    let document = args.document.as_deref().map(document).transpose()?;
    let desk = open(&args.kept).await?;
    let rows = desk.revisions(document.as_ref().map(named), args.limit).await.map_err(|error| error.to_string())?;
    if args.json {
        let all: Vec<_> = rows.iter().map(entry).collect();
        let text = serde_json::to_string_pretty(&all).map_err(|error| error.to_string())?;
        say(&(text + "\n"));
        return Ok(ExitCode::SUCCESS);
    }
    if rows.is_empty() {
        say(match document {
            Some(_) => "no revision of this document was applied\n",
            None => "no revision was applied; a server keeps each that it applies\n",
        });
        return Ok(ExitCode::SUCCESS);
    }
    let left = |name| (name, Align::Left);
    let columns = ["document", "revision", "applied (UTC)", "by", "way"].map(left);
    let mut table = Table::new(&[&columns[..], &[("lines", Align::Right)]].concat());
    for row in rows {
        let lines = row.text.as_ref().map_or_else(|| "deleted".to_owned(), |text| text.lines().count().to_string());
        let applied = store::written(row.applied_ms).replace('T', " ");
        table.row([path(&row), row.revision, applied, row.applied_by, row.way, lines]);
    }
    say(&table.text());
    Ok(ExitCode::SUCCESS)
}

/// Shows what is different between two versions of a document. Exit code 0: nothing; 1: something.
pub(super) async fn diff(args: DiffArgs) -> Result<ExitCode, Failure> {
    let document = document(&args.document)?;
    let desk = open(&args.kept).await?;
    let (kind, name) = named(&document);
    let all = desk.revisions(Some((kind, name)), MOST).await.map_err(|error| error.to_string())?;
    let find = async |start: &str| desk.revision(kind, name, start).await.map_err(|error| error.to_string());
    let to = match &args.to {
        Some(start) => find(start).await?,
        None => all.first().cloned().ok_or_else(|| {
            format!("{document}: no revision was applied; `offhook revisions` lists those of all documents")
        })?,
    };
    let from = match &args.from {
        Some(start) => Some(find(start).await?),
        None => all.into_iter().find(|row| row.seq < to.seq),
    };
    let text = |row: Option<&Document>| row.and_then(|row| row.text.clone()).unwrap_or_default();
    let difference = config::diff(&text(from.as_ref()), &text(Some(&to)));
    if difference.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let title = |row: Option<&Document>| match row {
        Some(row) => format!("{document}\t{} {} {}", row.revision, store::written(row.applied_ms), row.applied_by),
        None => format!("{document}\t(none)"),
    };
    say(&format!("--- {}\n+++ {}\n{difference}", title(from.as_ref()), title(Some(&to))));
    Ok(ExitCode::from(1))
}

/// Puts an old version of a document in force anew: into its file, or into the store where that is the source.
pub(super) async fn restore(args: RestoreArgs) -> Result<ExitCode, Failure> {
    let document = document(&args.document)?;
    let desk = open(&args.kept).await?;
    let (kind, name) = named(&document);
    let old = desk.revision(kind, name, &args.revision).await.map_err(|error| error.to_string())?;
    let last_good = LastGoodFolder::new(&args.kept.data()?);
    let source = Opening::new(&args.kept.config).last_good(last_good).rules(rulings).open();
    let source = source.map_err(|problems| problems.to_string())?;
    if source.current().server.source == DocumentSource::Store && document != DocId::Server {
        let done = restore_in_store(&args.kept, &desk.documents(), &document, &old).await?;
        let then = if done { "servers apply it within seconds" } else { "it is in force already" };
        return done_with(&document, &old, then);
    }
    if old.text.is_none() {
        return Err(format!("{document}: with revision {} it was deleted; delete its file", old.revision));
    }
    let locks = desk.locks().await.map_err(|error| error.to_string())?;
    may_change(&document, &locks).map_err(|refusal| format!("{document} is as it was: {refusal}"))?;
    let edit = back(&source, &document, &old);
    let edited = source.edit(&[edit], Some(&account()), By::Restore, &|_, _| Vec::new());
    let edited = edited.map_err(|why| format!("{document} is as it was: {why}"))?;
    let then = match edited.changes.is_empty() {
        true => "it is in force already",
        false => "a running server applies its file within seconds",
    };
    done_with(&document, &old, then)
}

/// The same in the store, if servers could run by it: all that is there is read as they would. Tells whether it was something
/// else.
async fn restore_in_store(kept: &Kept, store: &Revisions, document: &DocId, old: &Document) -> Result<bool, Failure> {
    let words = |error: StoreError| format!("{document} is as it was: {error}");
    for _ in 0..TRIES {
        let seq = store.newest().await.map_err(words)?;
        let there = in_store(store).await?.into_values();
        let there = there.map(|Document { kind, name, revision, text, .. }| Stored { kind, name, revision, text });
        let copy = WorkingCopy::new("restore", &there.collect::<Vec<_>>())?;
        let opening = Opening::new(&kept.config).last_good(LastGoodFolder::new(&kept.data()?)).rules(rulings);
        let source = opening.stored(copy.path()).open().map_err(|problems| problems.to_string())?;
        let (edit, by) = (back(&source, document, old), account());
        let prepared = source.prepare(&[edit], Some(&by), By::Restore, &|_, _| Vec::new());
        let prepared = prepared.map_err(|why| format!("{document} is as it was: {}", copy.said(why)))?;
        let different = prepared.documents.into_iter().filter(|written| written.is_different());
        let rows: Vec<NewDocument> = different
            .map(|written| NewDocument {
                kind: document.kind().to_owned(),
                name: document.name().to_owned(),
                revision: written.revision.map_or_else(String::new, |revision| revision.to_string()),
                text: written.text.map(|text| text.to_string()),
                applied_by: by.clone(),
                way: "restore".to_owned(),
            })
            .collect();
        if rows.is_empty() {
            return Ok(false);
        }
        match store.apply_upon(seq, &rows, Locked::Refused).await {
            Ok(_) => return Ok(true),
            Err(StoreError::Stale) => {}
            Err(error) => return Err(words(error)),
        }
    }
    Err(words(StoreError::Stale))
}

/// Others may change documents at the same time.
const TRIES: u32 = 8;

/// The document as it was, upon what it is now.
fn back(source: &Source, document: &DocId, old: &Document) -> Edit {
    let upon = source.written(document).map(|(_, revision)| revision);
    let to = old.text.clone().map_or(Wanted::Gone, Wanted::Text);
    Edit { doc: document.clone(), upon, to }
}

fn done_with(document: &DocId, old: &Document, then: &str) -> Result<ExitCode, Failure> {
    say(&format!("{document} is as in revision {}; {then}\n", old.revision));
    Ok(ExitCode::SUCCESS)
}

/// More versions than a document is likely to have.
const MOST: u64 = 100_000;

async fn open(kept: &Kept) -> Result<Desk, Failure> {
    Store::open(&kept.data()?, kept.store_url()?.as_ref()).await.map_err(|error| error.to_string())
}

/// The document that is meant by `said`: its path within the configuration directory, with or without `.toml`.
fn document(said: &str) -> Result<DocId, Failure> {
    let found = DocId::from_path(said).or_else(|| DocId::from_path(&format!("{said}.toml")));
    found.ok_or_else(|| {
        format!(
            "{said:?} names no document; allowed: offhook.toml, models.toml, agents/NAME.toml, deployments/NAME.toml"
        )
    })
}

/// A document's kind and name, as rows have them.
fn named(document: &DocId) -> (&'static str, &str) {
    (document.kind(), document.name())
}

/// The document that a row is of, as people name it.
fn path(row: &Document) -> String {
    DocId::of_kind(&row.kind, &row.name).map_or_else(|| format!("{}/{}", row.kind, row.name), |id| id.to_string())
}

/// Who asks: the account of this process.
pub(super) fn account() -> String {
    std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "terminal".to_owned())
}

fn entry(row: &Document) -> serde_json::Value {
    json!({
        "document": path(row),
        "revision": row.revision,
        "applied": store::written(row.applied_ms),
        "by": row.applied_by,
        "way": row.way,
        "deleted": row.text.is_none(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic fails the test

    use super::*;

    #[test]
    fn a_document_is_named_by_its_path_with_or_without_its_end() {
        for said in ["agents/reception.toml", "agents/reception"] {
            assert_eq!(document(said).unwrap().to_string(), "agents/reception.toml");
        }
        assert_eq!(document("models").unwrap(), DocId::Models);
        let error = document("reception").unwrap_err();
        assert!(error.contains("allowed: offhook.toml, models.toml, agents/NAME.toml"), "{error}");
    }
}
