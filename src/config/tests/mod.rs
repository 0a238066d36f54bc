//! Documents as data: what is said about bad ones, and what the shipped ones mean.

mod cases;
mod channels;
mod edits;
mod hands;
mod migrated;
mod overrides;
mod secrets;
mod shipped;
mod source;
mod stored;
mod ways;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const SOUNDS: [&str; 5] = ["fallback", "farewell", "filler", "greeting", "hold"];
const SERVER: &str = include_str!("../../../config/offhook.toml");
const MODELS: &str = include_str!("../../../config/models.toml");
const AGENT: &str = include_str!("../../../config/agents/reception.toml");
const DEPLOYMENT: &str = include_str!("../../../config/deployments/main-number.toml");
const WEBSITE: &str = include_str!("../../../config/deployments/website.toml");
const INTERNAL: &str = include_str!("../../../config/deployments/staff-chat.toml");

/// A copy of the shipped configuration, with silence for its recordings.
struct Dir(TempDir);

impl Dir {
    fn shipped() -> Self {
        let dir = Dir(TempDir::new().unwrap());
        for sub in ["agents", "deployments", "sounds"] {
            fs::create_dir(dir.path().join(sub)).unwrap();
        }
        dir.write("offhook.toml", SERVER);
        dir.write("models.toml", MODELS);
        dir.write("agents/reception.toml", AGENT);
        dir.write("deployments/main-number.toml", DEPLOYMENT);
        for name in SOUNDS {
            dir.wav(&format!("sounds/{name}.wav"), 8_000, 160);
        }
        dir
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, file: &str, text: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path().join(file), text).unwrap();
        self
    }

    fn remove(&self, file: &str) -> &Self {
        fs::remove_file(self.path().join(file)).unwrap();
        self
    }

    fn wav(&self, file: &str, rate_hz: u32, samples: usize) -> PathBuf {
        let path = self.path().join(file);
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: rate_hz,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut wav = hound::WavWriter::create(&path, spec).unwrap();
        for _ in 0..samples {
            wav.write_sample(0i16).unwrap();
        }
        wav.finalize().unwrap();
        path
    }

    fn load(&self) -> Result<Config, Problems> {
        load_with(self.path(), &env)
    }

    /// What is said, one line per problem, with paths as within the directory.
    fn said(&self) -> Vec<String> {
        let prefix = format!("{}/", self.path().display());
        let report = check_with(self.path(), &env);
        let line = |p: &Problem| p.to_string().lines().next().unwrap().replace(&prefix, "");
        report.problems.iter().map(line).collect()
    }

    fn errors(&self) -> Vec<String> {
        self.said().into_iter().filter(|line| !line.contains(": warning: ")).collect()
    }
}

/// The environment of all tests.
fn env(name: &str) -> Option<String> {
    match name {
        "KEY" | "OTHER_KEY" => Some("sk-very-secret".to_owned()),
        "EMPTY" => Some(String::new()),
        "TWO_LINES" => Some("a\nb".to_owned()),
        _ => None,
    }
}

const MODEL: &str = "[m]\nurl = \"ws://127.0.0.1:1/v1/realtime\"\n";

#[test]
fn every_problem_of_every_file_is_told_at_once() {
    let dir = Dir::shipped();
    dir.write("offhook.toml", "max_calls = 0\nport = 1\n[log]\nfilter = \"\"")
        .write("agents/reception.toml", "model = 3\ninstructions = [1]\n")
        .write("deployments/main-number.toml", "number = \n");
    let errors = dir.errors();
    let starts: Vec<&str> = errors.iter().map(|e| e.split(' ').next().unwrap()).collect();
    assert_eq!(
        starts,
        [
            "agents/reception.toml:1:9:",
            "agents/reception.toml:2:16:",
            "deployments/main-number.toml:1:10:",
            "offhook.toml:1:13:",
            "offhook.toml:2:1:",
            "offhook.toml:4:10:",
        ],
        "{errors:#?}"
    );
}

