//! `offhook verify`: a call's recording held against its report and its journal.
//!
//! A replay of the journal says where every sample of the recording belongs. With the audio in the journal both channels are
//! compared sample by sample; without, positions, lengths and listed gaps are. Silence that the caller really sent is no
//! gap: a gap is a place on the time line for which no audio came.

mod tracks;

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::base::time::{CallTime, Samples};
use crate::config::TurnDetection;
use crate::engine::Role;
use crate::lab::journal::{CallFiles, Journal};
use crate::lab::replay::{Replay, fail, print};
use crate::report::{Gap, Report, Turn};
pub use tracks::Recorded;
use tracks::{Track, Tracks};

/// The most that two accounts of the same moment may differ.
const DRIFT_MS: u64 = 20;
/// Pauses shorter than this do not part two runs of sound.
const PAUSE_MS: u64 = 200;
/// Lines shorter than this need not be audible.
const AUDIBLE_MS: u64 = 200;
/// A report with this many gaps may lack later ones (the engine lists no more).
const GAPS_LISTED: usize = 200;
/// The line's clock may be faster than ours by one part in this many, and ahead by as much as audio was late at first.
const CLOCK_PARTS: u64 = 33;
const CLOCK_AHEAD_MS: u64 = 1_500;

/// Holds a call's recording against its report and journal.
///
/// Fails on more than 20 ms of drift, on a gap that is not listed, and on sound that is missing or should not be there. Exit
/// status: 0 all checks pass, 1 one fails, 2 no usable recording or journal.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// A call's folder
    #[arg(value_name = "CALL")]
    pub call: PathBuf,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &VerifyArgs) -> ExitCode {
    run_to(args, &mut io::stdout().lock())
}

/// Runs the command, printing to `to` instead of stdout. Why it cannot do its work is still said on stderr.
pub fn run_to(args: &VerifyArgs, to: &mut dyn io::Write) -> ExitCode {
    let files = match CallFiles::load(&args.call) {
        Ok(files) => files,
        Err(error) => return fail(&error),
    };
    let report = match files.report() {
        Ok(report) => report,
        Err(error) => return fail(&error),
    };
    let recorded = match Recorded::read(&files.recording_path()) {
        Ok(recorded) => recorded,
        Err(message) => return fail(&message),
    };
    let verification = Verification::new(&files.journal, report.as_ref(), &recorded);
    let out = if args.json {
        verification.to_json(&files.name())
    } else {
        verification.to_table(&files.name(), &files.journal)
    };
    print(to, &out);
    if verification.passes() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// All checks of a call.
#[derive(Debug, Serialize)]
pub struct Verification {
    /// In the order in which they are shown.
    pub checks: Vec<Check>,
}

/// One thing that must be so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// A short stable name.
    pub check: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// What should be.
    pub expected: String,
    /// What is.
    pub found: String,
    /// Milliseconds between the two, where they are times.
    pub off_ms: Option<u64>,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is so.
    Pass,
    /// It is not.
    Fail,
    /// There is nothing to hold it against.
    Skipped,
}

impl Verification {
    /// Checks a recording. `report` is missing when the server was killed during the call.
    pub fn new(journal: &Journal, report: Option<&Report>, recorded: &Recorded) -> Verification {
        let mut tracks = Tracks::new(journal.settings.format, journal.has_audio(), recorded.frames());
        let replay = Replay::with(journal, |_, seen| tracks.see(seen));
        let case = Case { journal, report, recorded, tracks: &tracks, replay: &replay };
        let mut checks = vec![
            case.decisions(),
            case.report(),
            case.format(),
            case.frames(),
            case.length(),
            case.clock(),
            case.gaps_listed(),
            case.gaps_silent(),
        ];
        if journal.has_audio() {
            checks.push(case.samples("caller_audio", &tracks.caller, &recorded.caller));
            checks.push(case.samples("agent_audio", &tracks.agent, &recorded.agent));
            checks.push(case.agent_edges());
        } else {
            checks.push(case.agent_where_heard());
        }
        checks.push(case.lines_audible());
        Verification { checks }
    }

