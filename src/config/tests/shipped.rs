//! What the shipped documents mean: the defaults, all of them.

use super::link::Linked;
use super::*;

#[test]
fn shipped_configuration_passes_on_a_fresh_clone() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let config = load_with(&here, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    let deployment = config.deployment_for("+15550100100").unwrap();
    assert_eq!(deployment.agent.name, "reception");
    assert_eq!(deployment.agent.model.url, "ws://127.0.0.1:8765/v1/realtime?model=rehearsal");
    assert_eq!(deployment.limits.max_duration_s, 600);
    assert_eq!(deployment.agent.tools, Tool::built_ins(&[ToolKind::Note, ToolKind::HangUp]));
    assert!(matches!(&deployment.agent.manner.greeting, Spoken::Play(sound) if sound.audio.len() > 8_000));
    // It fails closed: without a token nothing is accepted, and that is said.
    assert!(config.server.twilio.check_signatures);
    let said = Dir::shipped().said();
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
    let secrets = ["token = ", "secret = ", "url = { env", "seal_key = ", "signing_key = "];
    let unset = |s: &String| secrets.iter().any(|key| s.contains(key)) && s.contains("not set");
    assert!(said.iter().all(unset), "{said:#?}");
    assert_shows_every_key(SERVER, &noted.known);
    assert!(noted.known.contains("webhooks.retry_first_ms"));
}

#[test]
fn shipped_agent_and_deployment_show_every_key_with_its_default() {
    let read_agent = |text: &str| {
        let (draft, noted) = reader::read("a.toml", text, |_, table| agent::read("a", table, &Silent));
        let model = Arc::new(a_model());
        (format!("{:?}", draft.unwrap().resolve(model, &Default::default(), &Default::default())), noted)
    };
    let (shipped, noted) = read_agent(AGENT);
    // What a deployment has too is shown there.
    let shown_there = |path: &&String| {
        let top = path.split('.').next().unwrap_or_default();
        !terms::KEYS.contains(&top) && top != "tool_sound" && !path.starts_with("hours.")
    };
    assert_shows_every_key(AGENT, &noted.known.iter().filter(shown_there).cloned().collect());
    // Examples of keys whose default is to have none; all other commented-out keys show their default.
    let examples = [
        "text_model",
        "max_calls",
        "schedule",
        "hours",
        "voice",
        "max_output_tokens",
        "prompt",
        "commit_key",
        "shadow",
        "back_channels",
        "disclaimer",
        "meaning",
        "actions",
        "[variables.call]",
        "[variables.crm]",
        "[[destination]]",
        "[[tool]]",
        "[tool.http]",
        "[[mcp]]",
        "[fetch]",
        "[analysis]",
        "[qc]",
        "[push]",
    ];
    let (all, noted) = read_agent(&uncommented_but(AGENT, &examples));
    assert_eq!(shipped, all);
    let warned = noted.problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(matches!(&warned[..], [one] if one.contains("eagerness") && one.contains("has no effect")), "{warned:?}");
    let (_, noted) = read_agent(&uncommented_but(AGENT, &[]));
    assert!(noted.problems.iter().all(|p| !p.is_error()), "{:#?}", noted.problems);
    // The defaults that the examples show, as they are when nothing is said.
    let bare = "model = \"m\"\ninstructions = \"x\"\n[variables.crm]\nname = \"\"\n";
    let least = "[[destination]]\nname = \"a\"\nnumber = \"+15550100142\"\n[[tool]]\nname = \"a\"\ndescription = \"b\"\n\
                 http = { url = \"https://a.example/\" }\n[fetch]\nurl = \"https://a.example/\"\n[push]\nurl = \"https://a.example/\"\n";
    let agent = agent_of(&format!("{bare}{least}"));
    assert_eq!((agent.tools[0].timeout_ms, agent.destinations[0].ring_s), (8_000, 25));
    let (tool, fetch) = (&agent.http_tools["a"].request, agent.fetch.as_ref().unwrap());
    assert_eq!((tool.method, tool.retries, tool.max_response_bytes), (Method::Post, 0, 65_536));
    assert_eq!((fetch.request.method, fetch.deadline_ms), (Method::Get, 800));
    assert_eq!(fetch.map, [("crm.name".to_owned(), "/name".to_owned())].into());
    let push = agent.after.push.as_ref().unwrap();
    assert_eq!((push.request.method, push.request.retries, push.timeout_ms), (Method::Post, 5, 30_000));

    let read_deployment = |text: &str| {
        let (draft, noted) = reader::read("d.toml", text, |_, table| deployment::read(table, &Silent));
        let Linked::Phone(deployment) = linked(&draft.unwrap()) else { panic!("a phone") };
        let meant = Deployment { origins: Origins::default(), ..Arc::unwrap_or_clone(deployment) };
        (format!("{meant:?}"), noted)
    };
    let (shipped, _) = read_deployment(DEPLOYMENT);
    for key in manner::KEYS {
        assert!(DEPLOYMENT.split(|c: char| !c.is_ascii_lowercase() && c != '_').any(|word| word == key), "{key}");
    }
    // Examples of keys whose default is to have none.
    let examples = ["title", "key", "model", "voice", "activate_at", "deactivate_at", "[hours]", "[hours.exceptions]"];
    let (all, noted) = read_deployment(&uncommented_but(DEPLOYMENT, &examples));
    assert_eq!(shipped, all);
    assert!(noted.problems.is_empty());
    let (_, noted) = read_deployment(&uncommented(DEPLOYMENT));
    assert!(noted.problems.iter().all(|p| p.message.contains("has no effect")), "{:#?}", noted.problems);
    // What is the agent's is shown there, but for a deployment to name.
    let shown_here = |path: &&String| !manner::KEYS.contains(&path.split('.').next().unwrap_or_default());
    assert_shows_every_key(DEPLOYMENT, &noted.known.iter().filter(shown_here).cloned().collect());
    assert!(noted.known.contains("outbound.ring_s") && noted.known.contains("tool_sound.volume_db"));
}

