//! Keeping up with files.

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
        let language = fresh(&source).agents["reception"].language.clone();
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
    assert_eq!(fresh(&source).agents["reception"].hold_sound.as_ref().unwrap().audio.len(), 320);
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
