//! What holds for every call, whatever happens in it, checked as it happens.

mod end;
mod items;
#[cfg(test)]
mod tests;
mod turns;

use crate::base::time::{CallTime, Samples};
use crate::config::{CallSettings, TurnDetection};
use crate::ears::turn::shadow::CLICK_MS;
use crate::engine::report::Report;
use crate::engine::{
    Action, CallEvent, CallerCommand, CallerEvent, CommandKind, Input, ModelCommand, ModelEvent, Record,
};
use crate::lab::sim::Sim;
use crate::lab::sim::line::Line;

use super::settings::SOUND;
use items::Item;
use silence::Silence;
use turns::Turns;

mod silence;

/// The byte that audio is made of which cannot be heard.
pub(super) const SILENCE: u8 = 0xFF;

/// The most actions that one input may lead to: a replay of a long conversation is the most that there is.
const ACTIONS_MAX: u64 = 500;
/// The most inputs at one moment; a call that needs more is one that loops.
const INPUTS_AT_ONCE_MAX: u64 = 20_000;
/// Bytes from 1 on that are loud as μ-law: what has others is silence to a caller.
const LOUD: u32 = 0x6F;
/// Jitter that the reckoning of what was heard may be off by at a clear, beyond one message.
const RECKONING_MS: u64 = 60;
/// While it is not known whether the caller interrupts, the agent is held for this long at most; deadlines are noticed late here.
const HELD_MAX_MS: u64 = 1_000;
const LATE_MS: u64 = 20;

/// The most that the tracks of a recording may lie apart.
const TRACKS_MS: u64 = 20;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// In the call's time.
    pub(super) at: CallTime,
    /// Which, and how.
    pub(super) what: String,
}

/// Watches one call. The first broken promise is kept; what follows is often only a consequence.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) broken: Option<Broken>,
    pub(super) barge_ins: u64,
    pub(super) truncations: u64,
    rate_hz: u32,
    /// The longest message to the line.
    batch_ms: u64,
    /// Items of the model by the byte that their audio is made of, less one.
    items: Vec<Item>,
    clears: u32,
    holds: u64,
    held: bool,
    held_at: CallTime,
    /// A click is about to be erased.
    erases: bool,
    ended: bool,
    sent: u64,
    recorded: u64,
    /// Where the recording of the agent ends.
    recorded_to: u64,
    media_start: Option<CallTime>,
    /// By how much the line's clock runs faster than ours.
    clock_ppm: i64,
    /// Something went wrong at the line: where it plays is not known as well any more.
    troubled: bool,
    /// Where the line's clock was, in samples, when audio was sent to a line at rest.
    began: Option<i64>,
    inputs_at: (CallTime, u64),
    /// The model has told of a response, and not of its end.
    running: Option<String>,
    /// Tools that were called and not answered.
    tools_open: i64,
    silence: Silence,
    /// What may be a broken promise, if no marks were given up.
    doubt: Option<Broken>,
    /// The line was emptied since the last look.
    look: bool,
    /// An item, or a response, is over since then.
    told: bool,
    /// The response that began last, and the one that was cancelled last.
    response: u32,
    cancelled: u32,
    /// There is no line any more.
    over: bool,
    pub(super) turns: Turns,
}

impl Watch {
    pub(super) fn new(settings: &CallSettings) -> Self {
        let local = matches!(settings.turn_detection, TurnDetection::Local(_));
        let turns = Turns::new(local);
        let silence = Silence::new(settings);
        let (rate_hz, batch_ms) = (settings.format.rate_hz, settings.playout.batch_ms);
        Watch { rate_hz, batch_ms, turns, silence, ..Watch::default() }
    }

    /// The line's clock runs faster than ours by so much, in parts per million.
    pub(super) fn runs_by(&mut self, clock_ppm: i64) {
        self.clock_ppm = clock_ppm;
    }

