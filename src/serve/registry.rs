//! Which calls there are: admission by slots, single-use tokens, and the way to each call's task.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};

use crate::engine::Control;

/// Streams of a call that fail one after the other before the carrier is told to hang up.
const ASKED_MAX: u32 = 5;

/// All calls of one server. One lock, held for a few map operations at the beginning and end of a call.
#[derive(Debug)]
pub(super) struct Registry<L, A> {
    state: Mutex<State<L, A>>,
    count: watch::Sender<usize>,
    /// When we last closed a stream, after which the carrier asks what to do with the caller.
    closed: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct State<L, A> {
    draining: bool,
    calls: BTreeMap<String, Entry<L, A>>,
    by_carrier: HashMap<String, String>,
    by_token: HashMap<String, String>,
    /// Calls without a line, of which words are still awaited: they take no slot.
    closing: HashMap<String, mpsc::Sender<Command>>,
    over: Over,
}

/// Ids, of the carrier's, of calls that are over, the latest ones: a webhook that names one is a repetition from another
/// day, or not the carrier's at all.
#[derive(Debug, Default)]
struct Over {
    known: HashSet<Arc<str>>,
    /// The same, the oldest first.
    order: VecDeque<Arc<str>>,
}

/// Before the id of ours under which a call goes until the carrier has named it.
pub(super) const UNNAMED: &str = "dial:";

/// So many are remembered: some megabytes, and the calls of days.
pub(super) const MAX_OVER: usize = 20_000;

impl Over {
    fn add(&mut self, carrier_call: &str) {
        if carrier_call.is_empty() {
            return;
        }
        let id: Arc<str> = carrier_call.into();
        if !self.known.insert(Arc::clone(&id)) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > MAX_OVER
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// A call as the rest of the server sees it. `L` is what a claim hands to the call: the line's socket. `A` is what the line
/// needs to answer its carrier; nobody looks into it here.
#[derive(Debug)]
pub(super) struct Entry<L, A> {
    /// The carrier's id of the call.
    pub(super) carrier_call: String,
    /// What the media stream must present, and until when.
    pub(super) token: String,
    /// When the token expires.
    pub(super) expires: Instant,
    /// What the carrier is answered, for when it asks again.
    pub(super) answer: A,
    /// What connects the stream again, once it is over.
    pub(super) back: Option<A>,
    /// How often the carrier was told how to connect since a stream last did.
    pub(super) asked: u32,
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
pub(super) enum Admission<L, A> {
    /// A new call; the slot is its own until dropped.
    New(Slot<L, A>),
    /// This call is known: the same answer again.
    Again(A),
    /// No slot is free.
    Full,
    /// The server is on its way out.
    Draining,
    /// The carrier's call is over, and does not begin again.
    Over,
    /// Another call has our id.
    Taken,
}

/// What is known of one of the carrier's calls.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known<A> {
    /// It is up: the answer for a carrier that asks once more.
    Up(A),
    /// It is over.
    Over,
    New,
}

/// What a carrier is to do whose stream is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next<A> {
    /// Open it again, by this.
    Connect(A),
    /// Hang up: no stream of all that were tried began.
    NeverConnected,
    /// Hang up: there is no such call, it is being ended, or streams fail one after the other.
    Over,
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

impl<L, A: Clone> Registry<L, A> {
    pub(super) fn new() -> Self {
        Registry {
            state: Mutex::new(State {
                draining: false,
                calls: BTreeMap::new(),
                by_carrier: HashMap::new(),
                by_token: HashMap::new(),
                over: Over::default(),
                closing: HashMap::new(),
            }),
            count: watch::Sender::new(0),
            closed: Mutex::new(None),
        }
    }

    /// We have closed a call's stream: the carrier is about to ask what to do with the caller.
    pub(super) fn stream_closed(&self) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// When that was last.
    pub(super) fn last_closed(&self) -> Option<Instant> {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot for a new call, unless there are `max` already. Counting and taking is one step.
    pub(super) fn admit(self: &Arc<Self>, id: &str, max: usize, entry: Entry<L, A>) -> Admission<L, A> {
        let mut state = self.lock();
        if let Some(known) = state.by_carrier.get(&entry.carrier_call).and_then(|id| state.calls.get(id)) {
            return Admission::Again(known.answer.clone());
        }
        if state.over.known.contains(entry.carrier_call.as_str()) {
            return Admission::Over;
        }
        if state.calls.contains_key(id) {
            return Admission::Taken;
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
        self.count.send_replace(state.count());
        Admission::New(Slot { registry: Arc::clone(self), id: id.to_owned() })
    }

    /// Whether some call waits for a stream that presents this token.
    pub(super) fn awaits(&self, token: &str) -> bool {
        self.lock().by_token.contains_key(token)
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
        entry.asked = 0;
        state.by_token.remove(token);
        Ok(line)
    }

    /// The call's stream will begin again, and present this token. `false`: there is no such call.
    pub(super) fn renew(&self, id: &str, token: &str, expires: Instant, back: A, line: oneshot::Sender<L>) -> bool {
        let mut state = self.lock();
        let Some(entry) = state.calls.get_mut(id) else { return false };
        let former = std::mem::replace(&mut entry.token, token.to_owned());
        (entry.expires, entry.back, entry.line) = (expires, Some(back), Some(line));
        state.by_token.remove(&former);
        state.by_token.insert(token.to_owned(), id.to_owned());
        true
    }

    /// What connects a lent line's stream again, by the carrier's id of the call.
    pub(super) fn way_back(&self, carrier_call: &str) -> Option<A> {
        let state = self.lock();
        state.by_carrier.get(carrier_call).and_then(|id| state.calls.get(id))?.back.clone()
    }

    /// The same for a carrier whose stream is over; what it presents is good until `expires`.
    pub(super) fn ask_again(&self, carrier_call: &str, expires: Instant) -> Next<A> {
        let mut state = self.lock();
        let Some(id) = state.by_carrier.get(carrier_call).cloned() else { return Next::Over };
        let Some(entry) = state.calls.get_mut(&id).filter(|entry| entry.line.is_some()) else { return Next::Over };
        if entry.asked < ASKED_MAX {
            entry.asked += 1;
            entry.expires = expires;
            // Whose very first stream does not begin is there like any other.
            return Next::Connect(entry.back.as_ref().unwrap_or(&entry.answer).clone());
        }
        if entry.back.is_some() { Next::Over } else { Next::NeverConnected }
    }

    /// The call is being ended: no stream of it begins again.
    pub(super) fn shut(&self, id: &str) {
        let mut state = self.lock();
        let Some(entry) = state.calls.get_mut(id) else { return };
        (entry.back, entry.line) = (None, None);
        let token = std::mem::take(&mut entry.token);
        state.by_token.remove(&token);
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

    /// The same to every call, those included of which only words are awaited.
    pub(super) fn command_all(&self, command: &Command) {
        let state = self.lock();
        for commands in state.calls.values().map(|entry| &entry.commands).chain(state.closing.values()) {
            // A full queue means that the call has commands enough to chew on; Kill is repeated by the caller.
            let _ = commands.try_send(command.clone());
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

    /// Whether a call's report is yet to come.
    pub(super) fn is_unfinished(&self, id: &str) -> bool {
        let state = self.lock();
        state.calls.contains_key(id) || state.closing.contains_key(id)
    }

    /// What is known of one of the carrier's calls.
    pub(super) fn known(&self, carrier_call: &str) -> Known<A> {
        let state = self.lock();
        match state.by_carrier.get(carrier_call).and_then(|id| state.calls.get(id)) {
            Some(entry) => Known::Up(entry.answer.clone()),
            None if state.over.known.contains(carrier_call) => Known::Over,
            None => Known::New,
        }
    }

    /// Of the carrier's calls these are over, the oldest first; for a server that starts.
    pub(super) fn are_over(&self, carrier_calls: impl IntoIterator<Item = String>) {
        let mut state = self.lock();
        carrier_calls.into_iter().for_each(|id| state.over.add(&id));
    }

    /// Ids of the calls that are up, in order of their beginning.
    pub(super) fn calls(&self) -> Vec<String> {
        self.lock().calls.keys().cloned().collect()
    }

    /// How many calls are up or have no report yet, as it changes.
    pub(super) fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }
}

impl<L, A> Registry<L, A> {
    fn lock(&self) -> MutexGuard<'_, State<L, A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call's place among `max_calls`; free again when it [ends](Slot::end) or is dropped.
#[derive(Debug)]
pub(super) struct Slot<L, A> {
    registry: Arc<Registry<L, A>>,
    id: String,
}

impl<L, A> Slot<L, A> {
    /// The call has no line any more: its place is free. Whoever waits until all calls are over goes on waiting for it.
    pub(super) fn end(&self) {
        let mut state = self.registry.lock();
        if let Some(entry) = state.remove(&self.id) {
            state.closing.insert(self.id.clone(), entry.commands);
        }
    }
}

impl<L, A> Drop for Slot<L, A> {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        state.remove(&self.id);
        state.closing.remove(&self.id);
        self.registry.count.send_replace(state.count());
    }
}

impl<L, A> State<L, A> {
    fn count(&self) -> usize {
        self.calls.len() + self.closing.len()
    }

    fn remove(&mut self, id: &str) -> Option<Entry<L, A>> {
        let entry = self.calls.remove(id)?;
        self.by_carrier.remove(&entry.carrier_call);
        self.by_token.remove(&entry.token);
        if !entry.carrier_call.starts_with(UNNAMED) {
            self.over.add(&entry.carrier_call);
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn entry(call: &str) -> (Entry<u32, String>, oneshot::Receiver<u32>) {
        let (line, claimed) = oneshot::channel();
        let entry = Entry {
            carrier_call: call.to_owned(),
            token: format!("token-{call}"),
            expires: Instant::now() + Duration::from_secs(30),
            answer: format!("<{call}/>"),
            back: None,
            asked: 0,
            line: Some(line),
            commands: mpsc::channel(1).0,
        };
        (entry, claimed)
    }

    fn admit(registry: &Arc<Registry<u32, String>>, call: &str, max: usize) -> Admission<u32, String> {
        registry.admit(&format!("id-{call}"), max, entry(call).0)
    }

    #[test]
    fn a_slot_is_one_call_and_free_again_when_dropped() {
        let registry = Arc::new(Registry::new());
        let Admission::New(slot) = admit(&registry, "a", 1) else { panic!("no slot") };
        assert!(matches!(admit(&registry, "a", 1), Admission::Again(answer) if answer == "<a/>"));
        assert!(matches!(admit(&registry, "b", 1), Admission::Full));
        drop(slot);
        assert!(matches!(admit(&registry, "b", 1), Admission::New(_)));
        registry.drain();
        assert!(matches!(admit(&registry, "c", 9), Admission::Draining));
    }

    #[test]
    fn a_call_that_is_over_does_not_begin_again() {
        let registry = Arc::new(Registry::new());
        assert_eq!(registry.known("a"), Known::New);
        let Admission::New(slot) = admit(&registry, "a", 9) else { panic!("no slot") };
        assert_eq!(registry.known("a"), Known::Up("<a/>".to_owned()));
        drop(slot);
        assert_eq!(registry.known("a"), Known::Over);
        assert!(matches!(admit(&registry, "a", 9), Admission::Over));
        // What was refused never began.
        assert!(matches!(admit(&registry, "b", 0), Admission::Full));
        assert_eq!(registry.known("b"), Known::New);
        // A server that starts knows of earlier ones; so many are remembered, and the oldest are forgotten.
        registry.are_over((0..MAX_OVER).map(|n| n.to_string()));
        assert_eq!((registry.known("a"), registry.known("0")), (Known::New, Known::Over));
        let state = registry.lock();
        assert_eq!((state.over.known.len(), state.over.order.len()), (MAX_OVER, MAX_OVER));
    }

    #[test]
    fn an_id_of_ours_is_one_call() {
        let registry = Arc::new(Registry::new());
        let _slot = admit(&registry, "a", 9);
        assert!(matches!(registry.admit("id-a", 9, entry("b").0), Admission::Taken));
        assert_eq!(registry.known("a"), Known::Up("<a/>".to_owned()), "it is as it was");
    }

    #[test]
    fn a_call_whose_words_are_awaited_takes_no_slot_and_is_not_over() {
        let registry = Arc::new(Registry::new());
        let Admission::New(slot) = admit(&registry, "a", 1) else { panic!("no slot") };
        slot.end();
        assert!(!registry.contains("id-a") && registry.is_unfinished("id-a"));
        assert_eq!(registry.claim("token-a", "a", Instant::now()).map(drop), Err(Refused::UnknownToken));
        let Admission::New(other) = admit(&registry, "b", 1) else { panic!("no slot") };
        assert_eq!(*registry.count().borrow(), 2, "a server that drains waits for both");
        drop(slot);
        assert!(!registry.is_unfinished("id-a"));
        drop(other);
        assert_eq!(*registry.count().borrow(), 0);
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

    #[test]
    fn a_stream_that_is_over_leads_back_until_the_call_is_ended() {
        let registry = Arc::new(Registry::new());
        let (entry, _claimed) = entry("a");
        let _slot = registry.admit("id", 1, entry);
        let now = Instant::now();
        let later = now + Duration::from_secs(60);
        // Not even the first one: the caller is there.
        for _ in 0..ASKED_MAX {
            assert_eq!(registry.ask_again("a", later), Next::Connect("<a/>".to_owned()));
        }
        assert_eq!(registry.ask_again("a", later), Next::NeverConnected);
        registry.claim("token-a", "a", later).expect("let in");
        assert_eq!(registry.ask_again("a", later), Next::Over, "nothing is prepared yet");
        let (line, mut back) = oneshot::channel();
        assert!(registry.renew("id", "fresh", now, "<back/>".to_owned(), line));
        for _ in 0..ASKED_MAX {
            assert_eq!(registry.ask_again("a", later), Next::Connect("<back/>".to_owned()));
        }
        assert_eq!(registry.ask_again("a", later), Next::Over, "streams that fail one after the other");
        registry.claim("fresh", "a", later).expect("let in").send(8).expect("a receiver");
        assert_eq!(back.try_recv(), Ok(8));
        let (line, _back) = oneshot::channel();
        assert!(registry.renew("id", "last", later, "<back/>".to_owned(), line));
        registry.shut("id");
        assert_eq!(registry.ask_again("a", later), Next::Over);
        assert!(registry.claim("last", "a", now).is_err());
        assert_eq!(registry.ask_again("b", later), Next::Over);
    }
}
