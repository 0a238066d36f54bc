//! The line is away and may come back: lent to the carrier, to put the caller through or to press keys, or broken off without
//! anybody's wish.
//!
//! What the agent said before is heard first; a caller who cuts in meanwhile calls it off. Then the carrier is asked, takes
//! the line (our media stream ends, the call does not) and either somebody answers, and the call is no longer ours, or the
//! stream comes back, and the agent is told why.
//!
//! ```text
//!                 all was heard           carrier: done        stream ended
//!  Announced ──────────────────► Asked ──────────────► Lent ──────────────────┐
//!     │ barge-in                   │ carrier: failed     │ somebody answered   │ stream began: back
//!     ▼                            ▼                     ▼                     ▼
//!  called off                  told so: goes on      Over: transferred     told so: goes on
//! ```
//!
//! A stream that breaks off is no hang-up: the document that connected it leads the carrier back to us, and to the same call.
//! The agent is held meanwhile and goes on at the sample, in a goodbye, too. Only when the carrier does not ask within a bound,
//! or says that the call is over, has the caller hung up; a transfer that was promised to them is asked for all the same, since
//! it needs no stream of ours.
//!
//! ```text
//!            stream broke off or stopped          the carrier asks what to do
//!  Talking ─────────────────────────────► Broken ────────────────────────────► Returning
//!     ▲                                     │ nobody asks: hung up                │ no stream: gone
//!     │            stream began             ▼                                     ▼
//!     └───────────────────────────────── (from both)                             Over
//! ```

use super::*;
use crate::config::{Destination, Spoken};
use crate::engine::event::TransferOutcome;

/// The carrier must have answered by then.
const ASKED_MS: u64 = 15_000;
/// Beyond the ringing: for the carrier's own steps and for a stream to come back.
const MARGIN_MS: u64 = 30_000;
/// How long after its answer was lost the carrier may still take the line.
const DOUBT_MS: u64 = 15_000;
/// Longest that keys are pressed: 32 of them, all of them pauses of a second.
const DTMF_MS: u64 = 32_000;
/// After the carrier has stopped a stream by the rules it asks at once, or the call is over.
const STOPPED_MS: u64 = 1_500;
/// A carrier that has asked must have opened the stream by then.
const RETURNING_MS: u64 = 10_000;
/// A line that breaks off more often is not worth holding.
const BREAKS_MAX: u32 = 20;
/// No errand lasts longer; a bound for whoever waits for one.
pub(super) const LONGEST_MS: u64 = 300_000;

/// What the line is lent for.
#[derive(Debug)]
pub(super) struct Errand {
    what: What,
    /// The tool call that waits for it; `None`: a key of the caller's began it.
    call: Option<String>,
    state: State,
    /// The destination's own line was said, or is about to be.
    line_said: bool,
    /// The media stream has ended.
    line_gone: bool,
    since: CallTime,
    outcome: Option<TransferOutcome>,
    /// The carrier says that it does not have the line, which has left us all the same: the caller may have hung up.
    refused: bool,
    /// The model failed meanwhile: what is done about that when the line is back.
    failed: Option<EndReason>,
}

/// An errand of which the carrier's answer was lost.
#[derive(Debug)]
pub(super) struct Doubt {
    what: What,
    until: CallTime,
}

#[derive(Clone, Debug)]
enum What {
    Transfer(Destination),
    Dtmf(String),
    /// Nobody asked for it: the stream broke off.
    Broken {
        /// The agent was stopped for it, and goes on afterwards.
        held: bool,
        /// The carrier has asked what to do: it has the call.
        returning: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Announced,
    Asked(EffectId),
    Lent,
}

impl CallEngine {
    /// Puts the caller through once they have heard what is said before.
    pub(super) fn begin_transfer(&mut self, destination: Destination, call: Option<String>) {
        if self.away.is_some() || !matches!(self.phase, Phase::Talking) {
            return;
        }
        self.emit(CallEvent::TransferBegun { to: destination.name.clone() });
        self.away = Some(Errand::new(What::Transfer(destination), call, self.now));
    }

    /// Presses keys for the far end once the caller has heard what is said before.
    pub(super) fn begin_dtmf(&mut self, digits: String, call: Option<String>) {
        if self.away.is_some() || !matches!(self.phase, Phase::Talking) {
            return;
        }
        self.away = Some(Errand::new(What::Dtmf(digits), call, self.now));
    }

    /// Whether nothing that is sent to the line is heard.
    pub(super) fn line_is_lent(&self) -> bool {
        self.away.as_ref().is_some_and(|errand| errand.line_gone || errand.state == State::Lent)
    }

    /// Whether the carrier was asked for the line or has it.
    pub(super) fn is_lending(&self) -> bool {
        self.away.as_ref().is_some_and(|errand| errand.state != State::Announced)
    }

