//! Calls in which the server's own ears decide: told by the journal, and heard again under other settings.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use offhook::base::time::CallTime;
use offhook::config::{JournalKeep, Shadow, TurnDetection, TurnSettings, VadEngine};
use offhook::engine::*;
use offhook::lab::explain::{self, ExplainArgs, Explanation};
use offhook::lab::journal::{CallFiles, Kind};
use offhook::lab::replay::{self, RehearArgs, Rehearing, Replay, ReplayArgs};
use offhook::lab::sim::scenario::settings;

use crate::call::{record_script, tone};

/// The caller speaks between these, in media time: two turns by a silence of 200 ms, a word over the agent, and more than
/// a word.
const SPEECH_MS: [(u64, u64); 4] = [(1_000, 1_600), (1_900, 2_500), (5_000, 5_300), (6_000, 7_200)];
const STARTED_MS: u64 = 500;

fn audio(len: usize, seed: usize) -> &'static [u8] {
    // For as long as the test runs.
    Box::leak(tone(len, seed).into_boxed_slice())
}

/// Such a call, in a folder.
pub(crate) fn folder(keep: JournalKeep, shadows: Vec<Shadow>) -> (tempfile::TempDir, PathBuf) {
    let mut script = vec![(300, Input::Model(ModelEvent::Ready { session: "s1".into(), turns: None }))];
    script.push((STARTED_MS, Input::Caller(CallerEvent::Started)));
    for media in (0..9_000).step_by(20) {
        let speaking = SPEECH_MS.iter().any(|(from, to)| (*from..*to).contains(&media));
        let payload = if speaking { audio(160, media as usize) } else { &[0xFF; 160] };
        script.push((STARTED_MS + media + 20, Input::Caller(CallerEvent::Audio { at_ms: media, payload })));
    }
    // The answer to the first turn is overtaken by the second.
    let usage = Usage::default();
    let overtaken = ResponseStatus::Cancelled;
    script.push((2_350, Input::Model(ModelEvent::ResponseStarted { response: "r0".into() })));
    let done = ModelEvent::ResponseDone {
        response: "r0".into(),
        status: overtaken,
        detail: None,
        usage,
        fatal: false,
        retry_after_ms: None,
    };
    script.push((2_700, Input::Model(done)));
    script.push((3_600, Input::Model(ModelEvent::ResponseStarted { response: "r1".into() })));
    for i in 0..25 {
        let event = ModelEvent::Audio { response: "r1".into(), item: "a1".into(), payload: audio(1_600, i as usize) };
        script.push((3_650 + i * 40, Input::Model(event)));
    }
    let status = ResponseStatus::Completed;
    let done = ModelEvent::ResponseDone {
        response: "r1".into(),
        status,
        detail: None,
        usage,
        fatal: false,
        retry_after_ms: None,
    };
    script.push((4_700, Input::Model(done)));
    script.push((STARTED_MS + 9_020, Input::Caller(CallerEvent::HungUp)));
    script.sort_by_key(|(at, _)| *at);
    let script: Vec<_> = script.into_iter().map(|(at, input)| (CallTime::from_ms(at), input)).collect();

    let mut settings = settings();
    // The cheap engine: these are tones, not speech.
    settings.turn_detection =
        TurnDetection::Local(TurnSettings { engine: VadEngine::Energy, ..TurnSettings::default() });
    settings.shadows = shadows;
    // Nobody writes these tones down: length decides.
    settings.transcribed = false;
    settings.echo_guard = false;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("a-call");
    fs::create_dir(&folder).unwrap();
    record_script(&folder, keep, settings, &script);
    (dir, folder)
}

fn rehear(folder: &Path, set: &[&str]) -> Rehearing {
    let set = set.iter().map(|s| (*s).to_owned()).collect();
    let args = RehearArgs { rehear: true, set, ..RehearArgs::default() };
    Rehearing::new(&CallFiles::load(folder).unwrap(), &args).unwrap()
}

/// What differs, in words.
fn differences(rehearing: &Rehearing) -> Vec<String> {
    let differing = rehearing.rows.iter().filter(|row| format!("{:?}", row.difference) != "Kept");
    differing.map(|row| format!("{:?} {:?}", row.what, row.difference)).collect()
}

#[test]
fn a_replay_is_told_what_was_heard_and_decides_alike_without_the_audio() {
    for keep in [JournalKeep::Decisions, JournalKeep::Audio] {
        let (_dir, folder) = folder(keep, Vec::new());
        let files = CallFiles::load(&folder).unwrap();
        assert_eq!(files.journal.has_audio(), keep == JournalKeep::Audio);
        let replay = Replay::new(&files.journal);
        assert_eq!(replay.difference, None);
        let report = files.report().unwrap().unwrap();
        // The word over the agent is a turn, too.
        assert_eq!((report.turns.len(), report.interruptions.len()), (4, 1));
        assert_eq!(report.counters["false_interruptions"], 1);
        assert_eq!(replay.report.turns, report.turns);
    }
}

