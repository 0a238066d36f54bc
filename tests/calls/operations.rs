//! What operators rely on: health, limits, draining, TLS.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use offhook::engine::EndReason;
use offhook::stage::phone::{Outcome, Step};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::house::{House, NUMBER, Plan, Site, TOKEN, place, until};

#[tokio::test]
async fn the_pages_for_operations_answer() {
    let house = House::build(Plan::default()).await;
    assert_eq!(house.get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(house.get("/readyz").await, (200, "ready\n".to_owned()));
    let (status, page) = house.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(page.contains("# TYPE offhook_leg_seconds histogram\n"), "{page}");
    assert_eq!(house.get("/").await.0, 404);
    assert_eq!(house.get("/twilio/stream-status").await.0, 405);
}

#[tokio::test]
async fn a_body_that_is_too_large_or_never_ends_holds_nothing() {
    let house = House::build(Plan::default()).await;
    let big = "x".repeat(70_000);
    assert_eq!(house.post("/twilio/voice", &[("To", &big)], TOKEN).await.0, 413);
    let mut socket = tokio::net::TcpStream::connect(house.running.addr()).await.expect("a connection");
    let head = "POST /twilio/voice HTTP/1.1\r\nhost: h\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 9\r\n\r\n";
    socket.write_all(head.as_bytes()).await.expect("room");
    let mut answer = [0u8; 12];
    tokio::time::timeout(Duration::from_secs(15), socket.read_exact(&mut answer))
        .await
        .expect("in time")
        .expect("bytes");
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn a_drained_server_takes_no_calls_and_lets_the_running_ones_finish() {
    let house = House::build(Plan::default()).await;
    let call = tokio::spawn(place(house.caller(vec![Step::Silence(1_500), Step::HangUp])));
    until("the stream is up", || house.metric("offhook_calls{phase=\"talking\"}") == 1).await;
    house.running.drain();
    assert_eq!(house.get("/readyz").await.0, 503);
    assert_eq!(house.get("/healthz").await.0, 200);
    assert!(matches!(place(house.caller(vec![])).await.outcome, Outcome::Refused { .. }));
    house.running.shutdown().await;
    assert_eq!(call.await.expect("a call").outcome, Outcome::Connected);
    assert_eq!(house.report(0).await.0.end.kind(), "caller_hung_up");
    assert!(reqwest::get(house.url("/healthz")).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn calls_that_outlast_the_drain_are_ended_politely_and_reported() {
    let plan = Plan { server: "drain_s = 0\n".to_owned(), agent: String::new(), ..Plan::default() };
    let house = House::build(plan).await;
    let call = tokio::spawn(place(house.caller(vec![Step::WaitEnd { max_ms: 30_000 }])));
    until("the stream is up", || house.metric("offhook_calls{phase=\"talking\"}") == 1).await;
    assert_eq!(house.ring("CA1", NUMBER, TOKEN).await.0, 200);
    house.running.shutdown().await;
    call.await.expect("a call");
    for n in 0..2 {
        let (report, folder) = house.report(n).await;
        assert_eq!(report.end, EndReason::Shutdown);
        assert!(folder.join("report.json").exists(), "shutdown waits for the files");
    }
}

#[tokio::test]
async fn a_server_that_drains_waits_for_the_callers_last_words_and_one_that_is_hurried_does_not() {
    for (hurried, words) in [(false, "Thursday."), (true, "")] {
        let script = "think_ms = 100\ntranscript_ms = 2500\n[greeting]\nsay = \"Hello.\"\n\
            [otherwise]\nhears = \"Thursday.\"\nsay = \"Thank you.\"\n";
        let plan = Plan { server: "drain_s = 3600\n".to_owned(), script: script.to_owned(), ..Plan::default() };
        let house = House::build(plan).await;
        let agent_speaks = Step::WaitAgentSpeaking { after_ms: 100, max_ms: 10_000 };
        let script = vec![agent_speaks, crate::talk::speech(300), Step::HangUp];
        let call = tokio::spawn(place(house.caller(script)));
        until("words are awaited", || house.metric("offhook_calls{phase=\"closing\"}") == 1).await;
        let hurry = async {
            if hurried {
                house.running.hurry();
            }
        };
        let over = futures_util::future::join(house.running.shutdown(), hurry);
        tokio::time::timeout(Duration::from_secs(20), over).await.expect("a server that goes");
        call.await.expect("a call");
        let (report, folder) = house.report(0).await;
        assert_eq!(report.end, EndReason::CallerHungUp);
        let last = report.lines.iter().rfind(|line| line.who == offhook::engine::Role::Caller);
        assert_eq!(last.expect("a turn").text, words, "{report:#?}");
        assert!(folder.join("report.json").exists());
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_costs_the_files_and_not_the_call() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("calls"), "not a folder").expect("a file");
    let house = House::build(Plan { data: Some(dir.path().to_owned()), ..Plan::default() }).await;
    let agent_speaks = Step::WaitAgentSpeaking { after_ms: 200, max_ms: 10_000 };
    let heard = place(house.caller(vec![agent_speaks, Step::HangUp])).await;
    assert!(heard.first_audio_ms.is_some(), "the caller is answered all the same");
    let recording = house.report(0).await.0.recording.expect("an account");
    assert_eq!((recording.frames, recording.missing_from_ms), (0, Some(0)));
    assert!(recording.error.is_some());
    assert_eq!(house.metric("offhook_files_failed_total{file=\"report\"}"), 1);
}

#[tokio::test]
async fn x_07_a_changed_configuration_applies_to_the_next_call() {
    let house = House::build(Plan::default()).await;
    assert!(house.ring("CA1", NUMBER, TOKEN).await.1.contains("<Stream"));
    let document = house.site.config().join("deployments/desk.toml");
    crate::house::write(&document, &format!("agent = \"mia\"\nnumber = \"{NUMBER}\"\nactive = false\n"));
    house.running.look().await;
    assert!(house.ring("CA2", NUMBER, TOKEN).await.1.contains("<Say"));
    assert_eq!(house.running.calls().len(), 1, "the running call goes on");
    crate::house::write(&document, "agent = \n");
    house.running.look().await;
    assert!(house.ring("CA3", NUMBER, TOKEN).await.1.contains("<Say"), "the last good one stays in force");
}

#[tokio::test]
async fn a_hurried_shutdown_waits_for_no_call_and_still_leaves_its_report() {
    let house = House::build(Plan { server: "drain_s = 3600\n".to_owned(), ..Plan::default() }).await;
    let call = tokio::spawn(place(house.caller(vec![Step::WaitEnd { max_ms: 30_000 }])));
    until("the stream is up", || house.metric("offhook_calls{phase=\"talking\"}") == 1).await;
    let shutdown = house.running.shutdown();
    let hurry = async { house.running.hurry() };
    let ended = tokio::time::timeout(Duration::from_secs(10), futures_util::future::join(shutdown, hurry)).await;
    assert!(ended.is_ok(), "an hour is not waited for");
    let (report, folder) = house.report(0).await;
    assert_eq!(report.end, EndReason::Shutdown);
    assert!(folder.join("report.json").exists());
    call.await.expect("a call");
}

#[tokio::test]
async fn a_server_says_at_start_what_will_keep_it_from_answering_or_keeping_calls() {
    let site = Site::build(&Plan::default()).await;
    crate::house::write(&site.config().join("offhook.toml"), "");
    let blocked = site.config().join("offhook.toml");
    let mut server = std::process::Command::new(env!("CARGO_BIN_EXE_offhook"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(site.config())
        .arg("--data")
        .arg(&blocked)
        .env("TOKEN", TOKEN)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the binary");
    let log = BufReader::new(server.stderr.take().expect("a pipe")).lines();
    let (line, mut lines) = tokio::sync::mpsc::channel(64);
    std::thread::spawn(move || log.map_while(Result::ok).all(|said| line.blocking_send(said).is_ok()));
    let mut missing = vec!["no calls will be accepted until twilio.auth_token is set", "calls cannot be kept here"];
    let heard = async {
        while !missing.is_empty() {
            let Some(said) = lines.recv().await else { break };
            missing.retain(|wanted| !said.contains(wanted));
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), heard).await;
    server.kill().and_then(|()| server.wait()).expect("an end");
    assert!(in_time.is_ok() && missing.is_empty(), "never said: {missing:?}");
}

#[tokio::test]
async fn a_turn_setting_that_is_changed_applies_to_the_next_call_which_names_its_revision() {
    let house =
        House::build(Plan { agent: "[turn_detection]\nmode = \"local\"\n".to_owned(), ..Plan::default() }).await;
    let agent = house.site.config().join("agents/mia.toml");
    let before = std::fs::read_to_string(&agent).expect("an agent");
    let long = tokio::spawn(place(house.caller(vec![Step::WaitEnd { max_ms: 30_000 }])));
    until("the stream is up", || house.metric("offhook_calls{phase=\"talking\"}") == 1).await;
    crate::house::write(&agent, &format!("{before}silence_duration_ms = 900\n"));
    house.running.look().await;
    place(house.caller(vec![Step::Silence(200), Step::HangUp])).await;
    // A setting that is out of range leaves the last good one in force.
    crate::house::write(&agent, &format!("{before}silence_duration_ms = 9000\n"));
    house.running.look().await;
    place(house.caller(vec![Step::Silence(200), Step::HangUp])).await;
    until("the short ones are gone", || house.running.calls().len() == 1).await;
    let running = house.running.calls().remove(0);
    assert!(house.running.control(&running, offhook::engine::Control::End(EndReason::Operator)));
    long.await.expect("a call");

    let mut revisions = Vec::new();
    for (n, expected) in [(0, 900), (1, 900), (2, 200)] {
        let (report, folder) = house.report(n).await;
        let journal = offhook::lab::journal::CallFiles::load(&folder).expect("a journal").journal;
        let offhook::config::TurnDetection::Local(turn) = &journal.settings.turn_detection else { panic!("not local") };
        assert_eq!(turn.silence_duration_ms, expected, "call {n}");
        let announced = format!("Announced deployment=desk agent=mia revision={}", report.revision);
        assert_eq!(journal.entries[0].kind, offhook::lab::journal::Kind::Out(announced));
        assert_eq!(journal.settings.revision, report.revision);
        revisions.push(report.revision);
    }
    assert_eq!(revisions[0], revisions[1]);
    assert_ne!(revisions[0], revisions[2], "the call that ran on kept what it began with");
}