    /// The model failed. Answers whether that can wait until the line is back: nobody needs it before.
    pub(super) fn fails_later(&mut self, reason: &EndReason) -> bool {
        let Some(errand) = self.away.as_mut().filter(|errand| errand.state != State::Announced) else { return false };
        errand.failed.get_or_insert_with(|| reason.clone());
        true
    }

    /// Whether the carrier was asked for the line, has it, or is about to be asked.
    pub(super) fn is_on_errand(&self) -> bool {
        self.away.is_some()
    }

    /// Says what is said before, behind the agent's own words, and asks the carrier as soon as all of it was heard.
    pub(super) fn settle_errand(&mut self) {
        // Asked with every step, and nearly always so.
        if self.away.is_none() {
            return;
        }
        let talking = matches!(self.phase, Phase::Talking) && !self.floor.is_speaking();
        if !talking || self.reply.is_running() || self.reply.owed.is_some() || self.reply.awaiting.is_some() {
            return;
        }
        let Some(errand) = self.away.as_mut().filter(|errand| errand.state == State::Announced) else { return };
        if !std::mem::replace(&mut errand.line_said, true)
            && let What::Transfer(to) = &errand.what
        {
            match to.line.clone() {
                Spoken::None => {}
                Spoken::Play(sound) => self.play(ItemKind::Line, &sound, "transfer"),
                Spoken::Say(text) if self.session.is_ready() => {
                    let text = self.worded(&text);
                    self.ask("transfer", Some(format!("Say exactly this and nothing else: \"{text}\"")));
                    return;
                }
                Spoken::Say(_) => {}
            }
        }
        if self.downlink.speaking() {
            return;
        }
        // Sounds that nobody needs to hear out.
        self.clear_line(true);
        let Some(errand) = &self.away else { return };
        let effect = match &errand.what {
            What::Transfer(to) => Effect::Transfer { to: to.number.clone(), back_after_s: Some(to.ring_s) },
            What::Dtmf(digits) => Effect::SendDtmf(digits.clone()),
            // Is away from its beginning, and asked for by nobody.
            What::Broken { .. } => return,
        };
        let id = self.begin_effect(effect);
        self.timers.set(Timer::Away, self.now.plus_ms(ASKED_MS));
        if let Some(errand) = &mut self.away {
            errand.state = State::Asked(id);
        }
    }

    /// The caller cut in before the carrier was asked: they have something to say yet.
    pub(super) fn call_off_errand(&mut self) {
        if self.away.as_ref().is_some_and(|errand| errand.state == State::Announced) {
            // Whoever cuts in is answered for that.
            self.end_errand("called_off", tools::error("the caller interrupted; nothing was done"));
        }
    }

    /// Answers whether the effect was the errand's.
    pub(super) fn on_errand_effect(&mut self, id: EffectId, result: &EffectResult) -> bool {
        let Some(errand) = self.away.as_mut().filter(|errand| errand.state == State::Asked(id)) else { return false };
        match result {
            EffectResult::Failed(why) | EffectResult::Unknown(why) if !errand.line_gone => {
                let why = format!("the carrier did not do it: {why}; the caller is still with you");
                self.stats.count("errands_failed", 1);
                if matches!(result, EffectResult::Unknown(_)) {
                    self.doubt_errand();
                }
                self.end_errand("failed", tools::error(&why));
            }
            // The carrier has the line already: it did take what it says it did not, or answers too late.
            _ => {
                errand.state = State::Lent;
                errand.refused = matches!(result, EffectResult::Failed(_));
                let ms = if errand.refused { MARGIN_MS } else { errand.longest_ms() };
                if matches!(self.phase, Phase::Talking) {
                    self.timers.set(Timer::Away, self.now.plus_ms(ms));
                }
                self.emit(CallEvent::LineLent);
            }
        }
        true
    }

    /// The media stream ended. Answers whether the call goes on all the same.
    pub(super) fn lends_line(&mut self) -> bool {
        if self.away.is_none()
            && let Some(doubt) = self.doubt.take().filter(|doubt| self.now <= doubt.until)
        {
            // The carrier did take the line, and only its answer was lost.
            let mut errand = Errand::new(doubt.what, None, self.now);
            errand.state = State::Lent;
            self.timers.set(Timer::Away, self.now.plus_ms(errand.longest_ms()));
            self.away = Some(errand);
            self.emit(CallEvent::LineLent);
        }
        let Some(errand) = self.away.as_mut().filter(|errand| errand.state != State::Announced) else { return false };
        if std::mem::replace(&mut errand.line_gone, true) {
            return true;
        }
        let ms = errand.longest_ms();
        if matches!(errand.state, State::Asked(_)) {
            self.timers.set(Timer::Away, self.now.plus_ms(ms));
        }
        for timer in [Timer::CallerGone, Timer::CallerSilent, Timer::Pad] {
            self.timers.clear(timer);
        }
        // What the agent was saying is cut off here.
        let cuts = self.clear_line(false);
        self.cancel_running();
        for cut in cuts {
            self.tell_model_of(cut);
        }
        true
    }

