//! `offhook explain`: what was decided around a moment of a call, by which rule, on what evidence, and which setting governs it.
//!
//! Everything shown is in the journal; a replay adds which deadlines had passed.

mod governing;
mod heard;
mod moment;
mod rules;
mod table;

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

pub use governing::Governing;
pub use heard::{Hearing, Step as HeardStep};
pub use moment::{MomentError, parse_moment};
pub use rules::{Rule, rule_of};

use crate::base::time::CallTime;
use crate::engine::{CallerEvent, Input, ModelEvent};
use crate::lab::journal::{CallFiles, Journal, trace};
use crate::lab::replay::{Replay, Seen, Step, fail, kept_steps, print};

/// Decisions that are shown, the nearest ones.
const SHOWN: usize = 12;
/// Evidence older than this has no say in a decision.
const EVIDENCE_MS: u64 = 10_000;

/// Explains what was decided around a moment of a call.
///
/// Shows the nearest decision first: the input or deadline that led to it, what came before it, the rule, and the setting
/// that governs the rule.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// A call's folder, or its journal
    #[arg(value_name = "CALL")]
    pub call: PathBuf,
    /// The moment, since the call began: MM:SS.mmm, MM:SS or seconds
    #[arg(value_name = "MOMENT")]
    pub moment: String,
    /// How far around the moment to look
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub window: u64,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &ExplainArgs) -> ExitCode {
    run_to(args, &mut io::stdout().lock())
}

/// Runs the command, printing to `to` instead of stdout. Why it cannot do its work is still said on stderr.
pub fn run_to(args: &ExplainArgs, to: &mut dyn io::Write) -> ExitCode {
    let files = match CallFiles::load(&args.call) {
        Ok(files) => files,
        Err(error) => return fail(&error),
    };
    let moment = match parse_moment(&args.moment, files.journal.length()) {
        Ok(moment) => moment,
        Err(error) => return fail(&error),
    };
    let explanation = Explanation::new(&files.name(), &files.journal, moment, args.window);
    let out = if args.json {
        let mut text = serde_json::to_string_pretty(&explanation).unwrap_or_default();
        text.push('\n');
        text
    } else {
        explanation.to_text()
    };
    print(to, &out);
    ExitCode::SUCCESS
}

/// What was decided around a moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The call.
    pub call: String,
    /// The moment that was asked for.
    pub moment_ms: u64,
    /// How far around it decisions are shown.
    pub window_ms: u64,
    /// How long the call lasted.
    pub length_ms: u64,
    /// Whether this version decides as the one that wrote the journal; if not, deadlines may be named wrongly.
    pub replays_alike: bool,
    /// What our own ears heard around the moment; `None` when they did not decide, or heard nothing until then.
    pub hearing: Option<Hearing>,
    /// The nearest first.
    pub decisions: Vec<Explained>,
    /// When nothing was decided in the window: the nearest decision outside it.
    pub nearest: Option<Box<Explained>>,
}

/// What was decided on one input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explained {
    /// When, in ms.
    pub at_ms: u64,
    /// Milliseconds after the moment; negative: before it.
    pub off_ms: i64,
    /// The decisions, in words, in order.
    pub decided: Vec<String>,
    /// What led to them: the input, in words; `None`: the call's beginning.
    pub input: Option<String>,
    /// A deadline that had passed.
    pub deadline: Option<String>,
    /// What came before, in order.
    pub evidence: Vec<Evidence>,
    /// The rules by which it was decided.
    pub rules: Vec<Rule>,
    /// How near the decision was, and which setting would have decided otherwise.
    pub otherwise: Vec<String>,
}

/// Something that came before a decision and may have a say in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// When, in ms.
    pub at_ms: u64,
    /// What, in words.
    pub what: String,
}

impl Explanation {
    /// Explains `moment` with the decisions at most `window_ms` from it.
    pub fn new(call: &str, journal: &Journal, moment: CallTime, window_ms: u64) -> Explanation {
        let mut heard = heard::Steps::default();
        let replay = Replay::with(journal, |at, seen| {
            if let Seen::Heard { step, media } = seen {
                heard.push(at, *step, *media);
            }
        });
        let mut steps = kept_steps(journal);
        for (kept, replayed) in steps.iter_mut().zip(&replay.steps) {
            kept.due = replayed.due;
        }
        let mut near: Vec<_> = steps.iter().enumerate().filter(|(_, step)| decides(step)).collect();
        // Stable: of two at the same distance, the earlier first.
        near.sort_by_key(|(_, step)| step.at.as_us().abs_diff(moment.as_us()));
        let explain = |&(index, _): &(usize, &Step)| explained(journal, &steps, &heard, index, moment);
        let in_window = near.iter().take_while(|(_, s)| s.at.as_us().abs_diff(moment.as_us()) <= window_ms * 1_000);
        let decisions: Vec<_> = in_window.take(SHOWN).map(explain).collect();
        let nearest = if decisions.is_empty() { near.first().map(explain).map(Box::new) } else { None };
        Explanation {
            call: call.to_owned(),
            moment_ms: moment.as_ms(),
            window_ms,
            length_ms: journal.length().as_ms(),
            replays_alike: replay.difference.is_none(),
            hearing: heard.around(moment, &journal.settings),
            decisions,
            nearest,
        }
    }

    fn to_text(&self) -> String {
        let mut out = String::new();
        let at = CallTime::from_ms(self.moment_ms);
        let length = CallTime::from_ms(self.length_ms);
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}: {at} of {length}, {} ms to each side", self.call, self.window_ms);
        if !self.replays_alike {
            out.push_str("This version decides differently (see offhook replay): deadlines may be named wrongly.\n");
        }
        if let Some(hearing) = &self.hearing {
            out.push('\n');
            hearing.write(self.moment_ms, &mut out);
        }
        match &self.nearest {
            Some(nearest) => {
                out.push_str("\nNothing was decided here. The nearest decision:\n");
                nearest.write(&mut out);
            }
            None if self.decisions.is_empty() => out.push_str("\nNothing was decided in this call.\n"),
            None => self.decisions.iter().for_each(|decision| decision.write(&mut out)),
        }
        out
    }
}

