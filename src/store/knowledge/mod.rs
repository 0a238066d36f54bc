//! What agents look things up in: documents, which are read by jobs, and their passages, which are found by their words.
//!
//! A reading has a number. Its passages are written a few at a time, so that nobody waits for long, and are found once it is
//! whole: until then those of the reading before are. What a reading or a removal leaves behind is swept up.

mod entity;

use std::collections::BTreeSet;

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, ExprTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Statement, Value,
};

use crate::house::Refusal;
use crate::house::knowledge::{self as rules, Held};
use crate::knowledge::words::{Question, indexed};
use crate::knowledge::{Passage, Reading};

use super::jobs::{self, Job, KNOWLEDGE, NewJob};
use super::whose::Whose;
use super::{Desk, LONGEST, Store, StoreError, id, sql};
use entity::{ActiveModel, Column, Entity};

pub use entity::{Model as Document, State};

/// Passages that one search answers at most.
pub const MAX_HITS: usize = 20;
/// Passages that are looked at for it.
const CANDIDATES: u64 = 100;
/// Passages that are written or deleted at once: what they take of the database's time is on calls' way.
const CHUNK: usize = 100;
/// Chunks that one sweep deletes; the next goes on.
const SWEPT: usize = 200;
/// A page is fetched again after so long.
const DAY_MS: i64 = 86_400_000;

/// A document that is to be added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewDocument {
    /// What it is called; `None`: what it calls itself, or `name`.
    pub title: Option<String>,
    /// What it is called until it says so itself.
    pub name: String,
    /// The media type that it came with.
    pub declared: String,
    /// Where it is fetched; `None`: it is `bytes`.
    pub url: Option<String>,
    /// Its content; empty for what is fetched.
    pub bytes: Vec<u8>,
    /// Who adds it.
    pub by: String,
}

/// What came of [`Knowledge::add`].
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    /// It is there, and waits to be read.
    New(Box<Document>),
    /// It is beyond a bound.
    No(Refusal),
}

/// What a page's server has sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The page.
    pub bytes: Vec<u8>,
    /// Its media type.
    pub declared: String,
    /// What it says of its version.
    pub etag: Option<String>,
    /// The same, as a moment.
    pub modified: Option<String>,
}

/// A passage that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The id of its document.
    pub document: String,
    /// What the document is called.
    pub title: String,
    /// The headings above it; may be empty.
    pub heading: String,
    /// Of a PDF.
    pub page: Option<i64>,
    /// What it says.
    pub text: String,
}

/// Documents of agents.
#[derive(Clone)]
pub struct Knowledge(Whose);

impl Store {
    /// Documents of agents.
    pub fn knowledge(&self) -> Knowledge {
        Knowledge(Whose::Server(std::sync::Arc::clone(&self.core)))
    }
}

impl Desk {
    /// Documents of agents.
    pub fn knowledge(&self) -> Knowledge {
        Knowledge(Whose::Command(self.db.clone()))
    }
}

