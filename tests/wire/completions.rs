//! Chat completions: our client and our built-in model, against each other and against the `openai` package.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook::config::{Outgoing, Secret, TextDialect, TextModel};
use offhook::serve::chat_model::{Answer, ChatModels};
use offhook::stage::rehearsal::{Script, Server};
use offhook::talk::failover::{self, Failure, Then};
use offhook::talk::model::{Ask, Finish, Message, ModelError, ModelEvent, Options, Phase, ToolSpec};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::openai::{judges, script};

/// For whatever is sure to happen.
const SURELY: Duration = Duration::from_secs(20);

async fn serve(script: &str) -> Server {
    let script = Script::parse(script).unwrap_or_else(|error| panic!("{error}: {script}"));
    Server::bind(([127, 0, 0, 1], 0).into(), script).await.unwrap()
}

fn model(base_url: &str) -> TextModel {
    TextModel {
        name: "writer".into(),
        base_url: base_url.into(),
        model: "main".into(),
        api_key: Some(Secret::new("right")),
        headers: Vec::new(),
        price: None,
        dialect: TextDialect::Compatible,
    }
}

fn ask() -> Ask {
    Ask {
        messages: vec![Message::System("Be brief.".into()), Message::User("Tell me about 👋 opening hours".into())],
        tools: Arc::new([]),
        may_call: true,
        options: Options {
            max_output_tokens: Some(300),
            temperature: Some(0.7),
            safety_identifier: None,
            connect_timeout_ms: 2_000,
            max_answer_bytes: 64 << 10,
        },
    }
}

fn models() -> ChatModels {
    ChatModels::new(Outgoing::default())
}

/// All that comes, and how it ends.
async fn all(mut answer: Answer) -> (Vec<ModelEvent>, Option<ModelError>) {
    let mut events = Vec::new();
    loop {
        match timeout(SURELY, answer.next()).await.unwrap() {
            Some(Ok(event)) => events.push(event),
            Some(Err(error)) => return (events, Some(error)),
            None => return (events, None),
        }
    }
}