impl Explained {
    fn write(&self, out: &mut String) {
        let at = CallTime::from_ms(self.at_ms);
        let off = match self.off_ms {
            0 => "at this moment".to_owned(),
            ms if ms < 0 => format!("{} ms before", -ms),
            ms => format!("{ms} ms after"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "\n{at} ({off})");
        for line in &self.decided {
            let _ = writeln!(out, "  decided   {line}");
        }
        match &self.input {
            Some(input) => {
                let _ = writeln!(out, "  on        {input}");
            }
            None => out.push_str("  on        the call's announcement\n"),
        }
        if let Some(deadline) = &self.deadline {
            let _ = writeln!(out, "  deadline  {deadline}");
        }
        for evidence in &self.evidence {
            let ago = self.at_ms.saturating_sub(evidence.at_ms);
            let _ = writeln!(out, "  before    {} ({ago} ms ago) {}", CallTime::from_ms(evidence.at_ms), evidence.what);
        }
        for rule in &self.rules {
            let name = if rule.rule.is_empty() { String::new() } else { format!(" {}", rule.rule) };
            let _ = writeln!(out, "  rule      {}{name}: {}", rule.decision, rule.meaning);
            for setting in &rule.settings {
                let _ = writeln!(out, "  setting   {} = {} ({})", setting.key, setting.value, setting.file);
            }
        }
        for otherwise in &self.otherwise {
            let _ = writeln!(out, "  otherwise {otherwise}");
        }
    }
}

/// Whether a step holds a decision that one would ask about; feeding the line is none.
fn decides(step: &Step) -> bool {
    step.lines.iter().any(|line| !is_feeding(line))
}

fn is_feeding(line: &str) -> bool {
    line.starts_with("line audio ") || line.starts_with("line mark ")
}

fn explained(journal: &Journal, steps: &[Step], heard: &heard::Steps, index: usize, moment: CallTime) -> Explained {
    let step = &steps[index];
    let input = step.entry.and_then(|entry| journal.entries.get(entry)).and_then(|entry| journal.input(entry));
    let off_us = step.at.as_us() as i64 - moment.as_us() as i64;
    Explained {
        at_ms: step.at.as_ms(),
        off_ms: off_us / 1_000,
        decided: step.lines.clone(),
        input: input.as_ref().map(|input| match input {
            Input::Tick => "a deadline that had passed".to_owned(),
            input => words(input),
        }),
        deadline: step.due.map(rules::deadline),
        evidence: evidence(journal, steps, index),
        rules: step.lines.iter().filter_map(|line| rule_of(line, &journal.settings)).collect(),
        otherwise: step.lines.iter().filter_map(|line| heard.otherwise(step.at, line, &journal.settings)).collect(),
    }
}

/// The latest of each kind of thing that decisions rest on, before step `index`.
fn evidence(journal: &Journal, steps: &[Step], index: usize) -> Vec<Evidence> {
    let mut found: [Option<Evidence>; KINDS] = Default::default();
    let since = steps[index].at.minus_ms(EVIDENCE_MS);
    for step in steps[..index].iter().rev().take_while(|step| step.at >= since) {
        for line in step.lines.iter().rev() {
            if let Some(kind) = kind_of_line(line) {
                found[kind].get_or_insert_with(|| Evidence { at_ms: step.at.as_ms(), what: line.clone() });
            }
        }
        let input = step.entry.and_then(|entry| journal.entries.get(entry)).and_then(|entry| journal.input(entry));
        if let Some(input) = input
            && let Some(kind) = kind_of_input(&input)
        {
            found[kind].get_or_insert_with(|| Evidence { at_ms: step.at.as_ms(), what: words(&input) });
        }
    }
    let mut found: Vec<_> = found.into_iter().flatten().collect();
    found.sort_by_key(|evidence| evidence.at_ms);
    found
}

const KINDS: usize = 10;

/// Inputs of which the latest is evidence.
fn kind_of_input(input: &Input<'_>) -> Option<usize> {
    Some(match input {
        Input::Caller(CallerEvent::Audio { .. }) => 0,
        Input::Caller(CallerEvent::MarkPlayed(_)) => 1,
        Input::Caller(CallerEvent::Dtmf(_)) | Input::Control(_) => 2,
        Input::Model(ModelEvent::SpeechStarted { .. } | ModelEvent::SpeechStopped { .. }) => 3,
        Input::Model(ModelEvent::Audio { .. }) => 4,
        Input::Model(ModelEvent::Closed { .. } | ModelEvent::Ready { .. } | ModelEvent::Error { .. }) => 5,
        _ => return None,
    })
}

/// Decisions of which the latest is evidence: whose turn it is, what the caller has heard, what the model is at.
fn kind_of_line(line: &str) -> Option<usize> {
    Some(match line.split(' ').next()? {
        "AgentStarted" | "AgentHeard" | "AgentHeld" | "AgentResumed" | "BargeIn" => 6,
        "TurnCommitted" => 7,
        "ResponseAsked" | "ResponseStarted" | "ResponseEnded" => 8,
        "SpeechStarted" | "SpeechPaused" | "SpeechResumed" | "SpeechStopped" => 9,
        _ => return None,
    })
}

fn words(input: &Input<'_>) -> String {
    let mut out = String::new();
    trace::write_input(input, &mut out);
    out
}
