//! The `twilio` package as judge of signatures and TwiML.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use offhook::config::Secret;
use offhook::link::twilio::{signature, twiml};
use serde_json::{Value, json};

/// Reads cases as JSON, answers with what the package makes of each.
const SIGNATURES: &str = r#"
import json, sys
from twilio.request_validator import RequestValidator

class Params(dict):
    def __init__(self, pairs):
        super().__init__()
        self.pairs = pairs
        for name, value in pairs:
            self[name] = value
    def getall(self, name):
        return [v for n, v in self.pairs if n == name]

answers = []
for case in json.load(sys.stdin):
    validator = RequestValidator(case["token"])
    params = case["body"] if case["body"] is not None else Params(case["params"])
    signed = {} if case["body"] is not None else params
    answers.append({
        "signature": validator.compute_signature(case["url"], signed),
        "valid": bool(validator.validate(case["seen_url"], params, case["signature"])),
        "tampered_valid": bool(validator.validate(case["seen_url"] + "0", params, case["signature"])),
    })
json.dump(answers, sys.stdout)
"#;

/// Builds the same documents with the package's classes, and compares parsed XML.
const TWIML: &str = r#"
import json, sys
import xml.etree.ElementTree as ET
from twilio.twiml.voice_response import VoiceResponse, Connect

def same(a, b):
    return (a.tag == b.tag and a.attrib == b.attrib and (a.text or "") == (b.text or "")
        and len(a) == len(b) and all(same(x, y) for x, y in zip(a, b)))

answers = []
for case in json.load(sys.stdin):
    response = VoiceResponse()
    if case["kind"] == "connect":
        connect = Connect()
        more = {"status_callback": case["status_callback"]} if case["status_callback"] else {}
        stream = connect.stream(url=case["url"], name=case["name"], **more)
        for name, value in case["parameters"]:
            stream.parameter(name=name, value=value)
        response.append(connect)
    elif case["kind"] == "refuse":
        response.say(case["text"], **({"language": case["language"]} if case["language"] else {}))
    else:
        response.dial(case["number"])
    response.hangup()
    answers.append(same(ET.fromstring(str(response)), ET.fromstring(case["xml"])))
json.dump(answers, sys.stdout)
"#;

#[test]
fn the_package_agrees_with_our_signatures() {
    let Some(python) = judge() else { return };
    let cases = signature_cases();
    let answers = ask(&python, SIGNATURES, &Value::Array(cases.clone()));
    assert_eq!(answers.len(), cases.len());
    for (case, answer) in cases.iter().zip(&answers) {
        assert_eq!(answer["signature"], case["signature"], "{case}");
        assert_eq!(answer["valid"], true, "the package refuses ours: {case}");
        assert_eq!(answer["tampered_valid"], false, "{case}");
        let token = Secret::new(case["token"].as_str().unwrap());
        let seen = case["seen_url"].as_str().unwrap();
        let theirs = answer["signature"].as_str().unwrap();
        let accept = |url: &str| match case["body"].as_str() {
            Some(body) => signature::verify_body(&token, url, body.as_bytes(), theirs),
            None => signature::verify_form(&token, url, &params(case), theirs),
        };
        assert!(accept(seen), "we refuse the package's: {case}");
        assert!(!accept(&format!("{seen}0")), "{case}");
    }
}

#[test]
fn the_package_signs_an_upgrade_as_we_check_it() {
    let Some(python) = judge() else { return };
    let mut cases = Vec::new();
    for url in ["wss://h.example/twilio/media", "wss://h.example:8443/media/", "wss://h.example:443/m"] {
        let signature = signature::sign(&Secret::new("12345"), url, &[]);
        cases.push(
            json!({"token": "12345", "url": url, "seen_url": url, "params": [], "body": null, "signature": signature}),
        );
    }
    let answers = ask(&python, SIGNATURES, &Value::Array(cases.clone()));
    assert_eq!(answers.len(), cases.len());
    for (case, answer) in cases.iter().zip(&answers) {
        let url = case["url"].as_str().unwrap();
        let theirs = answer["signature"].as_str().unwrap();
        assert!(signature::verify_upgrade(&Secret::new("12345"), url, theirs), "{url}");
        assert!(!signature::verify_upgrade(&Secret::new("12346"), url, theirs), "{url}");
    }
}

