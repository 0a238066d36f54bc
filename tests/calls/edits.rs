//! Documents that a running server changes, in its files or in the store: whole or not at all, and upon what was read.

use offhook::config::{By, DocId, Edit, EditError, Edited, LastGoodFolder, Opening, Revision, Source, Wanted};
use offhook::house::review::rulings;
use offhook::serve::{Running, ServeOptions, Server};
use serde_json::{Value, json};

use crate::from_store::{OTHER, Served};
use crate::house::{Plan, Site, TOKEN};
use crate::two_servers::{cluster, until};

const ANN: &str = "user ann@example.com";

/// A server in this process.
async fn serve(site: &Site, database: &str) -> Running {
    let url = database.to_owned();
    let env = move |name: &str| match name {
        "TOKEN" => Some(TOKEN.to_owned()),
        "DATABASE_URL" => Some(url.clone()),
        _ => None,
    };
    let (config, data) = (site.config(), site.data());
    let open = move || -> Source {
        let opening = Opening::new(config).env(env).watched().last_good(LastGoodFolder::new(&data)).rules(rulings);
        opening.stored(data.join("from-store")).open().unwrap_or_else(|problems| panic!("{problems}"))
    };
    let source = tokio::task::spawn_blocking(open).await.expect("a source");
    let options = ServeOptions { source, listen: None, data: Some(site.data()), observer: None, web: None };
    Server::start(options).await.expect("a server")
}

fn doc(path: &str) -> DocId {
    DocId::from_path(path).expect("a document")
}

/// The edit of a document as it is known by now.
fn edit(running: &Running, path: &str, to: Wanted) -> Edit {
    Edit { doc: doc(path), upon: revision(running, path), to }
}

fn revision(running: &Running, path: &str) -> Option<Revision> {
    running.documents().into_iter().find(|state| state.doc == doc(path)).and_then(|state| state.written)
}

fn patch(keys: Value) -> Wanted {
    Wanted::Patched(keys.as_object().expect("an object").clone())
}

async fn change(running: &Running, path: &str, to: Wanted) -> Result<Edited, EditError> {
    running.edit(vec![edit(running, path, to)], ANN, By::Api, false).await
}

fn deployment(agent: &str, number: &str, title: &str) -> Wanted {
    Wanted::Text(format!("agent = \"{agent}\"\nchannel = \"phone\"\ntitle = \"{title}\"\nnumber = \"{number}\"\n"))
}

fn language(running: &Running) -> Option<String> {
    running.config().agents["mia"].language.clone()
}

/// What is so of every source. `kept`: how many revisions there are.
async fn a_document_is_changed_whole_or_not_at_all(running: &Running, kept: impl Fn() -> usize) {
    let mia = "agents/mia.toml";
    let before = revision(running, mia);
    let edited = change(running, mia, patch(json!({ "language": "pl" }))).await.expect("a change");
    assert_eq!(language(running).as_deref(), Some("pl"), "at once");
    let [written] = &edited.documents[..] else { panic!("{edited:?}") };
    let text = written.text.as_deref().expect("a text");
    assert!(text.contains("# Ours.") && text.contains("language = \"pl\""), "{text}");
    assert_eq!((written.from, written.revision), (before, revision(running, mia)));
    assert_eq!((edited.changes[0].who.as_deref(), edited.changes[0].by), (Some(ANN), By::Api));
    let again = change(running, mia, patch(json!({ "language": "pl" }))).await.expect("no change");
    assert!(again.changes.is_empty());
    until("it is kept", async || kept() > 0).await;
    let n = kept();
    // Who has read it before is told what has changed since, also of what is only asked.
    for dry_run in [false, true] {
        let stale = Edit { doc: doc(mia), upon: before, to: patch(json!({ "language": "de" })) };
        let refused = running.edit(vec![stale], ANN, By::Api, dry_run).await.expect_err("somebody else was faster");
        let EditError::Changed { revision: now, diff, .. } = refused else { panic!("{refused:?}") };
        assert!(now == written.revision && !diff.is_empty(), "{diff}");
    }
    // What a file would be refused for is refused: its language, its links, the house's rules.
    let chat =
        "agent = \"mia\"\nchannel = \"website\"\ntitle = \"Site\"\nmodel = \"writer\"\nbackup_model = \"writer\"\n";
    let cases = [
        (mia, Wanted::Text("model = ".to_owned()), "mia.toml:1:"),
        (mia, patch(json!({ "model": "other" })), "there is no model \"other\""),
        (mia, Wanted::Gone, "there is no agent \"mia\""),
        ("models.toml", Wanted::Text(String::new()), "there is no model \"scripted\""),
        ("deployments/site.toml", Wanted::Text(chat.to_owned()), "The backup must be a different model."),
    ];
    for (path, to, why) in cases {
        let refused = change(running, path, to).await.expect_err(why);
        assert!(matches!(&refused, EditError::Invalid(problems) if problems.to_string().contains(why)), "{refused:?}");
    }
    let absent = change(running, "agents/nobody.toml", Wanted::Gone).await;
    assert!(matches!(absent, Err(EditError::Absent(_))), "{absent:?}");
    // What is only asked is answered and not done.
    let second = || edit(running, "deployments/second.toml", deployment("mia", OTHER, "Second"));
    let would = running.edit(vec![second()], ANN, By::Console, true).await.expect("an answer");
    assert_eq!((would.changes.len(), would.changes[0].by), (1, By::Console));
    assert!(!running.config().deployments.contains_key("second"));
    assert_eq!(kept(), n, "nothing of that was written");
    // It is made, and who makes it at the same time is told.
    let [one, two] = [ANN, "key production"].map(|who| running.edit(vec![second()], who, By::Api, false));
    let (one, two) = tokio::join!(one, two);
    let (made, late) = if one.is_ok() { (one, two) } else { (two, one) };
    assert_eq!(made.expect("a document").documents[0].revision, would.documents[0].revision);
    assert!(matches!(late, Err(EditError::Changed { text: Some(_), .. })), "{late:?}");
    assert_eq!(running.config().deployments["second"].number.as_deref(), Some(OTHER));
    // It goes with its agent, both or none.
    let other =
        edit(running, "agents/other.toml", Wanted::Text("model = \"scripted\"\ninstructions = \"Be.\"\n".into()));
    let moved = edit(running, "deployments/second.toml", patch(json!({ "agent": "other" })));
    running.edit(vec![moved, other], ANN, By::Api, false).await.expect("both");
    let [agent, second] = ["agents/other.toml", "deployments/second.toml"];
    let alone = change(running, agent, Wanted::Gone).await;
    assert!(matches!(alone, Err(EditError::Invalid(_))), "{alone:?}");
    let both = [agent, second].map(|path| edit(running, path, Wanted::Gone));
    let gone = running.edit(both.to_vec(), ANN, By::Api, false).await.expect("both");
    assert!(gone.documents.iter().all(|document| document.revision.is_none() && document.text.is_none()));
    let config = running.config();
    assert!(!config.deployments.contains_key("second") && !config.agents.contains_key("other"));
}

