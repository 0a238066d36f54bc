//! Disks that are full or not there, and servers that are stopped: what the caller hears, and what is left to be read.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use offhook::lab::replay::{self, ReplayArgs};
use offhook::report::Report;
use offhook::stage::phone::{CallOptions, EndedBy, Outcome, Step, What};
use offhook::stage::rehearsal;
use tempfile::TempDir;
use tokio::sync::{SemaphorePermit, mpsc};

use crate::house::{House, NUMBER, Plan, Site, TOKEN, place, until};
use crate::street::{Lived, Number, agree, furnish, number, polite, room, wait_for};
use crate::talk::speech;

const STORY: &str = "[[turn]]\nhears = \"Hello.\"\nclip = \"MONOLOGUE\"\nsay = \"A long story.\"\n";

/// The binary, with the documents of a street.
struct Process {
    server: Child,
    url: String,
    site: Site,
    _room: SemaphorePermit<'static>,
    _sounds: TempDir,
    _models: Vec<Option<rehearsal::Server>>,
}

impl Process {
    async fn start(server: &str, numbers: &[Number]) -> Process {
        let room = room(1).await;
        let site = Site::build(&Plan { server: server.to_owned(), ..Plan::default() }).await;
        let (sounds, models) = furnish(&site, numbers).await;
        let binary = env!("CARGO_BIN_EXE_offhook");
        let mut server = Command::new(binary)
            .args(["serve", "--config"])
            .arg(site.config())
            .arg("--data")
            .arg(site.data())
            .env("TOKEN", TOKEN)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary");
        let mut banner = String::new();
        BufReader::new(server.stdout.take().expect("a pipe")).read_line(&mut banner).expect("a banner");
        let url = banner.trim().rsplit(' ').next().expect("an address").to_owned();
        Process { server, url, site, _room: room, _sounds: sounds, _models: models }
    }

    fn caller(&self, index: usize, script: Vec<Step>) -> CallOptions {
        CallOptions { to: number(index), ..self.site.caller(self.url.clone(), script) }
    }

    async fn metrics(&self) -> String {
        let page = reqwest::get(format!("{}/metrics", self.url)).await.expect("an answer");
        page.text().await.expect("a page")
    }

    /// From now on no file grows beyond so many bytes.
    fn allow(&self, bytes: u64) {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let pid = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw);
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        prlimit(pid, Resource::Fsize, limit).expect("a limit");
    }

    fn signal(&self, name: &str) {
        // The shell's own: a bare system has no program of that name.
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.server.id())]).status();
        assert!(sent.expect("kill").success());
    }

    /// How the process ends, once it does.
    async fn ended(mut self) -> (std::process::ExitStatus, Site) {
        let ended = tokio::task::spawn_blocking(move || (self.server.wait().expect("an end"), self.site));
        ended.await.expect("a thread")
    }
}

/// The calls' folders with their reports, where there are any, by the carrier's id.
fn kept(site: &Site) -> Vec<(PathBuf, Option<Report>)> {
    let folders = fs::read_dir(site.data().join("calls")).expect("calls");
    let report = |folder: &Path| {
        let text = fs::read(folder.join("report.json")).ok()?;
        Some(serde_json::from_slice(&text).expect("a report"))
    };
    folders.map(|folder| folder.expect("a folder").path()).map(|folder| (folder.clone(), report(&folder))).collect()
}

fn lived(site: &Site, heard: offhook::stage::phone::PhoneReport) -> Lived {
    let mut kept = kept(site).into_iter().filter_map(|(folder, report)| Some((folder, report?)));
    let (folder, report) = kept.find(|(_, report)| report.carrier_call == heard.call_sid).expect("a report");
    Lived { heard, report, folder }
}