    /// The media stream ended though nobody asked for that; `stopped`: by the rules, as it does at a hang-up. Answers whether
    /// the call goes on without it.
    pub(super) fn goes_on_without_line(&mut self, stopped: bool) -> bool {
        // Without a way back the carrier hangs up by itself.
        self.line_breaks_off(stopped) || self.settings.limits.line_back_s > 0 && self.leaves_without_line()
    }

    /// The same. Answers whether the call waits for the stream to come back.
    fn line_breaks_off(&mut self, stopped: bool) -> bool {
        let limit_ms = self.settings.limits.line_back_s * 1_000;
        // Somebody who is told goodbye is there like any other; once the carrier was asked to end the call, it is ending it.
        let is_up = matches!(self.phase, Phase::Talking | Phase::Closing(Closing { effect: None, .. }));
        if limit_ms == 0 || !is_up {
            return false;
        }
        if self.away.is_some() {
            // Whatever the agent was about to do with the line.
            self.end_errand("line_broken", tools::error("the line to the caller broke off; nothing was done"));
        }
        if self.line_breaks == BREAKS_MAX {
            return false;
        }
        self.line_breaks += 1;
        self.emit(CallEvent::LineBroken { rule: if stopped { "stopped" } else { "lost" }.to_owned() });
        for timer in [Timer::CallerGone, Timer::CallerSilent, Timer::MarkOverdue, Timer::Farewell] {
            self.timers.clear(timer);
        }
        let held = !self.downlink.is_held() && !self.downlink.is_drained();
        if held {
            self.with_downlink(|downlink, now, out, progress| downlink.hold(now, out, |p| progress.push(p)));
        }
        let line_now = self.line_now();
        self.downlink.bed_is_lost(line_now);
        self.hearing.cleared(self.uplink.media_at(self.now));
        let mut errand = Errand::new(What::Broken { held, returning: false }, None, self.now);
        (errand.state, errand.line_gone) = (State::Lent, true);
        self.away = Some(errand);
        let wait_ms = if stopped { limit_ms.min(STOPPED_MS) } else { limit_ms };
        self.timers.set(Timer::Away, self.now.plus_ms(wait_ms));
        true
    }

    /// Since when the line is broken off.
    pub(super) fn broken_since(&self) -> Option<CallTime> {
        self.away.as_ref().filter(|errand| matches!(errand.what, What::Broken { .. })).map(|errand| errand.since)
    }

    /// Whether the line is broken off, and the carrier has not asked how to open it again.
    pub(super) fn nobody_asks(&self) -> bool {
        self.away.as_ref().is_some_and(|errand| matches!(errand.what, What::Broken { returning: false, .. }))
    }

    /// Nobody asks for the line: the caller has hung up, whoever else ends the call.
    pub(super) fn give_up_line(&mut self) {
        if self.leaves_without_line() {
            return;
        }
        let reason = self.hung_up_when_broken();
        self.on_line_ended(reason);
    }

    /// That was when the stream broke off.
    pub(super) fn hung_up_when_broken(&mut self) -> EndReason {
        self.hung_up_at = self.broken_since();
        EndReason::CallerHungUp
    }

    /// The carrier has noticed that the stream is gone, and was told how to open it again: the caller is there.
    pub(super) fn line_returns(&mut self) {
        // It may know before we do.
        if self.away.is_none() && !self.line_breaks_off(false) {
            return;
        }
        if let Some(Errand { what: What::Broken { returning, .. }, .. }) = &mut self.away {
            *returning = true;
            self.timers.set(Timer::Away, self.now.plus_ms(RETURNING_MS));
        }
    }

    /// The media stream began again. Answers whether it was away.
    pub(super) fn takes_line_back(&mut self) -> bool {
        if !self.away.as_ref().is_some_and(|errand| errand.line_gone) {
            return false;
        }
        self.uplink.restart(self.now);
        self.timers.set(Timer::CallerGone, self.now.plus_ms(self.settings.limits.caller_gone_s * 1_000));
        let Some(errand) = &self.away else { return false };
        if let What::Broken { held, .. } = errand.what {
            self.stats.count("line_breaks", 1);
            self.stats.count("line_broken_ms", self.now.ms_since(errand.since));
            if held && self.downlink.is_held() {
                let line_now = self.line_now();
                self.downlink.release(line_now);
            }
        }
        let output = match (&errand.what, errand.outcome) {
            (What::Broken { .. }, _) => String::new(),
            (What::Dtmf(_), _) => r#"{"ok":true}"#.to_owned(),
            (What::Transfer(to), outcome) => {
                let why = outcome.map_or("no_answer", TransferOutcome::name).replace('_', " ");
                tools::error(&format!("nobody took the call at {}: {why}; the caller is back with you", to.name))
            }
        };
        let rule = errand.outcome.map_or("back", TransferOutcome::name);
        self.end_errand(rule, output);
        if matches!(self.phase, Phase::Closing(Closing { effect: None, .. })) {
            // The goodbye goes on, and has its time anew.
            self.give_time_for_what_waits();
        }
        true
    }

