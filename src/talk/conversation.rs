//! One conversation as a value: what it holds, its loop, and what visitors do.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::answer::Answer;
use super::commons::Commons;
use super::handoff::{Hand, Holder, Reason};
use super::history::{History, Sender};
use super::io::{Accepted, Action, EndWhy, Input, Notice, Refused, RefusedCode, Said, Visitor, What};
use super::log::{Log, Resume, Snapshot};
use super::row::{CutOff, From, Row, State};
use super::settings::TalkSettings;
use super::time::TalkTime;
use super::timer::{Timer, Timers};

/// Characters of a sender's own id.
const ID_MAX: usize = 64;

/// One conversation, as a value.
///
/// The contract of its loop is the engine's: **handle, drain, wait.** Call [`handle`](Self::handle) with one input and the time
/// it arrived; call [`poll_action`](Self::poll_action) until it answers `None`, carrying out each action in order; then wait
/// for the next input or until [`next_deadline`](Self::next_deadline), which is itself an input ([`Input::Tick`]). A new one
/// has its welcome to poll before its first input.
///
/// ```text
///            a message, "Try again"          first token, or none: failover's table
///  open ────────────────────────────► asked ───────────────────────────────────────┐
///   ▲  ▲                                ▲ │ backup                                  ▼
///   │  │                                └─┘◄──────────── all tools answered ─── answering ──► tools
///   │  └── whole, cut off, failed: what waits is answered next ◄────────────────────┘ ▲         │
///   │                                                                                 └─────────┘
///   └── and beside all of it: whose it is (see [`Hand`]); over: nothing follows
/// ```
#[derive(Debug)]
pub struct Conversation {
    pub(super) visitor: Arc<str>,
    /// Those of the latest message.
    pub(super) settings: Arc<TalkSettings>,
    pub(super) now: TalkTime,
    pub(super) out: VecDeque<Action>,
    pub(super) timers: Timers,
    pub(super) log: Log,
    pub(super) history: History,
    /// The answer under way.
    pub(super) answer: Option<Answer>,
    pub(super) hand: Hand,
    /// Messages that nobody has begun to answer.
    pub(super) waiting: u32,
    /// Said, and not worth a row before the visitor says something.
    welcome: Option<Row>,
    /// How often less of what was said was sent, since a model could not take it.
    pub(super) shortened: u32,
    pub(super) asks: u32,
    pub(super) tools: u32,
    over: Option<EndWhy>,
    counters: BTreeMap<&'static str, u64>,
}

impl Conversation {
    /// A conversation that begins at `at`. `visitor`: whose pace it shares.
    pub fn new(at: TalkTime, visitor: Arc<str>, settings: Arc<TalkSettings>) -> Self {
        let mut conversation = Conversation::empty(at, visitor, settings, Log::new());
        conversation.welcome();
        conversation.rest();
        conversation
    }

    /// A conversation that goes on at `at` with what the store has of it, in any order: at least the latest rows, and the last
    /// change of hands among them. A message without an answer can be tried again; ids of events go on far above those that
    /// were given out.
    pub fn restore(at: TalkTime, visitor: Arc<str>, settings: Arc<TalkSettings>, rows: Vec<Row>) -> Self {
        let last = rows.iter().map(|row| row.event).max().unwrap_or(0);
        let mut conversation = Conversation::empty(at, visitor, settings, Log::after(last));
        let mut rows = rows;
        rows.sort_by_key(|row| row.seq);
        for row in rows {
            if let Some(id) = &row.client {
                let sender = if matches!(row.from, From::Person(_)) { Sender::Team } else { Sender::Visitor };
                conversation.history.know(sender, id, row.seq);
            }
            if let From::HandOff(hand) = &row.from {
                conversation.hand = hand.clone();
            }
            conversation.history.put(row);
        }
        if conversation.history.rows().next().is_none() {
            conversation.welcome();
        }
        match conversation.hand {
            Hand::Waiting { .. } => conversation.await_person(),
            Hand::Agent | Hand::Person { .. } => conversation.rest(),
        }
        conversation
    }