#[tokio::test]
async fn without_a_data_directory_callers_hear_the_refusal_and_readyz_says_why() {
    let dir = tempfile::tempdir().expect("a directory");
    let blocked = dir.path().join("a-file");
    fs::write(&blocked, "not a folder").expect("a file");
    let house = House::build(Plan { data: Some(blocked.clone()), ..Plan::default() }).await;
    let began = Instant::now();
    let (status, twiml) = house.ring("CA1", NUMBER, TOKEN).await;
    assert!(status == 200 && twiml.contains("<Say>") && !twiml.contains("<Stream"), "{twiml}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let (status, why) = house.get("/readyz").await;
    assert!(status == 503 && why.starts_with("the store lets no call in: "), "{status} {why}");
    assert_eq!(house.metric("offhook_calls_refused_total{reason=\"store\"}"), 1);
    assert_eq!(fs::read_to_string(&blocked).expect("a file"), "not a folder");
}

#[tokio::test]
async fn a_full_disk_costs_the_rest_of_the_recording_and_not_the_call() {
    let script = "[[turn]]\nhears = \"Hello.\"\nclip = \"LINE\"\n[[turn]]\nhears = \"And?\"\nclip = \"LINE\"\n";
    let recorded = "[keep]\nrecording = true\njournal = \"decisions\"\n";
    let unkept = "[keep]\nrecording = false\njournal = \"off\"\n";
    let process = Process::start(
        "",
        &[
            Number { name: "kept", script, deployment: recorded, ..Number::default() },
            Number { name: "unkept", script, deployment: unkept, ..Number::default() },
        ],
    )
    .await;
    let twice = || polite().into_iter().take(3).chain(polite()).collect();
    let (a, b) = (place(process.caller(0, twice())), place(process.caller(1, twice())));
    let (a, b) = (tokio::spawn(a), tokio::spawn(b));
    // They are let in while there is room. Then no file grows any further.
    for _ in 0..500 {
        if process.metrics().await.contains("offhook_calls{phase=\"talking\"} 2\n") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    process.allow(60 << 10);
    let (kept, other) = tokio::join!(a, b);
    let calls = [kept.expect("a call"), other.expect("a call")];
    let metrics = process.metrics().await;
    process.signal("TERM");
    let (status, site) = process.ended().await;
    assert_eq!(status.code(), Some(0), "a full disk does not end the server");
    let [kept, other] = calls.map(|heard| lived(&site, heard));
    for call in [&kept, &other] {
        assert_eq!((call.times_heard("line"), call.heard.heard.len()), (2, 2), "{:?}", call.heard.heard);
        assert_eq!((call.heard.ended_by, call.report.end.kind()), (EndedBy::Caller, "caller_hung_up"));
    }
    assert!(metrics.contains("offhook_files_failed_total{file=\"recording\"} 1\n"), "{metrics}");
    // Nor is there room for what the store is told.
    assert!(!metrics.contains("offhook_store_failed_total 0\n"), "{metrics}");
    let account = kept.report.recording.clone().expect("an account");
    let from_ms = account.missing_from_ms.expect("a moment from which audio is missing");
    assert!((500..=5_000).contains(&from_ms), "{account:?}");
    assert!(account.error.is_some_and(|why| !why.is_empty()));
    let wav = hound::WavReader::open(kept.folder.join("recording.wav")).expect("a WAV file");
    assert_eq!(u64::from(wav.duration()), account.frames);
    assert!(u64::from(wav.duration()) >= from_ms * 8, "what was written is there: {from_ms} {}", wav.duration());
    agree(&kept.folder);
    assert!(other.report.recording.is_none());
}

#[tokio::test]
async fn a_server_that_is_stopped_lets_calls_finish_and_says_goodbye_to_the_rest() {
    let line = "[[turn]]\nhears = \"Hello.\"\nclip = \"LINE\"\n";
    let process = Process::start(
        "drain_s = 3\n",
        &[
            Number { name: "short", script: line, ..Number::default() },
            Number { name: "long", script: STORY, ..Number::default() },
        ],
    )
    .await;
    let (events, mut happens) = mpsc::channel(64);
    let long =
        CallOptions { events: Some(events), ..process.caller(1, vec![speech(500), Step::WaitEnd { max_ms: 30_000 }]) };
    let short = tokio::spawn(place(process.caller(0, polite())));
    let long = tokio::spawn(place(long));
    wait_for(&mut happens, &What::AgentSpeaks).await;
    process.signal("TERM");
    let ready = format!("{}/readyz", process.url);
    while reqwest::get(&ready).await.expect("an answer").status() == 200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let late = place(process.caller(0, polite())).await;
    let Outcome::Refused { said } = late.outcome else { panic!("{:?}", late.outcome) };
    assert!(!said.is_empty() && late.heard.is_empty());
    let (short, long) = (short.await.expect("a call"), long.await.expect("a call"));
    let (status, site) = process.ended().await;
    assert_eq!(status.code(), Some(0));
    let (short, long) = (lived(&site, short), lived(&site, long));
    assert_eq!((short.heard.ended_by, short.report.end.kind()), (EndedBy::Caller, "caller_hung_up"));
    assert_eq!((short.times_heard("line"), short.heard.heard.len()), (1, 1), "heard out");
    assert_eq!((long.heard.ended_by, long.report.end.kind()), (EndedBy::Rest, "shutdown"));
    assert_eq!(long.times_heard("farewell"), 1, "not cut off without a word: {:?}", long.heard.heard);
    assert!(long.heard_ms().abs_diff(long.reported_ms()) <= 500, "{} {:?}", long.heard_ms(), long.report.lines);
    for call in [short, long] {
        assert_eq!(call.heard.violations, []);
        agree(&call.folder);
    }
}

#[tokio::test]
async fn a_server_that_is_killed_leaves_all_but_the_last_moment() {
    let talks = |name| Number { name, script: STORY, ..Number::default() };
    let process = Process::start("", &[talks("first"), talks("second")]).await;
    let script = || vec![speech(500), Step::WaitEnd { max_ms: 30_000 }];
    let calls = [0, 1].map(|index| tokio::spawn(place(process.caller(index, script()))));
    let calls_dir = process.site.data().join("calls");
    let long_enough = || {
        let Ok(folders) = fs::read_dir(&calls_dir) else { return false };
        let sizes = folders.flatten().filter_map(|call| fs::metadata(call.path().join("recording.wav")).ok());
        sizes.filter(|file| file.len() > 2 * 32_000).count() == 2
    };
    until("two seconds of both are recorded", long_enough).await;
    process.signal("KILL");
    let killed = Instant::now();
    let mut heard = Vec::new();
    for call in calls {
        heard.push(call.await.expect("a call"));
    }
    assert!(killed.elapsed() < Duration::from_secs(10), "callers are not left on a dead line");
    let (_, site) = process.ended().await;
    let kept = kept(&site);
    assert_eq!(kept.len(), 2);
    let lasted_ms = heard.iter().map(|call| call.duration_ms - call.media_start_ms.unwrap_or(0)).max().unwrap_or(0);
    for call in &heard {
        assert_eq!((call.ended_by, call.heard.len()), (EndedBy::ServerLost, 1), "unbroken to the last");
    }
    for (folder, report) in kept {
        assert!(report.is_none(), "there was no time for one");
        let mut wav = hound::WavReader::open(folder.join("recording.wav")).expect("a WAV file");
        let recorded_ms = u64::from(wav.duration()) / 8;
        assert!(recorded_ms + 1_500 > lasted_ms && recorded_ms <= lasted_ms + 100, "{recorded_ms} of {lasted_ms} ms");
        let samples: Vec<i16> = wav.samples().map(|sample| sample.expect("a sample")).collect();
        for side in 0..2 {
            assert!(samples.iter().skip(side).step_by(2).any(|sample| sample.abs() > 4_000), "side {side} is there");
        }
        agree(&folder);
        let args =
            ReplayArgs { call: folder.clone(), json: false, quiet: true, report: true, rehear: Default::default() };
        assert_eq!(
            format!("{:?}", replay::run_to(&args, &mut std::io::sink())),
            format!("{:?}", std::process::ExitCode::SUCCESS)
        );
        let text = fs::read(folder.join("report.json")).expect("a report");
        let report: Report = serde_json::from_slice(&text).expect("its shape");
        assert_eq!((report.end.kind(), report.turns.len()), ("internal", 1), "cut off by the server");
        assert!(report.lines.iter().any(|line| line.heard_ms > 500), "{:?}", report.lines);
        assert_eq!(report.recording.map(|r| r.frames), Some(recorded_ms * 8 + u64::from(wav.duration()) % 8));
        agree(&folder);
    }
}
