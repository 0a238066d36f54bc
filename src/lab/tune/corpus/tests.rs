use std::fs;
use std::path::Path;

use super::*;
use crate::base::audio::wav;

const SECOND: [i16; 8_000] = [100; 8_000];

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// What is said of one clip with these labels and this audio, by the end of the path of the file to blame.
fn said(labels: &str, audio: &[u8]) -> (usize, Vec<String>) {
    let folder = folder(&[("a.wav", audio), ("a.toml", labels.as_bytes())]);
    let corpus = Corpus::read(folder.path(), 8_000);
    let said = |p: &Problem| {
        let text = p.to_string();
        text.strip_prefix(&format!("{}/", folder.path().display())).unwrap().to_owned()
    };
    assert_eq!(corpus.refused(), corpus.clips.is_empty());
    (corpus.clips.len(), corpus.problems.iter().map(said).collect())
}

fn eight_bit(samples: usize) -> Vec<u8> {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8_000, bits_per_sample: 8, sample_format: hound::SampleFormat::Int };
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    (0..samples).for_each(|n| writer.write_sample(if n % 2 == 0 { 9 } else { -9 }).unwrap());
    writer.finalize().unwrap();
    bytes.into_inner()
}

#[test]
fn every_fixture_is_a_clip() {
    let corpus = Corpus::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audio"), 8_000);
    assert_eq!(corpus.problems, []);
    assert!(corpus.clips.len() >= 12, "{} clips", corpus.clips.len());
    let track = corpus.clips.iter().find(|c| c.name == "track-ben").unwrap();
    assert_eq!(track.turns.last().unwrap().span.end_ms, track.speech.last().unwrap().span.end_ms);
    assert!(track.turns.windows(2).all(|t| t[0].span.end_ms < t[1].span.start_ms));
    let cough = corpus.clips.iter().find(|c| c.name == "cough").unwrap();
    assert!(cough.speech.is_empty() && !cough.distractors.is_empty());
}

#[test]
fn labels_may_be_json_and_a_bare_list() {
    let wav = wav::write(16_000, 1, &[1_000; 16_000].map(|s: i16| s));
    let list = br#"[{"start_ms": 100, "end_ms": 400, "audible_end_ms": 380}, {"start_ms": 600, "end_ms": 1000}]"#;
    let object = br#"{"speech": [{"start_ms": 100, "end_ms": 400}], "turn_ends_ms": [400], "tolerance_ms": 250}"#;
    let folder = folder(&[("a.wav", &wav), ("a.json", list), ("b.WAV", &wav), ("b.json", object)]);
    let corpus = Corpus::read(folder.path(), 8_000);
    let [a, b] = &corpus.clips[..] else { panic!("{:?}", corpus.problems) };
    assert_eq!(a.speech[0].audible, Span { start_ms: 100, end_ms: 380 });
    assert_eq!(a.speech[1].audible, a.speech[1].span);
    assert_eq!((a.rate_hz, a.file_rate_hz, a.samples.len(), a.duration_ms()), (8_000, 16_000, 8_000, 1_000));
    assert_eq!(b.turns, [Turn { span: Span { start_ms: 100, end_ms: 400 }, audible_end_ms: 400 }]);
    assert!(b.coarse() && !a.coarse());
}

#[test]
fn labels_that_cannot_be_name_their_file() {
    let whole = wav::write(8_000, 1, &SECOND);
    for (labels, expected) in [
        ("speech = [{ start_ms = 100, end_ms = 1200 }]", "a.toml: the stretch 100–1200 ms does not lie within"),
        ("speech = [{ start_ms = 400, end_ms = 400 }]", "a.toml: the stretch 400–400 ms ends before it begins"),
        (
            "speech = [{ start_ms = 1, end_ms = 400 }, { start_ms = 300, end_ms = 500 }]",
            "a.toml: speech at 300 ms begins before the one before it ends at 400 ms",
        ),
        ("speech = [{ start_ms = 1, end_ms = 400, audible_end_ms = 500 }]", "a.toml: the audible part of the speech"),
        ("speech = [{ start_ms = 1, end_ms = 4 }]\nturn_ends_ms = [5]", "a.toml: the turn's end at 5 ms"),
        ("speech = [{ start_ms = 1, end_ms = 4 }]\nturn_ends_ms = [4, 4]", "a.toml: the turn's end at 4 ms"),
        ("distractors = [{ kind = \"cough\", start_ms = 9, end_ms = 9000 }]", "a.toml: the stretch 9–9000 ms"),
        ("speach = []", "speach"),
        ("speech = [{ start_ms = -1, end_ms = 4 }]", "a.toml: "),
    ] {
        let (clips, problems) = said(labels, &whole);
        assert_eq!((clips, problems.len()), (0, 1), "{labels}: {problems:?}");
        assert!(problems[0].starts_with("a.toml: ") && problems[0].contains(expected), "{}", problems[0]);
    }
}

