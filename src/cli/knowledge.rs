//! `offhook knowledge`.

use std::path::PathBuf;
use std::process::ExitCode;

use offhook::house::knowledge as rules;
use offhook::house::principal::Principal;
use offhook::lab::tune::table::{Align, Table};
use offhook::serve::knowledge;
use offhook::store::{Knowledge, KnowledgeTaken, NewKnowledge, Store, written};

use super::{Failure, Kept, say};

/// Flags of `offhook knowledge`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    kept: Kept,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Add a file or a page; a running server reads it within seconds, or the next one.
    Add {
        /// Who is to know it.
        agent: String,
        /// A file of text, Markdown, HTML or PDF, or the address of a page.
        what: String,
        /// What it is called; otherwise what it calls itself.
        #[arg(long)]
        title: Option<String>,
    },
    /// List an agent's documents.
    List {
        /// Whose.
        agent: String,
    },
    /// Remove a document.
    Remove {
        /// Whose.
        agent: String,
        /// The document's id, as the list has it.
        document: String,
    },
    /// Look something up as the agent would.
    Search {
        /// Whose.
        agent: String,
        /// What to look for.
        question: String,
        /// Passages.
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=20))]
        limit: u8,
    },
}

/// Adds, lists, removes or looks up.
pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let words = |error: offhook::store::StoreError| error.to_string();
    let desk = Store::open(&args.kept.data()?, args.kept.store_url()?.as_ref()).await.map_err(words)?;
    let known = desk.knowledge();
    match args.what {
        What::Add { agent, what, title } => {
            // Where there is no folder, agents are in the store.
            let folder = args.kept.config.join("agents");
            if folder.is_dir() && !folder.join(format!("{agent}.toml")).is_file() {
                return Err(format!("there is no agent {agent:?} in {}", folder.display()));
            }
            let new = new(what, title).await?;
            match known.add(&agent, new).await.map_err(words)? {
                KnowledgeTaken::New(document) => say(&format!("{} {}\n", document.id, document.title)),
                KnowledgeTaken::No(no) => return Err(no.message),
            }
        }
        What::List { agent } => list(&known, &agent).await?,
        What::Remove { agent, document } => {
            if !known.remove(&agent, &document).await.map_err(words)? {
                return Err(format!("the agent {agent:?} has no document {document:?}"));
            }
            say(&format!("{document} is gone\n"));
        }
        What::Search { agent, question, limit } => {
            let found = known.search(&agent, &question, limit.into()).await.map_err(words)?;
            if found.is_empty() {
                say("nothing of it is in the documents\n");
            }
            for hit in found {
                say(&format!("{}\n{}\n\n", knowledge::source(&hit), hit.text));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn new(what: String, title: Option<String>) -> Result<NewKnowledge, Failure> {
    let title = title.map(|title| rules::title(&title)).transpose().map_err(|no| no.message)?;
    let by = Principal::Operator.name();
    if what.starts_with("http://") || what.starts_with("https://") {
        let url = rules::page_url(&what).map_err(|no| no.message)?;
        let name = url.chars().take(rules::MAX_TITLE).collect();
        return Ok(NewKnowledge { title, name, url: Some(url), by, ..NewKnowledge::default() });
    }
    let path = PathBuf::from(what);
    let size = std::fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?.len();
    if size > rules::MAX_BYTES {
        return Err(rules::too_large().message);
    }
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = rules::title(&name).unwrap_or_else(|_| "Untitled document".to_owned());
    // Only kinds of text are told apart by it.
    let declared = match path.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "md" | "markdown" => "text/markdown",
        "htm" | "html" | "xhtml" => "text/html",
        "pdf" => "application/pdf",
        _ => "text/plain",
    };
    Ok(NewKnowledge { title, name, declared: declared.to_owned(), url: None, bytes, by })
}

async fn list(known: &Knowledge, agent: &str) -> Result<(), Failure> {
    let all = known.list(agent).await.map_err(|error| error.to_string())?;
    if all.is_empty() {
        say("it has no documents; `offhook knowledge add AGENT FILE`\n");
        return Ok(());
    }
    let (left, right) = (|name| (name, Align::Left), |name| (name, Align::Right));
    let mut table = Table::new(&[
        left("document"),
        left("title"),
        left("kind"),
        right("bytes"),
        right("passages"),
        left("state"),
        left("read (UTC)"),
        left(""),
    ]);
    for row in all {
        table.row([
            row.id,
            row.title,
            row.kind.unwrap_or_default(),
            row.size.to_string(),
            row.passages.to_string(),
            row.state.name().to_owned(),
            row.read_ms.map_or_else(|| "never".to_owned(), |ms| written(ms).replace('T', " ")),
            row.words.or(row.url).unwrap_or_default(),
        ]);
    }
    say(&table.text());
    Ok(())
}

/// Flags of `offhook read-document`.
#[derive(Debug, clap::Args)]
pub(super) struct ReadArgs {
    /// The media type that it came with.
    #[arg(long, default_value = "")]
    declared: String,
}

/// Reads the document on standard input.
pub(super) fn read(args: &ReadArgs) -> ExitCode {
    knowledge::read_document(&args.declared)
}
