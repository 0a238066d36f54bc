//! Ids that can be relied on. Some servers leave ids out, use one again for something later, or give each piece of one
//! thing an id of its own; the engine is given one name for each response, item and turn, and no name twice. What is named
//! as the API has it keeps its name.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};

/// Responses remembered, so that what comes late is known and a name that comes again is found out.
const RESPONSES_MAX: usize = 16;
/// Items of one response.
const ITEMS_MAX: usize = 64;
/// Turns remembered.
const TURNS_MAX: usize = 16;
/// Turns whose words are still to come: those of an older one are given up.
const UNWORDED_MAX: usize = 4;
/// Names that one turn is told by.
const NAMES_MAX: usize = 4;
/// Ids of one kind that are remembered for as long as the session lasts: hours of talk.
const GIVEN_MAX: usize = 8_192;

/// What an event tells of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tells {
    /// Audio: it comes of a response that runs.
    Audio,
    /// Words, a tool call: they may come after the end.
    Other,
}

/// One response.
#[derive(Debug, Default)]
struct Response {
    ours: String,
    /// The far end's id; empty while it has told none.
    theirs: String,
    /// It was told to begin.
    announced: bool,
    /// Audio of it was given out.
    heard: bool,
    /// We have asked for its end.
    cancelled: bool,
    items: Vec<Item>,
    /// The item that is being said.
    speaking: Option<usize>,
}

#[derive(Debug, Default)]
struct Item {
    ours: String,
    theirs: String,
    /// It is over: what has another id is another item.
    closed: bool,
    /// Its words were told to their end.
    worded: bool,
}

/// Responses and their items.
#[derive(Debug, Default)]
pub(super) struct Responses {
    /// The one that runs is the last one, if `running`.
    known: VecDeque<Response>,
    running: bool,
    given: Given,
    given_items: Given,
    /// Numbers the names that we make.
    made: u64,
}

/// A response and an item in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    response: usize,
    item: usize,
}

