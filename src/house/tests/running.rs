//! The rules over a running catalogue's files.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::documents::{AGENT, CHAT, Files, PHONE, SITE, STRICT};
use super::*;
use crate::config::{By, DocId, DocState, Edit, EditError, InForce, LastGoodFolder, Opening, Source, Wanted, check_by};
use crate::house::locks::{Lock, locked};
use crate::house::review::rulings;

/// A directory, what is kept of it, and who runs by it.
struct Running {
    dir: TempDir,
    data: TempDir,
    source: Source,
}

impl Running {
    fn new(files: &Files) -> Self {
        let (dir, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        files.write(dir.path());
        let source = opened(&dir, &data);
        Running { dir, data, source }
    }

    /// Down, and up again.
    fn again(self, between: impl FnOnce(&Running)) -> Self {
        between(&self);
        let Running { dir, data, source } = self;
        drop(source);
        let source = opened(&dir, &data);
        Running { dir, data, source }
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.dir.path().join(path), text).unwrap();
    }

    /// Writes a document, or deletes it, and looks.
    fn change(&self, path: &str, text: Option<&str>) {
        match text {
            Some(text) => self.write(path, text),
            None => std::fs::remove_file(self.dir.path().join(path)).unwrap(),
        }
        self.source.refresh();
    }

    fn state(&self, path: &str) -> DocState {
        let doc = DocId::from_path(path).unwrap();
        self.source.documents().into_iter().find(|state| state.doc == doc).unwrap()
    }

    /// Documents that are not in force as they are written.
    fn held(&self) -> Vec<(String, InForce)> {
        let others = self.source.documents().into_iter().filter(|state| state.in_force != InForce::AsWritten);
        others.map(|state| (state.doc.to_string(), state.in_force)).collect()
    }

    /// Errors in one line each, with the path within the directory.
    fn errors(&self) -> Vec<String> {
        let dir = format!("{}/", self.dir.path().display());
        let problems = self.source.problems();
        let errors = problems.iter().filter(|problem| problem.is_error());
        errors.map(|error| error.to_string().lines().next().unwrap().replace(&dir, "")).collect()
    }

    /// What is flagged, by document and code, which is among the problems, too.
    fn flags(&self) -> Vec<String> {
        let findings = self.source.findings();
        let flags: Vec<_> = findings.values().flatten().collect();
        let problems = self.source.problems();
        for flag in &flags {
            let told = problems.iter().filter(|problem| !problem.is_error() && problem.message == flag.message);
            assert!(told.count() > 0, "{flag:?}");
        }
        flags.iter().map(|flag| format!("{} {}: {}", flag.doc, flag.key, flag.code)).collect()
    }

    fn is_good(&self) {
        assert_eq!((self.held(), self.errors(), self.flags()), (vec![], vec![], vec![]));
    }
}

fn opened(dir: &TempDir, data: &TempDir) -> Source {
    let opening = Opening::new(dir.path()).env(|_| None).last_good(LastGoodFolder::new(data.path())).rules(rulings);
    let source = opening.open().unwrap_or_else(|problems| panic!("{problems}"));
    source.keep_last_good();
    source
}

fn three() -> Files {
    Files::new(&[("chat", CHAT), ("line", PHONE), ("site", SITE)])
}

#[test]
fn x_01_what_a_file_is_refused_keeps_its_last_good_version_and_its_message() {
    let no_voice = format!("{PHONE}model = \"t-ch\"\n");
    let same_backup = format!("{SITE}backup_model = \"t-ch\"\n");
    let public = format!("{CHAT}access = \"public\"\n");
    let past = format!("{SITE}[schedule]\nactivate_at = 2020-01-01T00:00:00Z\n");
    // MOD-04, FAIL-02, ACC-03, VIS-07.
    for (path, text, told) in [
        ("deployments/line.toml", &no_voice, "4:9: model = \"t-ch\": Phone deployments require a voice model"),
        ("deployments/site.toml", &same_backup, "3:1: backup_model = \"t-ch\": The backup must be a different model."),
        ("deployments/chat.toml", &public, "3:10: access = \"public\": Public is not available for internal chat."),
        ("deployments/site.toml", &past, "4:1: activate_at = 2020-01-01T00:00:00Z: That time is past."),
    ] {
        let files = three();
        let good = String::from_utf8(files.0[path].clone()).unwrap();
        let running = Running::new(&files);
        running.is_good();
        let before = running.source.current();
        for _ in 0..3 {
            running.change(path, Some(text));
            assert_eq!(running.held(), [(path.to_owned(), InForce::LastGood)]);
            let errors = running.errors();
            assert!(errors.len() == 1 && errors[0].starts_with(&format!("{path}:{told}")), "{errors:?}");
            assert_eq!(running.source.current().revision, before.revision);
            // Others come into force beside it.
            running.change("agents/reception.toml", Some(&format!("{AGENT}language = \"de\"\n")));
            assert_eq!(running.source.current().personas["reception"].language.as_deref(), Some("de"));
            running.change("agents/reception.toml", Some(AGENT));
        }
        // One that is right comes into force, and all is well.
        let other = format!("title = \"Another\"\n{good}");
        let title = if path.ends_with("chat.toml") { &good } else { &other };
        running.change(path, Some(title));
        running.is_good();
        // So does the one before.
        running.change(path, Some(&good));
        running.is_good();
        assert_eq!(running.source.current().revision, before.revision);
    }
}

