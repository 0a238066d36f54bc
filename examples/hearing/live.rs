//! Interruptions and turn ends of whole calls.

use offhook::base::time::Samples;
use offhook::ears::turn::TurnEvent;
use offhook::ears::turn::score::{LOST_AFTER_MS, Summary, percentile, score};
use offhook::lab::tune::corpus::{Condition, LabelledClip};
use offhook::lab::tune::measure::Case;
use serde_json::{Value, json};

use crate::calls::{self, Call, FRAME, FRAME_MS, Trial, agent_audio, settings, track};
use crate::{RATE_HZ, babble_bed};

/// Silence before each clip. Several, so that speech begins anywhere in a frame and in a step of the detection.
const LEADS_MS: [u64; 8] = [600, 621, 642, 663, 684, 705, 726, 747];
/// The agent begins this long before the caller or the noise, where there is room ...
const AGENT_BEFORE_MS: u64 = 1_500;
/// ... and this long after what the caller said before.
const AGENT_AFTER_MS: u64 = 350;
/// Labels are this exact.
const EARLY_MS: u64 = 40;
/// A caller is followed for this long.
const FOLLOWED_MS: u64 = 2_500;
/// A distractor may be answered for this long.
const ANSWERED_MS: u64 = 1_200;

/// A row's name and clips.
type Row = (String, Box<dyn Fn(&LabelledClip) -> bool>);

fn conditions(clips: &[LabelledClip], of: impl Fn(&LabelledClip) -> bool) -> Vec<Row> {
    let mut conditions: Vec<Condition> = clips.iter().filter(|c| of(c)).map(|c| c.condition).collect();
    conditions.sort_by_key(|c| match c {
        Condition::Call => (0, 0),
        Condition::Recording => (1, 0),
        Condition::Mix { snr_db } => (2, -snr_db),
        _ => (3, 0),
    });
    conditions.dedup();
    let row = |c: Condition| -> Row {
        let name = if c == Condition::Other { "fixtures".to_owned() } else { c.to_string() };
        (name, Box::new(move |clip| clip.condition == c))
    };
    conditions.into_iter().map(row).collect()
}

fn is_speech(clip: &LabelledClip) -> bool {
    !clip.coarse() && !clip.speech.is_empty() && clip.condition != Condition::Noise
}

/// What became of callers who begin to speak while the agent does.
#[derive(Default)]
struct BargeIns {
    /// From the first audible speech to the line's clear.
    ms: Vec<i64>,
    /// No clear in time.
    lost: usize,
    /// Cleared already before the caller spoke.
    early: usize,
    /// The agent was stopped for good.
    finals: usize,
    /// It went on: speech too short, or a pause after it.
    resumed: usize,
    /// Turns that still ran, or the agent was not heard.
    left_out: usize,
    /// The latest: clip, where, ms.
    worst: Vec<(String, u64, i64)>,
}

