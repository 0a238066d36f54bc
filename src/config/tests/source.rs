//! Keeping up with files.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::*;

/// What is in force once the files are looked at.
fn fresh(source: &Source) -> Arc<Config> {
    source.refresh();
    source.current()
}

fn looked(source: &Source) -> Arc<Problems> {
    source.refresh();
    source.problems()
}

#[test]
fn a_change_applies_at_once_and_a_bad_one_leaves_the_last_good() {
    let dir = Dir::shipped();
    let source = Source::open_with(dir.path(), env, |config| config.server.max_calls = 7).unwrap();
    let first = fresh(&source);
    assert_eq!(first.server.max_calls, 7);
    assert_eq!(fresh(&source).revision, first.revision);
    for round in 0..20 {
        // Same length, same inode, within one tick of the clock: seen all the same.
        dir.write(
            "agents/reception.toml",
            AGENT.replace("language = \"en\"", &format!("language = \"a{}\"", (b'a' + round) as char)),
        );
        let language = fresh(&source).agents["reception"].manner.language.clone();
        assert_eq!(language.as_deref(), Some(format!("a{}", (b'a' + round) as char).as_str()));
    }
    let good = fresh(&source);
    dir.write("agents/reception.toml", "model = ");
    assert_eq!(fresh(&source).revision, good.revision);
    assert!(looked(&source).has_errors());
    dir.write("agents/reception.toml", AGENT);
    assert_eq!(fresh(&source).revision, first.revision);
    assert!(!looked(&source).has_errors());
    // A recording that comes back, and documents that come and go, are changes too.
    dir.remove("sounds/hold.wav");
    assert!(looked(&source).has_errors());
    dir.wav("sounds/hold.wav", 8_000, 320);
    assert!(!looked(&source).has_errors());
    assert_eq!(fresh(&source).agents["reception"].manner.hold_sound.as_ref().unwrap().audio.len(), 320);
    dir.write("deployments/more.toml", DEPLOYMENT.replace("+1555", "+1556"));
    assert!(fresh(&source).deployment_for("+15560100100").is_some());
    dir.remove("deployments/more.toml");
    assert!(fresh(&source).deployment_for("+15560100100").is_none());
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
        fresh(&source);
        *reads.lock().unwrap() == before
    });
    assert!(settled);
    let before = *reads.lock().unwrap();
    for _ in 0..100 {
        fresh(&source);
    }
    assert_eq!(*reads.lock().unwrap(), before);
}

#[test]
fn a_rotated_secret_file_is_taken_up() {
    let dir = Dir::shipped();
    dir.write("token", "one").write("offhook.toml", "twilio.auth_token = { file = \"token\" }");
    let source = Source::open_with(dir.path(), env, |_| {}).unwrap();
    dir.write("token", "two");
    assert_eq!(fresh(&source).server.twilio.auth_token.as_ref().unwrap().expose(), "two");
}

#[test]
fn a_bad_change_is_said_loudly_and_once() {
    let dir = Dir::shipped();
    let source = Source::open_with(dir.path(), env, |_| {}).unwrap();
    let said = Said::default();
    let writer = said.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        dir.write("models.toml", "[rehearsal]\nurl = 1\napi_key = \"sk-hush\"");
        for _ in 0..5 {
            fresh(&source);
        }
        dir.write("models.toml", MODELS);
        fresh(&source);
    });
    let said = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
    assert_eq!(said.matches("models.toml:2:7: url = 1: must be a string").count(), 1, "{said}");
    let kept = said.lines().filter(|line| line.contains("the last good version of a document stays in force"));
    assert_eq!(kept.filter(|line| line.contains("document=models.toml")).count(), 1, "{said}");
    assert_eq!(said.matches("the configuration is right again").count(), 1, "{said}");
    assert!(!said.contains("hush"), "{said}");
}

#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A server's configuration with its last good versions in `data`.
fn opened(dir: &Dir, data: &Path) -> Result<Source, Problems> {
    let source = Opening::new(dir.path()).env(env).last_good(LastGoodFolder::new(data)).open()?;
    source.keep_last_good();
    Ok(source)
}

fn states(source: &Source) -> Vec<(String, InForce)> {
    let states = source.documents().into_iter().filter(|state| state.in_force != InForce::AsWritten);
    states.map(|state| (state.doc.to_string(), state.in_force)).collect()
}

