//! A call that was placed, until somebody picks up or nobody will.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;
use tracing::Instrument as _;

use crate::config::{CallSettings, Deployment, Twilio};
use crate::engine::{Control, EndReason, NotAnswered};

use super::{State, Told, View};
use crate::serve::Shared;
use crate::serve::about::About;
use crate::serve::lines::twilio::placing::{Asked, Carrier, Known, Order};
use crate::serve::lines::twilio::{self, Way};
use crate::serve::lines::{self, Slot, Socket};
use crate::serve::registry::Command;
use crate::serve::task::{self, Setup};
use crate::store::StoreError;

/// Pauses before each look for a call whose placing was not confirmed: the carrier may need a moment to list it.
const LOOKS: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// The pause before each further look.
pub(super) const LATER: Duration = Duration::from_secs(10);
/// Pauses between attempts to take a call back.
pub(super) const AGAIN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(8)];
/// Beyond the time that it may ring, the carrier has this long to say what became of it; then it is asked.
const SPARE: Duration = Duration::from_secs(30);
/// How long the carrier may take to say that a call that was taken back is over.
const TAKING_BACK: Duration = Duration::from_secs(10);

/// What is done first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// The carrier was certainly never asked.
    Ask,
    /// It may have been.
    Look,
}

/// The call's task.
pub(super) struct Ringing {
    pub(super) shared: Arc<Shared>,
    pub(super) key: String,
    /// When the key came, in seconds since 1970.
    pub(super) since_s: u64,
    pub(super) call: String,
    pub(super) slot: Slot,
    pub(super) order: Order,
    pub(super) carrier: Carrier,
    pub(super) twilio: Twilio,
    pub(super) about: About,
    pub(super) deployment: Arc<Deployment>,
    pub(super) settings: Arc<CallSettings>,
    pub(super) way: Way,
    pub(super) began: Instant,
    pub(super) started: SystemTime,
    pub(super) view: watch::Sender<View>,
    pub(super) reports: mpsc::Receiver<Told>,
    pub(super) claimed: oneshot::Receiver<Socket>,
    pub(super) commanded: mpsc::Receiver<Command>,
    /// The carrier's word on who picked up, that was quicker than the voice webhook.
    pub(super) early: Option<Control>,
    /// It was taken back; the carrier may not know yet.
    pub(super) unwanted: bool,
    /// The server goes: nothing is waited for any more.
    pub(super) hurried: bool,
}

/// How it came out.
enum Outcome {
    Answered(Instant),
    Not(NotAnswered, String),
    /// The carrier certainly has no such call, and may be asked again.
    NotPlaced(String),
    /// Nobody knows; the next request with this key looks again.
    Unknown,
}

impl Ringing {
    pub(super) async fn run(self, first: First) {
        let span = tracing::info_span!("dial", id = self.call);
        self.live(first).instrument(span).await;
    }

    async fn live(mut self, first: First) {
        tracing::info!(deployment = self.deployment.name, "placing a call");
        let outcome = match self.ask(first).await {
            None => self.wait().await,
            Some(outcome) => outcome,
        };
        match outcome {
            Outcome::Answered(at) => self.answered(at).await,
            Outcome::Not(how, why) => self.not_answered(how, why).await,
            Outcome::NotPlaced(why) => {
                self.shared.store.release(&self.call);
                self.shared.metrics.not_answered.add("not_placed", 1);
                self.set(State::NotPlaced, Some(why)).await;
                self.leave();
            }
            Outcome::Unknown => {
                self.shared.store.release(&self.call);
                self.shared.feed.dialled(&self.call, State::Unknown.name());
                self.shared.metrics.not_answered.add("unknown", 1);
                self.leave();
            }
        }
    }

    /// Has the carrier place it. `None`: it has.
    async fn ask(&mut self, first: First) -> Option<Outcome> {
        if first == First::Ask {
            match self.create().await {
                Asked::Placed(call) => return self.adopt(call).await,
                Asked::NotPlaced { why, brief, retry } => {
                    tracing::warn!(why = brief, "the call is not placed");
                    return Some(match retry {
                        true => self.not_placed(why),
                        false => Outcome::Not(NotAnswered::Failed, why),
                    });
                }
                Asked::Unknown { why } => {
                    tracing::warn!("it is not known whether the carrier has placed the call; looking for it");
                    self.set(State::Unknown, Some(why)).await;
                }
            }
        }
        let known = self.view.borrow().carrier_call.clone();
        match known {
            Some(sid) => {
                self.know(&sid).await;
                let status = self.carrier.status(&sid).await.unwrap_or_default();
                self.on_status(&status, "").await
            }
            None => self.look(first).await,
        }
    }