/// Prints how soon the line is cleared for a caller who begins to speak.
pub(crate) fn barge_in(clips: &[LabelledClip], trial: Trial) -> Value {
    say(
        trial.as_json,
        "\nBarge-in, in ms from the caller's first audible speech to the line's clear; the agent is speaking",
    );
    say(
        trial.as_json,
        &head(&[
            "callers",
            "p50",
            "p90",
            "p95",
            "p99",
            "max",
            "lost",
            "too early",
            "for good",
            "went on",
            "not scored",
        ]),
    );
    let mut rows: Vec<Row> = conditions(clips, is_speech);
    rows.push(("without noise added".to_owned(), Box::new(|c| !matches!(c.condition, Condition::Mix { .. }))));
    rows.push(("all".to_owned(), Box::new(|_| true)));
    let scored: Vec<(&LabelledClip, BargeIns)> = clips
        .iter()
        .filter(|c| is_speech(c))
        .map(|clip| {
            let mut found = BargeIns::default();
            let case = Case::new(clip.clone());
            for onset_ms in case.truth.onsets_ms() {
                LEADS_MS.iter().for_each(|lead| one_barge_in(clips, clip, onset_ms, *lead, trial, &mut found));
            }
            (clip, found)
        })
        .collect();
    let mut out = serde_json::Map::new();
    for (name, of) in rows {
        let mut all = BargeIns::default();
        for (_, found) in scored.iter().filter(|(clip, _)| of(clip)) {
            all.ms.extend(&found.ms);
            all.lost += found.lost;
            all.early += found.early;
            all.finals += found.finals;
            all.resumed += found.resumed;
            all.left_out += found.left_out;
            all.worst.extend(found.worst.iter().cloned());
        }
        // Who was lost waited without end.
        let mut ms = all.ms.clone();
        ms.resize(ms.len() + all.lost, i64::MAX);
        let at = |p: f64| percentile(&ms, p).filter(|ms| *ms < i64::MAX);
        let cells =
            [ms.len().to_string(), cell(at(50.0)), cell(at(90.0)), cell(at(95.0)), cell(at(99.0)), cell(at(100.0))];
        let counts = [all.lost, all.early, all.finals, all.resumed, all.left_out].map(|n| n.to_string());
        say(trial.as_json, &line(&name, &[&cells[..], &counts[..]].concat()));
        let body = json!({
            "callers": ms.len(), "p50": at(50.0), "p90": at(90.0), "p95": at(95.0), "p99": at(99.0), "max": at(100.0),
            "lost": all.lost, "early": all.early, "for_good": all.finals, "went_on": all.resumed, "left_out": all.left_out,
        });
        out.insert(name.clone(), body);
        if name == "all" {
            all.worst.sort_by_key(|(.., ms)| -ms);
            all.worst.dedup_by(|a, b| a.0 == b.0 && a.1 == b.1);
            let worst = all.worst.iter().take(16).map(|(clip, at, ms)| match *ms {
                i64::MAX => format!("{clip}@{at} lost"),
                ms => format!("{clip}@{at} {ms}"),
            });
            say(trial.as_json, &format!("the latest: {}", worst.collect::<Vec<_>>().join(", ")));
        }
    }
    Value::Object(out)
}

fn one_barge_in(
    clips: &[LabelledClip],
    clip: &LabelledClip,
    onset_ms: u64,
    lead_ms: u64,
    trial: Trial,
    found: &mut BargeIns,
) {
    let track = track(clip, lead_ms, FOLLOWED_MS);
    let before = clip.speech.iter().map(|s| s.span.end_ms).filter(|end| *end <= onset_ms).max();
    let (mut call, begun) = Call::greeted(clips, clip, trial);
    let lead_ms = begun + lead_ms;
    let onset = lead_ms + onset_ms;
    let agent_from =
        before.map_or(begun, |end| lead_ms + end + AGENT_AFTER_MS).max(onset.saturating_sub(AGENT_BEFORE_MS));
    let agent = agent_audio(clips, &clip.name, onset - agent_from + FOLLOWED_MS);
    let mut spoke = false;
    for frame in track.chunks_exact(FRAME) {
        let now = call.now_ms();
        if now >= agent_from && !spoke {
            call.agent_speaks(&agent);
            spoke = true;
        }
        if now + FRAME_MS > onset && now <= onset {
            let early = call.clears_ms().any(|at| at >= agent_from && at + EARLY_MS < onset);
            if early {
                found.early += 1;
                return;
            }
            if call.caller_speaks() || !call.agent_is_heard(now) {
                found.left_out += 1;
                return;
            }
        }
        if now > onset + FOLLOWED_MS {
            break;
        }
        call.frame(frame);
    }
    let clear = call.clears_ms().find(|at| at + EARLY_MS >= onset && *at <= onset + LOST_AFTER_MS);
    let ms = clear.map_or(i64::MAX, |at| at as i64 - onset as i64);
    found.worst.push((clip.name.clone(), onset_ms, ms));
    let Some(at) = clear else {
        found.lost += 1;
        return;
    };
    found.ms.push(ms);
    let after = call.since(at);
    found.finals += usize::from(after.finals > 0);
    found.resumed += usize::from(after.finals == 0 && after.resumed > 0);
}

