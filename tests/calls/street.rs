//! One server with several numbers, each with an agent and a model of its own, and a neighbour: a healthy call that talks
//! for as long as things go wrong in the others, and must not notice.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use offhook::lab::journal::CallFiles;
use offhook::lab::replay::Replay;
use offhook::lab::verify::{Check, Recorded, Verdict, Verification};
use offhook::report::{Line, Report};
use offhook::stage::phone::{CallOptions, Clip, EndedBy, Outcome, PhoneReport, Step, What};
use offhook::stage::rehearsal;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, watch};

use crate::house::{House, Plan, Site, TOKEN, place, until, write};
use crate::talk::speech;

/// What the agents have to play, each unlike all others: its name, its words and its length in milliseconds.
const SOUNDS: [(&str, &str, u64); 6] = [
    ("greeting", "Welcome.", 400),
    ("hold", "", 300),
    ("filler", "One moment.", 300),
    ("fallback", "We are sorry, please call again.", 600),
    ("farewell", "Goodbye.", 400),
    ("line", WORDS, 1_500),
];
/// The words of the models' usual answer.
pub(crate) const WORDS: &str = "one two three four five six seven eight nine ten";
/// The neighbour's answer is longer than any failure takes.
const MONOLOGUE_MS: u64 = 30_000;
const NEIGHBOUR: &str = "+15550100900";

/// A number and what answers it.
#[derive(Default)]
pub(crate) struct Number {
    pub(crate) name: &'static str,
    /// The model's script, after `think_ms` and `pace`.
    pub(crate) script: &'static str,
    /// Reach the model here instead.
    pub(crate) model_url: Option<String>,
    /// More of the agent, before its tables.
    pub(crate) agent: &'static str,
    /// The agent's `[turn_detection]`, if not the usual.
    pub(crate) ears: &'static str,
    /// More of the agent's `[on_failure]`.
    pub(crate) on_failure: &'static str,
    /// The deployment's `[limits]`.
    pub(crate) limits: &'static str,
    /// More keys of the deployment, dotted.
    pub(crate) playout: &'static str,
    /// More of the deployment, after its limits.
    pub(crate) deployment: &'static str,
}

pub(crate) struct Street {
    pub(crate) house: House,
    _room: SemaphorePermit<'static>,
    numbers: Vec<&'static str>,
    _sounds: TempDir,
    _models: Vec<Option<rehearsal::Server>>,
}

/// A call that is over, from both ends.
pub(crate) struct Lived {
    pub(crate) heard: PhoneReport,
    pub(crate) report: Report,
    pub(crate) folder: PathBuf,
}

impl Street {
    /// `server`: more of `offhook.toml`; `data`: where calls are kept instead of a folder of the house's own.
    pub(crate) async fn build(server: &str, data: Option<PathBuf>, numbers: Vec<Number>) -> Street {
        Street::build_in(room(1).await, server, data, numbers).await
    }

    /// See [`room`].
    pub(crate) async fn build_in(
        room: SemaphorePermit<'static>,
        server: &str,
        data: Option<PathBuf>,
        numbers: Vec<Number>,
    ) -> Street {
        let plan = Plan { server: server.to_owned(), twilio: "rest_timeout_ms = 500\n".to_owned(), ..Plan::default() };
        let site = Site::build(&plan).await;
        let (sounds, models) = furnish(&site, &numbers).await;
        let house = House::open(site, data).await;
        let numbers = numbers.iter().map(|number| number.name).collect();
        Street { house, _room: room, numbers, _sounds: sounds, _models: models }
    }

    /// A caller of the number with this name.
    pub(crate) fn caller(&self, name: &str, script: Vec<Step>) -> CallOptions {
        let index = self.numbers.iter().position(|number| *number == name).expect("a number");
        CallOptions { to: number(index), ..self.house.caller(script) }
    }

    /// Has the neighbour talk, places the calls, all at once, and answers with them in order when all are over. Their
    /// recordings agree with journal and report, and the neighbour has noticed nothing.
    pub(crate) async fn live(&self, callers: Vec<CallOptions>) -> Vec<Lived> {
        let lived = self.beside_the_neighbour(self.all(callers)).await;
        lived.iter().for_each(|call| agree(&call.folder));
        lived
    }

