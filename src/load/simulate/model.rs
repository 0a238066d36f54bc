//! A voice model in virtual time: it takes commands as the Realtime API does, and answers in its own time, or not at all.

use std::collections::{BTreeMap, VecDeque};

use super::fault::{Fault, Faults};
use super::random::Random;
use super::temper::Temper;
use crate::engine::{CommandKind, ModelCommand, ResponseStatus};
use crate::time::CallTime;

/// μ-law bytes per ms.
const PER_MS: u64 = 8;
/// A commit of less audio is refused (`input_audio_buffer_commit_empty`).
const SHORTEST_COMMIT_MS: u64 = 100;
/// Items whose length is remembered.
const ITEMS_MAX: usize = 64;

/// Something the model says, by number: the names are made of these.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Say {
    Ready,
    Closed {
        reason: &'static str,
        retry: bool,
    },
    SpeechStarted {
        item: u32,
        ms: u64,
    },
    SpeechStopped {
        item: u32,
        ms: u64,
    },
    Committed {
        item: u32,
    },
    CallerWords {
        item: u32,
        words: u64,
    },
    Started {
        response: u32,
    },
    Audio {
        response: u32,
        item: u32,
        bytes: u64,
    },
    Words {
        response: u32,
        item: u32,
        words: u64,
        done: bool,
    },
    Tool {
        response: u32,
        name: &'static str,
    },
    Done {
        response: u32,
        status: ResponseStatus,
    },
    Error {
        code: &'static str,
        about: Option<CommandKind>,
        fatal: bool,
    },
    Garbage,
    /// Begins a response that nobody asked for; nothing is said by that.
    Unasked,
    /// The caller is heard, or not any more; what is said of it follows from what was appended by then.
    Hears(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Off,
    Dialling,
    Ready,
}

/// One call's model.
#[derive(Debug)]
pub(super) struct Model {
    random: Random,
    temper: Temper,
    state: State,
    /// What it will say, in order.
    queue: BTreeMap<(CallTime, u32), Say>,
    seq: u32,
    dials: u32,
    items: u32,
    responses: u32,
    active: Option<Active>,
    /// Items of this session and how much of their audio was said, in bytes.
    said: VecDeque<(u32, u64)>,
    appended: u64,
    uncommitted: u64,
    /// The caller speaks, whether it is told or not.
    caller_speaks: bool,
    /// Where in the appended audio he began, and the item that it becomes once that was told.
    heard_from_ms: u64,
    speech: Option<u32>,
    /// When the last turn gets its name: what answers it begins later.
    named_at: CallTime,
    pub(super) faults: Faults,
}

/// The response that runs.
#[derive(Clone, Copy, Debug)]
struct Active {
    id: u32,
    cancelled: bool,
    audible: bool,
    /// What is left of the item that is being said, in bytes.
    left: u64,
    items_left: u64,
    tool: Option<&'static str>,
    status: ResponseStatus,
}

impl Model {
    pub(super) fn new(mut random: Random, temper: Temper) -> Self {
        let items = random.range(0, 3) as u32;
        Model {
            random,
            temper,
            state: State::Off,
            queue: BTreeMap::new(),
            seq: 0,
            dials: 0,
            items,
            responses: 0,
            active: None,
            said: VecDeque::new(),
            appended: 0,
            uncommitted: 0,
            caller_speaks: false,
            heard_from_ms: 0,
            speech: None,
            named_at: CallTime::ZERO,
            faults: Faults::default(),
        }
    }

    /// A connection is opened, in place of any other.
    pub(super) fn dial(&mut self, now: CallTime) {
        self.close();
        self.state = State::Dialling;
        self.dials += 1;
        let takes_ms = self.random.skewed(40, 1_500);
        if let Some((fault, say)) = self.temper.dial(self.dials) {
            self.faults.met(fault);
            if let Some(say) = say {
                self.later(now, takes_ms, say);
            }
            return;
        }
        self.later(now, takes_ms, Say::Ready);
    }

    /// The connection is closed, by whomever.
    pub(super) fn close(&mut self) {
        self.state = State::Off;
        self.queue.clear();
        self.active = None;
        self.said.clear();
        (self.appended, self.uncommitted, self.speech) = (0, 0, None);
    }

    /// The caller begins or stops speaking: for a model that detects turns.
    pub(super) fn caller_speaks(&mut self, now: CallTime, speaks: bool) {
        self.caller_speaks = speaks;
        let Some(detection) = self.temper.detection else { return };
        if self.state != State::Ready {
            return;
        }
        if speaks {
            self.queue.retain(|_, say| *say != Say::Hears(false));
            if self.speech.is_none() {
                self.heard_from_ms = self.appended / PER_MS;
                let after_ms = self.random.range(60, 350);
                self.later(now, after_ms, Say::Hears(true));
            }
        } else {
            self.later(now, detection.silence_ms, Say::Hears(false));
        }
    }

