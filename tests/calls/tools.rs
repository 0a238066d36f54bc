//! Other servers: what tools ask of them, what is fetched before a call, what is found out and sent after it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Method, Request, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use offhook::report::Report;
use offhook::stage::phone::{EndedBy, Step};
use serde_json::{Value, json};

use crate::house::{House, NUMBER, Plan, SECRET, Site, TOKEN, place, until};
use crate::talk::speech;

/// Another server, which behaves as the path says.
#[derive(Clone, Default)]
pub(crate) struct Other {
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Requests that are being answered and have not been.
    open: Arc<AtomicUsize>,
    /// Bytes of endless answers that were taken.
    taken: Arc<AtomicU64>,
}

#[derive(Clone, Debug)]
struct Asked {
    method: Method,
    uri: Uri,
    authorization: Option<String>,
    body: String,
}

impl Other {
    /// Listens; its port.
    pub(crate) async fn listen(&self) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let app = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        port
    }

    fn asked(&self, path: &str) -> Vec<Asked> {
        let all = self.asked.lock().expect("requests");
        all.iter().filter(|asked| asked.uri.path().starts_with(path)).cloned().collect()
    }
}

async fn answer(State(other): State<Other>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let asked = Asked {
        method: head.method.clone(),
        uri: head.uri.clone(),
        authorization: head.headers.get("authorization").map(|v| v.to_str().expect("text").to_owned()),
        body: String::from_utf8(body.to_vec()).expect("text"),
    };
    let before = other.asked(head.uri.path()).len();
    other.asked.lock().expect("requests").push(asked);
    other.open.fetch_add(1, Ordering::Relaxed);
    // Gone when the other end is, too.
    let open = Open(other.open.clone());
    let path = head.uri.path().to_owned();
    let response = match path.split('/').nth(1).unwrap_or_default() {
        "hang" => std::future::pending::<Response>().await,
        "slow" => {
            tokio::time::sleep(Duration::from_millis(400)).await;
            "later".into_response()
        }
        "wait" => {
            let ms = path.split('/').nth(2).and_then(|ms| ms.parse().ok()).expect("milliseconds");
            tokio::time::sleep(Duration::from_millis(ms)).await;
            axum::Json(json!({ "waited_ms": ms })).into_response()
        }
        "big" => {
            let taken = other.taken.clone();
            let chunk = Bytes::from_static(&[b'x'; 16 << 10]);
            // 5 MB, and it is counted what of them is taken.
            let chunks = futures_util::stream::iter(0..320).map(move |_| {
                taken.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                Ok::<_, std::io::Error>(chunk.clone())
            });
            Body::from_stream(chunks).into_response()
        }
        "moved" => (StatusCode::FOUND, [("location", "/good")]).into_response(),
        "flaky" if before < 2 => (StatusCode::SERVICE_UNAVAILABLE, "come back later").into_response(),
        "busy" => (StatusCode::SERVICE_UNAVAILABLE, format!("come back later{}", "!".repeat(9_000))).into_response(),
        "picture" => ([("content-type", "image/png")], vec![0x89u8, b'P', 0, 0xff]).into_response(),
        "caller" => axum::Json(json!({ "customer": { "name": "Anna", "points": 7 } })).into_response(),
        _ => axum::Json(json!({ "free": ["18:00", "20:30"] })).into_response(),
    };
    drop(open);
    response
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A tool without arguments; the keys of its request follow.
pub(crate) fn tool(name: &str, timeout_ms: u64, http: &str) -> String {
    format!("[[tool]]\nname = \"{name}\"\ndescription = \"A tool.\"\ntimeout_ms = {timeout_ms}\nhttp = {{ {http} }}\n")
}

/// Greeted, one turn, and its answer.
pub(crate) fn one_turn(then: Vec<Step>) -> Vec<Step> {
    let speaks = Step::WaitAgentSpeaking { after_ms: 100, max_ms: 10_000 };
    let done = Step::WaitAgentSilent { for_ms: 700, max_ms: 10_000 };
    let mut script = vec![speaks.clone(), done.clone(), speech(1_000)];
    script.extend(then);
    script
}

pub(crate) fn answered() -> Vec<Step> {
    vec![
        Step::WaitAgentSpeaking { after_ms: 100, max_ms: 10_000 },
        Step::WaitAgentSilent { for_ms: 700, max_ms: 10_000 },
        Step::HangUp,
    ]
}

/// The model calls these tools, without arguments, on the caller's first turn.
fn calls(tools: &[&str]) -> String {
    let calls: Vec<_> = tools.iter().map(|name| format!("{{ name = \"{name}\" }}")).collect();
    format!(
        "think_ms = 100\n[greeting]\nsay = \"Hello.\"\n[[turn]]\nhears = \"Please.\"\ntools = [{}]\n\
         then_say = \"That is all I found.\"\n[otherwise]\nsay = \"Yes.\"\n",
        calls.join(", ")
    )
}

pub(crate) fn outputs(report: &Report) -> BTreeMap<&str, &str> {
    report.tools.iter().map(|tool| (tool.name.as_str(), tool.output.as_str())).collect()
}

const GREETING: &str = "greeting = { say = \"Greet.\" }\n";

#[tokio::test]
async fn a_tool_is_asked_with_its_arguments_and_its_secret_goes_nowhere_else() {
    let logs = Logs::default();
    let _guard = logs.record();
    let other = Other::default();
    let port = other.listen().await;
    let http = format!(
        "[tool.http]\nurl = \"http://localhost:{port}/book/{{{{args.day}}}}?who={{{{call.from}}}}\"\nallow_private = true\n\
         headers = {{ Authorization = {{ env = \"SECRET\", prefix = \"Bearer \" }} }}\n\
         body = '{{ \"seats\": {{{{args.people}}}}, \"note\": \"{{{{args.note}}}}\" }}'\n"
    );
    let parameters = "parameters = { type = \"object\", properties = { day = { type = \"string\" }, people = { type = \"integer\" }, note = { type = \"string\" } }, required = [\"day\", \"people\"] }\n";
    let agent = format!("{GREETING}[[tool]]\nname = \"book\"\ndescription = \"Books.\"\n{parameters}{http}");
    let script = "think_ms = 100\n[greeting]\nsay = \"Hello.\"\n[[turn]]\nhears = \"Please.\"\nthen_say = \"Done.\"\n\
        tools = [{ name = \"book\", arguments = { day = \"next/../Friday\", people = 4, note = \"\\\"}, \\\"seats\\\": 400\" } }]\n";
    let house = House::build(Plan { agent, script: script.to_owned(), ..Plan::default() }).await;
    let heard = place(house.caller(one_turn(answered()))).await;
    assert_eq!(heard.ended_by, EndedBy::Caller, "{heard:?}");
    let asked = other.asked("/book");
    assert_eq!(asked.len(), 1, "{asked:?}");
    let number = heard_from(&asked[0].uri);
    assert_eq!(asked[0].method, Method::POST);
    assert_eq!(asked[0].uri.path(), "/book/next%2F..%2FFriday");
    assert!(number.starts_with("who=%2B1"), "{number}");
    assert_eq!(asked[0].authorization.as_deref(), Some(format!("Bearer {SECRET}").as_str()));
    let body: Value = serde_json::from_str(&asked[0].body).expect("JSON");
    assert_eq!(body, json!({ "seats": 4, "note": "\"}, \"seats\": 400" }));
    let (report, folder) = house.report(0).await;
    assert_eq!(outputs(&report)["book"], "{\"free\":[\"18:00\",\"20:30\"]}");
    assert!(report.lines.iter().any(|line| line.text.contains("Done.")), "{:#?}", report.lines);
    assert_eq!(house.metric("offhook_tools_total{outcome=\"done\"}"), 1);
    // Nowhere that somebody reads.
    let kept = ["report.json", "journal"].map(|file| std::fs::read_to_string(folder.join(file)).expect("a file"));
    let said = logs.text();
    assert!(said.contains("event=ToolAnswered"), "{said}");
    for text in [&kept[0], &kept[1], &said, &house.running.metrics()] {
        assert!(!text.contains(SECRET));
    }
}

fn heard_from(uri: &Uri) -> &str {
    uri.query().expect("a query")
}

#[tokio::test]
async fn tools_that_fail_are_told_to_the_model_in_words_and_the_call_goes_on() {
    let other = Other::default();
    let port = other.listen().await;
    let url = |path: &str| format!("url = \"http://localhost:{port}/{path}\", allow_private = true");
    let get = |path: &str| format!("method = \"GET\", {}", url(path));
    let inside = format!("method = \"GET\", url = \"http://{{{{crm.host}}}}:{port}/inside\", hosts = [\"localhost\"]");
    let tools = [
        tool("hang", 600, &get("hang")),
        tool("big", 5_000, &get("big")),
        tool("inside", 5_000, &inside),
        tool("moved", 5_000, &get("moved")),
        tool("flaky", 5_000, &format!("retries = 2, {}", get("flaky"))),
        tool("busy", 5_000, &url("busy")),
        tool("picture", 5_000, &get("picture")),
        tool("slow", 5_000, &get("slow")),
    ];
    let agent = format!("{GREETING}[variables.crm]\nhost = \"localhost\"\n{}", tools.concat());
    let names = ["hang", "big", "inside", "moved", "flaky", "busy", "picture", "slow"];
    let house = House::build(Plan { agent, script: calls(&names), ..Plan::default() }).await;
    let heard = place(house.caller(one_turn(answered()))).await;
    assert_eq!(heard.ended_by, EndedBy::Caller);
    let (report, _) = house.report(0).await;
    let outputs = outputs(&report);
    for (name, part) in [
        // Whoever looks at the clock first.
        ("hang", "answer within"),
        ("big", "the answer is larger than 65536 bytes"),
        ("inside", "the host is on a private network or on this machine, which may not be asked"),
        ("moved", "the server answered with a redirect (302), which is not followed"),
        ("busy", "the server answered 503: come back later!"),
        ("picture", "the answer is not text (its content type: image/png)"),
    ] {
        assert!(outputs[name].starts_with("{\"error\":") && outputs[name].contains(part), "{name}: {}", outputs[name]);
    }
    assert!(outputs["busy"].len() < 600, "{}", outputs["busy"]);
    assert_eq!((outputs["slow"], outputs["flaky"]), ("later", "{\"free\":[\"18:00\",\"20:30\"]}"));
    assert_eq!((other.asked("/flaky").len(), other.asked("/busy").len()), (3, 1), "only what may be asked twice is");
    assert_eq!((other.asked("/inside").len(), other.asked("/good").len()), (0, 0));
    let taken = other.taken.load(Ordering::Relaxed);
    // What sockets hold on both sides may be taken; most of it never is.
    assert!(taken < 4 << 20, "{taken} bytes of 5 MB were read");
    assert!(report.lines.iter().any(|line| line.text.contains("all I found")), "{:#?}", report.lines);
    let outcome = |outcome: &str| house.metric(&format!("offhook_tools_total{{outcome=\"{outcome}\"}}"));
    assert_eq!(outcome("cancelled") + outcome("timeout"), 1);
    for outcome in ["too_large", "refused", "redirect", "status", "not_text"] {
        assert_eq!(house.metric(&format!("offhook_tools_total{{outcome=\"{outcome}\"}}")), 1, "{outcome}");
    }
    assert_eq!(house.metric("offhook_tools_total{outcome=\"done\"}"), 2);
    assert_eq!(house.metric("offhook_tool_seconds_count"), 8);
    until("the one that hung is let go of", || other.open.load(Ordering::Relaxed) == 0).await;
}

#[tokio::test]
async fn a_call_that_ends_lets_go_of_what_runs() {
    let other = Other::default();
    let port = other.listen().await;
    let hang = tool("hang", 60_000, &format!("url = \"http://127.0.0.1:{port}/hang\", allow_private = true"));
    let house =
        House::build(Plan { agent: format!("{GREETING}{hang}"), script: calls(&["hang"]), ..Plan::default() }).await;
    let call = tokio::spawn(place(house.caller(one_turn(vec![Step::WaitEnd { max_ms: 30_000 }]))));
    until("the tool runs", || other.open.load(Ordering::Relaxed) == 1).await;
    let id = house.running.calls().remove(0);
    let ended = Instant::now();
    assert!(house.running.control(&id, offhook::engine::Control::End(offhook::engine::EndReason::Operator)));
    let (report, _) = house.report(0).await;
    assert!(ended.elapsed() < Duration::from_secs(10), "{:?}", ended.elapsed());
    assert_eq!(outputs(&report)["hang"], "{\"cancelled\":\"the call ended\"}");
    until("the connection is gone", || other.open.load(Ordering::Relaxed) == 0).await;
    assert_eq!(house.metric("offhook_tools_total{outcome=\"cancelled\"}"), 1);
    call.await.expect("a call");
}

#[tokio::test]
async fn what_is_fetched_in_time_is_known_and_else_the_defaults_stand() {
    for (path, deadline_ms, name, outcome) in [
        ("caller", 3_000, "Anna", "done"),
        ("hang", 600, "dear guest", "timeout"),
        ("busy", 3_000, "dear guest", "status"),
        ("good", 3_000, "dear guest", "done"),
    ] {
        let other = Other::default();
        let port = other.listen().await;
        let agent = format!(
            "greeting = {{ say = \"Hello {{{{crm.name}}}}.\" }}\n[variables.crm]\nname = \"dear guest\"\npoints = \"0\"\n\
             [fetch]\nurl = \"http://localhost:{port}/{path}?who={{{{call.from}}}}\"\nallow_private = true\n\
             headers = {{ Authorization = {{ env = \"SECRET\" }} }}\n\
             deadline_ms = {deadline_ms}\nmap = {{ \"crm.name\" = \"/customer/name\", \"crm.points\" = \"/customer/points\" }}\n"
        );
        let plan = Plan { agent, ..Plan::default() };
        let site = Site::build(&plan).await;
        let document = site.config().join("agents/mia.toml");
        let text = std::fs::read_to_string(&document).expect("an agent");
        let talks =
            "instructions = \"You talk to {{crm.name}}, who has {{crm.points}} points, on {{system.weekday}}.\"";
        std::fs::write(&document, text.replace("instructions = \"Be kind.\"", talks)).expect("a document");
        let house = House::open(site, None).await;
        let began = Instant::now();
        let ringing = house.ring("CA1", NUMBER, TOKEN).await;
        assert!(ringing.1.contains("<Stream"), "{ringing:?}");
        if path == "hang" {
            assert!(began.elapsed() < Duration::from_millis(500), "the phone rings no longer for it");
        }
        house.post("/twilio/call-status", &[("CallSid", "CA1"), ("CallStatus", "completed")], TOKEN).await;
        house.report(0).await;

        let heard = place(house.caller(one_turn(answered()))).await;
        assert_eq!(heard.ended_by, EndedBy::Caller, "{path}");
        let (report, _) = house.report(1).await;
        let points = if name == "Anna" { "7" } else { "0" };
        let told = house.site.model.instructions();
        let told = told.last().expect("a session");
        assert!(told.starts_with(&format!("You talk to {name}, who has {points} points, on ")), "{path}: {told}");
        assert!(report.lines[0].text.contains(&format!("Hello {name}")), "{path}: {:?}", report.lines);
        let counted = house.metric(&format!("offhook_fetches_total{{outcome=\"{outcome}\"}}"));
        assert!(counted >= 1, "{path}\n{}", house.running.metrics());
        let asked = other.asked("/");
        assert!(asked.iter().all(|asked| asked.authorization.as_deref() == Some(SECRET)), "{asked:?}");
        assert!(asked.last().expect("a request").uri.query().expect("a query").starts_with("who=%2B1"));
    }
}

/// An agent who is asked about once the call is over; `{port}` is where it is told.
fn questions(port: u16) -> String {
    format!(
        "greeting = {{ say = \"Greet.\" }}\n\
         [analysis]\nmodel = \"writer\"\nprompt = \"Sum up this call to {{{{call.to}}}}: {{{{result.transcript}}}}\"\n\
         schema = {{ type = \"object\", properties = {{ summary = {{ type = \"string\" }} }}, required = [\"summary\"], additionalProperties = false }}\n\
         [qc]\nmodel = \"writer\"\nprompt = \"Was it polite? {{{{analysis.summary}}}}\"\n\
         schema = {{ type = \"object\", properties = {{ polite = {{ type = \"integer\", minimum = 3 }} }}, required = [\"polite\"], additionalProperties = false }}\n\
         [push]\nurl = \"http://localhost:{port}/flaky/{{{{call.id}}}}\"\nallow_private = true\n\
         headers = {{ Authorization = {{ env = \"SECRET\" }} }}\n\
         body = '{{ \"summary\": \"{{{{analysis.summary}}}}\", \"polite\": {{{{qc.polite}}}}, \"turns\": {{{{result.turns}}}}, \"said\": \"{{{{result.transcript}}}}\" }}'\n"
    )
}

#[tokio::test]
async fn a_call_that_is_over_is_analysed_judged_and_told_of() {
    let other = Other::default();
    let port = other.listen().await;
    let script = "think_ms = 100\n[greeting]\nsay = \"Hello.\"\n[[turn]]\nhears = \"A table.\"\nsay = \"For when?\"\n\
        [[completion]]\ncontent = '{ \"summary\": 5 }'\n[[completion]]\ncontent = '{ \"summary\": \"A \\\"table\\\".\" }'\n";
    let house = House::build(Plan { agent: questions(port), script: script.to_owned(), ..Plan::default() }).await;
    place(house.caller(one_turn(answered()))).await;
    let (report, folder) = house.report(0).await;
    let path = format!("/flaky/{}", report.call);
    until("it is told of", || other.asked(&path).len() == 3).await;

    let found = house.reports.analyses();
    assert_eq!(found.len(), 1, "{found:?}");
    let kept: Value =
        serde_json::from_slice(&std::fs::read(folder.join("analysis.json")).expect("an analysis")).expect("JSON");
    assert_eq!(kept, found[0]);
    assert_eq!(kept["analysis"], json!({ "summary": "A \"table\"." }));
    assert_eq!((&kept["qc"], &kept["errors"]), (&json!({ "polite": 3 }), &json!({})));
    // Asked, asked again with what was wrong, and asked for the second opinion; strict, as the schemas allow.
    let asked = house.site.model.completions();
    assert_eq!(asked.len(), 3, "{asked:#?}");
    let prompt = asked[0]["messages"][0]["content"].as_str().expect("a prompt");
    assert!(prompt.contains(&format!("call to {NUMBER}: Agent: ")) && prompt.contains("Caller: A table."), "{prompt}");
    assert!(asked.iter().all(|body| body["response_format"]["json_schema"]["strict"] == true));
    let again = asked[1]["messages"][2]["content"].as_str().expect("words");
    assert!(again.contains("/summary: 5 is not of type \"string\""), "{again}");
    assert_eq!(asked[2]["messages"][0]["content"], "Was it polite? A \"table\".");
    // The server was busy at first, and was asked until it was not.
    let pushed = other.asked(&path);
    assert_eq!(pushed[2].authorization.as_deref(), Some(SECRET));
    let body: Value = serde_json::from_str(&pushed[2].body).expect("JSON");
    assert_eq!((&body["summary"], &body["polite"], &body["turns"]), (&"A \"table\".".into(), &3.into(), &1.into()));
    assert!(body["said"].as_str().expect("text").contains("Agent: For when?"), "{body}");
    until("nothing waits", || house.metric("offhook_after_waiting") == 0).await;
    for (sample, n) in [
        ("offhook_questions_total{outcome=\"repaired\"}", 1),
        ("offhook_questions_total{outcome=\"done\"}", 1),
        ("offhook_pushes_total{outcome=\"done\"}", 1),
        ("offhook_question_seconds_count", 2),
    ] {
        assert_eq!(house.metric(sample), n, "{sample}");
    }
}

#[tokio::test]
async fn what_a_restart_interrupts_is_begun_again_and_what_fails_says_why() {
    let other = Other::default();
    let port = other.listen().await;
    let script = "think_ms = 100\n[greeting]\nsay = \"Hello.\"\n[[completion]]\nthink_ms = 60000\n\
        [[completion]]\nstatus = 401\ncode = \"invalid_api_key\"\n";
    let house = House::build(Plan { agent: questions(port), script: script.to_owned(), ..Plan::default() }).await;
    place(house.caller(one_turn(answered()))).await;
    let (report, folder) = house.report(0).await;
    until("the model thinks", || house.site.model.completions().len() == 1).await;
    house.running.shutdown().await;
    assert!(!folder.join("analysis.json").exists() && other.asked("/").is_empty());

    let House { site, running, .. } = house;
    drop(running);
    let house = House::open(site, None).await;
    until("it is told of", || other.asked("/flaky").len() == 3).await;
    let found = house.reports.analyses();
    assert_eq!((found.len(), &found[0]["call"]), (1, &Value::from(report.call.as_str())), "{found:?}");
    // The model's words are not told: they may hold parts of the key.
    assert_eq!(found[0]["errors"], json!({ "analysis": "HTTP 401: invalid_api_key" }));
    assert_eq!((&found[0]["analysis"], &found[0]["qc"]), (&Value::Null, &json!({ "polite": 3 })));
    assert!(folder.join("analysis.json").exists());
    assert_eq!(house.metric("offhook_questions_total{outcome=\"status\"}"), 1);
}

#[tokio::test]
async fn what_follows_a_call_is_done_though_its_agent_was_deleted_while_it_ran_and_the_server_started_anew() {
    let other = Other::default();
    let port = other.listen().await;
    let script = "think_ms = 100\n[greeting]\nsay = \"Hello.\"\n[[turn]]\nhears = \"A table.\"\nsay = \"For when?\"\n\
        [[completion]]\nthink_ms = 60000\n[[completion]]\ncontent = '{ \"summary\": \"A table.\" }'\n";
    let house = House::build(Plan { agent: questions(port), script: script.to_owned(), ..Plan::default() }).await;
    let call = tokio::spawn(place(house.caller(one_turn(answered()))));
    until("the stream is up", || house.metric("offhook_calls{phase=\"talking\"}") == 1).await;
    for document in ["agents/mia.toml", "deployments/desk.toml", "deployments/closed.toml"] {
        std::fs::remove_file(house.site.config().join(document)).expect("a document");
    }
    house.running.look().await;
    assert!(house.ring("CA2", NUMBER, TOKEN).await.1.contains("not in service"));
    call.await.expect("a call");
    let (report, folder) = house.report(0).await;
    assert_eq!(report.turns.len(), 1, "the call that ran on kept its agent");
    until("the model thinks", || house.site.model.completions().len() == 1).await;
    house.running.shutdown().await;

    let House { site, running, .. } = house;
    drop(running);
    let house = House::open(site, None).await;
    until("it is told of", || other.asked("/flaky").len() == 3).await;
    let found = house.reports.analyses();
    assert_eq!((found.len(), &found[0]["call"]), (1, &Value::from(report.call.as_str())), "{found:?}");
    assert_eq!((&found[0]["analysis"]["summary"], &found[0]["errors"]), (&"A table.".into(), &json!({})));
    assert!(folder.join("analysis.json").exists());
    assert_eq!(other.asked("/flaky")[0].authorization.as_deref(), Some(SECRET));
}

/// All that is logged while it is held, on this thread.
#[derive(Clone, Default)]
pub(crate) struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    pub(crate) fn record(&self) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let logs = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::TRACE);
        tracing::subscriber::set_default(logs.with_writer(move || writer.clone()).finish())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("logs")).into_owned()
    }
}

impl std::io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("logs").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