    /// Asks for the call; who takes it back meanwhile is heard, but what is asked is asked.
    async fn create(&mut self) -> Asked {
        let (carrier, order) = (self.carrier.clone(), self.order.clone());
        let mut creating = pin!(async move { carrier.create(&order).await });
        loop {
            tokio::select! {
                asked = &mut creating => return asked,
                Some(command) = self.commanded.recv() => self.on_command(command).await,
            }
        }
    }

    /// Looks whether the carrier has placed it, for as long as it may ring.
    async fn look(&mut self, first: First) -> Option<Outcome> {
        let until = Instant::now() + LOOKS.iter().sum::<Duration>() + self.ring_time();
        let mut looks = LOOKS.into_iter();
        let mut seen = Err("the carrier was not asked".to_owned());
        loop {
            let pause = match (looks.next(), seen) {
                (_, seen) if self.hurried => {
                    self.set(State::Unknown, seen.err()).await;
                    return Some(Outcome::Unknown);
                }
                (Some(pause), _) => pause,
                // After a restart the answer stands for all that can be known; the next request with this key asks anew.
                (None, Ok(())) => {
                    tracing::info!(?first, "the carrier has no such call");
                    return Some(self.not_placed("the carrier has no such call: it was not placed".to_owned()));
                }
                // Nobody knows whether it rings. For as long as it may, who picks up is answered.
                (None, Err(why)) => {
                    self.set(State::Unknown, Some(why)).await;
                    if Instant::now() >= until {
                        return Some(Outcome::Unknown);
                    }
                    LATER
                }
            };
            if let Some(outcome) = self.listen(pause).await {
                return Some(outcome);
            }
            if self.view.borrow().carrier_call.is_some() {
                return None;
            }
            seen = match self.candidates().await {
                Ok(mut ours) if ours.len() == 1 => return self.adopt(ours.remove(0)).await,
                Ok(ours) if ours.is_empty() => Ok(()),
                Ok(ours) => {
                    let n = ours.len();
                    Err(format!("the carrier has {n} calls that may be this one; its console tells them apart"))
                }
                Err(why) => Err(why),
            };
        }
    }

    /// Calls of the carrier's that may be this one.
    async fn candidates(&self) -> Result<Vec<Known>, String> {
        let mut ours = Vec::new();
        for call in self.carrier.find(&self.order, self.since_s).await? {
            let taken = self.shared.ledger.is_taken(&call.name, &self.key).await;
            if may_be_ours(taken)? {
                ours.push(call);
            }
        }
        Ok(ours)
    }

    /// Hears what the carrier and others have to say, this long or until it is known which call it is.
    async fn listen(&mut self, pause: Duration) -> Option<Outcome> {
        let mut over = pin!(sleep(pause));
        let known = self.view.borrow().carrier_call.is_some();
        loop {
            tokio::select! {
                () = &mut over => return None,
                // The carrier may tell of it by itself.
                Some(told) = self.reports.recv() => {
                    if let Some(outcome) = self.on_told(told).await {
                        return Some(outcome);
                    }
                    if !known && self.view.borrow().carrier_call.is_some() {
                        return None;
                    }
                }
                Some(command) = self.commanded.recv() => self.on_command(command).await,
            }
            if self.hurried || known && self.unwanted {
                return None;
            }
        }
    }

    /// There is certainly no call.
    fn not_placed(&self, why: String) -> Outcome {
        match self.unwanted {
            true => Outcome::Not(NotAnswered::Canceled, String::new()),
            false => Outcome::NotPlaced(why),
        }
    }

    /// The carrier has it, and says how it is.
    async fn adopt(&mut self, call: Known) -> Option<Outcome> {
        self.know(&call.name).await;
        self.on_status(&call.status, "").await
    }