/// Prints how soon turns are committed.
pub(crate) fn turn_ends(clips: &[LabelledClip], trial: Trial) -> Value {
    let mut out = serde_json::Map::new();
    for silence_ms in [200, 500] {
        say(
            trial.as_json,
            &format!(
                "\nTurn ends, in ms from the last audible speech to the commit, less the silence of {silence_ms} ms"
            ),
        );
        say(
            trial.as_json,
            &head(&["turns", "p50", "p90", "p99", "p50 by label", "cut-offs", "missed", "false starts", "commits"]),
        );
        let mut rows: Vec<Row> = conditions(clips, is_speech);
        rows.push(("all".to_owned(), Box::new(|_| true)));
        let scored: Vec<_> = clips
            .iter()
            .filter(|c| is_speech(c))
            .map(|clip| {
                let mut scores = Vec::new();
                let mut from_labels = Vec::new();
                let mut commits = 0;
                for lead_ms in LEADS_MS.iter().step_by(2).map(|lead| lead + 1_000) {
                    let mut call = Call::begin(settings(silence_ms, trial));
                    track(clip, lead_ms, 1_500).chunks_exact(FRAME).for_each(|frame| call.frame(frame));
                    // The score counts from the clip's start.
                    let lead = Samples::from_ms(lead_ms, RATE_HZ);
                    let events: Vec<_> = call.turn_events().into_iter().map(|(at, e)| earlier(at, e, lead)).collect();
                    let mut truth = Case::new(clip.clone()).truth;
                    scores.push(score(&truth, &events, RATE_HZ));
                    truth.turns.iter_mut().for_each(|turn| turn.audible_end_ms = turn.span.end_ms);
                    from_labels.extend(score(&truth, &events, RATE_HZ).end_delays_ms);
                    commits += call.commits();
                }
                (clip, scores, from_labels, commits)
            })
            .collect();
        let mut body = serde_json::Map::new();
        for (name, of) in rows {
            let mut all = Summary::default();
            let (mut from_labels, mut commits) = (Vec::new(), 0);
            for (_, scores, ends, n) in scored.iter().filter(|(clip, ..)| of(clip)) {
                scores.iter().for_each(|score| all += score);
                from_labels.extend(ends);
                commits += n;
            }
            let at = |p| percentile(&all.end_delays_ms, p).map(|ms| ms - i64::from(silence_ms));
            let labelled = percentile(&from_labels, 50.0).map(|ms| ms - i64::from(silence_ms));
            let cells = [all.turns.to_string(), cell(at(50.0)), cell(at(90.0)), cell(at(99.0)), cell(labelled)];
            let counts = [all.cut_offs, all.missed, all.false_starts, commits as u64].map(|n| n.to_string());
            say(trial.as_json, &line(&name, &[&cells[..], &counts[..]].concat()));
            let row = json!({
                "turns": all.turns, "p50_from_label": labelled, "p50": at(50.0), "p90": at(90.0), "p99": at(99.0),
                "cut_offs": all.cut_offs, "missed": all.missed, "false_starts": all.false_starts, "commits": commits,
            });
            body.insert(name, row);
        }
        out.insert(silence_ms.to_string(), Value::Object(body));
    }
    Value::Object(out)
}

/// The same counted from `lead`.
fn earlier(at: Samples, event: TurnEvent, lead: Samples) -> (Samples, TurnEvent) {
    let less = |at: Samples| at.saturating_sub(lead);
    let event = match event {
        TurnEvent::Started { at } => TurnEvent::Started { at: less(at) },
        TurnEvent::Paused { at } => TurnEvent::Paused { at: less(at) },
        TurnEvent::Resumed { at } => TurnEvent::Resumed { at: less(at) },
        TurnEvent::Ended { at, rule } => TurnEvent::Ended { at: less(at), rule },
    };
    (less(at), event)
}

