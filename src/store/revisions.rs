//! Revisions of documents: what each said whenever it was in force, who applied it, by which way, and when.

use std::collections::BTreeMap;
use std::sync::Arc;

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, TransactionTrait as _,
};
use tokio::sync::mpsc;

pub use super::entity::documents::Model as Document;
use super::entity::documents::{ActiveModel, Column, Entity};
use super::notices::{self, Topic};
use super::whose::Whose;
use super::{Core, Desk, LONGEST, Store, StoreError, locks, sql};
use crate::config::DocId;

/// The largest document, and the largest file that documents name, as base64.
const MAX_BYTES: usize = 1 << 20;
const MAX_FILE_BYTES: usize = 8 << 20;
/// The kind of a recording or picture that documents name.
const FILE: &str = "file";
/// Rows that are written by one statement.
const ROWS: usize = 100;
/// Revisions of a document that are kept however old they are, and days that all are kept.
const KEPT: u64 = 100;
const KEPT_DAYS: i64 = 90;
const DAY_MS: i64 = 86_400_000;
/// A server runs by what another has applied some time later.
const SLACK_MS: i64 = 300_000;
/// Revisions that go at once, so that nobody waits for long: what is deleted is written over, and may be a recording. And
/// those that go in one sweep; the next goes on.
const AT_ONCE: usize = 8;
const MOST: usize = 1_000;
/// Notices that may wait for who listens; when there are more, one says that all is to be read.
const NOTICES: usize = 256;

/// A document that comes into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDocument {
    /// `server`, `agent`, `deployment`, `model`, and `file`: a recording or picture that one names, as base64.
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

/// What becomes of a change of documents that a running campaign uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locked {
    /// It is refused (LOCK-02).
    Refused,
    /// It is made: it is an emergency (VIS-06), or is in force already.
    Passed,
}

/// The revisions that a store keeps.
#[derive(Clone)]
pub struct Revisions(Whose);

impl Store {
    /// The revisions of documents.
    pub fn revisions(&self) -> Revisions {
        Revisions(Whose::Server(Arc::clone(&self.core)))
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
        let done = self.apply(&[new], &Upon::Each(&[expected]), Locked::Passed).await?;
        Ok(done.into_iter().any(|new| new))
    }

    /// The same for several documents: all of them or none, each with the revision that is expected of it. Whoever listens
    /// is told of each. Tells of each whether it said something else before.
    ///
    /// # Errors
    /// `locked`: a running campaign uses one that would be different. Else as [`add`](Self::add).
    pub async fn apply_all(&self, all: Vec<(NewDocument, Option<String>)>) -> Result<Vec<bool>, StoreError> {
        let (new, expected): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        let expected: Vec<_> = expected.iter().map(|expected| Some(expected.as_deref())).collect();
        self.apply(&new, &Upon::Each(&expected), Locked::Refused).await
    }

    /// The same for documents that were held against all others as they were at the revision `seq`, which was the
    /// [`newest`](Self::newest) then: when anything has changed since, none of them is written. `locked`: what becomes of
    /// those that a running campaign uses.
    ///
    /// # Errors
    /// [`StoreError::Stale`]: something has. Else as [`apply_all`](Self::apply_all).
    pub async fn apply_upon(&self, seq: i64, all: &[NewDocument], locked: Locked) -> Result<Vec<bool>, StoreError> {
        self.apply(all, &Upon::All(seq), locked).await
    }

    async fn apply(&self, new: &[NewDocument], upon: &Upon<'_>, locked: Locked) -> Result<Vec<bool>, StoreError> {
        for document in new {
            document.fits()?;
        }
        self.0
            .in_time(async {
                let core = match &self.0 {
                    Whose::Server(core) => core,
                    Whose::Command(db) => return apply(db, new, upon, locked).await,
                };
                let mut turn = core.turn.lock().await;
                let done = apply(&turn, new, upon, locked).await;
                if let Ok(done) = &done {
                    for (document, _) in new.iter().zip(done).filter(|(_, done)| **done) {
                        core.tell(Topic::Documents, &document.path());
                    }
                }
                if matches!(done, Err(StoreError::Db(_))) {
                    core.renew(&mut turn).await;
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
        self.0.in_time(async { Ok(all.all(self.0.db()).await?) }).await
    }

    /// The documents in force, each by its newest revision; those that were taken away are left out.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn in_force(&self) -> Result<Vec<Document>, StoreError> {
        let all = Entity::find()
            .filter(Expr::cust(NEWEST))
            .filter(Column::Text.is_not_null())
            .order_by_asc(Column::Kind)
            .order_by_asc(Column::Name);
        self.0.in_time(async { Ok(all.all(self.0.db()).await?) }).await
    }

    /// Which revision came into force last, of all documents: [`seq`](Document::seq); 0: none ever did. Costs next to
    /// nothing.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn newest(&self) -> Result<i64, StoreError> {
        self.0.in_time(async { Ok(newest(self.0.db()).await?) }).await
    }

    /// The documents that changed since the revision `seq`, each by its newest revision, in the order in which they came
    /// into force, no more than `limit`; those that were taken away too.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn since(&self, seq: i64, limit: u64) -> Result<Vec<Document>, StoreError> {
        let all = Entity::find().filter(Column::Seq.gt(seq)).filter(Expr::cust(NEWEST));
        let all = all.order_by_asc(Column::Seq).limit(limit);
        self.0.in_time(async { Ok(all.all(self.0.db()).await?) }).await
    }

