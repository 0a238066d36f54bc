//! What was said, by whom, and how much of it was heard: for the report, and for a new session of the model.

use std::borrow::Cow;

use crate::base::time::{CallTime, Samples};
use crate::engine::event::Role;
use crate::engine::report::Line;

/// Lines kept; a conversation that goes beyond keeps its beginning for the report.
const LINES_MAX: usize = 2_000;
/// Lines that a new session is given: the latest ones.
pub(super) const REPLAYED_MAX: usize = 100;
/// Characters kept of one line.
const TEXT_MAX: usize = 16 * 1024;
/// What a new session is told of a turn whose words are not known.
const UNKNOWN_WORDS: &str = "[The caller said something here; the words are not known.]";

/// One line as the engine keeps it.
#[derive(Clone, Debug)]
pub(super) struct Spoken {
    pub(super) who: Role,
    /// The model's item id, or the name of a recording.
    pub(super) item: String,
    /// The model's session that the id is of: another may use it again.
    session: u32,
    /// Everything that was said, heard or not.
    pub(super) text: String,
    /// Bytes of it that were told as whole: what is told beyond is another piece of it.
    settled: usize,
    pub(super) begun: Option<CallTime>,
    pub(super) ended: Option<CallTime>,
    /// Some of its audio went into the playout queue: only then could it be heard.
    pub(super) voiced: bool,
    pub(super) heard: Samples,
    pub(super) received: Samples,
    /// Received beyond that, and dropped for want of room.
    pub(super) refused: Samples,
    /// The model was told that no more than this was heard.
    pub(super) told: Option<Samples>,
    /// The caller did not hear it to its end.
    pub(super) cut: bool,
    /// The words are final.
    pub(super) worded: bool,
    /// The trace has it.
    pub(super) traced: bool,
    /// The caller said it over the agent, who went on: it is not answered.
    pub(super) back_channel: bool,
    /// The model's current session has it as an item of our making, so it can be replaced.
    pub(super) ours: bool,
}

impl Spoken {
    /// What a new session is told of it; `None` for nothing.
    pub(super) fn for_replay(&self) -> Option<String> {
        let (heard, unheard) = self.heard_and_unheard();
        match self.who {
            // A turn of which the words never came is a turn all the same. One that is still open is not: its audio goes
            // to the new session.
            Role::Caller if heard.is_empty() => self.ended.map(|_| UNKNOWN_WORDS.to_owned()),
            _ if heard.is_empty() => None,
            _ if unheard.is_empty() => Some(heard.to_owned()),
            _ => Some(format!("{heard}…")),
        }
    }

    /// A turn of the caller's, whether its words are known or not.
    fn is_turn(&self) -> bool {
        self.who == Role::Caller && self.ended.is_some()
    }

    /// The text split where the caller stopped hearing, at a word's edge.
    pub(super) fn heard_and_unheard(&self) -> (&str, &str) {
        if self.who == Role::Agent && !self.voiced {
            return ("", &self.text);
        }
        if !self.cut || self.who != Role::Agent {
            return (&self.text, "");
        }
        let received = self.received + self.refused;
        if self.heard >= received && received > Samples::ZERO {
            return (&self.text, "");
        }
        // Speech is even enough that the share of audio is the share of characters.
        let share = self.heard.0 as f64 / received.0.max(1) as f64;
        let target = (self.text.len() as f64 * share) as usize;
        let cut = self
            .text
            .char_indices()
            .filter(|(_, c)| c.is_whitespace())
            .map(|(i, _)| i)
            .take_while(|i| *i <= target)
            .last()
            .unwrap_or(0);
        let (heard, unheard) = self.text.split_at(cut);
        (heard, unheard.trim_start())
    }
}

/// The conversation.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    lines: Vec<Spoken>,
    session: u32,
    pub(super) refused: u64,
}

