//! A voice model in virtual time: it takes commands as the Realtime API does, and answers in its own time, or not at all.

mod reply;

use std::collections::{BTreeMap, VecDeque};

use super::fault::{Fault, Faults};
use super::temper::Temper;
use super::words::Say;
use crate::base::time::CallTime;
use crate::engine::{CommandKind, ModelCommand};
use crate::stage::load::random::Random;
use reply::Active;

/// μ-law bytes per ms.
const PER_MS: u64 = 8;
/// A commit of less audio is refused (`input_audio_buffer_commit_empty`).
const SHORTEST_COMMIT_MS: u64 = 100;
/// Items whose length is remembered.
const ITEMS_MAX: usize = 64;

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
    /// The item that the last commit became, and the commit's number; for whoever watches.
    pub(super) took: Option<(u32, u32)>,
    /// A turn has got no name: what others are by their order is a guess from then on.
    pub(super) unnamed: bool,
    pub(super) faults: Faults,
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
            took: None,
            unnamed: false,
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
            ModelCommand::CommitAudio { number } => return self.commit(now, *number),
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
            Say::Audio { response, item, bytes, .. } => self.said_audio(now, response, item, bytes),
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

    fn commit(&mut self, now: CallTime, number: u32) -> Result<(), String> {
        // Not all say which one they mean.
        let about = Some(CommandKind::CommitAudio);
        let tells = |random: &mut Random| random.chance(700).then_some(number);
        if self.random.chance(15) {
            self.faults.met(Fault::CommitRefused);
            let number = tells(&mut self.random);
            let code = "input_audio_buffer_commit_empty";
            self.refused(now, Say::Error { code, about, number, fatal: false, busy: false });
            return Ok(());
        }
        if std::mem::take(&mut self.uncommitted) < SHORTEST_COMMIT_MS * PER_MS {
            if self.temper.local {
                return Err("less than 100 ms of audio is committed".to_owned());
            }
            let number = tells(&mut self.random);
            let code = "input_audio_buffer_commit_empty";
            self.refused(now, Say::Error { code, about, number, fatal: false, busy: false });
            return Ok(());
        }
        self.items += 1;
        self.named(now, self.items);
        self.took = Some((self.items, number));
        Ok(())
    }

    /// A commit is not taken: the next one's name comes after that.
    fn refused(&mut self, now: CallTime, error: Say) {
        let after_ms = self.in_order(now, 30);
        self.named_at = now.plus_ms(after_ms);
        self.later(now, after_ms, error);
    }

    /// A turn of the caller gets its name and, later, its words.
    fn named(&mut self, now: CallTime, item: u32) {
        if self.random.chance(10) {
            self.faults.met(Fault::CommitUnnamed);
            self.unnamed = true;
            return;
        }
        let (named_ms, words_ms) = (self.random.range(5, 120), self.random.skewed(150, 4_000));
        let named_ms = self.in_order(now, named_ms);
        self.later(now, named_ms, Say::Committed { item });
        self.named_at = now.plus_ms(named_ms);
        if self.temper.transcribes {
            let words = self.random.skewed(1, 12);
            self.later(now, named_ms + words_ms, Say::CallerWords { item, words });
        }
    }

    /// What becomes of commits is told in their order.
    fn in_order(&self, now: CallTime, after_ms: u64) -> u64 {
        after_ms.max((self.named_at.as_us().saturating_sub(now.as_us())).div_ceil(1_000) + 1)
    }

    fn later(&mut self, now: CallTime, after_ms: u64, say: Say) {
        self.seq += 1;
        self.queue.insert((now.plus_ms(after_ms), self.seq), say);
    }
}