    /// Places the calls, all at once.
    pub(crate) async fn all(&self, callers: Vec<CallOptions>) -> Vec<Lived> {
        let calls: Vec<_> = callers.into_iter().map(|caller| tokio::spawn(place(caller))).collect();
        let mut lived = Vec::new();
        for call in calls {
            lived.push(self.lived(call.await.expect("a call")).await);
        }
        lived
    }

    /// Has the neighbour talk while `trouble` goes on; it is heard without a gap and to the byte.
    pub(crate) async fn beside_the_neighbour<T>(&self, trouble: impl Future<Output = T>) -> T {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let sid = format!("CA{:032}", 900_000 + CALLS.fetch_add(1, Ordering::Relaxed));
        let (events, mut happens) = mpsc::channel(64);
        let wait = Step::WaitEnd { max_ms: 60_000 };
        let caller = CallOptions {
            to: NEIGHBOUR.to_owned(),
            call_sid: Some(sid.clone()),
            events: Some(events),
            ..self.house.caller(vec![speech(500), wait])
        };
        let neighbour = tokio::spawn(place(caller));
        wait_for(&mut happens, &What::AgentSpeaks).await;
        let outcome = trouble.await;
        let over = [("CallSid", sid.as_str()), ("CallStatus", "completed")];
        assert_eq!(self.house.post("/twilio/call-status", &over, TOKEN).await.0, 204);
        let neighbour = self.lived(neighbour.await.expect("a call")).await;
        self.noticed_nothing(&neighbour);
        outcome
    }

    fn noticed_nothing(&self, neighbour: &Lived) {
        let Lived { heard, report, folder } = neighbour;
        assert_eq!((&heard.outcome, heard.violations.as_slice()), (&Outcome::Connected, [].as_slice()));
        assert_eq!((heard.ended_by, heard.frames_dropped), (EndedBy::Server { code: Some(1000) }, 0));
        assert_eq!(heard.heard.len(), 1, "without a gap: {:?}", heard.heard);
        let monologue = sound(0, MONOLOGUE_MS);
        let span = heard.heard[0];
        let audio = &heard.audio[span.from.0 as usize..span.to.0 as usize];
        assert!(monologue.starts_with(audio), "what was heard is what was said");
        assert_eq!(report.end.kind(), "caller_hung_up");
        assert_eq!((report.turns.len(), report.interruptions.len()), (1, 0));
        let usual = ["caller_frames", "caller_transcripts", "agent_audio_sent_ms"];
        let unusual: Vec<_> = report.counters.iter().filter(|(name, _)| !usual.contains(&name.as_str())).collect();
        assert!(unusual.is_empty(), "{unusual:?}");
        if folder.join("journal").exists() {
            agree(folder);
        }
    }

    /// The report of a call by the caller's.
    pub(crate) async fn lived(&self, heard: PhoneReport) -> Lived {
        for n in 0.. {
            let (report, folder) = self.house.report(n).await;
            if report.carrier_call == heard.call_sid {
                return Lived { heard, report, folder };
            }
        }
        unreachable!("waiting for a report has a limit")
    }
}

impl Lived {
    /// Whether a whole sound was heard, without a gap and to the byte.
    pub(crate) fn hears(&self, name: &str) -> bool {
        self.times_heard(name) > 0
    }

    pub(crate) fn times_heard(&self, name: &str) -> usize {
        count(&self.heard.audio, &sound_named(name))
    }

    /// Whether the beginning of a sound was heard, this long.
    pub(crate) fn hears_first(&self, name: &str, ms: u64) -> bool {
        count(&self.heard.audio, &sound_named(name)[..ms as usize * 8]) > 0
    }

    /// Milliseconds of agent audio that reached the caller's ear.
    pub(crate) fn heard_ms(&self) -> u64 {
        self.heard.heard.iter().map(|span| (span.to.0 - span.from.0) / 8).sum()
    }

    /// The same by the report's account.
    pub(crate) fn reported_ms(&self) -> u64 {
        self.agent_lines().map(|line| line.heard_ms).sum()
    }

    /// What the agent said, each line as heard and unheard.
    pub(crate) fn said(&self) -> Vec<(&str, &str)> {
        self.agent_lines().map(|line| (line.text.as_str(), line.unheard.as_str())).collect()
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.report.counters.get(name).copied().unwrap_or_default()
    }

    fn agent_lines(&self) -> impl Iterator<Item = &Line> {
        self.report.lines.iter().filter(|line| line.who == offhook::engine::Role::Agent)
    }
}

