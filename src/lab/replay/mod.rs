//! `offhook replay`: a call's journal through the engine again, held against the decisions that were kept.
//!
//! The journal holds every input with its time, passed deadlines included, so a replay needs no clock and is done in
//! milliseconds. [`run_through`] is what the other tools on a call's folder are made of.

mod difference;
mod rehear;

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

pub use difference::Difference;
pub use rehear::{RehearArgs, Rehearing};

use crate::base::time::{CallTime, Samples};
use crate::ears::vad;
use crate::engine::{Action, CallEngine, Input, Timer};
use crate::lab::journal::{CallFiles, Journal, Kind, LoadError, trace};
use crate::report::{Recording, Report};

/// Runs a call's journal through the engine and fails if it decides differently now.
///
/// Prints the trace of decisions. Exit status: 0 the same, 1 a difference (shown with what led to it), 2 no usable
/// journal.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// A call's folder, or its journal
    #[arg(value_name = "CALL")]
    pub call: PathBuf,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// Leave the trace out
    #[arg(long, short)]
    pub quiet: bool,
    /// Write report.json if the call has none (its server was killed)
    #[arg(long)]
    pub report: bool,
    /// Other settings.
    #[command(flatten)]
    pub rehear: RehearArgs,
}

/// Runs the command.
pub fn run(args: &ReplayArgs) -> ExitCode {
    run_to(args, &mut io::stdout().lock())
}

/// Runs the command, printing to `to` instead of stdout. Why it cannot do its work is still said on stderr.
pub fn run_to(args: &ReplayArgs, to: &mut dyn io::Write) -> ExitCode {
    let files = match CallFiles::load(&args.call) {
        Ok(files) => files,
        Err(error) => return fail(&error),
    };
    if args.rehear.rehear {
        return rehear(&files, args, to);
    }
    let replay = Replay::new(&files.journal);
    let mut out = String::new();
    if args.json {
        out = replay.to_json(&files, args.quiet);
    } else {
        if !args.quiet {
            replay.steps.iter().for_each(|step| step.write_trace(&mut out));
        }
        replay.write_verdict(&files, &mut out);
    }
    print(to, &out);
    if args.report
        && let Err(error) = write_report(&files, &replay)
    {
        return fail(&error);
    }
    if replay.difference.is_some() { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

fn rehear(files: &CallFiles, args: &ReplayArgs, to: &mut dyn io::Write) -> ExitCode {
    let rehearing = match Rehearing::new(files, &args.rehear) {
        Ok(rehearing) => rehearing,
        Err(why) => return fail(&why),
    };
    if args.json {
        let mut text = serde_json::to_string_pretty(&rehearing).unwrap_or_default();
        text.push('\n');
        print(to, &text);
    } else {
        print(to, &rehearing.to_text(args.quiet));
    }
    ExitCode::SUCCESS
}

/// A journal's inputs after the engine has handled them all.
#[derive(Debug)]
pub struct Replay {
    /// What each input led to; the first step is a new engine's own and has no input.
    pub steps: Vec<Step>,
    /// The first place where a kept decision and a replayed one differ.
    pub difference: Option<Difference>,
    /// The report as the engine has it at the end (see [`CallEngine::report`]).
    pub report: Report,
    /// Whether the replayed call came to its end.
    pub is_over: bool,
}

/// One input and what was decided on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// When.
    pub at: CallTime,
    /// Index of the input among [`Journal::entries`].
    pub entry: Option<usize>,
    /// A deadline that had passed by then; it is acted upon after the input.
    pub due: Option<Timer>,
    /// The decisions, in words.
    pub lines: Vec<String>,
}

/// What a replay shows to its visitor.
#[derive(Debug)]
pub enum Seen<'a> {
    /// This input is about to be handled.
    Input {
        /// Its index among [`Journal::entries`].
        entry: usize,
        /// The input.
        input: &'a Input<'a>,
        /// What the engine was waiting for.
        due: Option<(CallTime, Timer)>,
    },
    /// The engine's ears heard this of it.
    Heard {
        /// What; also on ears that were told it.
        step: vad::Step,
        /// Where the step ends on the media time line.
        media: Samples,
    },
    /// This came of it (or of the beginning).
    Action(&'a Action<'a>),
}

