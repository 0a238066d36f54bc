//! What all parts of one server share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ring::rand::SystemRandom;
use tokio::sync::Semaphore;

use crate::config::{Config, Source};
use crate::store::Store;

use super::after::AfterCalls;
use super::api::Rate;
use super::dial::{Book, Ledger};
use super::feed::Feed;
use super::from_store::Known;
use super::keeper::Keeper;
use super::knowledge::known::Known as Knowing;
use super::late::Late;
use super::lines::Registry;
use super::lines::twilio::documents::Documents;
use super::locks::Locks;
use super::metrics::Metrics;
use super::models;
use super::numbers::desk::Desk;
use super::observer::Observer;
use super::outgoing::Outgoing;
use super::pressure::Pressure;
use super::reach::Reach;
use super::revise::Reviser;
use super::seldom::Seldom;
use super::webhooks::Sender;

/// One for a server; whatever takes care of requests and calls has it at hand.
pub(super) struct Shared {
    pub(super) source: Source,
    /// Where calls are kept; a change of the configuration does not move it.
    pub(super) data: PathBuf,
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) registry: Arc<Registry>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) pressure: Pressure,
    pub(super) keeper: Keeper,
    /// Files for which there was no room.
    pub(super) late: Arc<Late>,
    pub(super) store: Store,
    pub(super) reviser: Reviser,
    /// How far the working copy is of documents that are the store's. Who has it may change them.
    pub(super) stored: tokio::sync::Mutex<Known>,
    /// Calls that were placed and are not over, and the keys that they were placed under.
    pub(super) dials: Book,
    pub(super) ledger: Ledger,
    pub(super) api_rate: Rate,
    /// What locks documents, as last seen.
    pub(super) locks: Locks,
    pub(super) sender: Sender,
    /// What happens in calls, for who watches.
    pub(super) feed: Arc<Feed>,
    pub(super) client: reqwest::Client,
    /// What calls are to do next, for carriers that take only the URL of it.
    pub(super) documents: Arc<Documents>,
    /// What is at hand of phone numbers.
    pub(super) numbers: Arc<Desk>,
    /// What agents ask of other servers.
    pub(super) reach: Reach,
    /// Agents that have documents to look things up in.
    pub(super) known: Knowing,
    pub(super) after: Arc<AfterCalls>,
    pub(super) model_way: models::Way,
    /// How others are asked.
    pub(super) outgoing: Outgoing,
    pub(super) random: SystemRandom,
    /// Bounds the media sockets that have not shown a token yet.
    pub(super) unclaimed: Arc<Semaphore>,
    /// Bounds what strangers can make us log.
    pub(super) strangers: Seldom,
    /// The same for calls that come when there are too many.
    pub(super) crowded: Seldom,
}

impl Shared {
    /// The configuration in force.
    pub(super) fn config(&self) -> Arc<Config> {
        self.source.current()
    }

    /// Looks at the configuration's files, off the async threads. Tells after how long it is worth another look.
    pub(super) async fn look(self: &Arc<Self>) -> Option<Duration> {
        let shared = Arc::clone(self);
        // A look that panicked has changed nothing; without a runtime there is no other.
        let refreshed = tokio::task::spawn_blocking(move || {
            let refreshed = shared.source.refresh();
            shared.reviser.applied(&shared.source, &refreshed.changes);
            refreshed
        });
        refreshed.await.ok().and_then(|refreshed| refreshed.again)
    }
}
