//! `offhook hear` and `offhook tune`, as run from a shell.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use offhook::base::audio::wav;
use offhook::config::JournalKeep;
use serde_json::Value;

use crate::{call, heard};

/// Runs the binary in `dir`; tests use the engine that needs no network.
fn offhook(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offhook"));
    command.current_dir(dir).args(args).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const ENERGY: [&str; 2] = ["--set", "engine=energy"];

/// Bursts of sound on a quiet line.
fn bursts(rate_hz: u32, length_ms: u64, at: &[(u64, u64)]) -> Vec<i16> {
    let per_ms = u64::from(rate_hz) / 1_000;
    let sample = |i: u64| {
        let loud = at.iter().any(|&(from, to)| (from * per_ms..to * per_ms).contains(&i));
        let wave = if i % (5 * per_ms) < 5 * per_ms / 2 { 1 } else { -1 };
        wave * if loud { 6_000 } else { 8 }
    };
    (0..length_ms * per_ms).map(sample).collect()
}

/// Two turns, the first with a pause of 400 ms.
const TALK: [(u64, u64); 3] = [(500, 1_500), (1_900, 2_600), (4_500, 5_500)];
const TALK_LABELS: &str = "speech = [{ start_ms = 500, end_ms = 1500 }, { start_ms = 1900, end_ms = 2600 }, \
                           { start_ms = 4500, end_ms = 5500 }]\nturn_ends_ms = [2600, 5500]\n";

fn talk() -> Vec<u8> {
    wav::write(8_000, 1, &bursts(8_000, 6_500, &TALK))
}

/// A folder with `clips/talk.wav` and its labels.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("clips")).unwrap();
    fs::write(dir.path().join("clips/talk.wav"), talk()).unwrap();
    fs::write(dir.path().join("clips/talk.toml"), TALK_LABELS).unwrap();
    dir
}

/// Copies the configuration that is shipped, with turns detected here.
fn copy_config(to: &Path) -> PathBuf {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.path().is_dir() { copy(&entry.path(), &to) } else { assert!(fs::copy(entry.path(), to).is_ok()) }
        }
    }
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config"), &to.join("config"));
    let agent = to.join("config/agents/reception.toml");
    let text = fs::read_to_string(&agent).unwrap();
    let at = text.find("[turn_detection]\n").unwrap() + "[turn_detection]\n".len();
    let ours = "engine = \"energy\" # no network\nmode = \"local\"\n";
    let rest: String = text[at..]
        .lines()
        .filter(|l| !l.starts_with("mode = ") && !l.starts_with("engine = "))
        .map(|l| format!("{l}\n"))
        .collect();
    fs::write(&agent, format!("{}{ours}{rest}", &text[..at])).unwrap();
    agent
}

#[test]
fn hear_tells_each_decision_with_time_and_reason() {
    let dir = folder();
    let dir = dir.path();
    let heard = offhook(dir, &["hear", "clips/talk.wav", ENERGY[0], ENERGY[1], "--picture", "talk.html"]);
    let text = out(&heard);
    assert_eq!(heard.status.code(), Some(0), "{}", err(&heard));
    assert!(text.contains("the defaults (there is no configuration) with --set"), "{text}");
    assert!(text.contains("32 ms of speech at 0.5 or more (min_speech_ms)"), "{text}");
    assert!(text.contains("ms of silence (silence_duration_ms); turn 3, "), "{text}");
    assert!(text.contains("\n3 turns, "), "{text}");
    assert!(fs::read_to_string(dir.join("talk.html")).unwrap().contains("data:audio/wav;base64,"));

    let json =
        offhook(dir, &["hear", "clips/talk.wav", ENERGY[0], ENERGY[1], "--set", "silence_duration_ms=700", "--json"]);
    let json: Value = serde_json::from_str(&out(&json)).unwrap();
    let ends: Vec<_> = json["events"].as_array().unwrap().iter().filter(|e| e["event"] == "end").collect();
    assert_eq!(ends.len(), 2, "{json}");
    let at = ends[0]["at_ms"].as_u64().unwrap();
    assert!(at.abs_diff(2_600) <= 50 && ends[0]["decided_ms"].as_u64().unwrap() >= at + 700, "{json}");

    let csv = out(&offhook(dir, &["hear", "clips/talk.wav", ENERGY[0], ENERGY[1], "--csv"]));
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("ms,probability"));
    let rows: Vec<(u64, f64)> = lines
        .map(|line| line.split_once(',').unwrap())
        .map(|(ms, p)| (ms.parse().unwrap(), p.parse().unwrap()))
        .collect();
    assert!(rows.last().unwrap().0 <= 6_500 && rows.len() > 100);
    assert!(rows.iter().all(|&(ms, p)| (0.0..=1.0).contains(&p) && ms > 0));
    assert!(rows.iter().any(|&(ms, p)| (600..1_400).contains(&ms) && p > 0.5));
}

