//! Documents as data: what is said about bad ones, and what the shipped ones mean.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const SOUNDS: [&str; 5] = ["fallback", "farewell", "filler", "greeting", "hold"];
const SERVER: &str = include_str!("../../config/offhook.toml");
const MODELS: &str = include_str!("../../config/models.toml");
const AGENT: &str = include_str!("../../config/agents/reception.toml");
const DEPLOYMENT: &str = include_str!("../../config/deployments/main-number.toml");

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
        "KEY" => Some("sk-very-secret".to_owned()),
        "EMPTY" => Some(String::new()),
        "TWO_LINES" => Some("a\nb".to_owned()),
        _ => None,
    }
}

const MODEL: &str = "[m]\nurl = \"ws://127.0.0.1:1/v1/realtime\"\n";

#[test]
fn shipped_configuration_passes_on_a_fresh_clone() {
    let dir = Dir::shipped();
    let config = dir.load().unwrap_or_else(|problems| panic!("{problems}"));
    let deployment = config.deployment_for("+15550100100").unwrap();
    assert_eq!(deployment.agent.name, "reception");
    assert_eq!(deployment.agent.model.url, "ws://127.0.0.1:8765/v1/realtime?model=rehearsal");
    assert_eq!(deployment.limits.max_duration_s, 600);
    assert_eq!(deployment.agent.tools, [BuiltInTool::Note, BuiltInTool::HangUp]);
    assert!(matches!(&deployment.agent.greeting, Greeting::Play(sound) if sound.audio.len() == 160));
    // It fails closed: without a token nothing is accepted, and that is said.
    assert!(config.server.twilio.check_signatures);
    let said = dir.said();
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(
        said[0].starts_with("offhook.toml: warning: no calls will be accepted until twilio.auth_token"),
        "{said:?}"
    );
}

#[test]
fn shipped_server_document_equals_the_defaults_and_shows_every_key() {
    let dir = Dir::shipped();
    let shipped = dir.load().unwrap().server;
    let empty = dir.write("offhook.toml", "").load().unwrap().server;
    assert_eq!(format!("{shipped:?}"), format!("{empty:?}"));
    let read = |text: &str| {
        let world = Silent;
        let (_, noted) = reader::read("offhook.toml", text, |_, table| server::read(table, &world));
        noted
    };
    assert_shows_every_key(SERVER, &read(SERVER).known);
    // Taken out of their comments the examples are known, and right.
    let noted = read(&uncommented(SERVER));
    let said: Vec<_> = noted.problems.iter().map(ToString::to_string).collect();
    assert!(said.iter().all(|s| s.contains("auth_token") && s.contains("not set")), "{said:#?}");
}

#[test]
fn shipped_agent_and_deployment_show_every_key_with_its_default() {
    let read_agent = |text: &str| {
        let (draft, noted) = reader::read("a.toml", text, |_, table| agent::read("a", table, &Silent));
        let model = Arc::new(a_model());
        (format!("{:?}", draft.unwrap().resolve(model)), noted)
    };
    let (shipped, noted) = read_agent(AGENT);
    assert_shows_every_key(AGENT, &noted.known);
    // Examples of keys whose default is to have none; all other commented-out keys show their default.
    let examples = ["voice", "max_output_tokens", "prompt", "commit_key"];
    let (all, noted) = read_agent(&uncommented_but(AGENT, &examples));
    assert_eq!(shipped, all);
    let warned = noted.problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(matches!(&warned[..], [one] if one.contains("eagerness") && one.contains("has no effect")), "{warned:?}");
    let (_, noted) = read_agent(&uncommented_but(AGENT, &[]));
    assert!(noted.problems.iter().all(|p| !p.is_error()));

    let read_deployment = |text: &str| {
        let (draft, noted) = reader::read("d.toml", text, |_, table| deployment::read(table));
        let agent = Arc::new(agent_of(AGENT));
        (format!("{:?}", draft.unwrap().resolve("d", agent)), noted)
    };
    let (shipped, noted) = read_deployment(DEPLOYMENT);
    assert_shows_every_key(DEPLOYMENT, &noted.known);
    let (all, noted) = read_deployment(&uncommented(DEPLOYMENT));
    assert_eq!(shipped, all);
    assert!(noted.problems.is_empty());
}