impl Knowledge {
    /// Adds a document, and a job that reads it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn add(&self, agent: &str, new: NewDocument) -> Result<Taken, StoreError> {
        self.slowly(async {
            let writing = self.0.begin().await?;
            let done = add(&writing.txn, agent, new).await;
            writing.end(done).await
        })
        .await
    }

    /// An agent's documents, in the order in which they were added.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn list(&self, agent: &str) -> Result<Vec<Document>, StoreError> {
        let all = Entity::find().filter(Column::Agent.eq(agent)).order_by_asc(Column::AddedMs).order_by_asc(Column::Id);
        let all = all.limit(rules::MAX_DOCUMENTS * 2);
        self.0.in_time(async { Ok(all.all(self.0.db()).await?) }).await
    }

    /// One of them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn get(&self, agent: &str, id: &str) -> Result<Option<Document>, StoreError> {
        let one = Entity::find_by_id(id).filter(Column::Agent.eq(agent));
        self.0.in_time(async { Ok(one.one(self.0.db()).await?) }).await
    }

    /// Has a document read again: a page is fetched. `None`: there is none.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn read_again(&self, agent: &str, id: &str) -> Result<Option<Document>, StoreError> {
        let done = self.slowly(async {
            let writing = self.0.begin().await?;
            let one = Entity::find_by_id(id).filter(Column::Agent.eq(agent)).one(&writing.txn).await;
            let done = match one {
                Ok(Some(document)) => ask(&writing.txn, document).await.map(Some),
                Ok(None) => Ok(None),
                Err(error) => Err(error.into()),
            };
            writing.end(done).await
        });
        done.await
    }

    /// Removes a document and what was found in it. `false`: there is none.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn remove(&self, agent: &str, id: &str) -> Result<bool, StoreError> {
        let gone = Entity::delete_many().filter(Column::Id.eq(id)).filter(Column::Agent.eq(agent));
        let gone = self.slowly(async {
            let writing = self.0.begin().await?;
            let done = gone.exec(&writing.txn).await.map(|done| done.rows_affected > 0).map_err(StoreError::from);
            writing.end(done).await
        });
        let gone = gone.await?;
        // Nothing of it is found any more; the rest is swept up, now or later.
        if gone && let Err(error) = self.sweep().await {
            tracing::debug!(%error, "what a document leaves is swept up later");
        }
        Ok(gone)
    }

    /// Removes all documents of an agent; tells how many.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn remove_all(&self, agent: &str) -> Result<u64, StoreError> {
        let gone = Entity::delete_many().filter(Column::Agent.eq(agent));
        let gone = self.slowly(async {
            let writing = self.0.begin().await?;
            let done = gone.exec(&writing.txn).await.map(|done| done.rows_affected).map_err(StoreError::from);
            writing.end(done).await
        });
        gone.await
    }

    /// Agents that have something to look up: a document of theirs was read.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn agents(&self) -> Result<BTreeSet<String>, StoreError> {
        let all = Entity::find().select_only().column(Column::Agent).distinct().filter(Column::Reading.gt(0));
        self.0.in_time(async { Ok(all.into_tuple::<String>().all(self.0.db()).await?.into_iter().collect()) }).await
    }

    /// Whether an agent has any document, read or not.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn has_any(&self, agent: &str) -> Result<bool, StoreError> {
        let one = Entity::find().filter(Column::Agent.eq(agent)).limit(1);
        self.0.in_time(async { Ok(one.one(self.0.db()).await?.is_some()) }).await
    }

    /// Passages of an agent that answer a question, the best first, no more than `limit` and [`MAX_HITS`].
    ///
    /// # Errors
    /// The store cannot be read, or takes too long.
    pub async fn search(&self, agent: &str, question: &str, limit: usize) -> Result<Vec<Hit>, StoreError> {
        let Some(question) = Question::new(question) else { return Ok(Vec::new()) };
        let asked = sql::find_passages(self.0.db(), agent, &question, CANDIDATES);
        let rows = self.0.in_time(async { Ok(self.0.db().query_all_raw(asked).await?) }).await?;
        let hit = |row: &sea_orm::QueryResult| {
            Ok::<_, DbErr>(Hit {
                document: row.try_get("", "document")?,
                title: row.try_get("", "title")?,
                heading: row.try_get("", "heading")?,
                page: row.try_get("", "page")?,
                text: row.try_get("", "text")?,
            })
        };
        let found: Vec<Hit> = rows.iter().map(hit).collect::<Result<_, _>>()?;
        // Milliseconds of work, which are others' who wait for this thread.
        let ordered = tokio::task::spawn_blocking(move || in_order(&question, &found, limit.min(MAX_HITS)));
        ordered.await.map_err(|panic| StoreError::Io(panic.to_string()))
    }

    /// Begins a reading: the document, and its bytes, which a page that was never fetched has none of. `None`: the document is
    /// gone, or another reading was asked for since.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn begin(&self, id: &str, reading: i64) -> Result<Option<(Document, Vec<u8>)>, StoreError> {
        let is = Column::Id.eq(id).and(Column::Asked.eq(reading));
        let begun = Entity::update_many().col_expr(Column::State, Expr::value(State::Reading)).filter(is);
        let begun = self.slowly(async {
            let writing = self.0.begin().await?;
            let done = async {
                if begun.exec(&writing.txn).await?.rows_affected == 0 {
                    return Ok(None);
                }
                let document = Entity::find_by_id(id).one(&writing.txn).await?;
                Ok(document.zip(Some(bytes(&writing.txn, id).await?)))
            };
            let done = done.await;
            writing.end(done).await
        });
        begun.await
    }

    /// Keeps what a page's server has sent.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn fetched(&self, id: &str, fetched: &Fetched) -> Result<(), StoreError> {
        let size = i64::try_from(fetched.bytes.len()).unwrap_or(i64::MAX);
        let change = ActiveModel {
            size: Set(size),
            declared: Set(fetched.declared.clone()),
            etag: Set(fetched.etag.clone()),
            modified: Set(fetched.modified.clone()),
            ..Default::default()
        };
        self.slowly(async {
            let writing = self.0.begin().await?;
            let done = async {
                let changed = Entity::update_many().set(change).filter(Column::Id.eq(id)).exec(&writing.txn).await?;
                if changed.rows_affected > 0 {
                    set_bytes(&writing.txn, id, &fetched.bytes).await?;
                }
                Ok(())
            };
            let done = done.await;
            writing.end(done).await
        })
        .await
    }

    /// Ends a reading that found something: its passages are found from now on, and those of the one before no more.
    ///
    /// # Errors
    /// The store cannot be written: nothing has changed for who looks things up.
    pub async fn finish(&self, document: &Document, reading: &Reading) -> Result<(), StoreError> {
        for (at, some) in reading.passages.chunks(CHUNK).enumerate() {
            self.keep(document, at * CHUNK, some).await?;
        }
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let own = reading.title.as_ref().filter(|_| !document.titled);
        let words = Some(reading.remarks.join(" ")).filter(|words| !words.is_empty());
        let change = ActiveModel {
            title: own.map_or(NotSet, |title| Set(title.clone())),
            state: Set(State::Ready),
            words: Set(words),
            kind: Set(Some(reading.kind.name().to_owned())),
            pages: Set(reading.pages.map(i64::from)),
            characters: Set(count(reading.characters)),
            passages: Set(count(reading.passages.len())),
            reading: Set(document.asked),
            ..Default::default()
        };
        self.end(document, change, true).await?;
        self.sweep().await
    }

    /// Ends a reading that came to nothing; what was found before stays.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn failed(&self, document: &Document, words: &str) -> Result<(), StoreError> {
        let words = Some(words.replace('\0', ""));
        // Its server is to send it again, whatever it says of its version.
        let (etag, modified) = (Set(None), Set(None));
        let change = ActiveModel { state: Set(State::Failed), words: Set(words), etag, modified, ..Default::default() };
        self.end(document, change, false).await
    }

    /// Ends a reading of a page that is as it was.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn unchanged(&self, document: &Document) -> Result<(), StoreError> {
        self.end(document, ActiveModel { state: Set(State::Ready), ..Default::default() }, false).await
    }

    async fn end(&self, document: &Document, change: ActiveModel, read: bool) -> Result<(), StoreError> {
        let is = Column::Id.eq(document.id.as_str()).and(Column::Asked.eq(document.asked));
        let clock = || sql::clock(self.0.db());
        let mut end = Entity::update_many().set(change).col_expr(Column::TriedMs, clock()).filter(is);
        if read {
            end = end.col_expr(Column::ReadMs, clock());
        }
        self.slowly(async {
            let writing = self.0.begin().await?;
            let done = end.exec(&writing.txn).await.map(drop).map_err(StoreError::from);
            writing.end(done).await
        })
        .await
    }

    pub(super) async fn keep(&self, document: &Document, from: usize, some: &[Passage]) -> Result<(), StoreError> {
        self.slowly(async {
            let writing = self.0.begin().await?;
            let done = async {
                if from == 0 {
                    // Of a reading that was killed.
                    let left = "DELETE FROM passages WHERE document = $1 AND reading = $2";
                    let values = [document.id.as_str().into(), document.asked.into()];
                    let backend = writing.txn.get_database_backend();
                    writing.txn.execute_raw(Statement::from_sql_and_values(backend, left, values)).await?;
                }
                for (at, passage) in some.iter().enumerate() {
                    let place = i64::try_from(from + at).unwrap_or(i64::MAX);
                    sql::keep_passage(&writing.txn, row(document, place, passage)).await?;
                }
                Ok(())
            };
            let done = done.await;
            writing.end(done).await
        })
        .await
    }

    /// Deletes what readings and removals have left, a few rows at a time, and asks for what is due: pages that were not tried
    /// for a day. Documents whose reading was given up say so.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let own = "SELECT 1 FROM knowledge k WHERE k.id = x.document";
        // What is newer is of a reading that goes on.
        let old = format!(
            "DELETE FROM passages WHERE seq IN (SELECT x.seq FROM passages x WHERE NOT EXISTS ({own} AND (k.reading = x.reading \
             OR (k.asked = x.reading AND k.state = 'reading'))) LIMIT {CHUNK})"
        );
        let bytes = format!(
            "DELETE FROM knowledge_bytes WHERE document IN (SELECT x.document FROM knowledge_bytes x WHERE NOT EXISTS ({own}) \
             LIMIT 1)"
        );
        for text in [old, bytes] {
            for _ in 0..SWEPT {
                if self.execute(&text).await? == 0 {
                    break;
                }
            }
        }
        let given_up = format!(
            "UPDATE knowledge SET state = 'failed', words = 'Its reading was begun several times and never came to an end.' \
             WHERE state IN ('waiting', 'reading') AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.kind = '{KNOWLEDGE}' AND \
             jobs.key = knowledge.id || '/' || knowledge.asked AND jobs.state = 'waiting')"
        );
        self.execute(&given_up).await.map(drop)
    }

    /// Asks for pages that were not tried for a day; tells how many.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn ask_for_old_pages(&self) -> Result<usize, StoreError> {
        let clock = sql::clock_text(self.0.db());
        let old = Entity::find()
            .filter(Column::Url.is_not_null())
            .filter(Column::State.is_in([State::Ready, State::Failed]))
            .filter(Expr::cust(format!("tried_ms < {clock} - {DAY_MS}")))
            .order_by_asc(Column::TriedMs)
            .limit(CHUNK as u64);
        let old = self.0.in_time(async { Ok(old.all(self.0.db()).await?) }).await?;
        for document in &old {
            self.read_again(&document.agent, &document.id).await?;
        }
        Ok(old.len())
    }

    async fn execute(&self, text: &str) -> Result<u64, StoreError> {
        self.slowly(async {
            let writing = self.0.begin().await?;
            let done = writing.txn.execute_raw(sql::statement(&writing.txn, text)).await;
            let done = done.map(|done| done.rows_affected()).map_err(StoreError::from);
            writing.end(done).await
        })
        .await
    }

    /// What nobody on a call waits for.
    async fn slowly<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        tokio::time::timeout(LONGEST, work).await.unwrap_or(Err(StoreError::Slow))
    }
}