#[test]
fn shipped_chats_show_every_key_with_its_default() {
    for (text, examples) in [
        (WEBSITE, ["backup_model", "key", "origins", "welcome", "suggestions", "link_previews", "schedule", "hours"]),
        (INTERNAL, ["backup_model", "key", "avatar", "welcome", "schedule", "hours", "-", "-"]),
    ] {
        let read = |text: &str| {
            let (draft, noted) = reader::read("d.toml", text, |_, table| deployment::read(table, &Silent));
            let Linked::Chat(chat) = linked(&draft.unwrap()) else { panic!("a chat") };
            let mut chat = Arc::unwrap_or_clone(chat);
            if let ChatSettings::Website(website) = &mut chat.settings {
                // A default that is said is one.
                assert_eq!(website.look.palette(false), Palette::LIGHT);
                website.look.colours = Palette::default();
            }
            (format!("{chat:?}"), noted)
        };
        let (shipped, noted) = read(text);
        let shown = |path: &&String| !path.starts_with("hours.") && !path.starts_with("schedule.");
        assert_shows_every_key(text, &noted.known.iter().filter(shown).cloned().collect());
        let but: Vec<&str> =
            examples.into_iter().chain(["title", "logo", "[look.preview]", "#Ask", "#Hello"]).collect();
        let (all, noted) = read(&uncommented_but(text, &but));
        assert_eq!(all, shipped);
        assert!(noted.problems.is_empty(), "{:#?}", noted.problems);
        let all = uncommented(text);
        let (_, noted) = reader::read("d.toml", &all, |_, table| deployment::read(table, &Pictures));
        assert!(noted.problems.is_empty(), "{:#?}", noted.problems);
    }
}

#[test]
fn shipped_models_are_right_with_their_examples() {
    let (models, noted) = reader::read("models.toml", &uncommented(MODELS), |_, table| model::read(table));
    assert!(noted.problems.is_empty(), "{:?}", noted.problems);
    let models = models.unwrap();
    assert_eq!(
        models.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["azure", "openai", "openai-text", "rehearsal", "rehearsal-text"]
    );
    // Every key of a model is explained.
    let models = ["azure.", "openai-text."];
    for path in noted.known.iter().filter(|path| path.matches('.').count() == 1) {
        let Some(key) = models.iter().find_map(|model| path.strip_prefix(model)) else { continue };
        assert!(MODELS.contains(&format!("#   {key} ")), "{key} is not explained");
    }
}

/// Where every file is a picture.
struct Pictures;

impl world::World for Pictures {
    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &str, _: u64) -> Result<Vec<u8>, String> {
        Ok(b"\x89PNG\r\n\x1a\n".to_vec())
    }

    fn now(&self) -> std::time::SystemTime {
        std::time::SystemTime::UNIX_EPOCH
    }

    fn locate(&self, path: &str) -> PathBuf {
        path.into()
    }
}

/// Every known key stands in `text`, by itself or commented out.
fn assert_shows_every_key(text: &str, known: &BTreeSet<String>) {
    let shown = |key: &str| {
        text.lines().map(|line| line.trim_start_matches('#')).any(|line| {
            line.starts_with(&format!("{key} "))
                || line.starts_with(&format!("[{key}]"))
                || line.starts_with(&format!("[[{key}]]"))
                || (line.starts_with('[') && line.contains(&format!(".{key}]")))
                || line.starts_with(&format!("[{key}."))
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
