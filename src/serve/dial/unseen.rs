//! Placed calls that this server has lost sight of, and that are wanted no more: taken back at the carrier, without a task and
//! a slot of their own.
//!
//! The wish is in the ledger. Where it says which call of the carrier's it is, it is canceled there, at once and after each
//! start, until the carrier has confirmed it. Where it does not, the carrier's next word on the call says so; until then the
//! same request with the same key looks it up, and whoever picks up is hung up on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tracing::Instrument as _;

use crate::config::Twilio;
use crate::engine::NotAnswered;
use crate::serve::Shared;
use crate::serve::lines::twilio::placing::Carrier;

use super::book::MOST;
use super::ringing::{AGAIN, LATER};
use super::{Record, State, View};

/// How long the carrier is asked: longer than a call may ring. After that the next start asks again.
const LONGEST: Duration = Duration::from_secs(900);
/// How often it is looked for what others have left.
const EVERY: Duration = Duration::from_secs(30);

/// What former servers were to take back, and others that are gone by now.
pub(in crate::serve) async fn go_on(shared: &Arc<Shared>) {
    loop {
        match shared.ledger.of_state(State::Canceling, MOST as u64).await {
            Ok(records) => {
                for record in records {
                    take_back(shared, record).await;
                }
            }
            Err(error) => tracing::warn!(%error, "which placed calls are to be taken back is not known from before"),
        }
        sleep(EVERY).await;
    }
}

/// The carrier tells of a call that is not in the book: if it is to be taken back, now it is known which one it is.
pub(in crate::serve) async fn told(shared: &Arc<Shared>, call: &str, sid: &str) {
    let Ok(Some(record)) = shared.ledger.of_call(call).await else { return };
    if record.state == State::Canceling.name() {
        take_back(shared, Record { carrier_call: Some(sid.to_owned()), ..record }).await;
    }
}

/// Has the carrier take a call back, if it is known which one, beside everything else.
pub(in crate::serve) async fn take_back(shared: &Arc<Shared>, record: Record) {
    let (Some(call), Some(sid)) = (record.call, record.carrier_call) else { return };
    if shared.dials.get(&call).is_some() || !shared.dials.unseen.begin(&call) {
        return;
    }
    let twilio = shared.config().server.twilio.clone();
    let span = tracing::info_span!("dial", id = call);
    // Nobody waits for it: a server that goes does not, and the next one begins again.
    let shared = Arc::downgrade(shared);
    let work = async move {
        let until = Instant::now() + LONGEST;
        let mut pauses = AGAIN.into_iter();
        loop {
            let Some(server) = shared.upgrade() else { return };
            let over = server.registry.is_draining() || server.dials.get(&call).is_some() || Instant::now() >= until;
            if over || settle(&server, &twilio, &record.key, &call, &sid).await {
                return server.dials.unseen.end(&call);
            }
            drop(server);
            sleep(pauses.next().unwrap_or(LATER)).await;
        }
    };
    tokio::spawn(work.instrument(span));
}

/// Asks once. Answers whether nothing more is to be done.
async fn settle(shared: &Arc<Shared>, twilio: &Twilio, key: &str, call: &str, sid: &str) -> bool {
    let carrier = Carrier::new(shared.client.clone(), twilio.clone());
    if let Err(why) = carrier.cancel(sid).await {
        tracing::warn!(why, "the call could not be taken back");
        return false;
    }
    // It may have come to another end before.
    let how = match carrier.status(sid).await.as_deref() {
        Ok("busy") => NotAnswered::Busy,
        Ok("no-answer") => NotAnswered::NoAnswer,
        Ok("failed") => NotAnswered::Failed,
        _ => NotAnswered::Canceled,
    };
    let _placing = shared.dials.placing.lock().await;
    // Who asked for it once more meanwhile has it looked at by a task of its own.
    if shared.dials.get(call).is_some() {
        return true;
    }
    tracing::info!(how = how.name(), "a call of which sight was lost is taken back");
    let view = View { state: State::NotAnswered(how), carrier_call: Some(sid.to_owned()), why: None };
    if let Err(error) = shared.ledger.note(key, &view).await {
        shared.metrics.ledger_failed.add(1);
        tracing::error!(%error, "the state of a call that was placed cannot be kept yet; it is tried again");
    }
    true
}