impl Job {
    /// The document and the number of its reading that a job of [`KNOWLEDGE`] is about.
    pub fn reading(&self) -> Option<(&str, i64)> {
        let (id, reading) = self.key.rsplit_once('/')?;
        Some((id, reading.parse().ok()?))
    }
}

fn in_order(question: &Question, found: &[Hit], limit: usize) -> Vec<Hit> {
    let headings: Vec<String> = found.iter().map(|hit| format!("{} {}", hit.title, hit.heading)).collect();
    let texts: Vec<_> = headings.iter().zip(found).map(|(heading, hit)| (heading.as_str(), &*hit.text)).collect();
    let order = question.order(&texts);
    order.into_iter().take(limit).map(|at| found[at].clone()).collect()
}

async fn add<C: ConnectionTrait>(db: &C, agent: &str, new: NewDocument) -> Result<Taken, StoreError> {
    // Of two that would take the last place, one is first.
    sql::knowledge_alone(db).await?;
    let bytes = new.bytes.len() as u64;
    let counted = if new.url.is_some() { rules::MAX_PAGE_BYTES } else { bytes };
    if let Err(no) = rules::may_add(held(db, agent).await?, counted) {
        return Ok(Taken::No(no));
    }
    let now_ms = sql::clock_ms(db).await?;
    let document = Document {
        id: id::new_at_any_rate(id::Kind::Document),
        agent: agent.to_owned(),
        titled: new.title.is_some(),
        title: new.title.unwrap_or(new.name),
        declared: new.declared,
        url: new.url,
        size: i64::try_from(bytes).unwrap_or(i64::MAX),
        state: State::Waiting,
        words: None,
        kind: None,
        pages: None,
        characters: 0,
        passages: 0,
        added_by: new.by,
        added_ms: now_ms,
        read_ms: None,
        tried_ms: None,
        etag: None,
        modified: None,
        asked: 0,
        reading: 0,
    };
    let row = document.clone().into_active_model().reset_all();
    Entity::insert(row).exec_without_returning(db).await?;
    if !new.bytes.is_empty() {
        set_bytes(db, &document.id, &new.bytes).await?;
    }
    ask(db, document).await.map(|document| Taken::New(Box::new(document)))
}