/// What fits by itself and not together is not both written, whoever writes it.
async fn two_who_change_what_belongs_together_never_both_succeed(a: &Running, b: &Running) {
    let (agent, line) = ("agents/brief.toml", "deployments/brief.toml");
    for round in 0..4 {
        let text = format!("model = \"scripted\"\ninstructions = \"Be brief, {round}.\"\n");
        let made = change(a, agent, Wanted::Text(text)).await.expect("an agent").documents[0].revision;
        until("the other has it", async || revision(b, agent) == made).await;
        let (gone, added) =
            tokio::join!(change(a, agent, Wanted::Gone), change(b, line, deployment("brief", OTHER, "Brief")));
        assert!(gone.is_ok() != added.is_ok(), "{gone:?} {added:?}");
        if added.is_ok() {
            until("the other has it", async || revision(a, line) == revision(b, line)).await;
            let both = [agent, line].map(|path| edit(a, path, Wanted::Gone));
            a.edit(both.to_vec(), ANN, By::Api, false).await.expect("both");
        }
        until("both are gone", async || {
            [a, b].iter().all(|running| [agent, line].iter().all(|path| revision(running, path).is_none()))
        })
        .await;
    }
    // What does not belong together is written, however many write.
    let make = |n: usize| {
        let running = if n % 2 == 0 { a } else { b };
        let text = format!("model = \"scripted\"\ninstructions = \"Be number {n}.\"\n");
        async move { change(running, &format!("agents/many-{n}.toml"), Wanted::Text(text)).await }
    };
    let (zero, one, two, three, four, five) = tokio::join!(make(0), make(1), make(2), make(3), make(4), make(5));
    for made in [zero, one, two, three, four, five] {
        made.expect("an agent");
    }
    until("all are there", async || [a, b].iter().all(|running| running.config().personas.len() >= 7)).await;
}

#[tokio::test]
async fn x_06_a_server_changes_documents_in_their_files() {
    let site = Site::build(&Plan { agent: "language = \"en\" # Ours.\n".to_owned(), ..Plan::default() }).await;
    let running = serve(&site, "").await;
    let kept = || {
        let file = |path: &str| std::fs::read_to_string(site.config().join(path)).unwrap_or_default();
        usize::from(file("agents/mia.toml").contains("\"pl\"")) + file("deployments/second.toml").len()
    };
    a_document_is_changed_whole_or_not_at_all(&running, kept).await;
    two_who_change_what_belongs_together_never_both_succeed(&running, &running).await;
}

