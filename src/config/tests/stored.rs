//! Documents that are the store's.

use std::collections::BTreeMap;

use super::*;

const STORE: &str = "[config]\nsource = \"store\"\n";

/// What a directory has for the store.
fn pushed(dir: &Dir) -> Pushed {
    for_store(dir.path(), dir.path(), &env, &|_, _, _| Vec::new())
}

/// A server that has only its own document, `server`, and a working copy in its data directory.
struct Served {
    dir: TempDir,
}

impl Served {
    fn new(server: &str) -> Served {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("offhook.toml"), server).unwrap();
        Served { dir }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn copy(&self) -> PathBuf {
        self.data().join("from-store")
    }

    fn open(&self) -> Source {
        let opening = Opening::new(self.dir.path()).env(env).last_good(LastGoodFolder::new(&self.data()));
        let source = opening.stored(self.copy()).open().unwrap_or_else(|problems| panic!("{problems}"));
        source.keep_last_good();
        source
    }
}

fn answers(source: &Source) -> bool {
    source.refresh();
    source.current().deployment_for("+15550100100").is_some()
}

#[test]
fn documents_of_the_store_are_served_from_a_working_copy() {
    let dir = Dir::shipped();
    let models =
        MODELS.to_owned() + "[guarded]\nurl = \"wss://127.0.0.1:1/v1/realtime\"\napi_key = { file = \"key\" }\n";
    dir.write("models.toml", &models).write("key", "sk-very-secret");
    let all = pushed(&dir);
    assert!(all.report.ok, "{}", all.report);
    let names: Vec<&str> = all.documents.iter().map(|stored| stored.name.as_str()).collect();
    assert!(
        names.contains(&"sounds/hold.wav") && names.contains(&"reception") && names.contains(&"models"),
        "{names:?}"
    );
    assert!(!names.contains(&"key") && !names.contains(&"offhook"), "secrets and the server's own stay: {names:?}");
    let served = Served::new(STORE);
    let source = served.open();
    assert!(source.is_stored() && !answers(&source), "nothing was pushed yet");
    source.take_stored(&all.documents, true).unwrap();
    assert!(answers(&source));
    let hold = |source: &Source| source.current().agents["reception"].hold_sound.as_ref().unwrap().audio.len();
    assert_eq!(hold(&source), 160);
    let revision = |source: &Source| {
        let state = source.documents().into_iter().find(|state| state.doc.name() == "reception");
        state.unwrap().revision.unwrap().to_string()
    };
    let written = all.documents.iter().find(|stored| stored.name == "reception").unwrap();
    assert_eq!(revision(&source), written.revision, "the same as where it was pushed from");
    // A recording that changes is a change of who names it, and one of a secret is looked for beside offhook.toml.
    dir.wav("sounds/hold.wav", 8_000, 320);
    source.take_stored(&pushed(&dir).documents, false).unwrap();
    source.refresh();
    assert_eq!(hold(&source), 320);
    dir.write("agents/reception.toml", AGENT.replace("\"rehearsal\"", "\"guarded\""));
    source.take_stored(&pushed(&dir).documents, false).unwrap();
    source.refresh();
    assert!(source.problems().to_string().contains("key: there is no such file"), "{}", source.problems());
    assert_ne!(source.current().agents["reception"].model.name, "guarded", "the last good version stays");
    fs::write(served.dir.path().join("key"), "sk-very-secret").unwrap();
    source.refresh();
    assert_eq!(source.current().agents["reception"].model.name, "guarded");
    // What is in the store is changed there.
    let edit = |doc: DocId| {
        let edit = Edit { doc, upon: None, to: Wanted::Text(String::new()) };
        source.edit(&[edit], None, By::Api, &|_, _| Vec::new())
    };
    assert!(matches!(edit(DocId::Agent("reception".into())), Err(EditError::Stored)));
    assert!(!matches!(edit(DocId::Server), Err(EditError::Stored)), "it is a file");
    // Here it is known whether it would do, and what to write there.
    let prepare = |text: &str| {
        let doc = DocId::Agent("reception".into());
        let upon = source.written(&doc).map(|(_, revision)| revision);
        let edit = Edit { doc, upon, to: Wanted::Text(text.to_owned()) };
        source.prepare(&[edit], Some("ann"), By::Api, &|_, _| Vec::new())
    };
    assert!(matches!(prepare("model = "), Err(EditError::Invalid(_))));
    let text = AGENT.replace("\"rehearsal\"", "\"guarded\"").replace("language = \"en\"", "language = \"pl\"");
    let prepared = prepare(&text).unwrap();
    assert_eq!(source.current().agents["reception"].language.as_deref(), Some("en"));
    let taken = source.take_edited(prepared, Some("ann"), By::Api).unwrap();
    assert_eq!((taken.changes.len(), taken.changes[0].who.as_deref()), (1, Some("ann")));
    assert_eq!(source.current().agents["reception"].language.as_deref(), Some("pl"));
    assert!(source.refresh().changes.is_empty(), "it is there already");
    // A start needs no store, nor an offhook.toml that can be read.
    drop(source);
    assert!(answers(&served.open()));
    fs::write(served.dir.path().join("offhook.toml"), "[").unwrap();
    assert!(answers(&served.open()));
    fs::write(served.dir.path().join("offhook.toml"), STORE).unwrap();
    // What is taken away is gone, with the directories that it leaves empty.
    let source = served.open();
    let gone = |stored: Stored| Stored { text: None, ..stored };
    let deployments = |stored: &Stored| stored.kind == "deployment";
    let away: Vec<Stored> = pushed(&dir).documents.into_iter().filter(deployments).map(gone).collect();
    source.take_stored(&away, false).unwrap();
    assert!(!answers(&source) && !served.copy().join("deployments").exists());
    assert!(source.current().agents.contains_key("reception"));
}

