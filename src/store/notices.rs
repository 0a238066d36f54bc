//! What servers of one store tell each other: that something is new, and of which kind. Who is told looks for itself; who may
//! have missed something hears an empty notice, and looks at everything.
//!
//! PostgreSQL passes notices on (`LISTEN`), over one connection of each server. Where a server is alone with its rows it hears
//! what it does itself, and what commands do beside it shows when it looks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sea_orm::{ConnectionTrait, DbErr};
use tokio::sync::{broadcast, watch};

use super::{Core, Store, sql};

/// Notices that may wait for one that listens; beyond that it hears an empty one.
const WAITING: usize = 256;

/// What is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// A document: `kind/name`.
    Documents,
    /// What locks documents.
    Locks,
    /// Something is asked of a server, by its id, or was answered.
    Commands,
    /// Who may do what: users, sessions and keys.
    People,
}

impl Topic {
    /// How its notices begin. Documents have none: their kinds begin with a letter.
    const fn mark(self) -> &'static str {
        match self {
            Topic::Documents => "",
            Topic::Locks => "!locks",
            Topic::Commands => "!commands ",
            Topic::People => "!people",
        }
    }

    fn has(self, what: &str) -> bool {
        what.is_empty() || if self == Topic::Documents { !what.starts_with('!') } else { what.starts_with(self.mark()) }
    }
}

/// Where notices come together.
pub(super) struct Hub {
    tell: broadcast::Sender<Arc<str>>,
    /// Notices of others come in: nothing is missed from then on.
    hears: Mutex<bool>,
}

/// Who hears notices of a kind.
pub struct Listener {
    topic: Topic,
    told: broadcast::Receiver<Arc<str>>,
    /// Something may have been missed before it listened.
    first: bool,
}

impl Hub {
    pub(super) fn new() -> Hub {
        Hub { tell: broadcast::Sender::new(WAITING), hears: Mutex::new(false) }
    }

    fn hears(&self) -> MutexGuard<'_, bool> {
        self.hears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, what: &str) {
        // Nobody may listen.
        let _ = self.tell.send(what.into());
    }
}

impl Store {
    /// Notices of a kind, from now on. The first is empty where others write too.
    pub fn listen(&self, topic: Topic) -> Listener {
        self.core.listen(topic)
    }
}

impl Core {
    pub(super) fn listen(&self, topic: Topic) -> Listener {
        // Between the two no notice is heard, so that the first empty one comes once.
        let hears = self.hub.hears();
        Listener { topic, told: self.hub.tell.subscribe(), first: *hears }
    }

    /// Something was written by this process: where nobody else does, who listens is told here.
    pub(super) fn tell(&self, topic: Topic, what: &str) {
        if self.place.is_own() {
            self.hub.tell(&format!("{}{what}", topic.mark()));
        }
    }
}

impl Listener {
    /// The next notice, without what says its kind; empty: look at everything. `None`: the store is gone.
    pub async fn next(&mut self) -> Option<String> {
        if std::mem::take(&mut self.first) {
            return Some(String::new());
        }
        loop {
            match self.told.recv().await {
                Ok(what) if self.topic.has(&what) => {
                    return Some(what.strip_prefix(self.topic.mark()).unwrap_or_default().to_owned());
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => return Some(String::new()),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// Tells all servers, once the transaction is through. Of this process's own [`Core::tell`] tells where it is alone.
pub(super) async fn notify<C: ConnectionTrait>(db: &C, topic: Topic, what: &str) -> Result<(), DbErr> {
    sql::notify(db, &format!("{}{what}", topic.mark())).await
}

/// Passes on what others tell, until the store is stopped.
pub(super) async fn hear(core: Arc<Core>, mut stopping: watch::Receiver<bool>) {
    let mut far = sql::Notices::new(&core.place);
    loop {
        let what = tokio::select! {
            what = far.next() => what,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        let mut hears = core.hub.hears();
        *hears |= what.is_empty();
        core.hub.tell(&what);
    }
}