impl Conversation {
    /// Begins a line and names its place. Beyond the bound all further lines share the last place.
    pub(super) fn begin(&mut self, who: Role, item: &str) -> usize {
        if self.lines.len() == LINES_MAX {
            self.refused += 1;
            return LINES_MAX - 1;
        }
        self.lines.push(Spoken {
            who,
            item: item.to_owned(),
            session: self.session,
            text: String::new(),
            settled: 0,
            begun: None,
            ended: None,
            voiced: false,
            heard: Samples::ZERO,
            received: Samples::ZERO,
            refused: Samples::ZERO,
            told: None,
            cut: false,
            worded: false,
            traced: false,
            back_channel: false,
            ours: false,
        });
        self.lines.len() - 1
    }

    /// The line of an item, the latest first.
    pub(super) fn find(&self, who: Role, item: &str) -> Option<usize> {
        self.lines.iter().rposition(|l| l.session == self.session && l.who == who && l.item == item)
    }

    /// The model's item for a line that was begun before it had one, or in a session before. The last place, which further
    /// lines share, keeps the name that it has.
    pub(super) fn bind(&mut self, index: usize, item: &str) {
        if self.is_full() && index + 1 == LINES_MAX {
            return;
        }
        let session = self.session;
        let line = &mut self.lines[index];
        if !line.worded {
            line.text.clear();
        }
        item.clone_into(&mut line.item);
        line.session = session;
    }

    /// The model's session is over: its ids mean nothing any more, and a turn that is still open begins again.
    pub(super) fn forget_session(&mut self) {
        self.session += 1;
        let open = |l: &&mut Spoken| l.who == Role::Caller && l.ended.is_none() && l.text.is_empty();
        self.lines.iter_mut().filter(open).for_each(|l| l.begun = None);
    }

    pub(super) fn line(&mut self, index: usize) -> &mut Spoken {
        // Indices come from `begin` and lines are never removed.
        &mut self.lines[index]
    }

    /// Takes in a piece, or with `done` the whole, of a line's text. Some vendors tell a line in several wholes: nothing
    /// that was told so is lost to the next.
    pub(super) fn say(&mut self, index: usize, text: &str, done: bool) {
        let line = &mut self.lines[index];
        if done {
            line.worded = true;
            line.text.truncate(line.settled);
            let known = line.text.trim_end();
            if text.starts_with(known) {
                line.text.clear();
            } else if known.ends_with(text.trim()) {
                return;
            }
        }
        let apart = line.settled > 0 && line.text.len() == line.settled;
        if apart && !line.text.ends_with(char::is_whitespace) && !text.starts_with(char::is_whitespace) {
            line.text.push(' ');
        }
        let room = TEXT_MAX.saturating_sub(line.text.len());
        line.text.push_str(&text[..text.floor_char_boundary(room)]);
        if done {
            line.settled = line.text.len();
        }
    }

    /// The words of an agent's line, heard and unheard, once both its audio and its words are at their end; once only.
    pub(super) fn take_said(&mut self, index: usize) -> Option<(String, String)> {
        let line = &mut self.lines[index];
        if line.traced || !line.worded || !line.voiced || line.ended.is_none() {
            return None;
        }
        line.traced = true;
        let (heard, unheard) = line.heard_and_unheard();
        Some((heard.to_owned(), unheard.to_owned()))
    }

    /// Whether there is no room for a line of its own.
    pub(super) fn is_full(&self) -> bool {
        self.lines.len() >= LINES_MAX
    }

    /// Which of the model's sessions the conversation is in.
    pub(super) fn session(&self) -> u32 {
        self.session
    }

    /// Lines so far.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether the agent said something from this line on, and all of it was heard.
    pub(super) fn is_heard_from(&self, index: usize) -> bool {
        let said = || self.lines.iter().skip(index).filter(|l| l.who == Role::Agent && l.received > Samples::ZERO);
        said().next().is_some() && said().all(|l| l.heard >= l.received && !l.cut)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.iter().all(|l| l.for_replay().is_none())
    }