#[test]
fn hear_takes_other_shapes_of_audio_and_refuses_what_is_none() {
    let dir = folder();
    let dir = dir.path();
    let put = |name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).unwrap();
    put("wide.wav", &wav::write(24_000, 1, &bursts(24_000, 3_000, &[(500, 1_500)])));
    let both: Vec<i16> = bursts(8_000, 3_000, &[(500, 1_500)]).into_iter().flat_map(|s| [s, -s]).collect();
    put("call.wav", &wav::write(8_000, 2, &both));
    put("one.wav", &wav::write(8_000, 1, &[99]));
    for (file, note, says) in [
        ("wide.wav", "wide.wav: 24000 Hz, heard as a phone brings it", "\n1 turn, "),
        ("call.wav", "call.wav: two channels: the left one is heard", "\n1 turn, "),
        ("one.wav", "", "no speech: the highest probability of a step is"),
    ] {
        let heard = offhook(dir, &["hear", file, ENERGY[0], ENERGY[1]]);
        assert_eq!(heard.status.code(), Some(0), "{file}: {}", err(&heard));
        assert!(err(&heard).contains(note) && out(&heard).contains(says), "{}{}", err(&heard), out(&heard));
    }
    put("empty.wav", b"");
    put("cut.wav", &talk()[..4_000]);
    put("three.wav", &wav::write(8_000, 3, &[0; 300]));
    for (args, says) in [
        (["empty.wav", "--csv"], "empty.wav: not a WAV file: the file is empty"),
        (["cut.wav", "--csv"], "cut.wav: the WAV file ends before its header says"),
        (["three.wav", "--csv"], "three.wav: the WAV file has 3 channels"),
        (["gone.wav", "--csv"], "gone.wav: there is no such file"),
        (["one.wav", "--set=threshold=7"], "threshold = 7: out of range; allowed: 0-1"),
        (["one.wav", "--set=treshold=0.7"], "did you mean threshold?"),
        (["one.wav", "--agent=nobody"], "offhook.toml"),
        (["one.wav", "--picture=x.png"], "x.png: a picture's name ends in .svg or .html"),
    ] {
        let heard = offhook(dir, &["hear", args[0], args[1], ENERGY[0], ENERGY[1]]);
        assert_eq!(heard.status.code(), Some(2), "{args:?}");
        assert!(err(&heard).contains(says), "{args:?}: {}", err(&heard));
    }
}