    /// Something goes wrong at the line.
    pub(super) fn line_is_troubled(&mut self) {
        self.troubled = true;
        self.began = None;
    }

    /// Both tracks are on the line's clock: audio is recorded where that was when it began to be played.
    fn beside(&mut self, at: CallTime, position: Samples) {
        let Some(began) = self.began.take() else { return };
        let off = position.0 as i64 - began;
        let most = Samples::from_ms(TRACKS_MS, self.rate_hz).0;
        if off.unsigned_abs() > most {
            let clock = self.clock_ppm;
            self.breaks(at, format!("the agent is recorded {off} samples beside where he was heard, at {clock} ppm"));
        }
    }

    fn line_clock(&self, at: CallTime) -> Option<i64> {
        let since_us = i128::from(at.as_us()) - i128::from(self.media_start?.as_us());
        let line_us = since_us * i128::from(1_000_000 + self.clock_ppm) / 1_000_000;
        Some((line_us * i128::from(self.rate_hz) / 1_000_000) as i64)
    }

    /// The byte that an item's audio is made of: recordings have others.
    pub(super) fn byte_of(item: u32) -> u8 {
        1 + (item % LOUD) as u8
    }

    /// The model's item with this number gets more audio.
    fn receives(&mut self, number: u32, bytes: u64, silent: bool) -> &mut Item {
        let index = usize::from(Self::byte_of(number)) - 1;
        if self.items.len() <= index {
            self.items.resize(index + 1, Item::default());
        }
        let item = &mut self.items[index];
        if item.number != number {
            *item = Item::new(number);
        }
        item.received += bytes;
        item.silent = silent;
        item
    }

    /// Something is about to be handled.
    pub(super) fn input(&mut self, at: CallTime, input: &Input<'_>) {
        if matches!(input, Input::Caller(CallerEvent::Started)) {
            self.media_start.get_or_insert(at);
        }
        if let Input::Model(event) = input {
            self.hears_model(event);
        }
        match input {
            // What the model refuses is forgotten there, and sent once more.
            Input::Model(ModelEvent::Error { about: Some(CommandKind::CommitAudio), .. }) => self.erases = true,
            Input::Model(ModelEvent::ResponseStarted { response }) => self.running = Some(response.to_string()),
            Input::Model(ModelEvent::ResponseDone { response, .. }) => {
                self.running.take_if(|running| **running == **response);
            }
            Input::Model(ModelEvent::ToolCall { .. }) => self.tools_open += 1,
            Input::Model(ModelEvent::Ready { .. } | ModelEvent::Closed { .. }) => self.running = None,
            _ => {}
        }
    }

    /// Something was decided. The line has not taken it yet.
    pub(super) fn action(&mut self, line: &Line, at: CallTime, action: &Action<'_>) {
        if self.ended {
            self.breaks(at, format!("{action:?} after the end"));
        }
        self.turns.action(action);
        self.tells_model(action);
        match action {
            Action::SendCaller(CallerCommand::Audio(bytes)) => {
                if line.is_at_rest(at) && !self.troubled && bytes.first() != Some(&SOUND) {
                    self.began = self.line_clock(at);
                }
                self.audio(at, bytes);
            }
            Action::SendCaller(CallerCommand::Mark(mark)) if mark.generation != self.clears => {
                let (of, now) = (mark.generation, self.clears);
                self.breaks(at, format!("a mark of generation {of} after {now} clears"));
            }
            Action::SendCaller(CallerCommand::Clear) => {
                self.clears += 1;
                self.began = None;
                self.silence.cleared(at);
                self.look = true;
            }
            Action::SendModel(ModelCommand::CreateResponse { .. }) => {
                if let Some(running) = self.running.take() {
                    self.breaks(at, format!("a response is asked for while {running} runs"));
                }
            }
            Action::SendModel(ModelCommand::CancelResponse) => self.running = None,
            Action::SendModel(ModelCommand::Truncate { item, audio_end_ms }) => {
                self.truncate(line, at, item, *audio_end_ms);
            }
            Action::Record(Record::Agent { at: position, payload }) => {
                self.beside(at, *position);
                if position.0 < self.recorded_to {
                    let before = self.recorded_to;
                    self.breaks(at, format!("the agent is recorded at {} and before up to {before}", position.0));
                }
                self.recorded_to = position.0 + payload.len() as u64;
                self.recorded += payload.len() as u64;
            }
            Action::SendModel(ModelCommand::ClearAudio) if !std::mem::take(&mut self.erases) => {
                self.breaks(at, "what the caller said is erased".to_owned());
            }
            Action::Emit(event) => self.event(at, event),
            Action::End(_) => self.ended = true,
            _ => {}
        }
    }

