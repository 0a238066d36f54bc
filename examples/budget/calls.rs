//! The same calls for every target.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook::audio::clip::Clip as Labelled;
use offhook::phone::{CallOptions, Clip, EndedBy, Outcome, PhoneReport, Step, legs, place};
use offhook::rehearsal::{Probe, Script, Server};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::Target;
use super::process::{self, Process};
use super::server;

/// Between two calls' beginnings. No multiple of a frame: calls that all speak in the same millisecond would measure a
/// queue that the driver made.
const STAGGER: Duration = Duration::from_millis(43);
/// From the last call's beginning to the measurement's.
const SETTLE: Duration = Duration::from_secs(3);
/// A pause in the model's sending after which its next audio begins a reply.
const REPLY_GAP: Duration = Duration::from_millis(300);
/// Longer is no way through a server but a mistaken identity.
const LONGEST: Duration = Duration::from_secs(2);
/// Of the recorded callers in `fixtures/audio`.
const CLIPS: [&str; 4] = ["anna-name", "ben-hours", "carla-number", "ben-thanks"];
const MODEL: &str = r#"
[otherwise]
say = "Let me see what we have. There is a table by the window at eight, and another one on the terrace a little later."
"#;

/// Callers that speak in turns, in real time, and cut in on every third answer.
pub(crate) struct Load {
    calls: usize,
    window: Duration,
    clips: Vec<Clip>,
    model: Script,
}

/// What one target did in one round.
pub(crate) struct Measured {
    pub(crate) target: Target,
    /// CPU per call and second.
    pub(crate) cpu_ms: f64,
    /// Resident memory per call, beyond the idle process's.
    pub(crate) kb_per_call: f64,
    pub(crate) idle_kb: f64,
    /// Microseconds from one end's send to the other's receipt, sorted.
    pub(crate) caller_to_model: Vec<u64>,
    pub(crate) model_to_caller: Vec<u64>,
    /// Calls that did not go as they must.
    pub(crate) failures: usize,
    /// This process's share of one core: callers and models.
    pub(crate) driver_cores: f64,
}

impl Load {
    pub(crate) fn new(calls: usize, window: Duration) -> Result<Load, String> {
        let read = |name: &str| {
            let path = format!("{}/fixtures/audio/{name}", env!("CARGO_MANIFEST_DIR"));
            let labels = std::fs::read_to_string(format!("{path}.toml")).map_err(|e| format!("{path}.toml: {e}"))?;
            let audio = std::fs::read(format!("{path}.wav")).map_err(|e| format!("{path}.wav: {e}"))?;
            let clip = Labelled::parse(name, &labels, &audio).map_err(|e| format!("{path}: {e}"))?;
            Ok::<_, String>(Clip::from_linear(name, &clip.wav.samples))
        };
        let clips = CLIPS.iter().map(|name| read(name)).collect::<Result<_, _>>()?;
        let model = Script::parse(MODEL).map_err(|e| e.to_string())?;
        Ok(Load { calls, window, clips, model })
    }

    /// One round against a fresh process.
    pub(crate) async fn run(&self, target: Target) -> Result<Measured, String> {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (mut models, mut probes) = (Vec::new(), Vec::new());
        for _ in 0..self.calls {
            let probe = Probe::new();
            let server = Server::bind_with(any_port, self.model.clone(), Arc::new(probe.clone())).await;
            models.push(server.map_err(|e| format!("a model cannot listen: {e}"))?);
            probes.push(probe);
        }
        let urls: Vec<String> = models.iter().map(Server::url).collect();
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let process = match target {
            Target::Floor => Process::start(&["floor"])?,
            _ => {
                server::configure(dir.path(), &urls, target).map_err(|e| e.to_string())?;
                Process::start(&["serve", &dir.path().to_string_lossy()])?
            }
        };
        tokio::time::sleep(Duration::from_millis(500)).await;
        let idle_kb = process.rss_kb();

        let start = Instant::now();
        let from = start + STAGGER * self.calls as u32 + SETTLE;
        let to = from + self.window;
        let mut calls = JoinSet::new();
        for (n, url) in urls.iter().enumerate() {
            let begin = start + STAGGER * n as u32;
            let max = to + Duration::from_millis(500) - begin;
            let options = self.options(target, &process.addr, url, n, max);
            calls.spawn(async move {
                sleep_until(begin.into()).await;
                (n, place(options).await)
            });
        }
        sleep_until(from.into()).await;
        let (cpu, own) = (process.cpu_ms(), process::cpu_ms("self"));
        sleep_until(to.into()).await;
        let (cpu, own) = (process.cpu_ms() - cpu, process::cpu_ms("self") - own);
        let loaded_kb = process.rss_kb();

        let seconds = self.window.as_secs_f64();
        let mut measured = Measured {
            target,
            cpu_ms: cpu / (self.calls as f64 * seconds),
            kb_per_call: (loaded_kb - idle_kb) / self.calls as f64,
            idle_kb,
            caller_to_model: Vec::new(),
            model_to_caller: Vec::new(),
            failures: 0,
            driver_cores: own / 1_000.0 / seconds,
        };
        while let Some(call) = calls.join_next().await {
            let (n, report) = call.map_err(|e| format!("a caller failed: {e}"))?;
            let good = report.outcome == Outcome::Connected
                && report.ended_by == EndedBy::TimeLimit
                && report.violation_count + report.frames_dropped == 0
                && report.frames_received > 0;
            measured.failures += usize::from(!good);
            measured.add_legs(&report, &probes[n], from, to);
        }
        measured.caller_to_model.sort_unstable();
        measured.model_to_caller.sort_unstable();
        Ok(measured)
    }

    fn options(&self, target: Target, addr: &str, model: &str, n: usize, max: Duration) -> CallOptions {
        let mut script = Vec::new();
        for turn in n..n + 200 {
            script.push(Step::Say(self.clips[turn % self.clips.len()].clone()));
            if turn % 3 == 0 {
                script.push(Step::WaitAgentSpeaking { after_ms: 1_200, max_ms: 4_000 });
            } else {
                script.push(Step::WaitAgentSpeaking { after_ms: 0, max_ms: 4_000 });
                script.push(Step::WaitAgentSilent { for_ms: 500, max_ms: 15_000 });
            }
        }
        let twiml = (target == Target::Floor).then(|| {
            format!(
                "<Response><Connect><Stream url=\"ws://{addr}/media\"><Parameter name=\"model\" value=\"{model}\"/>\
                 </Stream></Connect></Response>"
            )
        });
        CallOptions {
            twiml,
            noise_dbfs: Some(-62.0),
            seed: n as u64,
            keep_audio: false,
            keep_probes: true,
            max_ms: max.as_millis() as u64,
            ..CallOptions::new(format!("http://{addr}"), server::number(n), script)
        }
    }
}

impl Measured {
    /// Audio that passed between `from` and `to`.
    fn add_legs(&mut self, phone: &PhoneReport, model: &Probe, from: Instant, to: Instant) {
        let within = |passed: &(Instant, Duration)| (from..to).contains(&passed.0);
        let us = |(_, took): (Instant, Duration)| took.as_micros() as u64;
        let up = legs::caller_to_model(&phone.sent, &model.heard(), LONGEST);
        self.caller_to_model.extend(up.into_iter().filter(within).map(us));
        let down = legs::model_to_caller(&model.sent(), &phone.received, REPLY_GAP);
        self.model_to_caller.extend(down.into_iter().filter(within).map(us));
    }
}
