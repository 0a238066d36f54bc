//! Who is let in: signatures, tokens, numbers, slots.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use offhook::config::Secret;
use offhook::link::twilio::signature;
use offhook::stage::phone::{EndedBy, Outcome, Step};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::house::{House, NUMBER, Plan, TOKEN, place, until};

#[tokio::test]
async fn a_webhook_with_a_wrong_signature_is_forbidden_and_makes_no_call() {
    let house = House::build(Plan::default()).await;
    for path in ["/twilio/voice", "/twilio/stream-status", "/twilio/call-status"] {
        let (status, body) = house.post(path, &[("CallSid", "CA1"), ("To", NUMBER)], "54321").await;
        assert_eq!((status, body.as_str()), (403, ""), "{path}");
    }
    let unsigned = reqwest::Client::new().post(house.url("/twilio/voice")).form(&[("CallSid", "CA1"), ("To", NUMBER)]);
    assert_eq!(unsigned.send().await.expect("an answer").status(), 403);
    assert_eq!(house.metric("offhook_requests_rejected_total{reason=\"signature\"}"), 4);
    assert_eq!(house.running.calls(), [""; 0]);
    assert_eq!(house.site.model.sessions_ever(), 0);
}

#[tokio::test]
async fn behind_a_proxy_the_public_url_is_what_is_signed() {
    let plan = Plan { server: "public_url = \"https://calls.example.com\"\n".to_owned(), ..Plan::default() };
    let house = House::build(plan).await;
    assert_eq!(house.ring("CA1", NUMBER, TOKEN).await.0, 403, "signed with the address behind the proxy");
    let mut caller = house.caller(vec![Step::HangUp]);
    caller.public_url = Some("https://calls.example.com".to_owned());
    let heard = place(caller).await;
    assert_eq!(heard.outcome, Outcome::Connected, "{heard:?}");
    assert!(heard.twiml.contains("wss://calls.example.com/twilio/media"), "{}", heard.twiml);
}

#[tokio::test]
async fn the_public_url_may_be_spelled_in_capitals_here_and_there() {
    let plan = Plan { server: "public_url = \"https://Calls.Example.com.:443/\"\n".to_owned(), ..Plan::default() };
    let house = House::build(plan).await;
    let spellings = ["calls.example.com", "CALLS.example.com", "calls.example.com.", "calls.example.com:443"];
    for (sid, spelled) in ["CA1", "CA2", "CA3", "CA4"].into_iter().zip(spellings) {
        let fields = [("CallSid", sid), ("To", NUMBER), ("From", "+15550100001")];
        let params: Vec<_> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let url = format!("https://{spelled}/twilio/voice");
        let signature = offhook::link::twilio::signature::sign(&Secret::new(TOKEN), &url, &params);
        let request = reqwest::Client::new().post(house.url("/twilio/voice")).header("host", spelled);
        let answer = request.header("x-twilio-signature", signature).form(&fields).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{spelled}");
        let twiml = answer.text().await.expect("a body");
        assert!(twiml.contains("wss://calls.example.com/twilio/media"), "{twiml}");
    }
}

#[tokio::test]
async fn sec_08_a_media_upgrade_with_a_wrong_signature_is_forbidden_and_the_call_never_connects() {
    let plan = Plan { deployment: "[limits]\nmedia_start_s = 1\n".to_owned(), ..Plan::default() };
    let house = House::build(plan).await;
    let mut caller = house.caller(vec![]);
    caller.upgrade_token = Some(Secret::new("54321"));
    let heard = place(caller).await;
    assert!(matches!(heard.outcome, Outcome::StreamRefused { status: 403, .. }), "{:?}", heard.outcome);
    // The carrier asks what to do, and tries again, but not for ever.
    let rejected = house.metric("offhook_media_rejected_total{reason=\"signature\"}");
    assert!((1..=6).contains(&rejected), "{rejected}");
    let (report, _) = house.report(0).await;
    assert!(["never_connected", "caller_hung_up"].contains(&report.end.kind()), "{:?}", report.end);
}