#[test]
fn the_package_writes_the_same_twiml() {
    let Some(python) = judge() else { return };
    let mut cases = Vec::new();
    for text in ["plain", "a & b", "<\"'>", "grüß dich 😀", "tab\tline\nend"] {
        for (callback, language) in [(None, None), (Some("https://h.example/s?a=1&b=2"), Some("de-DE"))] {
            let parameters = [("token", text), ("other name", "")];
            let (url, name) = ("wss://h.example/twilio/media", "call");
            cases.push(json!({"kind": "connect", "url": url, "name": name, "status_callback": callback,
                "parameters": parameters, "xml": twiml::connect_stream(url, name, callback, &parameters)}));
            cases.push(json!({"kind": "refuse", "text": text, "language": language,
                "xml": twiml::refuse(text, language)}));
        }
        cases.push(json!({"kind": "dial", "number": text, "xml": twiml::dial(text)}));
    }
    let answers = ask(&python, TWIML, &Value::Array(cases.clone()));
    assert_eq!(answers.len(), cases.len());
    for (case, answer) in cases.iter().zip(&answers) {
        assert_eq!(*answer, true, "{case}");
    }
}

/// Forms, queries and JSON bodies with odd letters, repeated names and blank values, at URLs with and without a port.
fn signature_cases() -> Vec<Value> {
    const WORDS: [&str; 12] =
        ["", "a", "A", "Body", "+14155550100", "hello world", "a&b=c", "grüß", "日本", "😀", "z\n\"", "%2B+"];
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut pick = |n: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 20) as usize % n
    };
    let mut cases = Vec::new();
    for i in 0..400 {
        let token = format!("token{}", pick(1_000));
        let scheme = ["https", "http"][pick(2)];
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        let port = ["", default_port, ":8443"][pick(3)];
        let path = ["/", "/voice", "/a/b.php", "/twilio/voice/"][pick(4)];
        let mut query = ["?x=", "?foo=1&bar=2", "?a=%C3%BC&b=c+d", "?q=a%20b&q=2"][pick(4)].to_owned();
        let body = (i % 4 == 0).then(|| json!({"text": WORDS[pick(12)], "n": pick(100)}).to_string());
        if let Some(body) = &body {
            query.push_str(&format!("&bodySHA256={}", signature::body_hash(body.as_bytes())));
        }
        let url = format!("{scheme}://calls.example{port}{path}{query}");
        // What the server believes its URL to be: the same, or with the default port said or unsaid.
        let other_port = if port.is_empty() { default_port } else { "" };
        let seen_port = if port == ":8443" || pick(2) == 0 { port } else { other_port };
        let seen_url = format!("{scheme}://calls.example{seen_port}{path}{query}");
        let count = if body.is_some() { 0 } else { pick(8) };
        let params: Vec<(String, String)> =
            (0..count).map(|_| (WORDS[1 + pick(11)].to_owned(), WORDS[pick(12)].to_owned())).collect();
        let signature = signature::sign(&Secret::new(token.as_str()), &url, &params);
        cases.push(json!({"token": token, "url": url, "seen_url": seen_url, "params": params, "body": body,
            "signature": signature}));
    }
    cases
}

fn params(case: &Value) -> Vec<(String, String)> {
    serde_json::from_value(case["params"].clone()).unwrap()
}

/// The environment's Python; `None` when there is none and none is demanded.
pub(crate) fn judge() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/judges/bin/python");
    let package = |python: &Path| {
        let import = Command::new(python).args(["-c", "import twilio"]).stderr(Stdio::null()).status();
        import.is_ok_and(|status| status.success())
    };
    if python.exists() && package(&python) {
        return Some(python);
    }
    assert!(
        std::env::var("OFFHOOK_JUDGES").as_deref() != Ok("1"),
        "OFFHOOK_JUDGES=1, but {} has no twilio: python3 -m venv target/judges && target/judges/bin/pip install twilio",
        python.display()
    );
    eprintln!("SKIPPED: the twilio package is not installed in target/judges");
    None
}

fn ask(python: &Path, program: &str, cases: &Value) -> Vec<Value> {
    let mut child =
        Command::new(python).args(["-c", program]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(cases.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the judge failed: {:?}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}
