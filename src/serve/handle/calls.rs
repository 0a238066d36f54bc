//! What the web side may do with calls.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use axum::http::HeaderMap;
use serde_json::Value;

use super::Handle;
use crate::engine::Control;
use crate::serve::api;
use crate::serve::feed::Feed;
use crate::store::folder_name;

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
    pub code: &'static str,
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
        CallRefused { status: status.as_u16(), code, message, call }
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
            code: "internal",
            message: "Something went wrong on our side. The log says what.".to_owned(),
            call: None,
        };
        Ok(placed.await.map_err(gone)??)
    }

    /// Takes a call back that nobody has answered.
    ///
    /// # Errors
    /// There is none that could be.
    pub async fn cancel(&self, call: &str) -> Result<(), CallRefused> {
        Ok(api::cancel_known(&self.0, call).await?)
    }

    /// Asks something of a call that is up here.
    ///
    /// # Errors
    /// It is not up here, or has too much to do.
    pub fn order(&self, call: &str, control: Control) -> Result<(), CallRefused> {
        Ok(api::command(&self.0, call, control)?)
    }

    /// Whether a call is up or rings here.
    pub fn is_here(&self, call: &str) -> bool {
        self.0.registry.contains(call)
    }

    /// Whether the carrier is asked for a call, or it rings, and nobody has picked up.
    pub fn is_ringing(&self, call: &str) -> bool {
        self.0.dials.get(call).is_some_and(|placed| !placed.is_answered())
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