    /// A revision of a document, by as much of its beginning as is no other's.
    ///
    /// # Errors
    /// There is none, or more than one; or the store cannot be read.
    pub async fn read(&self, kind: &str, name: &str, revision: &str) -> Result<Document, StoreError> {
        self.0.in_time(read(self.0.db(), kind, name, revision)).await
    }

    /// Whether [`listen`](Self::listen) tells of what others change.
    pub fn hears_others(&self) -> bool {
        matches!(&self.0, Whose::Server(core) if !core.place.is_own())
    }

    /// Notices that something has changed, on whichever server, as `kind/name`; empty: read all. It ends with this store;
    /// a command hears nothing. With SQLite only what this process changes is told: what a command changes shows by
    /// [`newest`](Self::newest).
    pub fn listen(&self) -> mpsc::Receiver<String> {
        let (tell, told) = mpsc::channel(NOTICES);
        let Whose::Server(core) = &self.0 else { return told };
        let mut listener = core.listen(Topic::Documents);
        tokio::spawn(async move {
            loop {
                let what = tokio::select! {
                    what = listener.next() => what,
                    () = tell.closed() => return,
                };
                let Some(what) = what else { return };
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
    /// Documents, as a server of this store has them.
    pub fn documents(&self) -> Revisions {
        Revisions(Whose::Command(self.db.clone()))
    }

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

fn of(kind: &str, name: &str) -> sea_orm::Select<Entity> {
    Entity::find().filter(Column::Kind.eq(kind)).filter(Column::Name.eq(name))
}

async fn newest<C: ConnectionTrait>(db: &C) -> Result<i64, DbErr> {
    let last = Entity::find().select_only().column(Column::Seq).order_by_desc(Column::Seq).limit(1);
    Ok(last.into_tuple::<i64>().one(db).await?.unwrap_or_default())
}

/// Of each document the newest revision.
pub(super) const NEWEST: &str = "NOT EXISTS (SELECT 1 FROM documents AS later WHERE later.kind = documents.kind \
    AND later.name = documents.name AND later.seq > documents.seq)";

impl NewDocument {
    fn path(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    fn fits(&self) -> Result<(), StoreError> {
        let most = if self.kind == FILE { MAX_FILE_BYTES } else { MAX_BYTES };
        if self.text.as_ref().is_none_or(|text| text.len() <= most) {
            return Ok(());
        }
        let (kind, name) = (&self.kind, &self.name);
        let most = if self.kind == FILE { most / 4 * 3 } else { most };
        Err(StoreError::Refused(format!("{kind} {name} is too long: {most} bytes at most")))
    }

    /// Whether that is what is in force.
    fn is_as(&self, last: Option<&Last>) -> bool {
        let there = last.and_then(|last| last.there.as_deref());
        there == self.text.as_ref().map(|_| self.revision.as_str())
    }
}

/// The last revision of a document.
struct Last {
    /// None when it was taken away.
    there: Option<String>,
    by: String,
}

/// Many are asked about at once.
async fn last<C: ConnectionTrait>(db: &C, new: &[NewDocument]) -> Result<BTreeMap<(String, String), Last>, StoreError> {
    let columns = [Column::Kind, Column::Name, Column::Revision, Column::AppliedBy];
    let asked =
        Entity::find().select_only().columns(columns).expr(Column::Text.is_not_null()).filter(Expr::cust(NEWEST));
    let asked = match new {
        [one] => asked.filter(Column::Kind.eq(one.kind.as_str())).filter(Column::Name.eq(one.name.as_str())),
        _ => asked,
    };
    let all = asked.into_tuple::<(String, String, String, String, bool)>().all(db).await?;
    let last = |(kind, name, revision, by, there): (String, String, String, String, bool)| {
        ((kind, name), Last { there: there.then_some(revision), by })
    };
    Ok(all.into_iter().map(last).collect())
}

/// What is to be as whoever changes documents has read it.
enum Upon<'a> {
    /// The revision of each; `Some(None)`: there was none, `None`: whatever there is.
    Each(&'a [Option<Option<&'a str>>]),
    /// All that there is: nothing came after this one.
    All(i64),
}

async fn apply(
    db: &DatabaseConnection,
    new: &[NewDocument],
    upon: &Upon<'_>,
    locked: Locked,
) -> Result<Vec<bool>, StoreError> {
    let txn = db.begin_with_options(sql::immediate()).await?;
    sql::applies_alone(&txn).await?;
    let expected = match upon {
        Upon::Each(expected) => *expected,
        Upon::All(seq) if newest(&txn).await? == *seq => &[],
        Upon::All(_) => {
            txn.rollback().await?;
            return Err(StoreError::Stale);
        }
    };
    let before = last(&txn, new).await?;
    let mut done = Vec::with_capacity(new.len());
    for (at, document) in new.iter().enumerate() {
        let last = before.get(&(document.kind.clone(), document.name.clone()));
        let expected = expected.get(at).copied().flatten();
        if expected.is_some_and(|expected| last.and_then(|last| last.there.as_deref()) != expected) {
            txn.rollback().await?;
            let by = last.map_or("nobody", |last| last.by.as_str());
            let NewDocument { kind, name, .. } = document;
            return Err(StoreError::Refused(format!("{kind} {name} was changed meanwhile, by {by}: read it again")));
        }
        done.push(!document.is_as(last));
    }
    let different: Vec<_> = new.iter().zip(&done).filter(|(_, done)| **done).map(|(document, _)| document).collect();
    if different.is_empty() {
        txn.rollback().await?;
        return Ok(done);
    }
    if locked == Locked::Refused {
        let docs = different.iter().filter_map(|new| DocId::of_kind(&new.kind, &new.name)).collect::<Vec<_>>();
        if let Err(refused) = locks::may_change(&txn, &docs).await {
            txn.rollback().await?;
            return Err(refused);
        }
    }
    let applied_ms = sql::clock_ms(&txn).await?;
    for some in different.chunks(ROWS) {
        let rows = some.iter().map(|new| ActiveModel {
            seq: NotSet,
            kind: Set(new.kind.clone()),
            name: Set(new.name.clone()),
            revision: Set(new.revision.clone()),
            text: Set(new.text.as_ref().map(|text| text.replace('\0', ""))),
            applied_by: Set(new.applied_by.clone()),
            way: Set(new.way.clone()),
            applied_ms: Set(applied_ms),
        });
        Entity::insert_many(rows).exec_without_returning(&txn).await?;
    }
    for document in different {
        notices::notify(&txn, Topic::Documents, &document.path()).await?;
    }
    txn.commit().await?;
    Ok(done)
}

/// Deletes revisions that are old, superseded and nobody's: of each document the newest [`KEPT`] stay, those of the last
/// [`KEPT_DAYS`] days, and those that were in force when a call began that is still kept, or for a job that waits. Answers how
/// many went.
pub(super) async fn prune(core: &Core) -> Result<u64, StoreError> {
    let many = Entity::find()
        .select_only()
        .columns([Column::Kind, Column::Name])
        .group_by(Column::Kind)
        .group_by(Column::Name)
        .having(Expr::cust(format!("count(*) > {KEPT}")))
        .into_tuple::<(String, String)>();
    let mut gone = 0;
    for (kind, name) in core.within(LONGEST, async { Ok(many.all(&core.db).await?) }).await? {
        let old = core.within(LONGEST, async { Ok(prunable(core, &kind, &name).await?) }).await?;
        for some in old.chunks(AT_ONCE) {
            let delete = Entity::delete_many().filter(Column::Seq.is_in(some.iter().copied()));
            let _turn = core.turn.lock().await;
            gone += core.within(LONGEST, async { Ok(delete.exec(&core.db).await?.rows_affected) }).await?;
        }
        if gone >= MOST as u64 {
            break;
        }
    }
    Ok(gone)
}

/// Revisions of a document that nobody needs, the oldest first.
async fn prunable(core: &Core, kind: &str, name: &str) -> Result<Vec<i64>, DbErr> {
    let db = &core.db;
    let oldest_kept = of(kind, name).select_only().column(Column::Seq).order_by_desc(Column::Seq);
    let oldest_kept = oldest_kept.offset(KEPT - 1).limit(1).into_tuple::<i64>().one(db).await?;
    let Some(oldest_kept) = oldest_kept else { return Ok(Vec::new()) };
    let clock = sql::clock_text(db);
    of(kind, name)
        .select_only()
        .column(Column::Seq)
        .filter(Column::Seq.lt(oldest_kept))
        .filter(Expr::cust(format!("applied_ms < {clock} - {}", KEPT_DAYS * DAY_MS)))
        .filter(Expr::cust(format!(
            "NOT EXISTS (SELECT 1 FROM calls WHERE calls.started_ms >= documents.applied_ms \
             AND calls.started_ms < {UNTIL} + {SLACK_MS})"
        )))
        // A job is put in when its call ends, which began within the day before.
        .filter(Expr::cust(format!(
            "NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.state = 'waiting' AND jobs.revision IS NOT NULL \
             AND jobs.created_ms >= documents.applied_ms AND jobs.created_ms < {UNTIL} + {DAY_MS})"
        )))
        .order_by_asc(Column::Seq)
        .limit(MOST as u64)
        .into_tuple::<i64>()
        .all(db)
        .await
}

/// When a revision was superseded.
const UNTIL: &str = "(SELECT later.applied_ms FROM documents AS later WHERE later.kind = documents.kind \
    AND later.name = documents.name AND later.seq > documents.seq ORDER BY later.seq LIMIT 1)";