#[test]
fn a_start_takes_each_documents_last_good_version() {
    let (dir, data) = (Dir::shipped(), TempDir::new().unwrap());
    let first = opened(&dir, data.path()).unwrap().current();
    // All are broken while no server runs, and each starts with what it was.
    for (file, text) in [
        ("offhook.toml", "max_calls = 0"),
        ("offhook.toml", "["),
        ("models.toml", "["),
        ("agents/reception.toml", ""),
        ("deployments/main-number.toml", "agent = \"nobody\"\n"),
    ] {
        let kept = fs::read(dir.path().join(file)).unwrap();
        dir.write(file, text);
        let source = opened(&dir, data.path()).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(source.current().revision, first.revision, "{file}");
        assert_eq!(states(&source), [(file.to_owned(), InForce::LastGood)]);
        assert!(source.problems().has_errors());
        dir.write(file, kept);
    }
    // A document that was deleted meanwhile is gone, and one that is new is there.
    dir.write("deployments/second.toml", DEPLOYMENT.replace("+1555", "+1556")).remove("deployments/main-number.toml");
    let source = opened(&dir, data.path()).unwrap();
    assert!(source.current().deployment_for("+15560100100").is_some());
    assert!(source.current().deployment_for("+15550100100").is_none());
    dir.write("deployments/main-number.toml", "agent = ");
    let source = opened(&dir, data.path()).unwrap();
    assert_eq!(states(&source), [("deployments/main-number.toml".to_owned(), InForce::Nothing)]);
    // What changes while a server runs is kept, too.
    dir.write("agents/reception.toml", AGENT.replace("language = \"en\"", "language = \"pl\""));
    source.refresh();
    dir.write("agents/reception.toml", "");
    let source = opened(&dir, data.path()).unwrap();
    assert_eq!(source.current().agents["reception"].manner.language.as_deref(), Some("pl"));
}

#[test]
fn check_tells_which_version_of_each_document_is_in_force_and_why() {
    let (dir, data) = (Dir::shipped(), TempDir::new().unwrap());
    let server = format!("data_dir = {:?}\n", data.path());
    dir.write("offhook.toml", &server);
    drop(opened(&dir, data.path()).unwrap());
    let before = check_with(dir.path(), &env);
    assert!(before.ok && before.documents.iter().all(|state| state.in_force == InForce::AsWritten));
    dir.write("offhook.toml", format!("{server}max_calls = \n"))
        .write("deployments/second.toml", "agent = \"other\"\n");
    let report = check_with(dir.path(), &env);
    let shown = report.to_string();
    let revision = before.documents[0].revision.unwrap();
    let cells =
        |line: &'_ str| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect();
    let rows: Vec<Vec<String>> = shown.lines().map(cells).collect();
    let row =
        |of: &str| rows.iter().find(|row| row.first().is_some_and(|first| first == of)).map(|row| row[1..].join(" | "));
    assert_eq!(row("offhook.toml"), Some(format!("last good, {revision} | it has 1 error")));
    let second = row("deployments/second.toml").unwrap();
    assert!(second.starts_with("nothing |") && second.contains("there is no agent \"other\""), "{second}");
    assert!(!report.ok && shown.contains("offhook.toml:2:13: "), "{shown}");
}

#[test]
fn a_start_without_a_last_good_version_needs_a_server_and_a_number() {
    let (dir, data) = (Dir::shipped(), TempDir::new().unwrap());
    dir.write("agents/reception.toml", "");
    let problems = opened(&dir, data.path()).map(drop).unwrap_err();
    assert!(problems.to_string().contains("agents/reception.toml"), "{problems}");
    dir.write("agents/reception.toml", AGENT).write("agents/other.toml", "");
    assert_eq!(states(&opened(&dir, data.path()).unwrap()), [("agents/other.toml".to_owned(), InForce::Nothing)]);
    dir.write("offhook.toml", "[");
    assert!(Opening::new(dir.path()).env(env).open().is_err());
    assert!(opened(&dir, data.path()).is_ok());
}

#[test]
fn a_last_good_version_that_is_torn_is_passed_over() {
    let (dir, data) = (Dir::shipped(), TempDir::new().unwrap());
    drop(opened(&dir, data.path()).unwrap());
    let kept = data.path().join("documents/agents/reception.toml");
    let whole = fs::read(&kept).unwrap();
    assert!(String::from_utf8_lossy(&whole).ends_with(AGENT));
    for end in [0, 1, 60, 150, whole.len() / 2, whole.len() - 1] {
        fs::write(&kept, &whole[..end]).unwrap();
        assert!(!LastGoodFolder::new(data.path()).load().unwrap().contains_key(&DocId::Agent("reception".into())));
        dir.write("agents/reception.toml", "");
        assert!(opened(&dir, data.path()).is_err(), "{end}");
        // Once the document is right again, its last good version is too.
        dir.write("agents/reception.toml", AGENT);
        drop(opened(&dir, data.path()).unwrap());
        assert_eq!(fs::read(&kept).unwrap(), whole, "{end}");
    }
    // What a killed server was writing is swept by the next that writes, and by nobody who only reads.
    let beside = data.path().join("documents/agents/.reception.toml.1.tmp");
    fs::write(&beside, &whole[..9]).unwrap();
    LastGoodFolder::new(data.path()).load().unwrap();
    assert!(beside.exists());
    dir.write("agents/reception.toml", AGENT.replace("language = \"en\"", "language = \"pl\""));
    drop(opened(&dir, data.path()).unwrap());
    assert!(!beside.exists());
}