#[test]
fn dep_08_a_second_chat_waits_until_the_first_is_gone() {
    let running = Running::new(&three());
    running.change("deployments/another.toml", Some(CHAT));
    assert_eq!(running.held(), [("deployments/another.toml".to_owned(), InForce::Nothing)]);
    let told = "deployments/another.toml:2:1: agent = \"reception\": This agent already has an internal chat.";
    assert_eq!(running.errors(), [told]);
    assert!(running.state("deployments/another.toml").why.unwrap().ends_with(told));
    // Over a restart, too.
    let running = running.again(|_| {});
    assert_eq!(running.errors(), [told]);
    running.change("deployments/chat.toml", None);
    running.is_good();
    assert!(running.source.current().chats.contains_key("another"));
}

#[test]
fn dep_08_who_is_refused_for_itself_is_in_nobodys_way() {
    let mut files = Files::new(&[("line", PHONE)]);
    files.more("offhook.toml", STRICT);
    let running = Running::new(&files);
    running.write("deployments/a.toml", &format!("{CHAT}model = \"t-us\"\n"));
    running.change("deployments/b.toml", Some(CHAT));
    assert_eq!(running.held(), [("deployments/a.toml".to_owned(), InForce::Nothing)]);
    assert!(running.source.current().chats.contains_key("b"));
}

#[test]
fn dep_09_at_the_limit_only_the_newest_are_refused() {
    let mut files = three();
    files.more("offhook.toml", "[plan]\ndeployments = 3\n");
    let server = |limit: u32| format!("[twilio]\ncheck_signatures = false\n[plan]\ndeployments = {limit}\n");
    let running = Running::new(&files);
    let site = |name: &str| format!("{SITE}title = \"{name}\"\n");
    running.write("deployments/a.toml", &site("A"));
    running.change("deployments/b.toml", Some(&site("B")));
    let nothing = |name: &str| (format!("deployments/{name}.toml"), InForce::Nothing);
    assert_eq!(running.held(), [nothing("a"), nothing("b")]);
    let message = "You have reached the limit of 3 deployments. Upgrade your plan to add more.";
    let errors = running.errors();
    assert!(errors.len() == 2 && errors.iter().all(|error| error.ends_with(message)), "{errors:?}");
    running.change("offhook.toml", Some(&server(4)));
    assert_eq!(running.held(), [nothing("b")]);
    // A limit that becomes lower switches nothing off.
    running.change("offhook.toml", Some(&server(2)));
    assert_eq!(running.held(), [nothing("b")]);
    assert_eq!(running.flags(), ["offhook.toml plan.deployments: deployment_limit"]);
    running.change("deployments/b.toml", None);
    running.change("offhook.toml", Some(&server(5)));
    running.is_good();
}

#[test]
fn res_03_res_05_mod_07_a_stricter_tier_flags_what_is_there_and_refuses_what_is_new() {
    let us = format!("{PHONE}model = \"us\"\n");
    let running = Running::new(&Files::new(&[("line", &us), ("site", SITE)]));
    let free = "[twilio]\ncheck_signatures = false\n";
    running.change("offhook.toml", Some(&format!("{free}{STRICT}")));
    let flagged = ["deployments/line.toml model: residency"];
    assert_eq!(
        (running.held(), running.errors(), running.flags()),
        (vec![], vec![], flagged.map(str::to_owned).into())
    );
    let doc = DocId::from_path("deployments/line.toml").unwrap();
    assert_eq!(running.source.findings()[&doc][0].code, "residency");
    // It stays so when it is changed otherwise.
    running.change("deployments/line.toml", Some(&format!("title = \"Front desk\"\n{us}")));
    assert_eq!((running.held(), running.flags()), (vec![], flagged.map(str::to_owned).into()));
    let problems = running.source.problems();
    assert!(problems.iter().any(|problem| problem.line == 5 && problem.text == "model = \"us\""), "{problems}");
    // A new choice is refused.
    running.change("deployments/site.toml", Some(&format!("{SITE}model = \"t-us\"\n")));
    let told = "deployments/site.toml:3:1: model = \"t-us\": Selected model is not allowed by your organization's \
                data-residency setting";
    assert_eq!(running.errors(), [told]);
    assert_eq!(running.source.current().chats["site"].model.name, "t-ch");
    // So it is while nobody runs by it, and what was in force then goes on.
    let running = running.again(|_| {});
    assert_eq!((running.errors(), running.flags()), (vec![told.to_owned()], flagged.map(str::to_owned).into()));
    assert_eq!(running.held(), [("deployments/site.toml".to_owned(), InForce::LastGood)]);
    assert_eq!(running.source.current().deployments["line"].agent.model.name, "us");
    // Another model, and the flag is gone; another tier, and what was refused is taken.
    running.change("deployments/line.toml", Some(PHONE));
    assert_eq!(running.flags(), [""; 0]);
    running.change("offhook.toml", Some(free));
    running.is_good();
    assert_eq!(running.source.current().chats["site"].model.name, "t-us");
}