#[tokio::test]
async fn a_token_opens_one_stream_of_its_own_call_and_no_second() {
    let house = House::build(Plan::default()).await;
    let (status, twiml) = house.ring("CA1", NUMBER, TOKEN).await;
    assert_eq!(status, 200);
    let token = token_of(&twiml);
    assert_eq!(introduce(&house, "CA2", &token).await, Some(1008), "another call's token");
    assert_eq!(introduce(&house, "CA1", "0123").await, Some(1008), "a made-up token");
    let mut first = connect(&house).await.expect("an upgrade");
    start(&mut first, "CA1", &token).await;
    until("the stream is up", || house.metric("offhook_calls{phase=\"talking\"}") == 1).await;
    assert_eq!(introduce(&house, "CA1", &token).await, Some(1008), "the token again");
    assert_eq!(house.metric("offhook_media_rejected_total{reason=\"unknown_token\"}"), 2);
    assert_eq!(house.metric("offhook_media_rejected_total{reason=\"wrong_call\"}"), 1);
    assert_eq!(house.metric("offhook_calls{phase=\"talking\"}"), 1, "the call itself goes on");
    drop(first);
    assert_eq!(house.report(0).await.0.end.kind(), "caller_hung_up", "nobody asked for another stream");
}

#[tokio::test]
async fn a_token_expires() {
    let plan = Plan { twilio: "token_ttl_s = 5\n".to_owned(), ..Plan::default() };
    let house = House::build(plan).await;
    let (_, twiml) = house.ring("CA1", NUMBER, TOKEN).await;
    tokio::time::sleep(Duration::from_millis(5_100)).await;
    assert_eq!(introduce(&house, "CA1", &token_of(&twiml)).await, Some(1008));
    assert_eq!(house.metric("offhook_media_rejected_total{reason=\"expired_token\"}"), 1);
}

#[tokio::test]
async fn a_webhook_that_is_repeated_gets_the_same_answer_and_no_second_call() {
    let house = House::build(Plan::default()).await;
    let first = house.ring("CA1", NUMBER, TOKEN).await;
    assert_eq!(house.ring("CA1", NUMBER, TOKEN).await, first);
    assert_eq!(house.running.calls().len(), 1);
    assert_ne!(house.ring("CA2", NUMBER, TOKEN).await, first);
    assert_eq!(house.running.calls().len(), 2);
}