#[test]
fn a_problem_shows_its_line_with_a_caret_beneath() {
    let dir = Dir::shipped();
    dir.write("deployments/main-number.toml", "agent = \"reception\"\nnumber = \"ä\"  # mine\nchannel = \"phone\"");
    let problems = dir.load().unwrap_err();
    let shown = problems.to_string();
    assert!(shown.ends_with("\n  2 | number = \"ä\"\n    |          ^^^"), "{shown}");
    let json = serde_json::to_value(check_with(dir.path(), &env)).unwrap();
    let problem = &json["problems"][0];
    assert_eq!((&json["ok"], &json["errors"]), (&false.into(), &1.into()));
    assert_eq!((&problem["line"], &problem["column"], &problem["severity"]), (&2.into(), &10.into(), &"error".into()));
    assert_eq!(problem["text"], "number = \"ä\"");
}

#[test]
fn two_deployments_on_one_number_are_both_named() {
    let dir = Dir::shipped();
    dir.write("deployments/second.toml", DEPLOYMENT.replace("agent =", "\nagent ="));
    let errors = dir.errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    let line = 1 + DEPLOYMENT.lines().position(|line| line.starts_with("number")).unwrap();
    let second = format!("deployments/second.toml:{}:10: number = \"+15550100100\": another deployment", line + 1);
    assert!(errors[0].starts_with(&second), "{errors:?}");
    assert!(errors[0].contains(&format!("deployments/main-number.toml:{line}:10")), "{errors:?}");
}

#[test]
fn a_broken_document_does_not_make_its_name_unknown() {
    let dir = Dir::shipped();
    dir.write("agents/reception.toml", "model = ").write("models.toml", "[rehearsal");
    let errors = dir.errors();
    assert!(errors.iter().all(|e| !e.contains("there is no")), "{errors:?}");
    assert_eq!(errors.len(), 2, "{errors:?}");
}

#[test]
fn secrets_come_from_environment_or_file_and_only_when_needed() {
    let dir = Dir::shipped();
    // Not used by any deployment: not demanded.
    assert!(MODELS.contains("OPENAI_API_KEY") && dir.load().is_ok());
    dir.write("agents/reception.toml", AGENT.replace("\"rehearsal\"", "\"openai\""));
    let at = 1 + MODELS.lines().position(|line| line.starts_with("api_key")).unwrap();
    assert_eq!(
        dir.errors(),
        [format!(
            "models.toml:{at}:11: api_key = {{ env = \"OPENAI_API_KEY\" }}: environment variable OPENAI_API_KEY is not set; set it where the server is started"
        )]
    );
    dir.write("models.toml", MODEL.replace("[m]", "[openai]") + "api_key = { env = \"KEY\" }");
    let key = |dir: &Dir| dir.load().unwrap().deployments["main-number"].agent.model.api_key.clone().unwrap();
    assert_eq!(key(&dir).expose(), "sk-very-secret");
    dir.write("models.toml", MODEL.replace("[m]", "[openai]") + "api_key = { file = \"key\" }").write("key", "abc\n");
    assert_eq!(key(&dir).expose(), "abc");
    dir.write("models.toml", MODEL.replace("[m]", "[openai]") + "headers.api-key = { env = \"KEY\" }");
    let config = dir.load().unwrap();
    let headers = &config.deployments["main-number"].agent.model.headers;
    assert_eq!((headers[0].0.as_str(), headers[0].1.expose()), ("api-key", "sk-very-secret"));
    assert!(!format!("{config:?}").contains("sk-very-secret"));
}

#[test]
fn a_secret_in_a_document_is_refused_and_never_repeated() {
    for line in [
        "api_key = \"sk-hush\"",
        "api_key = [\"sk-hush\"]",
        "api_key = { env = \"sk-hush\" }",
        "api_key = { key = \"sk-hush\" }",
        "api_key = { env = [\"sk-hush\"] }",
        "api_key = { env = \"KEY\", file = \"sk-hush\" }",
        "api_key = { env = \"KEY\", fil = \"sk-hush\" }",
        "api_key = sk-hush",
        "api_key = \"sk-hush",
        "apikey = \"sk-hush\"",
        "api_key = { env = \"TWO_LINES\" }",
        "api_key = { env = \"EMPTY\" }",
        "api_key = { file = \"empty\" }",
        "headers = { authorization = \"Bearer sk-hush\" }",
        "headers = \"sk-hush\"",
        "headers = [\"sk-hush\"]",
    ] {
        let dir = Dir::shipped();
        dir.write("empty", "\n");
        dir.write("models.toml", MODEL.replace("[m]", "[rehearsal]") + line);
        let problems = dir.load().map(drop).expect_err(line);
        let all = format!("{problems}\n{problems:?}\n{}", serde_json::to_string(&problems).unwrap());
        assert!(!all.contains("hush"), "{line}\n{all}");
        assert!(problems.iter().all(|p| p.line == 3), "{line}\n{all}");
    }
    let dir = Dir::shipped();
    dir.write("models.toml", MODEL.replace("[m]", "[rehearsal]") + "api_key = \"sk-hush\"");
    assert_eq!(
        dir.errors(),
        [
            "models.toml:3:11: api_key = (hidden): a secret is never written in a document; allowed: { env = \"NAME\" }, { file = \"path\" }",
        ]
    );
}

