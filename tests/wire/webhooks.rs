//! The `standardwebhooks` package as judge of signatures.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use offhook::config::Secret;
use offhook::serve::webhooks::signature;
use serde_json::{Value, json};

/// Verifies our signatures, and gives its own.
const SIGNATURES: &str = r#"
import json, sys
from datetime import datetime, timezone
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

def accepts(webhook, body, headers):
    try:
        webhook.verify(body, headers)
        return True
    except WebhookVerificationError:
        return False

answers = []
for case in json.load(sys.stdin):
    webhook = Webhook(case["secret"])
    headers = {"webhook-id": case["id"], "webhook-timestamp": str(case["at"]), "webhook-signature": case["signature"]}
    answers.append({
        "valid": accepts(webhook, case["body"], headers),
        "tampered_valid": accepts(webhook, case["body"] + " ", headers),
        "signature": webhook.sign(case["id"], datetime.fromtimestamp(case["at"], tz=timezone.utc), case["body"]),
    })
json.dump(answers, sys.stdout)
"#;

#[test]
fn the_package_accepts_our_signatures_and_we_accept_its_own() {
    let Some(python) = judge() else { return };
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut cases = Vec::new();
    for n in 0..20 {
        let secret = signature::new_secret().unwrap();
        let (id, at) = (format!("evt_{n:024x}"), now_s - n);
        let text = ["", "grüß dich 😀", "a\nb\"c", "日本"][n as usize % 4];
        let body = json!({"version": 1, "id": id, "text": text}).to_string();
        let signature = signature::sign(&Secret::new(secret.as_str()), &id, at, body.as_bytes()).unwrap();
        cases.push(json!({"secret": secret, "id": id, "at": at, "body": body, "signature": signature}));
    }
    let answers = ask(&python, &Value::Array(cases.clone()));
    assert_eq!(answers.len(), cases.len());
    for (case, answer) in cases.iter().zip(&answers) {
        assert_eq!((&answer["valid"], &answer["tampered_valid"]), (&json!(true), &json!(false)), "{case}");
        assert_eq!(answer["signature"], case["signature"]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (secret, at) = (Secret::new(text(&case["secret"])), case["at"].to_string());
        let theirs = text(&answer["signature"]);
        let verified =
            signature::verify(&secret, &text(&case["id"]), &at, text(&case["body"]).as_bytes(), &theirs, now_s);
        assert_eq!(verified, Ok(()), "{case}");
    }
}

/// The environment's Python; `None` when there is none and none is demanded.
fn judge() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/judges/bin/python");
    let package = |python: &Path| {
        let import = Command::new(python).args(["-c", "import standardwebhooks"]).stderr(Stdio::null()).status();
        import.is_ok_and(|status| status.success())
    };
    if python.exists() && package(&python) {
        return Some(python);
    }
    assert!(
        std::env::var("OFFHOOK_JUDGES").as_deref() != Ok("1"),
        "OFFHOOK_JUDGES=1, but {} has no standardwebhooks: python3 -m venv target/judges && target/judges/bin/pip install standardwebhooks",
        python.display()
    );
    eprintln!("SKIPPED: the standardwebhooks package is not installed in target/judges");
    None
}

fn ask(python: &Path, cases: &Value) -> Vec<Value> {
    let mut child =
        Command::new(python).args(["-c", SIGNATURES]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(cases.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the judge failed: {:?}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}
