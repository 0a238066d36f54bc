//! The line: its stream, its audio, its marks, and feeding it.

use super::*;
use crate::base::time::{LineTime, Samples};
use crate::engine::outbox::Outbox;

impl CallEngine {
    pub(super) fn on_caller(&mut self, event: CallerEvent<'_>) {
        match event {
            CallerEvent::Started => self.on_media_started(),
            CallerEvent::Audio { at_ms, payload } => self.on_caller_audio(at_ms, payload),
            CallerEvent::Dtmf(digit) => self.on_key(digit),
            CallerEvent::MarkPlayed(id) => self.on_mark(id),
            CallerEvent::StreamEnded | CallerEvent::Lost if self.lends_line() => {}
            CallerEvent::StreamEnded if self.goes_on_without_line(true) => {}
            CallerEvent::Lost if self.goes_on_without_line(false) => {}
            CallerEvent::StreamEnded | CallerEvent::HungUp => self.on_line_ended(EndReason::CallerHungUp),
            CallerEvent::Lost => self.on_line_ended(EndReason::CallerGone),
        }
    }

    fn on_media_started(&mut self) {
        if self.takes_line_back() {
            self.emit(CallEvent::MediaStarted);
            return;
        }
        let Phase::Ringing { failed } = &mut self.phase else {
            self.stats.count("second_starts", 1);
            return;
        };
        let failed = failed.take();
        self.phase = Phase::Talking;
        self.uplink.start(self.now);
        self.emit(CallEvent::MediaStarted);
        self.timers.clear(Timer::MediaStart);
        self.arm_limits();
        match failed {
            Some(reason) => {
                self.disclaim();
                self.fail(reason);
            }
            None => {
                self.await_answer();
                self.disclaim();
                self.greet();
                self.expect_model();
            }
        }
    }

    fn on_caller_audio(&mut self, at_ms: u64, payload: &[u8]) {
        if matches!(self.phase, Phase::Ringing { .. }) {
            self.stats.count("media_before_start", 1);
            return;
        }
        let taken = self.uplink.take(self.now, at_ms, payload, &mut self.hearing, &mut self.out);
        if taken.jumped_us > 0 {
            self.downlink.line_time_jumped(taken.jumped_us);
        }
        if taken.dropped > Samples::ZERO {
            let ms = taken.dropped.as_ms(self.rate_hz());
            self.stats.count("caller_late_ms", ms);
            self.emit(CallEvent::CallerAudioDropped { rule: "late_or_duplicate".to_owned(), ms });
        }
        if taken.overflowed > Samples::ZERO {
            // Counted without a line in the trace: it happens for every frame while the model is away.
            self.stats.count("caller_early_dropped_samples", taken.overflowed.0);
        }
        if !self.line_is_lent() {
            self.timers.set(Timer::CallerGone, self.now.plus_ms(self.settings.limits.caller_gone_s * 1_000));
        }
        self.listen();
        if self.floor.is_speaking() {
            self.timers.set(Timer::Pad, self.now.plus_ms(self.uplink.pad_after_ms()));
        }
    }

    pub(super) fn on_pad(&mut self) {
        if self.floor.is_speaking() && self.uplink.pad(&mut self.hearing, &mut self.out) {
            self.stats.count("padded_steps", 1);
            self.timers.set(Timer::Pad, self.now.plus_ms(self.uplink.pad_after_ms()));
            self.listen();
        }
    }

    pub(super) fn on_line_ended(&mut self, reason: EndReason) {
        // A call that is being ended keeps the reason for that: who lays down first then is not why.
        let reason = match &self.phase {
            Phase::Closing(closing) => closing.reason.clone(),
            _ => reason,
        };
        self.finish(reason);
    }

    fn on_mark(&mut self, id: MarkId) {
        self.with_downlink(|downlink, now, out, progress| {
            downlink.mark_played(now, id, out, |p| progress.push(p));
        });
    }

    pub(super) fn on_marks_overdue(&mut self) {
        let mut lost = 0;
        self.with_downlink(|downlink, now, out, progress| {
            lost = downlink.give_up_marks(now, out, |p| progress.push(p));
        });
        self.stats.count("marks_lost", lost);
    }

    /// Sends what is due at the line and sets when to come back.
    pub(super) fn feed(&mut self) {
        if matches!(self.phase, Phase::Ringing { .. } | Phase::Over(_)) || self.line_is_lent() {
            self.timers.clear(Timer::Feed);
            return;
        }
        let mut next = None;
        self.with_downlink(|downlink, now, out, progress| {
            next = downlink.feed(now, out, |p| progress.push(p));
            downlink.settle(|p| progress.push(p));
        });
        match next {
            Some(at) => self.timers.set(Timer::Feed, self.uplink.clock.call_at(at)),
            None => self.timers.clear(Timer::Feed),
        }
        self.watch_marks();
    }

    /// A few marks that are lost do not stall the line; without this what they stand for would never be heard.
    fn watch_marks(&mut self) {
        match self.downlink.mark_due() {
            Some(due) => {
                let due = self.uplink.clock.call_at(due).plus_ms(self.settings.playout.mark_timeout_ms);
                self.timers.set(Timer::MarkOverdue, due);
            }
            None if !self.downlink.is_stalled() => self.timers.clear(Timer::MarkOverdue),
            None => {}
        }
    }