/// Runs a journal's inputs through a new engine, shows everything to `visit` in order, and answers with the engine. The
/// engine is told what was heard in each input, so it needs neither the audio nor the detector that heard it.
pub fn run_through(journal: &Journal, mut visit: impl FnMut(CallTime, Seen<'_>)) -> CallEngine {
    let mut engine = CallEngine::told(Arc::new(journal.settings.clone()));
    while let Some(action) = engine.poll_action() {
        visit(CallTime::ZERO, Seen::Action(&action));
    }
    for (index, entry) in journal.entries.iter().enumerate() {
        let Some(input) = journal.input(entry) else { continue };
        visit(entry.at, Seen::Input { entry: index, input: &input, due: engine.next_deadline() });
        for (probability, level_db) in journal.heard_of(index) {
            engine.tell(probability, level_db);
        }
        journal.found_of(index).for_each(|finding| engine.tell_found(finding));
        engine.handle(entry.at, input);
        while let Some(action) = engine.poll_action() {
            if let Action::Heard(step) = action {
                let media = engine.media_of_heard(step.end);
                visit(entry.at, Seen::Heard { step, media });
            } else {
                visit(entry.at, Seen::Action(&action));
            }
        }
    }
    engine
}

impl Replay {
    /// Replays a journal and compares.
    pub fn new(journal: &Journal) -> Replay {
        Replay::with(journal, |_, _| {})
    }

    /// The same, with everything shown to `visit` too.
    pub fn with(journal: &Journal, mut visit: impl FnMut(CallTime, &Seen<'_>)) -> Replay {
        let mut steps = vec![Step::default()];
        let engine = run_through(journal, |at, seen| {
            visit(at, &seen);
            match seen {
                Seen::Input { entry, due, .. } => {
                    let due = due.filter(|(when, _)| *when <= at);
                    steps.push(Step { at, entry: Some(entry), due: due.map(|(_, timer)| timer), lines: Vec::new() });
                }
                Seen::Heard { .. } => {}
                Seen::Action(action) => {
                    let mut line = String::new();
                    if trace::write_action(action, &mut line)
                        && let Some(step) = steps.last_mut()
                    {
                        step.lines.push(line);
                    }
                }
            }
        });
        let kept = kept_steps(journal);
        let difference = difference::first(journal, &kept, &steps);
        Replay { steps, difference, report: engine.report(), is_over: engine.is_over() }
    }

    fn to_json(&self, files: &CallFiles, quiet: bool) -> String {
        #[derive(Serialize)]
        struct Shown<'a> {
            call: String,
            journal: &'static str,
            lost_lines: u64,
            length_ms: u64,
            inputs: usize,
            decisions: usize,
            same: bool,
            difference: Option<&'a Difference>,
            trace: Option<Vec<TraceLine<'a>>>,
        }
        #[derive(Serialize)]
        struct TraceLine<'a> {
            at_us: u64,
            line: &'a str,
        }
        let trace = self.steps.iter().flat_map(|s| s.lines.iter().map(|line| TraceLine { at_us: s.at.as_us(), line }));
        let shown = Shown {
            call: files.name(),
            journal: state(&files.journal),
            lost_lines: files.journal.lost.iter().map(|lost| lost.lines).sum(),
            length_ms: files.journal.length().as_ms(),
            inputs: self.steps.len() - 1,
            decisions: self.decisions(),
            same: self.difference.is_none(),
            difference: self.difference.as_ref(),
            trace: (!quiet).then(|| trace.collect()),
        };
        let mut text = serde_json::to_string_pretty(&shown).unwrap_or_default();
        text.push('\n');
        text
    }

    fn decisions(&self) -> usize {
        self.steps.iter().map(|s| s.lines.len()).sum()
    }

    fn write_verdict(&self, files: &CallFiles, out: &mut String) {
        if files.journal.torn {
            out.push_str("The journal ends in the middle of a line, which is left out: its server was killed.\n");
        } else if !files.journal.is_finished() {
            out.push_str("The journal ends before the call does: its server was killed.\n");
        }
        for lost in &files.journal.lost {
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "The journal lacks {} lines from {} on, for which the disk had no room: what follows does not come of what is there.",
                lost.lines, lost.from
            );
        }
        // Writing to a String cannot fail.
        let _ = match &self.difference {
            None => writeln!(
                out,
                "{}: the same {} decisions on {} inputs in {}",
                files.name(),
                self.decisions(),
                self.steps.len() - 1,
                files.journal.length()
            ),
            Some(difference) => write!(out, "{}: decides differently now\n{difference}", files.name()),
        };
    }
}

impl Step {
    fn write_trace(&self, out: &mut String) {
        for line in &self.lines {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{} {line}", self.at);
        }
    }
}

/// The steps as the journal has them: each input with the decisions that follow it in the file.
pub(crate) fn kept_steps(journal: &Journal) -> Vec<Step> {
    let mut steps = vec![Step::default()];
    for (index, entry) in journal.entries.iter().enumerate() {
        match &entry.kind {
            Kind::In(_) => steps.push(Step { at: entry.at, entry: Some(index), ..Step::default() }),
            Kind::Out(line) => {
                if let Some(step) = steps.last_mut() {
                    step.lines.push(line.clone());
                }
            }
            Kind::Heard { .. } | Kind::Found(_) => {}
        }
    }
    steps
}

/// `finished`, `unfinished` (the call's end is missing) or `torn` (so is the end of a line).
pub(crate) fn state(journal: &Journal) -> &'static str {
    match (journal.torn, journal.is_finished()) {
        (true, _) => "torn",
        (false, false) => "unfinished",
        (false, true) => "finished",
    }
}

/// Says on stderr why a tool cannot do its work; the exit status of that.
pub(crate) fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    crate::output::remark(error);
    ExitCode::from(2)
}

/// Prints; a reader that went away (`| head`) is no error.
pub(crate) fn print(to: &mut dyn io::Write, text: &str) {
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

/// Writes `report.json` from the replay when the call has none. What the engine does not know and the folder does not
/// say stays empty.
fn write_report(files: &CallFiles, replay: &Replay) -> Result<(), LoadError> {
    let path = files.report_path();
    if path.exists() {
        crate::output::remark(format_args!("{} is there already and was left as it is", path.display()));
        return Ok(());
    }
    let mut report = replay.report.clone();
    report.call = files.name();
    report.recording = recorded(&files.recording_path());
    let text = serde_json::to_vec_pretty(&report).map_err(|error| LoadError::Report(path.clone(), error))?;
    std::fs::write(&path, text).map_err(|error| LoadError::Io(path.clone(), error))?;
    crate::output::remark(format_args!("wrote {}", path.display()));
    Ok(())
}

fn recorded(path: &Path) -> Option<Recording> {
    let frames = hound::WavReader::open(path).ok()?.duration();
    Some(Recording { frames: frames.into(), missing_from_ms: None, error: None })
}