#[test]
fn shipped_models_are_right_with_their_examples() {
    let (models, noted) = reader::read("models.toml", &uncommented(MODELS), |_, table| model::read(table));
    assert!(noted.problems.is_empty(), "{:?}", noted.problems);
    let models = models.unwrap();
    assert_eq!(models.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["azure", "openai", "rehearsal"]);
    // Every key of a model is explained.
    for path in noted.known.iter().filter(|path| path.starts_with("azure.") && path.matches('.').count() == 1) {
        let key = path.trim_start_matches("azure.");
        assert!(MODELS.contains(&format!("#   {key} ")), "{key} is not explained");
    }
}

/// What each bad document is told. `{agent}` etc. name the document that the text replaces.
#[test]
fn bad_documents_are_told_what_is_wrong_where_and_what_is_allowed() {
    let agent = |rest: &str| format!("model = \"rehearsal\"\ninstructions = \"x\"\n{rest}");
    let deployment = |rest: &str| format!("agent = \"reception\"\nnumber = \"+15550100100\"\n{rest}");
    let cases: Vec<(&str, String, &[&str])> = vec![
        ("offhook.toml", "max_cals = 3".into(), &[
            "offhook.toml:1:1: max_cals: unknown key; did you mean max_calls?; allowed: listen, public_url, data_dir, max_calls, drain_s, tls, twilio, log",
        ]),
        ("offhook.toml", "zzz = 3".into(), &[
            "offhook.toml:1:1: zzz: unknown key; allowed: listen, public_url, data_dir, max_calls, drain_s, tls, twilio, log",
        ]),
        ("offhook.toml", "# head\n\nmax_calls   = 0".into(), &[
            "offhook.toml:3:15: max_calls   = 0: out of range; allowed: 1-10000",
        ]),
        ("offhook.toml", "max_calls = -1".into(), &["offhook.toml:1:13: max_calls = -1: out of range; allowed: 1-10000"]),
        ("offhook.toml", "max_calls = 99999999999999999999".into(), &[
            "offhook.toml:1:13: max_calls = 99999999999999999999: out of range; allowed: 1-10000",
        ]),
        ("offhook.toml", "max_calls = \"many\"".into(), &[
            "offhook.toml:1:13: max_calls = \"many\": must be a whole number, not a string; allowed: 1-10000",
        ]),
        ("offhook.toml", "listen = \"localhost\"".into(), &[
            "offhook.toml:1:10: listen = \"localhost\": is not an address and port; allowed: such as \"127.0.0.1:8080\" or \"[::]:8080\"",
        ]),
        ("offhook.toml", "public_url = \"https://x.example/calls\"".into(), &[
            "offhook.toml:1:14: public_url = \"https://x.example/calls\": has a path; allowed: scheme, host and port only, such as \"https://calls.example.com\"",
        ]),
        ("offhook.toml", "public_url = \"calls.example.com\"".into(), &[
            "offhook.toml:1:14: public_url = \"calls.example.com\": is not a URL (relative URL without a base); allowed: a URL such as https://example.com",
        ]),
        ("offhook.toml", "[twilio]\ncheck_signatures = 1".into(), &[
            "offhook.toml:2:20: check_signatures = 1: must be a boolean, not an integer; allowed: true, false",
        ]),
        ("offhook.toml", "[twilio]\naccount_sid = \"AC1\"".into(), &[
            "offhook.toml:2:15: account_sid = \"AC1\": is not valid; allowed: AC and 32 hexadecimal digits, as the console shows it",
        ]),
        ("offhook.toml", "[twilio]\nauth_token = { env = \"NOPE\" }".into(), &[
            "offhook.toml:2:14: auth_token = { env = \"NOPE\" }: environment variable NOPE is not set; allowed: set it where the server is started",
        ]),
        ("offhook.toml", "[tls]\ncert = \"no.pem\"".into(), &[
            "offhook.toml:1:1: tls.key is missing: the PEM file of the certificate's private key",
            "offhook.toml:2:8: cert = \"no.pem\": {dir}no.pem: there is no such file",
        ]),
        ("offhook.toml", "[log]\nformat = \"jsno\"".into(), &[
            "offhook.toml:2:10: format = \"jsno\": unknown value; did you mean json?; allowed: text, json",
        ]),
        ("offhook.toml", "log = 3\nlog.format = 4".into(), &["offhook.toml:2:1: log: cannot extend value of type integer with a dotted key"]),
        ("offhook.toml", "a = 1\na = 2".into(), &["offhook.toml:2:1: a: duplicate key"]),
        ("models.toml", "[rehearsal]\nurl = \"https://example.com\"".into(), &[
            "models.toml:2:7: url = \"https://example.com\": cannot be of https:; allowed: ws://, wss://",
        ]),
        ("models.toml", "[rehearsal]".into(), &["models.toml:1:1: rehearsal.url is missing: the model's WebSocket URL"]),
        ("models.toml", "[rehearsal]\nurl = \"ws://127.0.0.1/\"\nheaders = { \"a b\" = { env = \"KEY\" }, Host = { env = \"KEY\" } }".into(), &[
            "models.toml:3:13: \"a b\": is not the name of a header; allowed: letters, digits and -",
            "models.toml:3:38: Host: is a header that the WebSocket handshake sets itself",
        ]),
        ("agents/reception.toml", agent("speed = 2"), &["agents/reception.toml:3:9: speed = 2: out of range; allowed: 0.25-1.5"]),
        ("agents/reception.toml", agent("speed = nan"), &["agents/reception.toml:3:9: speed = nan: out of range; allowed: 0.25-1.5"]),
        ("agents/reception.toml", agent("language = \"English\""), &[
            "agents/reception.toml:3:12: language = \"English\": is not valid; allowed: an ISO 639-1 code such as \"en\" or \"pl\"",
        ]),
        ("agents/reception.toml", agent("[turn_detection]\nsilence_duration_ms = 20"), &[
            "agents/reception.toml:4:23: silence_duration_ms = 20: out of range; allowed: 50-2000",
        ]),
        ("agents/reception.toml", agent("[turn_detection]\nmode = \"local\""), &[
            "agents/reception.toml:4:8: mode = \"local\": local turn detection is not there yet; use provider, semantic or disabled",
        ]),
        ("agents/reception.toml", agent("[turn_detection]\nmode = \"disabled\"\ncommit_key = \"##\""), &[
            "agents/reception.toml:5:14: commit_key = \"##\": is not valid; allowed: one key: 0-9, *, #, A-D",
        ]),
        ("agents/reception.toml", agent("interruptions = { after_ms = 0 }"), &[
            "agents/reception.toml:3:30: after_ms = 0: out of range; allowed: 1-5000",
        ]),
        ("agents/reception.toml", agent("interruptions = true"), &[
            "agents/reception.toml:3:17: interruptions = true: is of the wrong type; allowed: \"on\", \"off\", { after_ms = 1-5000 }",
        ]),
        ("agents/reception.toml", agent("greeting = { say = \"a\", play = \"sounds/greeting.wav\" }"), &[
            "agents/reception.toml:3:12: greeting = { say = \"a\", play = \"sounds/greeting.wav\" }: needs either say or play; allowed: \"none\", { say = \"…\" }, { play = \"sounds/….wav\", text = \"…\" }",
        ]),
        ("agents/reception.toml", agent("tools = [\"note\", \"hangup\", \"note\"]"), &[
            "agents/reception.toml:3:18: \"hangup\": unknown value; did you mean hang_up?; allowed: note, hang_up",
            "agents/reception.toml:3:28: \"note\": is named twice",
        ]),
        ("agents/reception.toml", agent("on_failure.then = { transfer = \"5550100\" }"), &[
            "agents/reception.toml:3:32: transfer = \"5550100\": is not valid; allowed: E.164: + and 7 to 15 digits, such as \"+15550100100\"",
        ]),
        ("agents/reception.toml", agent("transcription = \"on\""), &[
            "agents/reception.toml:3:17: transcription = \"on\": unknown value; allowed: off",
        ]),
        ("agents/reception.toml", agent("hold_sound = \"sounds/nope.wav\""), &[
            "agents/reception.toml:3:14: hold_sound = \"sounds/nope.wav\": {dir}sounds/nope.wav: there is no such file; allowed: {wav}",
        ]),
        ("agents/reception.toml", agent("hold_sound = \"offhook.toml\""), &[
            "agents/reception.toml:3:14: hold_sound = \"offhook.toml\": is not a usable WAV file (Ill-formed WAVE file: no RIFF tag found); allowed: {wav}",
        ]),
        ("agents/reception.toml", agent("filler = \"sounds\""), &[
            "agents/reception.toml:3:10: filler = \"sounds\": {dir}sounds: is not a file; allowed: {wav}",
        ]),
        ("agents/reception.toml", "model = \"rehersal\"".into(), &[
            "agents/reception.toml: instructions is missing: what the agent is told about itself and its work",
            "agents/reception.toml:1:9: model = \"rehersal\": there is no model \"rehersal\"; did you mean \"rehearsal\"?; allowed: openai, rehearsal",
        ]),
        ("agents/reception.toml", "model = \"rehearsal\"\ninstructions = \" \"".into(), &[
            "agents/reception.toml:2:16: instructions = \" \": is empty",
        ]),
        ("deployments/main-number.toml", "agent = \"receptoin\"\nnumber = \"+0155\"".into(), &[
            "deployments/main-number.toml:1:9: agent = \"receptoin\": there is no agent \"receptoin\"; did you mean \"reception\"?; allowed: reception",
            "deployments/main-number.toml:2:10: number = \"+0155\": is not valid; allowed: E.164: + and 7 to 15 digits, such as \"+15550100100\"",
        ]),
        ("deployments/main-number.toml", deployment("[limits]\nmax_minutes = 1\nwarn_before_s = 60"), &[
            "deployments/main-number.toml:5:17: warn_before_s = 60: is as long as the call; allowed: less than max_minutes, which is 60 s; 0 for no warning",
        ]),
        ("deployments/main-number.toml", deployment("[keep]\njournal = true"), &[
            "deployments/main-number.toml:4:11: journal = true: must be a string, not a boolean; allowed: off, decisions, audio",
        ]),
        ("deployments/main-number.toml", deployment("limits = 5"), &[
            "deployments/main-number.toml:3:10: limits = 5: must be a table, not an integer",
        ]),
        ("deployments/no good.toml", deployment("").replace("0100", "0101"), &[
            "deployments/no good.toml: the file's name is not a name; allowed: 1 to 64 letters, digits, - and _",
        ]),
    ];
    for (file, text, expected) in cases {
        let dir = Dir::shipped();
        dir.write(file, &text);
        let prefix = format!("{}/", dir.path().display());
        let expected: Vec<String> =
            expected.iter().map(|e| e.replace("{dir}", "").replace("{wav}", sound::ALLOWED)).collect();
        let said: Vec<String> = dir.errors().iter().map(|line| line.replace(&prefix, "")).collect();
        assert_eq!(said, expected, "\n{file}:\n{text}");
        assert!(dir.load().is_err(), "{file}:\n{text}");
    }
}

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
    dir.write("deployments/main-number.toml", "agent = \"reception\"\nnumber = \"ä\"  # mine");
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
    assert!(errors[0].starts_with("deployments/second.toml:9:10: number = \"+15550100100\": another deployment"));
    assert!(errors[0].contains("deployments/main-number.toml:8:10"), "{errors:?}");
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
    assert_eq!(
        dir.errors(),
        [
            "models.toml:26:11: api_key = { env = \"OPENAI_API_KEY\" }: environment variable OPENAI_API_KEY is not set; allowed: set it where the server is started",
        ]
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
    // What editors leave behind is no document.
    dir.write("agents/reception.toml", AGENT).write("agents/.x.toml", "[").write("agents/x.toml~", "[");
    assert!(dir.load().is_ok());
    let nowhere = load_with(&dir.path().join("nowhere"), &env).unwrap_err().to_string();
    assert!(nowhere.contains("nowhere/offhook.toml: there is no such file; is "), "{nowhere}");
}