#[tokio::test]
async fn who_cannot_be_answered_is_told_so_by_the_carrier() {
    let plan = Plan {
        server: "max_calls = 1\n".to_owned(),
        twilio: "refuse_full = \"We are full.\"\nrefuse_inactive = \"Not in service.\"\n".to_owned(),
        ..Plan::default()
    };
    let house = House::build(plan).await;
    for number in ["+15550100199", "+15550100777"] {
        let mut caller = house.caller(vec![]);
        caller.to = number.to_owned();
        assert_eq!(place(caller).await.outcome, Outcome::Refused { said: "Not in service.".to_owned() }, "{number}");
    }
    assert_eq!(house.ring("CA1", NUMBER, TOKEN).await.0, 200);
    assert_eq!(place(house.caller(vec![])).await.outcome, Outcome::Refused { said: "We are full.".to_owned() });
    house.post("/twilio/call-status", &[("CallSid", "CA1"), ("CallStatus", "completed")], TOKEN).await;
    house.report(0).await;
    until("the slot is free", || house.running.calls().is_empty()).await;
    assert_eq!(place(house.caller(vec![Step::HangUp])).await.outcome, Outcome::Connected);
    for (reason, n) in [("inactive", 1), ("unknown_number", 1), ("full", 1)] {
        assert_eq!(house.metric(&format!("offhook_calls_refused_total{{reason=\"{reason}\"}}")), n, "{reason}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_keep_up_takes_no_new_calls_until_it_can() {
    let plan = Plan { max_lag_ms: 5, twilio: "refuse_full = \"We are full.\"\n".to_owned(), ..Plan::default() };
    let house = House::build(plan).await;
    let known = house.ring("CA1", NUMBER, TOKEN).await;
    assert!(known.1.contains("<Stream"), "{known:?}");
    // Something takes the server's only thread, again and again, for longer than may be.
    let busy = tokio::spawn(async {
        loop {
            // No part of the time between two looks, lest they always come just after it.
            std::thread::sleep(std::time::Duration::from_millis(35));
            tokio::task::yield_now().await;
        }
    });
    until("it is late", || house.metric("offhook_lag_microseconds{second=\"last\"}") > 5_000).await;
    let refused = house.ring("CA2", NUMBER, TOKEN).await;
    assert!(refused.0 == 200 && refused.1.contains("We are full."), "{refused:?}");
    assert_eq!(house.ring("CA1", NUMBER, TOKEN).await, known, "a call that is up is answered again");
    assert_eq!(house.metric("offhook_calls_refused_total{reason=\"overloaded\"}"), 1);
    busy.abort();
    until("it keeps up again", || house.metric("offhook_lag_microseconds{second=\"worst_of_5\"}") <= 5_000).await;
    assert!(house.ring("CA3", NUMBER, TOKEN).await.1.contains("<Stream"));
}

#[tokio::test]
async fn a_hundred_at_once_fill_fifty_slots_and_no_more() {
    let plan = Plan { server: "max_calls = 50\n".to_owned(), ..Plan::default() };
    let house = House::build(plan).await;
    let rings = (0..100).map(|i| {
        let house = &house;
        async move { house.ring(&format!("CA{i}"), NUMBER, TOKEN).await }
    });
    let answers = futures_util::future::join_all(rings).await;
    assert_eq!(answers.iter().filter(|(status, twiml)| *status == 200 && twiml.contains("<Stream")).count(), 50);
    assert_eq!(answers.iter().filter(|(status, twiml)| *status == 200 && twiml.contains("<Say")).count(), 50);
    assert_eq!(house.running.calls().len(), 50);
}

#[tokio::test]
async fn a_stream_that_does_not_introduce_itself_is_shown_out() {
    let house = House::build(Plan::default()).await;
    let mut socket = connect(&house).await.expect("an upgrade");
    for _ in 0..64 {
        let media = r#"{"event":"media","streamSid":"MZ1","media":{"timestamp":"20","payload":"//8="}}"#;
        socket.send(Message::text(media)).await.expect("room");
    }
    assert_eq!(close_code(&mut socket).await, Some(1008));
    assert_eq!(house.metric("offhook_media_rejected_total{reason=\"no_start\"}"), 1);
    assert_eq!(house.metric("offhook_line_ignored_total{kind=\"before_start\"}"), 64);
}

#[tokio::test]
async fn a_carrier_that_says_the_call_is_over_ends_it() {
    let house = House::build(Plan::default()).await;
    let caller = house.caller(vec![Step::WaitEnd { max_ms: 30_000 }]);
    let sid = "CA00000000000000000000000000000042";
    let call = tokio::spawn(place(offhook::stage::phone::CallOptions { call_sid: Some(sid.to_owned()), ..caller }));
    until("the stream is up", || house.metric("offhook_calls{phase=\"talking\"}") == 1).await;
    house.post("/twilio/call-status", &[("CallSid", sid), ("CallStatus", "completed")], TOKEN).await;
    let heard = call.await.expect("a call");
    assert_eq!(heard.ended_by, EndedBy::Server { code: Some(1000) });
    assert_eq!(house.report(0).await.0.end.kind(), "caller_hung_up");
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn connect(house: &House) -> Result<Socket, Error> {
    let addr = house.running.addr();
    let mut request = format!("ws://{addr}/twilio/media").into_client_request().expect("a request");
    let signature = signature::sign(&Secret::new(TOKEN), &format!("wss://{addr}/twilio/media"), &[]);
    request.headers_mut().insert("x-twilio-signature", signature.parse().expect("a header"));
    tokio_tungstenite::connect_async(request).await.map(|(socket, _)| socket)
}

async fn start(socket: &mut Socket, call: &str, token: &str) {
    let connected = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
    let start = serde_json::json!({"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": {
        "streamSid": "MZ1", "accountSid": "AC1", "callSid": call, "tracks": ["inbound"],
        "customParameters": {"token": token},
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}}});
    socket.send(Message::text(connected)).await.expect("room");
    socket.send(Message::text(start.to_string())).await.expect("room");
}

/// Shows a token; the code with which the socket is closed.
async fn introduce(house: &House, call: &str, token: &str) -> Option<u16> {
    let mut socket = connect(house).await.expect("an upgrade");
    start(&mut socket, call, token).await;
    close_code(&mut socket).await
}

async fn close_code(socket: &mut Socket) -> Option<u16> {
    loop {
        match tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("a close") {
            Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
            Some(Ok(_)) => {}
            other => panic!("no close: {other:?}"),
        }
    }
}

fn token_of(twiml: &str) -> String {
    let (_, after) = twiml.split_once("name=\"token\" value=\"").expect("a token");
    after.split('"').next().expect("a value").to_owned()
}

#[tokio::test]
async fn a_first_stream_that_does_not_begin_is_opened_again() {
    let house = House::build(Plan { agent: String::new(), ..Plan::default() }).await;
    let (_, twiml) = house.ring("CA1", NUMBER, TOKEN).await;
    let again =
        async || house.post("/twilio/stream-over", &[("CallSid", "CA1"), ("CallStatus", "in-progress")], TOKEN).await;
    // Its handshake was refused, or reset on the way.
    assert_eq!(again().await, (200, twiml.clone()));
    // It breaks before its start.
    let connected = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
    let mut broken = connect(&house).await.expect("an upgrade");
    broken.send(Message::text(connected)).await.expect("room");
    drop(broken);
    assert_eq!(again().await, (200, twiml.clone()));
    let mut socket = connect(&house).await.expect("an upgrade");
    start(&mut socket, "CA1", &token_of(&twiml)).await;
    until("the stream is up", || house.metric("offhook_calls{phase=\"talking\"}") == 1).await;
    assert_eq!(house.running.calls().len(), 1, "it is the same call");
}

#[tokio::test]
async fn a_first_stream_that_never_begins_is_given_up() {
    let house = House::build(Plan { agent: String::new(), ..Plan::default() }).await;
    house.ring("CA1", NUMBER, TOKEN).await;
    let mut asked = 0;
    while house.post("/twilio/stream-over", &[("CallSid", "CA1")], TOKEN).await.1.contains("<Stream") {
        asked += 1;
    }
    assert_eq!(asked, 5);
    assert_eq!(house.report(0).await.0.end.kind(), "never_connected");
}

#[tokio::test]
async fn a_carrier_whose_stream_is_closed_at_the_servers_end_is_told_to_hang_up() {
    let house = House::build(Plan { agent: String::new(), ..Plan::default() }).await;
    let (_, twiml) = house.ring("CA1", NUMBER, TOKEN).await;
    let mut socket = connect(&house).await.expect("an upgrade");
    start(&mut socket, "CA1", &token_of(&twiml)).await;
    until("the stream is up", || house.metric("offhook_calls{phase=\"talking\"}") == 1).await;
    house.running.hurry();
    let asks = async {
        assert_eq!(close_code(&mut socket).await, Some(1000));
        drop(socket);
        // The carrier takes its time over the next document.
        tokio::time::sleep(Duration::from_millis(900)).await;
        let over = [("CallSid", "CA1"), ("CallStatus", "in-progress")];
        house.post("/twilio/stream-over", &over, TOKEN).await
    };
    let ((status, twiml), ()) = tokio::join!(asks, house.running.shutdown());
    assert!(status == 200 && twiml.contains("<Hangup/>"), "{status} {twiml}");
}