    /// The carrier tells what became of a transfer.
    pub(super) fn on_transfer_outcome(&mut self, outcome: TransferOutcome) {
        let talking = matches!(self.phase, Phase::Talking);
        let Some(errand) = self.away.as_mut().filter(|errand| talking && errand.state != State::Announced) else {
            self.stats.count("transfer_outcomes_ignored", 1);
            return;
        };
        let What::Transfer(to) = &errand.what else { return };
        errand.outcome = Some(outcome);
        let to = to.name.clone();
        match outcome {
            TransferOutcome::Answered => self.caller_is_through(to),
            _ => {
                self.stats.count("transfers_not_answered", 1);
                // Now it is the carrier's turn to open the stream again.
                self.timers.set(Timer::Away, self.now.plus_ms(MARGIN_MS));
            }
        }
    }

    pub(super) fn on_away_due(&mut self) {
        let Some(errand) = &self.away else { return };
        match (&errand.what, errand.state) {
            (_, State::Announced) => {}
            (_, State::Asked(id)) if !errand.line_gone => {
                self.out.cancel(id);
                self.doubt_errand();
                self.stats.count("errands_failed", 1);
                self.end_errand("timeout", tools::error("the carrier did not answer; the caller is still with you"));
            }
            (What::Broken { returning: false, .. }, _) => self.give_up_line(),
            (_, _) if errand.refused => self.finish(EndReason::CallerHungUp),
            // Nobody said that it failed.
            (What::Transfer(to), _) if errand.outcome.is_none() => {
                let to = to.name.clone();
                self.stats.count("transfers_unconfirmed", 1);
                self.caller_is_through(to);
            }
            (What::Broken { .. }, _) => {
                if !self.leaves_without_line() {
                    self.on_line_ended(EndReason::CallerGone);
                }
            }
            _ => self.finish(EndReason::CallerGone),
        }
    }

    /// The carrier was asked, and what it did is not known: if the stream ends soon, it did take the line.
    fn doubt_errand(&mut self) {
        let Some(errand) = &self.away else { return };
        self.doubt = Some(Doubt { what: errand.what.clone(), until: self.now.plus_ms(DOUBT_MS) });
    }

    fn caller_is_through(&mut self, to: String) {
        if let Some(call) = self.away.take().and_then(|errand| errand.call) {
            self.note_answered(&call, r#"{"ok":true}"#);
        }
        self.finish(EndReason::Transferred { to });
    }

    fn end_errand(&mut self, rule: &str, output: String) {
        let Some(errand) = self.away.take() else { return };
        self.timers.clear(Timer::Away);
        let ms = self.now.ms_since(errand.since);
        self.emit(CallEvent::LineBack { rule: rule.to_owned(), after_ms: ms });
        if let What::Broken { .. } = errand.what {
            // Nothing was done that anybody has to be told of.
            if let Some(reason) = errand.failed {
                self.fail(reason);
            }
            return;
        }
        let called_off = rule == "called_off";
        let then_ask = !called_off && errand.failed.is_none() && matches!(self.phase, Phase::Talking);
        let told = errand.call.is_some_and(|call| self.on_errand_done(&call, output.clone(), then_ask));
        if !told && !called_off {
            let what = match errand.what {
                What::Transfer(to) => format!("The caller was to be put through to {}.", to.name),
                What::Dtmf(_) => "Keys were to be pressed.".to_owned(),
                What::Broken { .. } => return,
            };
            self.tell_model(format!("{what} {output}"));
            if then_ask {
                self.ask("line_back", None);
            }
        }
        if let Some(reason) = errand.failed {
            self.fail(reason);
        }
    }
}

impl Errand {
    /// How long the line may be away.
    fn longest_ms(&self) -> u64 {
        let ms = match &self.what {
            What::Transfer(to) => to.ring_s * 1_000 + MARGIN_MS,
            What::Dtmf(_) => DTMF_MS + MARGIN_MS,
            What::Broken { .. } => RETURNING_MS,
        };
        ms.min(LONGEST_MS)
    }

    fn new(what: What, call: Option<String>, since: CallTime) -> Self {
        Errand {
            what,
            call,
            state: State::Announced,
            line_said: false,
            line_gone: false,
            since,
            outcome: None,
            refused: false,
            failed: None,
        }
    }
}
