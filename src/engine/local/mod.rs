//! Local detection: what follows from the steps that our own ears hear.
//!
//! ```text
//!                         started                              ended
//!  nobody speaks ─────────────────────────► over nobody ───────────────────► committed, answered
//!        │ the agent has the floor               ▲
//!        │                                       │ as long as an interruption must be: barge-in
//!        ├── interruptions = "on" ─────► held ───┤
//!        │    (the line is cleared, the audio    │ ended sooner: committed, and the words decide; a click: the agent goes on
//!        │     is kept, for a second at most)    │
//!        ├── after_ms, min_words ──────► heard ──┤
//!        │                                       │ ended sooner: committed, and the words decide
//!        └── off, protected, closing ──► ignored ──► committed, answered when the agent is done
//!
//!  the words ([`verdict`]):  none, a back-channel ──► aside: the agent goes on at the sample, nothing is asked
//!                            anything else ─────────► barge-in, answered (after_ms, min_words: answered when the agent is done)
//!                            not there in time ─────► the same
//!                            never any in this call ► length decides
//! ```
//!
//! What a caller says is never taken back: it is committed whatever becomes of it, and only what is too short for a word may
//! be forgotten. A barge-in that is not yet certain costs the model nothing: its response runs on into the queue, and is
//! cancelled and truncated only when it is certain.

mod commit;
mod hold;
mod verdict;

use super::*;
use crate::base::time::Samples;
use crate::config::{Interruptions, TurnSettings};
use crate::ears::turn::shadow::{Rule, Shadow, WORD_MS};
use crate::ears::turn::{EndRule, TurnDetector, TurnEvent};
use crate::ears::vad::{Probability, Step};
use verdict::{TOGETHER_MS, Verdict};

/// Before any of a reply was heard, speech this long is no cough: nothing is lost by asking again, but words would be.
const UNHEARD_MIN_MS: u64 = 200;
/// Speech this close to the reply's end answers it: it is a turn, however short, and the agent finishes first.
const TAIL_MS: u64 = 1_000;
/// After so many commits without a transcript of any, none is expected in this call until one comes.
const WORDLESS_MAX: u32 = 3;

/// What our own ears make of the call.
#[derive(Debug)]
pub(super) struct Local {
    prefix: Samples,
    detector: TurnDetector,
    over: Over,
    verdict: Option<Verdict>,
    lately: Lately,
    /// A sound that was too short for a word waits in the model's buffer for what is said next.
    click: Option<Lately>,
    /// The agent was held, and went on before it was known what was said.
    went_on: bool,
    /// Commits since the call began, or since the last transcript.
    wordless: u32,
    /// A transcript has come in this call.
    worded: bool,
    pub(super) shadows: Vec<Shadow>,
}

