//! `offhook migrate` as a person runs it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const AGENT: &str = "# Mia.\nmodel = \"m\"\ninstructions = \"x\"\n[push]\nurl = \"https://crm.example.com/\"\nheaders = { X-Key = { env = \"CRM\" } } # keep\n";
const DEPLOYMENT: &str = "agent = \"mia\" # her\nnumber = \"+15550100100\"\n";

fn migrate(dir: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offhook"));
    command.current_dir(dir).arg("migrate").args(more).env("CRM", "a-secret-of-the-crm").output().unwrap()
}

fn old() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config");
    for folder in ["agents", "deployments"] {
        fs::create_dir_all(config.join(folder)).unwrap();
    }
    fs::write(config.join("offhook.toml"), "max_calls = 3\n").unwrap();
    fs::write(config.join("models.toml"), "[m]\nurl = \"ws://127.0.0.1:1/\"\n").unwrap();
    fs::write(config.join("agents/mia.toml"), AGENT).unwrap();
    fs::write(config.join("deployments/line.toml"), DEPLOYMENT).unwrap();
    dir
}

fn texts(dir: &Path) -> Vec<String> {
    ["offhook.toml", "agents/mia.toml", "deployments/line.toml"]
        .map(|path| fs::read_to_string(dir.join("config").join(path)).unwrap())
        .into()
}

#[test]
fn what_would_change_is_shown_and_written_when_it_is_asked_for() {
    let dir = old();
    let before = texts(dir.path());
    let shown = migrate(dir.path(), &[]);
    let out = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success(), "{out}");
    for line in [
        "    6 - headers = { X-Key = { env = \"CRM\" } } # keep",
        "    6 + headers = { X-Key = { secret = \"CRM\" } } # keep",
        "    3 + channel = \"phone\"",
        "    4 + title = \"line\"",
        "+ [secrets.CRM]",
        "nothing was written; --write does",
    ] {
        assert!(out.contains(line), "{line}\n{out}");
    }
    assert_eq!(texts(dir.path()), before);

    let written = migrate(dir.path(), &["--write"]);
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let after = texts(dir.path());
    assert_eq!(after[1], AGENT.replace("env = ", "secret = "));
    assert_eq!(after[2], format!("{DEPLOYMENT}channel = \"phone\"\ntitle = \"line\"\n"));
    assert!(
        after[0].ends_with("[secrets.CRM]\nvalue = { env = \"CRM\" }\nhosts = [\"crm.example.com\"]\n"),
        "{}",
        after[0]
    );
    let again = String::from_utf8(migrate(dir.path(), &["--write"]).stdout).unwrap();
    assert_eq!(again, "config: every document is in today's form\n");
}

#[test]
fn all_documents_are_written_or_none() {
    let dir = old();
    let before = texts(dir.path());
    // In the place of the new file there is something that no file can take.
    fs::create_dir(dir.path().join("config/deployments/line.toml.new")).unwrap();
    let failed = migrate(dir.path(), &["--write"]);
    let said = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(said.contains("line.toml: cannot be written") && said.contains("the documents are as they were"), "{said}");
    assert_eq!(texts(dir.path()), before);
    let nowhere = migrate(dir.path(), &["nowhere"]);
    assert_eq!(nowhere.status.code(), Some(1));
}
