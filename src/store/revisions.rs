//! Revisions of documents: what each said whenever it was in force, who applied it, by which way, and when.

use std::sync::Arc;

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, DatabaseConnection, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    TransactionTrait as _,
};
use tokio::sync::{broadcast, mpsc};

pub use super::entity::documents::Model as Document;
use super::entity::documents::{ActiveModel, Column, Entity};
use super::{Core, Desk, Store, StoreError, sql};

/// The largest document.
const MAX_BYTES: usize = 1 << 20;
/// Notices that may wait for who listens; when there are more, one says that all is to be read.
const NOTICES: usize = 256;

/// A document that comes into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDocument {
    /// `server`, `agent`, `deployment`, `model` and what else there is.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Of the text, as whoever reads documents counts them.
    pub revision: String,
    /// What it says; `None`: it is taken away.
    pub text: Option<String>,
    /// Who applies it.
    pub applied_by: String,
    /// By which way: `folder`, `api`, `console`, `push`, `restore`.
    pub way: String,
}

/// The revisions that a store keeps.
#[derive(Clone)]
pub struct Revisions(Arc<Core>);

impl Store {
    /// The revisions of documents.
    pub fn revisions(&self) -> Revisions {
        Revisions(Arc::clone(&self.core))
    }
}

impl Revisions {
    /// Keeps a document that comes into force, and tells whoever [listens](Self::listen), on all servers. `expected`: the
    /// revision that whoever changed it has read (`Some(None)`: there was none); `None`: whatever there is. `false`: it
    /// says just that already.
    ///
    /// # Errors
    /// Somebody else has changed it meanwhile, it is too long, or the store cannot be written.
    pub async fn add(&self, new: NewDocument, expected: Option<Option<&str>>) -> Result<bool, StoreError> {
        if new.text.as_ref().is_some_and(|text| text.len() > MAX_BYTES) {
            return Err(StoreError::Refused(format!("a document has {MAX_BYTES} bytes at most")));
        }
        self.0
            .in_time(async {
                let mut turn = self.0.turn.lock().await;
                let what = format!("{}/{}", new.kind, new.name);
                let done = add(&turn, new, expected).await;
                if self.0.place.is_own() && matches!(done, Ok(true)) {
                    // Nobody may listen.
                    let _ = self.0.changed.send(what);
                }
                if matches!(done, Err(StoreError::Db(_))) {
                    self.0.renew(&mut turn).await;
                }
                done
            })
            .await
    }

    /// The revisions of a document, the newest first, no more than `limit`, with their texts.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn list(&self, kind: &str, name: &str, limit: u64) -> Result<Vec<Document>, StoreError> {
        let all = of(kind, name).order_by_desc(Column::Seq).limit(limit);
        self.0.in_time(async { Ok(all.all(&self.0.db).await?) }).await
    }

    /// The documents in force, each by its newest revision; those that were taken away are left out.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn in_force(&self) -> Result<Vec<Document>, StoreError> {
        let newest = "NOT EXISTS (SELECT 1 FROM documents AS later WHERE later.kind = documents.kind \
            AND later.name = documents.name AND later.seq > documents.seq)";
        let all = Entity::find()
            .filter(Expr::cust(newest))
            .filter(Column::Text.is_not_null())
            .order_by_asc(Column::Kind)
            .order_by_asc(Column::Name);
        self.0.in_time(async { Ok(all.all(&self.0.db).await?) }).await
    }

    /// A revision of a document, by as much of its beginning as is no other's.
    ///
    /// # Errors
    /// There is none, or more than one; or the store cannot be read.
    pub async fn read(&self, kind: &str, name: &str, revision: &str) -> Result<Document, StoreError> {
        self.0.in_time(read(&self.0.db, kind, name, revision)).await
    }

    /// Two revisions of a document, to be held against each other: the older one first.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn pair(
        &self,
        kind: &str,
        name: &str,
        revisions: (&str, &str),
    ) -> Result<(Document, Document), StoreError> {
        let a = self.read(kind, name, revisions.0).await?;
        let b = self.read(kind, name, revisions.1).await?;
        Ok(if a.seq <= b.seq { (a, b) } else { (b, a) })
    }

    /// Puts a revision in force again, as a new one with the same text. `false`: it is in force.
    ///
    /// # Errors
    /// As [`read`](Self::read), or the store cannot be written.
    pub async fn restore(&self, kind: &str, name: &str, revision: &str, by: &str) -> Result<bool, StoreError> {
        let old = self.read(kind, name, revision).await?;
        self.add(restored(old, by), None).await
    }

    /// Notices that something has changed, on whichever server, as `kind/name`; empty: read all. It ends with this store.
    /// With SQLite only what this process changes is told, since nobody else changes anything.
    pub fn listen(&self) -> mpsc::Receiver<String> {
        let (tell, told) = mpsc::channel(NOTICES);
        let (core, mut changed) = (Arc::clone(&self.0), self.0.changed.subscribe());
        tokio::spawn(async move {
            let mut far = sql::Notices::new(&core.place);
            loop {
                let what = tokio::select! {
                    near = changed.recv() => match near {
                        Ok(what) => what,
                        Err(broadcast::error::RecvError::Lagged(_)) => String::new(),
                        Err(broadcast::error::RecvError::Closed) => return,
                    },
                    what = far.next() => what,
                    () = tell.closed() => return,
                };
                // Who is behind reads all, once.
                let told = if tell.capacity() <= 1 { tell.try_send(String::new()) } else { tell.try_send(what) };
                if matches!(told, Err(mpsc::error::TrySendError::Closed(_))) {
                    return;
                }
            }
        });
        told
    }
}