    /// After everything that one input led to.
    pub(super) fn settled(&mut self, sim: &Sim) {
        let now = sim.now();
        let same = self.inputs_at.0 == now;
        self.inputs_at = (now, if same { self.inputs_at.1 + 1 } else { 1 });
        if self.inputs_at.1 > INPUTS_AT_ONCE_MAX {
            self.breaks(now, format!("{INPUTS_AT_ONCE_MAX} inputs at one moment: it loops"));
        }
        if sim.seen.most_actions > ACTIONS_MAX {
            self.breaks(now, format!("{} actions on one input", sim.seen.most_actions));
        }
        if self.recorded > self.sent {
            self.breaks(now, format!("{} samples are recorded as heard and {} were sent", self.recorded, self.sent));
        }
        let media_now =
            |start: CallTime| now.as_us().saturating_sub(start.as_us()) * u64::from(self.rate_hz) / 1_000_000;
        if self.recorded_to > media_now(self.media_start.unwrap_or_default()) {
            // The line's clock may be ahead of ours.
            let now_at = sim.engine().report().media_ms.unwrap_or_default() * u64::from(self.rate_hz) / 1_000;
            let millisecond = u64::from(self.rate_hz) / 1_000;
            if self.recorded_to > now_at + millisecond {
                let to = self.recorded_to;
                self.breaks(now, format!("the agent is recorded up to {to}, and it is {now_at}"));
            }
        }
        if std::mem::take(&mut self.told) {
            self.compare_items(sim);
        }
        if std::mem::take(&mut self.look) {
            self.compare_with_line(sim);
        }
        if let Some(quiet_ms) = self.silence.too_long(now) {
            let counters = sim.engine().report().counters;
            // A line that stalls is silent however much there is to be heard.
            if !counters.contains_key("line_stalls") && !counters.contains_key("marks_lost") {
                self.breaks(now, format!("the caller waits for an answer and has heard nothing for {quiet_ms} ms"));
            }
        }
    }

    /// A promise was broken.
    pub(super) fn breaks(&mut self, at: CallTime, what: String) {
        self.broken.get_or_insert(Broken { at, what });
    }