#[test]
fn res_05_vis_07_what_was_in_force_last_begins_again_whatever_was_written_meanwhile() {
    let us = format!("{PHONE}model = \"us\"\n");
    let running = Running::new(&Files::new(&[("line", &us), ("site", SITE)]));
    let running = running.again(|down| {
        down.write("offhook.toml", &format!("[twilio]\ncheck_signatures = false\n{STRICT}"));
        down.write("deployments/chat.toml", &format!("{CHAT}model = \"t-us\"\n"));
        // It came due while nobody looked.
        down.write("deployments/site.toml", &format!("{SITE}[schedule]\nactivate_at = 2020-01-01T00:00:00Z\n"));
    });
    assert_eq!(running.held(), [("deployments/chat.toml".to_owned(), InForce::Nothing)]);
    assert_eq!(running.flags(), ["deployments/line.toml model: residency"]);
    // A check tells of the same versions, though it tells of a directory as of one that never ran.
    let config = running.dir.path().join("offhook.toml");
    let data = format!("data_dir = {:?}\n{}", running.data.path(), std::fs::read_to_string(&config).unwrap());
    running.change("offhook.toml", Some(&data));
    let report = check_by(running.dir.path(), &|_| None, &rulings, &BTreeMap::new());
    assert_eq!(report.documents, running.source.documents());
    assert_eq!(report.errors, 2, "{}", report.problems);
}

#[test]
fn fail_02_an_agent_may_not_take_from_its_deployments_what_they_need() {
    let site = format!("{SITE}backup_model = \"t-us\"\n");
    let running = Running::new(&Files::new(&[("line", PHONE), ("site", &site)]));
    running.change("agents/reception.toml", Some(&AGENT.replace("t-ch", "t-us")));
    assert_eq!(running.held(), [("agents/reception.toml".to_owned(), InForce::LastGood)]);
    let told = "deployments/site.toml:3:1: backup_model = \"t-us\": The backup must be a different model.";
    assert_eq!(running.errors(), [told]);
    let why = running.state("agents/reception.toml").why.unwrap();
    assert!(why.starts_with("deployments/site.toml relies on what it was: ") && why.ends_with(told), "{why}");
    // Changed together they fit.
    running.change("deployments/site.toml", Some(SITE));
    running.is_good();
    assert_eq!(running.source.current().chats["site"].model.name, "t-us");
}

#[test]
fn x_06_an_edit_that_would_be_refused_is_not_written() {
    let running = Running::new(&three());
    let doc = DocId::from_path("deployments/site.toml").unwrap();
    let (text, revision) = running.source.written(&doc).unwrap();
    let wrong = format!("{SITE}backup_model = \"t-ch\"\n");
    let edit = Edit { doc: doc.clone(), upon: Some(revision), to: Wanted::Text(wrong) };
    let edited = running.source.edit(&[edit], None, By::Api, &|_, _| Vec::new());
    let Err(EditError::Invalid(problems)) = edited else { panic!("{edited:?}") };
    assert!(
        problems.to_string().contains("site.toml:3:1: backup_model = \"t-ch\": The backup must be a different model.")
    );
    assert_eq!(running.source.written(&doc).unwrap(), (text, revision));
    running.is_good();
}

#[test]
fn dep_15_a_schedule_that_is_over_is_flagged_when_it_is() {
    let over = Timestamp::now() + jiff::SignedDuration::from_millis(500);
    let running = Running::new(&Files::new(&[("line", PHONE)]));
    running.change("deployments/line.toml", Some(&format!("{PHONE}[schedule]\ndeactivate_at = {over}\n")));
    let began = Instant::now();
    while running.flags().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
        running.source.refresh();
    }
    assert!(Timestamp::now() >= over);
    assert_eq!(
        (running.held(), running.flags()),
        (vec![], vec!["deployments/line.toml schedule: schedule_over".to_owned()])
    );
}

/// What a campaign that calls from `line` holds.
fn campaign() -> BTreeMap<DocId, String> {
    let (by, agent) = ("Spring".to_owned(), "reception".to_owned());
    locked(&[Lock { by, agent, deployment: Some("line".to_owned()) }])
}