/// Calls in real time need a machine that keeps up: no more than so many tests of these have theirs at once.
pub(crate) const ROOM: u32 = 4;

/// Waits for so much of [`ROOM`].
pub(crate) async fn room(n: u32) -> SemaphorePermit<'static> {
    static ROOMS: Semaphore = Semaphore::const_new(ROOM as usize);
    ROOMS.acquire_many(n).await.expect("it is never closed")
}

/// The call's journal replays to the decisions that were kept, and its recording agrees with journal and report.
pub(crate) fn agree(folder: &Path) {
    let files = CallFiles::load(folder).unwrap_or_else(|error| panic!("{error}"));
    let replay = Replay::new(&files.journal);
    assert!(replay.difference.is_none(), "{:?}", replay.difference);
    let recorded = Recorded::read(&files.recording_path()).expect("a recording");
    let report = files.report().unwrap_or_else(|error| panic!("{error}"));
    let verification = Verification::new(&files.journal, report.as_ref(), &recorded);
    // A machine that is busy reads the stream's start late, and the line's clock then seems to be ahead by that.
    let busy = |check: &Check| check.check == "clock" && check.off_ms.is_some_and(|ms| ms < 250);
    let fails = |check: &&Check| check.verdict == Verdict::Fail && !busy(check);
    let failed: Vec<_> = verification.checks.iter().filter(fails).collect();
    assert!(failed.is_empty(), "{failed:#?}\n{report:#?}");
}

/// A caller's usual call: says something, hears the answer out, hangs up.
pub(crate) fn polite() -> Vec<Step> {
    polite_for(700)
}

/// The same with more patience: how long the agent may be silent before the answer counts as over.
pub(crate) fn polite_for(for_ms: u64) -> Vec<Step> {
    let speaking = Step::WaitAgentSpeaking { after_ms: 20, max_ms: 15_000 };
    vec![speech(500), speaking, Step::WaitAgentSilent { for_ms, max_ms: 20_000 }, Step::HangUp]
}

/// Waits for the server to end the call.
pub(crate) fn patient() -> Vec<Step> {
    vec![speech(500), Step::WaitEnd { max_ms: 30_000 }]
}

/// Reads a caller's events until this one.
pub(crate) async fn wait_for(happens: &mut mpsc::Receiver<offhook::stage::phone::PhoneEvent>, what: &What) {
    let seen = async { while happens.recv().await.expect("more to happen").what != *what {} };
    tokio::time::timeout(Duration::from_secs(20), seen).await.unwrap_or_else(|_| panic!("never: {what:?}"));
}

/// A door between the server and a model. While it is shut, connections are cut and new ones dropped.
pub(crate) struct Gate {
    addr: SocketAddr,
    open: Arc<watch::Sender<bool>>,
}

impl Gate {
    pub(crate) async fn before(model: &rehearsal::Server) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (addr, model) = (listener.local_addr().expect("an address"), model.addr());
        let open = Arc::new(watch::Sender::new(true));
        let door = Arc::clone(&open);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut door = door.subscribe();
                tokio::spawn(async move {
                    if !*door.borrow() {
                        return;
                    }
                    let mut far = TcpStream::connect(model).await.expect("a model");
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = door.wait_for(|open| !*open) => {}
                    }
                });
            }
        });
        Gate { addr, open }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/v1/realtime?model=rehearsal", self.addr)
    }

    pub(crate) fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }
}

/// A model of its own, with a street's usual line for its answer.
pub(crate) async fn model(sounds: &Path, script: &str) -> rehearsal::Server {
    let line = sounds.join("line.wav");
    let pace = if script.contains("pace = ") { "" } else { "pace = 50.0\n" };
    let text = format!("think_ms = 20\n{pace}{script}").replace("LINE", &line.display().to_string());
    let script = rehearsal::Script::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    rehearsal::Server::bind(([127, 0, 0, 1], 0).into(), script).await.expect("a model")
}

/// Writes the sounds.
pub(crate) fn sounds() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for (seed, (name, _, ms)) in (1..).zip(SOUNDS) {
        write_wav(&dir.path().join(format!("{name}.wav")), seed, ms);
    }
    write_wav(&dir.path().join("monologue.wav"), 0, MONOLOGUE_MS);
    dir
}

