//! `offhook replay --rehear`: a call's caller audio through the detectors again, under other settings, side by side with
//! what was decided then.
//!
//! The audio lies where the engine's own media rules placed it, gaps filled; the agent is where the line played it. What
//! follows a decision is not played through: the agent of another outcome would have said other things.

mod course;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use course::{Course, Turn};

use crate::base::time::{CallTime, Samples};
use crate::config::{self, FalseInterruptions, Shadow, TurnDetection, TurnSettings};
use crate::ears::hearing::HearingSettings;
use crate::lab::journal::{CallFiles, Journal};

/// Decisions closer than this are the same.
const SAME_MS: u64 = 10;

/// Under which settings a call is heard again.
#[derive(Args, Clone, Debug, Default)]
pub struct RehearArgs {
    /// Hear the caller's audio again and show where turns and interruptions would have been decided otherwise. Needs a
    /// journal with audio
    #[arg(long, conflicts_with = "report")]
    pub rehear: bool,
    /// With --rehear: by another setting, such as threshold=0.6, silence_duration_ms=400, engine=energy or
    /// 'interruptions={ min_words = 2 }'; may be given several times
    #[arg(long, value_name = "KEY=VALUE", requires = "rehear")]
    pub set: Vec<String>,
    /// With --rehear: by the settings of this agent as they are now
    #[arg(long, value_name = "NAME", requires = "rehear")]
    pub agent: Option<String>,
    /// With --agent: the directory of the configuration
    #[arg(long, value_name = "DIR", default_value = "config", requires = "agent")]
    pub config: PathBuf,
}

/// What a call would have been with other ears.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rehearing {
    /// The call.
    pub call: String,
    /// Who decided then: `turn_detection.mode`.
    pub then_mode: &'static str,
    /// The settings then, as far as the mode has them.
    pub then: Shadow,
    /// The settings now.
    pub now: Shadow,
    /// Every start and end of a turn and every interruption, in order.
    pub rows: Vec<Row>,
}

/// A decision then and now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What was decided.
    pub what: What,
    /// Media time at which it was decided then; `None`: it was not.
    pub then_ms: Option<u64>,
    /// Media time at which it is decided now; `None`: it is not.
    pub now_ms: Option<u64>,
    /// How they differ.
    pub difference: Difference,
}

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The caller began to speak.
    Start,
    /// The caller interrupts the agent.
    Interruption,
    /// The turn is over.
    End,
}

/// How a decision differs from the one then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The same, within 10 ms; of an interruption: made by both.
    Kept,
    /// Earlier now.
    Earlier,
    /// Later now.
    Later,
    /// An end now at which the caller went on in what was one turn then.
    CutOff,
    /// An end then that is none now, as the turn goes on into the next one, whose start is none either.
    KeptAsOne,
    /// Only then.
    Lost,
    /// Only now.
    New,
}

impl Rehearing {
    /// Hears a call again.
    ///
    /// # Errors
    /// For people: the journal has no audio, or the settings are none.
    pub fn new(files: &CallFiles, args: &RehearArgs) -> Result<Rehearing, String> {
        let journal = &files.journal;
        if !journal.has_audio() {
            return Err(format!(
                "{}: the journal keeps no audio, so nothing can be heard again; calls keep it when their deployment has \
                 keep.journal = \"audio\"",
                files.journal_path.display()
            ));
        }
        let then = then(journal);
        let (mut now, mut echo_guard) =
            (Shadow { name: "now".to_owned(), ..then.clone() }, journal.settings.echo_guard);
        if let Some(name) = &args.agent {
            (now, echo_guard) = of_agent(name, &args.config)?;
        }
        if !args.set.is_empty() {
            now = config::candidate("--set", &document(&args.set)?, &now).map_err(|problems| problems.to_string())?;
        }
        let course = Course::of(journal);
        let ears = HearingSettings {
            engine: Some(now.turn.engine),
            echo_guard,
            noise_reduction: config::NoiseReduction::None,
        };
        let turns = course.hear(ears, &now);
        let rows = rows(&course.turns, &turns, journal.settings.format.rate_hz);
        let then_mode = journal.settings.turn_detection.mode();
        Ok(Rehearing { call: files.name(), then_mode, then, now, rows })
    }

