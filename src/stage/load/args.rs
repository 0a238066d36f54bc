//! What the command line of `offhook load` says.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Secret;
use crate::stage::load::capacity::Search;
use crate::stage::load::objective::{self, Objective};
use crate::stage::load::plan::Manners;
use crate::stage::load::report::{CapacityReport, Floor, LoadReport, LoadShape, Second, Trial};
use crate::stage::load::run::{Conditions, Target, run};
use crate::stage::load::simulate::SimulateArgs;
use crate::stage::load::target::{Profile, Way};
use crate::stage::load::{capacity, simulate, voices};
use crate::stage::rehearsal::Script;

/// Flags of `offhook load`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Test the server at this base URL, through its voice webhook. Without --url and --ws an offhook is started for the
    /// test, with a configuration of its own.
    #[arg(long, value_name = "URL", conflicts_with = "ws")]
    pub url: Option<String>,
    /// Test any server that takes Twilio media streams, straight at its WebSocket.
    #[arg(long, value_name = "URL")]
    pub ws: Option<String>,
    /// A parameter of the stream, as TwiML would give it; with --ws.
    #[arg(long = "param", value_name = "NAME=VALUE", requires = "ws", value_parser = parameter)]
    pub params: Vec<(String, String)>,
    /// Numbers that are dialled in turns; with --url.
    #[arg(long = "number", value_name = "NUMBER", value_delimiter = ',', default_value = "+15550100100")]
    pub numbers: Vec<String>,
    /// The voice webhook's path; with --url.
    #[arg(long, value_name = "PATH", default_value = "/twilio/voice")]
    pub voice_path: String,
    /// The URL that the server is known by, over which signatures are made; with --url.
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// The environment variable that holds the token requests are signed with; with --url or --ws. Without it they are
    /// not signed.
    #[arg(long, value_name = "VARIABLE")]
    pub token_env: Option<String>,
    /// The account that calls; with --url.
    #[arg(long, value_name = "SID", default_value = "AC00000000000000000000000000000000")]
    pub account: String,
    /// The target's process, to measure its CPU and memory; with --url or --ws.
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// What the offhook that is started for the test does.
    #[arg(long, value_enum, default_value_t = Profile::Local)]
    pub profile: Profile,
    /// Its limit of calls at once; the default leaves room.
    #[arg(long, value_name = "N")]
    pub max_calls: Option<usize>,
    /// Its `max_lag_ms`: how late its threads may be before it refuses new calls. 0, the default: never, so that what is
    /// found is the machine's limit.
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    pub max_lag: u64,

    /// Calls at once; with --capacity: the first number tried.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    pub calls: usize,
    /// Seconds until all of them are up. Default: one for every 20 calls, at least 3.
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub ramp: Option<f64>,
    /// Seconds of steady state, which alone is measured.
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "30")]
    pub seconds: f64,
    /// Seconds in which the callers leave.
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "3")]
    pub down: f64,
    /// Seconds that a call lasts, as FROM-TO; whoever has hung up is followed by another.
    #[arg(long, value_name = "S-S", value_parser = range, default_value = "45-120")]
    pub call: [f64; 2],
    /// Seconds that a caller thinks before each turn, as FROM-TO.
    #[arg(long, value_name = "S-S", value_parser = range, default_value = "0.3-2")]
    pub think: [f64; 2],
    /// Percent of turns in which the caller cuts in on the answer.
    #[arg(long, value_name = "PERCENT", value_parser = percent(), default_value_t = 25)]
    pub barge_in: u32,
    /// Percent of calls whose caller hangs up early, in the middle of a word or without one, by the rules or not.
    #[arg(long, value_name = "PERCENT", value_parser = percent(), default_value_t = 5)]
    pub hang_up: u32,
    /// Percent of callers who do not keep to the protocol: floods, garbage, deaf sockets, made-up tokens. What becomes of
    /// them does not count; what others notice of them does.
    #[arg(long, value_name = "PERCENT", value_parser = percent(), default_value_t = 0)]
    pub bad: u32,
    /// Labelled recordings of callers: a folder as `offhook tune` reads it, or a WAV file. Default: four that are built in.
    #[arg(long, value_name = "PATH")]
    pub audio: Option<PathBuf>,
    /// Seed of everything that is left to chance.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Where the built-in model listens. A server tested by --url or --ws whose model this is has its legs measured.
    #[arg(long, value_name = "ADDR")]
    pub model_listen: Option<SocketAddr>,
    /// What the built-in model says, how fast and what it does wrong (TOML, as for `offhook rehearse`).
    #[arg(long, value_name = "FILE")]
    pub model_script: Option<PathBuf>,

    /// What must hold, such as caller_to_model.p99<=20; may be given several times, and takes the place of the defaults.
    #[arg(long = "objective", value_name = "OBJECTIVE")]
    pub objectives: Vec<Objective>,
    /// Find the highest number of calls at which every objective holds.
    #[arg(long)]
    pub capacity: bool,
    /// The last number that --capacity tries.
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    pub most: usize,
    /// How exactly --capacity finds it, in percent.
    #[arg(long, value_name = "PERCENT", value_parser = percent(), default_value_t = 5)]
    pub exact: u32,
    /// Measure the minimal bridge by the same calls first, and tell ratios to it.
    #[arg(long, conflicts_with = "capacity")]
    pub floor: bool,

    /// Drive engines in virtual time instead, without sockets: a day of random calls, every promise checked.
    #[arg(long, conflicts_with_all = ["url", "ws", "capacity", "floor"])]
    pub simulate: bool,
    /// Hours to simulate; less than a day is the same day, only quicker.
    #[arg(long, value_name = "HOURS", default_value = "24", value_parser = simulate::hours, requires = "simulate")]
    pub hours: f64,
    /// Simulated calls at once when most do, about.
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=50_000), requires = "simulate")]
    pub peak: u32,
    /// Run only the simulated call with this number, and print what happens in it.
    #[arg(long, value_name = "CALL", requires = "simulate")]
    pub only: Option<u64>,

    /// Threads for the callers, 1 by default; the model has one more. With --simulate: by default as many as there are
    /// processors.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: Option<u16>,
    /// Leave report.json and report.html here.
    #[arg(long, value_name = "DIR", default_value = "out/load")]
    pub out: PathBuf,
    /// Temporary files of a server that is started are here. Default: the system's folder for such.
    #[arg(long, value_name = "DIR")]
    pub work: Option<PathBuf>,
    /// Print the report as JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// Most calls at once: as many as marks tell apart, with room for sessions.
