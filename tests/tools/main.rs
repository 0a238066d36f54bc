//! The tools on a call's folder: replay, explain and verify, over a call in virtual time and over spoiled copies of it.

#![allow(clippy::unwrap_used)] // a panic is the failure report, in helpers too

mod call;
mod heard;
mod migrate;
mod random;
mod tune;

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use call::{BARGE_IN_MS, GAP_MS, folder, tone};
use offhook::base::time::CallTime;
use offhook::config::JournalKeep;
use offhook::engine::EndReason;
use offhook::lab::explain::{self, ExplainArgs, Explanation};
use offhook::lab::journal::{CallFiles, Journal};
use offhook::lab::replay::{self, Replay, ReplayArgs};
use offhook::lab::sim::scenario::settings;
use offhook::lab::verify::{self, Recorded, Verdict, Verification, VerifyArgs};
use offhook::report::Report;

fn replay_args(call: &Path) -> ReplayArgs {
    ReplayArgs { call: call.to_owned(), json: false, quiet: true, report: false, rehear: Default::default() }
}

fn edit_journal(folder: &Path, edit: impl FnOnce(&mut String)) {
    let path = folder.join("journal");
    let mut text = fs::read_to_string(&path).unwrap();
    let before = text.clone();
    edit(&mut text);
    assert_ne!(text, before, "the edit must change something");
    fs::write(path, text).unwrap();
}

fn edit_report(folder: &Path, edit: impl FnOnce(&mut Report)) {
    let path = folder.join("report.json");
    let mut report: Report = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut report);
    fs::write(path, serde_json::to_vec(&report).unwrap()).unwrap();
}

/// Rewrites the recording from its frames (caller, agent).
fn edit_recording(folder: &Path, edit: impl FnOnce(&mut Vec<[i16; 2]>)) {
    let path = folder.join("recording.wav");
    let mut wav = hound::WavReader::open(&path).unwrap();
    let spec = wav.spec();
    let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
    let mut frames: Vec<[i16; 2]> = samples.chunks(2).map(|f| [f[0], f[1]]).collect();
    edit(&mut frames);
    let mut out = hound::WavWriter::create(&path, spec).unwrap();
    frames.iter().flatten().for_each(|s| out.write_sample(*s).unwrap());
    out.finalize().unwrap();
    edit_report(folder, |report| report.recording.as_mut().unwrap().frames = frames.len() as u64);
}

/// The names of the checks that fail, and the exit status that goes with them.
fn failing(folder: &Path) -> Vec<&'static str> {
    let files = CallFiles::load(folder).unwrap();
    let recorded = Recorded::read(&files.recording_path()).unwrap();
    let report = files.report().unwrap();
    let verification = Verification::new(&files.journal, report.as_ref(), &recorded);
    let failed: Vec<_> = verification.checks.iter().filter(|c| c.verdict == Verdict::Fail).map(|c| c.check).collect();
    let status = verify::run_to(&VerifyArgs { call: folder.to_owned(), json: true }, &mut io::sink());
    assert_eq!(status, ExitCode::from(u8::from(!failed.is_empty())));
    failed
}

#[test]
fn a_journal_replays_to_the_same_decisions_with_and_without_audio() {
    for keep in [JournalKeep::Decisions, JournalKeep::Audio] {
        let (_dir, folder) = folder(keep);
        let files = CallFiles::load(&folder).unwrap();
        assert_eq!(files.name(), "a-call");
        let replay = Replay::new(&files.journal);
        assert_eq!(replay.difference, None);
        assert!(replay.is_over && files.journal.is_finished());
        // The report is the same but for what the engine does not know.
        let kept = files.report().unwrap().unwrap();
        let made = Report { call: kept.call.clone(), recording: kept.recording.clone(), ..replay.report };
        assert_eq!(made, kept);
        assert_eq!(kept.interruptions.len(), 1);
        assert_eq!(replay::run_to(&replay_args(&folder), &mut io::sink()), ExitCode::SUCCESS);
        assert_eq!(replay::run_to(&replay_args(&folder.join("journal")), &mut io::sink()), ExitCode::SUCCESS);
    }
}