    /// What a new session is told, oldest first.
    pub(super) fn replay(&mut self) -> impl Iterator<Item = (usize, &mut Spoken, String)> {
        let skip = self.lines.iter().filter(|l| l.for_replay().is_some()).count().saturating_sub(REPLAYED_MAX);
        self.lines.iter_mut().enumerate().filter_map(|(i, l)| l.for_replay().map(|text| (i, l, text))).skip(skip)
    }

    /// For the report. Lines that never became audible and have no words are left out.
    /// `playing`: the lines that are still being heard, each with what was heard and what was received of it.
    pub(super) fn report(
        &self,
        rate_hz: u32,
        now: CallTime,
        media_at: impl Fn(CallTime) -> Samples,
        playing: &[(usize, Samples, Samples)],
    ) -> Vec<Line> {
        self.lines
            .iter()
            .enumerate()
            // What the model was told by us is of the conversation, but nobody said it.
            .filter(|(_, l)| l.who != Role::System && (l.begun.is_some() || !l.text.is_empty() || l.is_turn()))
            .map(|(index, l)| {
                let mut l = Cow::Borrowed(l);
                if let Some((_, heard, received)) = playing.iter().find(|(line, ..)| *line == index) {
                    let l = l.to_mut();
                    (l.heard, l.received) = (*heard, *received);
                    l.cut |= heard < received;
                }
                let (heard, unheard) = l.heard_and_unheard();
                let begun = l.begun.or(l.ended).unwrap_or(now);
                let ended = l.ended.unwrap_or(now).max(begun);
                Line {
                    who: l.who,
                    at_ms: begun.as_ms(),
                    end_at_ms: ended.as_ms(),
                    media_at_ms: media_at(begun).as_ms(rate_hz),
                    media_end_ms: media_at(ended).as_ms(rate_hz),
                    text: heard.to_owned(),
                    unheard: unheard.to_owned(),
                    heard_ms: l.heard.as_ms(rate_hz),
                    received_ms: (l.received + l.refused).as_ms(rate_hz),
                    back_channel: l.back_channel,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_line_is_split_at_a_words_edge() {
        let mut c = Conversation::default();
        let i = c.begin(Role::Agent, "item");
        c.say(i, "one two three four", true);
        let line = c.line(i);
        assert_eq!(line.heard_and_unheard(), ("", "one two three four"), "words without audio are not heard");
        line.voiced = true;
        line.cut = true;
        line.received = Samples(1000);
        line.heard = Samples(500);
        assert_eq!(line.heard_and_unheard(), ("one two", "three four"));
        line.heard = Samples::ZERO;
        assert_eq!(line.heard_and_unheard(), ("", "one two three four"));
        line.heard = Samples(1000);
        assert_eq!(line.heard_and_unheard(), ("one two three four", ""));
    }

    #[test]
    fn deltas_add_up_and_the_final_text_replaces_them() {
        let mut c = Conversation::default();
        let i = c.begin(Role::Caller, "item");
        c.say(i, "Hel", false);
        c.say(i, "lo", false);
        assert_eq!(c.line(i).text, "Hello");
        c.say(i, "Hello!", true);
        assert_eq!(c.line(i).text, "Hello!");
    }

    #[test]
    fn a_line_that_is_told_in_several_wholes_loses_none() {
        let mut c = Conversation::default();
        let i = c.begin(Role::Agent, "item");
        for (text, done, expected) in [
            ("One.", true, "One."),
            ("One.", true, "One."),
            ("Tw", false, "One. Tw"),
            ("o", false, "One. Two"),
            ("Two.", true, "One. Two."),
            ("One. Two. Three.", true, "One. Two. Three."),
            (" Four.", true, "One. Two. Three. Four."),
            ("", true, "One. Two. Three. Four."),
        ] {
            c.say(i, text, done);
            assert_eq!(c.line(i).text, expected, "{text:?}");
        }
    }
}