fn text(events: &[ModelEvent]) -> String {
    let texts =
        events.iter().filter_map(|event| if let ModelEvent::Delta(text) = event { Some(&**text) } else { None });
    texts.collect()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SURELY, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn an_answer_is_streamed_on_one_connection_with_usage_and_tools() {
    let server = serve(
        "api_key = \"right\"\n[chat]\nvendor = \"compatible\"\n\
         [[completion]]\necho = true\nreasoning = \"Let me think.\"\nfault = { gateway = true }\n\
         [[completion]]\ntools = [{ name = \"lookup\", arguments = { q = \"opening hours\" } }, { name = \"lookup\", arguments = {} }]\n\
         [[completion]]\ntools = [{ name = \"lookup\", arguments = { q = \"x\" } }, { name = \"lookup\", arguments = { q = \"y\" } }]\nfault = { odd_calls = true, no_done = true }\n",
    )
    .await;
    let (near, models) = (counting(server.addr()).await, models());
    let model = model(&format!("http://{}/v1", near.addr));
    let (events, error) = all(models.ask(&model, &ask())).await;
    assert_eq!((text(&events).as_str(), error), ("Tell me about 👋 opening hours", None));
    assert_eq!(events.iter().filter(|event| **event == ModelEvent::Thinking).count(), 3);
    let [ModelEvent::Finish(Finish::Stop), ModelEvent::Usage(usage), ModelEvent::Done] = &events[events.len() - 3..]
    else {
        panic!("{events:?}")
    };
    // Nine characters of instructions, 34 bytes of the visitor's.
    assert_eq!((usage.input_tokens, usage.cached_tokens), (11, 0));

    let tools = ToolSpec {
        name: "lookup".into(),
        description: "Looks up.".into(),
        parameters: Arc::new(json!({ "type": "object", "properties": { "q": { "type": "string" } } })),
    };
    let asking = Ask { tools: Arc::new([tools]), ..ask() };
    for expected in [["{\"q\":\"opening hours\"}", "{}"], ["{\"q\":\"x\"}", "{\"q\":\"y\"}"]] {
        let (events, error) = all(models.ask(&model, &asking)).await;
        assert_eq!(error, None);
        let mut arguments = [String::new(), String::new()];
        let mut ids = Vec::new();
        for event in &events {
            let ModelEvent::ToolCall { index, id, name, arguments: piece } = event else { continue };
            arguments[*index as usize] += piece;
            ids.extend(id.clone());
            assert!(name.as_deref().is_none_or(|name| name == "lookup"), "{event:?}");
        }
        ids.dedup();
        assert_eq!((arguments, ids.len()), (expected.map(str::to_owned), 2), "{events:?}");
        assert_eq!(events.last(), Some(&ModelEvent::Done));
    }
    assert_eq!(near.count(), 1, "the connection was kept");
    let asked = server.completions();
    assert_eq!(asked[0]["messages"][0], json!({ "role": "system", "content": "Be brief." }));
    assert_eq!((&asked[0]["max_tokens"], &asked[0]["temperature"]), (&json!(300), &json!(0.7)));
    assert_eq!(asked[1]["tools"][0]["function"]["name"], "lookup");
}

/// What is wrong with a model, as its script says it; the words that came first; what failure it is; more of the error.
type Case = (&'static str, &'static str, Failure, fn(&ModelError) -> bool);

fn any(_: &ModelError) -> bool {
    true
}

/// Whether an error has this code, and these words among its own.
fn says(error: &ModelError, code: &str, part: &str) -> bool {
    match error {
        ModelError::Status { said, .. } | ModelError::InStream { said } => {
            said.code.as_deref() == Some(code) && said.message.contains(part)
        }
        _ => false,
    }
}

fn waits(error: &ModelError) -> Option<u64> {
    if let ModelError::Status { retry_after_s, .. } = error { *retry_after_s } else { None }
}

/// FAIL-04's answers, and those that are not among them.
const CASES: [Case; 25] = [
    ("status = 500", "", Failure::ServerError, |error| says(error, "failed_on_purpose", "A failure on purpose.")),
    ("status = 502\npage = true", "", Failure::ServerError, |error| error.to_string() == "HTTP 502: 502 on purpose"),
    ("status = 503\nretry_after_s = 7", "", Failure::ServerError, |error| waits(error) == Some(7)),
    ("status = 529\ncode = \"overloaded\"", "", Failure::ServerError, |error| waits(error).is_none()),
    ("status = 429\ncode = \"insufficient_quota\"", "", Failure::RateLimit, |error| {
        says(error, "insufficient_quota", "")
    }),
    ("status = 429\nretry_after_s = 47", "", Failure::RateLimit, |error| waits(error) == Some(47)),
    (
        "status = 429\nretry_after_s = 90\nretry_after_is_date = true",
        "",
        Failure::RateLimit,
        // By the server's own clock; a second may pass between its two looks at it.
        |error| waits(error).is_some_and(|seconds| (88..=91).contains(&seconds)),
    ),
    ("fault = { reset = true }", "", Failure::Broken, any),
    (
        "status = 404\ncode = \"model_not_found\"\nmessage = \"The model was decommissioned.\"",
        "",
        Failure::ModelGone,
        |error| says(error, "model_not_found", "decommissioned"),
    ),
    ("status = 404\nmessage = \"The model `main` has been decommissioned.\"", "", Failure::ModelGone, any),
    ("status = 400\ncode = \"model_decommissioned\"", "", Failure::ModelGone, any),
    ("status = 400\ncode = \"1500\"\nmessage = \"Invalid model: main\"", "", Failure::ModelGone, any),
    // What is for no other model to answer.
    ("status = 400\ncode = \"context_length_exceeded\"", "", Failure::OtherStatus, any),
    ("status = 401\ncode = \"invalid_api_key\"", "", Failure::OtherStatus, any),
    ("status = 403", "", Failure::OtherStatus, any),
    ("status = 404\nmessage = \"Not Found\"", "", Failure::OtherStatus, any),
    ("status = 413", "", Failure::OtherStatus, any),
    ("status = 422", "", Failure::OtherStatus, any),
    // Within a stream that began well: before the first token, and after it (BEYOND-10).
    ("code = \"overloaded\"\nfault = { error_at = 0 }", "", Failure::InStream, |error| {
        says(error, "overloaded", "on purpose")
    }),
    ("fault = { error_at = 2 }", "This is ", Failure::InStream, any),
    ("fault = { cut_at = 0 }", "", Failure::Broken, any),
    ("fault = { cut_at = 3 }", "This is the ", Failure::Broken, any),
    ("fault = { malformed_at = 1 }", "This ", Failure::Malformed, any),
    ("fault = { huge_at = 0 }", "", Failure::TooLong, any),
    ("status = 400\npage = true", "", Failure::OtherStatus, any),
];

#[tokio::test]
async fn fail_04_every_failure_of_a_model_is_the_one_that_failover_decides_on() {
    let script: String = CASES.iter().map(|(script, ..)| format!("[[completion]]\n{script}\n")).collect();
    let server = serve(&script).await;
    let (models, model) = (models(), model(&server.base_url()));
    for (script, before, failure, more) in CASES {
        let (events, error) = all(models.ask(&model, &ask())).await;
        let error = error.unwrap_or_else(|| panic!("{script}: {events:?}"));
        assert_eq!(Failure::of(&error), failure, "{script}: {error:?}");
        assert!(more(&error), "{script}: {error:?}");
        assert_eq!(text(&events), before, "{script}");
        assert!(!events.contains(&ModelEvent::Done), "{script}");
        let next = match failure {
            _ if !before.is_empty() => Then::CutOff,
            Failure::OtherStatus | Failure::Malformed | Failure::TooLong => Then::Line,
            _ => Then::Backup,
        };
        assert_eq!(failover::then(failure, !before.is_empty(), true), next, "{script}");
    }
    assert_eq!(server.completions().len(), CASES.len(), "nothing is tried twice");
}

#[tokio::test]
async fn fail_04_without_a_connection_there_is_an_error_soon() {
    let models = models();
    let near = |port: u16| model(&format!("http://127.0.0.1:{port}/v1"));
    // Nobody listens.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let (_, error) = all(models.ask(&near(closed), &ask())).await;
    assert!(matches!(error, Some(ModelError::Connect { .. })), "{error:?}");
    // Nobody is called so.
    let (_, error) = all(models.ask(&model("http://model.invalid/v1"), &ask())).await;
    assert!(matches!(error, Some(ModelError::Dns { .. })), "{error:?}");
    // A listener whose queue is full answers nothing.
    let (hole, filling) = black_hole().await;
    let began = Instant::now();
    let mut quick = ask();
    quick.options.connect_timeout_ms = 300;
    let (_, error) = all(models.ask(&near(hole.local_addr().unwrap().port()), &quick)).await;
    assert_eq!(error, Some(ModelError::Timeout { phase: Phase::Connect }));
    assert!(began.elapsed() >= Duration::from_millis(290), "{:?}", began.elapsed());
    filling.iter().for_each(tokio::task::JoinHandle::abort);
    // What cannot be written is not sent.
    let odd = TextModel { api_key: Some(Secret::new("a\nb")), ..near(closed) };
    let (_, error) = all(models.ask(&odd, &ask())).await;
    assert!(matches!(error, Some(ModelError::Unsendable { .. })), "{error:?}");
}

#[tokio::test]
async fn answers_that_are_no_stream_of_a_vendor_are_read_all_the_same() {
    let whole = r#"{"id":"c","choices":[{"message":{"content":"All at once."},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
    let says = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let http = |head: &str, body: &str| format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let long = format!("<html><title>{}</title>", "x".repeat(1 << 20));
    // What is answered, the words, and the failure; the connection stays open but for those that break.
    let cases = [
        (http("200 OK\r\ncontent-type: application/json; charset=utf-8", whole), "All at once.", None),
        (http("200 OK\r\ncontent-type: text/plain", says), "Hi", None),
        (http("200 OK", says), "Hi", None),
        // The end of the body never comes: that of the answer is enough.
        (format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{says}\r\n", says.len()), "Hi", None),
        (http("200 OK\r\ncontent-type: text/html", "<html>Log in"), "", Some(Failure::Malformed)),
        (http("200 OK\r\ncontent-type: application/json", "{\"choices\":"), "", Some(Failure::Malformed)),
        (http("200 OK\r\ncontent-type: application/json", &"x".repeat(1 << 20)), "", Some(Failure::TooLong)),
        (http("307 Temporary Redirect\r\nlocation: http://127.0.0.1:9/", ""), "", Some(Failure::OtherStatus)),
        (http("500 Internal Server Error", &long), "", Some(Failure::ServerError)),
        // Its words do not come.
        ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\nbu".to_owned(), "", Some(Failure::ServerError)),
        ("HTTP/1.1 200 OK\r\n".to_owned(), "", Some(Failure::Broken)),
        ("SSH-2.0-OpenSSH_9.9\r\n".to_owned(), "", Some(Failure::Broken)),
    ];
    let models = models();
    let asked = cases.map(|(answer, said, failure)| {
        let models = models.clone();
        async move {
            let open = failure != Some(Failure::Broken);
            let (events, error) = all(models.ask(&model(&canned(answer.clone(), open).await), &ask())).await;
            assert_eq!(error.as_ref().map(Failure::of), failure, "{answer:.200}: {error:?}");
            assert_eq!(text(&events), said, "{answer:.200}");
            assert!(error.is_none_or(|error| error.to_string().len() < 600));
        }
    });
    futures_util::future::join_all(asked).await;
}

/// Whoever asks this address gets `answer`; then the connection stays `open`, or not.
async fn canned(answer: String, open: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = vec![0; 4_096];
        let _ = stream.read(&mut read).await;
        let _ = stream.write_all(answer.as_bytes()).await;
        while open && stream.read(&mut read).await.is_ok_and(|bytes| bytes > 0) {}
    });
    format!("http://{addr}/v1")
}