    /// Until somebody picks up or nobody will.
    async fn wait(&mut self) -> Outcome {
        loop {
            if self.unwanted {
                return self.take_back().await;
            }
            let until = self.ring_time();
            if let Some(outcome) = self.listen(until).await {
                return outcome;
            }
            if self.unwanted {
                continue;
            }
            let Some(sid) = self.view.borrow().carrier_call.clone() else { break };
            match self.carrier.status(&sid).await {
                Ok(status) if matches!(status.as_str(), "queued" | "initiated" | "ringing") => continue,
                Ok(status) => {
                    if let Some(outcome) = self.on_status(&status, "").await {
                        return outcome;
                    }
                    break;
                }
                Err(_) => break,
            }
        }
        Outcome::Not(NotAnswered::Failed, "the carrier does not say what became of it".to_owned())
    }

    async fn on_told(&mut self, told: Told) -> Option<Outcome> {
        match told {
            Told::Answered { sid, at } => {
                self.know(&sid).await;
                // One that is taken back was hung up on, or will be.
                (!self.unwanted).then_some(Outcome::Answered(at))
            }
            Told::Status { sid, status, detail } => {
                if self.view.borrow().carrier_call.as_deref().is_some_and(|known| known != sid) {
                    return None;
                }
                self.know(&sid).await;
                self.on_status(&status, &detail).await
            }
        }
    }

    async fn on_status(&mut self, status: &str, detail: &str) -> Option<Outcome> {
        let not = |how| Some(Outcome::Not(how, detail.to_owned()));
        match status {
            "ringing" => {
                self.set(State::Ringing, None).await;
                None
            }
            "busy" => not(NotAnswered::Busy),
            "no-answer" => not(NotAnswered::NoAnswer),
            "canceled" => not(NotAnswered::Canceled),
            "failed" => not(NotAnswered::Failed),
            // Whoever picked up was hung up on.
            "completed" if self.unwanted => not(NotAnswered::Canceled),
            // The voice webhook would have been first.
            "completed" => {
                Some(Outcome::Not(NotAnswered::Failed, "it ended before it was put through here".to_owned()))
            }
            _ => None,
        }
    }

    async fn on_command(&mut self, command: Command) {
        match command {
            Command::Control(control @ Control::AnsweredBy(_)) => self.early = Some(control),
            Command::Control(Control::End(_) | Control::EndNow(_)) => self.unwant().await,
            Command::Kill => {
                self.hurried = true;
                self.unwant().await;
            }
            Command::Control(_) | Command::HungUp => {}
        }
    }

    /// Somebody here wants it no more. Kept first: who asks again, even of another server, finds it so.
    async fn unwant(&mut self) {
        if !std::mem::replace(&mut self.unwanted, true) {
            let why = self.view.borrow().why.clone();
            self.set(State::Canceling, why).await;
        }
    }

    /// Has the carrier take it back, again and again for as long as it may ring.
    async fn take_back(&mut self) -> Outcome {
        self.set(State::Canceling, None).await;
        let Some(sid) = self.view.borrow().carrier_call.clone() else { return Outcome::Unknown };
        let until = Instant::now() + self.ring_time();
        let mut pauses = AGAIN.into_iter();
        while let Err(why) = self.carrier.cancel(&sid).await {
            tracing::warn!(why, "the call could not be taken back");
            if self.hurried || Instant::now() >= until {
                return Outcome::Not(NotAnswered::Failed, format!("it could not be taken back: {why}"));
            }
            if let Some(outcome) = self.last_word(pauses.next().unwrap_or(LATER)).await {
                return outcome;
            }
        }
        // What the carrier says may be that it came to another end just before.
        match self.last_word(TAKING_BACK).await {
            Some(outcome @ Outcome::Not(NotAnswered::Busy | NotAnswered::NoAnswer, _)) => outcome,
            _ => Outcome::Not(NotAnswered::Canceled, String::new()),
        }
    }

    /// The carrier's word on how a call ended that is taken back, if it comes in time.
    async fn last_word(&mut self, limit: Duration) -> Option<Outcome> {
        let mut over = pin!(sleep(limit));
        loop {
            tokio::select! {
                () = &mut over => return None,
                Some(told) = self.reports.recv() => match told {
                    Told::Status { status, detail, .. } => {
                        if let Some(outcome) = self.on_status(&status, &detail).await {
                            return Some(outcome);
                        }
                    }
                    // It can be ended now, if it could not be canceled.
                    Told::Answered { .. } => return None,
                },
                Some(command) = self.commanded.recv() => {
                    self.on_command(command).await;
                    if self.hurried {
                        return None;
                    }
                }
            }
        }
    }