#[test]
fn odd_files_are_told_and_survived() {
    let dir = Dir::shipped();
    dir.write("agents/reception.toml", b"model = \"a\"\n\xff\xfe".as_slice());
    assert_eq!(dir.errors(), ["agents/reception.toml: is not UTF-8 (line 2)"]);
    dir.write("agents/reception.toml", " ".repeat(1_024 * 1_024 + 1));
    assert_eq!(dir.errors(), ["agents/reception.toml: is larger than 1024 KiB"]);
    dir.write("agents/reception.toml", [0u8; 64]);
    assert!(dir.errors().iter().all(|e| e.starts_with("agents/reception.toml:1:")), "{:?}", dir.errors());
    dir.write("agents/reception.toml", "[".repeat(100_000));
    assert!((1..=20).contains(&dir.errors().len()));
    let keys: String = (0..60_000).map(|i| format!("key_{i} = 1\n")).collect();
    dir.write("agents/reception.toml", keys);
    let errors = dir.errors();
    assert_eq!((errors.len(), errors[1].as_str()), (52, "agents/reception.toml: has 59950 more errors"));
    // What editors leave behind is no document.
    dir.write("agents/reception.toml", AGENT).write("agents/.x.toml", "[").write("agents/x.toml~", "[");
    assert!(dir.load().is_ok());
    let nowhere = load_with(&dir.path().join("nowhere"), &env).unwrap_err().to_string();
    assert!(nowhere.contains("nowhere/offhook.toml: there is no such file; is "), "{nowhere}");
}

#[test]
fn recordings_are_bounded_and_converted() {
    let dir = Dir::shipped();
    let hold = |dir: &Dir| dir.load().unwrap().agents["reception"].manner.hold_sound.as_ref().unwrap().audio.clone();
    for (rate_hz, samples) in [(8_000, 60 * 8_000), (44_100, 44_100), (48_000, 480)] {
        dir.wav("sounds/hold.wav", rate_hz, samples);
        let audio = hold(&dir);
        assert_eq!(audio.len(), samples * 8_000 / rate_hz as usize);
        assert!(audio.iter().all(|b| *b == 0xFF), "silence stays silence");
    }
    dir.wav("sounds/hold.wav", 8_000, 60 * 8_000 + 1);
    assert!(dir.errors()[0].contains("is longer than 60 s"), "{:?}", dir.errors());
    dir.wav("sounds/hold.wav", 8_000, 0);
    assert!(dir.errors()[0].contains("holds no samples"), "{:?}", dir.errors());
    dir.wav("sounds/hold.wav", 44_101, 100);
    assert!(dir.errors()[0].contains("is a WAV file at 44101 Hz"), "{:?}", dir.errors());
}

#[test]
fn the_default_terminator_gives_way_and_keys_can_be_switched_off() {
    let dir = Dir::shipped();
    let keys = |text: &str| {
        dir.write("agents/reception.toml", format!("model = \"rehearsal\"\ninstructions = \"x\"\n{text}"));
        dir.load().unwrap_or_else(|e| panic!("{e}")).agents["reception"].manner.keys.clone()
    };
    assert_eq!(keys(""), Some(Keys::default()));
    assert_eq!(keys("keys = \"off\""), None);
    let terminator = |text: &str| keys(text).unwrap().terminator;
    assert_eq!(terminator("[keys]\nterminator = \"none\""), None);
    assert_eq!(terminator("[keys]\nterminator = \"*\""), Some('*'));
    assert_eq!(terminator("[keys.actions]\n\"#\" = \"repeat\""), None);
    assert_eq!(terminator("[turn_detection]\nmode = \"disabled\"\ncommit_key = \"#\""), None);
    let actions = keys("[keys.actions]\n0 = { transfer = \"+15550100199\" }\n\"*\" = \"ignore\"").unwrap().actions;
    assert_eq!(actions, [('0', KeyAction::Transfer("+15550100199".into())), ('*', KeyAction::Ignore)].into());
    // Nobody hears in this mode whether the caller is silent.
    dir.write(
        "agents/reception.toml",
        "model = \"rehearsal\"\ninstructions = \"x\"\nidle.after_s = 9\nturn_detection.mode = \"disabled\"",
    );
    assert!(dir.said().iter().any(|line| line.contains("warning: after_s = 9: may cut in")), "{:?}", dir.said());
    assert_eq!(
        dir.load().unwrap().agents["reception"].manner.idle.as_ref().map(|idle| (idle.after_ms, idle.times)),
        Some((9_000, 2))
    );
}

