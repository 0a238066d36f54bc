//! The load tester against bridges with known faults: what it tells must be what was done.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser as _;
use futures_util::{SinkExt as _, StreamExt as _};
use offhook::stage::load::args::{Args, Listener, Outcome, load};
use offhook::stage::load::report::{Latency, LoadReport, LoadShape, Second};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, connect_async};

/// What a bridge does to the audio that it passes on.
#[derive(Clone, Copy, Default)]
struct Faults {
    /// Holds everything back by so much.
    delay_ms: u64,
    /// Reads nothing from the caller for a time, once, two seconds after the beginning.
    deaf_ms: u64,
    /// Loses every so manieth frame of the caller.
    loses_every: u64,
    /// Lets the rest of a reply wait so long after its first piece, once in a call.
    gap_ms: u64,
}

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

struct Seconds(Vec<Second>);

impl Listener for Seconds {
    fn second(&mut self, second: &Second, _shape: &LoadShape) {
        self.0.push(second.clone());
    }
}

/// What two callers met in so many seconds.
async fn tested(seconds: u32, faults: Faults) -> LoadReport {
    let model: SocketAddr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/media", listener.local_addr().unwrap());
    let model_url = format!("ws://{model}/v1/realtime?model=x");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(bridge(stream, model_url.clone(), faults));
        }
    });
    let flags = format!(
        "load --ws {url} --model-listen {model} -n 2 --ramp 0 --seconds {seconds} --down 0 --call 60 --think 0.1-0.2 --hang-up 0 --barge-in 0"
    );
    let cli = Cli::try_parse_from(flags.split(' ')).unwrap();
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let mut listener = Seconds(Vec::new());
    let outcome = load(&cli.args, flags, stopped, &mut listener).await.unwrap();
    let Outcome::Load(report) = outcome else { panic!("no search was asked for") };
    assert_eq!(report.series.len(), listener.0.len(), "the listener hears every second");
    assert_eq!(report.failures.get("the agent was never heard"), None);
    *report
}