    /// Takes a command, as the API would. The error says what a vendor would never have been sent.
    pub(super) fn command(&mut self, now: CallTime, command: &ModelCommand<'_>) -> Result<(), String> {
        if self.state != State::Ready {
            return Err(format!("{:?} is sent to a session that is not there", command.kind()));
        }
        match command {
            ModelCommand::AppendAudio(audio) => {
                self.appended += audio.len() as u64;
                self.uncommitted += audio.len() as u64;
            }
            ModelCommand::CommitAudio => return self.commit(now),
            ModelCommand::ClearAudio => self.uncommitted = 0,
            ModelCommand::CreateResponse { .. } => self.begin(now, true),
            ModelCommand::CancelResponse => self.cancel(now),
            ModelCommand::Truncate { item, audio_end_ms } => {
                let number = item.strip_prefix("item_").and_then(|n| n.parse::<u32>().ok());
                let said = self.said.iter().find(|(n, _)| Some(*n) == number);
                let Some((_, bytes)) = said else {
                    return Err(format!("{item} is truncated, which this session has not"));
                };
                if audio_end_ms * PER_MS > *bytes {
                    return Err(format!("{item} is truncated at {audio_end_ms} ms of {} ms", bytes / PER_MS));
                }
            }
            ModelCommand::AddMessage { .. } | ModelCommand::DeleteItem { .. } | ModelCommand::ToolOutput { .. } => {}
        }
        Ok(())
    }

    /// When something is said next.
    pub(super) fn next(&self) -> Option<CallTime> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// What is said at `now`, if anything.
    pub(super) fn poll(&mut self, now: CallTime) -> Option<Say> {
        let entry = self.queue.first_entry().filter(|entry| entry.key().0 <= now)?;
        let say = entry.remove();
        match say {
            Say::Ready => self.is_ready(now),
            Say::Closed { .. } => {
                if self.state == State::Ready {
                    let mid_reply = self.active.is_some_and(|a| a.audible);
                    self.faults.met(if mid_reply { Fault::DropsMidReply } else { Fault::ModelDrops });
                    self.temper.dropped();
                }
                self.close();
            }
            Say::Hears(speaks) => return self.hears(now, speaks),
            Say::Unasked => {
                self.faults.met(Fault::StrayReply);
                self.begin(now, false);
                return None;
            }
            Say::Audio { response, item, bytes } => self.said_audio(now, response, item, bytes),
            Say::Done { response, .. } => {
                self.active.take_if(|a| a.id == response);
            }
            Say::Error { fatal: true, .. } => self.faults.met(Fault::ModelQuota),
            Say::Garbage => self.faults.met(Fault::ModelGarbage),
            _ => {}
        }
        Some(say)
    }

    fn is_ready(&mut self, now: CallTime) {
        self.state = State::Ready;
        if let Some((after_ms, say)) = self.temper.session(&mut self.random) {
            self.later(now, after_ms, say);
        }
        if self.caller_speaks {
            self.caller_speaks(now, true);
        }
    }

    fn hears(&mut self, now: CallTime, speaks: bool) -> Option<Say> {
        let detection = self.temper.detection?;
        let ms = self.appended / PER_MS;
        if speaks {
            self.items += 1;
            self.speech = Some(self.items);
            if !self.caller_speaks {
                self.later(now, detection.silence_ms, Say::Hears(false));
            }
            let ms = self.heard_from_ms.saturating_sub(detection.prefix_ms);
            return Some(Say::SpeechStarted { item: self.items, ms });
        }
        let item = self.speech.take()?;
        self.uncommitted = 0;
        self.named(now, item);
        self.begin(now, false);
        Some(Say::SpeechStopped { item, ms })
    }

    fn commit(&mut self, now: CallTime) -> Result<(), String> {
        if std::mem::take(&mut self.uncommitted) < SHORTEST_COMMIT_MS * PER_MS {
            if self.temper.local {
                return Err("less than 100 ms of audio is committed".to_owned());
            }
            let (code, about) = ("input_audio_buffer_commit_empty", Some(CommandKind::CommitAudio));
            self.later(now, 30, Say::Error { code, about, fatal: false });
            return Ok(());
        }
        self.items += 1;
        self.named(now, self.items);
        Ok(())
    }