    /// Whether no check fails.
    pub fn passes(&self) -> bool {
        self.checks.iter().all(|c| c.verdict != Verdict::Fail)
    }

    fn to_json(&self, call: &str) -> String {
        #[derive(Serialize)]
        struct Shown<'a> {
            call: &'a str,
            pass: bool,
            checks: &'a [Check],
        }
        let shown = Shown { call, pass: self.passes(), checks: &self.checks };
        let mut text = serde_json::to_string_pretty(&shown).unwrap_or_default();
        text.push('\n');
        text
    }

    fn to_table(&self, call: &str, journal: &Journal) -> String {
        let rows = self.checks.iter().map(|c| {
            let verdict = match c.verdict {
                Verdict::Pass => "pass",
                Verdict::Fail => "FAIL",
                Verdict::Skipped => "-",
            };
            let off = c.off_ms.map(|ms| format!("{ms} ms")).unwrap_or_default();
            [verdict.to_owned(), c.check.replace('_', " "), c.expected.clone(), c.found.clone(), off]
        });
        let head = ["", "check", "expected", "found", "off by"].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
        let mut width = [0; 5];
        for row in &rows {
            row.iter().zip(&mut width).for_each(|(cell, width)| *width = cell.chars().count().max(*width));
        }
        let audio = if journal.has_audio() { "with" } else { "without" };
        let mut out = format!("{call}: the recording against report and journal ({audio} audio)\n");
        for row in &rows {
            let cells: Vec<_> = row.iter().zip(width).map(|(cell, width)| format!("{cell:width$}")).collect();
            // Writing to a String cannot fail.
            let _ = writeln!(out, "  {}", cells.join("  ").trim_end());
        }
        let failed = self.checks.iter().filter(|c| c.verdict == Verdict::Fail).count();
        let _ = match failed {
            0 => writeln!(out, "all checks pass"),
            n => writeln!(out, "{n} of {} checks fail", self.checks.len()),
        };
        out
    }
}

/// What a recording is held against.
struct Case<'a> {
    journal: &'a Journal,
    report: Option<&'a Report>,
    recorded: &'a Recorded,
    tracks: &'a Tracks,
    replay: &'a Replay,
}

/// Whether turns are the same, but for what a report of before does not tell.
fn same_turns(kept: &[Turn], made: &[Turn]) -> bool {
    let same = |(kept, made): (&Turn, &Turn)| {
        let audible = kept.first_audible_at_ms.and(made.first_audible_at_ms);
        let made = Turn { first_audible_at_ms: audible, latency: kept.latency, ..made.clone() };
        *kept == made
    };
    kept.len() == made.len() && kept.iter().zip(made).all(same)
}

