//! A server with its configuration, a scripted model and a carrier, on ports of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use offhook::base::time::CallTime;
use offhook::config::{CarrierProfile, Opening, Secret, Source};
use offhook::engine::CallEvent;
use offhook::report::Report;
use offhook::serve::{About, Observer, Running, ServeOptions, Server};
use offhook::stage::phone::{self, CallOptions, Carrier, Step};
use offhook::stage::rehearsal;
use tempfile::TempDir;
use tokio::sync::watch;

/// The number that is answered.
pub(crate) const NUMBER: &str = "+15550100100";
/// The carrier's account and what it signs with.
pub(crate) const ACCOUNT: &str = "AC00000000000000000000000000000001";
pub(crate) const TOKEN: &str = "12345";
/// The same of SignalWire, which signs with a key of its own.
pub(crate) const PROJECT: &str = "00000000-0000-4000-8000-000000000001";
pub(crate) const SIGNING_KEY: &str = "PSK_not-the-token";
/// What other servers are shown.
pub(crate) const SECRET: &str = "hush-hush-4711-0815";

/// What a house is built of: the documents, and the model's script.
pub(crate) struct Plan {
    /// More of `offhook.toml`, before its tables.
    pub(crate) server: String,
    /// 0: other tests on the machine are no reason to refuse calls.
    pub(crate) max_lag_ms: u64,
    /// More of its `[twilio]`.
    pub(crate) twilio: String,
    /// More of the agent.
    pub(crate) agent: String,
    /// More of the deployment, before its tables.
    pub(crate) deployment: String,
    /// The model's script.
    pub(crate) script: String,
    /// Whether the carrier's REST API is there.
    pub(crate) carrier: bool,
    /// Whether the carrier is SignalWire instead.
    pub(crate) signalwire: bool,
    /// Where calls are kept instead of a folder of the house's own.
    pub(crate) data: Option<PathBuf>,
}

/// The environment of all houses.
fn env(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some(TOKEN.to_owned()),
        "SECRET" => Some(SECRET.to_owned()),
        "SEAL_KEY" => Some("a key of the operator, of 32 bytes".to_owned()),
        "SIGNING_KEY" => Some(SIGNING_KEY.to_owned()),
        _ => None,
    }
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            server: String::new(),
            max_lag_ms: 0,
            twilio: String::new(),
            agent: "greeting = { say = \"Greet.\" }\n".to_owned(),
            deployment: "[keep]\nrecording = true\njournal = \"audio\"\n".to_owned(),
            script: "think_ms = 100\n[greeting]\nsay = \"Hello.\"\n[otherwise]\nsay = \"I see, thank you.\"\n"
                .to_owned(),
            carrier: true,
            signalwire: false,
            data: None,
        }
    }
}

/// A configuration directory, and what it refers to.
pub(crate) struct Site {
    pub(crate) dir: TempDir,
    pub(crate) model: rehearsal::Server,
    /// What audio passed the model's socket.
    pub(crate) probe: rehearsal::Probe,
    pub(crate) carrier: Option<Carrier>,
}

pub(crate) struct House {
    pub(crate) site: Site,
    pub(crate) running: Running,
    /// Reports in the order in which calls ended.
    pub(crate) reports: Arc<Reports>,
}