    /// Queues a recording. One that speaks for the agent becomes a line of the conversation, also when nobody has written
    /// down its words.
    pub(super) fn play(&mut self, kind: ItemKind, sound: &crate::config::Sound, what: &str) {
        let mut line = usize::MAX;
        if kind == ItemKind::Line {
            line = self.conversation.begin(Role::Agent, what);
            self.conversation.say(line, &sound.text, true);
            self.conversation.line(line).received = self.settings.format.samples(sound.audio.len());
        }
        let length = self.settings.format.samples(sound.audio.len());
        self.emit(CallEvent::LineQueued { what: what.to_owned(), ms: length.as_ms(self.rate_hz()) });
        let mut dropped = length;
        if self.downlink.begin(kind, what, 0, line, Samples::ZERO) {
            if kind == ItemKind::Line {
                self.conversation.line(line).voiced = true;
            }
            dropped = self.downlink.push(&sound.audio);
            self.downlink.complete_last();
        }
        self.stats.count("agent_audio_dropped_samples", dropped.0);
    }

    /// Empties line and queue; lines of the conversation learn what was heard. Returns what was cut, in order.
    pub(super) fn clear_line(&mut self, tell_line: bool) -> Vec<downlink::Cut> {
        let mut cuts = Vec::new();
        self.with_downlink(|downlink, now, out, progress| {
            cuts = downlink.clear(now, tell_line, out, |p| progress.push(p));
        });
        let stopped_at = self.floor.held_at.take().or(self.broken_since()).unwrap_or(self.now);
        for cut in &cuts {
            if cut.item.kind == ItemKind::Sound {
                continue;
            }
            let line = self.conversation.line(cut.item.line);
            line.heard = cut.heard;
            line.received = cut.received;
            line.cut |= cut.heard < cut.received;
            line.ended = Some(stopped_at);
            self.trace_said(cut.item.line);
        }
        self.timers.clear(Timer::MarkOverdue);
        self.hearing.cleared(self.uplink.media_at(self.now));
        cuts
    }

    /// A line of the agent is traced when it is known how much of it was heard.
    pub(super) fn trace_said(&mut self, line: usize) {
        if let Some((text, unheard)) = self.conversation.take_said(line)
            && !(text.is_empty() && unheard.is_empty())
        {
            self.emit(CallEvent::Said { who: Role::Agent, text, unheard });
        }
    }

    pub(super) fn with_downlink(&mut self, run: impl FnOnce(&mut Downlink, LineTime, &mut Outbox, &mut Vec<Progress>)) {
        let mut progress = std::mem::take(&mut self.progress);
        let line_now = self.line_now();
        run(&mut self.downlink, line_now, &mut self.out, &mut progress);
        for step in progress.drain(..) {
            self.on_progress(step);
        }
        self.progress = progress;
    }

    fn on_progress(&mut self, progress: Progress) {
        let now = self.now;
        let rate_hz = self.rate_hz();
        match progress {
            Progress::Begun(item) => {
                if item.kind != ItemKind::Sound {
                    let line = self.conversation.line(item.line);
                    // One that was stopped before any of it was heard begins again.
                    let earlier = if item.is_first() { None } else { line.begun };
                    let begins_at = item.begins_at.map(|at| self.uplink.clock.call_at(at));
                    line.begun = earlier.or(begins_at).or(Some(now));
                }
                if let Some(turn) = self.stats.turn(item.turn) {
                    turn.first_audio_sent_at_ms.get_or_insert(now.as_ms());
                }
                self.emit(CallEvent::AgentStarted { item: item.name });
            }
            Progress::Sent { at, piece } => {
                self.hearing.played(at.position(rate_hz), self.out.piece(&piece));
            }
            Progress::FirstHeard { item, audible_at } => {
                if let Some(turn) = self.stats.turn(item.turn) {
                    let audible_at = self.uplink.clock.call_at(audible_at).min(now);
                    turn.first_audible_at_ms.get_or_insert(audible_at.as_ms());
                    turn.first_heard_at_ms.get_or_insert(now.as_ms());
                }
            }
            Progress::Heard(item) => {
                if item.kind != ItemKind::Sound {
                    let line = self.conversation.line(item.line);
                    line.heard = item.received();
                    line.received = item.received();
                    line.ended = item.ended_at.map(|at| self.uplink.clock.call_at(at)).or(Some(now));
                }
                let ms = item.received().as_ms(rate_hz);
                self.emit(CallEvent::AgentHeard { item: item.name, ms });
                if item.kind != ItemKind::Sound {
                    self.trace_said(item.line);
                }
            }
            Progress::Stalled { unplayed } => {
                self.stats.count("line_stalls", 1);
                self.emit(CallEvent::LineStalled { unplayed_ms: unplayed.as_ms(rate_hz) });
                self.timers.set(Timer::MarkOverdue, now.plus_ms(self.settings.playout.mark_timeout_ms));
            }
            Progress::Resumed => {
                let rule = if self.timers.is_set(Timer::MarkOverdue) { "marks_back" } else { "marks_lost" };
                self.timers.clear(Timer::MarkOverdue);
                self.emit(CallEvent::LineResumed { rule: rule.to_owned() });
            }
            Progress::BedCut { was_on } => {
                self.hearing.cleared(self.uplink.media_at(now));
                if was_on {
                    self.emit(CallEvent::ToolSoundEnded { rule: "agent_speaks".to_owned() });
                }
            }
            Progress::Underrun { ms } => {
                self.stats.count("underruns", 1);
                self.stats.count("underrun_ms", ms);
            }
        }
    }
}
