//! The `schemathesis` package as judge of the API: what it is asked and answers is what its document says.
//!
//! The package lives in a Python environment at `target/judges`. Without it the test says so and passes, unless
//! `OFFHOOK_JUDGES=1` demands it.

#![allow(clippy::print_stderr)] // a skipped test says so

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::house::{House, Plan, SECRET, Site, write};

/// Things that are there, so that it asks for more than what is not. What is deleted is there for that.
const IDS: &str = r#"
[[operations]]
include-path-regex = "^/api/v1/agents/\\{id\\}"
parameters = { "path.id" = "mia" }
[[operations]]
include-path-regex = "^/api/v1/deployments/\\{id\\}"
parameters = { "path.id" = "desk" }
[[operations]]
include-path-regex = "^/api/v1/revisions/\\{id\\}"
parameters = { "path.id" = "1" }
[[operations]]
include-name = "DELETE /api/v1/agents/{id}"
parameters = { "path.id" = "spare" }
[[operations]]
include-name = "DELETE /api/v1/deployments/{id}"
parameters = { "path.id" = "closed" }
"#;

/// Streams do not end, and whoever waits for that waits for ever.
const STREAMS: &str = "/events$";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_01_a_judge_finds_no_failure_and_no_answer_that_is_not_in_the_document() {
    let Some(judge) = judge() else { return };
    let site =
        Site::build(&Plan { twilio: "[api]\ntoken = { env = \"SECRET\" }\n".to_owned(), ..Plan::default() }).await;
    write(&site.config().join("agents/spare.toml"), "model = \"scripted\"\ninstructions = \"Be spare.\"\n");
    let config = site.dir.path().join("schemathesis.toml");
    write(&config, IDS);
    let house = House::ruled(site).await;
    let document = house.url("/api/v1/openapi.json");
    let asked = tokio::task::spawn_blocking(move || {
        let checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
            response_headers_conformance,unsupported_method";
        Command::new(judge)
            .arg(format!("--config-file={}", config.display()))
            .args(["run", &document, "--header", &format!("Authorization: Bearer {SECRET}")])
            .args(["--checks", checks, "--exclude-path-regex", STREAMS, "--phases", "coverage,fuzzing"])
            .args(["--max-examples", "8", "--seed", "1", "--generation-database", "none"])
            .args(["--rate-limit", "auto", "--continue-on-failure", "--no-color", "--warnings", "off"])
            .output()
    });
    let judged = asked.await.expect("a thread").expect("schemathesis");
    let said = String::from_utf8_lossy(&judged.stdout);
    assert!(judged.status.success(), "{said}\n{}", String::from_utf8_lossy(&judged.stderr));
}

/// The program; `None`: it is not installed, and nobody demands it.
fn judge() -> Option<PathBuf> {
    let judge = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/judges/bin/schemathesis");
    if judge.exists() {
        return Some(judge);
    }
    assert!(
        std::env::var("OFFHOOK_JUDGES").as_deref() != Ok("1"),
        "OFFHOOK_JUDGES=1, but target/judges has no schemathesis: target/judges/bin/pip install -r tests/judges.txt"
    );
    eprintln!("SKIPPED: schemathesis is not installed in target/judges");
    None
}