    pub(super) fn to_text(&self, quiet: bool) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "then  {} ({})", words(&self.then), self.then_mode);
        let _ = writeln!(out, "now   {}\n", words(&self.now));
        if !quiet {
            let time = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), |ms| CallTime::from_ms(ms).to_string());
            let _ = writeln!(out, "{:<13} {:>10} {:>10}  difference", "", "then", "now");
            for row in &self.rows {
                let what = match row.what {
                    What::Start => "turn start",
                    What::Interruption => "interruption",
                    What::End => "turn end",
                };
                let line = format!("{what:<13} {:>10} {:>10}  {}", time(row.then_ms), time(row.now_ms), row.words());
                let _ = writeln!(out, "{}", line.trim_end());
            }
            out.push('\n');
        }
        let _ = writeln!(out, "{}: {}", self.call, self.summary());
        out
    }

    /// The counts that are not zero, in words.
    fn summary(&self) -> String {
        let mut parts = Vec::new();
        for (what, name) in [(What::Start, "start"), (What::End, "end"), (What::Interruption, "interruption")] {
            let of = |difference| self.rows.iter().filter(|r| (r.what, r.difference) == (what, difference)).count();
            let names = [
                (Difference::Kept, "the same"),
                (Difference::Earlier, "earlier"),
                (Difference::Later, "later"),
                (Difference::CutOff, "cut off"),
                (Difference::KeptAsOne, "kept as one"),
                (Difference::Lost, "lost"),
                (Difference::New, "new"),
            ];
            let counts: Vec<_> =
                names.iter().filter(|(d, _)| of(*d) > 0).map(|(d, words)| format!("{} {words}", of(*d))).collect();
            if !counts.is_empty() {
                parts.push(format!("{name}s {}", counts.join(", ")));
            }
        }
        if parts.is_empty() { "no turn, then or now".to_owned() } else { parts.join("; ") }
    }
}

impl Row {
    fn words(&self) -> String {
        let by = self.then_ms.zip(self.now_ms).map_or(0, |(then, now)| then.abs_diff(now));
        match (self.difference, self.what) {
            (Difference::Kept, _) => String::new(),
            (Difference::Earlier, _) => format!("{by} ms earlier"),
            (Difference::Later, _) => format!("{by} ms later"),
            (Difference::CutOff, _) => "cuts the caller off".to_owned(),
            (Difference::KeptAsOne, _) => "the turn goes on".to_owned(),
            (Difference::Lost, What::Interruption) => "lost".to_owned(),
            (Difference::Lost, _) => "not heard now".to_owned(),
            (Difference::New, What::Interruption) => "new".to_owned(),
            (Difference::New, _) => "only now".to_owned(),
        }
    }
}

/// What the call ran by, as far as its mode has such settings.
fn then(journal: &Journal) -> Shadow {
    let settings = &journal.settings;
    let (turn, false_interruptions) = match &settings.turn_detection {
        TurnDetection::Local(turn) => (turn.clone(), settings.false_interruptions),
        TurnDetection::Provider { threshold, prefix_padding_ms, silence_duration_ms } => {
            let (threshold, prefix_padding_ms) = (*threshold, *prefix_padding_ms);
            let silence_duration_ms = *silence_duration_ms;
            let turn = TurnSettings { threshold, prefix_padding_ms, silence_duration_ms, ..TurnSettings::default() };
            (turn, FalseInterruptions::default())
        }
        TurnDetection::Semantic { .. } | TurnDetection::Disabled { .. } => Default::default(),
    };
    Shadow { name: "then".to_owned(), turn, interruptions: settings.interruptions, false_interruptions }
}

fn of_agent(name: &str, dir: &std::path::Path) -> Result<(Shadow, bool), String> {
    let config = config::load(dir).map_err(|problems| problems.to_string())?;
    let Some(agent) = config.agents.get(name) else {
        let known: Vec<_> = config.agents.keys().map(String::as_str).collect();
        return Err(format!("{}: there is no agent {name:?}; allowed: {}", dir.display(), known.join(", ")));
    };
    let TurnDetection::Local(turn) = &agent.manner.turn_detection else {
        let mode = agent.manner.turn_detection.mode();
        return Err(format!("agent {name:?} has turn_detection.mode = {mode:?}; only \"local\" can be heard here"));
    };
    let (interruptions, false_interruptions) = (agent.manner.interruptions, agent.manner.false_interruptions);
    Ok((
        Shadow { name: name.to_owned(), turn: turn.clone(), interruptions, false_interruptions },
        agent.manner.echo_guard,
    ))
}

/// `KEY=VALUE` as the lines of a document; a bare word is text.
fn document(set: &[String]) -> Result<String, String> {
    let mut text = String::new();
    for setting in set {
        let Some((key, value)) = setting.split_once('=') else {
            return Err(format!("--set {setting}: is written KEY=VALUE, such as threshold=0.6"));
        };
        let (key, value) = (key.trim(), value.trim());
        let word = value.starts_with(|c: char| c.is_ascii_alphabetic())
            && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !matches!(value, "true" | "false");
        // Writing to a String cannot fail.
        let _ = if word { writeln!(text, "{key} = {value:?}") } else { writeln!(text, "{key} = {value}") };
    }
    Ok(text)
}

