//! What is called: a server that runs already, or one that is started here, in a process of its own.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use crate::config::Secret;
use crate::stage::load::plan::Plan;
use crate::stage::phone::{CallOptions, Step};

/// The number that callers of our own server dial.
const NUMBER: &str = "+15550100100";
/// Signs the requests to our own server; it knows it by this variable.
const TOKEN: &str = "load-token";
const TOKEN_VARIABLE: &str = "OFFHOOK_LOAD_TOKEN";
/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(20);
/// Lines of a server's log that are told when it fails.
const LAST_LINES: usize = 5;

/// How callers reach the target.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// Through the voice webhook, as the carrier does.
    Webhook {
        /// `http://host:port`.
        connect: String,
        public_url: Option<String>,
        voice_path: String,
        account_sid: String,
        token: Option<Secret>,
        /// Dialled in turns.
        numbers: Vec<String>,
    },
    /// Straight to the media WebSocket.
    Stream {
        /// `ws://host:port/path`.
        url: String,
        /// The stream's parameters, as `<Parameter>` would give them.
        parameters: Vec<(String, String)>,
        token: Option<Secret>,
    },
}

impl Way {
    /// The `n`th caller's call.
    pub(crate) fn call(&self, n: usize, plan: &Plan) -> CallOptions {
        let options = match self {
            Way::Webhook { connect, public_url, voice_path, account_sid, token, numbers } => CallOptions {
                public_url: public_url.clone(),
                voice_url: voice_path.clone(),
                account_sid: account_sid.clone(),
                token: token.clone(),
                ..CallOptions::new(connect, numbers.get(n % numbers.len().max(1)).map_or("", |n| n), vec![])
            },
            Way::Stream { url, parameters, token } => CallOptions {
                twiml: Some(twiml(url, parameters)),
                token: token.clone(),
                ..CallOptions::new(http(url), NUMBER, vec![])
            },
        };
        CallOptions {
            script: plan.script.clone(),
            // Comfort noise as phones send it; digital silence would be too easy.
            noise_dbfs: Some(-62.0),
            seed: plan.seed,
            keep_audio: false,
            max_ms: plan.lasts.as_millis() as u64,
            from: format!("+1415{:07}", n % 10_000_000),
            ..options
        }
    }

    /// A call to the same server with another script, by somebody who may be up to no good.
    pub(crate) fn call_with(&self, n: usize, script: Vec<Step>, lasts: Duration, seed: u64) -> CallOptions {
        self.call(n, &Plan { script, lasts, stays: false, seed })
    }

    /// `host:port`, to be connected to without any protocol.
    pub(crate) fn address(&self) -> Option<String> {
        let url = match self {
            Way::Webhook { connect, .. } => connect,
            Way::Stream { url, .. } => url,
        };
        let (scheme, rest) = url.split_once("://")?;
        let host = rest.split('/').next()?;
        let port = if matches!(scheme, "https" | "wss") { 443 } else { 80 };
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        Some(if has_port { host.to_owned() } else { format!("{host}:{port}") })
    }
}

/// TwiML that leads to a media socket.
pub(crate) fn twiml(url: &str, parameters: &[(String, String)]) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let parameters: String = parameters
        .iter()
        .map(|(name, value)| format!("<Parameter name=\"{}\" value=\"{}\"/>", escape(name), escape(value)))
        .collect();
    format!("<Response><Connect><Stream url=\"{}\">{parameters}</Stream></Connect></Response>", escape(url))
}

fn http(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("ws", url));
    let host = rest.split('/').next().unwrap_or_default();
    format!("{}://{host}", if scheme == "wss" { "https" } else { "http" })
}

/// What our own server does beside passing audio on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// The model detects turns; nothing is kept.
    Plain,
    /// The model detects turns; recording and journal are kept.
    Kept,
    /// The server's own turn detection with echo guard; recording and journal are kept.
    Local,
    /// The same, with the server's own noise reduction.
    Denoised,
}

impl Profile {
    fn keeps(self) -> bool {
        self != Profile::Plain
    }

    fn agent(self) -> &'static str {
        match self {
            Profile::Plain | Profile::Kept => "[turn_detection]\nmode = \"provider\"\n",
            Profile::Local => "[turn_detection]\nmode = \"local\"\n",
            Profile::Denoised => "noise_reduction_engine = \"local\"\n[turn_detection]\nmode = \"local\"\n",
        }
    }

    /// For people.
    pub(crate) fn told(self) -> &'static str {
        match self {
            Profile::Plain => "the model's turn detection, nothing kept",
            Profile::Kept => "the model's turn detection, recording and journal",
            Profile::Local => "its own turn detection, recording and journal",
            Profile::Denoised => "its own turn detection and noise reduction, recording and journal",
        }
    }
}

/// A process of this program in another role. It ends when this is dropped, and when this process ends in any way.
#[derive(Debug)]
pub(crate) struct Started {
    child: Child,
    /// Its end is what the child waits for.
    _alive: Option<ChildStdin>,
    pub(crate) address: String,
    folder: Folder,
}