    fn audio(&mut self, at: CallTime, bytes: &[u8]) {
        self.sent += bytes.len() as u64;
        if bytes.iter().any(|b| *b != SILENCE) {
            self.silence.sounds(at, bytes.len() as u64 * 1_000 / u64::from(self.rate_hz));
        }
        if self.held {
            self.breaks(at, "agent audio while he is held".to_owned());
        }
        let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
            return self.breaks(at, "a message to the line without audio".to_owned());
        };
        if (first == SOUND && last == SOUND) || bytes.iter().all(|b| *b == SILENCE) {
            return;
        }
        let Some(item) =
            usize::from(first).checked_sub(1).and_then(|i| self.items.get_mut(i)).filter(|_| first == last)
        else {
            return self.breaks(at, format!("audio of no item goes to the line: {first} to {last}"));
        };
        item.sent += bytes.len() as u64;
        let Item { number, received, sent, stopped, .. } = *item;
        if stopped {
            self.breaks(at, format!("audio of item_{number} after it was stopped"));
        } else if sent > received * (1 + self.holds) {
            // What was unheard at a hold is sent once more.
            self.breaks(at, format!("of item_{number} {sent} samples are sent and {received} came"));
        }
    }

    fn event(&mut self, at: CallTime, event: &CallEvent) {
        self.silence.event(at, event);
        match event {
            CallEvent::ToolAnswered { .. } => {
                self.tools_open -= 1;
                if self.tools_open < 0 {
                    self.breaks(at, "a tool is answered that was not called, or twice".to_owned());
                }
            }
            CallEvent::AgentHeld { .. } => {
                self.held = true;
                self.held_at = at;
                self.holds += 1;
            }
            // What is not the caller's to decide may be forgotten, and a click.
            CallEvent::TurnDropped { rule, voiced_ms } => {
                self.erases = rule != "shorter_than_a_word" || *voiced_ms < CLICK_MS;
            }
            // What was unheard is sent once more when it is back.
            CallEvent::LineBroken { .. } => self.holds += 1,
            CallEvent::AgentResumed { .. } => self.released(at),
            CallEvent::BargeIn { .. } | CallEvent::AgentStopped { .. } => {
                self.released(at);
                self.barge_ins += u64::from(matches!(event, CallEvent::BargeIn { .. }));
                self.items.iter_mut().for_each(|item| item.stopped = true);
                self.told = true;
            }
            _ => {}
        }
    }

    fn released(&mut self, at: CallTime) {
        let held_ms = at.ms_since(self.held_at);
        if std::mem::take(&mut self.held) && held_ms > HELD_MAX_MS + LATE_MS {
            self.breaks(at, format!("the agent was held for {held_ms} ms"));
        }
    }

    fn truncate(&mut self, line: &Line, at: CallTime, item: &str, audio_end_ms: u64) {
        self.truncations += 1;
        let Some(number) = items::number_of(item) else {
            return self.breaks(at, format!("{item:?} is truncated, which is no item of the model's"));
        };
        // What a full queue refused is truncated while the rest may still be heard.
        let goes_on = |item: &&Item| item.number == number && !item.stopped;
        if self.items.iter().any(|item| goes_on(&item)) {
            return;
        }
        let index = usize::from(Self::byte_of(number)) - 1;
        if self.items.get(index).is_some_and(|item| item.number == number && item.silent) {
            // The line cannot tell whose silence it plays.
            return;
        }
        // What is under way when the clear is sent is played until that arrives.
        let played = line.played_of(Self::byte_of(number), at.plus_ms(line.delay_ms())).as_ms(self.rate_hz);
        if audio_end_ms > played + (self.batch_ms + RECKONING_MS) * (1 + self.holds) {
            let what = format!("{item} is truncated at {audio_end_ms} ms, and the line has played {played} ms of it");
            self.doubt.get_or_insert(Broken { at, what });
            self.look = true;
        }
    }

    /// What counts as heard was played; unless marks were given up as lost, when nothing is known.
    fn compare_with_line(&mut self, sim: &Sim) {
        let now = sim.now();
        let line = sim.line_now();
        let played = line.played(now.plus_ms(line.delay_ms()));
        let most = played + Samples::from_ms(self.tolerance_ms(), self.rate_hz);
        if self.recorded > most.0 {
            let what = format!("{} samples are recorded as heard, and the line has played {}", self.recorded, played.0);
            self.doubt.get_or_insert(Broken { at: now, what });
        }
        if let Some(Broken { at, what }) = self.doubt.take()
            && !sim.engine().report().counters.contains_key("marks_lost")
        {
            self.breaks(at, what);
        }
    }

    /// Each time the line is emptied, the reckoning may be off by a message.
    fn tolerance_ms(&self) -> u64 {
        (self.batch_ms + RECKONING_MS) * (1 + u64::from(self.clears))
    }
}
