//! What a phone deployment has otherwise than its agent (C-01).

use super::*;

const HEAD: &str = "channel = \"phone\"\nagent = \"reception\"\nnumber = \"+15550100100\"\n";

fn both(agent: &str, deployment: &str) -> Dir {
    let dir = Dir::shipped();
    dir.write("agents/reception.toml", format!("instructions = \"x\"\n{agent}"));
    dir.write("deployments/main-number.toml", format!("{HEAD}{deployment}"));
    dir
}

fn meant(agent: &str, deployment: &str) -> Arc<Deployment> {
    let dir = both(agent, deployment);
    dir.load().unwrap_or_else(|e| panic!("{agent}\n{deployment}\n{e}")).deployments["main-number"].clone()
}

#[test]
fn c_01_a_deployment_overrides_its_agent_key_by_key() {
    let agent = "model = \"rehearsal\"\nvoice = \"a\"\nspeed = 0.9\nlanguage = \"en\"\nnoise_reduction = \"far_field\"\n\
                 greeting = { say = \"Hello\" }\ntranscription = { model = \"t\", prompt = \"p\" }\n\
                 turn_detection = { threshold = 0.6, silence_duration_ms = 300 }\non_failure = { play = \"sounds/fallback.wav\", text = \"Sorry\" }\n\
                 limits = { max_minutes = 20, farewell_s = 15 }\nkeep = { recording = true }\noutbound = { ring_s = 20 }\n";
    let as_agent = meant(agent, "");
    assert_eq!(as_agent.limits.max_duration_s, 1_200);
    assert!(as_agent.keep.recording && as_agent.outbound.ring_s == 20);
    let own = "voice = \"b\"\nlanguage = \"pl\"\ngreeting = { play = \"sounds/greeting.wav\", text = \"Hi\" }\n\
               transcription = { prompt = \"q\" }\nturn_detection = { threshold = 0.7 }\non_failure = { play = \"sounds/hold.wav\" }\n\
               limits = { max_minutes = 5 }\nkeep = { journal = \"audio\" }\n";
    let d = meant(agent, own);
    let agent_of = &d.agent;
    assert_eq!(
        (agent_of.manner.voice.as_deref(), agent_of.manner.speed, agent_of.manner.language.as_deref()),
        (Some("b"), 0.9, Some("pl"))
    );
    assert_eq!(agent_of.manner.noise_reduction, NoiseReduction::FarField);
    assert!(matches!(&agent_of.manner.greeting, Spoken::Play(sound) if sound.text == "Hi"));
    assert_eq!(
        agent_of.manner.transcription,
        Some(Transcription { model: "t".to_owned(), prompt: Some("q".to_owned()) })
    );
    let TurnDetection::Local(turns) = &agent_of.manner.turn_detection else { panic!("local") };
    assert_eq!((turns.threshold, turns.silence_duration_ms, turns.min_speech_ms), (0.7, 300, 32));
    // Two keys of one recording belong together: the agent's text is not what this one says.
    assert_eq!(agent_of.manner.on_failure.line.as_ref().map(|line| line.text.as_str()), Some(""));
    assert_eq!((d.limits.max_duration_s, d.limits.farewell_s), (300, 15));
    assert_eq!((d.keep.recording, d.keep.journal, d.outbound.ring_s), (true, JournalKeep::Audio, 20));
    // What the engine runs by is the deployment's.
    let settings = CallSettings::new(&d, "", crate::base::audio::AudioFormat::PHONE, 1);
    assert_eq!((settings.turn_detection, settings.limits), (agent_of.manner.turn_detection.clone(), d.limits.clone()));
    let elsewhere = CallSettings::new(&d, "", crate::base::audio::AudioFormat::PHONE, 1).elsewhere;
    let moved = |key: &str| elsewhere.iter().any(|known| known == key);
    assert!(moved("voice") && moved("turn_detection.threshold") && moved("on_failure") && moved("limits.farewell_s"));
    assert!(!moved("speed") && !moved("limits.max_minutes") && !moved("turn_detection.silence_duration_ms"));
    let origin = |key: &str| d.origins.of(key).name();
    assert_eq!(
        ["voice", "speed", "turn_detection.threshold", "turn_detection.silence_duration_ms", "turn_detection.engine"]
            .map(origin),
        ["this deployment", "agent", "this deployment", "agent", "default"]
    );
    assert_eq!(
        ["limits.max_minutes", "limits.farewell_s", "limits.warn_before_s", "on_failure.text", "keep.journal"]
            .map(origin),
        ["this deployment", "agent", "default", "default", "this deployment"]
    );
}