#[test]
fn a_decision_that_differs_fails_the_replay_at_its_place() {
    let (_dir, folder) = folder(JournalKeep::Decisions);
    edit_journal(&folder, |text| *text = text.replace("BargeIn rule=server_vad", "BargeIn rule=after_ms"));
    let replay = Replay::new(&CallFiles::load(&folder).unwrap().journal);
    let difference = replay.difference.unwrap();
    assert_eq!(difference.at_us, BARGE_IN_MS * 1_000);
    assert!(difference.kept.as_deref().unwrap().starts_with("BargeIn rule=after_ms"));
    assert!(difference.replayed.as_deref().unwrap().starts_with("BargeIn rule=server_vad"));
    assert_eq!(difference.input.as_deref(), Some("model speech_started item=u1 audio_start_ms=1600"));
    let shown = difference.to_string();
    assert!(
        shown.contains("\n- 00:02.600 BargeIn rule=after_ms")
            && shown.contains("\n+ 00:02.600 BargeIn rule=server_vad")
    );
    assert_eq!(replay::run_to(&replay_args(&folder), &mut io::sink()), ExitCode::from(1));
}

#[test]
fn a_changed_input_is_found_by_its_consequences() {
    let (_dir, folder) = folder(JournalKeep::Decisions);
    edit_journal(&folder, |text| *text = text.replace("\"audio_start_ms\":1600", "\"audio_start_ms\":1100"));
    let difference = Replay::new(&CallFiles::load(&folder).unwrap().journal).difference.unwrap();
    assert!(difference.kept.unwrap().starts_with("SpeechStarted"));
}

#[test]
fn a_call_whose_server_was_killed_gets_its_report() {
    let (_dir, folder) = folder(JournalKeep::Decisions);
    let whole = CallFiles::load(&folder).unwrap().report().unwrap().unwrap();
    let path = folder.join("journal");
    let bytes = fs::read(&path).unwrap();
    let cut = bytes.len() * 2 / 3;
    // In the middle of a line.
    let cut = cut - usize::from(bytes[cut - 1] == b'\n');
    fs::write(&path, &bytes[..cut]).unwrap();
    fs::remove_file(folder.join("report.json")).unwrap();
    assert!(CallFiles::load(&folder).unwrap().journal.torn);
    let args = ReplayArgs { report: true, json: true, ..replay_args(&folder) };
    assert_eq!(replay::run_to(&args, &mut io::sink()), ExitCode::SUCCESS);
    let report = CallFiles::load(&folder).unwrap().report().unwrap().unwrap();
    assert_eq!(report.call, "a-call");
    assert_eq!(report.interruptions, whole.interruptions);
    assert!(report.duration_ms < whole.duration_ms);
    assert_eq!(report.recording.unwrap().frames, whole.recording.unwrap().frames);
    // A report that is there is never written over.
    edit_report(&folder, |report| report.agent = "kept".into());
    assert_eq!(replay::run_to(&args, &mut io::sink()), ExitCode::SUCCESS);
    assert_eq!(CallFiles::load(&folder).unwrap().report().unwrap().unwrap().agent, "kept");
}

#[test]
fn what_cannot_be_used_says_what_to_do() {
    let (dir, folder) = folder(JournalKeep::Off);
    let message = |path: &Path| CallFiles::load(path).unwrap_err().to_string();
    // With the journal off the pen writes nothing, and the server makes no file of it.
    fs::remove_file(folder.join("journal")).unwrap();
    assert!(message(&folder).contains("keep.journal"));
    assert!(message(&dir.path().join("nobody")).contains("no such call"));
    fs::write(folder.join("journal"), "{\"offhook_journal\":7,\"settings\":{}}\n").unwrap();
    assert!(message(&folder).ends_with("journal:1: a journal of version 7; this offhook reads version 1"));
    for status in [
        replay::run_to(&replay_args(&folder), &mut io::sink()),
        verify::run_to(&VerifyArgs { call: folder.clone(), json: false }, &mut io::sink()),
        explain::run_to(
            &ExplainArgs { call: folder.clone(), moment: "1".into(), window: 1_000, json: false },
            &mut io::sink(),
        ),
    ] {
        assert_eq!(status, ExitCode::from(2));
    }
}

#[test]
fn a_call_without_recording_cannot_be_verified() {
    let (_dir, folder) = folder(JournalKeep::Decisions);
    fs::remove_file(folder.join("recording.wav")).unwrap();
    assert!(Recorded::read(&folder.join("recording.wav")).unwrap_err().contains("keep.recording"));
    assert_eq!(verify::run_to(&VerifyArgs { call: folder, json: false }, &mut io::sink()), ExitCode::from(2));
}

