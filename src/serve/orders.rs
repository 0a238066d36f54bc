//! Orders for calls, whichever server of the store has them.
//!
//! ```text
//!   order ─► is it here? ─► to the call
//!              │ no
//!              └─► a row in the store ─► the server that has it ─► to the call ─► its answer, a row ─► back, within two seconds
//! ```
//!
//! What is asked of another server is carried out there as it would be here, once or not at all.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::{sleep, timeout};

use crate::config::{By, DocId, Edit, Wanted};
use crate::engine::{Control, EndReason};
use crate::store::{Asked, Locked, Reply, StoreError, Topic};

use super::registry::Command;
use super::{Shared, api, edit, from_store};

/// How long another server's answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked for orders of others, beside their notices.
const LOOK: Duration = Duration::from_secs(2);

/// What is asked of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// To end politely; one that nobody has answered is taken back.
    End,
    /// To be taken back, before anybody answers.
    Cancel,
    /// That the caller's turn is over.
    Commit,
    /// To say a line.
    Say(String),
    /// To put the caller through to a destination of the agent's.
    PutThrough(String),
}

/// Why an order is not carried out, or that nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) code: Cow<'static, str>,
    pub(super) message: String,
}

/// What an emergency has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Calls that are being ended.
    pub calls: u64,
    /// Servers that have not said whether they have done it.
    pub silent: Vec<String>,
}

/// What one server asks of another.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Errand {
    Call {
        call: String,
        order: Order,
    },
    /// Calls of an agent end. Its document gets these keys, where the server has files of its own.
    Off {
        agent: String,
        keys: Map<String, Value>,
        who: String,
    },
}

/// What it says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    Done { calls: u64 },
    Refused(Refused),
}

/// Asks something of a call, wherever it is.
pub(super) async fn order(shared: &Arc<Shared>, call: &str, order: Order) -> Result<(), Refused> {
    if shared.registry.contains(call) || shared.dials.get(call).is_some() {
        return here(shared, call, order).await;
    }
    let server = shared.store.server_of(call).await.map_err(unavailable)?;
    let Some(server) = server.filter(|server| *server != shared.store.server()) else {
        return here(shared, call, order).await;
    };
    let ends = matches!(order, Order::Cancel | Order::End);
    let errand = Errand::Call { call: call.to_owned(), order };
    let reply = ask(shared, &server, &errand).await.map_err(unavailable)?;
    match reply {
        Ok(Said::Done { .. }) => Ok(()),
        Ok(Said::Refused(refused)) => Err(refused),
        // Nobody has it in sight any more: whoever is asked takes it back.
        Err(Reply::Gone) if ends => here(shared, call, Order::Cancel).await.map_err(|no| match no.code.as_ref() {
            "no_call" | "answered" => gone(),
            _ => no,
        }),
        Err(Reply::Gone) => Err(gone()),
        Err(Reply::Untaken) => {
            let message = "the server that has the call does not answer; nothing was asked of the call, so try again";
            Err(refused(503, "server_silent", message))
        }
        Err(_) => {
            let message =
                "the server that has the call took the order and has not said what came of it: look at the call";
            Err(refused(504, "outcome_unknown", message))
        }
    }
}

/// The same on this server.
async fn here(shared: &Arc<Shared>, call: &str, order: Order) -> Result<(), Refused> {
    let rings = shared.dials.get(call).is_some_and(|placed| !placed.is_answered());
    let control = match order {
        Order::Cancel => return Ok(api::cancel_known(shared, call).await?),
        // One that was placed and that no task has in sight is looked for, and taken back.
        Order::End if rings || !shared.registry.contains(call) => return Ok(api::cancel_known(shared, call).await?),
        _ if rings => return Err(refused(409, "ringing", "nobody has picked up yet")),
        Order::End => Control::End(EndReason::Operator),
        Order::Commit => Control::CommitTurn,
        Order::Say(text) => Control::Say(text),
        Order::PutThrough(to) => Control::PutThrough(to),
    };
    Ok(api::command(shared, call, control)?)
}

/// Ends all calls of an agent, on all servers. `keys`: what its document gets on servers that have files of their own.
pub(super) async fn off(
    shared: &Arc<Shared>,
    agent: &str,
    keys: Map<String, Value>,
    who: &str,
) -> Result<Ended, StoreError> {
    let mut ended = Ended { calls: end_here(shared, agent).await?, silent: Vec::new() };
    let others = shared.store.other_servers().await?;
    let errand = Errand::Off { agent: agent.to_owned(), keys, who: who.to_owned() };
    let replies = join_all(others.iter().map(|server| ask(shared, server, &errand))).await;
    for (server, reply) in others.iter().zip(replies) {
        match reply {
            Ok(Ok(Said::Done { calls })) => ended.calls += calls,
            Ok(Err(Reply::Gone)) => {}
            other => {
                tracing::error!(server, ?other, agent, "a server has not said that it has ended an agent's calls");
                ended.silent.push(server.clone());
            }
        }
    }
    Ok(ended)
}

