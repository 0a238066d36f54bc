//! Conversations driven from above: scenes as text, any order of inputs, and what visitors may see.

mod properties;
mod scene;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::failover::Failure;
use super::row::GivenBy;
use super::settings::{ChatTool, TalkSettings, chat_tools};
use super::*;
use crate::config::{Price, Schema, Secret, TextDialect, TextModel, Tool, ToolKind};

/// `UPDATE_TRACES=1` writes the traces anew; review them as text.
#[test]
fn every_scene_leads_to_its_trace() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/talk");
    let update = std::env::var_os("UPDATE_TRACES").is_some();
    let all = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut scenes: Vec<_> = all.filter(|path| path.extension().is_some_and(|end| end == "scene")).collect();
    scenes.sort();
    assert!(scenes.len() >= 25, "the scenes are missing");
    let mut wrong = Vec::new();
    for path in scenes {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let trace = scene::play(&fs::read_to_string(&path).unwrap()).unwrap_or_else(|why| panic!("{name}: {why}"));
        let expected = path.with_extension("trace");
        if update {
            fs::write(&expected, &trace).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != trace {
            wrong.push(format!("{name}: the trace differs; it is now:\n{trace}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn fail_04_the_manual_has_the_table_as_it_is() {
    let manual = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/chat.md")).unwrap();
    for (_, name, fails_over) in failover::TABLE {
        let row = manual.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("{name} is not in the manual"));
        assert!(row.ends_with(if fails_over { "| backup |" } else { "| line |" }), "{row}");
    }
    assert!(manual.contains(failover::LINE));
    let limits = TalkLimits::default();
    assert_eq!((limits.connect_ms, limits.first_token_ms), (5_000, 10_000), "FAIL-06");
    assert_eq!((limits.message_chars, limits.messages_per_minute), (4_000, 20), "WEB-07");
}

#[test]
fn a_deployment_becomes_settings() {
    let documents = [
        ("offhook.toml", ""),
        ("models.toml", "[a]\nkind = \"text\"\nbase_url = \"http://127.0.0.1:1/v1\"\nmodel = \"x\"\n"),
        ("agents/desk.toml", "instructions = \"Serve {{crm.name}}.\"\n[variables.crm]\nname = \"anybody\"\n"),
        (
            "deployments/web.toml",
            "channel = \"website\"\nagent = \"desk\"\nmodel = \"a\"\nwelcome = \"Hello.\"\nkey = \"oh_pub_0123456789abcdef0123456789abcdef\"\n",
        ),
    ];
    let files = documents.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).into();
    let config = crate::config::from_memory(&files, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    let named = [("crm.name".to_owned(), "Anna".to_owned())].into();
    let settings = TalkSettings::of(&config.chats["web"], "r7", &named);
    assert_eq!((&*settings.instructions, settings.welcome.as_deref()), ("Serve Anna.", Some("Hello.")));
    assert_eq!((&*settings.primary.name, settings.backup.is_some(), &*settings.revision), ("a", false, "r7"));
    assert!(!settings.show_tool_use, "visitors of a website see no tools");
    let nobody = TalkSettings::of(&config.chats["web"], "r7", &Default::default());
    assert_eq!(&*nobody.instructions, "Serve anybody.");
}

#[test]
fn fail_08_visitors_see_no_model_and_no_reason() {
    let by = GivenBy { model: "secret-model".into(), why: Why::Failover(Failure::ServerError) };
    let event = Event { id: 7, what: What::Complete { message: 2, sources: vec!["terms.pdf".into()], by } };
    assert_eq!(
        serde_json::to_value(&event).unwrap(),
        json!({ "id": 7, "event": "complete", "message": 2, "sources": ["terms.pdf"] })
    );
}

#[test]
fn a_conversation_can_go_from_task_to_task() {
    fn sent<T: Send + 'static>() {}
    sent::<Conversation>();
    sent::<Action>();
    sent::<Commons>();
}

#[test]
fn web_07_the_words_are_to_the_letter() {
    let (code, status, words) = RefusedCode::TooQuick.words();
    assert_eq!((code, status, words), ("too_quick", 429, "You are sending messages too quickly."));
}

#[test]
fn a_chat_has_the_tools_that_need_no_telephone() {
    let kinds = ToolKind::BUILT_IN.map(|(_, kind)| kind);
    let names = |tools: Arc<[ChatTool]>| tools.iter().map(|tool| tool.spec.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(chat_tools(&Tool::built_ins(&kinds), true)), ["note", "hand_off"]);
    assert_eq!(names(chat_tools(&Tool::built_ins(&kinds), false)), ["note"]);
}

/// A deployment with a primary, a backup, three tools and a team.
fn settings() -> TalkSettings {
    TalkSettings {
        deployment: "web".into(),
        revision: "r1".into(),
        primary: model("primary"),
        backup: Some(model("backup")),
        instructions: "Be kind.".into(),
        policy: None,
        welcome: None,
        tools: chat_tools(&[tool("lookup"), tool("book"), Tool::built_in(ToolKind::Note, &[]).unwrap()], true),
        http_tools: Arc::default(),
        show_tool_use: true,
        hand_off: true,
        max_output_tokens: None,
        temperature: None,
        visitor_hash: None,
        breaker: breaker::BreakerSettings { failures: 3, ..Default::default() },
        limits: TalkLimits::default(),
    }
}

fn model(name: &str) -> Arc<TextModel> {
    Arc::new(TextModel {
        name: name.to_owned(),
        base_url: "https://models.example/v1".to_owned(),
        model: name.to_owned(),
        api_key: Some(Secret::new("sk-hidden")),
        headers: Vec::new(),
        price: Some(Price { text_in_micros: 1_000_000, text_out_micros: 4_000_000, ..Price::default() }),
        dialect: TextDialect::Compatible,
    })
}

fn tool(name: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        description: String::new(),
        parameters: Schema::new(json!({
            "type": "object",
            "properties": { "q": { "type": "string" } },
            "required": ["q"],
            "additionalProperties": false
        }))
        .unwrap(),
        does: ToolKind::Http,
        timeout_ms: 8_000,
    }
}