#[test]
fn audio_that_cannot_be_used_names_its_file() {
    let whole = wav::write(8_000, 1, &SECOND);
    for (audio, expected) in [
        (vec![], "a.wav: not a WAV file: the file is empty"),
        (wav::write(8_000, 1, &[]), "a.wav: the WAV file holds no samples"),
        (whole[..9_000].to_vec(), "a.wav: the WAV file ends before its header says"),
        (wav::write(8_000, 2, &SECOND), "a.wav: the WAV file has 2 channels"),
        (wav::write(100, 1, &SECOND), "a.wav: the WAV file's rate is 100 Hz; 4000 to"),
        (b"ID3 and no sound".to_vec(), "a.wav: not a WAV file"),
    ] {
        let (clips, problems) = said("speech = []", &audio);
        assert_eq!((clips, problems.len()), (0, 1), "{problems:?}");
        assert!(problems[0].starts_with(expected), "{} is not {expected}", problems[0]);
    }
}

#[test]
fn audio_that_explains_odd_results_is_used_with_a_warning() {
    let mut loud = SECOND;
    loud.iter_mut().enumerate().for_each(|(n, s)| *s = if n % 2 == 0 { i16::MAX } else { i16::MIN });
    for (audio, expected) in [
        (eight_bit(800), "a.wav: the samples are linear 8 bits"),
        (wav::write(8_000, 1, &[0; 800]), "a.wav: the audio is digital silence"),
        (wav::write(8_000, 1, &loud), "a.wav: 100.0 % of the samples are clipped"),
        (wav::write(8_000, 1, &[1_000; 800]), "a.wav: the samples have an offset of 1000"),
    ] {
        let (clips, problems) = said("", &audio);
        assert_eq!((clips, problems.len()), (1, 1), "{problems:?}");
        assert!(problems[0].starts_with(expected) && problems[0].ends_with("used all the same"), "{}", problems[0]);
    }
    assert_eq!(said("", &wav::write(8_000, 1, &[1])), (1, vec![]), "one sample is little, and no error");
}

#[test]
fn the_rest_of_the_batch_goes_on() {
    let good = wav::write(8_000, 1, &[50; 800]);
    let folder = folder(&[
        ("bad.wav", &good[..60]),
        ("bad.toml", b""),
        ("good.wav", &good),
        ("good.toml", b"speech = [{ start_ms = 0, end_ms = 100 }]"),
        ("unlabelled.wav", &good),
        ("notes.txt", b"no clip"),
    ]);
    let corpus = Corpus::read(folder.path(), 8_000);
    assert_eq!(corpus.clips.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["good"]);
    assert_eq!(corpus.problems.len(), 2, "{:?}", corpus.problems);
    assert!(corpus.problems[1].to_string().contains("unlabelled.wav: has no labels"));
    assert!(Corpus::read(&folder.path().join("nowhere"), 8_000).refused());
    assert!(Corpus::read(tempfile::tempdir().unwrap().path(), 8_000).refused(), "an empty folder is no corpus");
}

#[test]
fn an_index_names_conditions_turns_and_what_to_leave_out() {
    let wav = wav::write(8_000, 1, &[50; 8_000]);
    let index = br#"[
        {"file": "a16.wav", "id": "a", "kind": "recording", "segments": []},
        {"file": "a.wav", "id": "a_8k", "kind": "recording-8k-g711", "derived_from": "a16.wav", "tolerance_ms": 30,
         "segments": [{"start_ms": 100, "end_ms": 500, "audible_start_ms": 120, "audible_end_ms": 480}],
         "uncertain": [{"start_ms": 1, "end_ms": 9}], "nonspeech_events": [{"kind": "breath", "start_ms": 600, "end_ms": 700}]},
        {"file": "a.wav", "id": "m", "kind": "noisy-mix", "snr_db": 5, "derived_from": ["a16.wav", "n.wav"]},
        {"file": "a.wav", "id": "c", "kind": "synthetic-call", "turns_file": "c.turns.json",
         "segments": [{"start_ms": 100, "end_ms": 300}, {"start_ms": 400, "end_ms": 500}]},
        {"file": "a.wav", "id": "d", "kind": "synthetic-call", "turns_file": "absent.json"},
        {"file": "gone.wav", "id": "g", "kind": "noise-bed"},
        {"id": "no file"}
    ]"#;
    let turns = br#"{"turns": [{"start_ms": 100, "end_ms": 500, "parts": []}], "distractors": []}"#;
    let folder = folder(&[("a.wav", &wav), ("a16.wav", &wav), ("index.json", index), ("c.turns.json", turns)]);
    let corpus = Corpus::read(folder.path(), 8_000);
    let [a, m, c] = &corpus.clips[..] else { panic!("{:?}", corpus.problems) };
    assert_eq!((a.name.as_str(), a.condition, a.tolerance_ms), ("a_8k", Condition::Recording, 30));
    assert_eq!((a.uncertain.len(), a.distractors[0].kind.as_str()), (1, "breath"));
    assert_eq!(a.speech[0].audible, Span { start_ms: 120, end_ms: 480 });
    assert_eq!((m.condition, c.condition), (Condition::Mix { snr_db: 5 }, Condition::Call));
    assert_eq!(c.turns, [Turn { span: Span { start_ms: 100, end_ms: 500 }, audible_end_ms: 500 }]);
    let problems: Vec<String> = corpus.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].contains("index.json: entry 7: ") && problems[0].contains("file"), "{}", problems[0]);
    assert!(problems[1].contains("absent.json: cannot be read"), "{}", problems[1]);
    assert!(problems[2].contains("gone.wav: cannot be read"), "{}", problems[2]);
}