#[test]
fn a_replay_rests_on_the_steps_and_on_nothing_else_that_was_heard() {
    // Speech in the audio that the steps do not know of changes nothing; steps without it change the call.
    let (_dir, folder) = folder(JournalKeep::Audio, Vec::new());
    let mut files = CallFiles::load(&folder).unwrap();
    for entry in &mut files.journal.entries {
        if let Kind::Heard { probability, .. } = &mut entry.kind {
            *probability = Default::default();
        }
    }
    let replay = Replay::new(&files.journal);
    assert!(replay.difference.unwrap().kept.unwrap().starts_with("SpeechStarted rule=local_vad"));
    assert!(replay.report.turns.is_empty());
}

#[test]
fn heard_again_by_the_same_settings_everything_is_the_same() {
    let (_dir, folder) = folder(JournalKeep::Audio, Vec::new());
    let same = rehear(&folder, &[]);
    assert_eq!(differences(&same), [""; 0], "{:#?}", same.rows);
    assert_eq!(same.rows.len(), 9, "{:#?}", same.rows);
}

#[test]
fn heard_again_by_other_settings_the_differences_are_named() {
    let (_dir, folder) = folder(JournalKeep::Audio, Vec::new());
    let patient = rehear(&folder, &["silence_duration_ms=400"]);
    let found = differences(&patient);
    assert_eq!(
        found,
        ["End KeptAsOne", "Start KeptAsOne", "End Later", "End Later", "End Later"],
        "{:#?}",
        patient.rows
    );
    let hasty = differences(&rehear(&folder, &["silence_duration_ms=100"]));
    assert_eq!(hasty, ["End Earlier"; 4]);
    assert_eq!(differences(&rehear(&folder, &["interruptions=off"])), ["Interruption Lost"]);
    assert_eq!(differences(&rehear(&folder, &["min_interruption_ms=200"])), ["Interruption New"]);
    let deaf = differences(&rehear(&folder, &["min_speech_ms=400", "threshold = 0.6"]));
    assert!(deaf.contains(&"Start Lost".to_owned()) && deaf.contains(&"End Lost".to_owned()), "{deaf:?}");
}

#[test]
fn the_table_is_aligned_and_ends_with_what_it_comes_to() {
    let (_dir, folder) = folder(JournalKeep::Audio, Vec::new());
    let args = RehearArgs { rehear: true, set: vec!["silence_duration_ms=400".into()], ..RehearArgs::default() };
    let args = ReplayArgs { call: folder, json: false, quiet: false, report: false, rehear: args };
    let mut out = Vec::new();
    assert_eq!(replay::run_to(&args, &mut out), ExitCode::SUCCESS);
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("\nnow   engine=energy threshold=0.5 hysteresis=0.15 silence_duration_ms=400 "), "{text}");
    let row = text.lines().find(|line| line.ends_with("the turn goes on")).unwrap();
    assert!(row.starts_with("turn end       00:01.") && row.contains("          -  the turn goes on"), "{row}");
    let row = text.lines().find(|line| line.ends_with(" ms later")).unwrap();
    assert!(row.starts_with("turn end       00:02.") && row.contains("  00:02."), "{row}");
    let end = "starts 3 the same, 1 kept as one; ends 3 later, 1 kept as one; interruptions 1 the same";
    assert!(text.ends_with(&format!("\n\na-call: {end}\n")), "{text}");
}

#[test]
fn what_cannot_be_heard_again_says_why() {
    let (_dir, silent) = folder(JournalKeep::Decisions, Vec::new());
    let (_dir2, folder) = folder(JournalKeep::Audio, Vec::new());
    let refused = |folder: &Path, args: RehearArgs| {
        let args = RehearArgs { rehear: true, ..args };
        let run = ReplayArgs { call: folder.to_owned(), json: true, quiet: true, report: false, rehear: args.clone() };
        assert_eq!(replay::run_to(&run, &mut io::sink()), ExitCode::from(2));
        Rehearing::new(&CallFiles::load(folder).unwrap(), &args).unwrap_err()
    };
    let set = |text: &str| RehearArgs { set: vec![text.into()], ..RehearArgs::default() };
    assert!(refused(&silent, RehearArgs::default()).contains("keep.journal = \"audio\""));
    let why = refused(&folder, set("silence_duration_ms=9000"));
    assert!(why.starts_with("--set:1:23: silence_duration_ms = 9000: out of range; allowed: 50-2000"), "{why}");
    assert!(refused(&folder, set("sillence=3")).contains("unknown key"));
    assert!(refused(&folder, set("threshold")).contains("KEY=VALUE"));
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/config").into();
    let nobody = RehearArgs { agent: Some("nobody".into()), config, ..RehearArgs::default() };
    assert!(refused(&folder, nobody).contains("there is no agent \"nobody\"; allowed: reception"));
}