/// Settings in one line.
fn words(settings: &Shadow) -> String {
    let TurnSettings {
        engine,
        threshold,
        hysteresis,
        silence_duration_ms,
        min_speech_ms,
        max_turn_s,
        level_margin_db,
        ..
    } = &settings.turn;
    let FalseInterruptions { resume, shorter_than_ms, untranscribed_ms, .. } = settings.false_interruptions;
    format!(
        "engine={} threshold={threshold} hysteresis={hysteresis} silence_duration_ms={silence_duration_ms} \
         min_speech_ms={min_speech_ms} max_turn_s={max_turn_s} level_margin_db={level_margin_db} interruptions={} min_interruption_ms={shorter_than_ms} \
         untranscribed_interruption_ms={untranscribed_ms} resume_false_interruption={resume}",
        engine.name(),
        settings.interruptions
    )
}

/// Turns of both sides, those that overlap beside each other.
fn rows(then: &[Turn], now: &[Turn], rate_hz: u32) -> Vec<Row> {
    let ms = |at: Samples| at.as_ms(rate_hz);
    let mut rows = Vec::new();
    let mut row = |what, then: Option<Samples>, now: Option<Samples>, difference: Option<Difference>| {
        let (then_ms, now_ms) = (then.map(ms), now.map(ms));
        let difference = difference.unwrap_or(match (then_ms, now_ms) {
            (Some(then), Some(now)) if now.abs_diff(then) <= SAME_MS => Difference::Kept,
            (Some(then), Some(now)) if now < then => Difference::Earlier,
            (Some(_), Some(_)) => Difference::Later,
            (Some(_), None) => Difference::Lost,
            (None, _) => Difference::New,
        });
        rows.push(Row { what, then_ms, now_ms, difference });
    };
    // A turn's partner is the first on the other side that overlaps it and has none yet.
    let mut partners = vec![None; then.len()];
    for new in now {
        let of_then = then.iter().zip(&mut partners).find(|(old, partner)| partner.is_none() && old.overlaps(new));
        let old = of_then.map(|(old, partner)| {
            *partner = Some(new);
            old
        });
        row(What::Start, old.map(|old| old.decided), Some(new.decided), None);
        let Some((_, end)) = new.ended else { continue };
        let within = then.iter().find(|old| old.decided <= end && old.ended.is_some_and(|(_, decided)| end <= decided));
        let last = then.iter().rfind(|old| old.overlaps(new)).and_then(|old| old.ended);
        match (within.and_then(|old| old.ended), last) {
            (Some((spoken, _)), _) if spoken > end => row(What::End, None, Some(end), Some(Difference::CutOff)),
            (Some((_, decided)), _) => row(What::End, Some(decided), Some(end), None),
            (None, Some((_, decided))) if decided <= end => row(What::End, Some(decided), Some(end), None),
            (None, _) => row(What::End, None, Some(end), None),
        }
    }
    for (old, partner) in then.iter().zip(&partners) {
        if partner.is_none() {
            let within = now.iter().any(|new| new.overlaps(old));
            row(What::Start, Some(old.decided), None, within.then_some(Difference::KeptAsOne));
        }
        let Some((_, end)) = old.ended else { continue };
        match now.iter().find(|new| new.decided <= end && new.end() > end) {
            Some(over) if then.iter().any(|next| next.decided > end && next.overlaps(over)) => {
                row(What::End, Some(end), None, Some(Difference::KeptAsOne));
            }
            Some(_) => {}
            None if !now.iter().any(|new| new.overlaps(old)) => row(What::End, Some(end), None, None),
            None => {}
        }
    }
    for old in then.iter().filter(|old| old.interrupted.is_some()) {
        // The same words say the same now.
        let of = |new: &Turn| new.interrupted.or(new.asks_words);
        let new = now.iter().filter(|new| new.overlaps(old)).find_map(of);
        row(What::Interruption, old.interrupted, new, new.map(|_| Difference::Kept));
    }
    for new in now.iter().filter(|new| new.interrupted.is_some()) {
        if !then.iter().any(|old| old.interrupted.is_some() && old.overlaps(new)) {
            row(What::Interruption, None, new.interrupted, None);
        }
    }
    rows.sort_by_key(|row| (row.then_ms.into_iter().chain(row.now_ms).min(), row.what));
    rows
}