const MAX_CALLS: usize = 20_000;
/// Answers of some three seconds, as an agent on the phone gives them.
const MODEL: &str = r#"
[greeting]
say = "Good morning, how can I help you?"
[otherwise]
say = "Let me see what we have. There is a table by the window at eight, and another one on the terrace a little later."
"#;

/// Who hears of progress.
pub trait Listener: Send {
    /// A second is over.
    fn second(&mut self, second: &Second, shape: &LoadShape);
    /// A number of calls was tried.
    fn trial(&mut self, trial: &Trial) {
        let _ = trial;
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// One run.
    Load(Box<LoadReport>),
    /// A search.
    Capacity(Box<CapacityReport>),
}

/// Runs what the flags ask for; `stopped` ends it early.
///
/// # Errors
/// In words for the person who called it.
pub async fn load(
    args: &Args,
    command: String,
    stopped: tokio::sync::watch::Receiver<bool>,
    listener: &mut dyn Listener,
) -> Result<Outcome, String> {
    let target = args.target()?;
    let mut conditions = args.conditions(command, &target)?;
    if args.capacity {
        let search = Search { from: args.calls, to: args.most, exact_percent: args.exact.max(1) };
        // Both are told of the same listener, one at a time.
        let listener = std::sync::Mutex::new(listener);
        let lock = || listener.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut tell = |second: &Second, shape: &LoadShape| lock().second(second, shape);
        let mut told = |trial: &Trial| lock().trial(trial);
        let report = capacity::search(&conditions, &target, search, &stopped, &mut tell, &mut told).await?;
        return Ok(Outcome::Capacity(Box::new(report)));
    }
    let mut tell = |second: &Second, shape: &LoadShape| listener.second(second, shape);
    let floor = if args.floor {
        let objectives = std::mem::take(&mut conditions.objectives);
        let report = run(&conditions, &Target::Floor, args.calls, &stopped, &mut tell).await?;
        conditions.objectives = objectives;
        Some(report)
    } else {
        None
    };
    let mut report = run(&conditions, &target, args.calls, &stopped, &mut tell).await?;
    report.floor = floor.map(|floor| beside(&report, floor));
    Ok(Outcome::Load(Box::new(report)))
}

/// Ratios of a target to the floor.
fn beside(report: &LoadReport, floor: LoadReport) -> Floor {
    let mut ratios = std::collections::BTreeMap::new();
    let mut ratio = |name: String, a: Option<f64>, b: Option<f64>| {
        if let (Some(a), Some(b)) = (a, b)
            && b > 0.0
        {
            ratios.insert(name, a / b);
        }
    };
    let process = |of: fn(&crate::stage::load::report::ProcessReport) -> f64| {
        (report.process.as_ref().map(of), floor.process.as_ref().map(of))
    };
    let (a, b) = process(|p| p.cpu_ms_per_call_second);
    ratio("cpu".to_owned(), a, b);
    let (a, b) = process(|p| p.kb_per_call);
    ratio("memory".to_owned(), a, b);
    for (own, other) in report.latencies.iter().zip(&floor.latencies) {
        if own.key.ends_with("_model") || own.key.ends_with("_caller") {
            ratio(format!("{}.p50", own.key), own.p50, other.p50);
            ratio(format!("{}.p99", own.key), own.p99, other.p99);
        }
    }
    Floor { latencies: floor.latencies, process: floor.process, ratios }
}

impl Args {
    /// What is to be simulated, with `json` as the file for its outcome.
    pub fn simulation(&self, json: PathBuf) -> SimulateArgs {
        SimulateArgs {
            hours: self.hours,
            peak: self.peak,
            seed: self.seed,
            threads: self.threads,
            only: self.only,
            json: Some(json),
        }
    }