#[test]
fn recordings_are_bounded_and_checked() {
    let dir = Dir::shipped();
    dir.wav("sounds/hold.wav", 8_000, 60 * 8_000);
    assert!(dir.load().is_ok());
    dir.wav("sounds/hold.wav", 8_000, 60 * 8_000 + 1);
    assert!(dir.errors()[0].contains("is longer than 60 s"), "{:?}", dir.errors());
    dir.wav("sounds/hold.wav", 8_000, 0);
    assert!(dir.errors()[0].contains("has no audio"), "{:?}", dir.errors());
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
fn a_good_check_lists_what_was_found_in_columns() {
    let dir = Dir::shipped();
    let other = DEPLOYMENT.replace("+15550100100", "+442079460000") + "\n";
    dir.write("deployments/x.toml", other.replace("#active = true", "active = false"));
    let shown = check_with(dir.path(), &env).to_string();
    assert!(shown.contains("\nmain-number  +15550100100   reception  rehearsal\n"), "{shown}");
    assert!(shown.contains("\nx            +442079460000  reception  rehearsal  inactive\n"), "{shown}");
    assert!(shown.contains("\nopenai     wss://api.openai.com/v1/realtime\n"), "{shown}");
}

#[test]
fn a_change_applies_at_once_and_a_bad_one_leaves_the_last_good() {
    let dir = Dir::shipped();
    let source = Source::open_with(dir.path(), env, |config| config.server.max_calls = 7).unwrap();
    let first = source.current();
    assert_eq!(first.server.max_calls, 7);
    assert_eq!(source.current().revision, first.revision);
    for round in 0..20 {
        // Same length, same inode, within one tick of the clock: seen all the same.
        dir.write(
            "agents/reception.toml",
            AGENT.replace("language = \"en\"", &format!("language = \"a{}\"", (b'a' + round) as char)),
        );
        let language = source.current().agents["reception"].language.clone();
        assert_eq!(language.as_deref(), Some(format!("a{}", (b'a' + round) as char).as_str()));
    }
    let good = source.current();
    dir.write("agents/reception.toml", "model = ");
    assert_eq!(source.current().revision, good.revision);
    assert!(source.problems().has_errors());
    dir.write("agents/reception.toml", AGENT);
    assert_eq!(source.current().revision, first.revision);
    assert!(!source.problems().has_errors());
    // A recording that comes back, and documents that come and go, are changes too.
    dir.remove("sounds/hold.wav");
    assert!(source.problems().has_errors());
    dir.wav("sounds/hold.wav", 8_000, 320);
    assert!(!source.problems().has_errors());
    assert_eq!(source.current().agents["reception"].hold_sound.as_ref().unwrap().audio.len(), 320);
    dir.write("deployments/more.toml", DEPLOYMENT.replace("+1555", "+1556"));
    assert!(source.current().deployment_for("+15560100100").is_some());
    dir.remove("deployments/more.toml");
    assert!(source.current().deployment_for("+15560100100").is_none());
}

#[test]
fn an_unchanged_directory_is_not_read_again() {
    let dir = Dir::shipped();
    let reads = Arc::new(Mutex::new(0));
    let counted = reads.clone();
    let source = Source::open_with(dir.path(), env, move |_| *counted.lock().unwrap() += 1).unwrap();
    // Until the files are old enough to be told apart by their times they are read each time.
    let settled = (0..1_000).any(|_| {
        let before = *reads.lock().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1));
        source.current();
        *reads.lock().unwrap() == before
    });
    assert!(settled);
    let before = *reads.lock().unwrap();
    for _ in 0..100 {
        source.current();
    }
    assert_eq!(*reads.lock().unwrap(), before);
}

