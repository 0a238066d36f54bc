//! Whose store it is: a running server's, or a command's.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{DatabaseConnection, DatabaseTransaction, TransactionTrait as _};
use tokio::sync::MutexGuard;

use super::{Core, PATIENCE, StoreError, sql};
use crate::config::Secret;

/// How long a command may take: it is on nobody's way.
const COMMAND: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(super) enum Whose {
    Server(Arc<Core>),
    Command(DatabaseConnection),
}

impl Whose {
    pub(super) fn db(&self) -> &DatabaseConnection {
        match self {
            Whose::Server(core) => &core.db,
            Whose::Command(db) => db,
        }
    }

    /// What secrets are sealed with; a command does without.
    pub(super) fn seal_key(&self) -> Option<Secret> {
        match self {
            Whose::Server(core) => core.settings.borrow().store.seal_key.clone(),
            Whose::Command(_) => None,
        }
    }

    /// The answer to a question, if it comes in time.
    pub(super) async fn in_time<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let patience = if matches!(self, Whose::Server(_)) { PATIENCE } else { COMMAND };
        tokio::time::timeout(patience, work).await.unwrap_or(Err(StoreError::Slow))
    }

    /// Begins to write, when it is this one's turn.
    pub(super) async fn begin(&self) -> Result<Writing<'_>, StoreError> {
        match self {
            Whose::Server(core) => {
                let mut turn = core.turn.lock().await;
                match turn.begin_with_options(sql::immediate()).await {
                    Ok(txn) => Ok(Writing { txn, turn: Some((core, turn)) }),
                    Err(error) => {
                        core.renew(&mut turn).await;
                        Err(error.into())
                    }
                }
            }
            Whose::Command(db) => Ok(Writing { txn: db.begin_with_options(sql::immediate()).await?, turn: None }),
        }
    }

    /// Writes what nobody waits for: not at all, when it is somebody else's turn.
    pub(super) fn idle(&self) -> Option<MutexGuard<'_, DatabaseConnection>> {
        match self {
            Whose::Server(core) => core.turn.try_lock().ok(),
            Whose::Command(_) => None,
        }
    }
}

/// A transaction.
pub(super) struct Writing<'a> {
    pub(super) txn: DatabaseTransaction,
    turn: Option<(&'a Arc<Core>, MutexGuard<'a, DatabaseConnection>)>,
}

impl Writing<'_> {
    /// Keeps what was done, or none of it.
    pub(super) async fn end<T>(self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let Writing { txn, turn } = self;
        let done = match done {
            Ok(done) => txn.commit().await.map(|()| done).map_err(StoreError::from),
            Err(error) => txn.rollback().await.map_err(StoreError::from).and(Err(error)),
        };
        if let (Err(StoreError::Db(_)), Some((core, mut turn))) = (&done, turn) {
            core.renew(&mut turn).await;
        }
        done
    }
}
