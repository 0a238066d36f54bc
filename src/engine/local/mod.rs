//! Local detection: what follows from the steps that our own ears hear.
//!
//! ```text
//!                         started                                ended
//!  nobody speaks ──────────────────────────► over nobody ───────────────────► committed, answered
//!        │ the agent has the floor                ▲
//!        │                                        │ as long as an interruption must be: barge-in
//!        ├── interruptions = "on" ─────► held ────┤
//!        │    (the line is cleared,               │ ended sooner: dropped, the agent goes on at the sample
//!        │     the audio is kept)
//!        ├── after_ms, min_words ──────► waiting ─┤ (the agent is still heard)
//!        │                                        │ ended sooner: dropped, or the transcript decides
//!        └── off, protected, closing ──► ignored ──► committed, answered when the agent is done
//! ```
//!
//! A barge-in that is not yet certain costs the model nothing: its response runs on into the queue, and is cancelled and
//! truncated only when it is certain.

mod commit;
mod hold;
mod verdict;

use super::*;
use crate::config::{Interruptions, TurnSettings};
use crate::time::Samples;
use crate::turn::shadow::{Rule, Shadow, WORD_MS};
use crate::turn::{EndRule, TurnDetector, TurnEvent};
use crate::vad::{Probability, Step};

/// Before any of a reply was heard, speech this long is no cough: nothing is lost by asking again, but words would be.
const UNHEARD_MIN_MS: u64 = 200;
/// Speech this close to the reply's end answers it: it is a turn, however short.
const TAIL_MS: u64 = 1_000;
/// A transcript that is to decide on an interruption must be there in this time.
const VERDICT_MS: u64 = 3_000;

/// What our own ears make of the call.
#[derive(Debug)]
pub(super) struct Local {
    prefix: Samples,
    detector: TurnDetector,
    over: Over,
    verdict: Option<Verdict>,
    pub(super) shadows: Vec<Shadow>,
}

/// What the running speech is said over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Over {
    /// Nobody: it is a turn.
    #[default]
    Nobody,
    /// The agent, who was stopped and may go on: certain after so much speech. `tail`: the reply was nearly over.
    Held { until_ms: u64, tail: bool },
    /// The agent, who is still heard: an interruption after so much speech.
    Waiting { until_ms: u64 },
    /// The agent, who is not interrupted, by this rule.
    Ignored { rule: &'static str },
}

/// A turn that is an interruption if it has enough words.
#[derive(Debug)]
struct Verdict {
    min_words: u32,
    turn: u32,
    item: Option<String>,
}

impl Local {
    pub(super) fn new(settings: &CallSettings, turn: &TurnSettings) -> Self {
        let rate_hz = settings.format.rate_hz;
        let rule = Rule::new(settings.interruptions, settings.false_interruptions, rate_hz);
        Local {
            prefix: Samples::from_ms(u64::from(turn.prefix_padding_ms), rate_hz),
            detector: TurnDetector::new(turn, rate_hz),
            over: Over::Nobody,
            verdict: None,
            shadows: settings.shadows.iter().map(|shadow| Shadow::new(shadow, &rule, rate_hz)).collect(),
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
        matches!(self.over, Over::Held { .. } | Over::Waiting { .. })
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
                Over::Nobody
            }
            Interruptions::On => {
                self.hold_agent();
                let audible = self.downlink.speaking();
                let unheard_ms = self.downlink.unheard_at(self.line_now()).as_ms(self.rate_hz());
                let tail = audible && unheard_ms <= TAIL_MS && !self.reply.is_running();
                match self.agent_has_the_floor() {
                    true => Over::Held { until_ms: if audible { min_ms } else { min_ms.min(UNHEARD_MIN_MS) }, tail },
                    // The last sample was heard just now.
                    false => {
                        self.let_agent_go();
                        Over::Nobody
                    }
                }
            }
            Interruptions::AfterMs(ms) => Over::Waiting { until_ms: u64::from(ms) },
            Interruptions::MinWords(words) => Over::Waiting { until_ms: u64::from(words) * WORD_MS },
        };
        match over {
            Over::Ignored { rule } => self.emit(CallEvent::InterruptionIgnored { rule: rule.to_owned() }),
            Over::Nobody => self.caller_took_the_floor(),
            Over::Held { .. } | Over::Waiting { .. } => {}
        }
        self.speak_over(over);
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
        match local.over {
            Over::Held { until_ms, .. } | Over::Waiting { until_ms } if voiced_ms >= until_ms => {
                let rule = match (local.over, self.settings.interruptions) {
                    (Over::Held { .. }, _) => "local_vad",
                    (_, Interruptions::MinWords(_)) => "min_words",
                    _ => "after_ms",
                };
                self.speak_over(Over::Nobody);
                self.give_way(rule);
                self.caller_took_the_floor();
            }
            Over::Held { .. } => {}
            Over::Waiting { .. } | Over::Ignored { .. } if !self.agent_has_the_floor() => {
                self.speak_over(Over::Nobody);
                self.caller_took_the_floor();
            }
            // What may not be interrupted is over, and the caller still speaks.
            Over::Ignored { rule: "protected" } if !self.is_protected() => self.speak_over_agent(),
            Over::Waiting { .. } | Over::Ignored { .. } | Over::Nobody => {}
        }
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
            Over::Held { tail: false, .. } => {
                self.drop_turn("shorter_than_min_interruption_ms", voiced_ms);
                self.release_agent("false_interruption");
            }
            Over::Held { tail: true, .. } => {
                self.give_way("spoke_at_its_end");
                self.commit_local(rule);
            }
            Over::Waiting { .. } if self.agent_has_the_floor() => match self.settings.interruptions {
                Interruptions::MinWords(min_words) if self.settings.transcribed && self.session.is_ready() => {
                    self.ask_transcript(min_words);
                }
                Interruptions::MinWords(_) => self.ignore_interruption("fewer_than_min_words", voiced_ms),
                _ => self.ignore_interruption("shorter_than_after_ms", voiced_ms),
            },
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
        self.commit_local(rule);
    }

    fn ignore_interruption(&mut self, rule: &str, voiced_ms: u64) {
        self.emit(CallEvent::InterruptionIgnored { rule: rule.to_owned() });
        self.drop_turn(rule, voiced_ms);
    }
}
