//! The history of documents, as people look at it: who changed what when, without the texts, and each version by its number.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, FromQueryResult, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::entity::documents::{Column, Entity, Model};
use super::revisions::NEWEST;
use super::{Store, StoreError};

/// A version of a document, without its text.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Version {
    /// The order in which versions came into force, of all documents.
    pub seq: i64,
    /// `server`, `models`, `agent` or `deployment`.
    pub kind: String,
    /// The document's name.
    pub name: String,
    /// Of the text; empty when it was taken away.
    pub revision: String,
    /// Who applied it.
    pub applied_by: String,
    /// By which way.
    pub way: String,
    /// When, in milliseconds since 1970.
    pub applied_ms: i64,
}

const COLUMNS: [Column; 7] =
    [Column::Seq, Column::Kind, Column::Name, Column::Revision, Column::AppliedBy, Column::Way, Column::AppliedMs];

impl Store {
    /// Versions of documents of some kinds, or of one by its name, the newest first; those before `before`, no more than
    /// `limit`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn versions(
        &self,
        kinds: &[&str],
        name: Option<&str>,
        before: Option<i64>,
        limit: u64,
    ) -> Result<Vec<Version>, StoreError> {
        let mut found = Entity::find().select_only().columns(COLUMNS).filter(Column::Kind.is_in(kinds.iter().copied()));
        if let Some(name) = name {
            found = found.filter(Column::Name.eq(name));
        }
        if let Some(before) = before {
            found = found.filter(Column::Seq.lt(before));
        }
        let found = found.order_by_desc(Column::Seq).limit(limit).into_model::<Version>();
        self.in_time(async { Ok(found.all(self.db()).await?) }).await
    }

    /// The newest version of each of these documents of one kind.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn newest_versions(&self, kind: &str, names: &[&str]) -> Result<Vec<Version>, StoreError> {
        let found = Entity::find().select_only().columns(COLUMNS).filter(Expr::cust(NEWEST));
        let found = found.filter(Column::Kind.eq(kind)).filter(Column::Name.is_in(names.iter().copied()));
        let found = found.into_model::<Version>();
        self.in_time(async { Ok(found.all(self.db()).await?) }).await
    }

    /// A version with its text.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn version(&self, seq: i64) -> Result<Option<Model>, StoreError> {
        self.in_time(async { Ok(Entity::find_by_id(seq).one(self.db()).await?) }).await
    }

    /// The version of the same document before one.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn version_before(&self, version: &Model) -> Result<Option<Model>, StoreError> {
        let found = Entity::find()
            .filter(Column::Kind.eq(version.kind.as_str()))
            .filter(Column::Name.eq(version.name.as_str()))
            .filter(Column::Seq.lt(version.seq))
            .order_by_desc(Column::Seq)
            .limit(1);
        self.in_time(async { Ok(found.one(self.db()).await?) }).await
    }
}