#[test]
fn a_rotated_secret_file_is_taken_up() {
    let dir = Dir::shipped();
    dir.write("token", "one").write("offhook.toml", "twilio.auth_token = { file = \"token\" }");
    let source = Source::open_with(dir.path(), env, |_| {}).unwrap();
    dir.write("token", "two");
    assert_eq!(source.current().server.twilio.auth_token.as_ref().unwrap().expose(), "two");
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
        let document = |name: &str, text: &str| resolve::Document {
            file: name.to_owned(), name: "x".to_owned(), text: Ok(text.to_owned()),
        };
        let pick = |i: usize, good: &str| if i == which { text.clone() } else { good.to_owned() };
        let documents = resolve::Documents {
            server: document("offhook.toml", &pick(0, SERVER)),
            models: Some(document("models.toml", &pick(1, MODELS))),
            agents: vec![document("x.toml", &pick(2, AGENT))],
            deployments: vec![document("x.toml", &pick(3, DEPLOYMENT))],
        };
        let resolved = resolve::resolve(documents, String::new(), &Silent);
        let _ = resolved.problems.to_string();
        prop_assert_eq!(resolved.config.is_none(), resolved.problems.has_errors());
    }
}

/// A world in which every file is a WAV of silence.
struct Silent;

impl world::World for Silent {
    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &str, _: u64) -> Result<Vec<u8>, String> {
        let mut wav =
            b"RIFF\x26\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x02\0\0\0".to_vec();
        wav.extend([0, 0]);
        Ok(wav)
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
        format: crate::audio::AudioFormat::PHONE,
        dial_timeout_ms: 1,
        max_session_min: 1,
    }
}