/// What an agent has; of a page that is to be fetched, what it may come to have.
async fn held<C: ConnectionTrait>(db: &C, agent: &str) -> Result<Held, StoreError> {
    let page = rules::MAX_PAGE_BYTES;
    let text = format!(
        "SELECT count(*), CAST(COALESCE(sum(CASE WHEN url IS NOT NULL AND size = 0 THEN {page} ELSE size END), 0) AS BIGINT) \
         FROM knowledge WHERE agent = $1"
    );
    let asked = Statement::from_sql_and_values(db.get_database_backend(), text, [agent.into()]);
    let Some(row) = db.query_one_raw(asked).await? else { return Ok(Held::default()) };
    let (documents, bytes): (i64, i64) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
    Ok(Held { documents: documents.unsigned_abs(), bytes: bytes.unsigned_abs() })
}

/// Asks for a reading, which a job does.
async fn ask<C: ConnectionTrait>(db: &C, document: Document) -> Result<Document, StoreError> {
    let asked = Document { asked: document.asked + 1, state: State::Waiting, ..document };
    let change = ActiveModel { asked: Set(asked.asked), state: Set(asked.state), ..Default::default() };
    Entity::update_many().set(change).filter(Column::Id.eq(asked.id.as_str())).exec(db).await?;
    let key = format!("{}/{}", asked.id, asked.asked);
    jobs::insert_at(db, None, NewJob { kind: KNOWLEDGE.to_owned(), key, ..NewJob::default() }).await?;
    Ok(asked)
}