impl Responses {
    /// A response was told to begin. `None`: it was told before.
    pub(super) fn begin<'a>(&mut self, told: Cow<'a, str>) -> Option<Cow<'a, str>> {
        if let Some(current) = self.current()
            && (current.theirs == *told || current.theirs.is_empty())
            && !told.is_empty()
            && !std::mem::replace(&mut current.announced, true)
        {
            // What came before had no name, or was too early.
            current.theirs = told.into_owned();
            return (!current.heard).then(|| Cow::Owned(current.ours.clone()));
        }
        if self.current().is_some_and(|current| current.theirs == *told && !told.is_empty()) {
            return None;
        }
        let response = self.open(&told, true);
        Some(as_told(told, &self.known[response].ours))
    }

    /// A response has ended. `None`: that was told before.
    pub(super) fn end<'a>(&mut self, told: Cow<'a, str>) -> Option<Cow<'a, str>> {
        let late = |r: &Response| !told.is_empty() && r.theirs == *told;
        if !self.running {
            // One that was never seen: it ran, and does not any more.
            if told.is_empty() {
                // The next one like it is another.
                let ended = self.open("", true);
                self.running = false;
                return Some(Cow::Owned(self.known[ended].ours.clone()));
            }
            return if self.known.iter().any(late) { None } else { Some(told) };
        }
        let last = self.known.len() - 1;
        if self.known[last].theirs != *told && self.known.iter().take(last).any(late) {
            return None;
        }
        self.running = false;
        Some(as_told(told, &self.known[last].ours))
    }

    /// The place of a response that is about to [`end`](Self::end), if it is known.
    pub(super) fn of_ended(&self, told: &str) -> Option<usize> {
        let named = self.known.iter().rposition(|r| !told.is_empty() && r.theirs == told);
        named.or_else(|| self.running.then(|| self.known.len() - 1))
    }

    /// The last one, if it is over.
    pub(super) fn last_ended(&self) -> Option<usize> {
        if self.running { None } else { self.known.len().checked_sub(1) }
    }

    /// We have asked the one that runs to end.
    pub(super) fn cancel(&mut self) {
        if let Some(current) = self.current() {
            current.cancelled = true;
        }
    }

    /// The response that an event with this id is about; begun by it if need be.
    pub(super) fn of(&mut self, told: &str, item: &str, tells: Tells) -> usize {
        let named = |r: &Response| !told.is_empty() && r.theirs == told;
        if self.running {
            let last = self.known.len() - 1;
            if told.is_empty() || named(&self.known[last]) {
                return last;
            }
            if let Some(late) = self.known.iter().rposition(named) {
                return late;
            }
            let current = &mut self.known[last];
            if current.theirs.is_empty() {
                current.theirs.push_str(told);
            }
            // An id for each piece, unless this is the next one already.
            if !current.cancelled || current.theirs == told {
                return last;
            }
            return self.open(told, false);
        }
        let knows = |r: &Response| r.items.iter().any(|i| !item.is_empty() && i.theirs == item);
        let late = match told {
            "" => self.known.iter().rposition(knows),
            _ => self.known.iter().rposition(named),
        };
        match (late, tells) {
            // The same id again, with something new in it.
            (Some(late), Tells::Audio) if !item.is_empty() && !knows(&self.known[late]) => self.open(told, false),
            (Some(late), _) => late,
            (None, Tells::Other) if told.is_empty() && self.known.back().is_some_and(Response::lacks_words) => {
                self.known.len() - 1
            }
            (None, _) => self.open(told, false),
        }
    }

    /// An item of a response was told to begin.
    pub(super) fn add_item(&mut self, response: usize, told: &str) {
        let known = &self.known[response].items;
        match known.iter().position(|i| i.theirs == told && !told.is_empty()) {
            Some(known) => self.known[response].speaking = Some(known),
            None => {
                self.new_item(response, told);
            }
        }
    }

    /// The item that audio or words of a response belong to.
    pub(super) fn item(&mut self, response: usize, told: &str, tells: Tells) -> Place {
        let of = &mut self.known[response];
        of.heard |= tells == Tells::Audio;
        let known = of.items.iter().position(|i| i.theirs == told && !told.is_empty());
        // Words may come after the audio is over.
        let speaking = of.speaking.filter(|at| {
            let item = &of.items[*at];
            !item.closed || (tells == Tells::Other && (told.is_empty() || !item.worded))
        });
        if let Some(item) = known.or(speaking) {
            let known = &mut of.items[item];
            if known.theirs.is_empty() {
                // What was told without it has an id after all, by which it can be spoken of.
                known.theirs.push_str(told);
            }
            return Place { response, item };
        }
        let item = self.new_item(response, told);
        Place { response, item }
    }

    /// No more audio comes of the item.
    pub(super) fn close_item(&mut self, told_response: &str, told: &str) {
        let named = |r: &Response| told_response.is_empty() || r.theirs == told_response || r.theirs.is_empty();
        if let Some(response) = self.known.back_mut().filter(|r| named(r)) {
            let known = response.items.iter().position(|i| i.theirs == told && !told.is_empty());
            if let Some(at) = known.or(response.speaking) {
                response.items[at].closed = true;
            }
        }
    }

    /// Its words are told to their end. Answers whether they were before.
    pub(super) fn words_done(&mut self, at: Place) -> bool {
        std::mem::replace(&mut self.known[at.response].items[at.item].worded, true)
    }

    /// Our name of a response.
    pub(super) fn response_name(&self, response: usize) -> &str {
        &self.known[response].ours
    }

    /// Our name of an item.
    pub(super) fn item_name(&self, at: Place) -> &str {
        &self.known[at.response].items[at.item].ours
    }

    /// The far end's id of an item that we have this name for: empty when it has told none; `None` for an item that is none
    /// of a response's.
    pub(super) fn id_of(&self, ours: &str) -> Option<&str> {
        let items = self.known.iter().rev().flat_map(|r| &r.items);
        items.into_iter().find(|i| i.ours == ours).map(|i| i.theirs.as_str())
    }

    fn current(&mut self) -> Option<&mut Response> {
        if self.running { self.known.back_mut() } else { None }
    }

    fn open(&mut self, told: &str, announced: bool) -> usize {
        if self.known.len() == RESPONSES_MAX {
            self.known.pop_front();
        }
        let ours = self.given.name(told, "response", &mut self.made);
        self.known.push_back(Response { ours, theirs: told.to_owned(), announced, ..Response::default() });
        self.running = true;
        self.known.len() - 1
    }

    fn new_item(&mut self, response: usize, told: &str) -> usize {
        let response = &mut self.known[response];
        if response.items.len() == ITEMS_MAX {
            return ITEMS_MAX - 1;
        }
        let ours = self.given_items.name(told, "item", &mut self.made);
        response.items.push(Item { ours, theirs: told.to_owned(), ..Item::default() });
        response.speaking = Some(response.items.len() - 1);
        response.items.len() - 1
    }
}

impl Response {
    fn lacks_words(&self) -> bool {
        self.speaking.is_some_and(|at| !self.items[at].worded)
    }
}

/// One turn of the caller.
#[derive(Debug, Default)]
struct Turn {
    ours: String,
    theirs: Vec<String>,
    committed: bool,
    worded: bool,
}

impl Turn {
    fn is_named(&self, told: &str) -> bool {
        !told.is_empty() && self.theirs.iter().any(|name| name == told)
    }

    fn also(&mut self, told: &str) {
        if !told.is_empty() && !self.is_named(told) && self.theirs.len() < NAMES_MAX {
            self.theirs.push(told.to_owned());
        }
    }
}

/// The caller's turns, as the far end makes items of them.
#[derive(Debug, Default)]
pub(super) struct Turns {
    known: VecDeque<Turn>,
    /// Commits of ours that have not been named.
    unnamed: u32,
    given: Given,
    made: u64,
}

impl Turns {
    /// We have committed a turn.
    pub(super) fn commit_sent(&mut self) {
        self.unnamed += 1;
    }

