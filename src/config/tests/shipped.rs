//! What the shipped documents mean: the defaults, all of them.

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
    assert!(matches!(&deployment.agent.greeting, Spoken::Play(sound) if sound.audio.len() > 8_000));
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
    let secrets = ["token = ", "secret = ", "url = { env"];
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
        (format!("{:?}", draft.unwrap().resolve(model, &Default::default())), noted)
    };
    let (shipped, noted) = read_agent(AGENT);
    assert_shows_every_key(AGENT, &noted.known);
    // Examples of keys whose default is to have none; all other commented-out keys show their default.
    let examples = [
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
