//! `offhook demo`: one call from end to end on this machine, over the real protocols, without an account.
//!
//! A recorded caller rings in through the voice webhook, the built-in model answers, the two talk; the call is printed
//! while it happens and its folder is left behind. Everything between the caller's socket and the model's is the server
//! as it runs in production.

mod live;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::base::audio::clip::Clip as Labelled;
use crate::base::time::CallTime;
use crate::config::{self, Secret, Source};
use crate::engine::{CallEvent, EndReason};
use crate::output;
use crate::report::Report;
use crate::serve::{Observer, ServeOptions, Server};
use crate::stage::phone::{self, CallOptions, Carrier, Clip, Step};
use crate::stage::rehearsal::{self, Script};

/// Signs the demo's requests; nobody else sees them.
const TOKEN: &str = "demo-token";
const ACCOUNT: &str = "AC0000000000000000000000000000de30";
const NUMBER: &str = "+15550100100";
/// The caller pauses for 370 ms in the middle of a turn.
const SILENCE_MS: u32 = 500;
/// Anna's name begins with a "yes", which ends at 620 ms.
const YES_MS: usize = 740;
/// The call's folder has these parts; anything else is not ours to delete.
const PARTS: [&str; 5] = ["recording.wav", "report.json", "journal", "call.svg", "call.html"];

/// Flags of `offhook demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Leave the call's folder here.
    #[arg(long, value_name = "DIR", default_value = "out/demo")]
    pub out: PathBuf,
    /// Print one JSON object at the end instead of the conversation.
    #[arg(long)]
    pub json: bool,
}

/// Runs the demo.
///
/// # Errors
/// In words for the person who called it: no sockets, no place for the folder, or a call that did not go as it must.
pub async fn run(args: &Args) -> Result<(), String> {
    let started = std::time::Instant::now();
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let probe = rehearsal::Probe::new();
    let model = rehearsal::Server::bind_with(any_port, Script::default(), Arc::new(probe.clone()))
        .await
        .map_err(|e| format!("the built-in model cannot listen on loopback: {e}"))?;
    let carrier = Carrier::new(ACCOUNT, Secret::new(TOKEN));
    let rest = carrier.listen().await.map_err(|e| format!("the carrier cannot listen on loopback: {e}"))?;

    // Of this process alone: two demos at once do not disturb each other.
    let data = args.out.with_extension(format!("part-{}", std::process::id()));
    fs::create_dir_all(&data).map_err(|e| format!("{}: {e}", data.display()))?;
    let config =
        config::from_memory(&documents(&model.url(), rest), &|name| (name == "DEMO_TOKEN").then(|| TOKEN.into()))
            .map_err(|problems| format!("the demo's own configuration is wrong:\n{problems}"))?;
    let watch = Arc::new(Watch { live: live::Live::new(!args.json), ended: Mutex::new(None) });
    let options = ServeOptions {
        source: Source::fixed(config),
        listen: None,
        data: Some(data.clone()),
        observer: Some(Arc::clone(&watch) as Arc<dyn Observer>),
        web: None,
    };
    let server = Server::start(options).await.map_err(|e| e.to_string())?;
    watch.live.header(&format!("server {}   model {}   carrier {rest}", server.addr(), model.addr()), NUMBER);

    let heard = phone::place(CallOptions {
        account_sid: ACCOUNT.to_owned(),
        token: Some(Secret::new(TOKEN)),
        carrier: Some(carrier),
        noise_dbfs: Some(-62.0),
        keep_probes: true,
        status_callback: Some("/twilio/call-status".to_owned()),
        ..CallOptions::new(format!("http://{}", server.addr()), NUMBER, caller()?)
    })
    .await;
    // Returns when the report and the pictures are written.
    server.shutdown().await;
    model.shutdown();

    let ended = watch.ended.lock().map_err(|_| "the demo's observer failed")?.take();
    let Some((report, folder)) = ended else {
        return Err(format!("the call left no report; its outcome: {:?}", heard.outcome));
    };
    move_folder(&folder, &args.out).map_err(|e| format!("{}: {e}", args.out.display()))?;
    let _ = fs::remove_dir_all(&data);
    let legs = table::Legs::measure(&heard, &probe);
    if args.json {
        let json = serde_json::json!({
            "folder": args.out, "report": report, "legs_us": legs.json(), "phone": heard,
        });
        output::say(&format!("{json:#}\n"));
    } else {
        output::say(&table::text(&report, &heard, &legs, SILENCE_MS, &args.out, started.elapsed()));
    }
    judge(&report, &heard)
}

