//! What fails, and what does not fail with it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;

use offhook::engine::EndReason;
use offhook::stage::phone::{EndedBy, Step};

use crate::house::{House, Plan, Site, TOKEN, place, until};
use crate::talk::speech;

#[tokio::test]
async fn a_failure_of_the_server_in_one_call_costs_no_other() {
    let house = House::build(Plan { agent: String::new(), ..Plan::default() }).await;
    house.reports.fails_on_hash.store(true, Ordering::Relaxed);
    let other = tokio::spawn(place(house.caller(vec![Step::Silence(5_000), Step::HangUp])));
    until("the other is up", || house.metric("offhook_calls{phase=\"talking\"}") == 1).await;
    let wait = Step::WaitEnd { max_ms: 30_000 };
    let heard = place(house.caller(vec![Step::Silence(500), Step::Press('#'), wait])).await;
    assert_eq!(heard.ended_by, EndedBy::ServerLost);
    let (report, folder) = house.report(0).await;
    assert_eq!(report.end, EndReason::Internal { why: "on purpose".to_owned() });
    assert!(report.recording.is_some_and(|r| r.frames > 0) && folder.join("report.json").exists());
    assert_eq!(house.metric("offhook_panics_total"), 1);
    assert_eq!(house.metric("offhook_calls{phase=\"talking\"}"), 1, "the other goes on");
    assert_eq!(other.await.expect("a call").ended_by, EndedBy::Caller);
    until("both slots are free", || house.running.calls().is_empty()).await;
}

#[tokio::test]
async fn a_caller_who_takes_nothing_for_a_while_loses_no_call_and_holds_no_memory() {
    let script = "think_ms = 0\npace = 100.0\n[greeting]\nsay = \"Hello.\"\n".to_owned();
    let house = House::build(Plan { script, ..Plan::default() }).await;
    let other = tokio::spawn(place(house.caller(vec![Step::Silence(6_000), Step::HangUp])));
    let heard = place(house.caller(vec![Step::StopReading(4_000), Step::Silence(5_000), Step::HangUp])).await;
    assert_eq!(heard.ended_by, EndedBy::Caller);
    let other = other.await.expect("a call");
    assert_eq!((other.ended_by, other.frames_dropped), (EndedBy::Caller, 0));
    for n in 0..2 {
        assert_eq!(house.report(n).await.0.end.kind(), "caller_hung_up");
    }
}

#[tokio::test]
async fn sigterm_drains_and_ends_with_success() {
    let plan = Plan { server: "drain_s = 1\n".to_owned(), agent: String::new(), ..Plan::default() };
    let site = Site::build(&plan).await;
    let (mut server, url) = serve(&site);
    let call = tokio::spawn(place(site.caller(url.clone(), vec![Step::WaitEnd { max_ms: 30_000 }])));
    talking(&url).await;
    signal(&server, "TERM");
    call.await.expect("a call");
    let code = tokio::task::spawn_blocking(move || server.wait().expect("an end")).await.expect("a thread");
    assert_eq!(code.code(), Some(0));
    let report = std::fs::read_to_string(folder(&site).join("report.json")).expect("a report");
    assert!(report.contains("\"shutdown\""), "{report}");
}

#[tokio::test]
async fn a_log_that_nobody_reads_costs_no_call() {
    for reader_is_gone in [true, false] {
        let plan = Plan {
            server: "drain_s = 0\n".to_owned(),
            twilio: "[log]\nfilter = \"trace\"\n".to_owned(),
            agent: String::new(),
            ..Plan::default()
        };
        let site = Site::build(&plan).await;
        let (reader, writer) = std::io::pipe().expect("a pipe");
        // Kept without being read, it is full before the server writes a line, and stays so.
        let mut also = writer.try_clone().expect("a descriptor");
        let filler = (!reader_is_gone).then(|| std::thread::spawn(move || also.write_all(&[b'x'; 4 << 20])));
        let (mut server, url) = serve_with(&site, "127.0.0.1:0", writer.into());
        let reader = Some(reader).filter(|_| !reader_is_gone);
        let heard = place(site.caller(url.clone(), vec![Step::Silence(2_000), Step::HangUp])).await;
        assert_eq!(heard.ended_by, EndedBy::Caller, "gone: {reader_is_gone}");
        let page = reqwest::get(format!("{url}/metrics")).await.expect("an answer").text().await.expect("a page");
        let dropped = page.lines().find_map(|line| line.strip_prefix("offhook_log_lines_dropped_total "));
        let dropped: u64 = dropped.expect("a counter").parse().expect("a number");
        assert!(dropped > 0 || !reader_is_gone, "{dropped}");
        assert!(page.contains("offhook_panics_total 0\n"), "{page}");
        let call = tokio::spawn(place(site.caller(url.clone(), vec![Step::WaitEnd { max_ms: 30_000 }])));
        talking(&url).await;
        signal(&server, "TERM");
        call.await.expect("a call");
        let code = tokio::task::spawn_blocking(move || server.wait().expect("an end")).await.expect("a thread");
        assert_eq!(code.code(), Some(0), "gone: {reader_is_gone}");
        if let Some(filler) = filler {
            assert!(!filler.is_finished(), "nobody has read anything");
            drop(reader);
            assert!(filler.join().expect("a thread").is_err());
        }
    }
}