/// A site whose documents were pushed, and a server of it.
async fn stored(database: &str) -> (Served, Running) {
    let served = Served::build(database).await;
    let mia = served.folder.join("agents/mia.toml");
    let text = std::fs::read_to_string(&mia).expect("an agent");
    std::fs::write(&mia, format!("language = \"en\" # Ours.\n{text}")).expect("an agent");
    let running = serve(&served.site, database).await;
    let refused = change(&running, "agents/first.toml", Wanted::Text("model = \"scripted\"\n".into())).await;
    let Err(EditError::Unavailable(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("offhook push"), "{why}");
    let (done, said) = served.push(&[]);
    assert!(done, "{said}");
    until("it is there", async || running.config().agents.contains_key("mia")).await;
    (served, running)
}

/// Each change is a revision, with who made it and by which way, and an old one is put back only where it fits.
async fn changes_are_revisions(served: &Served, running: &Running) {
    let listed = |path: &str| -> Value {
        let listed = served.offhook(&["revisions", path, "--json"]);
        serde_json::from_slice(&listed.stdout).expect("JSON")
    };
    let all = listed("agents/mia.toml");
    let said = [0, 1].map(|at| (all[at]["by"].as_str(), all[at]["way"].as_str()));
    assert_eq!(said, [(Some(ANN), Some("api")), (Some("ann"), Some("push"))], "{all}");
    assert_eq!(
        all[0]["revision"].as_str().map(str::to_owned),
        revision(running, "agents/mia.toml").map(|r| r.to_string())
    );
    // A model that the agent had before is no more.
    let models = running.document(&doc("models.toml")).expect("models").0;
    let two = format!("{models}{}", models.replace("[scripted]", "[spare]").replace("[writer]", "[author]"));
    change(running, "models.toml", Wanted::Text(two)).await.expect("two");
    change(running, "agents/mia.toml", patch(json!({ "model": "spare" }))).await.expect("the other");
    let on_spare = revision(running, "agents/mia.toml").expect("one").to_string();
    change(running, "agents/mia.toml", patch(json!({ "model": "scripted" }))).await.expect("the first");
    change(running, "models.toml", Wanted::Text(models.to_string())).await.expect("one");
    let n = served.revisions("");
    let restored = served.offhook(&["restore", "agents/mia", &on_spare]);
    let said = String::from_utf8_lossy(&restored.stderr).into_owned();
    assert!(!restored.status.success(), "{said}");
    assert!(
        said.contains("agents/mia.toml is as it was: agents/mia.toml:") && said.contains("there is no model \"spare\""),
        "{said}"
    );
    assert_eq!(served.revisions(""), n);
    let pushed = all[1]["revision"].as_str().expect("one");
    let restored = served.offhook(&["restore", "agents/mia", pushed]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    until("it is as it was", async || language(running).as_deref() == Some("en")).await;
    let said = served.offhook(&["restore", "agents/mia", pushed]).stdout;
    assert!(String::from_utf8_lossy(&said).contains("it is in force already"));
    assert_eq!(listed("agents/mia.toml")[0]["way"], "restore");
}

#[tokio::test]
async fn x_06_a_server_changes_documents_in_sqlite() {
    let (served, running) = stored("").await;
    a_document_is_changed_whole_or_not_at_all(&running, || served.revisions("")).await;
    two_who_change_what_belongs_together_never_both_succeed(&running, &running).await;
    changes_are_revisions(&served, &running).await;
    // Its own document stays a file, which is not written together with others.
    let own = || edit(&running, "offhook.toml", patch(json!({ "drain_s": 1 })));
    let mixed = vec![own(), edit(&running, "agents/mia.toml", patch(json!({ "language": "fr" })))];
    let refused = running.edit(mixed, ANN, By::Api, false).await;
    assert!(matches!(refused, Err(EditError::Mixed)), "{refused:?}");
    running.edit(vec![own()], ANN, By::Api, false).await.expect("a change");
    assert_eq!(running.config().server.drain_s, 1);
    running.shutdown().await;
}

#[tokio::test]
async fn x_06_two_servers_change_documents_in_one_postgresql() {
    let Some(mut cluster) = cluster().await else { return };
    let database = cluster.url(&cluster.database(None));
    let (served, running) = stored(&database).await;
    let beside = Served::build(&database).await;
    let other = serve(&beside.site, &database).await;
    a_document_is_changed_whole_or_not_at_all(&running, || served.revisions("")).await;
    until("the other has it", async || language(&other).as_deref() == Some("pl")).await;
    two_who_change_what_belongs_together_never_both_succeed(&running, &other).await;
    changes_are_revisions(&served, &running).await;
    cluster.stop();
    let before = language(&running);
    let refused = change(&running, "agents/mia.toml", patch(json!({ "language": "fr" }))).await;
    assert!(matches!(refused, Err(EditError::Unavailable(_))), "{refused:?}");
    assert_eq!(language(&running), before);
}