#[test]
fn candidates_are_counted_in_the_report_and_replayed_alike() {
    let turn = TurnSettings { engine: VadEngine::Energy, ..TurnSettings::default() };
    let settings = settings();
    let shadow = |name: &str, silence_duration_ms| Shadow {
        name: name.into(),
        turn: TurnSettings { silence_duration_ms, ..turn.clone() },
        interruptions: settings.interruptions,
        false_interruptions: settings.false_interruptions,
    };
    let (_dir, folder) = folder(JournalKeep::Decisions, vec![shadow("same", 200), shadow("patient", 400)]);
    let files = CallFiles::load(&folder).unwrap();
    let report = files.report().unwrap().unwrap();
    let [same, patient] = &report.shadows[..] else { panic!("{:?}", report.shadows) };
    // That two stretches add up to an interruption is the live rule alone.
    assert_eq!((same.ends_same, same.interruptions_alone), (4, 0));
    assert_eq!((same.ends_earlier, same.ends_later, same.cut_offs, same.starts_missed), (0, 0, 0, 0));
    assert_eq!((patient.name.as_str(), patient.kept_as_one, patient.ends_later), ("patient", 1, 3));
    assert!(patient.later_max_ms.abs_diff(200) <= 40, "{patient:?}");
    assert_eq!(Replay::new(&files.journal).report.shadows, report.shadows);
}

#[test]
fn explain_says_what_was_heard_and_which_setting_would_have_decided_otherwise() {
    let (_dir, folder) = folder(JournalKeep::Decisions, Vec::new());
    let journal = CallFiles::load(&folder).unwrap().journal;
    let explain = |ms| Explanation::new("a-call", &journal, CallTime::from_ms(ms), 60);
    // The first turn ends after 200 ms of silence; the caller goes on after 300.
    let ended = explain(STARTED_MS + 1_820);
    let said = ended.decisions.iter().flat_map(|d| &d.otherwise).find(|o| o.starts_with("the silence was")).unwrap();
    assert!(said.contains("ms; silence_duration_ms = 200; the caller went on after 2"), "{said}");
    assert!(said.contains(" ms: 2") && said.ends_with("0 would have waited"), "{said}");
    let hearing = ended.hearing.as_ref().unwrap();
    assert_eq!((hearing.threshold, hearing.steps.len()), (0.5, 24));
    assert!(hearing.steps.iter().is_sorted_by_key(|s| s.media_ms));
    assert!(hearing.lasted.starts_with("below 0.35 from media 00:01.6"), "{}", hearing.lasted);
    assert!(hearing.steps.iter().any(|s| s.probability < 0.01), "{hearing:?}");
    // The last one ends for good.
    let last = explain(STARTED_MS + 7_420);
    let all: Vec<_> = last.decisions.iter().flat_map(|d| &d.otherwise).collect();
    assert!(all.iter().any(|o| o.contains("did not go on within 2000 ms")), "{all:?}");
    // The word over the agent.
    let over_agent: Vec<_> = (5_300..6_300).step_by(60).map(|ms| explain(STARTED_MS + ms)).collect();
    let all: Vec<_> = over_agent.iter().flat_map(|e| &e.decisions).flat_map(|d| &d.otherwise).collect();
    assert!(
        all.iter().any(|o| o.starts_with("the speech was ") && o.contains("untranscribed_interruption_ms = 450")),
        "{all:?}"
    );
    let rules: Vec<_> =
        over_agent.iter().flat_map(|e| &e.decisions).flat_map(|d| &d.rules).map(|r| r.decision.as_str()).collect();
    assert!(rules.contains(&"BackChannel") && rules.contains(&"AgentResumed"), "{rules:?}");
    let started = explain(STARTED_MS + 1_070);
    let all: Vec<_> = started.decisions.iter().flat_map(|d| &d.otherwise).collect();
    assert!(all.iter().any(|o| o.contains("min_speech_ms = 32; threshold = 0.5; a threshold above")), "{all:?}");
    // The sound began before it was known for speech; what counts is what was known.
    let lasted = |o: &&&String| o.strip_prefix("speech at 0.5 or more lasted ").is_some_and(|o| !o.starts_with("0 ms"));
    assert!(all.iter().any(|o| lasted(&o)), "{all:?}");

    let args = ExplainArgs { call: folder, moment: "2.32".into(), window: 60, json: false };
    let mut out = Vec::new();
    assert_eq!(explain::run_to(&args, &mut out), ExitCode::SUCCESS);
    let text = String::from_utf8(out).unwrap();
    for line in [
        "  heard     ",
        "  level     ",
        "  lasted    below 0.35 from media",
        "  otherwise the silence was ",
        "  setting   turn_detection.silence_duration_ms = 200 (agents/reception.toml)",
    ] {
        assert!(text.lines().any(|l| l.starts_with(line)), "{line}\n{text}");
    }
    assert!(text.lines().find(|l| l.starts_with("  heard")).unwrap().contains(" | "), "{text}");
}
