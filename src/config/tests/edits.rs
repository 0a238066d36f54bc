//! Documents written back.

use serde_json::{Map, Value, json};

use super::*;
use crate::config::catalogue::InForce;
use crate::config::patch::{Others, patched};

/// No rule but the documents' own.
fn free(_: &Config, _: &Config) -> Vec<Problem> {
    Vec::new()
}

fn reception() -> DocId {
    DocId::Agent("reception".into())
}

fn map(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn patch(value: &Value) -> Wanted {
    Wanted::Patched(map(value))
}

/// Edits one document as nobody, by the API.
fn edit_one(source: &Source, doc: &DocId, upon: Option<Revision>, to: Wanted) -> Result<Edited, EditError> {
    source.edit(&[Edit { doc: doc.clone(), upon, to }], None, By::Api, &free)
}

/// Changes the shipped agent, and returns its text.
fn change(source: &Source, changes: &Value) -> Result<Edited, EditError> {
    let (_, revision) = source.written(&reception()).unwrap();
    let edit = Edit { doc: reception(), upon: Some(revision), to: patch(changes) };
    source.edit(&[edit], Some("ann@example.com"), By::Api, &free)
}

#[test]
fn x_06_an_edit_changes_its_own_lines_and_keeps_comments_order_and_blank_lines() {
    let dir = Dir::shipped();
    let source = Source::open_with(dir.path(), env, |_| {}).unwrap();
    let before = source.current().revision.clone();
    let edited = change(&source, &json!({ "language": "pl" })).unwrap();
    let text = fs::read_to_string(dir.path().join("agents/reception.toml")).unwrap();
    let changed = |old: &str, new: &str| {
        let lines: Vec<String> = diff(old, new).lines().map(str::to_owned).collect();
        lines.into_iter().filter(|line| line.starts_with(['+', '-'])).collect::<Vec<_>>()
    };
    let lines = changed(AGENT, &text);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("-language = \"en\"") && lines[1].starts_with("+language = \"pl\""), "{lines:?}");
    assert_eq!(lines[0][15..], lines[1][15..], "what stands behind the value stays");
    let [written] = &edited.documents[..] else { panic!("{edited:?}") };
    assert_eq!(written.text.as_deref(), Some(text.as_str()));
    assert_eq!((edited.changes.len(), edited.changes[0].by), (1, By::Api));
    assert_eq!(edited.changes[0].who.as_deref(), Some("ann@example.com"));
    assert_eq!(edited.changes[0].to, written.revision);
    // It is in force at once, and the watcher finds nothing new.
    assert_eq!(source.current().agents["reception"].manner.language.as_deref(), Some("pl"));
    assert_ne!(source.current().revision, before);
    assert!(source.refresh().changes.is_empty());
    // The same once more is no change, and undone it is the shipped text.
    assert!(change(&source, &json!({ "language": "pl" })).unwrap().changes.is_empty());
    change(&source, &json!({ "language": "en" })).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("agents/reception.toml")).unwrap(), AGENT);
    assert_eq!(source.current().revision, before);
}