#[tokio::test]
async fn who_stops_waiting_cancels_the_request() {
    let server = serve(
        "[[completion]]\nfault = { never = true }\n[[completion]]\nfault = { stall_at = 2 }\n[[completion]]\ncontent = \"Here.\"\n",
    )
    .await;
    let (models, model) = (models(), model(&server.base_url()));
    // No head comes.
    let mut answer = models.ask(&model, &ask());
    assert!(timeout(Duration::from_millis(50), answer.next()).await.is_err());
    until("the request arrives", || server.completions().len() == 1).await;
    drop(answer);
    until("it is cancelled", || server.cancelled() == 1).await;
    // Nothing more comes after two tokens: a wait that was given up takes none of them away.
    let mut answer = models.ask(&model, &ask());
    let mut said = String::new();
    while said != "This is " {
        if let Ok(Some(event)) = timeout(Duration::from_millis(20), answer.next()).await {
            said += &text(&[event.unwrap()]);
        }
    }
    assert!(timeout(Duration::from_millis(50), answer.next()).await.is_err());
    drop(answer);
    until("it is cancelled", || server.cancelled() == 2).await;
    let (events, error) = all(models.ask(&model, &ask())).await;
    assert_eq!((text(&events).as_str(), error, server.cancelled()), ("Here.", None, 2));
}