    /// A turn of the caller gets its name and, later, its words.
    fn named(&mut self, now: CallTime, item: u32) {
        if self.random.chance(10) {
            self.faults.met(Fault::CommitUnnamed);
            return;
        }
        let (named_ms, words_ms) = (self.random.range(5, 120), self.random.skewed(150, 4_000));
        self.later(now, named_ms, Say::Committed { item });
        self.named_at = now.plus_ms(named_ms);
        if self.temper.transcribes {
            let words = self.random.skewed(1, 12);
            self.later(now, named_ms + words_ms, Say::CallerWords { item, words });
        }
    }

    fn begin(&mut self, now: CallTime, asked: bool) {
        if self.active.is_some() {
            if asked {
                let about = self.random.chance(700).then_some(CommandKind::CreateResponse);
                let code = "conversation_already_has_active_response";
                self.later(now, 25, Say::Error { code, about, fatal: false });
            }
            return;
        }
        if self.temper.is_silent(self.responses, &mut self.random) {
            self.faults.met(Fault::ModelSilent);
            return;
        }
        let now = now.max(self.named_at);
        self.responses += 1;
        let id = self.responses;
        let (begins_ms, speaks_ms) = (self.random.skewed(30, 900), self.random.skewed(60, 1_500));
        self.later(now, begins_ms, Say::Started { response: id });
        let reply = self.temper.reply(&mut self.random, id);
        if reply.status == ResponseStatus::Failed {
            self.faults.met(Fault::ReplyFails);
        }
        if let Some((after_ms, say)) = reply.besides {
            if matches!(say, Say::Error { .. }) {
                self.faults.met(Fault::ModelErrors);
            }
            self.later(now, begins_ms + after_ms, say);
        }
        let (left, items_left, tool, status) = (0, reply.items, reply.tool, reply.status);
        self.active = Some(Active { id, cancelled: false, audible: false, left, items_left, tool, status });
        self.goes_on(now, begins_ms + speaks_ms);
    }

    /// The next item of the response, or its end.
    fn goes_on(&mut self, now: CallTime, after_ms: u64) {
        let Some(active) = &mut self.active else { return };
        let response = active.id;
        if active.items_left > 0 {
            active.items_left -= 1;
            active.left = self.random.skewed(150, self.temper.longest_item_ms) * PER_MS;
            self.items += 1;
            let item = self.items;
            let bytes = self.temper.chunk(&mut self.random).min(self.active.map_or(0, |a| a.left));
            self.later(now, after_ms, Say::Audio { response, item, bytes });
            let words = self.random.range(1, 4);
            self.later(now, after_ms, Say::Words { response, item, words, done: false });
            return;
        }
        let (tool, status) = (active.tool.take(), active.status);
        if let Some(name) = tool {
            self.later(now, after_ms, Say::Tool { response, name });
        }
        self.later(now, after_ms + 5, Say::Done { response, status });
    }

    fn said_audio(&mut self, now: CallTime, response: u32, item: u32, bytes: u64) {
        match self.said.iter_mut().find(|(n, _)| *n == item) {
            Some((_, said)) => *said += bytes,
            None => {
                if self.said.len() == ITEMS_MAX {
                    self.said.pop_front();
                }
                self.said.push_back((item, bytes));
            }
        }
        let Some(active) = self.active.as_mut().filter(|a| a.id == response && !a.cancelled) else { return };
        active.audible = true;
        active.left -= bytes.min(active.left);
        let left = active.left;
        let pace_ms = bytes / PER_MS / self.temper.pace.max(1);
        if left > 0 {
            let bytes = self.temper.chunk(&mut self.random).min(left);
            self.later(now, pace_ms, Say::Audio { response, item, bytes });
        } else {
            let words = self.random.range(2, 30);
            self.later(now, pace_ms, Say::Words { response, item, words, done: true });
            self.goes_on(now, pace_ms + 10);
        }
    }

    fn cancel(&mut self, now: CallTime) {
        let Some(active) = self.active.as_mut().filter(|a| !a.cancelled) else {
            let (code, about) = ("response_cancel_not_active", Some(CommandKind::CancelResponse));
            return self.later(now, 25, Say::Error { code, about, fatal: false });
        };
        active.cancelled = true;
        let id = active.id;
        // What is on its way already still comes.
        self.queue.retain(
            |_, say| !matches!(say, Say::Tool { response, .. } | Say::Done { response, .. } if *response == id),
        );
        let (after_ms, status) = (self.random.range(10, 250), ResponseStatus::Cancelled);
        self.later(now, after_ms, Say::Done { response: id, status });
    }

    fn later(&mut self, now: CallTime, after_ms: u64, say: Say) {
        self.seq += 1;
        self.queue.insert((now.plus_ms(after_ms), self.seq), say);
    }
}