impl Desk {
    /// Revisions, the newest first, no more than `limit`: of one document by kind and name, or of all.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn revisions(&self, of_one: Option<(&str, &str)>, limit: u64) -> Result<Vec<Document>, StoreError> {
        let all = of_one.map_or_else(Entity::find, |(kind, name)| of(kind, name));
        Ok(all.order_by_desc(Column::Seq).limit(limit).all(&self.db).await?)
    }

    /// As [`Revisions::read`].
    ///
    /// # Errors
    /// There is none, or more than one; or the store cannot be read.
    pub async fn revision(&self, kind: &str, name: &str, revision: &str) -> Result<Document, StoreError> {
        read(&self.db, kind, name, revision).await
    }

    /// As [`Revisions::restore`], told to the servers by PostgreSQL; with SQLite they look by themselves.
    ///
    /// # Errors
    /// As there.
    pub async fn restore(&self, kind: &str, name: &str, revision: &str, by: &str) -> Result<bool, StoreError> {
        let old = read(&self.db, kind, name, revision).await?;
        add(&self.db, restored(old, by), None).await
    }
}

/// A revision by as much of its beginning as is no other's.
async fn read(db: &DatabaseConnection, kind: &str, name: &str, revision: &str) -> Result<Document, StoreError> {
    let none = || StoreError::Refused(format!("{kind} {name} has no revision {revision:?}"));
    if !super::id::may_be_part(revision) {
        return Err(none());
    }
    let found = of(kind, name).filter(Column::Revision.starts_with(revision)).order_by_desc(Column::Seq);
    let found = found.all(db).await?;
    let first = found.first().cloned().ok_or_else(none)?;
    if found.iter().any(|other| other.revision != first.revision) {
        let several = format!("{revision:?} is the beginning of several revisions of {kind} {name}");
        return Err(StoreError::Refused(several));
    }
    Ok(first)
}

fn restored(old: Document, by: &str) -> NewDocument {
    NewDocument {
        kind: old.kind,
        name: old.name,
        revision: old.revision,
        text: old.text,
        applied_by: by.to_owned(),
        way: "restore".to_owned(),
    }
}

fn of(kind: &str, name: &str) -> sea_orm::Select<Entity> {
    Entity::find().filter(Column::Kind.eq(kind)).filter(Column::Name.eq(name))
}

async fn add(db: &DatabaseConnection, new: NewDocument, expected: Option<Option<&str>>) -> Result<bool, StoreError> {
    let txn = db.begin_with_options(sql::immediate()).await?;
    sql::applies_alone(&txn).await?;
    let last = of(&new.kind, &new.name).order_by_desc(Column::Seq).one(&txn).await?;
    let there = last.as_ref().filter(|last| last.text.is_some());
    if expected.is_some_and(|expected| there.map(|there| there.revision.as_str()) != expected) {
        txn.rollback().await?;
        let by = last.map_or_else(|| "nobody".to_owned(), |last| last.applied_by);
        let (kind, name) = (new.kind, new.name);
        return Err(StoreError::Refused(format!("{kind} {name} was changed meanwhile, by {by}: read it again")));
    }
    if there.map(|there| (&there.revision, &there.text)) == new.text.as_ref().map(|_| (&new.revision, &new.text)) {
        txn.rollback().await?;
        return Ok(false);
    }
    let what = format!("{}/{}", new.kind, new.name);
    let row = ActiveModel {
        seq: NotSet,
        kind: Set(new.kind),
        name: Set(new.name),
        revision: Set(new.revision),
        text: Set(new.text.map(|text| text.replace('\0', ""))),
        applied_by: Set(new.applied_by),
        way: Set(new.way),
        applied_ms: Set(sql::clock_ms(&txn).await?),
    };
    Entity::insert(row).exec_without_returning(&txn).await?;
    sql::notify(&txn, &what).await?;
    txn.commit().await?;
    Ok(true)
}