impl Case<'_> {
    fn decisions(&self) -> Check {
        let kept: usize = self.journal.entries.len() - (self.replay.steps.len() - 1);
        let found = match &self.replay.difference {
            None => "the same".to_owned(),
            Some(d) => format!("differ from {} on: see offhook replay", CallTime::from_us(d.at_us)),
        };
        check("decisions", self.replay.difference.is_none(), format!("{kept} kept"), found)
    }

    fn report(&self) -> Check {
        let Some(kept) = self.report else { return skipped("report", "no report.json") };
        let made = &self.replay.report;
        let parts = [
            ("lines", kept.lines == made.lines),
            ("turns", same_turns(&kept.turns, &made.turns)),
            ("interruptions", kept.interruptions == made.interruptions),
            ("gaps", kept.gaps == made.gaps),
            ("keys", kept.keys == made.keys),
            ("tools", kept.tools == made.tools),
            ("usage", kept.usage == made.usage),
            // A call that the server cut off has its end from the server.
            ("end", kept.end == made.end || !self.journal.is_finished()),
        ];
        let differ: Vec<_> = parts.iter().filter(|(_, same)| !same).map(|(name, _)| *name).collect();
        let found = if differ.is_empty() { "the same".to_owned() } else { format!("other {}", differ.join(", ")) };
        check("report", differ.is_empty(), "as the journal replays".to_owned(), found)
    }

    fn format(&self) -> Check {
        let expected = format!("2 channels, 16 bits, {} Hz", self.journal.settings.format.rate_hz);
        let found = self.recorded.format();
        check("format", expected == found, expected, found)
    }

    fn frames(&self) -> Check {
        let Some(account) = self.report.and_then(|r| r.recording.as_ref()) else {
            return skipped("frames", "no account of the recording in the report");
        };
        let found = self.recorded.frames().0;
        let mut expected = account.frames.to_string();
        if let Some(from) = account.missing_from_ms {
            let why = account.error.as_deref().unwrap_or("unknown reason");
            let _ = write!(expected, ", incomplete from {} ({why})", CallTime::from_ms(from));
        }
        check("frames", account.frames == found, expected, found.to_string())
    }

    /// The recording ends where the audio of the journal ends or, padded with silence, where the call does; one that was
    /// cut short by a crash or a full disk may end earlier.
    fn length(&self) -> Check {
        let audio_ms = self.ms(self.tracks.caller.end().max(self.tracks.agent.end()));
        let latest_ms = self.line_ms().or(self.open_ms()).unwrap_or(0).max(audio_ms);
        let found_ms = self.ms(self.recorded.frames());
        let off = audio_ms.saturating_sub(found_ms).max(found_ms.saturating_sub(latest_ms));
        let cut_short = !self.journal.is_finished() || self.missing_from().is_some();
        let pass = off <= DRIFT_MS || (cut_short && found_ms < audio_ms);
        let mut expected = format!("{} to {}", seconds(audio_ms), seconds(latest_ms));
        if cut_short {
            expected.push_str(", cut short");
        }
        times(check("length", pass, expected, seconds(found_ms)), off)
    }

    /// Media cannot last longer than the line was open, by its own clock; and that clock is one.
    fn clock(&self) -> Check {
        let Some(open_ms) = self.open_ms() else { return skipped("clock", "the media stream never started") };
        let line_ms = self.line_ms().unwrap_or(open_ms);
        let found_ms = self.ms(self.tracks.caller.end().max(self.tracks.agent.end()));
        let over = found_ms.saturating_sub(line_ms);
        let believed = line_ms <= open_ms + open_ms / CLOCK_PARTS + CLOCK_AHEAD_MS;
        let pass = over <= DRIFT_MS && believed;
        let expected = match self.skew_ppm() {
            Some(ppm) if ppm != 0 => format!("at most {}, clock {ppm:+} ppm", seconds(line_ms)),
            _ => format!("at most {}", seconds(line_ms)),
        };
        times(check("clock", pass, expected, seconds(found_ms)), over)
    }

    /// Every hole between the caller's first and last audio is listed as a gap, and every listed gap is such a hole.
    fn gaps_listed(&self) -> Check {
        let rate_hz = self.journal.settings.format.rate_hz;
        let listed: &[Gap] = self.report.map_or(&self.replay.report.gaps, |r| &r.gaps);
        let holes: Vec<Gap> = self
            .tracks
            .caller
            .holes()
            .map(|(from, to)| Gap { media_at_ms: from.as_ms(rate_hz), ms: (to - from).as_ms(rate_hz) })
            .collect();
        let near =
            |a: &Gap, b: &Gap| a.media_at_ms.abs_diff(b.media_at_ms) <= DRIFT_MS && a.ms.abs_diff(b.ms) <= DRIFT_MS;
        let end_of_list = match listed.last() {
            Some(last) if listed.len() >= GAPS_LISTED => last.media_at_ms + last.ms,
            _ => u64::MAX,
        };
        let unlisted = holes.iter().find(|hole| {
            hole.ms > DRIFT_MS && hole.media_at_ms < end_of_list && !listed.iter().any(|gap| near(gap, hole))
        });
        let untrue = listed.iter().find(|gap| gap.ms > DRIFT_MS && !holes.iter().any(|hole| near(gap, hole)));
        let total: u64 = listed.iter().map(|g| g.ms).sum();
        let expected = format!("{} listed, {total} ms", listed.len());
        let at = |gap: &Gap| format!("of {} ms at media {}", gap.ms, CallTime::from_ms(gap.media_at_ms));
        let found = match (unlisted, untrue) {
            (Some(hole), _) => format!("an unlisted one {}", at(hole)),
            (None, Some(gap)) => format!("audio in the one {}", at(gap)),
            (None, None) => format!("{} in the journal, {} ms", holes.len(), holes.iter().map(|h| h.ms).sum::<u64>()),
        };
        let off = unlisted.or(untrue).map_or(0, |gap| gap.ms);
        times(check("gaps", unlisted.is_none() && untrue.is_none(), expected, found), off)
    }

    /// The recording has silence where no caller audio came.
    fn gaps_silent(&self) -> Check {
        let drift = self.samples_of(DRIFT_MS);
        let loud = self.tracks.caller.holes().find_map(|(from, to)| {
            let (from, to) = (from + drift, to.saturating_sub(drift).min(self.limit()));
            let index = (from < to).then(|| self.recorded.caller.get(from.0 as usize..to.0 as usize))??;
            let loud = index.iter().position(|&s| s != 0)?;
            Some(from + Samples(loud as u64))
        });
        let found = match loud {
            None => "silent".to_owned(),
            Some(at) => format!("sound at media {}", CallTime::from_ms(self.ms(at))),
        };
        check("gaps_silent", loud.is_none(), "silent".to_owned(), found)
    }

    /// Sample by sample, as far as the recording goes.
    fn samples(&self, name: &'static str, track: &Track, found: &[i16]) -> Check {
        let limit = self.limit().0 as usize;
        let expected = &track.samples[..track.samples.len().min(limit)];
        let pairs = || expected.iter().zip(found).enumerate().filter(|(_, (a, b))| a != b);
        // Beyond what was to be recorded there is nothing but silence.
        let beyond = found.iter().enumerate().take(limit).skip(expected.len()).filter(|(_, s)| **s != 0);
        let first = pairs().map(|(i, _)| i).chain(beyond.clone().map(|(i, _)| i)).next();
        let words = match first {
            None => "the same".to_owned(),
            Some(first) => {
                let at = CallTime::from_ms(self.ms(Samples(first as u64)));
                format!("{} other, the first at media {at}", pairs().count() + beyond.count())
            }
        };
        check(name, first.is_none(), format!("{} samples", track.total().0), words)
    }

    /// Runs of agent sound begin and end where the replay has them.
    fn agent_edges(&self) -> Check {
        let pause = self.samples_of(PAUSE_MS);
        let limit = self.limit();
        let (expected, found) =
            (tracks::runs(&self.tracks.agent.samples, pause, limit), tracks::runs(&self.recorded.agent, pause, limit));
        let edges = |run: &(Samples, Samples)| [self.ms(run.0), self.ms(run.1)];
        let off = expected.iter().flat_map(edges).zip(found.iter().flat_map(edges)).map(|(a, b)| a.abs_diff(b)).max();
        let off = off.unwrap_or(0);
        let pass = expected.len() == found.len() && off <= DRIFT_MS;
        times(check("agent_edges", pass, format!("{} runs", expected.len()), format!("{} runs", found.len())), off)
    }

    /// Agent sound is nowhere but where the replay has agent audio heard.
    fn agent_where_heard(&self) -> Check {
        let pause = self.samples_of(PAUSE_MS);
        let spans = self.tracks.agent.merged(pause);
        let found = tracks::runs(&self.recorded.agent, pause, self.limit());
        let off = |run: &(Samples, Samples)| {
            let outside = |s: &(Samples, Samples)| s.0.saturating_sub(run.0).max(run.1.saturating_sub(s.1));
            spans.iter().map(outside).min().map_or(self.ms(run.1 - run.0), |out| self.ms(out))
        };
        let worst = found.iter().map(off).max().unwrap_or(0);
        let expected = format!("within {} runs of {}", spans.len(), seconds(self.ms(self.tracks.agent.total())));
        times(check("agent_where_heard", worst <= DRIFT_MS, expected, format!("{} runs", found.len())), worst)
    }

    /// What the report says was said can be heard.
    fn lines_audible(&self) -> Check {
        let report = self.report.unwrap_or(&self.replay.report);
        let detected = !matches!(self.journal.settings.turn_detection, TurnDetection::Disabled { .. });
        let limit_ms = self.ms(self.limit());
        let spoken = report.lines.iter().filter(|line| {
            let long = line.media_end_ms.saturating_sub(line.media_at_ms) >= AUDIBLE_MS;
            let known = match line.who {
                Role::Caller => detected,
                Role::Agent => line.heard_ms >= AUDIBLE_MS,
                Role::System => false,
            };
            long && known && !line.text.is_empty() && line.media_end_ms <= limit_ms
        });
        let mut silent = spoken.clone().filter(|line| {
            let channel = if line.who == Role::Caller { &self.recorded.caller } else { &self.recorded.agent };
            let from = self.samples_of(line.media_at_ms).0 as usize;
            let to = self.samples_of(line.media_end_ms).0 as usize;
            channel.get(from..to.min(channel.len())).is_none_or(|s| s.iter().all(|&s| s == 0))
        });
        let expected = format!("{} lines audible", spoken.clone().count());
        match silent.next() {
            None => check("lines", true, expected, "all are".to_owned()),
            Some(line) => {
                let at = CallTime::from_ms(line.media_at_ms);
                check("lines", false, expected, format!("silence where the {} speaks at media {at}", line.who))
            }
        }
    }

    /// How long the line was open; `None` when it never was.
    fn open_ms(&self) -> Option<u64> {
        let (started, ended) = match self.report {
            Some(report) => (report.media_start_at_ms, report.duration_ms),
            None => (self.replay.report.media_start_at_ms, self.journal.length().as_ms()),
        };
        Some(ended.saturating_sub(started?))
    }

    /// The same by the line's clock.
    fn line_ms(&self) -> Option<u64> {
        self.report.map_or(self.replay.report.media_ms, |report| report.media_ms)
    }

    fn skew_ppm(&self) -> Option<i64> {
        self.report.map_or(self.replay.report.line_clock_ppm, |report| report.line_clock_ppm)
    }

    fn missing_from(&self) -> Option<Samples> {
        let from = self.report?.recording.as_ref()?.missing_from_ms?;
        Some(self.samples_of(from))
    }

    /// Up to where the recording can be held against anything.
    fn limit(&self) -> Samples {
        self.recorded.frames().min(self.missing_from().unwrap_or(Samples(u64::MAX)))
    }

    fn ms(&self, samples: Samples) -> u64 {
        samples.as_ms(self.journal.settings.format.rate_hz)
    }

    fn samples_of(&self, ms: u64) -> Samples {
        // Times come from a file: one that is out of this world is the end of it.
        Samples(ms.saturating_mul(u64::from(self.journal.settings.format.rate_hz)) / 1_000)
    }
}

fn check(check: &'static str, pass: bool, expected: String, found: String) -> Check {
    let verdict = if pass { Verdict::Pass } else { Verdict::Fail };
    Check { check, verdict, expected, found, off_ms: None }
}

fn skipped(check: &'static str, why: &str) -> Check {
    Check { check, verdict: Verdict::Skipped, expected: String::new(), found: why.to_owned(), off_ms: None }
}

fn times(check: Check, off_ms: u64) -> Check {
    Check { off_ms: Some(off_ms), ..check }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03} s", ms / 1_000, ms % 1_000)
}