fn agent_of(text: &str) -> Agent {
    let (draft, _) = reader::read("a.toml", text, |_, table| agent::read("a", table, &Silent));
    draft.unwrap().resolve(Arc::new(a_model()))
}

/// Every known key stands in `text`, by itself or commented out.
fn assert_shows_every_key(text: &str, known: &BTreeSet<String>) {
    let shown = |key: &str| {
        text.lines().map(|line| line.trim_start_matches('#')).any(|line| {
            line.starts_with(&format!("{key} "))
                || line.starts_with(&format!("[{key}]"))
                || line.contains(&format!("{{ {key} = "))
                || line.contains(&format!(", {key} = "))
        })
    };
    for path in known {
        let key = path.rsplit('.').next().unwrap();
        assert!(shown(key), "{path} is not shown");
    }
    assert!(known.len() > 8);
}

/// `text` with its commented-out keys (`#key = …`, no space) taken out of their comments.
fn uncommented(text: &str) -> String {
    uncommented_but(text, &[])
}

fn uncommented_but(text: &str, but: &[&str]) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let bare = line.strip_prefix('#').filter(|l| l.starts_with(|c: char| c.is_ascii_lowercase() || c == '['));
        let bare = bare.filter(|l| !but.contains(&l.split(' ').next().unwrap_or_default()));
        out.push_str(bare.unwrap_or(line));
        out.push('\n');
    }
    out
}