    async fn answered(mut self, at: Instant) {
        self.set(State::Answered, None).await;
        let Ringing { shared, call, key, view, slot, early, .. } = self;
        let sid = view.borrow().carrier_call.clone().unwrap_or_default();
        if let Some(control) = early {
            shared.registry.command(&call, Command::Control(control));
        }
        let started = self.started + at.saturating_duration_since(self.began);
        let carrier = twilio::Carrier::new(
            self.way,
            shared.client.clone(),
            self.twilio,
            sid.clone(),
            Arc::clone(&shared.documents),
        );
        let end = task::answer(Setup {
            shared: Arc::clone(&shared),
            slot,
            id: call.clone(),
            carrier_call: sid,
            began: at,
            started,
            data: shared.data.clone(),
            about: self.about,
            deployment: self.deployment,
            settings: self.settings,
            carrier: lines::Carrier::Twilio(Box::new(carrier)),
            claimed: self.claimed,
            commanded: self.commanded,
        })
        .await;
        let why = match &end {
            EndReason::Voicemail { left: false } => "voicemail_not_left",
            end => end.kind(),
        };
        note(&shared, (&key, &call), &view, State::Completed, Some(why.to_owned())).await;
        shared.dials.lock().remove(&call);
    }

    async fn not_answered(mut self, how: NotAnswered, why: String) {
        tracing::info!(how = how.name(), "nobody picked up");
        self.shared.metrics.not_answered.add(how.name(), 1);
        let end = EndReason::NotAnswered { how, why: why.clone() };
        let carrier_call = self.view.borrow().carrier_call.clone().unwrap_or_default();
        task::keep_unanswered(
            &self.shared,
            &self.call,
            &carrier_call,
            &self.about,
            &self.settings,
            (self.began.elapsed(), self.started),
            end,
        )
        .await;
        self.set(State::NotAnswered(how), (!why.is_empty()).then_some(why)).await;
        self.leave();
    }

    /// The carrier's id.
    async fn know(&mut self, sid: &str) {
        if self.view.borrow().carrier_call.as_deref() != Some(sid) {
            self.view.send_modify(|view| view.carrier_call = Some(sid.to_owned()));
            self.keep().await;
        }
    }

    async fn set(&mut self, state: State, why: Option<String>) {
        let open = matches!(state, State::Queued | State::Ringing | State::Unknown);
        let state = if self.unwanted && open { State::Canceling } else { state };
        note(&self.shared, (&self.key, &self.call), &self.view, state, why).await;
    }

    async fn keep(&self) {
        let view = self.view.borrow().clone();
        keep(&self.shared, &self.key, &view).await;
    }

    fn ring_time(&self) -> Duration {
        Duration::from_secs(self.order.ring_s()) + SPARE
    }

    fn leave(self) {
        let Ringing { shared, call, slot, .. } = self;
        // First: whoever does not find it in the book may place it again at once.
        drop(slot);
        shared.dials.lock().remove(&call);
    }
}

/// Whether a call of the carrier's may be this one, by what the ledger says of whether it is another's. Without the ledger
/// nobody knows whose it is: that is no answer, and the call is looked for again.
fn may_be_ours(taken: Result<bool, StoreError>) -> Result<bool, String> {
    taken.map(|taken| !taken).map_err(|error| format!("whose the carrier's calls are cannot be read: {error}"))
}

/// In the ledger first: who sees a state can rely on it.
async fn note(shared: &Shared, ids: (&str, &str), view: &watch::Sender<View>, state: State, why: Option<String>) {
    let (key, call) = ids;
    let view_now = View { state, why, ..view.borrow().clone() };
    keep(shared, key, &view_now).await;
    view.send_replace(view_now);
    shared.feed.dialled(call, state.name());
}

async fn keep(shared: &Shared, key: &str, view: &View) {
    if let Err(error) = shared.ledger.note(key, view).await {
        // The key is there, and finds the call at the carrier.
        shared.metrics.ledger_failed.add(1);
        tracing::error!(%error, "the state of a call that was placed cannot be kept yet; it is tried again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_that_cannot_be_read_does_not_say_that_the_carrier_has_no_such_call() {
        assert_eq!((may_be_ours(Ok(false)), may_be_ours(Ok(true))), (Ok(true), Ok(false)));
        assert!(may_be_ours(Err(StoreError::Slow)).is_err_and(|why| why.contains("cannot be read")));
    }
}