#[test]
fn a_patch_changes_tables_lists_and_new_keys() {
    let cases = [
        ("a = 1 # one\n", json!({ "a": 2 }), "a = 2 # one\n"),
        ("a = 1\n", json!({ "a": 1.0 }), "a = 1.0\n"),
        ("a = 1.50\n", json!({ "a": 1.5 }), "a = 1.50\n"),
        ("a = '''x'''\n", json!({ "a": "x", "b": true }), "a = '''x'''\nb = true\n"),
        (
            "# head\n[t] # t\na = 1\n\n# u\n[u]\nb = 2\n",
            json!({ "t": { "c": [1, 2] } }),
            "# head\n[t] # t\na = 1\nc = [1, 2]\n\n# u\n[u]\nb = 2\n",
        ),
        ("[t]\na = 1\nb = 2 # two\n", json!({ "t": { "a": null } }), "[t]\nb = 2 # two\n"),
        ("t = { a = 1, b = 2 }\n", json!({ "t": { "b": 3 } }), "t = { a = 1, b = 3 }\n"),
        ("a = 1\n", json!({ "t": { "b": { "c": 3 } } }), "a = 1\n\n[t]\n\n[t.b]\nc = 3\n"),
        ("[[t]]\n# first\na = 1\n[[t]]\na = 2\n", json!({ "t": [{ "a": 3 }] }), "[[t]]\n# first\na = 3\n"),
        ("[[t]]\na = 1\n", json!({ "t": [{ "a": 1 }, { "a": 2 }] }), "[[t]]\na = 1\n\n[[t]]\na = 2\n"),
        ("a = 1\n", json!({ "a": null, "z": null }), ""),
    ];
    for (text, changes, expected) in cases {
        let made = patched(text, &map(&changes), Others::Stay).unwrap();
        assert_eq!(made, expected, "{text:?} {changes}");
    }
    let wrong = patched("a = 1\n", &map(&json!({ "a": { "b": [null] } })), Others::Stay).unwrap_err();
    assert_eq!(wrong, "a.b: a list cannot hold nothing");
    assert!(patched("a = ", &map(&json!({})), Others::Stay).is_err());
}