    fn target(&self) -> Result<Target, String> {
        let token = match &self.token_env {
            None => None,
            Some(name) => {
                let value = std::env::var(name).map_err(|_| format!("--token-env: there is no variable {name}"))?;
                Some(Secret::new(&value))
            }
        };
        let known = |url: &str, schemes: &[&str], flag: &str| {
            let fits = schemes.iter().any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| rest.len() > 3));
            if fits {
                Ok(url.to_owned())
            } else {
                Err(format!("{flag}: {url} does not begin with {}", schemes.join(" or ")))
            }
        };
        if let Some(url) = &self.url {
            let connect = known(url, &["http://", "https://"], "--url")?.trim_end_matches('/').to_owned();
            let way = Way::Webhook {
                connect,
                public_url: self.public_url.clone(),
                voice_path: self.voice_path.clone(),
                account_sid: self.account.clone(),
                token,
                numbers: self.numbers.clone(),
            };
            return Ok(Target::Running(way, self.pid));
        }
        if let Some(url) = &self.ws {
            let url = known(url, &["ws://", "wss://"], "--ws")?;
            return Ok(Target::Running(Way::Stream { url, parameters: self.params.clone(), token }, self.pid));
        }
        Ok(Target::Own(self.profile))
    }

    fn conditions(&self, command: String, target: &Target) -> Result<Conditions, String> {
        if self.calls == 0 || self.calls > MAX_CALLS || self.most > MAX_CALLS {
            return Err(format!("calls at once are between 1 and {MAX_CALLS}"));
        }
        let (clips, left_out) = match &self.audio {
            None => (voices::built_in()?, Vec::new()),
            Some(path) => voices::read(path)?,
        };
        for why in left_out {
            crate::output::remark(format_args!("left out: {why}"));
        }
        let model = match &self.model_script {
            None => Script::parse(MODEL).map_err(|error| error.to_string())?,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
                Script::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?
            }
        };
        let most = if self.capacity { self.most } else { self.calls };
        let with_model = !matches!(target, Target::Running(..)) || self.model_listen.is_some();
        let own_ears = matches!(target, Target::Own(Profile::Local | Profile::Denoised));
        let objectives = match &self.objectives[..] {
            [] => objective::defaults(with_model, own_ears),
            given => given.to_vec(),
        };
        let ramp = self.ramp.unwrap_or_else(|| (most.min(self.calls.max(600)) as f64 / 20.0).max(3.0));
        Ok(Conditions {
            manners: Arc::new(Manners {
                clips,
                call_s: self.call,
                think_s: self.think,
                barge_in_percent: self.barge_in,
                hang_up_percent: self.hang_up,
            }),
            ramp: Duration::from_secs_f64(ramp),
            steady: Duration::from_secs_f64(self.seconds),
            down: Duration::from_secs_f64(self.down),
            bad_percent: self.bad,
            max_calls: self.max_calls,
            max_lag_ms: self.max_lag,
            model_listen: self.model_listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
            model,
            objectives,
            threads: self.threads.map_or(1, usize::from),
            seed: self.seed,
            work: self.work.clone().unwrap_or_else(std::env::temp_dir),
            command,
        })
    }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|s| (0.0..=86_400.0).contains(s));
    seconds.ok_or_else(|| "seconds from 0 to 86400 are expected".to_owned())
}

fn range(text: &str) -> Result<[f64; 2], String> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let range = [seconds(from)?, seconds(to)?];
    if range[0] <= range[1] { Ok(range) } else { Err("the first is not the smaller one".to_owned()) }
}

fn percent() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=100)
}