#[test]
fn what_is_wrong_with_a_clip_is_said_and_the_rest_of_the_batch_goes_on() {
    let dir = folder();
    let clips = dir.path().join("clips");
    let speech = bursts(8_000, 3_000, &[(500, 1_500)]);
    let put = |name: &str, audio: &[u8], labels: &str| {
        fs::write(clips.join(format!("{name}.wav")), audio).unwrap();
        fs::write(clips.join(format!("{name}.json")), labels).unwrap();
    };
    let good = r#"[{"start_ms":500,"end_ms":1500}]"#;
    let mono = |samples: &[i16]| wav::write(8_000, 1, samples);
    put("clipped", &mono(&speech.iter().map(|&s| s.saturating_mul(9)).collect::<Vec<_>>()), good);
    put("offset", &mono(&speech.iter().map(|&s| s + 4_000).collect::<Vec<_>>()), good);
    put("silent", &mono(&[0; 8_000]), "[]");
    put("sample", &mono(&[5]), "[]");
    put("rate16k", &wav::write(16_000, 1, &bursts(16_000, 3_000, &[(500, 1_500)])), good);
    let mut eight = mono(&[0; 12_000]);
    eight[28..32].copy_from_slice(&8_000u32.to_le_bytes());
    eight[32..36].copy_from_slice(&[1, 0, 8, 0]);
    put("bits8", &eight, "[]");
    put("stereo", &wav::write(8_000, 2, &speech), "[]");
    put("truncated", &mono(&speech)[..1_000], "[]");
    put("empty", b"", "[]");
    put("overlap", &mono(&speech), r#"[{"start_ms":500,"end_ms":1500},{"start_ms":1400,"end_ms":1600}]"#);
    put("beyond", &mono(&speech), r#"[{"start_ms":500,"end_ms":9500}]"#);
    put("garbled", &mono(&speech), "[{]");
    fs::write(clips.join("bare.wav"), mono(&speech)).unwrap();

    let tuned = offhook(dir.path(), &["tune", "clips", ENERGY[0], ENERGY[1]]);
    let (text, said) = (out(&tuned), err(&tuned));
    assert_eq!(tuned.status.code(), Some(1), "{said}");
    for (file, what, skipped) in [
        ("clipped.wav", "clipped", false),
        ("offset.wav", "offset", false),
        ("silent.wav", "digital silence", false),
        ("bits8.wav", "8 bits", false),
        ("stereo.wav", "2 channels", true),
        ("truncated.wav", "ends before its header says", true),
        ("empty.wav", "the file is empty", true),
        ("overlap.json", "begins before the one before it ends", true),
        ("beyond.json", "does not lie within the clip's 3000 ms", true),
        ("garbled.json", "line 1", true),
        ("bare.wav", "has no labels", true),
    ] {
        let line = said.lines().find(|l| l.contains(file)).unwrap_or_else(|| panic!("{file}: {said}"));
        assert!(line.contains(what) && line.starts_with("skipped: ") == skipped, "{line}");
    }
    for clip in ["talk", "clipped", "offset", "silent", "sample", "rate16k", "bits8"] {
        assert!(text.lines().any(|l| l.split_whitespace().next() == Some(clip)), "{clip}: {text}");
    }
    assert!(text.contains("7 clips\n"), "{text}");
    assert!(text.contains("cut off: the turn goes on for"), "{text}");

    let one = offhook(dir.path(), &["tune", "clips/talk.wav", "--json", ENERGY[0], ENERGY[1]]);
    assert_eq!(one.status.code(), Some(0), "{}", err(&one));
    let json: Value = serde_json::from_str(&out(&one)).unwrap();
    assert_eq!(
        (&json["total"]["turns"], &json["total"]["cut_offs"], &json["total"]["missed"]),
        (&2.into(), &1.into(), &0.into())
    );
    for (args, says) in [
        (vec!["tune"], "no clips: name a folder"),
        (vec!["tune", "nowhere"], "nowhere: cannot be read"),
        (vec!["tune", "clips/empty.wav"], "no clip can be used"),
        (vec!["tune", "clips", "--picture", "all.svg", ENERGY[0], ENERGY[1]], "name a folder for their pictures"),
        (vec!["tune", "clips", "--sweep", "no.toml"], "no.toml: cannot be read"),
    ] {
        let tuned = offhook(dir.path(), &args);
        assert_eq!(tuned.status.code(), Some(2), "{args:?}");
        assert!(err(&tuned).contains(says), "{args:?}: {}", err(&tuned));
    }
}

#[test]
fn a_sweep_finds_the_pause_and_writes_it_into_the_agents_document() {
    let dir = folder();
    let agent = copy_config(dir.path());
    let before = fs::read_to_string(&agent).unwrap();
    let sweep = "[grid]\nsilence_duration_ms = [200, 300, 450, 600, 900]\n[choose]\nmax_cut_offs = 0\n";
    fs::write(dir.path().join("grid.toml"), sweep).unwrap();
    let args = ["tune", "clips", "--sweep", "grid.toml"];
    let tried = offhook(dir.path(), &args);
    let text = out(&tried);
    assert_eq!(tried.status.code(), Some(0), "{}", err(&tried));
    assert!(text.contains("agent reception (config/agents/reception.toml)"), "{text}");
    let row = |mark: &str| {
        let row = text.lines().find(|l| l.starts_with(mark)).unwrap_or_else(|| panic!("{mark}: {text}"));
        row.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        (&row("now")[4..6], &row("now")[7]),
        (&["200".to_owned(), "32".to_owned()][..], &"1".to_owned()),
        "{text}"
    );
    assert_eq!(
        (&row("chosen")[4..6], &row("chosen")[7]),
        (&["450".to_owned(), "32".to_owned()][..], &"0".to_owned()),
        "{text}"
    );
    assert!(text.contains("x real time per core") && text.contains("not written; --write does it"), "{text}");
    assert!(text.contains("\n+silence_duration_ms = 450\n"), "{text}");
    assert_eq!(fs::read_to_string(&agent).unwrap(), before);

    let written = offhook(dir.path(), &[&args[..], &["--write", "--picture", "pictures"]].concat());
    assert_eq!(written.status.code(), Some(0), "{}", err(&written));
    let after = fs::read_to_string(&agent).unwrap();
    let lost: Vec<_> = before.lines().filter(|l| !after.contains(l)).collect();
    assert_eq!(lost, ["#silence_duration_ms = 200"], "all else is kept");
    assert!(offhook(dir.path(), &["check"]).status.success());
    assert!(dir.path().join("pictures/talk.svg").exists() && dir.path().join("pictures/talk.html").exists());
    let again = offhook(dir.path(), &args);
    assert!(out(&again).contains("has the chosen setting already"), "{}", out(&again));

    fs::write(dir.path().join("grid.toml"), sweep.replace("[choose]\n", "[choose]\nmax_delay_ms = 300\n")).unwrap();
    let none = offhook(dir.path(), &args);
    assert_eq!(none.status.code(), Some(1), "{}", out(&none));
    assert!(out(&none).contains("no setting is within the limits"), "{}", out(&none));
}

#[test]
fn a_recorded_call_is_tuned_on_by_an_estimate_that_says_it_is_one() {
    let (_dir, folder) = call::folder(JournalKeep::Audio);
    let clip = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audio/ben-thanks.wav")).unwrap();
    let caller = wav::read(&clip).unwrap().samples;
    let frames: Vec<i16> = caller.iter().flat_map(|&s| [s, 0]).collect();
    let parent = folder.parent().unwrap();
    let tune = |more: &[&str]| offhook(parent, &[&["tune", "--from", "a-call"], more].concat());

    // The journal holds the audio too.
    fs::remove_file(folder.join("recording.wav")).unwrap();
    let from_journal = tune(&[]);
    assert_eq!(from_journal.status.code(), Some(0), "{}", err(&from_journal));
    assert!(out(&from_journal).contains("audio from the journal"), "{}", out(&from_journal));

    fs::write(folder.join("recording.wav"), wav::write(8_000, 2, &frames)).unwrap();
    let recorded = tune(&["--resume-within", "800", "--picture", "call.html"]);
    let text = out(&recorded);
    assert_eq!(recorded.status.code(), Some(0), "{}", err(&recorded));
    for part in
        ["a-call: 0:02, audio from recording.wav", "ends (est.)", "in the call", "these settings", "(--resume-within)"]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(fs::read_to_string(parent.join("call.html")).unwrap().contains("an estimate made with hindsight"));

    // Without audio there is nothing to hear.
    let (_dir, bare) = call::folder(JournalKeep::Decisions);
    fs::remove_file(bare.join("recording.wav")).unwrap();
    let failed = offhook(parent, &["tune", "--from", &bare.display().to_string()]);
    assert_eq!(failed.status.code(), Some(2));
    assert!(err(&failed).contains("neither a recording nor a journal with audio"), "{}", err(&failed));
    let half = offhook(parent, &["tune", "--from", "a-call", &bare.display().to_string()]);
    assert_eq!(half.status.code(), Some(1), "{}", err(&half));
}

#[test]
fn a_call_without_audio_is_tuned_on_by_what_its_journal_kept_of_the_ears() {
    let (_dir, folder) = heard::folder(JournalKeep::Decisions, Vec::new());
    fs::remove_file(folder.join("recording.wav")).unwrap();
    let parent = folder.parent().unwrap();
    let tune = |more: &[&str]| offhook(parent, &[&["tune", "--from", "a-call"], more].concat());
    let now = tune(&[]);
    let text = out(&now);
    assert_eq!(now.status.code(), Some(0), "{}", err(&now));
    assert!(text.contains("what the call ran with\n  energy, ") && text.contains("only what energy heard"), "{text}");
    // The pause of 300 ms ended the first turn then, and does so now, at the same moment but for the frame it came in.
    let first = text.lines().find(|l| l.trim_start().starts_with("1 ")).unwrap();
    let left = |part: &str| part.split(' ').next().unwrap().parse::<u64>().unwrap();
    let cut: Vec<u64> = first.split("cut off ").skip(1).map(left).collect();
    assert!(cut.len() == 2 && cut[0].abs_diff(cut[1]) <= 20, "{first}");
    let patient = out(&tune(&["--set", "silence_duration_ms=400"]));
    let first = patient.lines().find(|l| l.trim_start().starts_with("1 ")).unwrap();
    assert_eq!(first.matches("cut off ").count(), 1, "{first}");
    let other = tune(&["--set", "engine=earshot"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(
        err(&other).contains("a-call: no audio was kept: only the engine of that call can be tried"),
        "{}",
        err(&other)
    );
}