#[test]
fn an_edit_that_is_wrong_or_would_break_others_is_not_written() {
    let dir = Dir::shipped();
    let source = Source::open_with(dir.path(), env, |_| {}).unwrap();
    let said = |error: EditError| error.to_string().lines().next().unwrap().to_owned();
    let (fast, other) = (json!({ "speed": 9 }), json!({ "model": "other" }));
    let cases: [(DocId, Wanted, &str); 6] = [
        (reception(), patch(&fast), ": speed = 9: out of range; allowed: 0.25-1.5"),
        (reception(), patch(&other), "there is no model \"other\""),
        (reception(), Wanted::Text("model = ".into()), "agents/reception.toml:1:"),
        (reception(), Wanted::Gone, "there is no agent \"reception\""),
        (DocId::Models, Wanted::Text("[m]\nurl = \"ws://127.0.0.1/\"\n".into()), "there is no model \"rehearsal\""),
        (DocId::Agent("no name".into()), Wanted::Text(AGENT.into()), "the file's name is not a name"),
    ];
    for (doc, to, expected) in cases {
        let revision = source.written(&doc).map(|(_, revision)| revision);
        let error = edit_one(&source, &doc, revision, to).expect_err(expected);
        assert!(matches!(error, EditError::Invalid(_)), "{error:?}");
        let said = said(error);
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(fs::read_to_string(dir.path().join("agents/reception.toml")).unwrap(), AGENT);
    assert_eq!(fs::read_to_string(dir.path().join("models.toml")).unwrap(), MODELS);
    assert!(source.refresh().changes.is_empty() && !source.problems().has_errors());
}

#[test]
fn x_01_rules_that_are_no_documents_own_can_forbid_an_edit() {
    let dir = Dir::shipped();
    let source = Source::open_with(dir.path(), env, |_| {}).unwrap();
    let locked = |before: &Config, after: &Config| {
        let changed = before.revision != after.revision;
        let at = problem::Place::file("agents/reception.toml");
        changed.then(|| Problem::error(&at, "is locked")).into_iter().collect::<Vec<_>>()
    };
    let (_, revision) = source.written(&reception()).unwrap();
    let edit = Edit { doc: reception(), upon: Some(revision), to: patch(&json!({ "language": "pl" })) };
    let error = source.edit(&[edit], None, By::Api, &locked).unwrap_err();
    assert_eq!(error.to_string(), "agents/reception.toml: is locked");
    assert_eq!(fs::read_to_string(dir.path().join("agents/reception.toml")).unwrap(), AGENT);
}

#[test]
fn documents_can_be_made_and_deleted() {
    let dir = Dir::shipped();
    let source = Source::open_with(dir.path(), env, |_| {}).unwrap();
    let doc = DocId::Deployment("second".into());
    let text = DEPLOYMENT.replace("+15550100100", "+15550100177");
    let made = edit_one(&source, &doc, None, Wanted::Text(text.clone())).unwrap();
    assert_eq!(source.current().deployment_for("+15550100177").unwrap().name, "second");
    // Whoever made it at the same time is told that it is there.
    let error = edit_one(&source, &doc, None, Wanted::Text(text.clone())).unwrap_err();
    assert!(matches!(error, EditError::Changed { text: Some(_), .. }), "{error:?}");
    let revision = made.documents[0].revision;
    edit_one(&source, &doc, revision, Wanted::Gone).unwrap();
    assert!(source.current().deployment_for("+15550100177").is_none());
    assert!(!dir.path().join("deployments/second.toml").exists());
    let error = edit_one(&source, &doc, revision, patch(&json!({}))).unwrap_err();
    assert_eq!(error.to_string(), "the document was deleted meanwhile");
    for to in [patch(&json!({})), Wanted::Gone] {
        assert!(matches!(edit_one(&source, &doc, None, to), Err(EditError::Absent(_))));
    }
}

#[test]
fn a_document_has_the_keys_that_are_given_and_no_others() {
    let cases = [
        ("# head\na = 1 # one\nb = 2\n", json!({ "a": 1, "c": 3 }), "# head\na = 1 # one\nc = 3\n"),
        ("[t]\na = 1 # one\nb = 2\n[t.u]\nc = 3\n", json!({ "t": { "a": 1 } }), "[t]\na = 1 # one\n"),
        ("t = { a = 1, b = 2 }\n", json!({ "t": { "b": 2 } }), "t = { b = 2 }\n"),
        (
            "[[t]]\n# first\na = 1\n[t.u]\nb = 1\nc = 2\n",
            json!({ "t": [{ "a": 1, "u": { "c": 2 } }] }),
            "[[t]]\n# first\na = 1\n[t.u]\nc = 2\n",
        ),
        ("", json!({ "a": 1, "t": { "b": null, "c": 2 } }), "a = 1\n\n[t]\nc = 2\n"),
    ];
    for (text, keys, expected) in cases {
        assert_eq!(patched(text, &map(&keys), Others::Go).unwrap(), expected, "{text:?} {keys}");
    }
    let dir = Dir::shipped();
    let source = Source::open_with(dir.path(), env, |_| {}).unwrap();
    let doc = DocId::Deployment("second".into());
    let keys = json!({ "agent": "reception", "channel": "phone", "title": "Second", "number": "+15550100177" });
    edit_one(&source, &doc, None, Wanted::Keys(map(&keys))).unwrap();
    assert_eq!(source.current().deployment_for("+15550100177").unwrap().name, "second");
}

#[test]
fn several_documents_are_edited_together_or_not_at_all() {
    let dir = Dir::shipped();
    let source = Source::open_with(dir.path(), env, |_| {}).unwrap();
    let edit = |path: &str, to: Wanted| {
        let doc = DocId::from_path(path).unwrap();
        let upon = source.written(&doc).map(|(_, revision)| revision);
        Edit { doc, upon, to }
    };
    let (agent, main) = ("agents/reception.toml", "deployments/main-number.toml");
    // What would not fit alone does together, in whatever order.
    let other = || edit("agents/other.toml", Wanted::Text(AGENT.into()));
    let moved = || edit(main, patch(&json!({ "agent": "other" })));
    let gone = || edit(agent, Wanted::Gone);
    let all = || [gone(), moved(), other()];
    let refused = source.edit(&[gone(), other()], None, By::Api, &free).unwrap_err();
    assert!(matches!(refused, EditError::Invalid(_)), "{refused:?}");
    let would = source.prepare(&all(), Some("ann"), By::Console, &free).unwrap();
    assert_eq!((would.documents.len(), would.changes.len()), (3, 3));
    assert!(would.changes.iter().all(|change| change.who.as_deref() == Some("ann") && change.by == By::Console));
    assert!(
        source.refresh().changes.is_empty() && source.current().agents.contains_key("reception"),
        "nothing is done"
    );
    // One that cannot be written takes the others back.
    let beside = dir.path().join(format!("deployments/.main-number.toml.{}.tmp", std::process::id()));
    fs::create_dir(&beside).unwrap();
    let refused = source.edit(&all(), None, By::Api, &free).unwrap_err();
    assert!(matches!(&refused, EditError::Io(path, _) if path.ends_with(main)), "{refused:?}");
    fs::remove_dir(&beside).unwrap();
    assert!(!dir.path().join("agents/other.toml").exists() && source.refresh().changes.is_empty());
    // So does one that somebody else has changed.
    let stale = [other(), Edit { upon: Some(Revision::of("")), ..moved() }];
    let refused = source.edit(&stale, None, By::Api, &free).unwrap_err();
    assert!(matches!(&refused, EditError::Changed { doc, .. } if doc.to_string() == main), "{refused:?}");
    assert!(!dir.path().join("agents/other.toml").exists());
    let twice = source.edit(&[moved(), moved()], None, By::Api, &free).unwrap_err();
    assert_eq!(twice.to_string(), format!("{main} is to be changed twice at once"));
    let done = source.edit(&all(), None, By::Api, &free).unwrap();
    let revisions = |edited: &Edited| edited.documents.iter().map(|document| document.revision).collect::<Vec<_>>();
    assert_eq!((revisions(&done), done.changes.len()), (revisions(&would), 3));
    let config = source.current();
    assert!(config.agents.contains_key("other") && !config.agents.contains_key("reception"));
    assert!(!dir.path().join(agent).exists() && source.refresh().changes.is_empty());
}

#[test]
fn what_cannot_be_a_document_is_not_made_and_one_that_cannot_be_read_can_be_deleted() {
    let dir = Dir::shipped();
    dir.write("agents/odd.toml", [0xff, 0xfe]);
    let source = Source::open_with(dir.path(), env, |_| {}).unwrap();
    let doc = DocId::from_path("agents/odd.toml").unwrap();
    let long = Wanted::Text(format!("{AGENT}#{}\n", "x".repeat(1 << 20)));
    let error = edit_one(&source, &DocId::Agent("long".into()), None, long).unwrap_err();
    assert!(error.to_string().contains("agents/long.toml: is longer than 1024 KiB"), "{error}");
    let revision = source.documents().into_iter().find(|state| state.doc == doc).unwrap().written;
    edit_one(&source, &doc, revision, Wanted::Gone).unwrap();
    assert!(!dir.path().join("agents/odd.toml").exists() && !source.problems().has_errors());
}

#[test]
fn the_later_of_two_writers_is_told_of_the_other() {
    let dir = Dir::shipped();
    let source = Source::open_with(dir.path(), env, |_| {}).unwrap();
    let (_, revision) = source.written(&reception()).unwrap();
    // A person, in the file, which nobody has looked at since.
    let theirs = AGENT.replace("language = \"en\"", "language = \"de\"");
    dir.write("agents/reception.toml", &theirs);
    let edit = json!({ "speed": 1.25 });
    let error = edit_one(&source, &reception(), Some(revision), patch(&edit)).unwrap_err();
    let EditError::Changed { text, revision: Some(now), diff, .. } = error else { panic!("{error:?}") };
    assert_eq!(text.as_deref(), Some(theirs.as_str()));
    assert!(diff.contains("\n-language = \"en\"") && diff.contains("\n+language = \"de\""), "{diff}");
    assert_eq!(fs::read_to_string(dir.path().join("agents/reception.toml")).unwrap(), theirs);
    edit_one(&source, &reception(), Some(now), patch(&edit)).unwrap();
    let agent = source.current().agents["reception"].clone();
    assert_eq!((agent.manner.language.as_deref(), agent.manner.speed), (Some("de"), 1.25));
}

#[test]
fn nothing_is_lost_between_writers_at_the_same_time() {
    let dir = Dir::shipped();
    dir.write("offhook.toml", "drain_s = 0\n");
    let source = Source::open_with(dir.path(), env, |_| {}).unwrap();
    let (writers, each) = (4, 8);
    std::thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                let mut done = 0;
                while done < each {
                    let (text, revision) = source.written(&DocId::Server).unwrap();
                    let count: u64 = text.trim().rsplit(' ').next().unwrap().parse().unwrap();
                    let next = json!({ "drain_s": count + 1 });
                    match edit_one(&source, &DocId::Server, Some(revision), patch(&next)) {
                        Ok(_) => done += 1,
                        Err(EditError::Changed { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    assert_eq!(source.current().server.drain_s, writers * each);
    assert_eq!(fs::read_to_string(dir.path().join("offhook.toml")).unwrap(), "drain_s = 32\n");
}

#[test]
fn what_cannot_be_written_is_said_and_leaves_the_file_as_it_was() {
    let dir = Dir::shipped();
    let source = Source::open_with(dir.path(), env, |_| {}).unwrap();
    // In the way of what is written beside the file.
    let beside = format!("agents/.reception.toml.{}.tmp", std::process::id());
    fs::create_dir(dir.path().join(&beside)).unwrap();
    let error = change(&source, &json!({ "language": "pl" })).unwrap_err();
    assert!(error.to_string().contains("agents/reception.toml: cannot be written: "), "{error}");
    assert!(error.to_string().ends_with("; it is as it was"), "{error}");
    assert_eq!(fs::read_to_string(dir.path().join("agents/reception.toml")).unwrap(), AGENT);
    assert_eq!(source.current().agents["reception"].manner.language.as_deref(), Some("en"));
    fs::remove_dir(dir.path().join(&beside)).unwrap();
    change(&source, &json!({ "language": "pl" })).unwrap();
    let full = EditError::Io("a.toml".into(), std::io::Error::from(std::io::ErrorKind::StorageFull));
    assert_eq!(full.to_string(), "a.toml: cannot be written: the disk is full; it is as it was");
    // Somebody who writes between our look and our rename is not overwritten, and what we wrote is gone again.
    let path = dir.path().join("agents/reception.toml");
    let raced = last_good::replace(&path, b"ours", true, || Err(std::io::Error::other("theirs")));
    assert!(raced.is_err() && fs::read_to_string(&path).unwrap().contains("language = \"pl\""));
    assert_eq!(fs::read_dir(dir.path().join("agents")).unwrap().count(), 1);
}

#[test]
fn an_edit_through_a_link_leaves_the_link() {
    let dir = Dir::shipped();
    fs::rename(dir.path().join("agents/reception.toml"), dir.path().join("kept")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("kept"), dir.path().join("agents/reception.toml")).unwrap();
    let source = Source::open_with(dir.path(), env, |_| {}).unwrap();
    change(&source, &json!({ "language": "pl" })).unwrap();
    assert!(fs::symlink_metadata(dir.path().join("agents/reception.toml")).unwrap().is_symlink());
    assert!(fs::read_to_string(dir.path().join("kept")).unwrap().contains("language = \"pl\""));
    assert!(source.documents().iter().all(|state| state.in_force == InForce::AsWritten));
}

#[test]
fn sec_01_who_edits_over_the_api_names_no_variable_and_no_file_of_the_server() {
    let dir = Dir::shipped();
    let tool = |name: &str, kept: Value| json!({ "name": name, "description": "b", "http": { "url": "https://example.com", "headers": { "X-A": kept } } });
    let tools = |tools: &[Value]| json!({ "tool": tools });
    let kept = [
        json!({ "env": "HOME" }),
        json!({ "env": "NOT_SET" }),
        json!({ "file": "/etc/hostname" }),
        json!({ "file": "no" }),
    ];
    let source = Source::open_with(dir.path(), env, |_| {}).unwrap();
    for kept in &kept {
        let error = change(&source, &tools(&[tool("a", kept.clone())])).unwrap_err().to_string();
        // The same for what there is and what there is not.
        assert!(error.contains("is a secret of the server itself; allowed: { secret = \"NAME\" }"), "{kept}: {error}");
        let other = Edit {
            doc: DocId::Agent("other".into()),
            upon: None,
            to: Wanted::Keys(map(&json!({
                "model": "rehearsal", "instructions": "x", "tool": [tool("a", kept.clone())]
            }))),
        };
        source.edit(&[other], None, By::Console, &free).unwrap_err();
    }
    assert_eq!(fs::read_to_string(dir.path().join("agents/reception.toml")).unwrap(), AGENT);
    // Whoever has the files may, and what they wrote stays when something else is changed; but it is handed on to nothing new.
    let by_hand = "\n[[tool]]\nname = \"a\"\ndescription = \"b\"\nhttp = { url = \"https://example.com\", headers = { X-A = { env = \"KEY\" } } }\n";
    dir.write("agents/reception.toml", format!("{AGENT}{by_hand}"));
    change(&source, &json!({ "language": "pl" })).unwrap();
    let ours = || tool("a", json!({ "env": "KEY" }));
    let mut astray = ours();
    astray["http"]["url"] = json!("https://evil.example");
    let error = change(&source, &tools(&[astray])).unwrap_err().to_string();
    assert!(error.contains("is a secret of the server itself"), "{error}");
    change(&source, &tools(&[ours(), tool("c", json!({ "env": "HOME" }))])).unwrap_err();
}

#[test]
fn sec_04_who_edits_over_the_api_plays_no_recording_from_elsewhere_on_the_server() {
    let dir = Dir::shipped();
    let source = Source::open_with(dir.path(), env, |_| {}).unwrap();
    let elsewhere = dir.path().join("sounds/other.wav");
    fs::copy(dir.path().join("sounds/filler.wav"), &elsewhere).unwrap();
    for path in
        ["../data/calls/a/recording.wav", "sounds/../sounds/filler.wav", "/etc/passwd", elsewhere.to_str().unwrap()]
    {
        for keys in [json!({ "hold_sound": path }), json!({ "greeting": { "play": path, "text": "x" } })] {
            let error = change(&source, &keys).unwrap_err().to_string();
            assert!(error.contains("is not in the directory of the documents"), "{path}: {error}");
        }
    }
    change(&source, &json!({ "hold_sound": "./sounds/filler.wav" })).unwrap();
    // What the files name already goes on.
    let by_hand = AGENT.replace("\"sounds/hold.wav\"", &format!("{elsewhere:?}"));
    assert_ne!(by_hand, AGENT);
    dir.write("agents/reception.toml", by_hand);
    change(&source, &json!({ "language": "pl" })).unwrap();
}

#[test]
fn a_document_that_cannot_be_read_is_replaced_as_a_whole_and_never_by_a_patch() {
    let dir = Dir::shipped();
    let source = Source::open_with(dir.path(), env, |_| {}).unwrap();
    for broken in [&b"model = = 1\n"[..], &[0xff, 0xfe, 0]] {
        dir.write("agents/reception.toml", broken);
        source.refresh();
        let revision = source.documents().into_iter().find(|state| state.doc == reception()).unwrap().written;
        let error = edit_one(&source, &reception(), revision, patch(&json!({ "language": "pl" }))).unwrap_err();
        assert!(error.to_string().contains("as it is written"), "{error}");
        assert_eq!(fs::read(dir.path().join("agents/reception.toml")).unwrap(), broken);
        let whole = json!({ "model": "rehearsal", "instructions": "x" });
        edit_one(&source, &reception(), revision, Wanted::Keys(map(&whole))).unwrap();
        let text = fs::read_to_string(dir.path().join("agents/reception.toml")).unwrap();
        assert_eq!(text, "instructions = \"x\"\nmodel = \"rehearsal\"\n");
    }
}
