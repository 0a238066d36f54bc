//! The rules over documents as they are written.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::config::{self, Config};
use crate::house::review::{Before, Facts, rulings};
use crate::house::{review, settings};

pub(super) const AGENT: &str =
    "instructions = \"Help.\"\ngreeting = { say = \"Hello.\" }\nmodel = \"ch\"\ntext_model = \"t-ch\"\n";
const MODELS: &str = "
[ch]
url = \"ws://127.0.0.1:1/\"
vendor = \"A\"
vendor_country = \"CH\"
hosting_country = \"CH\"
voices = [\"alloy\"]

[us]
url = \"ws://127.0.0.1:1/\"
vendor_country = \"US\"
hosting_country = \"US\"

[t-ch]
kind = \"text\"
base_url = \"http://127.0.0.1:1\"
model = \"t\"
vendor = \"A\"
vendor_country = \"CH\"
hosting_country = \"CH\"

[t-us]
kind = \"text\"
base_url = \"http://127.0.0.1:1\"
model = \"t\"
vendor = \"A\"
vendor_country = \"US\"
hosting_country = \"US\"
";

/// Documents by path, over a server without a limit, two models of each kind, and one agent.
#[derive(Clone)]
pub(super) struct Files(pub(super) BTreeMap<String, Vec<u8>>);

impl Files {
    pub(super) fn new(deployments: &[(&str, &str)]) -> Self {
        let mut files = Files(BTreeMap::new());
        files.put("offhook.toml", "[twilio]\ncheck_signatures = false\n");
        files.put("models.toml", MODELS);
        files.put("agents/reception.toml", AGENT);
        for (name, text) in deployments {
            files.put(&format!("deployments/{name}.toml"), text);
        }
        files
    }

    pub(super) fn put(&mut self, path: &str, text: &str) {
        self.0.insert(path.to_owned(), text.as_bytes().to_vec());
    }

    pub(super) fn more(&mut self, path: &str, text: &str) {
        self.0.entry(path.to_owned()).or_default().extend_from_slice(text.as_bytes());
    }

    /// As a directory.
    pub(super) fn write(&self, dir: &Path) {
        for (path, text) in &self.0 {
            let path = dir.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    pub(super) fn config(&self) -> Config {
        config::from_memory(&self.0, &|_| None).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// What the rules say of them, as people read it, in short.
    fn found(&self, before: Option<&Files>) -> Vec<String> {
        let (config, before) = (self.config(), before.map(Files::config));
        let was = before.as_ref().map(Facts::of);
        let before = was.as_ref().map(|facts| Before { facts, seen_at: at(NOON) });
        let findings = review(before, &Facts::of(&config), at(NOON));
        let told = findings.iter().map(|finding| {
            let path = finding.document.path();
            let source = std::str::from_utf8(&self.0[&path]).unwrap();
            finding.problem(&path, source).to_string().lines().next().unwrap().to_owned()
        });
        told.collect()
    }
}

pub(super) const PHONE: &str = "channel = \"phone\"\nagent = \"reception\"\nnumber = \"+15550100100\"\n";
pub(super) const CHAT: &str = "channel = \"internal\"\nagent = \"reception\"\n";
pub(super) const SITE: &str = "channel = \"website\"\nagent = \"reception\"\n";
pub(super) const STRICT: &str = "[residency]\ntier = \"swiss_swiss\"\n";

#[test]
fn good_documents_are_good() {
    assert_eq!(Files::new(&[("chat", CHAT), ("line", PHONE), ("site", SITE)]).found(None), [""; 0]);
}

#[test]
fn x_01_dep_08_a_file_meets_the_same_message_at_its_place() {
    let files = Files::new(&[("a", CHAT), ("b", CHAT)]);
    let told = "deployments/b.toml:2:1: agent = \"reception\": This agent already has an internal chat.";
    assert_eq!(files.found(None), [told]);
}

#[test]
fn res_03_res_04_a_model_against_the_tier_is_refused_when_new_and_flagged_when_old() {
    let before = Files::new(&[("line", &format!("{PHONE}model = \"us\"\n"))]);
    let mut after = before.clone();
    after.more("offhook.toml", STRICT);
    let place = "deployments/line.toml:4:1: ";
    let refused = "model = \"us\": Selected model is not allowed by your organization's data-residency setting";
    assert_eq!(after.found(None), [format!("{place}{refused}")]);
    let flagged = "warning: model = \"us\": The model us does not meet your data-residency setting (Swiss / Swiss) any more. \
                   It goes on until another is chosen.";
    assert_eq!(after.found(Some(&before)), [format!("{place}{flagged}")]);
}

#[test]
fn res_10_an_agents_own_models_are_told_in_its_document() {
    let mut files = Files::new(&[("line", PHONE), ("site", SITE)]);
    files.more("offhook.toml", STRICT);
    files.put("agents/reception.toml", &AGENT.replace("ch\"", "us\""));
    let question = "[qc]\nmodel = \"t-us\"\nprompt = \"Well?\"\nschema = { type = \"object\" }\n";
    files.more("agents/reception.toml", question);
    let found = files.found(None);
    let places: Vec<_> = found.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["agents/reception.toml:3:1", "agents/reception.toml:4:1", "agents/reception.toml:6:1"]);
}

#[test]
fn an_agent_that_is_lent_a_deployments_model_has_none_of_its_own() {
    let mut files = Files::new(&[("line", &format!("{PHONE}model = \"us\"\n"))]);
    files.more("offhook.toml", STRICT);
    files.put("agents/reception.toml", &AGENT.replace("model = \"ch\"\n", ""));
    let found = files.found(None);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("deployments/line.toml:4:1: "), "{found:?}");
}

#[test]
fn fail_02_fail_03_backups_in_files() {
    for (backup, told) in [
        ("t-ch", "backup_model = \"t-ch\": The backup must be a different model."),
        ("t-us", "warning: backup_model = \"t-us\": Same provider as the primary: if A is down, both are."),
    ] {
        let files = Files::new(&[("site", &format!("{SITE}backup_model = \"{backup}\"\n"))]);
        assert_eq!(files.found(None), [format!("deployments/site.toml:3:1: {told}")]);
    }
}

#[test]
fn vis_07_dep_09_schedules_and_limits_in_files() {
    let before = Files::new(&[("line", PHONE)]);
    let mut after = before.clone();
    after.more("offhook.toml", "[plan]\ndeployments = 1\n");
    after.more("deployments/line.toml", "[schedule]\nactivate_at = 2026-06-16T10:00:00Z\n");
    after.put("deployments/site.toml", SITE);
    let expected = [
        "deployments/line.toml:5:1: activate_at = 2026-06-16T10:00:00Z: That time is past.",
        "deployments/site.toml:2:1: agent = \"reception\": You have reached the limit of 1 deployments. Upgrade your plan to \
         add more.",
    ];
    assert_eq!(after.found(Some(&before)), expected);
}

#[test]
fn c_04_documents_and_new_phones_have_the_same_default() {
    let config = Files::new(&[("line", PHONE)]).config();
    assert_eq!(config.deployments["line"].limits.max_duration_s, u64::from(settings::MAX_MINUTES) * 60);
}

#[test]
fn the_shipped_documents_keep_all_rules() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let config = config::load_with(&dir, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(review(None, &Facts::of(&config), at(NOON)), []);
}

#[test]
fn x_01_a_check_of_a_directory_tells_of_broken_rules() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::new(&[("a", CHAT), ("b", CHAT), ("line", &PHONE.replace("number = \"+15550100100\"\n", ""))]);
    files.write(dir.path());
    let plain = config::check_with(dir.path(), &|_| None);
    let report = config::check_by(dir.path(), &|_| None, &rulings, &std::collections::BTreeMap::new());
    assert!(plain.ok && !report.ok && report.found.is_none());
    assert_eq!((report.errors, report.warnings), (plain.errors + 1, plain.warnings + 1));
    let told = report.problems.to_string();
    assert!(
        told.contains("deployments/b.toml:2:1: agent = \"reception\": This agent already has an internal chat."),
        "{told}"
    );
    assert!(told.contains("deployments/line.toml:2:1: warning: agent = \"reception\": No number"), "{told}");
}