#[test]
fn a_deployment_that_says_nothing_has_the_very_agent() {
    let dir = Dir::shipped();
    dir.write("deployments/second.toml", "channel = \"phone\"\nagent = \"reception\"\n");
    dir.write("deployments/third.toml", "channel = \"phone\"\nagent = \"reception\"\nspeed = 1.1\n");
    let config = dir.load().unwrap_or_else(|e| panic!("{e}"));
    assert!(Arc::ptr_eq(&config.deployments["main-number"].agent, &config.deployments["second"].agent));
    assert!(Arc::ptr_eq(&config.agents["reception"], &config.deployments["second"].agent));
    assert!(!Arc::ptr_eq(&config.agents["reception"], &config.deployments["third"].agent));
    assert_eq!(config.deployments["second"].number, None);
    assert!(config.deployment_for("+15550100100").is_some_and(|d| d.name == "main-number"));
}

#[test]
fn mod_01_a_phone_has_a_model_of_its_own_or_its_agents() {
    assert_eq!(meant("", "model = \"rehearsal\"\n").agent.model.name, "rehearsal");
    assert_eq!(meant("model = \"rehearsal\"\n", "").agent.model.name, "rehearsal");
    assert_eq!(
        both("", "").errors(),
        [
            "deployments/main-number.toml:2:9: agent = \"reception\": Choose a model.; allowed: model = \"…\" here, or in the agent's document"
        ]
    );
    // An agent that is met nowhere needs none, and what follows a call finds it by its name all the same.
    let dir = both("", "model = \"rehearsal\"\n");
    dir.write("agents/spare.toml", "instructions = \"x\"\n");
    let config = dir.load().unwrap_or_else(|e| panic!("{e}"));
    assert!(config.agents.contains_key("reception") && !config.agents.contains_key("spare"));
    assert!(config.personas.contains_key("spare"));
}

#[test]
fn phn_02_a_voice_that_the_model_lacks_is_told_with_those_it_has() {
    let models = format!("{MODELS}\n[v]\nurl = \"ws://127.0.0.1:1/\"\nvoices = [\"alloy\", \"verse\"]\n");
    for (agent, deployment, expected) in [
        (
            "model = \"v\"\nvoice = \"alloi\"\n",
            "",
            Some(
                "agents/reception.toml:3:9: voice = \"alloi\": the model \"v\" has no such voice; did you mean \"alloy\"?; allowed: alloy, verse",
            ),
        ),
        (
            "model = \"v\"\n",
            "voice = \"onyx\"\n",
            Some(
                "deployments/main-number.toml:4:9: voice = \"onyx\": the model \"v\" has no such voice; allowed: alloy, verse",
            ),
        ),
        (
            "model = \"rehearsal\"\nvoice = \"onyx\"\n",
            "model = \"v\"\n",
            Some(
                "deployments/main-number.toml:4:9: model = \"v\": the agent's voice is \"onyx\", and this model has it not; allowed: voice = one of alloy, verse here",
            ),
        ),
        ("model = \"rehearsal\"\nvoice = \"onyx\"\n", "model = \"v\"\nvoice = \"verse\"\n", None),
        ("model = \"v\"\nvoice = \"voice_123\"\n", "", None),
        ("model = \"v\"\n", "", None),
    ] {
        let dir = both(agent, deployment);
        dir.write("models.toml", &models);
        assert_eq!(dir.errors(), expected.into_iter().collect::<Vec<_>>(), "{agent}\n{deployment}");
    }
}