/// What the caller says and does: one barge-in, one "yes" that is none, a long pause to think, then listening to the
/// goodbye.
fn caller() -> Result<Vec<Step>, String> {
    let say = |name: &str, labels: &str, wav: &[u8]| {
        let clip = Labelled::parse(name, labels, wav).map_err(|e| format!("fixtures/audio/{name}: {e}"))?;
        Ok::<_, String>(Step::Say(Clip::from_linear(name, &clip.wav.samples)))
    };
    macro_rules! fixture {
        ($name:literal) => {
            say(
                $name,
                include_str!(concat!("../../../fixtures/audio/", $name, ".toml")),
                include_bytes!(concat!("../../../fixtures/audio/", $name, ".wav")),
            )?
        };
    }
    Ok(vec![
        Step::WaitAgentSpeaking { after_ms: 100, max_ms: 5_000 },
        Step::WaitAgentSilent { for_ms: 700, max_ms: 10_000 },
        fixture!("anna-book"),
        Step::WaitAgentSpeaking { after_ms: 3_500, max_ms: 10_000 },
        fixture!("anna-change"),
        Step::WaitAgentSpeaking { after_ms: 2_200, max_ms: 10_000 },
        first_word(fixture!("anna-name"), YES_MS),
        // Longer than the agent is held for it.
        Step::WaitAgentSilent { for_ms: 1_200, max_ms: 20_000 },
        Step::Silence(3_400),
        fixture!("anna-name"),
        Step::WaitEnd { max_ms: 20_000 },
    ])
}

/// The beginning of what is said.
fn first_word(step: Step, ms: usize) -> Step {
    let Step::Say(clip) = step else { return step };
    Step::Say(Clip { label: "yes".to_owned(), audio: clip.audio.iter().take(ms * 8).copied().collect(), ..clip })
}

/// The shipped agent on ports of the demo's own, with everything kept.
fn documents(model_url: &str, rest: SocketAddr) -> BTreeMap<String, Vec<u8>> {
    let server = format!(
        "listen = \"127.0.0.1:0\"\nmax_lag_ms = 0\ndrain_s = 5\n[twilio]\naccount_sid = \"{ACCOUNT}\"\n\
         auth_token = {{ env = \"DEMO_TOKEN\" }}\nrest_url = \"http://{rest}\"\n"
    );
    let agent = include_str!("../../../config/agents/reception.toml")
        .replace("#silence_duration_ms = 200", &format!("silence_duration_ms = {SILENCE_MS}"));
    let deployment = format!(
        "agent = \"reception\"\nnumber = \"{NUMBER}\"\n[keep]\nrecording = true\njournal = \"audio\"\npictures = true\n"
    );
    let mut files: BTreeMap<String, Vec<u8>> = [
        ("offhook.toml", server),
        ("models.toml", format!("[rehearsal]\nurl = \"{model_url}\"\n")),
        ("agents/reception.toml", agent),
        ("deployments/demo.toml", deployment),
    ]
    .map(|(name, text)| (name.to_owned(), text.into_bytes()))
    .into();
    let sounds: [(&str, &[u8]); 5] = [
        ("greeting", include_bytes!("../../../config/sounds/greeting.wav")),
        ("farewell", include_bytes!("../../../config/sounds/farewell.wav")),
        ("fallback", include_bytes!("../../../config/sounds/fallback.wav")),
        ("filler", include_bytes!("../../../config/sounds/filler.wav")),
        ("hold", include_bytes!("../../../config/sounds/hold.wav")),
    ];
    files.extend(sounds.map(|(name, wav)| (format!("sounds/{name}.wav"), wav.to_vec())));
    files
}

/// The demo fails when the call was not what it set out to show.
fn judge(report: &Report, heard: &phone::PhoneReport) -> Result<(), String> {
    let answered = report.turns.iter().filter(|turn| !turn.back_channel).count();
    let wrong = if report.interruptions.len() != 1 {
        format!("{} barge-ins instead of one", report.interruptions.len())
    } else if report.counters.get("false_interruptions") != Some(&1) {
        "the agent was not held for one \"yes\", to go on after it".to_owned()
    } else if answered != 3 {
        format!("{answered} turns instead of three")
    } else if report.notes.is_empty() {
        "no note was taken".to_owned()
    } else if !matches!(report.end, EndReason::AgentHungUp { .. }) {
        format!("the call ended by {}", report.end)
    } else if heard.violation_count > 0 {
        format!("the carrier would have warned: {:?}", heard.violations)
    } else {
        return Ok(());
    };
    Err(format!("the call did not go as it must: {wrong}"))
}

/// Puts the call's folder where it is wanted, in place of the one before it.
fn move_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for part in PARTS {
        let target = to.join(part);
        match fs::remove_file(&target) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        if from.join(part).exists() {
            fs::rename(from.join(part), target)?;
        }
    }
    Ok(())
}

/// Prints what happens, and keeps how it ended.
struct Watch {
    live: live::Live,
    ended: Mutex<Option<(Report, PathBuf)>>,
}

impl Observer for Watch {
    fn event(&self, _call: &str, at: CallTime, event: &CallEvent) {
        self.live.event(at, event);
    }

    fn ended(&self, report: &Report, folder: &Path) {
        if let Ok(mut ended) = self.ended.lock() {
            *ended = Some((report.clone(), folder.to_owned()));
        }
    }
}