impl Site {
    pub(crate) async fn build(plan: &Plan) -> Site {
        // For clients of the tests' own, also where the server is another process; whoever was first has chosen the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().expect("a directory");
        let script = rehearsal::Script::parse(&plan.script).expect("a script");
        let (any_port, probe) = (([127, 0, 0, 1], 0).into(), rehearsal::Probe::new());
        let model = rehearsal::Server::bind_with(any_port, script, Arc::new(probe.clone())).await.expect("a model");
        let (mut rest, mut carrier) = (String::new(), None);
        if plan.signalwire {
            let double = Carrier::signalwire(PROJECT, Secret::new(TOKEN), Secret::new(SIGNING_KEY));
            let addr = double.listen().await.expect("a carrier");
            rest = format!(
                "profile = \"signalwire\"\naccount_sid = \"{PROJECT}\"\nsigning_key = {{ env = \"SIGNING_KEY\" }}\n\
                 rest_url = \"http://{addr}/api/laml\"\n"
            );
            carrier = Some(double);
        } else if plan.carrier {
            let double = Carrier::new(ACCOUNT, Secret::new(TOKEN));
            let addr = double.listen().await.expect("a carrier");
            rest = format!("account_sid = \"{ACCOUNT}\"\nrest_url = \"http://{addr}\"\n");
            carrier = Some(double);
        }
        let server = format!(
            "listen = \"127.0.0.1:0\"\nmax_lag_ms = {}\n{}\n[twilio]\nauth_token = {{ env = \"TOKEN\" }}\n{rest}{}",
            plan.max_lag_ms, plan.server, plan.twilio
        );
        // These callers' voices are tones: no speech to a network, but loud enough for the scripted model's ear.
        let told = plan.agent.contains("[turn_detection]");
        let ears = if told { "" } else { "[turn_detection]\nmode = \"provider\"\n" };
        let documents = [
            ("offhook.toml", server),
            (
                "models.toml",
                format!(
                    "[scripted]\nurl = \"{}\"\nprice = {{ text_in = 1, audio_in = 1, text_out = 1, audio_out = 1 }}\n\
                     [writer]\nkind = \"text\"\nbase_url = \"{}\"\nmodel = \"rehearsal\"\n",
                    model.url(),
                    model.base_url()
                ),
            ),
            ("agents/mia.toml", format!("model = \"scripted\"\ninstructions = \"Be kind.\"\n{}{ears}", plan.agent)),
            ("deployments/desk.toml", format!("agent = \"mia\"\nnumber = \"{NUMBER}\"\n{}", plan.deployment)),
            ("deployments/closed.toml", "agent = \"mia\"\nnumber = \"+15550100199\"\nactive = false\n".to_owned()),
        ];
        for (name, text) in documents {
            write(&dir.path().join("config").join(name), &text);
        }
        Site { dir, model, probe, carrier }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A caller of the number, known to the carrier, of the server at `url`.
    pub(crate) fn caller(&self, url: String, script: Vec<Step>) -> CallOptions {
        let profile = self.carrier.as_ref().map(Carrier::profile).unwrap_or_default();
        let (account, signs) = match profile {
            CarrierProfile::Twilio => (ACCOUNT, TOKEN),
            CarrierProfile::SignalWire => (PROJECT, SIGNING_KEY),
        };
        CallOptions {
            profile,
            account_sid: account.to_owned(),
            token: Some(Secret::new(signs)),
            carrier: self.carrier.clone(),
            max_ms: 60_000,
            ..CallOptions::new(url, NUMBER, script)
        }
    }
}

impl House {
    pub(crate) async fn build(plan: Plan) -> House {
        House::open(Site::build(&plan).await, plan.data).await
    }

    /// Starts the server of a site.
    pub(crate) async fn open(site: Site, data: Option<PathBuf>) -> House {
        let source = Source::open_with(site.config(), env, |_| {}).unwrap_or_else(|e| panic!("{e}"));
        House::serve(site, data, source).await
    }

    /// The same, with documents held to all rules, as `offhook serve` holds them.
    pub(crate) async fn ruled(site: Site) -> House {
        let opening = Opening::new(site.config()).env(env).rules(offhook::house::review::rulings);
        let source = opening.open().unwrap_or_else(|e| panic!("{e}"));
        House::serve(site, None, source).await
    }

    async fn serve(site: Site, data: Option<PathBuf>, source: Source) -> House {
        let reports = Arc::new(Reports::default());
        let options = ServeOptions {
            source,
            listen: None,
            data: Some(data.unwrap_or_else(|| site.data())),
            observer: Some(reports.clone() as Arc<dyn Observer>),
            web: Some(offhook::web::routes()),
        };
        let running = Server::start(options).await.expect("a server");
        House { site, running, reports }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.addr())
    }

