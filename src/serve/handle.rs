//! What the web side may do with a running server: look at it, change its documents, and command its calls.
//!
//! A [`Handle`] is cheap to clone and keeps the server's parts alive. It decides nothing: whether somebody may, is asked
//! before.

mod calls;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;

use crate::config::{By, Config, Edit, EditError, Edited, EventType, Source, Webhook};
use crate::engine::Control;
use crate::house::locks::Lock;
use crate::store::{Attempt, Locked, Sample, Store, StoreError};

use super::numbers::Numbers;
use super::public::Public;
use super::registry::Command;
use super::shared::Shared;
use super::{edit, locks};

pub use calls::{CallRefused, Placing};

/// Makes the routes that are served beside the server's own.
pub type Web = Box<dyn FnOnce(Handle) -> Router + Send>;

/// A running server, as the web side sees it.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

impl Handle {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Handle(Arc::clone(shared))
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.0.config()
    }

    /// How people and programs reach this server for a request with these headers: scheme, host and port.
    pub fn base(&self, headers: &HeaderMap) -> String {
        Public::of_people(&self.config().server, headers).into_base()
    }

    /// The documents.
    pub fn source(&self) -> &Source {
        &self.0.source
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Where calls are kept.
    pub fn data(&self) -> &Path {
        &self.0.data
    }

    /// Changes documents: see [`Running::edit`](super::Running::edit). `locked`: whether one that a running campaign uses is
    /// changed all the same.
    ///
    /// # Errors
    /// As there.
    pub async fn edit(
        &self,
        edits: Vec<Edit>,
        who: &str,
        by: By,
        locked: Locked,
        dry_run: bool,
    ) -> Result<Edited, EditError> {
        edit::edit(&self.0, edits, who, by, locked, dry_run).await
    }

    /// What locks documents, as last seen: some seconds old at most, while the store answers.
    pub fn locks(&self) -> Arc<[Lock]> {
        self.0.locks.seen()
    }

    /// Locks an agent under an id of whatever does, on all servers, until it is [unlocked](Self::unlock).
    ///
    /// # Errors
    /// The store cannot be written, or has as many locks as it takes.
    pub async fn lock(&self, id: &str, lock: &Lock) -> Result<(), StoreError> {
        self.0.store.lock(id, lock).await?;
        locks::take(&self.0).await.map(drop)
    }

    /// Lets go of what is locked under this id. What waits for it is applied.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn unlock(&self, id: &str) -> Result<(), StoreError> {
        self.0.store.unlock(id).await?;
        locks::take(&self.0).await.map(drop)
    }

    /// Ids of the calls that are up, in order of their beginning.
    pub fn calls(&self) -> Vec<String> {
        self.0.registry.calls()
    }

    /// Asks something of a running call. `false`: there is no such call, or it has too much to do.
    pub fn control(&self, call: &str, control: Control) -> bool {
        self.0.registry.command(call, Command::Control(control))
    }

    /// Phone numbers.
    pub fn numbers(&self) -> Numbers {
        Numbers(Arc::clone(&self.0))
    }

    /// Sends samples of these types to an endpoint, as [`Sender::test`](super::webhooks::Sender::test).
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn test_webhook(
        &self,
        hook: &Webhook,
        kinds: &[EventType],
    ) -> Result<Vec<(Sample, Attempt)>, StoreError> {
        self.0.sender.test(hook, kinds).await
    }

    /// Has it looked for jobs now: one was put in.
    pub fn look_for_jobs(&self) {
        self.0.store.tell_of_jobs();
    }

    /// Whether an agent has documents to look things up in: chats give it the tool then, as calls do.
    pub fn knows(&self, agent: &str) -> bool {
        self.0.known.has(agent)
    }

    /// Whether the server is being shut down.
    pub fn is_draining(&self) -> bool {
        self.0.registry.is_draining()
    }

    /// Counts a request to the API, by what it was answered: `ok`, `refused`, `token`, `not_found`, `too_many`, `failed`.
    pub fn count_answer(&self, answer: &'static str) {
        self.0.metrics.api.add(answer, 1);
    }

    /// Counts a request that was refused for coming too soon (RATE-03), by whose it was and which class of requests it was
    /// of. Of credentials beyond the first thousand no name is kept.
    pub fn count_refused(&self, credential: &str, class: &str) {
        self.0.metrics.api_limited.add(&format!("{class} {credential}"), 1);
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("data", &self.0.data).finish_non_exhaustive()
    }
}
