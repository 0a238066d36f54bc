//! Calls to a small server over loopback. Waits are for things, with the call's own limits as the bound.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::*;
use crate::config::Secret;
use crate::engine::{CallerCommand, CallerEvent, MarkId};
use crate::link::twilio::{Decoded, Stream, rest, signature, twiml};
use crate::stage::phone::report::What;

const PUBLIC: &str = "https://calls.example";

/// What the test's agent does on the media socket.
#[derive(Clone, Copy, PartialEq)]
enum Agent {
    /// Says 300 ms and closes when they were heard.
    SpeaksThenCloses,
    /// Says 5 s, and clears when the caller speaks; then listens to the end.
    CanBeInterrupted,
    /// Listens to the end.
    Listens,
    /// Sends what Twilio does not take.
    Misbehaves,
}

#[derive(Clone)]
struct Server {
    agent: Agent,
    twiml: Option<String>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    texts: Vec<String>,
    binary: usize,
    parameters: Vec<(String, String)>,
    callbacks: Vec<String>,
    /// How the media socket ended: whether by a close frame.
    closed: Option<bool>,
}

impl Server {
    async fn start(agent: Agent, twiml: Option<String>) -> (Server, SocketAddr) {
        let server = Server { agent, twiml, seen: Arc::default() };
        let router = Router::new()
            .route("/twilio/voice", post(voice))
            .route("/callback", post(callback))
            .route("/media", get(media))
            .with_state(server.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (server, address)
    }

    fn events(&self) -> Vec<serde_json::Value> {
        let seen = self.seen.lock().unwrap();
        seen.texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect()
    }

    async fn socket_ended(&self) -> bool {
        let began = Instant::now();
        loop {
            if let Some(closed) = self.seen.lock().unwrap().closed {
                return closed;
            }
            assert!(began.elapsed() < Duration::from_secs(5), "the socket did not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn token() -> Secret {
    Secret::new("12345")
}

fn is_signed(headers: &HeaderMap, uri: &Uri, form: &[(String, String)]) -> bool {
    let signature = headers.get(signature::HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    signature::verify_form(&token(), &format!("{PUBLIC}{uri}"), form, signature)
}

async fn voice(
    State(server): State<Server>,
    headers: HeaderMap,
    uri: Uri,
    Form(form): Form<Vec<(String, String)>>,
) -> Response {
    if !is_signed(&headers, &uri, &form) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let twiml = server.twiml.unwrap_or_else(|| {
        let url = format!("{}/media", PUBLIC.replace("https", "wss"));
        twiml::connect_stream(&url, "call", Some("/callback"), &[("token", "t&1")])
    });
    ([("content-type", twiml::CONTENT_TYPE)], twiml).into_response()
}

async fn callback(
    State(server): State<Server>,
    headers: HeaderMap,
    uri: Uri,
    Form(form): Form<Vec<(String, String)>>,
) -> StatusCode {
    if !is_signed(&headers, &uri, &form) {
        return StatusCode::FORBIDDEN;
    }
    let what = form.iter().find(|(n, _)| n == "StreamEvent").or(form.iter().find(|(n, _)| n == "CallStatus"));
    server.seen.lock().unwrap().callbacks.push(what.unwrap().1.clone());
    StatusCode::NO_CONTENT
}

async fn media(State(server): State<Server>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let signature = headers.get(signature::HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !signature::verify_upgrade(&token(), "wss://calls.example/media", signature) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    upgrade.on_upgrade(|socket| answer(server, socket))
}

async fn answer(server: Server, mut socket: WebSocket) {
    let (mut stream, mut out) = (Stream::new(), String::new());
    let (heard, mut cleared) = (MarkId { generation: 0, seq: 1 }, false);
    let closed = loop {
        let text = match socket.recv().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Binary(_))) => {
                server.seen.lock().unwrap().binary += 1;
                continue;
            }
            Some(Ok(Message::Close(_))) => break true,
            Some(Ok(_)) => continue,
            Some(Err(_)) | None => break false,
        };
        server.seen.lock().unwrap().texts.push(text.to_string());
        let commands: Vec<CallerCommand<'_>> = match stream.decode(&text) {
            Decoded::Start(start) => {
                server.seen.lock().unwrap().parameters = start.parameters.into_iter().collect();
                match server.agent {
                    Agent::SpeaksThenCloses => vec![CallerCommand::Audio(&[0x10; 2_400]), CallerCommand::Mark(heard)],
                    Agent::CanBeInterrupted => vec![CallerCommand::Audio(&[0x10; 40_000]), CallerCommand::Mark(heard)],
                    Agent::Listens => vec![],
                    Agent::Misbehaves => {
                        socket.send(Message::binary(vec![1])).await.unwrap();
                        socket.send(Message::text(r#"{"event":"clear"}"#)).await.unwrap();
                        vec![]
                    }
                }
            }
            Decoded::Event(CallerEvent::MarkPlayed(mark)) if server.agent == Agent::SpeaksThenCloses => {
                assert_eq!(mark, heard);
                socket.send(Message::Close(None)).await.unwrap();
                vec![]
            }
            Decoded::Event(CallerEvent::Audio { payload, .. })
                if server.agent == Agent::CanBeInterrupted && payload.contains(&0x20) && !cleared =>
            {
                cleared = true;
                vec![CallerCommand::Clear]
            }
            _ => vec![],
        };
        for command in commands {
            stream.encode(&command, &mut out);
            socket.send(Message::text(out.as_str())).await.unwrap();
        }
    };
    server.seen.lock().unwrap().closed = Some(closed);
}

fn call(address: SocketAddr, script: Vec<Step>) -> CallOptions {
    CallOptions {
        public_url: Some(PUBLIC.to_owned()),
        token: Some(token()),
        keep_probes: true,
        ..CallOptions::new(format!("http://{address}"), "+18005551212", script)
    }
}

fn say(ms: usize) -> Step {
    Step::Say(Clip::new("words", vec![0x20; ms * 8]))
}

const END: Step = Step::WaitEnd { max_ms: 10_000 };

#[tokio::test]
async fn a_call_is_placed_heard_and_ended_by_the_server() {
    let (server, address) = Server::start(Agent::SpeaksThenCloses, None).await;
    let (events, mut seen) = tokio::sync::mpsc::channel(100);
    let mut options = call(address, vec![END]);
    options.status_callback = Some("/callback".into());
    options.events = Some(events);
    let report = place(options).await;

    assert_eq!(report.outcome, Outcome::Connected);
    assert!(matches!(report.ended_by, EndedBy::Server { .. }), "{:?}", report.ended_by);
    assert_eq!((report.violation_count, report.failed_callbacks, report.events_lost), (0, 0, 0), "{report:?}");
    let [heard] = report.heard[..] else { panic!("{:?}", report.heard) };
    assert_eq!(heard.to.0 - heard.from.0, 2_400);
    assert_eq!(report.audio[heard.from.0 as usize..], [0x10; 2_400]);
    assert_eq!(report.first_audio_ms, Some(heard.from_ms()));
    assert_eq!(report.marks.len(), 1);
    assert!((report.marks[0].name.as_str(), report.marks[0].cleared) == ("g0-1", false));
    assert_eq!(report.marks[0].at_ms, heard.to_ms());
    assert_eq!((report.received.len(), report.received[0].bytes), (1, 2_400));
    assert_eq!(report.sent.len() as u64, report.frames_sent);

    assert_eq!(server.seen.lock().unwrap().parameters, [("token".to_owned(), "t&1".to_owned())]);
    assert_eq!(server.seen.lock().unwrap().callbacks, ["stream-started", "stream-stopped", "completed"]);
    seen.close();
    let mut what = Vec::new();
    while let Some(event) = seen.recv().await {
        what.push(event.what);
    }
    assert_eq!(what[..3], [What::Ringing, What::Connected, What::AgentSpeaks]);
    assert!(matches!(what.last(), Some(What::Ended(EndedBy::Server { .. }))));
}

#[tokio::test]
async fn a_caller_who_cuts_in_hears_no_more_than_was_played() {
    let (_server, address) = Server::start(Agent::CanBeInterrupted, None).await;
    let script = vec![Step::WaitAgentSpeaking { after_ms: 200, max_ms: 5_000 }, say(100), Step::Silence(100)];
    let report = place(call(address, script)).await;
    assert_eq!(report.ended_by, EndedBy::Caller);
    let [clear] = report.clears[..] else { panic!("{:?}", report.clears) };
    assert_eq!(clear.marks, 1);
    let heard: u64 = report.heard.iter().map(|h| h.to.0 - h.from.0).sum();
    assert!((1_600..32_000).contains(&heard), "{heard}");
    assert!((heard / 8 + clear.dropped_ms).abs_diff(5_000) <= 1, "every sample was heard or dropped");
    assert!(report.marks[0].cleared);
}

#[tokio::test]
async fn a_refusal_is_heard_and_errors_are_told_apart() {
    let (_server, address) = Server::start(Agent::Listens, Some(twiml::refuse("Closed & done", None))).await;
    let report = place(call(address, vec![END])).await;
    assert_eq!(report.outcome, Outcome::Refused { said: "Closed & done".into() });
    assert_eq!(report.ended_by, EndedBy::NotConnected);

    let mut wrong = call(address, vec![END]);
    wrong.token = Some(Secret::new("other"));
    assert!(matches!(place(wrong).await.outcome, Outcome::HttpError { status: 403, .. }));

    let (_server, address) = Server::start(Agent::Listens, Some("<Response><Huh/></Response>".into())).await;
    assert!(matches!(place(call(address, vec![END])).await.outcome, Outcome::BadTwiml { .. }));

    let (_server, address) = Server::start(Agent::Listens, None).await;
    let mut wrong = call(address, vec![END]);
    wrong.upgrade_token = Some(Secret::new("other"));
    let report = place(wrong).await;
    assert!(matches!(report.outcome, Outcome::StreamRefused { status: 401, .. }), "{:?}", report.outcome);
    assert_eq!(report.violations[0].code, 31_920);

    let mut nobody = call(address, vec![END]);
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    nobody.connect = format!("http://{unused}");
    assert!(matches!(place(nobody).await.outcome, Outcome::HttpError { status: 0, .. }));
}

#[tokio::test]
async fn a_twiml_can_be_run_again_as_a_thief_would() {
    let (server, address) = Server::start(Agent::Listens, None).await;
    let first = place(call(address, vec![])).await;
    let mut again = call(address, vec![]);
    (again.twiml, again.call_sid) = (Some(first.twiml), Some(first.call_sid.clone()));
    let second = place(again).await;
    assert_eq!((second.outcome, second.call_sid), (Outcome::Connected, first.call_sid));
    assert_ne!(second.stream_sid, first.stream_sid);
    assert_eq!(server.seen.lock().unwrap().callbacks.len(), 4);
}

#[tokio::test]
async fn odd_messages_are_sent_as_scripted() {
    let (server, address) = Server::start(Agent::Misbehaves, None).await;
    let script = vec![
        say(40),
        Step::Duplicate(1),
        say(40),
        Step::Reorder(3),
        say(60),
        Step::SkipMedia(100),
        Step::Press('#'),
        Step::Raw(r#"{"event":"odd","streamSid":"{streamSid}"}"#.into()),
        Step::RawBinary(vec![0; 3]),
        Step::StartAgain,
        say(20),
    ];
    let mut options = call(address, script);
    options.before_start = vec![r#"{"event":"media","streamSid":"{streamSid}"}"#.into()];
    let report = place(options).await;
    assert!(server.socket_ended().await, "by a close frame");
    let events = server.events();
    let names: Vec<_> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(names[..4], ["connected", "media", "start", "media"]);
    let media: Vec<_> = events.iter().filter(|e| e["event"] == "media" && e["media"].is_object()).collect();
    let at: Vec<u64> = media.iter().map(|e| e["media"]["timestamp"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(at, [0, 20, 40, 40, 60, 120, 100, 80, 240]);
    let chunks: Vec<_> = media.iter().map(|e| e["media"]["chunk"].as_str().unwrap()).collect();
    assert_eq!(chunks, ["1", "2", "3", "3", "4", "7", "6", "5", "8"]);
    assert_eq!(names[names.len() - 5..], ["dtmf", "odd", "start", "media", "stop"]);
    assert_eq!(events[names.len() - 4]["streamSid"], report.stream_sid);
    assert_eq!(server.seen.lock().unwrap().binary, 1);
    let codes: Vec<_> = report.violations.iter().map(|v| v.code).collect();
    assert_eq!(codes, [31_950, 31_951]);
}

#[tokio::test]
async fn media_keeps_real_time_while_nothing_is_read() {
    let (_server, address) = Server::start(Agent::CanBeInterrupted, None).await;
    let report = place(call(address, vec![Step::StopReading(400), say(100), Step::Silence(500)])).await;
    // The clear is sent at the first word, and waits in the socket until the stall is over.
    assert!(report.clears[0].at_ms >= 400, "{:?}", report.clears);
    let span = report.sent.last().unwrap().at - report.sent[0].at;
    let frames = report.sent.len() as u64 - 1;
    assert!(span.as_millis().abs_diff(u128::from(frames * 20)) < 60, "{frames} frames in {span:?}");
}

#[tokio::test]
async fn a_caller_may_vanish_without_a_close() {
    let (server, address) = Server::start(Agent::Listens, None).await;
    let report = place(call(address, vec![say(100), Step::Die])).await;
    assert_eq!(report.ended_by, EndedBy::CallerDied);
    assert!(!server.socket_ended().await);
    assert!(!server.events().iter().any(|event| event["event"] == "stop"));
}

async fn rest_call(base: SocketAddr, request: &rest::RestRequest, user: &str, token: &str) -> (u16, Vec<u8>) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{base}{}", request.path);
    let response = client.post(url).basic_auth(user, Some(token)).form(&request.form).send().await.unwrap();
    (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
}

/// Waits until the call's stream is up.
async fn started(server: &Server) {
    let began = Instant::now();
    while !server.events().iter().any(|event| event["event"] == "media") {
        assert!(began.elapsed() < Duration::from_secs(5), "the stream did not start");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_call_is_ended_over_rest() {
    let (server, address) = Server::start(Agent::Listens, None).await;
    let options = call(address, vec![END]);
    let account = options.account_sid.clone();
    let carrier = Carrier::new(account.as_str(), token());
    let api = carrier.listen().await.unwrap();
    let sid = "CA1";
    let calling =
        tokio::spawn(place(CallOptions { carrier: Some(carrier.clone()), call_sid: Some(sid.to_owned()), ..options }));
    started(&server).await;
    let hang_up = rest::hang_up(&account, sid);

    let (status, body) = rest_call(api, &hang_up, &account, "wrong").await;
    assert_eq!(rest::outcome(status, &body).unwrap_err().kind, rest::RestErrorKind::Credentials);
    carrier.fail_next(Fault { delay_ms: 10, answer: Some((503, 20_500)) });
    let (status, body) = rest_call(api, &hang_up, &account, "12345").await;
    assert!(rest::outcome(status, &body).unwrap_err().retry());
    let (status, _) = rest_call(api, &rest::hang_up(&account, "CA2"), &account, "12345").await;
    assert_eq!(status, 404);
    assert_eq!(carrier.live_calls(), 1, "none of that ended the call");

    let (status, body) = rest_call(api, &hang_up, &account, "12345").await;
    assert_eq!((status, rest::outcome(status, &body)), (200, Ok(())));
    assert_eq!(calling.await.unwrap().ended_by, EndedBy::Rest);
    assert!(server.socket_ended().await);
    assert_eq!(server.events().last().unwrap()["event"], "stop");
    let (status, body) = rest_call(api, &hang_up, &account, "12345").await;
    assert_eq!((status, rest::outcome(status, &body)), (400, Ok(())), "over already");
    assert_eq!(carrier.requests().iter().map(|r| r.status).collect::<Vec<_>>(), [401, 503, 404, 200, 400]);
}

#[tokio::test]
async fn a_call_is_transferred_over_rest() {
    let (server, address) = Server::start(Agent::Listens, None).await;
    let options = call(address, vec![END]);
    let account = options.account_sid.clone();
    let carrier = Carrier::new(account.as_str(), token());
    let api = carrier.listen().await.unwrap();
    let calling = tokio::spawn(place(CallOptions {
        carrier: Some(carrier.clone()),
        call_sid: Some("CA1".to_owned()),
        ..options
    }));
    started(&server).await;
    let transfer = rest::transfer(&account, "CA1", twiml::dial("+4930123"));
    assert_eq!(rest_call(api, &transfer, &account, "12345").await.0, 200);
    let report = calling.await.unwrap();
    assert_eq!((report.ended_by, report.transferred_to.as_deref()), (EndedBy::Transferred, Some("+4930123")));
    assert_eq!(carrier.live_calls(), 0);
}
