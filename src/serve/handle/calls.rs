//! What the web side may do with calls.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use axum::http::HeaderMap;
use serde_json::{Map, Value};

use super::Handle;
use crate::serve::feed::Feed;
use crate::serve::orders::{Ended, Order};
use crate::serve::{api, orders};
use crate::store::{StoreError, folder_name};

/// A call that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placing {
    /// From the number of this deployment.
    pub deployment: String,
    /// To this number.
    pub to: String,
    /// What the agent's declared variables stand for.
    pub variables: BTreeMap<String, String>,
}

/// Why something is not done with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRefused {
    /// The HTTP status that says the same.
    pub status: u16,
    /// Stable, in snake case.
    pub code: Cow<'static, str>,
    /// What to do about it.
    pub message: String,
    /// The call, if there is one.
    pub call: Option<String>,
}

impl fmt::Display for CallRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CallRefused {}

impl From<api::Problem> for CallRefused {
    fn from(problem: api::Problem) -> Self {
        let api::Problem { status, code, message, call } = problem;
        CallRefused { status: status.as_u16(), code: Cow::Borrowed(code), message, call }
    }
}

impl From<orders::Refused> for CallRefused {
    fn from(refused: orders::Refused) -> Self {
        let orders::Refused { status, code, message } = refused;
        CallRefused { status, code, message, call: None }
    }
}

impl Handle {
    /// Whether a call could be placed, as far as that can be said before it is. `headers`: of the request, which say how this
    /// server is reached if nobody else does.
    ///
    /// # Errors
    /// Something in what is wanted is wrong.
    pub fn check_placing(&self, headers: &HeaderMap, placing: &Placing) -> Result<(), CallRefused> {
        Ok(api::check(&self.0.config(), headers, &placing.body())?)
    }

    /// Places a call, once for each key: what is known of it once the carrier has said something, as `POST /v1/calls` answers.
    ///
    /// # Errors
    /// It is not placed; or, by its code, nobody knows.
    pub async fn place(&self, headers: &HeaderMap, key: &str, placing: &Placing) -> Result<Value, CallRefused> {
        // Carried out to its end, whether whoever asked stays for the answer or not.
        let (shared, headers, key) = (Arc::clone(&self.0), headers.clone(), key.to_owned());
        let body = placing.body();
        let placed = tokio::spawn(async move {
            let config = shared.config();
            api::place_once(&shared, &config, &headers, &key, body).await
        });
        let gone = |_| CallRefused {
            status: 500,
            code: Cow::Borrowed("internal"),
            message: "Something went wrong on our side. The log says what.".to_owned(),
            call: None,
        };
        Ok(placed.await.map_err(gone)??)
    }

    /// Asks something of a call, on whichever server it is.
    ///
    /// # Errors
    /// 404: it is nowhere; it rings, was answered, or has too much to do; or, by the code, its server does not answer, or is gone.
    pub async fn order(&self, call: &str, order: Order) -> Result<(), CallRefused> {
        Ok(orders::order(&self.0, call, order).await?)
    }

    /// Ends all calls of an agent politely, those that ring included, on all servers (VIS-06). Servers that have files of their
    /// own also change these keys of the agent's document, for `who`.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn end_all_of(&self, agent: &str, keys: Map<String, Value>, who: &str) -> Result<Ended, StoreError> {
        orders::off(&self.0, agent, keys, who).await
    }

    /// What happens in calls.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.0.feed
    }

    /// Where a call's files are kept, if they are.
    pub fn folder(&self, call: &str) -> PathBuf {
        self.0.data.join("calls").join(folder_name(call))
    }

    /// Counts a watcher that was left behind or let go.
    pub fn count_watcher(&self, why: &'static str) {
        self.0.metrics.watchers.add(why, 1);
    }
}

impl Placing {
    fn body(&self) -> api::Body {
        let Placing { deployment, to, variables } = self.clone();
        api::Body { deployment, to, variables }
    }
}