#[test]
fn what_cannot_be_kept_is_said_once_and_tried_again() {
    let (dir, data) = (Dir::shipped(), TempDir::new().unwrap());
    fs::write(data.path().join("documents"), "in the way").unwrap();
    let (said, source) = saying(|| {
        let source = opened(&dir, data.path()).unwrap();
        for _ in 0..3 {
            source.refresh();
        }
        fs::remove_file(data.path().join("documents")).unwrap();
        source.refresh();
        source
    });
    assert_eq!(said.matches("cannot be kept for the next start").count(), 1, "{said}");
    dir.write("agents/reception.toml", "");
    drop(source);
    assert!(opened(&dir, data.path()).is_ok());
}

/// What `run` logs, and returns.
fn saying<T>(run: impl FnOnce() -> T) -> (String, T) {
    let said = Said::default();
    let writer = said.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let value = tracing::subscriber::with_default(subscriber, run);
    (String::from_utf8(said.0.lock().unwrap().clone()).unwrap(), value)
}

/// French is not spoken here, and Polish is worth a remark.
fn by_language(_: Option<(&Config, Timestamp)>, after: &Config, _: Timestamp) -> Vec<Ruling> {
    let ruling = |(name, persona): (&String, &Arc<Persona>)| {
        let severity = match persona.language.as_deref()? {
            "fr" => Severity::Error,
            "pl" => Severity::Warning,
            _ => return None,
        };
        let (doc, message) = (DocId::Agent(name.as_str().into()), "nobody here speaks that".to_owned());
        Some(Ruling { doc, severity, code: "language", key: "language", message, round: 0 })
    };
    after.personas.iter().filter_map(ruling).collect()
}

#[test]
fn mod_07_what_rules_refuse_or_flag_is_said_once_and_until_it_is_right() {
    let dir = Dir::shipped();
    let source = Opening::new(dir.path()).env(env).rules(by_language).open().unwrap();
    let language = |source: &Source| source.current().agents["reception"].manner.language.clone();
    let speaks = |language: &str| {
        dir.write("agents/reception.toml", AGENT.replace("language = \"en\"", &format!("language = \"{language}\"")));
        saying(|| (0..4).for_each(|_| drop(source.refresh()))).0
    };
    for _ in 0..2 {
        let said = speaks("fr");
        let told: Vec<_> = said.lines().filter(|line| line.contains("nobody here speaks that")).collect();
        assert_eq!(told.len(), 2, "{said}");
        assert!(told[0].contains("ERROR") && told[0].contains("agents/reception.toml:"), "{said}");
        assert!(told[1].contains("the last good version of a document stays in force: "), "{said}");
        assert_eq!((language(&source).as_deref(), source.findings().len()), (Some("en"), 0));
        // A change of another document says nothing anew.
        dir.write("offhook.toml", "max_calls = 5\n");
        let (said, ()) = saying(|| drop(source.refresh()));
        assert!(!said.contains("nobody"), "{said}");
        dir.remove("offhook.toml").write("offhook.toml", SERVER);
        let said = speaks("pl");
        let told: Vec<_> = said.lines().filter(|line| line.contains("nobody here speaks that")).collect();
        assert!(told.len() == 1 && told[0].contains("WARN") && told[0].contains("agents/reception.toml:"), "{said}");
        assert_eq!((language(&source).as_deref(), source.findings().len()), (Some("pl"), 1));
        assert!(!source.problems().has_errors());
        assert!(!speaks("en").contains("nobody"));
        assert!(
            source.findings().is_empty() && source.problems().iter().all(|problem| !problem.message.contains("nobody"))
        );
    }
}

