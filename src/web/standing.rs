//! Whether whoever has a stream open may still have it (ACC-05): a stream outlives the request that was let in.
//!
//! It is looked at when somebody's standing changed on any server, and every few seconds in any case: a notice may be lost, and
//! where a command changes the rows beside a server there is none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Api;
use crate::config::Secret;
use crate::house::principal::Principal;
use crate::house::routes::{self, Route};
use crate::store::{Listener, Topic};

/// How often it is looked at in any case: with all watchers that there can be, a hundred looks a second at rows by their keys.
const EVERY: Duration = Duration::from_secs(5);
/// How soon after a look a notice leads to the next.
const SOON: Duration = Duration::from_millis(500);
/// Who could not be looked at for so long, because the store does not answer, is let go.
const LONGEST: Duration = Duration::from_secs(30);

/// Somebody who was let in to a route.
pub(crate) struct Standing {
    api: Api,
    who: Arc<Principal>,
    route: Option<&'static Route>,
    /// The token of `[api]`, of whoever came with it.
    token: Option<Secret>,
    told: Listener,
    is_told: bool,
    looked: Instant,
    /// When they were certainly who they were.
    sure: Instant,
}

impl Standing {
    /// Of somebody whom the gate has let in to this route just now.
    pub(crate) fn new(api: &Api, who: Arc<Principal>, method: &str, path: &str) -> Standing {
        let own = matches!(&*who, Principal::Key { id, .. } if id == "api");
        let now = Instant::now();
        Standing {
            token: own.then(|| token(api)).flatten(),
            api: api.clone(),
            who,
            route: routes::find(method, path),
            told: api.handle.store().listen(Topic::People),
            is_told: false,
            looked: now,
            sure: now,
        }
    }

    /// Who they are by now.
    pub(crate) fn who(&self) -> &Principal {
        &self.who
    }

    /// Waits until somebody's standing has changed. Cancelling it loses nothing.
    pub(crate) async fn changed(&mut self) {
        if self.is_told || self.told.next().await.is_none() {
            // Nobody tells any more: it is looked at from time to time.
            std::future::pending::<()>().await;
        }
        self.is_told = true;
    }

    /// Whether they may still be here.
    pub(crate) async fn holds(&mut self) -> bool {
        let since = self.looked.elapsed();
        if since < SOON || !self.is_told && since < EVERY {
            return true;
        }
        (self.looked, self.is_told) = (Instant::now(), false);
        let now = match &self.token {
            Some(token) => {
                let same = self::token(&self.api).is_some_and(|now| now.expose() == token.expose());
                Ok(same.then(|| (*self.who).clone()))
            }
            None => self.api.handle.store().people().again(&self.who).await,
        };
        match now {
            Ok(Some(who)) if self.route.is_some_and(|route| routes::may(&who, route).is_ok()) => {
                (self.who, self.sure) = (Arc::new(who), self.looked);
                true
            }
            Ok(_) => false,
            Err(error) => {
                tracing::debug!(%error, "whether somebody who watches still may is not known");
                self.sure.elapsed() < LONGEST
            }
        }
    }
}

fn token(api: &Api) -> Option<Secret> {
    api.handle.config().server.api.as_ref().map(|own| own.token.clone())
}