#[test]
fn only_what_is_within_the_folder_is_for_the_store() {
    let dir = Dir::shipped();
    let far = TempDir::new().unwrap();
    fs::copy(dir.path().join("sounds/hold.wav"), far.path().join("hold.wav")).unwrap();
    let far = far.path().join("hold.wav").display().to_string();
    dir.write("agents/reception.toml", AGENT.replace("sounds/hold.wav", &far));
    let all = pushed(&dir);
    assert!(all.report.ok && all.elsewhere == BTreeSet::from([far.clone()]), "{}", all.report);
    assert!(all.documents.iter().all(|stored| stored.name != far));
    fs::create_dir(dir.path().join(".hidden")).unwrap();
    fs::copy(&far, dir.path().join(".hidden/hold.wav")).unwrap();
    for name in ["sounds/../sounds/hold.wav", ".hidden/hold.wav"] {
        dir.write("agents/reception.toml", AGENT.replace("sounds/hold.wav", name));
        let report = pushed(&dir).report;
        assert!(!report.ok && report.to_string().contains("cannot be in the store"), "{report}");
    }
    dir.write("agents/reception.toml", "model = ").write("deployments/main-number.toml", "");
    assert_eq!(pushed(&dir).report.errors, 2 + usize::from(dir.path().join("deployments/website.toml").exists()));
}

#[test]
fn a_working_copy_has_what_the_store_has_and_nothing_gets_out_of_it() {
    let dir = TempDir::new().unwrap();
    let copy = dir.path().join("copy");
    let stored = |kind: &str, name: &str, text: Option<&str>| Stored {
        kind: kind.to_owned(),
        name: name.to_owned(),
        revision: String::new(),
        text: text.map(str::to_owned),
    };
    let there = || -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut left = vec![dir.path().to_owned()];
        while let Some(at) = left.pop() {
            for entry in fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => left.push(path),
                    false => {
                        let name = path.strip_prefix(dir.path()).unwrap().display().to_string();
                        drop(found.insert(name, fs::read(&path).unwrap()));
                    }
                }
            }
        }
        found
    };
    let bad = [
        ("file", "../out.wav"),
        ("file", "/out.wav"),
        ("file", "agents/mia.toml"),
        ("file", "agents"),
        ("file", ".hidden"),
        ("file", "a/./b.wav"),
        ("file", ""),
        ("agent", "../../out"),
        ("agent", ""),
        ("models", "other"),
        ("strange", "mia"),
    ];
    let all: Vec<Stored> = bad.iter().map(|(kind, name)| stored(kind, name, Some("AAAA"))).collect();
    assert_eq!(write_stored(&copy, &all, true).unwrap().len(), bad.len());
    assert_eq!(there(), BTreeMap::new());
    let good = [
        stored("agent", "mia", Some("one")),
        stored("models", "models", Some("two")),
        stored("file", "sounds/a.wav", Some("AAAA")),
        stored("server", "offhook", Some("three")),
        stored("file", "sounds/b.wav", Some("no base64!")),
    ];
    assert_eq!(write_stored(&copy, &good, false).unwrap(), ["file/sounds/b.wav"]);
    let names = |there: BTreeMap<String, Vec<u8>>| there.into_keys().collect::<Vec<_>>();
    assert_eq!(names(there()), ["copy/agents/mia.toml", "copy/models.toml", "copy/sounds/a.wav"]);
    assert_eq!(there()["copy/sounds/a.wav"], [0, 0, 0]);
    // A folder takes a file's place, and the other way round; what is not the store's goes when all of that is known.
    fs::write(copy.join("agents/.mia.toml.1.tmp"), "half").unwrap();
    write_stored(&copy, &[stored("file", "sounds/a.wav", None), stored("file", "sounds", Some("AAAA"))], false)
        .unwrap();
    assert_eq!(names(there()).len(), 4);
    write_stored(&copy, &[stored("file", "sounds/c.wav", Some("AAAA"))], true).unwrap();
    assert_eq!(names(there()), ["copy/sounds/c.wav"]);
}