async fn end_here(shared: &Shared, agent: &str) -> Result<u64, StoreError> {
    let calls = shared.store.running_calls_of(agent).await?;
    let end = |call: &String| shared.registry.command(call, Command::Control(Control::End(EndReason::Operator)));
    Ok(calls.iter().filter(|call| end(call)).count() as u64)
}

/// Asks another server. `Err`: it has not answered, and why.
async fn ask(shared: &Shared, server: &str, errand: &Errand) -> Result<Result<Said, Reply>, StoreError> {
    let unread = |error: serde_json::Error| StoreError::Refused(error.to_string());
    let order = serde_json::to_string(errand).map_err(unread)?;
    let reply =
        shared.store.ask(server, &order, PATIENCE).await.inspect_err(|_| shared.metrics.orders.add("failed", 1))?;
    let outcome = match reply {
        Reply::Answer(_) => "answered",
        Reply::Gone => "gone",
        Reply::Untaken => "untaken",
        Reply::Unknown => "unknown",
    };
    shared.metrics.orders.add(outcome, 1);
    match reply {
        Reply::Answer(said) => Ok(Ok(serde_json::from_str(&said).map_err(unread)?)),
        none => Ok(Err(none)),
    }
}

/// Carries out what others ask, for as long as the server runs.
pub(super) async fn work(shared: Arc<Shared>) {
    if !shared.store.revisions().hears_others() {
        return;
    }
    let mut told = shared.store.listen(Topic::Commands);
    let me = shared.store.server().to_owned();
    loop {
        match timeout(LOOK, told.next()).await {
            Ok(None) => return,
            // Another's.
            Ok(Some(server)) if !server.is_empty() && server != me => continue,
            Ok(Some(_)) | Err(_) => {}
        }
        loop {
            match shared.store.asked().await {
                Ok(asked) if asked.is_empty() => break,
                Ok(asked) => {
                    for asked in asked {
                        answer(&shared, asked).await;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "what other servers ask is not known");
                    sleep(LOOK).await;
                    break;
                }
            }
        }
    }
}

async fn answer(shared: &Arc<Shared>, asked: Asked) {
    let said = match serde_json::from_str(&asked.order) {
        Ok(errand) => carry_out(shared, errand).await,
        // A server of a newer version asked.
        Err(_) => Said::Refused(refused(501, "unknown_order", "the server that has the call does not know this order")),
    };
    shared.metrics.orders.add("carried_out", 1);
    let said = serde_json::to_string(&said).unwrap_or_default();
    if let Err(error) = shared.store.answer(&asked.id, &said).await {
        tracing::warn!(%error, "what came of another server's order cannot be said");
    }
}

async fn carry_out(shared: &Arc<Shared>, errand: Errand) -> Said {
    match errand {
        Errand::Call { call, order } => match here(shared, &call, order).await {
            Ok(()) => Said::Done { calls: 1 },
            Err(refused) => Said::Refused(refused),
        },
        Errand::Off { agent, keys, who } => {
            switch(shared, &agent, keys, &who).await;
            match end_here(shared, &agent).await {
                Ok(calls) => Said::Done { calls },
                Err(error) => Said::Refused(unavailable(error)),
            }
        }
    }
}

/// Makes an agent inactive that another server has made so.
async fn switch(shared: &Arc<Shared>, agent: &str, keys: Map<String, Value>, who: &str) {
    if shared.source.is_stored() {
        let mut known = shared.stored.lock().await;
        // Said where it fails.
        let _ = from_store::catch_up(shared, &mut known).await;
        return;
    }
    let doc = DocId::Agent(agent.into());
    let (read, at) = (Arc::clone(shared), doc.clone());
    let written = tokio::task::spawn_blocking(move || read.source.written(&at)).await;
    let Ok(Some((_, revision))) = written else { return };
    let edits = vec![Edit { doc, upon: Some(revision), to: Wanted::Patched(keys) }];
    if let Err(error) = edit::edit(shared, edits, who, By::Api, Locked::Passed, false).await {
        tracing::error!(%error, agent, "an agent that was switched off on another server is not off here");
    }
}

fn gone() -> Refused {
    refused(409, "server_gone", "the server that had the call is gone, and the call with it")
}

fn refused(status: u16, code: &'static str, message: &str) -> Refused {
    Refused { status, code: Cow::Borrowed(code), message: message.to_owned() }
}

fn unavailable(error: StoreError) -> Refused {
    tracing::warn!(%error, "an order for a call on another server cannot be passed on");
    let message =
        "the server that has the call is reached by the store, which does not answer: look at the call, then try again";
    refused(503, "store", message)
}

impl From<api::Problem> for Refused {
    fn from(problem: api::Problem) -> Self {
        let api::Problem { status, code, message, .. } = problem;
        Refused { status: status.as_u16(), code: Cow::Borrowed(code), message }
    }
}