#[tokio::test]
async fn texts_that_share_words_are_vectors_that_lie_near_each_other() {
    let server = serve("[chat]\nmodels = [\"main\"]").await;
    let (models, model) = (models(), model(&server.base_url()));
    let texts = ["Opening hours?", "Our opening hours: 9 to 5.", "A table for two"].map(str::to_owned);
    let found = models.embed(&model, &texts, SURELY).await.unwrap();
    let near = |other: usize| -> f32 { found.vectors[0].iter().zip(&found.vectors[other]).map(|(a, b)| a * b).sum() };
    assert!((near(0) - 1.0).abs() < 1e-5 && near(1) > near(2), "{} {}", near(1), near(2));
    assert_eq!(found.input_tokens, Some(15));
    let gone = TextModel { model: "gone".into(), ..model };
    let error = models.embed(&gone, &texts, SURELY).await.unwrap_err();
    assert_eq!(Failure::of(&error), Failure::ModelGone);
}

#[tokio::test]
async fn openai_package_streams_from_the_built_in_model() {
    let Some(python) = judges() else { return };
    let server = serve(include_str!("completions_judge.toml")).await;
    let base = server.base_url();
    let run = move || Command::new(python).arg(script("completions_judge.py")).arg(base).output();
    let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.lines().filter(|line| line.starts_with("judged")).count(), 8, "{text}");
}

/// What stands before a server and counts its connections.
struct Near {
    addr: SocketAddr,
    count: Arc<std::sync::atomic::AtomicUsize>,
}

impl Near {
    fn count(&self) -> usize {
        self.count.load(std::sync::atomic::Ordering::Relaxed)
    }
}

async fn counting(far: SocketAddr) -> Near {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = Near { addr: listener.local_addr().unwrap(), count: Arc::default() };
    let count = Arc::clone(&near.count);
    tokio::spawn(async move {
        while let Ok((mut one, _)) = listener.accept().await {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tokio::spawn(async move {
                let mut other = TcpStream::connect(far).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut one, &mut other).await;
            });
        }
    });
    near
}

/// A listener that takes no connection any more.
async fn black_hole() -> (TcpListener, Vec<tokio::task::JoinHandle<std::io::Result<TcpStream>>>) {
    let hole = TcpSocket::new_v4().unwrap();
    hole.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let addr = hole.local_addr().unwrap();
    let hole = hole.listen(0).unwrap();
    let filling: Vec<_> = (0..4).map(|_| tokio::spawn(TcpStream::connect(addr))).collect();
    // One of them gets in; then it is full.
    while !filling.iter().any(tokio::task::JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    (hole, filling)
}