async fn bridge(stream: TcpStream, model_url: String, faults: Faults) {
    let _ = stream.set_nodelay(true);
    let Ok(mut line) = accept_async(stream).await else { return };
    let mut sid = String::new();
    while sid.is_empty() {
        let Some(Ok(Message::Text(text))) = line.next().await else { return };
        let message: Value = serde_json::from_str(&text).unwrap();
        sid = message["start"]["streamSid"].as_str().unwrap_or_default().to_owned();
    }
    let (mut model, _) = connect_async(model_url).await.unwrap();
    let format = json!({"type": "audio/pcmu"});
    let session = json!({"type": "session.update", "session": {"type": "realtime",
        "audio": {"input": {"format": format}, "output": {"format": format}}}});
    model.send(Message::text(session.to_string())).await.unwrap();
    model.send(Message::text(r#"{"type":"response.create"}"#)).await.unwrap();
    let began = Instant::now();
    let (mut deaf, mut frames, mut deltas) = (faults.deaf_ms > 0, 0u64, 0u64);
    let mut held: std::collections::VecDeque<(Instant, bool, Message)> = Default::default();
    let delay = Duration::from_millis(faults.delay_ms);
    loop {
        let due = held.front().map_or(Instant::now() + Duration::from_secs(60), |(at, ..)| *at);
        tokio::select! {
            message = line.next() => {
                let Some(Ok(Message::Text(text))) = message else { return };
                if deaf && began.elapsed() > Duration::from_secs(2) {
                    deaf = false;
                    tokio::time::sleep(Duration::from_millis(faults.deaf_ms)).await;
                }
                let message: Value = serde_json::from_str(&text).unwrap();
                let Some(payload) = message["media"]["payload"].as_str() else { continue };
                frames += 1;
                if faults.loses_every > 0 && frames.is_multiple_of(faults.loses_every) {
                    continue;
                }
                let append = json!({"type": "input_audio_buffer.append", "audio": payload});
                held.push_back((Instant::now() + delay, true, Message::text(append.to_string())));
            }
            message = model.next() => {
                let Some(Ok(Message::Text(text))) = message else { return };
                let event: Value = serde_json::from_str(&text).unwrap();
                if event["type"] != "response.output_audio.delta" {
                    continue;
                }
                deltas += 1;
                if deltas == 2 && faults.gap_ms > 0 {
                    tokio::time::sleep(Duration::from_millis(faults.gap_ms)).await;
                }
                let media = json!({"event": "media", "streamSid": sid, "media": {"payload": event["delta"]}});
                held.push_back((Instant::now() + delay, false, Message::text(media.to_string())));
            }
            () = sleep_until(due), if !held.is_empty() => {}
        }
        while held.front().is_some_and(|(at, ..)| *at <= Instant::now()) {
            let Some((_, to_model, message)) = held.pop_front() else { break };
            let sent = if to_model { model.send(message).await } else { line.send(message).await };
            if sent.is_err() {
                return;
            }
        }
    }
}

fn leg<'r>(report: &'r LoadReport, key: &str) -> &'r Latency {
    report.latencies.iter().find(|latency| latency.key == key).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bridge_does_is_what_is_measured() {
    let report = tested(11, Faults { delay_ms: 60, ..Faults::default() }).await;
    for key in ["caller_to_model", "caller_to_model_sent", "model_to_caller"] {
        let leg = leg(&report, key);
        assert!(leg.count > 0, "{key} was not measured");
        let p50 = leg.p50.unwrap();
        // Never less; more is the machine's business.
        assert!((60.0..90.0).contains(&p50), "{key}: {p50} ms of 60");
    }
    let frames = leg(&report, "caller_to_model").count;
    assert!(frames > 900, "{frames} frames of 2 callers in 11 s");
    assert!(leg(&report, "setup").p50.unwrap() > 60.0);
    let turn = leg(&report, "turn_to_audio");
    assert!(turn.count > 0 && turn.p50.unwrap() > 200.0 + 350.0, "silence and thinking are in it: {turn:?}");
    assert_eq!((report.audio.model_frames_lost, report.audio.gaps, report.calls.failed), (0, 0, 0));
    assert!(report.objectives.iter().any(|objective| !objective.held), "20 ms are the default limit of a leg");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_stands_still_does_not_stop_the_clock() {
    // 800 ms of 6 s: one in eight frames waits, on average half of that. A tester that waited along would see one slow
    // frame in three hundred.
    let report = tested(6, Faults { deaf_ms: 800, ..Faults::default() }).await;
    let leg = leg(&report, "caller_to_model");
    assert!(leg.p99.unwrap() > 600.0, "{leg:?}");
    assert!(leg.max.unwrap() > 750.0, "{leg:?}");
    assert!(leg.p50.unwrap() < 100.0, "{leg:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_frames_and_gaps_are_counted() {
    let report = tested(6, Faults { loses_every: 10, ..Faults::default() }).await;
    let (lost, known) = (report.audio.model_frames_lost, report.audio.model_frames);
    let share = lost as f64 / (lost + known) as f64;
    assert!((0.09..0.11).contains(&share), "{lost} of {}", lost + known);
    assert_eq!(report.audio.gaps, 0);

    let report = tested(6, Faults { gap_ms: 700, ..Faults::default() }).await;
    assert_eq!(report.audio.model_frames_lost, 0);
    // The first piece of 200 ms plays while the second is held back for 700.
    assert_eq!(report.audio.gaps, 2, "one in each call");
    assert!((900..1_200).contains(&report.audio.gap_ms), "{} ms", report.audio.gap_ms);
}

/// What the command printed, as JSON, and its exit code.
fn offhook(arguments: &str) -> (i32, Value, String) {
    let dir = tempfile::tempdir().unwrap();
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_offhook"))
        .arg("load")
        .args(arguments.split_whitespace())
        .arg("--json")
        .arg("--out")
        .arg(dir.path().join("out"))
        .arg("--work")
        .arg(dir.path())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    let json = serde_json::from_slice(&out.stdout).unwrap_or(Value::Null);
    if !json.is_null() {
        let page = std::fs::read_to_string(dir.path().join("out/report.html")).unwrap();
        assert!(page.contains("<svg") && page.contains("caller → model"), "a page with pictures");
        let kept: Value = serde_json::from_slice(&std::fs::read(dir.path().join("out/report.json")).unwrap()).unwrap();
        assert_eq!(kept, json);
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["out"], "nothing of the target is left behind");
    }
    (out.status.code().unwrap(), json, text)
}

#[test]
fn a_server_of_our_own_is_started_measured_and_compared_with_the_floor() {
    let (code, report, text) = offhook(
        "-n 3 --ramp 0.3 --seconds 14 --down 0.3 --call 10-11 --think 0.1-0.3 --barge-in 100 --hang-up 0 --floor --objective failed_percent<=0",
    );
    assert_eq!(code, 0, "{text}{report}");
    assert_eq!(
        (&report["calls"]["failed"], &report["calls"]["refused"]),
        (&json!(0), &json!(0)),
        "{}",
        report["failures"]
    );
    assert_eq!(report["calls"]["peak"], 3);
    for latency in report["latencies"].as_array().unwrap() {
        assert!(latency["count"].as_u64().unwrap() > 0, "{} was not measured", latency["key"]);
    }
    assert_eq!((&report["audio"]["model_frames_lost"], &report["audio"]["gaps"]), (&json!(0), &json!(0)));
    assert!(report["process"]["cpu_ms_per_call_second"].as_f64().unwrap() > 0.0);
    assert!(report["process"]["peak_mb"].as_f64().unwrap() > 5.0);
    for ratio in ["cpu", "caller_to_model.p50", "model_to_caller.p99"] {
        assert!(report["floor"]["ratios"][ratio].as_f64().unwrap() > 0.0, "{ratio}");
    }
    assert!(text.contains("steady") && text.contains("3/3 calls"), "progress in plain lines: {text}");
}

#[test]
fn past_the_limit_callers_are_refused_politely_and_bad_ones_disturb_nobody() {
    let (code, report, text) = offhook(
        "-n 16 --bad 40 --max-calls 6 --profile kept --ramp 0.2 --seconds 8 --down 0.5 --hang-up 0 --objective failed_percent<=0",
    );
    assert_eq!(code, 0, "{text}{report}");
    let refused = report["calls"]["refused"].as_u64().unwrap();
    assert!(refused > 0, "more callers than calls: {}", report["calls"]);
    assert!(report["hostile"].as_object().unwrap().len() > 2, "{}", report["hostile"]);
    assert_eq!(report["audio"]["model_frames_lost"], 0);
}

#[test]
fn the_highest_number_that_holds_is_searched_for() {
    let search = "--capacity -n 2 --most 8 --ramp 0.2 --seconds 2.5 --down 0.2 --hang-up 0";
    let (code, report, _) = offhook(&format!("{search} --objective failed_percent<=100"));
    assert_eq!((code, &report["calls"]), (0, &json!(8)), "the search ends at its limit");
    assert_eq!(report["trials"].as_array().unwrap().len(), 3, "2, 4 and 8 calls");
    let (code, report, _) = offhook(&format!("{search} --objective setup.p50<=0"));
    assert_eq!((code, &report["calls"]), (1, &json!(0)), "an objective that nothing meets");
    assert!(report["limited_by"].as_str().unwrap().contains("setup.p50"), "{}", report["limited_by"]);
}

#[test]
fn what_cannot_be_tested_is_said_in_words() {
    for (arguments, words) in [
        ("--ws http://x/media", "--ws: http://x/media does not begin with ws://"),
        ("--audio /nonexistent -n 1", "/nonexistent"),
        ("--calls 0", "between 1 and"),
        ("--url http://127.0.0.1:1 --token-env OFFHOOK_NO_SUCH", "OFFHOOK_NO_SUCH"),
        ("--model-script /nonexistent.toml", "/nonexistent.toml"),
    ] {
        let (code, json, text) = offhook(arguments);
        assert_eq!((code, &json), (1, &Value::Null), "{arguments}");
        assert!(text.contains(words), "{arguments}: {text}");
    }
    // Nobody there is no error of the tester, but a result.
    let (code, report, _) = offhook("--url http://127.0.0.1:1 -n 2 --ramp 0.1 --seconds 2 --down 0.1 --call 60");
    assert_eq!(code, 1);
    assert!(report["failures"]["webhook: no answer"].as_u64().unwrap() > 0, "{}", report["failures"]);
}
