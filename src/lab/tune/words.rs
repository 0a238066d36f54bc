//! Settings, decisions and mistakes in words.

use serde::Serialize;

use crate::base::time::Samples;
use crate::config::TurnSettings;
use crate::ears::turn::score::{Finding, Found};
use crate::ears::turn::{EndRule, TurnEvent};

/// A probability or the like without the noise of binary fractions.
pub fn number(value: f32) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Settings on one line.
pub fn settings(s: &TurnSettings) -> String {
    let max = if s.max_turn_s == 0 { "no longest turn".to_owned() } else { format!("longest turn {} s", s.max_turn_s) };
    let margin = match s.level_margin_db {
        0 => "no level margin".to_owned(),
        db => format!("level margin {db} dB"),
    };
    format!(
        "{}, threshold {}, hysteresis {}, silence {} ms, minimum speech {} ms, {max}, {margin}",
        s.engine.name(),
        number(s.threshold),
        number(s.hysteresis),
        s.silence_duration_ms,
        s.min_speech_ms
    )
}

/// `m:ss.mmm`.
pub fn clock(ms: u64) -> String {
    format!("{}:{:02}.{:03}", ms / 60_000, ms / 1_000 % 60, ms % 1_000)
}

/// `m:ss`, or `h:mm:ss`.
pub fn length(ms: u64) -> String {
    let s = (ms + 500) / 1_000;
    match s / 3_600 {
        0 => format!("{}:{:02}", s / 60, s % 60),
        h => format!("{h}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}

/// The name of a decision.
pub const fn event(event: &TurnEvent) -> &'static str {
    match event {
        TurnEvent::Started { .. } => "start",
        TurnEvent::Paused { .. } => "pause",
        TurnEvent::Resumed { .. } => "resumed",
        TurnEvent::Ended { .. } => "end",
    }
}

/// Where what was decided lies.
pub const fn event_at(event: &TurnEvent) -> Samples {
    match *event {
        TurnEvent::Started { at }
        | TurnEvent::Paused { at }
        | TurnEvent::Resumed { at }
        | TurnEvent::Ended { at, .. } => at,
    }
}

/// The rule by which it was decided at `decided`, after `before`.
pub fn reason(
    (decided, event): (Samples, &TurnEvent),
    before: Option<&TurnEvent>,
    settings: &TurnSettings,
    rate_hz: u32,
) -> String {
    let waited = |at: Samples| decided.saturating_sub(at).as_ms(rate_hz);
    let threshold = number(settings.threshold);
    match *event {
        TurnEvent::Started { .. } => {
            format!("{} ms of speech at {threshold} or more (min_speech_ms)", settings.min_speech_ms)
        }
        TurnEvent::Paused { .. } => {
            let stop = number((settings.threshold - settings.hysteresis).max(0.0));
            format!("speech below {stop} (threshold - hysteresis)")
        }
        TurnEvent::Resumed { at } => {
            let paused = before.map(|before| at.saturating_sub(event_at(before)).as_ms(rate_hz));
            let paused = paused.map_or(String::new(), |ms| format!(" after a pause of {ms} ms"));
            format!("speech at {threshold} or more{paused} (threshold)")
        }
        TurnEvent::Ended { at, rule: EndRule::Silence } => {
            // The last sound ended somewhere in its step.
            format!("about {} ms of silence (silence_duration_ms)", waited(at))
        }
        TurnEvent::Ended { rule: EndRule::MaxTurn, .. } => {
            format!("the turn lasted {} s (max_turn_s)", settings.max_turn_s)
        }
    }
}

/// A finding for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FindingView {
    /// Where: of what was decided, the decision; of what was not, the sound.
    pub at_ms: u64,
    /// `end`, `cut_off`, `missed`, `start`, `lost` or `false_start`.
    pub what: &'static str,
    /// Of an end or a start: how much later than the sound; of a cut-off: how much of the turn was left, negative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<i64>,
    /// Of a false start: whether a known other sound is the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_distractor: Option<bool>,
}

impl FindingView {
    /// The same finding.
    pub fn new(finding: &Finding) -> FindingView {
        let (what, delay_ms, on_distractor) = match finding.what {
            Found::End { delay_ms } => ("end", Some(delay_ms), None),
            Found::CutOff { left_ms } => ("cut_off", Some(-(left_ms as i64)), None),
            Found::Missed => ("missed", None, None),
            Found::Start { latency_ms } => ("start", Some(latency_ms), None),
            Found::Lost => ("lost", None, None),
            Found::FalseStart { on_distractor } => ("false_start", None, Some(on_distractor)),
        };
        FindingView { at_ms: finding.at_ms, what, delay_ms, on_distractor }
    }
}

/// A mistake in words; `None` when the finding is none.
pub fn mistake(finding: &Finding) -> Option<String> {
    Some(match finding.what {
        Found::End { .. } | Found::Start { .. } => return None,
        Found::CutOff { left_ms } => format!("cut off: the turn goes on for {left_ms} ms"),
        Found::Missed => "missed: nothing ended the turn that ends here".to_owned(),
        Found::Lost => "lost: the caller begins here and would not have stopped the agent".to_owned(),
        Found::FalseStart { on_distractor: true } => "false start on a known other sound".to_owned(),
        Found::FalseStart { on_distractor: false } => "false start: nobody speaks here".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_short() {
        assert_eq!([0.5, 0.35, 1.0, 0.0, 0.15].map(number), ["0.5", "0.35", "1", "0", "0.15"]);
        assert_eq!(clock(61_042), "1:01.042");
        assert_eq!([length(59_600), length(3_725_000)], ["1:00", "1:02:05"]);
    }

    #[test]
    fn a_reason_names_the_setting_that_governs_it() {
        let settings = TurnSettings::default();
        let at = |ms| Samples::from_ms(ms, 8_000);
        let pause = TurnEvent::Paused { at: at(1_000) };
        let resumed = reason((at(1_200), &TurnEvent::Resumed { at: at(1_150) }), Some(&pause), &settings, 8_000);
        assert_eq!(resumed, "speech at 0.5 or more after a pause of 150 ms (threshold)");
        let end = TurnEvent::Ended { at: at(1_000), rule: EndRule::Silence };
        assert_eq!(reason((at(1_216), &end), None, &settings, 8_000), "about 216 ms of silence (silence_duration_ms)");
        assert_eq!(reason((at(1_032), &pause), None, &settings, 8_000), "speech below 0.35 (threshold - hysteresis)");
    }
}