#[test]
fn what_goes_not_together_is_told_of_the_deployment() {
    let disabled = "model = \"rehearsal\"\nturn_detection = { mode = \"disabled\", commit_key = \"*\" }\n";
    for (agent, deployment, expected) in [
        // By itself each is right.
        (
            "model = \"rehearsal\"\nlimits = { max_minutes = 10, warn_before_s = 90 }\n",
            "limits = { max_minutes = 1 }\n",
            &[
                "deployments/main-number.toml: goes not with line 3 of the agent: is as long as the call; allowed: less than max_minutes, which is 60 s; 0 for no warning",
            ][..],
        ),
        (
            disabled,
            "keys = { terminator = \"*\" }\n",
            &["deployments/main-number.toml:4:23: terminator = \"*\": is turn_detection.commit_key, which ends turns"],
        ),
        (disabled, "keys = { actions = { 1 = \"commit\" } }\n", &[]),
        (
            "model = \"rehearsal\"\n",
            "keys = { actions = { 1 = \"commit\" } }\n",
            &[
                "deployments/main-number.toml:4:26: 1 = \"commit\": belongs to turn_detection.mode = \"disabled\": in any other, speech ends turns",
            ],
        ),
        (
            "model = \"rehearsal\"\ndestination = [{ name = \"desk\", number = \"+15550100142\" }]\n",
            "keys = { actions = { 0 = { transfer = \"desk\" } } }\n",
            &[],
        ),
        (
            "model = \"rehearsal\"\nvariables = { crm = { name = \"\" } }\n",
            "greeting = { say = \"Hi {{crm.nmae}}, {{crm.name}}\" }\n",
            &[
                "deployments/main-number.toml:4:24: {{crm.nmae}}: there is no such variable; did you mean {{crm.name}}?; allowed: call.agent, call.deployment, call.direction, call.from, call.id, call.started, call.to, crm.name, system.date, system.now, system.open, system.opens_at, system.time, system.timezone, system.weekday",
            ],
        ),
        (
            "model = \"rehearsal\"\n",
            "limits = { max_cost = 1 }\n",
            &[
                "deployments/main-number.toml:4:23: max_cost = 1: means nothing: the model \"rehearsal\" has no price; allowed: a table [rehearsal.price] in models.toml",
            ],
        ),
        (
            "model = \"rehearsal\"\n",
            "speed = 3\nlanguage = \"English\"\n[limits]\nmax_minutes = 1441\nminutes = 2\n",
            &[
                "deployments/main-number.toml:4:9: speed = 3: out of range; allowed: 0.25-1.5",
                "deployments/main-number.toml:5:12: language = \"English\": is not valid; allowed: an ISO 639-1 code such as \"en\" or \"pl\"",
                "deployments/main-number.toml:7:15: max_minutes = 1441: out of range; allowed: 0-1440",
                "deployments/main-number.toml:8:1: minutes: unknown key; allowed: max_minutes, warn_before_s, max_model_minutes, farewell_s, caller_silence_s, caller_gone_s, line_back_s, model_silence_ms, model_recovery_s, transcript_wait_ms, media_start_s, early_audio_ms, max_cost, max_cost_per_number_and_day, max_cost_per_day",
            ],
        ),
        (
            "model = \"rehearsal\"\n",
            "instructions = \"y\"\n",
            &["deployments/main-number.toml:4:1: instructions: unknown key; ALLOWED"],
        ),
    ] {
        let dir = both(agent, deployment);
        let said: Vec<String> = dir
            .errors()
            .into_iter()
            .map(|line| match line.split_once("instructions: unknown key; ") {
                Some((before, _)) => format!("{before}instructions: unknown key; ALLOWED"),
                None => line,
            })
            .collect();
        assert_eq!(said, expected, "{agent}\n{deployment}");
    }
}

#[test]
fn what_has_no_effect_is_judged_with_the_agents_settings() {
    let semantic = "model = \"rehearsal\"\nturn_detection = { mode = \"semantic\" }\n";
    let warned = |agent: &str, deployment: &str| {
        both(agent, deployment).said().into_iter().filter(|line| line.starts_with("deployments/")).collect::<Vec<_>>()
    };
    assert_eq!(warned(semantic, "turn_detection = { eagerness = \"low\" }\n"), [""; 0]);
    let said = warned(semantic, "turn_detection = { threshold = 0.4 }\n");
    assert!(said.len() == 1 && said[0].contains("has no effect"), "{said:#?}");
}

#[test]
fn a_key_is_found_by_its_path_where_it_stands() {
    let text = reader::Text {
        file: "d.toml".into(),
        source: "a = 1\n[hours]\ntimezone = \"UTC\"\nmon = [\n]\n[look.preview]\nmessage = \"x\"\n".into(),
    };
    for (path, line, column) in [
        ("a", 1, 5),
        ("hours.timezone", 3, 12),
        ("hours.mon", 4, 7),
        ("look.preview.message", 7, 11),
        ("hours.tue", 0, 0),
        ("a.b", 0, 0),
        ("", 0, 0),
    ] {
        let place = text.place_of(path);
        assert_eq!((place.line, place.column), (line, column), "{path}");
    }
}
