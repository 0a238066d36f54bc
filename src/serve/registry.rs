//! Which calls there are: admission by slots, single-use tokens, and the way to each call's task.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};

use crate::engine::Control;

/// All calls of one server. One lock, held for a few map operations at the beginning and end of a call.
#[derive(Debug)]
pub(super) struct Registry<L> {
    state: Mutex<State<L>>,
    count: watch::Sender<usize>,
}

#[derive(Debug)]
struct State<L> {
    draining: bool,
    calls: BTreeMap<String, Entry<L>>,
    by_carrier: HashMap<String, String>,
    by_token: HashMap<String, String>,
}

/// A call as the rest of the server sees it. `L` is what a claim hands to the call: its media socket.
#[derive(Debug)]
pub(super) struct Entry<L> {
    /// The carrier's id of the call.
    pub(super) carrier_call: String,
    /// What the media stream must present, and until when.
    pub(super) token: String,
    /// When the token expires.
    pub(super) expires: Instant,
    /// The webhook's answer, for when the carrier asks again.
    pub(super) twiml: String,
    /// What connects the stream again, while the line is lent.
    pub(super) back: Option<String>,
    /// Where the media socket goes.
    pub(super) line: Option<oneshot::Sender<L>>,
    /// Where commands go.
    pub(super) commands: mpsc::Sender<Command>,
}

/// What the rest of the server tells a call's task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// From an operator, or from the shutdown.
    Control(Control),
    /// The carrier says that the call is over.
    HungUp,
    /// End without further politeness.
    Kill,
}

/// The answer to a webhook's wish for a slot.
pub(super) enum Admission<L> {
    /// A new call; the slot is its own until dropped.
    New(Slot<L>),
    /// This call is known: the same answer again.
    Again(String),
    /// No slot is free.
    Full,
    /// The server is on its way out.
    Draining,
}

/// Why a media stream was not let in. The names are labels of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No call has this token: it is made up, was used, or its call is over.
    UnknownToken,
    /// The token came too late.
    ExpiredToken,
    /// The token is another call's.
    WrongCall,
}

impl Refused {
    pub(super) fn name(self) -> &'static str {
        match self {
            Refused::UnknownToken => "unknown_token",
            Refused::ExpiredToken => "expired_token",
            Refused::WrongCall => "wrong_call",
        }
    }
}

impl<L> Registry<L> {
    pub(super) fn new() -> Self {
        Registry {
            state: Mutex::new(State {
                draining: false,
                calls: BTreeMap::new(),
                by_carrier: HashMap::new(),
                by_token: HashMap::new(),
            }),
            count: watch::Sender::new(0),
        }
    }

    /// Takes a slot for a new call, unless there are `max` already. Counting and taking is one step.
    pub(super) fn admit(self: &Arc<Self>, id: &str, max: usize, entry: Entry<L>) -> Admission<L> {
        let mut state = self.lock();
        if let Some(known) = state.by_carrier.get(&entry.carrier_call).and_then(|id| state.calls.get(id)) {
            return Admission::Again(known.twiml.clone());
        }
        if state.draining {
            return Admission::Draining;
        }
        if state.calls.len() >= max {
            return Admission::Full;
        }
        state.by_carrier.insert(entry.carrier_call.clone(), id.to_owned());
        state.by_token.insert(entry.token.clone(), id.to_owned());
        state.calls.insert(id.to_owned(), entry);
        self.count.send_replace(state.calls.len());
        Admission::New(Slot { registry: Arc::clone(self), id: id.to_owned() })
    }

    /// Spends a token: the way to the call's task, once.
    pub(super) fn claim(&self, token: &str, carrier_call: &str, now: Instant) -> Result<oneshot::Sender<L>, Refused> {
        let mut state = self.lock();
        let id = state.by_token.get(token).cloned().ok_or(Refused::UnknownToken)?;
        let entry = state.calls.get_mut(&id).ok_or(Refused::UnknownToken)?;
        if entry.carrier_call != carrier_call {
            // Not spent: whoever guesses at calls must not be able to shut the real one out.
            return Err(Refused::WrongCall);
        }
        if now > entry.expires {
            return Err(Refused::ExpiredToken);
        }
        let line = entry.line.take().ok_or(Refused::UnknownToken)?;
        state.by_token.remove(token);
        Ok(line)
    }

    /// The call's stream will begin again, and present this token. `false`: there is no such call.
    pub(super) fn renew(
        &self,
        id: &str,
        token: &str,
        expires: Instant,
        back: String,
        line: oneshot::Sender<L>,
    ) -> bool {
        let mut state = self.lock();
        let Some(entry) = state.calls.get_mut(id) else { return false };
        let former = std::mem::replace(&mut entry.token, token.to_owned());
        (entry.expires, entry.back, entry.line) = (expires, Some(back), Some(line));
        state.by_token.remove(&former);
        state.by_token.insert(token.to_owned(), id.to_owned());
        true
    }

    /// What connects a lent line's stream again, by the carrier's id of the call.
    pub(super) fn way_back(&self, carrier_call: &str) -> Option<String> {
        let state = self.lock();
        state.by_carrier.get(carrier_call).and_then(|id| state.calls.get(id))?.back.clone()
    }