/// A folder that goes with whoever has it.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Started {
    /// Our own server, by a configuration made for the purpose.
    pub(crate) fn server(
        work: &Path,
        profile: Profile,
        model: &str,
        max_calls: usize,
        max_lag_ms: u64,
    ) -> Result<(Started, Way), String> {
        let folder = folder(work)?;
        let dir = folder.0.clone();
        configure(&dir, profile, model, max_calls, max_lag_ms)
            .map_err(|error| format!("{}: {error}", dir.display()))?;
        let started = Started::role(&["serve", &dir.to_string_lossy()], folder)?;
        let way = Way::Webhook {
            connect: format!("http://{}", started.address),
            public_url: None,
            voice_path: "/twilio/voice".to_owned(),
            account_sid: format!("AC{}", "0".repeat(32)),
            token: Some(Secret::new(TOKEN)),
            numbers: vec![NUMBER.to_owned()],
        };
        Ok((started, way))
    }

    /// The minimal bridge.
    pub(crate) fn floor(work: &Path, model: &str) -> Result<(Started, Way), String> {
        let started = Started::role(&["floor"], folder(work)?)?;
        let url = format!("ws://{}/media", started.address);
        Ok((started, Way::Stream { url, parameters: vec![("model".to_owned(), model.to_owned())], token: None }))
    }

    fn role(arguments: &[&str], folder: Folder) -> Result<Started, String> {
        let program = std::env::current_exe().map_err(|error| format!("this program cannot be found: {error}"))?;
        let log = fs::File::create(folder.0.join("log")).map_err(|e| format!("{}: {e}", folder.0.display()))?;
        let mut child = Command::new(program)
            .arg("load-target")
            .args(arguments)
            .env(TOKEN_VARIABLE, TOKEN)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("the target cannot be started: {error}"))?;
        let (alive, out) = (child.stdin.take(), child.stdout.take());
        let mut started = Started { child, _alive: alive, address: String::new(), folder };
        started.address = address(out).ok_or_else(|| format!("the target does not listen{}", started.last_words()))?;
        Ok(started)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Why it is no longer there; `None`: it is.
    pub(crate) fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(format!("the target ended by itself ({status}){}", self.last_words())),
            Err(error) => Some(format!("the target cannot be asked: {error}")),
        }
    }

    /// Removes folders of calls that are over, so that a long run does not fill the disk.
    pub(crate) fn tidy(&self) {
        let Ok(calls) = fs::read_dir(self.folder.0.join("data/calls")) else { return };
        for call in calls.flatten().filter(|call| call.path().join("report.json").exists()) {
            let _ = fs::remove_dir_all(call.path());
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.0.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(LAST_LINES).collect();
        if lines.is_empty() {
            return String::new();
        }
        format!("; its log ends with\n  {}", lines.into_iter().rev().collect::<Vec<_>>().join("\n  "))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first line that the child writes, if it does so in time: where it listens.
fn address(out: Option<impl io::Read + Send + 'static>) -> Option<String> {
    let out = out?;
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(out).read_line(&mut line);
        // Nobody may be waiting any more.
        let _ = tell.send(read.ok().map(|_| line));
    });
    let line = told.recv_timeout(START).ok()??;
    let line = line.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

fn folder(work: &Path) -> Result<Folder, String> {
    let mut random = crate::stage::load::random::Random::new(u64::from(std::process::id()), 0);
    for _ in 0..1_000 {
        let path = work.join(format!("offhook-load-{}-{:04x}", std::process::id(), random.next() as u16));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(Folder(path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(format!("{}: {error} (--work names another folder)", path.display())),
        }
    }
    Err(format!("{}: no name is free", work.display()))
}

fn configure(dir: &Path, profile: Profile, model: &str, max_calls: usize, max_lag_ms: u64) -> io::Result<()> {
    let keep = profile.keeps();
    let journal = if keep { "decisions" } else { "off" };
    let data = dir.join("data").display().to_string();
    fs::create_dir_all(dir.join("agents"))?;
    fs::create_dir_all(dir.join("deployments"))?;
    let files = [
        (
            "offhook.toml",
            format!(
                "listen = \"127.0.0.1:0\"\nmax_calls = {max_calls}\nmax_lag_ms = {max_lag_ms}\ndrain_s = 1\ndata_dir = {data:?}\n[twilio]\nauth_token = {{ env = \"{TOKEN_VARIABLE}\" }}\n"
            ),
        ),
        ("models.toml", format!("[load]\nurl = {model:?}\n")),
        (
            "agents/load.toml",
            format!(
                "model = \"load\"\ninstructions = \"You answer the phone.\"\ngreeting = {{ say = \"Greet the caller.\" }}\n{}",
                profile.agent()
            ),
        ),
        (
            "deployments/load.toml",
            format!(
                "agent = \"load\"\nnumber = \"{NUMBER}\"\n[keep]\nrecording = {keep}\njournal = \"{journal}\"\npictures = false\n"
            ),
        ),
    ];
    files.into_iter().try_for_each(|(name, text)| fs::write(dir.join(name), text))
}