#[test]
fn tools_run_to_a_keyboard_where_there_is_one() {
    let dir = Dir::shipped();
    let sound = |dir: &Dir, text: &str| {
        let text = DEPLOYMENT.replace("#sound = \"typing\"", text);
        dir.write("deployments/main-number.toml", text);
        let config = dir.load().unwrap_or_else(|e| panic!("{e}"));
        config.deployments["main-number"].tool_sound.clone().map(|sound| (sound.sound.name, sound.sound.audio.len()))
    };
    assert_eq!(sound(&dir, ""), None, "a directory without the file is no error");
    dir.wav("sounds/typing.wav", 8_000, 300);
    dir.wav("sounds/own.wav", 16_000, 800);
    assert_eq!(sound(&dir, ""), Some(("sounds/typing.wav".to_owned(), 300)));
    assert_eq!(sound(&dir, "sound = \"none\""), None);
    assert_eq!(sound(&dir, "sound = \"sounds/own.wav\""), Some(("sounds/own.wav".to_owned(), 400)));
}

#[test]
fn a_configuration_can_come_from_memory() {
    let dir = Dir::shipped();
    let mut files = std::collections::BTreeMap::new();
    for file in ["offhook.toml", "models.toml", "agents/reception.toml", "deployments/main-number.toml"] {
        files.insert(file.to_owned(), fs::read(dir.path().join(file)).unwrap());
    }
    let missing = from_memory(&files, &env).unwrap_err();
    assert!(missing.to_string().contains("sounds/greeting.wav: there is no such file"), "{missing}");
    for name in SOUNDS {
        let file = format!("sounds/{name}.wav");
        files.insert(file.clone(), fs::read(dir.path().join(file)).unwrap());
    }
    let config = from_memory(&files, &env).unwrap();
    assert_eq!(format!("{:?}", config.deployments), format!("{:?}", dir.load().unwrap().deployments));
    // A recording is part of what a call does.
    files.insert("sounds/hold.wav".to_owned(), [&files["sounds/hold.wav"][..], &[0]].concat());
    assert_ne!(from_memory(&files, &env).unwrap().revision, config.revision);
}

#[test]
fn dangerous_combinations_are_warned_about() {
    let dir = Dir::shipped();
    dir.write("offhook.toml", "listen = \"0.0.0.0:80\"\n[twilio]\ncheck_signatures = false")
        .write("models.toml", "[rehearsal]\nurl = \"ws://example.com/\"")
        .remove("deployments/main-number.toml");
    let said = dir.said();
    assert_eq!(said.len(), 3, "{said:#?}");
    assert!(said[0].contains("in the clear") && said[1].contains("anyone can place calls"), "{said:#?}");
    assert!(said[2].contains("no number will be answered"), "{said:#?}");
    assert!(dir.load().is_ok());
}