#[test]
fn an_untouched_call_passes_all_checks() {
    for keep in [JournalKeep::Decisions, JournalKeep::Audio] {
        let (_dir, folder) = folder(keep);
        assert_eq!(failing(&folder), [""; 0]);
    }
}

#[test]
fn a_latency_ends_where_the_recording_has_the_answers_first_sound() {
    let (_dir, folder) = folder(JournalKeep::Audio);
    let report = CallFiles::load(&folder).unwrap().report().unwrap().unwrap();
    let turn = report.turns.iter().find(|turn| turn.latency.waited_ms.is_some()).unwrap();
    let mut wav = hound::WavReader::open(folder.join("recording.wav")).unwrap();
    let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
    let media_start_ms = report.media_start_at_ms.unwrap();
    let from = (turn.commit_at_ms.unwrap() - media_start_ms) as usize * 8;
    let sound = samples.chunks(2).enumerate().skip(from).find(|(_, frame)| frame[1] != 0).unwrap().0;
    let (audible_ms, sound_ms) = (turn.first_audible_at_ms.unwrap(), media_start_ms + sound as u64 / 8);
    // The recording has it where it was sent; this line takes 20 ms each way, and marks tell both.
    assert!((sound_ms..=sound_ms + 45).contains(&audible_ms), "told at {audible_ms} ms, recorded at {sound_ms} ms");
    assert_eq!(turn.latency.waited_ms, Some(audible_ms - turn.speech_end_at_ms.unwrap()));
    assert!(turn.first_heard_at_ms.unwrap() > audible_ms, "a mark comes back after what it stands behind");
    // A report of before this was told is no worse.
    edit_report(&folder, |report| {
        for turn in &mut report.turns {
            (turn.first_audible_at_ms, turn.latency) = Default::default();
        }
    });
    assert_eq!(failing(&folder), Vec::<&str>::new());
}

#[test]
fn a_journal_that_lacks_lines_is_read_and_said_to() {
    let (_dir, folder) = folder(JournalKeep::Decisions);
    edit_journal(&folder, |text| {
        let at = text.find("{\"at_us\":3000").unwrap();
        text.insert_str(at, &offhook::lab::journal::lost_line(CallTime::from_ms(2_990), 412));
    });
    let files = CallFiles::load(&folder).unwrap();
    assert_eq!(files.journal.lost, [offhook::lab::journal::Lost { from: CallTime::from_ms(2_990), lines: 412 }]);
    let mut said = Vec::new();
    replay::run_to(&replay_args(&folder), &mut said);
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("lacks 412 lines from 00:02.990 on"), "{said}");
}

#[test]
fn drift_fails_and_up_to_20_ms_of_it_does_not() {
    for keep in [JournalKeep::Decisions, JournalKeep::Audio] {
        let (_dir, moved) = folder(keep);
        // The agent 40 ms late.
        let late = |frames: &mut Vec<[i16; 2]>, by: usize| {
            let agent: Vec<i16> = frames.iter().map(|f| f[1]).collect();
            for (i, frame) in frames.iter_mut().enumerate() {
                frame[1] = i.checked_sub(by).map_or(0, |j| agent[j]);
            }
        };
        edit_recording(&moved, |frames| late(frames, 320));
        let check = if keep == JournalKeep::Audio { "agent_edges" } else { "agent_where_heard" };
        assert!(failing(&moved).contains(&check), "{:?}", failing(&moved));
        let (_dir, within) = folder(keep);
        edit_recording(&within, |frames| late(frames, 120));
        assert!(!failing(&within).contains(&check), "{:?}", failing(&within));
    }
    for frames in [-800_i64, 800] {
        let (_dir, folder) = folder(JournalKeep::Decisions);
        edit_recording(&folder, |f| f.resize((f.len() as i64 + frames) as usize, [0; 2]));
        assert_eq!(failing(&folder), ["length"]);
    }
}