#[tokio::test]
async fn sigkill_leaves_a_recording_and_a_journal_that_can_be_read() {
    let site = Site::build(&Plan { agent: String::new(), ..Plan::default() }).await;
    let (mut server, url) = serve(&site);
    let call = tokio::spawn(place(site.caller(url.clone(), vec![speech(3_000), Step::WaitEnd { max_ms: 30_000 }])));
    talking(&url).await;
    tokio::time::sleep(std::time::Duration::from_millis(3_500)).await;
    signal(&server, "KILL");
    server.wait().expect("an end");
    assert_eq!(call.await.expect("a call").ended_by, EndedBy::ServerLost);
    let mut wav = hound::WavReader::open(folder(&site).join("recording.wav")).expect("a WAV file");
    assert!(wav.duration() > 16_000, "{} frames of 28,000, less a second and what was on its way", wav.duration());
    assert!(wav.samples::<i16>().any(|sample| sample.expect("a sample").abs() > 5_000), "with the caller in it");
    let files = offhook::lab::journal::CallFiles::load(&folder(&site)).expect("a journal");
    assert!(files.report().expect("readable").is_none(), "no report of a call that has not ended");
}

/// The binary, and where it listens.
fn serve(site: &Site) -> (Child, String) {
    serve_at(site, "127.0.0.1:0")
}

/// The same, listening at this address.
pub(crate) fn serve_at(site: &Site, listen: &str) -> (Child, String) {
    serve_with(site, listen, Stdio::inherit())
}

fn serve_with(site: &Site, listen: &str, stderr: Stdio) -> (Child, String) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .args(["serve", "--listen", listen, "--config"])
        .arg(site.config())
        .arg("--data")
        .arg(site.data())
        .env("TOKEN", TOKEN)
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .expect("the binary");
    let mut first = String::new();
    BufReader::new(server.stdout.take().expect("a pipe")).read_line(&mut first).expect("a banner");
    let url = first.trim().rsplit(' ').next().expect("an address").to_owned();
    (server, url)
}

pub(crate) fn signal(server: &Child, name: &str) {
    // The shell's own: a bare system has no program of that name.
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", server.id())]).status();
    assert!(sent.expect("kill").success());
}

async fn talking(url: &str) {
    for _ in 0..500 {
        let page = reqwest::get(format!("{url}/metrics")).await.expect("an answer").text().await.expect("a page");
        if page.contains("offhook_calls{phase=\"talking\"} 1\n") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("no call that talks after 10 s");
}

/// The one call's folder.
fn folder(site: &Site) -> std::path::PathBuf {
    let mut calls = std::fs::read_dir(site.data().join("calls")).expect("calls");
    calls.next().expect("a call").expect("a folder").path()
}

#[tokio::test]
async fn what_the_carrier_says_of_a_failed_stream_is_logged_whole() {
    let site = Site::build(&Plan::default()).await;
    let log = site.dir.path().join("log");
    let (mut server, url) = serve_with(&site, "127.0.0.1:0", std::fs::File::create(&log).expect("a file").into());
    let error =
        format!("The server closed the stream's socket before {}its time, code 1011", "and again before ".repeat(20));
    let fields = [("CallSid", "CA1"), ("StreamEvent", "stream-error"), ("StreamError", error.as_str())];
    let params: Vec<_> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let url = format!("{url}/twilio/stream-status");
    let signature = offhook::link::twilio::signature::sign(&offhook::config::Secret::new(TOKEN), &url, &params);
    let request = reqwest::Client::new().post(url).header("x-twilio-signature", signature).form(&fields);
    assert_eq!(request.send().await.expect("an answer").status(), 204);
    signal(&server, "TERM");
    server.wait().expect("an end");
    let log = std::fs::read_to_string(log).expect("a log");
    assert!(log.contains(&error), "{log}");
}