#[test]
fn what_has_no_effect_in_another_mode_is_warned_about() {
    let dir = Dir::shipped();
    let head = "model = \"rehearsal\"\ninstructions = \"x\"\n";
    let rest = "min_interruption_ms = 500\nresume_false_interruption = false\necho_guard = false\n\
                interruptions = { min_words = 2 }\nshadow = [{ name = \"a\" }]\n[turn_detection]\n";
    let warned = |mode: &str| {
        let text = format!("{head}{rest}mode = \"{mode}\"\nthreshold = 0.4\nhysteresis = 0.1\nengine = \"energy\"");
        dir.write("agents/reception.toml", text);
        assert!(dir.errors().is_empty(), "{:?}", dir.errors());
        let said = dir.said().into_iter().filter(|line| line.starts_with("agents/"));
        said.filter_map(|line| Some(line.split(": warning: ").nth(1)?.split(' ').next()?.to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(warned("local"), [""; 0]);
    let agent = dir.load().unwrap().agents["reception"].clone();
    assert_eq!((agent.manner.shadows.len(), agent.manner.interruptions), (1, Interruptions::MinWords(2)));
    let ours = ["min_interruption_ms", "resume_false_interruption", "echo_guard", "shadow", "hysteresis", "engine"];
    assert_eq!(warned("provider"), ours);
    assert_eq!(dir.load().unwrap().agents["reception"].manner.shadows, []);
    assert_eq!(warned("semantic"), [&ours[..4], &["threshold"], &ours[4..]].concat());
}

#[test]
fn a_shadow_is_the_live_settings_but_for_what_it_says() {
    let dir = Dir::shipped();
    let head = "model = \"rehearsal\"\ninstructions = \"x\"\n";
    let text = "interruptions = { after_ms = 250 }\n[turn_detection]\nthreshold = 0.4\nmin_speech_ms = 90\n\
                [[shadow]]\nname = \"a\"\nthreshold = 0.7\nmin_interruption_ms = 0\n[[shadow]]\nname = \"b\"\n";
    dir.write("agents/reception.toml", format!("{head}{text}"));
    let agent = dir.load().unwrap_or_else(|e| panic!("{e}")).agents["reception"].clone();
    let TurnDetection::Local(live) = &agent.manner.turn_detection else { panic!("local is the default") };
    let [a, b] = &agent.manner.shadows[..] else { panic!("{:?}", agent.manner.shadows) };
    assert_eq!(a.turn, TurnSettings { threshold: 0.7, ..live.clone() });
    assert_eq!((a.interruptions, a.false_interruptions.shorter_than_ms), (Interruptions::AfterMs(250), 0));
    assert_eq!((&b.turn, b.false_interruptions), (live, agent.manner.false_interruptions));

    let other = candidate("--set", "engine = \"energy\"\nsilence_duration_ms = 900", b).unwrap();
    assert_eq!((other.turn.engine, other.turn.silence_duration_ms), (VadEngine::Energy, 900));
    assert_eq!((other.turn.threshold, other.interruptions), (0.4, Interruptions::AfterMs(250)));
    let wrong = candidate("--set", "silence_duration_ms = 9000\nmode = 3", b).unwrap_err().to_string();
    assert!(wrong.starts_with("--set:1:23: silence_duration_ms = 9000: out of range; allowed: 50-2000"), "{wrong}");
    assert!(wrong.contains("--set:2:1: mode: unknown key"), "{wrong}");
}

#[test]
fn a_good_check_lists_what_was_found_in_columns() {
    let dir = Dir::shipped();
    let other = DEPLOYMENT.replace("+15550100100", "+442079460000") + "\n";
    dir.write("deployments/x.toml", other.replace("#active = true", "active = false"));
    let shown = check_with(dir.path(), &env).to_string();
    assert!(shown.contains("\nmain-number  +15550100100   reception  rehearsal\n"), "{shown}");
    assert!(shown.contains("\nx            +442079460000  reception  rehearsal  inactive\n"), "{shown}");
    assert!(shown.contains("\nreception  rehearsal  the model's own  local (silero)\n"), "{shown}");
    assert!(shown.contains("\nopenai          wss://api.openai.com/v1/realtime\n"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_document_makes_the_reader_panic(
        which in 0usize..4,
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, "[ -~\n\"'={}\\[\\]#ä.]{0,8}"), 1..6),
    ) {
        let mut text = uncommented([SERVER, MODELS, AGENT, DEPLOYMENT][which]);
        for (at, cut, insert) in edits {
            let chars: Vec<char> = text.chars().collect();
            let at = at.index(chars.len() + 1);
            let tail = &chars[(at + cut).min(chars.len())..];
            text = chars[..at].iter().collect::<String>() + &insert + &tail.iter().collect::<String>();
        }
        let ids = [DocId::Server, DocId::Models, DocId::Agent("x".into()), DocId::Deployment("x".into())];
        let texts = [SERVER, MODELS, AGENT, DEPLOYMENT].into_iter().enumerate();
        let texts = texts.map(|(i, good)| if i == which { text.as_str() } else { good });
        let read = |(id, text): (DocId, &str)| {
            let file = id.to_string();
            (id.clone(), Some(Arc::new(catalogue::Read::new(id, &file, Ok(text.into()), &Silent, Vec::new))))
        };
        let mut all = catalogue::Catalogue::default();
        all.apply(ids.into_iter().zip(texts).map(read).collect(), &Silent);
        let resolved = resolve::strict(&all, Vec::new());
        let _ = resolved.problems.to_string();
        prop_assert_eq!(resolved.config.is_none(), resolved.problems.has_errors());
    }
}

/// A world in which every file is a WAV of silence.
pub(super) struct Silent;

impl world::World for Silent {
    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, path: &str, _: u64) -> Result<Vec<u8>, String> {
        static PAIR: LazyLock<[String; 2]> = LazyLock::new(|| {
            let made = rcgen::generate_simple_self_signed(["calls.example.com".to_owned()]).unwrap();
            [made.cert.pem(), made.signing_key.serialize_pem()]
        });
        if path.ends_with(".pem") {
            return Ok(PAIR[usize::from(path.ends_with("privkey.pem"))].clone().into_bytes());
        }
        let mut wav =
            b"RIFF\x26\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x02\0\0\0".to_vec();
        wav.extend([0, 0]);
        Ok(wav)
    }

    fn now(&self) -> std::time::SystemTime {
        std::time::SystemTime::now()
    }

    fn locate(&self, path: &str) -> PathBuf {
        path.into()
    }
}

fn a_model() -> Model {
    Model {
        name: "m".to_owned(),
        url: "ws://127.0.0.1/".to_owned(),
        api_key: None,
        headers: Vec::new(),
        format: crate::base::audio::AudioFormat::PHONE,
        dial_timeout_ms: 1,
        price: None,
        max_session_min: 1,
        mcp: false,
    }
}

fn agent_of(text: &str) -> Agent {
    let (draft, _) = reader::read("a.toml", text, |_, table| agent::read("a", table, &Silent));
    draft.unwrap().resolve(Arc::new(a_model()), &Default::default(), &Default::default())
}

/// `text` with its commented-out keys (`#key = …`, no space) taken out of their comments.
fn uncommented(text: &str) -> String {
    uncommented_but(text, &[])
}

/// The same, but for keys and sections that start with one of `but`; a section ends where the next begins.
fn uncommented_but(text: &str, but: &[&str]) -> String {
    let mut out = String::new();
    let mut left = false;
    for line in text.lines() {
        let key = |c: char| c.is_ascii_lowercase() || c == '[' || c == '{';
        // What is within a text of several lines starts in its own way.
        let bare = line.strip_prefix('#').filter(|l| l.starts_with(key) || l.starts_with("Summarise"));
        if let Some(header) = bare.or(Some(line)).filter(|l| l.starts_with('[')) {
            left = but.iter().any(|but| header.starts_with(but));
        }
        let bare = bare.filter(|l| !left && !but.contains(&l.split(' ').next().unwrap_or_default()));
        out.push_str(bare.unwrap_or(line));
        out.push('\n');
    }
    out
}

/// A deployment of the shipped agent, over a model that costs nothing.
fn linked(draft: &deployment::DeploymentDraft) -> link::Linked {
    let (agent, _) = reader::read("a.toml", AGENT, |_, table| agent::read("reception", table, &Silent));
    let (realtime, texts) = (
        [("rehearsal".to_owned(), Arc::new(a_model()))].into(),
        [("rehearsal-text".to_owned(), Arc::new(a_text_model()))].into(),
    );
    let known = link::Known {
        models: None,
        realtime: &realtime,
        texts: &texts,
        missing: &Default::default(),
        secrets: &Default::default(),
    };
    let agent = agent.unwrap();
    let (over, problems) = link::check_deployment(draft, &agent, &known, &Silent);
    assert!(problems.is_empty(), "{problems:#?}");
    let (alone, persona) = (link::agent(&agent, &known), link::persona(&agent, &known));
    link::deployment("d", draft, over, &agent, alone.as_ref(), &persona, &known).unwrap()
}

fn a_text_model() -> TextModel {
    TextModel {
        name: "m".to_owned(),
        base_url: "http://127.0.0.1".to_owned(),
        model: "m".to_owned(),
        api_key: None,
        headers: Vec::new(),
        price: None,
        dialect: TextDialect::Compatible,
    }
}