#[test]
fn an_unlisted_gap_fails_and_so_does_a_listed_one_that_is_none() {
    let (_dir, unlisted) = folder(JournalKeep::Decisions);
    edit_report(&unlisted, |report| {
        assert_eq!(report.gaps.len(), 1);
        assert_eq!((report.gaps[0].media_at_ms, report.gaps[0].ms), (GAP_MS.0, GAP_MS.1 - GAP_MS.0));
        report.gaps.clear();
    });
    assert_eq!(failing(&unlisted), ["report", "gaps"]);
    let (_dir, untrue) = folder(JournalKeep::Decisions);
    edit_report(&untrue, |report| report.gaps[0].media_at_ms -= 1_000);
    assert_eq!(failing(&untrue), ["report", "gaps"]);
    let (_dir, loud) = folder(JournalKeep::Decisions);
    edit_recording(&loud, |frames| frames[(GAP_MS.0 as usize + 100) * 8][0] = 1_000);
    assert_eq!(failing(&loud), ["gaps_silent"]);
}

#[test]
fn with_audio_a_single_lost_frame_is_found_and_true_silence_is_none() {
    let (_dir, folder) = folder(JournalKeep::Audio);
    edit_recording(&folder, |frames| frames[2_200 * 8..2_220 * 8].iter_mut().for_each(|f| f[0] = 0));
    assert_eq!(failing(&folder), ["caller_audio"]);
}

#[test]
fn a_voice_that_is_missing_is_found_without_audio_too() {
    for (side, check) in [(0, "the caller"), (1, "the agent")] {
        let (_dir, folder) = folder(JournalKeep::Decisions);
        edit_recording(&folder, |frames| frames.iter_mut().for_each(|f| f[side] = 0));
        assert_eq!(failing(&folder), ["lines"], "{check}");
    }
    let (_dir, folder) = folder(JournalKeep::Decisions);
    let noise = tone(800, 3);
    // Where the agent says nothing.
    edit_recording(&folder, |frames| {
        frames[7_500 * 8..7_600 * 8].iter_mut().zip(&noise).for_each(|(f, n)| f[1] = i16::from(*n) * 50);
    });
    assert_eq!(failing(&folder), ["agent_where_heard"]);
}

#[test]
fn a_recording_of_a_killed_server_may_end_early() {
    let (_dir, folder) = folder(JournalKeep::Audio);
    edit_recording(&folder, |frames| frames.truncate(frames.len() / 2));
    fs::remove_file(folder.join("report.json")).unwrap();
    let path = folder.join("journal");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() * 3 / 4]).unwrap();
    assert_eq!(failing(&folder), [""; 0]);
}

#[test]
fn a_call_that_the_server_cut_off_has_its_end_from_the_server() {
    let (_dir, folder) = folder(JournalKeep::Audio);
    edit_report(&folder, |report| report.end = EndReason::Shutdown);
    assert_eq!(failing(&folder), ["report"]);
    edit_journal(&folder, |text| {
        let hung_up = text.find("{\"at_us\":9000000,\"in\":\"hung_up\"").unwrap();
        text.truncate(hung_up);
    });
    let made = Replay::new(&CallFiles::load(&folder).unwrap().journal).report;
    edit_report(&folder, |report| {
        let (recording, end) = (report.recording.take(), report.end.clone());
        *report = Report { recording, end, ..made };
    });
    assert_eq!(failing(&folder), [""; 0]);
}

#[test]
fn a_recording_that_lacks_its_end_by_its_own_account_is_held_to_what_it_has() {
    let (_dir, folder) = folder(JournalKeep::Audio);
    edit_recording(&folder, |frames| frames.truncate(4_000 * 8));
    edit_report(&folder, |report| {
        let account = report.recording.as_mut().unwrap();
        account.missing_from_ms = Some(4_000);
        account.error = Some("the disk is full".into());
    });
    assert_eq!(failing(&folder), [""; 0]);
    edit_report(&folder, |report| report.recording.as_mut().unwrap().missing_from_ms = None);
    assert_eq!(failing(&folder), ["length"]);
}

