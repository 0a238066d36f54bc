//! What happens in calls, for who watches: the last some thousand events, with numbers that only grow, and how the calls are that
//! are up.
//!
//! ```text
//!   a call's task ──► the ring (a lock, a push) ──► each watcher takes what is new to it, when it likes
//! ```
//!
//! Who tells never waits for who watches. A watcher is nothing here but a number, up to which it has seen everything; one that is
//! too slow, or was away for too long, finds that what came next is gone, and begins anew.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

use crate::base::time::CallTime;
use crate::engine::{CallEvent, Role};
use crate::house::calls::Status;
use crate::report::Report;
use crate::store::{self, Listed, NewCall, now_ms};

/// Events that are remembered.
const RING: usize = 8_192;
/// Calls whose state is kept at once.
const MAX_LIVE: usize = 20_000;
/// Lines of a running call that are kept, the latest.
const MAX_LINES: usize = 200;
/// Bytes of one that are.
const MAX_TEXT: usize = 4_000;

/// One for a server.
#[derive(Debug)]
pub struct Feed {
    state: Mutex<State>,
    /// The number of the latest event.
    latest: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    ring: VecDeque<Arc<Told>>,
    live: HashMap<String, Live>,
    next: u64,
}

/// A call that is up or rings.
#[derive(Clone, Debug)]
struct Live {
    listed: Listed,
    lines: VecDeque<Said>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Grows by one with each event; of a server that was started again it begins beyond those of the one before.
    pub id: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// The call.
    pub call: String,
    /// Its agent.
    pub agent: String,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The carrier is asked for it, or says how it stands.
    Dialing(Box<Listed>),
    /// It came in, or somebody picked up.
    Started(Box<Listed>),
    /// It is over: `call.ended`, or `call.failed` by its status.
    Over(Box<Listed>),
    /// Words of one side are complete.
    Said(Said),
    /// A turn of the caller's is over.
    Turn {
        /// Counts from 1.
        turn: u32,
    },
    /// The caller cut in, and the agent was stopped.
    Interrupted {
        /// What they heard of what was being said.
        heard_ms: u64,
    },
    /// The agent uses a tool.
    Tool {
        /// Its name.
        name: String,
    },
    /// The caller is about to be put through.
    Transferring {
        /// To this destination.
        to: String,
    },
    /// What was found out about it afterwards is there.
    Analysed,
}

/// What one side said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// When it was complete, in milliseconds since the call began.
    pub at_ms: u64,
    /// Who.
    pub who: Role,
    /// What was said and heard.
    pub text: String,
    /// What the agent went on to say and the caller did not hear.
    pub unheard: String,
}

/// What is new to a watcher.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// These, in order; maybe none.
    Events(Vec<Arc<Told>>),
    /// What came next is gone, or never was here: the watcher begins anew, behind this number.
    Lost(u64),
}

impl What {
    /// Names of all events.
    pub const NAMES: [&str; 10] = [
        "call.dialing",
        "call.started",
        "call.ended",
        "call.failed",
        "call.said",
        "call.turn",
        "call.interrupted",
        "call.tool",
        "call.transferring",
        "call.analysed",
    ];

    /// The event's name.
    pub fn name(&self) -> &'static str {
        match self {
            What::Dialing(_) => "call.dialing",
            What::Started(_) => "call.started",
            What::Over(listed) if listed.status == Status::Failed.name() => "call.failed",
            What::Over(_) => "call.ended",
            What::Said(_) => "call.said",
            What::Turn { .. } => "call.turn",
            What::Interrupted { .. } => "call.interrupted",
            What::Tool { .. } => "call.tool",
            What::Transferring { .. } => "call.transferring",
            What::Analysed => "call.analysed",
        }
    }
}

impl Default for Feed {
    fn default() -> Self {
        // A thousand a millisecond: no server tells more than that from its start on.
        let next = (now_ms().max(0) as u64).saturating_mul(1_000);
        let state = State { ring: VecDeque::new(), live: HashMap::new(), next };
        Feed { state: Mutex::new(state), latest: watch::Sender::new(next.saturating_sub(1)) }
    }
}

