//! What agents can look up: documents' bytes in, passages out, and how passages are found by their words.
//!
//! ```text
//!     bytes ──► kind, by what they are ──► blocks: headings, paragraphs, pages ──► passages, each with its place
//! ```
//!
//! - `kind` says what bytes are, whatever they are called; `letters` makes text of them.
//! - `html`, `markdown`, `pdf` and `plain` make blocks of it, `cut` makes passages.
//! - [`words`] folds words so that accents, capitals and endings do not matter, and puts what was found in order.
//!
//! Absent: sockets, files, processes, clocks. Libraries that read others' formats may fail, loop or want gigabytes: whoever
//! reads what strangers wrote does so in a process of its own, with limits (`serve::knowledge`).

mod cut;
mod html;
mod kind;
mod letters;
mod markdown;
mod pdf;
mod plain;
#[cfg(test)]
mod tests;
pub mod words;

use std::fmt;

use serde::{Deserialize, Serialize};

/// Characters of one document's text, white space not counted twice.
pub const MAX_CHARACTERS: usize = 12_000_000;
/// Passages of one document.
pub const MAX_PASSAGES: usize = 20_000;
/// Pages of a PDF.
pub const MAX_PAGES: usize = 2_000;

/// What a document is, which its bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Text without marks.
    Text,
    /// CommonMark with tables.
    Markdown,
    /// A page of the web.
    Html,
    /// Pages to be printed.
    Pdf,
}

impl Kind {
    /// As rows and answers name it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Markdown => "markdown",
            Kind::Html => "html",
            Kind::Pdf => "pdf",
        }
    }
}

/// A document that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// What it is.
    pub kind: Kind,
    /// What it calls itself.
    pub title: Option<String>,
    /// Of a PDF.
    pub pages: Option<u32>,
    /// Characters of its passages, overlaps counted once.
    pub characters: usize,
    /// What somebody should know of how it was read; empty: nothing.
    pub remarks: Vec<String>,
    /// What it says, in order.
    pub passages: Vec<Passage>,
}

/// A stretch of a document that can be understood by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// The headings above it, the outermost first, with ` > ` between them; may be empty.
    pub heading: String,
    /// Of a PDF, from 1.
    pub page: Option<u32>,
    /// At most 1,200 characters.
    pub text: String,
}

/// Why a document was not read, in words for whoever added it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable(pub String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

/// What a document consists of, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Block {
    /// With its level, the outermost 1.
    Heading(u8, String),
    /// A paragraph, a row of a table, an item of a list.
    Text(String),
    /// From here on it is another page.
    Page(u32),
}

/// What was found in a document, before it is cut.
#[derive(Debug, Default)]
struct Found {
    title: Option<String>,
    pages: Option<u32>,
    blocks: Vec<Block>,
}

/// Reads a document. `declared`: its media type as whoever sent it says it, which decides between kinds of text only, and may
/// name a `charset`.
///
/// # Errors
/// It is none that is read, is damaged, has no text in it, or is beyond a bound.
pub fn read(bytes: &[u8], declared: &str) -> Result<Reading, Unreadable> {
    let kind = kind::decide(bytes, declared)?;
    let mut remarks = Vec::new();
    let mut text = |bytes| {
        letters::text(bytes, declared, kind).map(|(text, remark)| {
            remarks.extend(remark);
            text
        })
    };
    let found = match kind {
        Kind::Pdf => pdf::blocks(bytes)?,
        Kind::Text => plain::blocks(&text(bytes)?),
        Kind::Markdown => markdown::blocks(&text(bytes)?),
        Kind::Html => html::blocks(&text(bytes)?),
    };
    let characters = found.blocks.iter().map(|block| match block {
        Block::Heading(_, text) | Block::Text(text) => text.chars().count(),
        Block::Page(_) => 0,
    });
    let characters: usize = characters.sum();
    if characters > MAX_CHARACTERS {
        return Err(Unreadable(format!("It has more than {MAX_CHARACTERS} characters of text.")));
    }
    let passages = cut::passages(&found.blocks);
    if passages.is_empty() {
        return Err(Unreadable("There is no text in it.".to_owned()));
    }
    if passages.len() > MAX_PASSAGES {
        return Err(Unreadable(format!("It has more than {MAX_PASSAGES} passages.")));
    }
    let title = found.title.map(|title| title.chars().take(200).collect());
    Ok(Reading { kind, title, pages: found.pages, characters, remarks, passages })
}