#[test]
fn a_document_that_is_being_written_is_neither_taken_nor_complained_about() {
    let dir = Dir::shipped();
    dir.write("offhook.toml", "max_calls = 5\n");
    std::thread::sleep(Duration::from_millis(60));
    let source = Opening::new(dir.path()).env(env).watched().open().unwrap();
    let first = source.current();
    let (said, ()) = saying(|| {
        // A writer that empties the file, writes half of it, and later the rest.
        dir.write("agents/reception.toml", "");
        assert!(source.refresh().again.is_some());
        dir.write("agents/reception.toml", &AGENT[..AGENT.len() / 2]);
        let half = until_settled(&source, Duration::from_millis(300));
        assert!(half.is_empty(), "{half:?}");
        assert_eq!(source.current().revision, first.revision);
        assert!(source.problems().iter().all(|problem| !problem.is_error()));
        // One that fits though it ends within a line, beside one that is whole and is applied.
        dir.write("offhook.toml", "max_calls = 50");
        let whole = AGENT.replace("language = \"en\"", "language = \"pl\"");
        dir.write("agents/reception.toml", &whole);
        let changes = until_settled(&source, Duration::from_millis(300));
        assert_eq!(changes, ["agents/reception.toml"]);
        assert_eq!(source.current().server.max_calls, 5);
        dir.write("offhook.toml", "max_calls = 500\n");
        assert_eq!(until_settled(&source, Duration::from_millis(300)), ["offhook.toml"]);
        assert_eq!(source.current().server.max_calls, 500);
    });
    assert!(!said.contains("ERROR"), "{said}");
    // What stays wrong is said in the end.
    dir.write("agents/reception.toml", "model = ");
    until_settled(&source, Duration::from_secs(3));
    assert!(source.problems().has_errors());
    assert_eq!(source.current().agents["reception"].manner.language.as_deref(), Some("pl"));
}

/// Looks again as long as something is being written, for `most` at most; what is in force since.
fn until_settled(source: &Source, most: Duration) -> Vec<String> {
    let began = Instant::now();
    let mut changes = Vec::new();
    loop {
        let refreshed = source.refresh();
        changes.extend(refreshed.changes.iter().map(|change| change.doc.to_string()));
        match refreshed.again {
            Some(again) if began.elapsed() + again < most => std::thread::sleep(again),
            _ => return changes,
        }
    }
}

#[test]
fn an_editors_ways_of_saving_are_one_change_each() {
    let dir = Dir::shipped();
    let source = Opening::new(dir.path()).env(env).watched().open().unwrap();
    until_settled(&source, Duration::from_secs(2));
    let path = dir.path().join("agents/reception.toml");
    // Renamed over it.
    dir.write("agents/.new", AGENT.replace("language = \"en\"", "language = \"pl\""));
    fs::rename(dir.path().join("agents/.new"), &path).unwrap();
    assert_eq!(until_settled(&source, Duration::from_secs(2)), ["agents/reception.toml"]);
    // The old one moved away, and a new one in its place.
    fs::rename(&path, dir.path().join("agents/reception.toml~")).unwrap();
    source.refresh();
    dir.write("agents/reception.toml", AGENT);
    assert_eq!(until_settled(&source, Duration::from_secs(2)), ["agents/reception.toml"]);
    assert_eq!(source.current().agents["reception"].manner.language.as_deref(), Some("en"));
    // Deleted, which is meant.
    fs::remove_file(dir.path().join("deployments/main-number.toml")).unwrap();
    assert_eq!(until_settled(&source, Duration::from_secs(2)), ["deployments/main-number.toml"]);
    assert!(source.current().deployments.is_empty());
}

#[test]
fn what_a_call_ran_by_outlives_the_documents() {
    let dir = Dir::shipped();
    let push = "\n[push]\nurl = \"https://crm.example.com/\"\n";
    dir.write("agents/reception.toml", format!("{AGENT}{push}"));
    let source = Source::open_with(dir.path(), env, |_| {}).unwrap();
    let deployment = source.current().deployments["main-number"].clone();
    let pinned = source.pin(&deployment).unwrap();
    dir.remove("agents/reception.toml").remove("deployments/main-number.toml").remove("sounds/hold.wav");
    dir.write("agents/other.toml", AGENT.replace("hold_sound", "#hold_sound"));
    source.refresh();
    assert!(!source.current().agents.contains_key("reception"));
    assert_eq!(source.pin(&deployment), Some(pinned.clone()), "while a call holds it, it is known");
    // After a restart there is only what was written down.
    let written = serde_json::to_string(&pinned).unwrap();
    assert!(!written.contains("very-secret"));
    let source = Source::open_with(dir.path(), env, |_| {}).unwrap();
    let again = source.unpin(&serde_json::from_str(&written).unwrap()).unwrap();
    assert_eq!(format!("{:?}", again.agent.after), format!("{:?}", deployment.agent.after));
    assert!(source.pin(&deployment).is_none());
}