impl Feed {
    /// The number of the latest event, as it changes.
    pub fn latest(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// What came after `seen`, at most `limit` events.
    pub fn after(&self, seen: u64, limit: usize) -> News {
        let state = self.lock();
        let latest = state.next - 1;
        let oldest = state.ring.front().map_or(state.next, |told| told.id);
        if seen.saturating_add(1) < oldest || seen > latest {
            return News::Lost(latest);
        }
        let from = (seen + 1 - oldest) as usize;
        News::Events(state.ring.iter().skip(from).take(limit).cloned().collect())
    }

    /// How a call is that is up here.
    pub fn live(&self, call: &str) -> Option<Listed> {
        self.lock().live.get(call).map(|live| live.listed.clone())
    }

    /// What was said last in a call that is up here.
    pub fn last_words(&self, call: &str) -> Option<Said> {
        self.lock().live.get(call)?.lines.back().cloned()
    }

    /// What was said so far in a call that is up here, its latest lines.
    pub fn lines(&self, call: &str) -> Option<Vec<Said>> {
        Some(self.lock().live.get(call)?.lines.iter().cloned().collect())
    }

    /// A call is being placed.
    pub(super) fn placed(&self, call: &NewCall) {
        self.change(store::listed_as(call, Status::Dialing), What::Dialing);
    }

    /// The carrier says how a call is that was placed, in the words of `/v1/calls`.
    pub(super) fn dialled(&self, call: &str, state: &str) {
        let Some(status) = Status::of_dial(state).filter(|status| *status != Status::InProgress) else { return };
        let Some(listed) = self.live(call) else { return };
        // The carrier's word may be late: a call that was answered rings no more.
        if status.is_live() && listed.status == Status::InProgress.name() {
            return;
        }
        let (live, end_kind) = (status.is_live(), (!status.is_live()).then(|| state.to_owned()));
        // A call that nobody answered leaves a report, which says more.
        if !live && status != Status::Failed {
            return;
        }
        let listed = Listed { status: status.name().to_owned(), end_kind, ..listed };
        self.change(listed, if live { What::Dialing } else { What::Over });
    }

    /// A call came in, or was answered.
    pub(super) fn began(&self, call: &NewCall) {
        let placed_ms = self.live(&call.id).map(|listed| listed.began_ms);
        let listed = store::listed_as(call, Status::InProgress);
        let began_ms = placed_ms.unwrap_or(listed.began_ms);
        self.change(Listed { began_ms, ..listed }, What::Started);
    }

    /// A call is over.
    pub(super) fn ended(&self, report: &Report, ended: SystemTime) {
        let placed_ms = self.live(&report.call).map(|listed| listed.began_ms);
        let listed = store::listed_of(report, ended);
        let began_ms = placed_ms.unwrap_or(listed.began_ms);
        self.change(Listed { began_ms, ..listed }, What::Over);
    }

    /// What was found out about a call is there.
    pub(super) fn analysed(&self, call: &str, agent: &str) {
        self.tell(call, agent, What::Analysed);
    }

    /// A line of a call's trace: most of them are not told.
    pub(super) fn happened(&self, call: &str, agent: &str, at: CallTime, event: &CallEvent) {
        let what = match event {
            CallEvent::Said { who, text, unheard } if *who != Role::System => {
                What::Said(Said { at_ms: at.as_ms(), who: *who, text: cut(text), unheard: cut(unheard) })
            }
            CallEvent::TurnCommitted { turn, .. } => What::Turn { turn: *turn },
            CallEvent::BargeIn { heard_ms, .. } => What::Interrupted { heard_ms: *heard_ms },
            CallEvent::ToolCalled { name, .. } => What::Tool { name: cut(name) },
            CallEvent::TransferBegun { to } => What::Transferring { to: cut(to) },
            _ => return,
        };
        self.tell(call, agent, what);
    }

    fn change(&self, listed: Listed, what: fn(Box<Listed>) -> What) {
        let (call, agent) = (listed.id.clone(), listed.agent.clone());
        let live = Status::from_name(&listed.status).is_some_and(Status::is_live);
        {
            let mut guard = self.lock();
            let state = &mut *guard;
            if !live {
                state.live.remove(&call);
            } else if let Some(known) = state.live.get_mut(&call) {
                known.listed = listed.clone();
            } else if state.live.len() < MAX_LIVE {
                state.live.insert(call.clone(), Live { listed: listed.clone(), lines: VecDeque::new() });
            }
        }
        self.tell(&call, &agent, what(Box::new(listed)));
    }

    fn tell(&self, call: &str, agent: &str, what: What) {
        let mut guard = self.lock();
        let state = &mut *guard;
        if let What::Said(said) = &what
            && let Some(live) = state.live.get_mut(call)
        {
            if live.lines.len() >= MAX_LINES {
                live.lines.pop_front();
            }
            live.lines.push_back(said.clone());
        }
        let id = state.next;
        state.next += 1;
        if state.ring.len() >= RING {
            state.ring.pop_front();
        }
        let told = Told { id, at_ms: now_ms(), call: call.to_owned(), agent: agent.to_owned(), what };
        state.ring.push_back(Arc::new(told));
        drop(guard);
        self.latest.send_replace(id);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Direction;

    fn call(id: &str) -> NewCall {
        NewCall {
            id: id.to_owned(),
            carrier_call: String::new(),
            direction: Direction::Inbound,
            deployment: "desk".to_owned(),
            agent: "mia".to_owned(),
            revision: String::new(),
            from: None,
            to: None,
            started: SystemTime::now(),
            answered: true,
        }
    }

    fn names(news: News) -> Vec<&'static str> {
        match news {
            News::Events(events) => events.iter().map(|told| told.what.name()).collect(),
            News::Lost(_) => vec!["lost"],
        }
    }

    #[test]
    fn a_watcher_sees_each_event_once_and_is_told_when_it_missed_some() {
        let feed = Feed::default();
        let begin = *feed.latest().borrow();
        assert_eq!(feed.after(begin, 9), News::Events(Vec::new()));
        feed.placed(&call("a"));
        feed.dialled("a", "ringing");
        feed.began(&call("a"));
        feed.happened("a", "mia", CallTime::ZERO, &CallEvent::TurnCommitted { turn: 1, rule: String::new() });
        feed.happened("a", "mia", CallTime::ZERO, &CallEvent::MediaStarted);
        assert_eq!(names(feed.after(begin, 9)), ["call.dialing", "call.dialing", "call.started", "call.turn"]);
        assert_eq!(names(feed.after(begin + 2, 1)), ["call.started"]);
        assert_eq!(names(feed.after(begin + 4, 9)), [""; 0]);
        // From a server before this one, and from none that ever was.
        assert_eq!(feed.after(1, 9), News::Lost(begin + 4));
        assert_eq!(feed.after(begin + 5, 9), News::Lost(begin + 4));
        for _ in 0..RING {
            feed.analysed("a", "mia");
        }
        assert_eq!(names(feed.after(begin + 4, RING)).len(), RING, "just remembered");
        assert_eq!(names(feed.after(begin + 3, 9)), ["lost"]);
    }

    #[test]
    fn what_was_said_is_known_while_the_call_is_up() {
        let feed = Feed::default();
        let said = |text: &str| CallEvent::Said { who: Role::Caller, text: text.to_owned(), unheard: String::new() };
        feed.happened("a", "mia", CallTime::ZERO, &said("nobody's"));
        assert_eq!(feed.lines("a"), None);
        feed.began(&call("a"));
        for n in 0..=MAX_LINES {
            feed.happened("a", "mia", CallTime::from_ms(n as u64), &said(&n.to_string()));
        }
        assert_eq!(feed.last_words("a").map(|said| said.text), Some(MAX_LINES.to_string()));
        assert_eq!(feed.lines("a").map(|lines| (lines.len(), lines[0].at_ms)), Some((MAX_LINES, 1)));
        feed.dialled("a", "unknown");
        assert_eq!(feed.lines("a"), None, "over");
    }
}
