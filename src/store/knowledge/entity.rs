//! The table as a type.
#![allow(missing_docs, unreachable_pub)] // what the derives write

use sea_orm::entity::prelude::*;

/// Where a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum State {
    /// It is to be read.
    #[sea_orm(string_value = "waiting")]
    Waiting,
    /// It is being read; what was found before is found meanwhile.
    #[sea_orm(string_value = "reading")]
    Reading,
    /// It was read.
    #[sea_orm(string_value = "ready")]
    Ready,
    /// The last reading came to nothing; what was found before is still found.
    #[sea_orm(string_value = "failed")]
    Failed,
}

impl State {
    /// As it stands in rows and answers.
    pub const fn name(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Reading => "reading",
            State::Ready => "ready",
            State::Failed => "failed",
        }
    }
}

/// A document of an agent, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "knowledge")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub agent: String,
    /// What people and models call it.
    pub title: String,
    /// Whether somebody has called it so; otherwise it is what it calls itself.
    pub titled: bool,
    /// The media type that it came with.
    pub declared: String,
    /// Where it is fetched; none: it was sent.
    pub url: Option<String>,
    /// Bytes.
    pub size: i64,
    pub state: State,
    /// Why it failed, or what should be known of how it was read.
    pub words: Option<String>,
    /// What it is: `text`, `markdown`, `html`, `pdf`; none: it was never read.
    pub kind: Option<String>,
    /// Of a PDF.
    pub pages: Option<i64>,
    pub characters: i64,
    pub passages: i64,
    /// Who added it.
    pub added_by: String,
    /// Milliseconds since 1970, like all below, by the database's clock.
    pub added_ms: i64,
    /// When it was last read; none: never.
    pub read_ms: Option<i64>,
    /// When that was last tried, or a page found unchanged.
    pub tried_ms: Option<i64>,
    /// What its server says of the version that was read.
    pub etag: Option<String>,
    pub modified: Option<String>,
    /// How often a reading was asked for: the number of the last.
    pub asked: i64,
    /// The number of the reading whose passages are found; 0: none.
    pub reading: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