async fn bytes<C: ConnectionTrait>(db: &C, document: &str) -> Result<Vec<u8>, StoreError> {
    let text = "SELECT bytes FROM knowledge_bytes WHERE document = $1";
    let asked = Statement::from_sql_and_values(db.get_database_backend(), text, [document.into()]);
    let row = db.query_one_raw(asked).await?;
    Ok(row.map_or(Ok(Vec::new()), |row| row.try_get_by_index(0))?)
}

async fn set_bytes<C: ConnectionTrait>(db: &C, document: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let text = "INSERT INTO knowledge_bytes (document, bytes) VALUES ($1, $2) ON CONFLICT (document) DO UPDATE SET bytes = \
                excluded.bytes";
    let values = [document.into(), Value::Bytes(Some(bytes.to_vec()))];
    db.execute_raw(Statement::from_sql_and_values(db.get_database_backend(), text, values)).await?;
    Ok(())
}

fn row(document: &Document, place: i64, passage: &Passage) -> [Value; 9] {
    [
        document.id.as_str().into(),
        document.asked.into(),
        place.into(),
        document.agent.as_str().into(),
        passage.heading.as_str().into(),
        passage.page.map(i64::from).into(),
        passage.text.as_str().into(),
        indexed(&passage.heading).into(),
        indexed(&passage.text).into(),
    ]
}