/// What the running speech is said over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Over {
    /// Nobody: it is a turn.
    #[default]
    Nobody,
    /// The agent, held or still heard: an interruption after so much speech, by this rule.
    Agent { until_ms: u64, rule: &'static str, tail: bool },
    /// The agent, who is not interrupted, by this rule.
    Ignored { rule: &'static str },
}

/// What was said over the agent, and has not been settled.
#[derive(Clone, Copy, Debug, Default)]
struct Lately {
    voiced_ms: u64,
    until: CallTime,
}

impl Local {
    pub(super) fn new(settings: &CallSettings, turn: &TurnSettings) -> Self {
        let rate_hz = settings.format.rate_hz;
        let rule = Rule::new(settings.interruptions, settings.false_interruptions, settings.transcribed, rate_hz);
        Local {
            prefix: Samples::from_ms(u64::from(turn.prefix_padding_ms), rate_hz),
            detector: TurnDetector::new(turn, rate_hz),
            over: Over::Nobody,
            verdict: None,
            lately: Lately::default(),
            click: None,
            went_on: false,
            wordless: 0,
            worded: false,
            shadows: settings
                .shadows
                .iter()
                .map(|shadow| Shadow::new(shadow, &rule, settings.transcribed, rate_hz))
                .collect(),
        }
    }

    fn voiced_ms(&self, rate_hz: u32) -> u64 {
        self.detector.voiced().as_ms(rate_hz)
    }

    /// The line is over. Answers whether the caller was speaking.
    pub(super) fn stop_listening(&mut self) -> bool {
        self.over = Over::Nobody;
        self.verdict = None;
        let speaks = self.detector.is_speaking();
        self.detector.reset();
        speaks
    }

    /// Whether it is open if what is being said interrupts the agent.
    pub(super) fn is_in_doubt(&self) -> bool {
        matches!(self.over, Over::Agent { .. })
    }

    /// Speech over the agent that ended so lately that what is said now belongs to it.
    fn lately_ms(&self, now: CallTime) -> u64 {
        if now <= self.lately.until { self.lately.voiced_ms } else { 0 }
    }
}

impl CallEngine {
    /// Tells ears that do not hear for themselves what the next step is; see [`CallEngine::told`].
    pub fn tell(&mut self, probability: Probability, level_db: i8) {
        self.hearing.tell(probability, level_db);
    }

    /// The same for every step from now on for which nothing is told.
    pub fn tell_from_now_on(&mut self, probability: Probability, level_db: i8) {
        self.hearing.tell_from_now_on(probability, level_db);
    }

    /// Takes in what was heard of the audio that just came.
    pub(super) fn listen(&mut self) {
        while let Some(step) = self.hearing.poll() {
            self.out.heard(step);
            self.on_step(step);
            if self.is_over() {
                return;
            }
        }
        while let Some(finding) = self.hearing.poll_found() {
            self.out.found(finding);
            self.on_found(finding);
        }
    }

    fn on_step(&mut self, step: Step) {
        if self.answering.is_deaf() {
            return;
        }
        let agent = self.agent_has_the_floor();
        let interruptible = agent && matches!(self.phase, Phase::Talking) && !self.is_protected();
        let Some(local) = &mut self.local else { return };
        let far = local.detector.far();
        let event = local.detector.step(step, agent);
        let far = local.detector.far() - far;
        for shadow in &mut local.shadows {
            shadow.step(step, event, agent, interruptible);
        }
        let rate_hz = self.rate_hz();
        self.stats.count("far_speech_ms", far.as_ms(rate_hz));
        match event {
            Some(TurnEvent::Started { at }) => self.on_local_start(at),
            Some(TurnEvent::Paused { at }) => {
                let media_ms = self.uplink.media_of_appended(at).as_ms(rate_hz);
                self.emit(CallEvent::SpeechPaused { media_ms });
            }
            Some(TurnEvent::Resumed { at }) => {
                let media_ms = self.uplink.media_of_appended(at).as_ms(rate_hz);
                self.emit(CallEvent::SpeechResumed { media_ms });
            }
            Some(TurnEvent::Ended { at, rule }) => self.on_local_end(at, rule),
            None => {}
        }
        self.weigh_interruption();
    }

    fn on_local_start(&mut self, at: Samples) {
        self.forget_old_click();
        let Some(local) = &mut self.local else { return };
        local.over = Over::Nobody;
        let from = at.saturating_sub(local.prefix);
        let media = self.uplink.media_of_appended(at);
        self.speech_began(media);
        self.uplink.begin_turn(from, &mut self.out);
        self.timers.set(Timer::Pad, self.now.plus_ms(self.uplink.pad_after_ms()));
        if self.agent_has_the_floor() {
            self.speak_over_agent();
        } else {
            self.caller_took_the_floor();
        }
    }

    /// The caller speaks while the agent has the floor.
    fn speak_over_agent(&mut self) {
        let min_ms = u64::from(self.settings.false_interruptions.shorter_than_ms);
        let resume = self.settings.false_interruptions.resume;
        let over = match self.settings.interruptions {
            _ if !matches!(self.phase, Phase::Talking) => Over::Ignored { rule: "closing" },
            _ if self.is_protected() => Over::Ignored { rule: "protected" },
            Interruptions::Off => Over::Ignored { rule: "off" },
            Interruptions::On if !resume || min_ms == 0 => {
                self.interrupt("local_vad");
                self.join_verdict();
                Over::Nobody
            }
            Interruptions::On => {
                self.hold_agent();
                match self.agent_has_the_floor() {
                    true => self.over_agent(min_ms),
                    // The last sample was heard just now.
                    false => {
                        self.let_agent_go();
                        Over::Nobody
                    }
                }
            }
            Interruptions::AfterMs(ms) => Over::Agent { until_ms: u64::from(ms), rule: "after_ms", tail: false },
            Interruptions::MinWords(words) => {
                Over::Agent { until_ms: u64::from(words) * WORD_MS, rule: "min_words", tail: false }
            }
        };
        match over {
            Over::Ignored { rule } => self.emit(CallEvent::InterruptionIgnored { rule: rule.to_owned() }),
            Over::Nobody => self.caller_took_the_floor(),
            Over::Agent { .. } => {}
        }
        self.speak_over(over);
    }

    /// How much speech over an agent who may be interrupted by any is certain.
    fn over_agent(&self, min_ms: u64) -> Over {
        if !self.downlink.speaking() {
            return Over::Agent { until_ms: min_ms.min(UNHEARD_MIN_MS), rule: "local_vad", tail: false };
        }
        let unheard_ms = self.downlink.unheard_at(self.line_now()).as_ms(self.rate_hz());
        let tail = unheard_ms <= TAIL_MS && !self.reply.is_running();
        let untranscribed_ms = u64::from(self.settings.false_interruptions.untranscribed_ms);
        match self.words_come() || untranscribed_ms >= min_ms {
            true => Over::Agent { until_ms: min_ms, rule: "local_vad", tail },
            false => Over::Agent { until_ms: untranscribed_ms, rule: "untranscribed", tail },
        }
    }

    fn speak_over(&mut self, over: Over) {
        if let Some(local) = &mut self.local {
            local.over = over;
        }
    }

    /// With every step: what was uncertain may be certain now.
    fn weigh_interruption(&mut self) {
        let rate_hz = self.rate_hz();
        let Some(local) = self.local.as_ref().filter(|local| local.detector.is_speaking()) else { return };
        let voiced_ms = local.voiced_ms(rate_hz);
        let together_ms = voiced_ms + local.lately_ms(self.now);
        let min_ms = u64::from(self.settings.false_interruptions.shorter_than_ms);
        let adds_up = matches!(self.settings.interruptions, Interruptions::On) && together_ms >= min_ms;
        match local.over {
            Over::Agent { until_ms, rule, .. } if voiced_ms >= until_ms => self.is_interruption(rule),
            Over::Agent { .. } if adds_up => self.is_interruption("said_again"),
            Over::Agent { .. } | Over::Ignored { .. } if !self.agent_has_the_floor() => {
                self.speak_over(Over::Nobody);
                self.let_agent_go();
                self.caller_took_the_floor();
            }
            // What may not be interrupted is over, and the caller still speaks.
            Over::Ignored { rule: "protected" } if !self.is_protected() => self.speak_over_agent(),
            Over::Agent { .. } | Over::Ignored { .. } | Over::Nobody => {}
        }
    }

    /// What is being said stops the agent for good, and is a turn.
    fn is_interruption(&mut self, rule: &str) {
        self.speak_over(Over::Nobody);
        self.give_way(rule);
        self.join_verdict();
        self.caller_took_the_floor();
    }

    /// The agent is silent from here, and what was owed is moot: what is being said is answered when it is a turn.
    fn give_way(&mut self, rule: &str) {
        if self.agent_has_the_floor() {
            self.interrupt(rule);
        }
        // What was to be said may have come to nothing since the agent was stopped.
        self.let_agent_go();
        self.reply.owed = None;
    }

    fn on_local_end(&mut self, at: Samples, rule: EndRule) {
        let rule = match rule {
            EndRule::Silence => "local_vad",
            EndRule::MaxTurn => "max_turn",
        };
        self.speech_stopped(self.uplink.media_of_appended(at), rule);
        let rate_hz = self.rate_hz();
        let Some(local) = &mut self.local else { return };
        let voiced_ms = local.voiced_ms(rate_hz);
        match std::mem::take(&mut local.over) {
            Over::Agent { tail, .. } if self.agent_has_the_floor() => self.weigh_short_speech(rule, voiced_ms, tail),
            Over::Agent { .. } => {
                self.let_agent_go();
                self.commit_local(rule);
            }
            _ => self.commit_local(rule),
        }
    }

    /// The caller's turn ends because an operator says so.
    pub(super) fn end_turn_now(&mut self, rule: &'static str) {
        let heard = self.uplink.appended();
        let Some(local) = self.local.as_mut().filter(|local| local.detector.is_speaking()) else {
            self.stats.count("commits_ignored", 1);
            return;
        };
        local.detector.reset();
        local.over = Over::Nobody;
        self.speech_stopped(self.uplink.media_of_appended(heard), rule);
        self.give_way(rule);
        self.join_verdict();
        self.commit_local(rule);
    }
}