    /// See [`Site::caller`].
    pub(crate) fn caller(&self, script: Vec<Step>) -> CallOptions {
        self.site.caller(self.url(""), script)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(self.url(path)).await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    /// A voice webhook, signed by `token`.
    pub(crate) async fn ring(&self, call: &str, to: &str, token: &str) -> (u16, String) {
        let fields = [("CallSid", call), ("To", to), ("From", "+15550100001")];
        self.post("/twilio/voice", &fields, token).await
    }

    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)], token: &str) -> (u16, String) {
        let url = self.url(path);
        let params: Vec<_> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let signature = offhook::link::twilio::signature::sign(&Secret::new(token), &url, &params);
        let request = reqwest::Client::new().post(url).header("x-twilio-signature", signature).form(fields);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    /// The value of a metric's sample, as its line begins; 0 when it is not there.
    pub(crate) fn metric(&self, sample: &str) -> u64 {
        let page = self.running.metrics();
        let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().expect("a number"))
    }

    /// The report of the `n`th call that ends, once it has.
    pub(crate) async fn report(&self, n: usize) -> (Report, PathBuf) {
        self.reports.nth(n).await
    }
}

/// Keeps the reports, and fails on purpose.
pub(crate) struct Reports {
    /// Whether a pressed `#` makes the call panic: a bug of ours, as seen from the server.
    pub(crate) fails_on_hash: AtomicBool,
    /// What each call is about, as it began.
    pub(crate) begun: Mutex<Vec<(String, About)>>,
    /// What was found out about calls that were over.
    analyses: Mutex<Vec<serde_json::Value>>,
    all: Mutex<Vec<(Report, PathBuf)>>,
    count: watch::Sender<usize>,
}

impl Default for Reports {
    fn default() -> Self {
        Reports {
            fails_on_hash: AtomicBool::new(false),
            begun: Mutex::default(),
            analyses: Mutex::default(),
            all: Mutex::default(),
            count: watch::Sender::new(0),
        }
    }
}

impl Reports {
    /// What was found out about calls that were over.
    pub(crate) fn analyses(&self) -> Vec<serde_json::Value> {
        self.analyses.lock().expect("analyses").clone()
    }

    async fn nth(&self, n: usize) -> (Report, PathBuf) {
        let mut count = self.count.subscribe();
        let ended = tokio::time::timeout(Duration::from_secs(60), count.wait_for(|count| *count > n)).await;
        ended.expect("a call that ends").expect("a sender");
        self.all.lock().expect("reports")[n].clone()
    }
}

impl Observer for Reports {
    fn event(&self, _: &str, _: CallTime, event: &CallEvent) {
        if matches!(event, CallEvent::Dtmf { digit: '#' }) && self.fails_on_hash.load(Ordering::Relaxed) {
            panic!("on purpose");
        }
    }

    fn began(&self, call: &str, about: &About) {
        self.begun.lock().expect("calls").push((call.to_owned(), about.clone()));
    }

    fn analysed(&self, _: &str, analysis: &serde_json::Value) {
        self.analyses.lock().expect("analyses").push(analysis.clone());
    }

    fn ended(&self, report: &Report, folder: &Path) {
        let mut all = self.all.lock().expect("reports");
        all.push((report.clone(), folder.to_owned()));
        self.count.send_replace(all.len());
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, so: impl FnMut() -> bool) {
    until_within(Duration::from_secs(10), what, so).await;
}

/// Waits until something is so that may take longer than what a test mostly waits for.
pub(crate) async fn until_within(longest: Duration, what: &str, mut so: impl FnMut() -> bool) {
    let latest = tokio::time::Instant::now() + longest;
    while !so() {
        assert!(tokio::time::Instant::now() < latest, "{what}: still not so after {longest:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Places a call that must be over in time.
pub(crate) async fn place(options: CallOptions) -> phone::PhoneReport {
    tokio::time::timeout(Duration::from_secs(90), phone::place(options)).await.expect("a call that ends")
}

pub(crate) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, text).expect("a file");
}