    fn empty(at: TalkTime, visitor: Arc<str>, settings: Arc<TalkSettings>, log: Log) -> Self {
        Conversation {
            visitor,
            settings,
            now: at,
            out: VecDeque::new(),
            timers: Timers::default(),
            log,
            history: History::default(),
            answer: None,
            hand: Hand::Agent,
            waiting: 0,
            welcome: None,
            shortened: 0,
            asks: 0,
            tools: 0,
            over: None,
            counters: BTreeMap::new(),
        }
    }

    fn welcome(&mut self) {
        if let Some(text) = self.settings.welcome.clone().filter(|text| !text.is_empty()) {
            let seq = self.history.place();
            let event = self.log.push(What::Said(said(seq, From::Agent, &text, None)));
            self.welcome = Some(row(seq, event.id, From::Agent, &text, None));
            self.out.push_back(Action::Deliver(event));
        }
    }

    /// Takes in what happened at `at`. Never fails: what cannot be taken in is refused in a reply, or counted. `at` never runs
    /// backwards; an earlier time counts as the latest one seen. `commons` is the server's, whichever the conversation.
    pub fn handle(&mut self, at: TalkTime, input: Input, commons: &mut Commons) {
        if self.is_over() {
            return;
        }
        self.now = self.now.max(at);
        match input {
            Input::Visitor(visitor) => self.on_visitor(visitor, commons),
            Input::Model(id, Ok(event)) => self.on_model(id, event, commons),
            Input::Model(id, Err(error)) => self.on_model_error(id, error, commons),
            Input::Tool(id, result) => self.on_tool(id, result, commons),
            Input::Team(team) => self.on_team(team, commons),
            Input::Close(why) => self.close(why, commons),
            Input::Tick => {}
        }
        // After the input: what is here counts, even when it is handled late.
        while !self.is_over()
            && let Some(timer) = self.timers.pop_due(self.now)
        {
            self.on_timer(timer, commons);
        }
    }