/// Prints how often an agent is interrupted by what is no speech.
pub(crate) fn false_interruptions(clips: &[LabelledClip], trial: Trial) -> Value {
    say(trial.as_json, "\nFalse interruptions while the agent speaks");
    say(trial.as_json, &head(&["sounds", "seconds", "cleared", "for good", "went on"]));
    let mut out = serde_json::Map::new();
    let mut print = |name: &str, sounds: usize, ms: u64, seen: calls::Interruptions| {
        let cells = [sounds, ms as usize / 1_000, seen.holds, seen.finals, seen.resumed].map(|n| n.to_string());
        say(trial.as_json, &line(name, &cells));
        let row = json!({
            "sounds": sounds, "seconds": ms / 1_000, "cleared": seen.holds, "for_good": seen.finals, "went_on": seen.resumed,
        });
        out.insert(name.to_owned(), row);
    };
    let mut kinds: Vec<(bool, String)> = clips
        .iter()
        .filter(|c| !c.coarse())
        .flat_map(|c| c.distractors.iter().map(|d| (c.condition != Condition::Call, d.kind.clone())))
        .collect();
    kinds.sort();
    kinds.dedup();
    for (elsewhere, kind) in kinds {
        let (mut sounds, mut ms, mut seen) = (0, 0, calls::Interruptions::default());
        for clip in clips.iter().filter(|c| !c.coarse() && (c.condition != Condition::Call) == elsewhere) {
            for distractor in clip.distractors.iter().filter(|d| d.kind == kind) {
                for lead_ms in LEADS_MS {
                    let here = one_distractor(clips, clip, (distractor.start_ms, distractor.end_ms), lead_ms, trial);
                    let Some((here, window_ms)) = here else { continue };
                    sounds += 1;
                    ms += window_ms;
                    seen += here;
                }
            }
        }
        print(&format!("{}: {kind}", if elsewhere { "elsewhere" } else { "calls" }), sounds, ms, seen);
    }
    for babble in [false, true] {
        let (mut sounds, mut ms, mut seen) = (0, 0, calls::Interruptions::default());
        for clip in clips.iter().filter(|c| c.condition == Condition::Noise && babble_bed(c) == babble) {
            for lead_ms in LEADS_MS {
                let mut call = Call::begin(settings(200, trial));
                call.agent_speaks(&agent_audio(clips, &clip.name, lead_ms + clip.duration_ms()));
                track(clip, lead_ms, 0).chunks_exact(FRAME).for_each(|frame| call.frame(frame));
                sounds += 1;
                ms += clip.duration_ms();
                seen += call.since(0);
            }
        }
        print(if babble { "bed of babble" } else { "noise beds" }, sounds, ms, seen);
    }
    Value::Object(out)
}

impl std::ops::AddAssign for calls::Interruptions {
    fn add_assign(&mut self, other: Self) {
        self.holds += other.holds;
        self.finals += other.finals;
        self.resumed += other.resumed;
    }
}

/// The agent speaks over this sound, up to the caller's next word; `None` where the caller speaks too.
fn one_distractor(
    clips: &[LabelledClip],
    clip: &LabelledClip,
    (start_ms, end_ms): (u64, u64),
    lead_ms: u64,
    trial: Trial,
) -> Option<(calls::Interruptions, u64)> {
    let before = clip.speech.iter().filter(|s| s.span.start_ms < end_ms).map(|s| s.span.end_ms).max();
    let after = clip.speech.iter().map(|s| s.span.start_ms).filter(|at| *at >= end_ms).min();
    let agent_from = before.map_or(0, |end| end + AGENT_AFTER_MS).max(start_ms.saturating_sub(AGENT_BEFORE_MS));
    // The agent answers within a fraction of a second: what comes sooner after speech is heard without it.
    let until = after.unwrap_or(u64::MAX).min(end_ms + ANSWERED_MS);
    if agent_from >= start_ms {
        return None;
    }
    let (mut call, begun) = Call::greeted(clips, clip, trial);
    let track = track(clip, lead_ms, 1_500);
    let lead_ms = begun + lead_ms;
    let mut spoke = false;
    for frame in track.chunks_exact(FRAME) {
        if call.now_ms() >= lead_ms + until {
            break;
        }
        if call.now_ms() >= lead_ms + agent_from && !spoke {
            call.agent_speaks(&agent_audio(clips, &clip.name, until - agent_from + 1_000));
            spoke = true;
        }
        call.frame(frame);
    }
    Some((call.since(lead_ms + agent_from), until - agent_from))
}

pub(crate) fn say(as_json: bool, text: &str) {
    if !as_json {
        println!("{text}");
    }
}

pub(crate) fn head(names: &[&str]) -> String {
    line("", &names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>())
}

pub(crate) fn line(name: &str, cells: &[String]) -> String {
    let cells: String = cells.iter().map(|cell| format!("{cell:>13}")).collect();
    format!("{name:<24}{cells}")
}

pub(crate) fn cell(ms: Option<i64>) -> String {
    ms.map_or_else(|| "–".to_owned(), |ms| ms.to_string())
}