    /// The carrier has named a call that was placed; its media stream may come until then.
    pub(super) fn name(&self, id: &str, carrier_call: &str, expires: Instant) {
        let mut state = self.lock();
        let Some(entry) = state.calls.get_mut(id) else { return };
        entry.expires = expires;
        let before = std::mem::replace(&mut entry.carrier_call, carrier_call.to_owned());
        state.by_carrier.remove(&before);
        state.by_carrier.insert(carrier_call.to_owned(), id.to_owned());
    }

    /// Sends a command to a call by our id. `false`: there is no such call, or it does not listen any more.
    pub(super) fn command(&self, id: &str, command: Command) -> bool {
        self.lock().calls.get(id).is_some_and(|entry| entry.commands.try_send(command).is_ok())
    }

    /// The same by the carrier's id.
    pub(super) fn command_carrier_call(&self, carrier_call: &str, command: Command) -> bool {
        let state = self.lock();
        let entry = state.by_carrier.get(carrier_call).and_then(|id| state.calls.get(id));
        entry.is_some_and(|entry| entry.commands.try_send(command).is_ok())
    }

    /// The same to every call.
    pub(super) fn command_all(&self, command: &Command) {
        for entry in self.lock().calls.values() {
            // A full queue means that the call has commands enough to chew on; Kill is repeated by the caller.
            let _ = entry.commands.try_send(command.clone());
        }
    }

    /// No new calls from now on.
    pub(super) fn drain(&self) {
        self.lock().draining = true;
    }

    pub(super) fn is_draining(&self) -> bool {
        self.lock().draining
    }

    /// Whether a call is up.
    pub(super) fn contains(&self, id: &str) -> bool {
        self.lock().calls.contains_key(id)
    }

    /// The answer to a carrier that asks once more about a call.
    pub(super) fn again(&self, carrier_call: &str) -> Option<String> {
        let state = self.lock();
        state.by_carrier.get(carrier_call).and_then(|id| state.calls.get(id)).map(|entry| entry.twiml.clone())
    }

    /// Ids of the calls that are up, in order of their beginning.
    pub(super) fn calls(&self) -> Vec<String> {
        self.lock().calls.keys().cloned().collect()
    }

    /// How many calls are up, as it changes.
    pub(super) fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State<L>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A call's place among `max_calls`; free again when dropped.
#[derive(Debug)]
pub(super) struct Slot<L> {
    registry: Arc<Registry<L>>,
    id: String,
}

impl<L> Drop for Slot<L> {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        if let Some(entry) = state.calls.remove(&self.id) {
            state.by_carrier.remove(&entry.carrier_call);
            state.by_token.remove(&entry.token);
        }
        self.registry.count.send_replace(state.calls.len());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn entry(call: &str) -> (Entry<u32>, oneshot::Receiver<u32>) {
        let (line, claimed) = oneshot::channel();
        let entry = Entry {
            carrier_call: call.to_owned(),
            token: format!("token-{call}"),
            expires: Instant::now() + Duration::from_secs(30),
            twiml: format!("<{call}/>"),
            back: None,
            line: Some(line),
            commands: mpsc::channel(1).0,
        };
        (entry, claimed)
    }

    fn admit(registry: &Arc<Registry<u32>>, call: &str, max: usize) -> Admission<u32> {
        registry.admit(&format!("id-{call}"), max, entry(call).0)
    }

    #[test]
    fn a_slot_is_one_call_and_free_again_when_dropped() {
        let registry = Arc::new(Registry::new());
        let Admission::New(slot) = admit(&registry, "a", 1) else { panic!("no slot") };
        assert!(matches!(admit(&registry, "a", 1), Admission::Again(twiml) if twiml == "<a/>"));
        assert!(matches!(admit(&registry, "b", 1), Admission::Full));
        drop(slot);
        assert!(matches!(admit(&registry, "b", 1), Admission::New(_)));
        registry.drain();
        assert!(matches!(admit(&registry, "c", 9), Admission::Draining));
    }

    #[test]
    fn many_at_once_never_exceed_the_cap() {
        let registry = Arc::new(Registry::new());
        let slots: Vec<_> = std::thread::scope(|scope| {
            let admit = |i: usize| admit(&registry, &i.to_string(), 50);
            let threads: Vec<_> = (0..100).map(|i| scope.spawn(move || admit(i))).collect();
            threads.into_iter().map(|t| t.join().expect("a thread")).collect()
        });
        assert_eq!(slots.iter().filter(|a| matches!(a, Admission::New(_))).count(), 50);
        assert_eq!(*registry.count().borrow(), 50);
    }

    #[test]
    fn a_token_is_for_one_call_once_and_in_time() {
        let registry = Arc::new(Registry::new());
        let (entry, mut claimed) = entry("a");
        let _slot = registry.admit("id", 1, entry);
        let now = Instant::now();
        let refused = |token: &str, call: &str, now| registry.claim(token, call, now).map(drop).expect_err("refused");
        assert_eq!(refused("token-x", "a", now), Refused::UnknownToken);
        assert_eq!(refused("token-a", "b", now), Refused::WrongCall);
        assert_eq!(refused("token-a", "a", now + Duration::from_secs(31)), Refused::ExpiredToken);
        registry.claim("token-a", "a", now).expect("let in").send(7).expect("a receiver");
        assert_eq!(claimed.try_recv(), Ok(7));
        assert_eq!(refused("token-a", "a", now), Refused::UnknownToken);
    }
}