    /// The next thing to do, in order. After [`Action::End`] there is nothing more, for good.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.out.pop_front()
    }

    /// When to send [`Input::Tick`], and what it waits for; `None`: nothing is waited for.
    pub fn next_deadline(&self) -> Option<(TalkTime, Timer)> {
        self.timers.next()
    }

    /// Whether [`Action::End`] was given out.
    pub fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Whether it is over and goes on nowhere else.
    pub(super) fn is_ended(&self) -> bool {
        self.over.is_some_and(|why| why != EndWhy::LetGo)
    }

    /// Who has the conversation.
    pub fn hand(&self) -> &Hand {
        &self.hand
    }

    /// A short stable name of its state, for operators.
    pub fn phase(&self) -> &'static str {
        match (&self.over, &self.hand, &self.answer) {
            (Some(_), ..) => "over",
            (_, _, Some(answer)) => answer.phase(),
            (_, Hand::Waiting { .. }, _) => "waiting",
            (_, Hand::Person { .. }, _) => "person",
            _ => "open",
        }
    }

    /// What was dropped, refused, cut or left out, and how often.
    pub fn counters(&self) -> &BTreeMap<&'static str, u64> {
        &self.counters
    }

    /// What who comes back has missed. `seen`: the id of the last event seen; `None`: none was.
    pub fn resume(&self, seen: Option<u64>) -> Resume {
        match seen.and_then(|id| self.log.since(id)) {
            Some(events) => Resume::Events(events),
            None => Resume::Anew(self.snapshot()),
        }
    }

    /// The conversation as it is to be shown now.
    pub fn snapshot(&self) -> Snapshot {
        let rows = self.welcome.iter().chain(self.history.rows());
        let mut all: Vec<Said> = rows.filter(|row| row.is_shown()).map(said_again).collect();
        let running = self.answer.as_ref().map(|answer| {
            // Last, though messages that wait have a later place: it is what grows.
            all.push(said(answer.seq, From::Agent, &answer.text, None));
            answer.seq
        });
        Snapshot {
            id: self.log.last(),
            said: all,
            running,
            hand: Holder::of(&self.hand),
            earlier: self.history.has_earlier(),
        }
    }

    fn on_visitor(&mut self, visitor: Visitor, commons: &mut Commons) {
        match visitor {
            Visitor::Message { id, text, settings } => self.on_message(&id, &text, settings, commons),
            Visitor::Retry { id, of, settings } => self.on_retry(&id, of, settings, commons),
            Visitor::Stop if self.answer.is_none() => self.count("stops_of_nothing"),
            Visitor::Stop => self.cut_off(CutOff::Stopped, commons),
            Visitor::AskPerson if self.settings.hand_off => self.ask_for_person(Reason::Asked, "visitor"),
            Visitor::AskPerson => self.count("hand_offs_of_no_use"),
        }
    }

    fn on_message(&mut self, id: &Arc<str>, text: &str, settings: Arc<TalkSettings>, commons: &mut Commons) {
        if let Err(outcome) = self.known_or_wrong(Sender::Visitor, id, text, settings.limits.message_chars) {
            return self.reply(id, outcome);
        }
        if self.answer.is_some() && self.waiting >= settings.limits.waiting {
            return self.refuse(id, RefusedCode::Busy, None);
        }
        if let Err(wait_s) = commons.admit(self.now, &self.visitor, settings.limits.messages_per_minute) {
            return self.refuse(id, RefusedCode::TooQuick, Some(wait_s));
        }
        self.settings = settings;
        let seq = self.history.place();
        self.history.know(Sender::Visitor, id, seq);
        self.waiting = self.waiting.saturating_add(1);
        self.put_said(seq, From::Visitor, text, Some(id));
        self.reply(id, Ok(Accepted { message: seq, again: false, answer: None }));
        self.next_answer(commons);
    }

    fn on_retry(&mut self, id: &Arc<str>, of: u64, settings: Arc<TalkSettings>, commons: &mut Commons) {
        if let Some(seq) = self.history.known(Sender::Visitor, id) {
            let known = self.known_again(seq);
            return self.reply(id, Ok(known));
        }
        if !is_id(id) {
            return self.refuse(id, RefusedCode::Id, None);
        }
        let free = self.answer.is_none() && self.hand == Hand::Agent;
        let target = self.history.last_said().filter(|row| free && row.seq == of && row.state != State::Whole);
        let target = target.and_then(|row| Some((row.answer.as_ref()?.answers, Some(of))));
        // One that was said to a server which ended before it answered.
        let unanswered = self.history.last_said().filter(|row| free && row.seq == of && row.from == From::Visitor);
        let Some((answers, again_of)) = target.or(unanswered.map(|row| (row.seq, None))) else {
            return self.refuse(id, RefusedCode::NothingToRetry, None);
        };
        if let Err(wait_s) = commons.admit(self.now, &self.visitor, settings.limits.messages_per_minute) {
            return self.refuse(id, RefusedCode::TooQuick, Some(wait_s));
        }
        self.settings = settings;
        let seq = self.history.place();
        self.history.know(Sender::Visitor, id, seq);
        self.begin_answer(seq, answers, again_of, Some(Arc::clone(id)), commons);
        self.reply(id, Ok(Accepted { message: seq, again: false, answer: None }));
    }

    /// Whether something that is sent can be taken in as far as its id and its length go; `Err`: what is answered in place of it.
    pub(super) fn known_or_wrong(
        &mut self,
        sender: Sender,
        id: &Arc<str>,
        text: &str,
        chars_max: usize,
    ) -> Result<(), Result<Accepted, Refused>> {
        if let Some(seq) = self.history.known(sender, id) {
            return Err(Ok(self.known_again(seq)));
        }
        let length = text.chars().take(chars_max + 1).count();
        let code = match () {
            () if !is_id(id) => RefusedCode::Id,
            () if length > chars_max || text.trim().is_empty() => RefusedCode::Length,
            () => return Ok(()),
        };
        self.count("messages_refused");
        Err(Err(Refused { code, wait_s: None }))
    }

    fn known_again(&mut self, seq: u64) -> Accepted {
        self.count("messages_known");
        let answer = self.history.answer_to(seq).map(|row| Box::new(said_again(row)));
        Accepted { message: seq, again: true, answer }
    }

    /// Answers what waits, if anything does and it is the agent's to answer; else whoever is silent is given time.
    pub(super) fn next_answer(&mut self, commons: &mut Commons) {
        let answers = self.history.last_of_visitor().filter(|_| self.waiting > 0 && self.hand == Hand::Agent);
        match answers {
            _ if self.answer.is_some() => {}
            Some(answers) => {
                let seq = self.history.place();
                self.begin_answer(seq, answers, None, None, commons);
            }
            None => self.rest(),
        }
    }

    /// Nothing is under way: the conversation ends if that lasts.
    pub(super) fn rest(&mut self) {
        // Who waits for a person is waited for otherwise, unless that has no end.
        let awaited = matches!(self.hand, Hand::Waiting { .. }) && self.settings.limits.hand_off_s > 0;
        let idle = self.answer.is_none() && !awaited;
        if idle && self.settings.limits.idle_s > 0 {
            self.timers.set(Timer::Idle, self.now.plus_ms(self.settings.limits.idle_s * 1_000));
        }
    }

    fn on_timer(&mut self, timer: Timer, commons: &mut Commons) {
        match timer {
            Timer::FirstToken | Timer::Stall => self.on_slow(timer, commons),
            Timer::Usage => self.on_usage_late(commons),
            Timer::Answer => self.cut_off(CutOff::TooSlow, commons),
            Timer::Tools => self.on_tools_due(commons),
            Timer::HandOff => self.on_nobody_came(commons),
            Timer::Idle => self.close(EndWhy::Idle, commons),
        }
    }

    fn close(&mut self, why: EndWhy, commons: &mut Commons) {
        // Nothing is asked after it.
        self.waiting = 0;
        self.over = Some(why);
        self.cut_off(CutOff::Ended, commons);
        self.timers.clear_all();
        if why != EndWhy::LetGo {
            let event = self.log.push(What::Ended { why });
            // Where nobody said anything there was no conversation.
            if self.history.rows().next().is_some() {
                let seq = self.history.place();
                self.put(row(seq, event.id, From::Ended(why), "", None));
                self.out.push_back(Action::Tell(Notice::Ended { why }));
            }
            self.out.push_back(Action::Deliver(event));
        }
        self.out.push_back(Action::End(why));
    }

    /// Keeps something whole that was said, and shows it.
    pub(super) fn put_said(&mut self, seq: u64, from: From, text: &str, client: Option<&Arc<str>>) {
        // Stores of text have no place for it.
        let text = text.replace('\0', "\u{fffd}");
        let event = self.log.push(What::Said(said(seq, from.clone(), &text, client)));
        self.put(row(seq, event.id, from, &text, client));
        self.out.push_back(Action::Deliver(event));
    }

    /// Keeps a row.
    pub(super) fn put(&mut self, row: Row) {
        if let Some(welcome) = self.welcome.take() {
            self.put(welcome);
        }
        self.out.push_back(Action::Persist(Box::new(row.clone())));
        let let_go = self.history.put(row);
        self.add("rows_in_the_store_only", let_go);
    }

    pub(super) fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    pub(super) fn add(&mut self, what: &'static str, n: u64) {
        if n > 0 {
            *self.counters.entry(what).or_default() += n;
        }
    }
}

fn is_id(id: &str) -> bool {
    (1..=ID_MAX).contains(&id.chars().take(ID_MAX + 1).count()) && !id.contains('\0')
}

fn row(seq: u64, event: u64, from: From, text: &str, client: Option<&Arc<str>>) -> Row {
    Row { seq, event, from, text: text.into(), client: client.cloned(), state: State::Whole, answer: None }
}

fn said(seq: u64, from: From, text: &str, client: Option<&Arc<str>>) -> Said {
    let (text, client) = (text.into(), client.cloned());
    Said { message: seq, from, text, state: State::Whole, client, sources: Vec::new() }
}

fn said_again(row: &Row) -> Said {
    Said {
        message: row.seq,
        from: row.from.clone(),
        text: Arc::clone(&row.text),
        state: row.state,
        client: row.client.clone(),
        sources: row.answer.as_ref().map(|answer| answer.sources.clone()).unwrap_or_default(),
    }
}