const WAITS: &str = "This bot is used by running campaigns: Spring. Stop them first. Until then this change waits.";
const STAYS: &str = "This bot is used by running campaigns: Spring. Stop them first. Until then the document stays, \
    though its file is gone.";

#[test]
fn lock_02_lock_03_a_changed_file_of_a_locked_document_waits_and_is_applied_when_the_lock_ends() {
    let running = Running::new(&three());
    let language = || running.source.current().personas["reception"].language.clone();
    let told = || running.source.problems().iter().map(|problem| problem.message.clone()).collect::<Vec<_>>();
    assert_eq!(running.source.hold(campaign()), []);
    running.is_good();
    running.change("agents/reception.toml", Some(&format!("{AGENT}language = \"de\"\n")));
    assert_eq!(running.held(), [("agents/reception.toml".to_owned(), InForce::LastGood)]);
    assert_eq!((running.state("agents/reception.toml").why.as_deref(), language()), (Some(WAITS), None));
    assert_eq!((told(), running.errors()), (vec![WAITS.to_owned()], vec![]));
    // Other documents are free, and bring nothing of it into force; a file that is gone waits like any other.
    running.change("deployments/chat.toml", Some(&format!("title = \"Team\"\n{CHAT}")));
    assert_eq!((running.source.current().chats["chat"].standing.title.as_str(), language()), ("Team", None));
    running.change("deployments/line.toml", None);
    assert!(running.source.current().deployments.contains_key("line"));
    assert_eq!(told(), [WAITS, STAYS]);
    // As it was: nothing waits. And another version takes the place of the one that waits.
    running.change("agents/reception.toml", Some(AGENT));
    assert_eq!((running.held(), told()), (vec![], vec![STAYS.to_owned()]));
    running.change("agents/reception.toml", Some(&format!("{AGENT}language = \"fr\"\n")));
    let changes = running.source.hold(BTreeMap::new());
    let docs: Vec<_> = changes.iter().map(|change| (change.doc.to_string(), change.to.is_some())).collect();
    assert_eq!(docs, [("deployments/line.toml".to_owned(), false), ("agents/reception.toml".to_owned(), true)]);
    assert_eq!((language().as_deref(), told()), (Some("fr"), vec![]));
    assert!(!running.source.current().deployments.contains_key("line"));
}

#[test]
fn lock_02_what_was_refused_before_the_lock_does_not_come_into_force_under_it() {
    let running = Running::new(&three());
    let other = format!("{AGENT}language = \"de\"\n").replace("t-ch", "new");
    running.change("agents/reception.toml", Some(&other));
    assert_eq!(running.held(), [("agents/reception.toml".to_owned(), InForce::LastGood)]);
    running.source.hold(campaign());
    // What it lacks is there by now.
    let models = std::fs::read_to_string(running.dir.path().join("models.toml")).unwrap();
    let table = models.split("[t-ch]").nth(1).unwrap().split("\n[").next().unwrap();
    running.change("models.toml", Some(&format!("{models}\n[new]{table}\n")));
    assert_eq!(running.source.current().personas["reception"].language, None);
    running.source.hold(BTreeMap::new());
    assert_eq!(running.source.current().personas["reception"].language.as_deref(), Some("de"));
    running.is_good();
}

#[test]
fn lock_02_a_change_that_was_made_while_no_server_ran_waits_too_and_a_check_says_so() {
    let running = Running::new(&three()).again(|down| {
        let config = down.dir.path().join("offhook.toml");
        let text = format!("data_dir = {:?}\n{}", down.data.path(), std::fs::read_to_string(&config).unwrap());
        down.write("offhook.toml", &text);
        down.write("agents/reception.toml", &format!("{AGENT}language = \"de\"\n"));
        std::fs::remove_file(down.dir.path().join("deployments/line.toml")).unwrap();
        let report = check_by(down.dir.path(), &|_| None, &rulings, &campaign());
        let told: Vec<_> = report.problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!((told, report.ok), (vec![WAITS, STAYS], true));
        let held: Vec<_> = report.documents.iter().filter(|state| state.in_force != InForce::AsWritten).collect();
        assert_eq!((held.len(), held[0].why.as_deref()), (1, Some(WAITS)));
        assert!(report.to_string().contains(WAITS), "{report}");
    });
    let language = || running.source.current().personas["reception"].language.clone();
    assert_eq!(language().as_deref(), Some("de"), "nothing is known of locks yet");
    running.source.hold(campaign());
    assert_eq!(language(), None);
    assert!(running.source.current().deployments.contains_key("line"));
    running.source.hold(BTreeMap::new());
    assert_eq!(language().as_deref(), Some("de"));
    assert!(!running.source.current().deployments.contains_key("line"));
}