#[test]
fn explain_names_the_rule_its_evidence_and_the_setting() {
    let (_dir, folder) = folder(JournalKeep::Decisions);
    let journal = CallFiles::load(&folder).unwrap().journal;
    let explanation = Explanation::new("a-call", &journal, CallTime::from_ms(BARGE_IN_MS + 30), 500);
    assert!(explanation.replays_alike);
    let nearest = &explanation.decisions[0];
    assert_eq!((nearest.at_ms, nearest.off_ms), (BARGE_IN_MS, -30));
    assert_eq!(nearest.input.as_deref(), Some("model speech_started item=u1 audio_start_ms=1600"));
    let rule = nearest.rules.iter().find(|r| r.decision == "BargeIn").unwrap();
    assert_eq!(rule.rule, "server_vad");
    let setting = &rule.settings[0];
    assert_eq!((setting.key, setting.value.as_str()), ("interruptions", "\"on\""));
    assert_eq!(setting.file, "agents/reception.toml");
    // What it rests on came before it, in order, and names what the agent was at.
    assert!(nearest.evidence.iter().all(|e| e.at_ms <= BARGE_IN_MS));
    assert!(nearest.evidence.is_sorted_by_key(|e| e.at_ms));
    assert!(nearest.evidence.iter().any(|e| e.what.starts_with("AgentStarted item=a1")));
    assert!(nearest.evidence.iter().any(|e| e.what.starts_with("caller mark g0-")));
    // Further ones are farther away.
    assert!(explanation.decisions.iter().is_sorted_by_key(|d| d.off_ms.abs()));
    assert!(explanation.decisions.iter().all(|d| d.off_ms.abs() <= 500));
}

#[test]
fn explain_points_to_the_nearest_decision_when_there_is_none_here() {
    let (_dir, folder) = folder(JournalKeep::Decisions);
    let journal: Journal = CallFiles::load(&folder).unwrap().journal;
    let explanation = Explanation::new("a-call", &journal, CallTime::from_ms(8_000), 50);
    assert!(explanation.decisions.is_empty());
    // The end of the gap at 06:500 of media, half a second into the call, or the end of the call.
    assert!(
        explanation
            .nearest
            .unwrap()
            .decided
            .iter()
            .any(|line| line.starts_with("GapFilled") || line.starts_with("End"))
    );
    let args = |moment: &str| ExplainArgs { call: folder.clone(), moment: moment.into(), window: 50, json: true };
    assert_eq!(explain::run_to(&args("00:08"), &mut io::sink()), ExitCode::SUCCESS);
    assert_eq!(explain::run_to(&args("00:09.001"), &mut io::sink()), ExitCode::from(2));
}

#[test]
fn the_texts_say_what_the_values_say() {
    let (_dir, folder) = folder(JournalKeep::Audio);
    let text = |run: &dyn Fn(&mut Vec<u8>) -> ExitCode| {
        let mut out = Vec::new();
        run(&mut out);
        String::from_utf8(out).unwrap()
    };
    let trace = text(&|out| replay::run_to(&ReplayArgs { quiet: false, ..replay_args(&folder) }, out));
    // It names the revision that the call ran by.
    let revision = settings().revision;
    let announced = format!("00:00.000 Announced deployment=main-number agent=reception revision={revision}\n");
    assert!(trace.starts_with(&announced), "{trace}");
    assert!(trace.contains("\n00:00.000 ModelDialled attempt=1\n00:00.000 model dial\n"));
    assert!(trace.contains("\n00:02.600 BargeIn rule=server_vad heard_ms="));
    assert!(
        trace.ends_with("\n00:09.000 End caller_hung_up\na-call: the same 98 decisions on 503 inputs in 00:09.000\n")
    );
    let quiet = text(&|out| replay::run_to(&replay_args(&folder), out));
    assert_eq!(quiet.lines().count(), 1);

    let args = ExplainArgs { call: folder.clone(), moment: "2.63".into(), window: 100, json: false };
    let explained = text(&|out| explain::run_to(&args, out));
    for line in [
        "a-call: 00:02.630 of 00:09.000, 100 ms to each side",
        "00:02.600 (30 ms before)",
        "  on        model speech_started item=u1 audio_start_ms=1600",
        "  before    00:02.580 (20 ms ago) caller mark g0-17",
        "  rule      BargeIn server_vad: caller speech stops the agent at once",
        "  setting   interruptions = \"on\" (agents/reception.toml)",
    ] {
        assert!(explained.lines().any(|l| l == line), "{line}\n{explained}");
    }

    edit_recording(&folder, |frames| frames[2_200 * 8..2_220 * 8].iter_mut().for_each(|f| f[0] = 0));
    let table = text(&|out| verify::run_to(&VerifyArgs { call: folder.clone(), json: false }, out));
    assert!(table.contains("\n  FAIL  caller audio  63840 samples  "), "{table}");
    assert!(table.contains("160 other, the first at media 00:02.200"));
    assert!(table.ends_with("\n1 of 12 checks fail\n"));
}