/// The numbers' documents, beside those of the site.
pub(crate) async fn furnish(site: &Site, numbers: &[Number]) -> (TempDir, Vec<Option<rehearsal::Server>>) {
    let sounds = sounds();
    let neighbour = Number {
        name: "neighbour",
        script: "[otherwise]\nhears = \"Talk.\"\nclip = \"MONOLOGUE\"\nsay = \"A long story.\"\n",
        ..Number::default()
    };
    let monologue = sounds.path().join("monologue.wav").display().to_string();
    let (mut catalogue, mut models) = (format!("[scripted]\nurl = \"{}\"\n", site.model.url()), Vec::new());
    for (index, entry) in numbers.iter().chain([&neighbour]).enumerate() {
        let (url, double) = match &entry.model_url {
            Some(url) => (url.clone(), None),
            None => {
                let double = model(sounds.path(), &entry.script.replace("MONOLOGUE", &monologue)).await;
                (double.url(), Some(double))
            }
        };
        models.push(double);
        catalogue += &format!("[{}]\nurl = \"{url}\"\ndial_timeout_ms = 700\n", entry.name);
        let Number { name, agent, ears, on_failure, limits, playout, deployment, .. } = entry;
        let (play, said) = (|name: &str| sounds.path().join(format!("{name}.wav")).display().to_string(), words);
        let agent = format!(
            "model = \"{name}\"\ninstructions = \"Be kind.\"\nhold_sound = \"{}\"\nfiller = {{ play = \"{}\", text = \"{}\" }}\n\
             farewell = {{ play = \"{}\", text = \"{}\" }}\n{}\n[on_failure]\nplay = \"{}\"\ntext = \"{}\"\n{on_failure}\n",
            play("hold"),
            play("filler"),
            said("filler"),
            play("farewell"),
            said("farewell"),
            agent.replace("GREETING", &play("greeting")),
            play("fallback"),
            said("fallback"),
        );
        // As in a house.
        let agent = agent + if ears.is_empty() { "[turn_detection]\nmode = \"provider\"\n" } else { ears };
        let to = if *name == "neighbour" { NEIGHBOUR.to_owned() } else { number(index) };
        let keep = if deployment.contains("[keep]") { "" } else { "[keep]\nrecording = true\njournal = \"audio\"\n" };
        // A machine with much to do may be late by more than the usual lead; that is not what is shown here.
        let lead = if playout.contains("lead_ms") { "" } else { "playout.lead_ms = 1000\n" };
        let deployment = format!(
            "agent = \"{name}\"
number = \"{to}\"
{lead}{playout}
[limits]
{limits}
{deployment}
{keep}"
        );
        write(&site.config().join(format!("agents/{name}.toml")), &agent);
        write(&site.config().join(format!("deployments/{name}.toml")), &deployment);
    }
    write(&site.config().join("models.toml"), &catalogue);
    (sounds, models)
}

pub(crate) fn number(index: usize) -> String {
    format!("+1555010{:04}", 1_000 + index)
}

pub(crate) fn words(name: &str) -> &'static str {
    SOUNDS.iter().find(|(known, ..)| *known == name).expect("a sound").1
}

/// A sound as the caller hears it: μ-law at 8 kHz.
pub(crate) fn sound_named(name: &str) -> Vec<u8> {
    let (seed, sound_of) = (1..).zip(SOUNDS).find(|(_, (known, ..))| *known == name).expect("a sound");
    sound(seed, sound_of.2)
}

/// Waits until the server has nothing left to do.
pub(crate) async fn empty(house: &House) {
    until("all slots are free", || house.running.calls().is_empty()).await;
}

fn sound(seed: u64, ms: u64) -> Vec<u8> {
    Clip::from_linear("", &samples(seed, ms)).audio.to_vec()
}

/// Noise that is nowhere like itself or another seed's, so that it is known wherever it is heard.
fn samples(seed: u64, ms: u64) -> Vec<i16> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..ms * 8)
        .map(|_| {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            ((state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 50) as i16) - 8_192
        })
        .collect()
}

fn write_wav(path: &Path, seed: u64, ms: u64) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).expect("a file");
    samples(seed, ms).into_iter().for_each(|sample| file.write_sample(sample).expect("room"));
    file.finalize().expect("room");
}

fn count(audio: &[u8], part: &[u8]) -> usize {
    audio.windows(part.len()).filter(|window| *window == part).count()
}