    /// A commit of ours came to nothing.
    pub(super) fn commit_refused(&mut self) {
        self.unnamed = self.unnamed.saturating_sub(1);
    }

    /// Speech began.
    pub(super) fn started<'a>(&mut self, told: Cow<'a, str>) -> Cow<'a, str> {
        let at = match self.known.iter().rposition(|t| !t.committed && (told.is_empty() || t.is_named(&told))) {
            Some(at) => at,
            None => self.open(&told),
        };
        as_told(told, &self.known[at].ours)
    }

    /// Speech ended.
    pub(super) fn stopped<'a>(&mut self, told: Cow<'a, str>) -> Cow<'a, str> {
        let named = self.known.iter().rposition(|t| t.is_named(&told));
        let at = match named.or_else(|| self.known.iter().rposition(|t| !t.committed)) {
            Some(at) => at,
            None => self.open(&told),
        };
        self.known[at].also(&told);
        as_told(told, &self.known[at].ours)
    }

    /// A turn is an item. `None`: that was told before.
    pub(super) fn committed<'a>(&mut self, told: Cow<'a, str>) -> Option<Cow<'a, str>> {
        let open = |t: &Turn| !t.committed;
        let named = self.known.iter().rposition(|t| t.is_named(&told));
        let at = match named {
            Some(at) if open(&self.known[at]) => at,
            // The same id for the next turn, or the same turn told again.
            Some(_) if self.unnamed > 0 => self.open(&told),
            Some(_) => return None,
            None => match self.known.iter().rposition(open) {
                Some(at) => at,
                None => self.open(&told),
            },
        };
        self.unnamed = self.unnamed.saturating_sub(1);
        let turn = &mut self.known[at];
        turn.committed = true;
        turn.also(&told);
        let waiting = self.known.iter().filter(|t| t.committed && !t.worded).count();
        if waiting > UNWORDED_MAX
            && let Some(oldest) = self.known.iter_mut().find(|t| t.committed && !t.worded)
        {
            oldest.worded = true;
        }
        Some(as_told(told, &self.known[at].ours))
    }

    /// Words of a turn. The second is whether it was not told before that the turn is an item.
    pub(super) fn words<'a>(&mut self, told: Cow<'a, str>, done: bool) -> (Cow<'a, str>, bool) {
        let named = self.known.iter().rposition(|t| t.is_named(&told));
        let mut news = false;
        let at = match named {
            Some(at) => at,
            // Of a turn that has no words yet, or more of the last one's.
            None => match self.known.iter().position(|t| t.committed && !t.worded) {
                Some(at) => at,
                None if self.unnamed > 0 || self.known.is_empty() => {
                    news = self.unnamed > 0;
                    self.unnamed = self.unnamed.saturating_sub(1);
                    let at = self.open(&told);
                    self.known[at].committed = news;
                    at
                }
                None => self.known.len() - 1,
            },
        };
        let turn = &mut self.known[at];
        if turn.theirs.is_empty() {
            turn.also(&told);
        }
        turn.worded |= done;
        (as_told(told, &self.known[at].ours), news)
    }

    /// A turn's words will not come.
    pub(super) fn wordless(&mut self, told: &str) -> String {
        let named = self.known.iter().rposition(|t| t.is_named(told));
        let at = named.or_else(|| self.known.iter().position(|t| t.committed && !t.worded));
        let Some(at) = at else { return told.to_owned() };
        self.known[at].worded = true;
        self.known[at].ours.clone()
    }

    /// The far end's id of a turn that we have this name for; see [`Responses::id_of`].
    pub(super) fn id_of(&self, ours: &str) -> Option<&str> {
        let turn = self.known.iter().rev().find(|t| t.ours == ours)?;
        Some(turn.theirs.first().map_or("", String::as_str))
    }

    fn open(&mut self, told: &str) -> usize {
        if self.known.len() == TURNS_MAX {
            self.known.pop_front();
        }
        let ours = self.given.name(told, "turn", &mut self.made);
        let theirs = if told.is_empty() { Vec::new() } else { vec![told.to_owned()] };
        self.known.push_back(Turn { ours, theirs, ..Turn::default() });
        self.known.len() - 1
    }
}

/// The names that were given: the engine remembers for longer than what they name is known here.
#[derive(Debug, Default)]
struct Given(BTreeSet<String>);

impl Given {
    /// The name as it is told, or one of ours where there is none, it was given before, or nobody knows any more.
    fn name(&mut self, told: &str, what: &str, made: &mut u64) -> String {
        if !told.is_empty() && self.0.len() < GIVEN_MAX && self.0.insert(told.to_owned()) {
            return told.to_owned();
        }
        let stem = if told.is_empty() { what } else { told };
        loop {
            *made += 1;
            let name = format!("{stem}~{made}");
            // The far end may have had the same idea.
            if !self.0.contains(&name) {
                return name;
            }
        }
    }
}

/// Borrowed where our name is the one that was told.
fn as_told<'a>(told: Cow<'a, str>, ours: &str) -> Cow<'a, str> {
    if *told == *ours { told } else { Cow::Owned(ours.to_owned()) }
}
