//! Configuration as meant: every default filled in, every range checked, every reference resolved.

mod call;
mod chat;
mod hearing;
mod http;
mod idle;
mod keys;
mod origins;
mod outbound;
mod product;
mod secrets;
mod server;
mod tool_sound;
mod tools;
mod webhooks;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::back_channels::BackChannels;
use crate::base::audio::AudioFormat;
use crate::base::template::Variables;
pub use call::CallSettings;
pub use chat::*;
pub use hearing::*;
pub use http::*;
pub use idle::Idle;
pub use keys::{KeyAction, Keys};
pub use origins::{Origins, ValueOrigin};
pub use outbound::*;
pub use product::*;
pub use secrets::{NamedSecret, SecretBook};
pub use server::*;
pub use tool_sound::ToolSound;
pub use tools::*;
pub use webhooks::*;

/// Everything the server runs by: `offhook.toml`, `models.toml`, the agents and the deployments.
#[derive(Clone, Debug)]
pub struct Config {
    /// `offhook.toml`.
    pub server: Server,
    /// Deployments on phones by name (the file's stem), each with its agent and model resolved.
    pub deployments: BTreeMap<String, Arc<Deployment>>,
    /// Deployments on channels of text by name; no name is on both.
    pub chats: BTreeMap<String, Arc<ChatDeployment>>,
    /// Agents by name (the file's stem), as they talk by themselves. One without a model of its own is here with that of
    /// its first deployment, and is not here when it has none.
    pub agents: BTreeMap<String, Arc<Agent>>,
    /// All agents by name, as they are on every channel.
    pub personas: BTreeMap<String, Arc<Persona>>,
    /// The catalogue of models by name, whether they are used or not.
    pub models: BTreeMap<String, Arc<ModelCard>>,
    /// A short hash of all documents: the revision that a call names as the one it ran with.
    pub revision: String,
    numbers: BTreeMap<String, Arc<Deployment>>,
    keys: BTreeMap<String, Arc<ChatDeployment>>,
}

impl Config {
    /// A server that nothing is deployed on.
    pub(super) fn new(server: Server) -> Self {
        let (deployments, chats, agents, personas, models) = Default::default();
        let (revision, numbers, keys) = Default::default();
        Config { server, deployments, chats, agents, personas, models, revision, numbers, keys }
    }

    /// The deployment that answers `number` (E.164), active or not.
    pub fn deployment_for(&self, number: &str) -> Option<&Arc<Deployment>> {
        self.numbers.get(number)
    }

    /// The chat that is embedded by `key`, active or not.
    pub fn chat_for(&self, key: &str) -> Option<&Arc<ChatDeployment>> {
        self.keys.get(key)
    }

    pub(super) fn set_deployment(&mut self, name: &str, deployment: Arc<Deployment>) {
        self.remove_deployment(name);
        if let Some(number) = &deployment.number {
            self.numbers.insert(number.clone(), Arc::clone(&deployment));
        }
        self.deployments.insert(name.to_owned(), deployment);
    }

    pub(super) fn set_chat(&mut self, name: &str, chat: Arc<ChatDeployment>) {
        self.remove_deployment(name);
        if let Some(key) = &chat.standing.key {
            self.keys.insert(key.clone(), Arc::clone(&chat));
        }
        self.chats.insert(name.to_owned(), chat);
    }

    /// Two that swap their numbers are set one after the other, so what one had may be the other's by now.
    pub(super) fn remove_deployment(&mut self, name: &str) {
        if let Some(number) = self.deployments.remove(name).and_then(|gone| gone.number.clone())
            && self.numbers.get(&number).is_some_and(|holder| holder.name == name)
        {
            self.numbers.remove(&number);
        }
        if let Some(key) = self.chats.remove(name).and_then(|gone| gone.standing.key.clone())
            && self.keys.get(&key).is_some_and(|holder| holder.standing.name == name)
        {
            self.keys.remove(&key);
        }
    }
}

/// A value that never appears in logs, traces, journals or error messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The secret itself, for the one place that must send or compare it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// A realtime model's endpoint, from `models.toml`.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its name in `models.toml`.
    pub name: String,
    /// WebSocket URL with its query (`wss://…/v1/realtime?model=…`).
    pub url: String,
    /// Sent as `Authorization: Bearer …` when present.
    pub api_key: Option<Secret>,
    /// Further request headers (Azure's `api-key`, a vendor's own).
    pub headers: Vec<(String, Secret)>,
    /// The format in which audio is exchanged with the model, both ways.
    pub format: AudioFormat,
    /// Milliseconds for connect, handshake and session set-up together.
    pub dial_timeout_ms: u64,
    /// What it costs. `None`: unknown.
    pub price: Option<Price>,
    /// Minutes after which a session is renewed at a turn's edge; the vendor's limit less a margin.
    pub max_session_min: u64,
    /// Whether the vendor asks servers of tools by itself (MCP).
    pub mcp: bool,
}

/// What a model costs, in millionths of a currency that is the same throughout a configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// A million tokens of text that it reads.
    pub text_in_micros: u64,
    /// The same of audio.
    pub audio_in_micros: u64,
    /// The same of either, when it was read before.
    pub cached_micros: u64,
    /// A million tokens of text that it writes.
    pub text_out_micros: u64,
    /// The same of audio.
    pub audio_out_micros: u64,
    /// A minute of an open session.
    pub minute_micros: u64,
}

/// What the model may cost in one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// In millionths of the price's currency.
    pub micros: u64,
    /// Whose it is: `call`, `number` or `day`.
    pub of: String,
}

/// Who talks: an agent's document as meant.
#[derive(Clone, Debug)]
pub struct Agent {
    /// The file's stem.
    pub name: String,
    /// The model's system prompt; a template of the call's variables.
    pub instructions: String,
    /// Which model runs it.
    pub model: Arc<Model>,
    /// Voice name, or the id of a custom voice when it starts with `voice_`. `None`: the model's default.
    pub voice: Option<String>,
    /// 0.25–1.5; 1 is the model's own pace.
    pub speed: f32,
    /// Language of the conversation (ISO 639-1), given to transcription. `None`: detected.
    pub language: Option<String>,
    /// Transcription of the caller beside the model; `None`: off.
    pub transcription: Option<Transcription>,
    /// 1–4096; `None`: no limit.
    pub max_output_tokens: Option<u32>,
    /// Who decides when the caller's turn begins and ends.
    pub turn_detection: TurnDetection,
    /// Candidate settings that are tried silently beside `turn_detection`; at most [`MAX_SHADOWS`].
    pub shadows: Vec<Shadow>,
    /// What caller speech does to an agent who is speaking.
    pub interruptions: Interruptions,
    /// Speech that stopped the agent and turns out to be none.
    pub false_interruptions: FalseInterruptions,
    /// What callers say to show that they listen.
    pub back_channels: Arc<BackChannels>,
    /// Noise reduction.
    pub noise_reduction: NoiseReduction,
    /// Who reduces the noise.
    pub noise_engine: NoiseEngine,
    /// Whether the agent's own voice is taken out of what the local detection hears.
    pub echo_guard: bool,
    /// Played before the greeting and never interrupted.
    pub disclaimer: Option<Sound>,
    /// What the caller hears first.
    pub greeting: Spoken,
    /// Whether the caller may interrupt the greeting.
    pub greeting_interruptible: bool,
    /// Said when a limit ends the call.
    pub farewell: Spoken,
    /// Tools the agent may use.
    pub tools: Arc<[Tool]>,
    /// Where it may put callers through to.
    pub destinations: Arc<[Destination]>,
    /// When the model cannot go on.
    pub on_failure: OnFailure,
    /// Played in a loop while a lost model is dialled again.
    pub hold_sound: Option<Sound>,
    /// Played once when the model is slow to answer.
    pub filler: Option<Sound>,
    /// What becomes of keys; `None`: they are kept in the report, no more.
    pub keys: Option<Keys>,
    /// What is said to a caller who says nothing; `None`: nothing.
    pub idle: Option<Idle>,
    /// Defaults of the variables that the document declares, by full name: `call.campaign`, `crm.name`.
    pub variables: Variables,
    /// What stands behind the tools that are asked of other servers, by the tool's name. Holds secrets, so it is the
    /// shell's and never the engine's.
    pub http_tools: BTreeMap<String, Arc<HttpTool>>,
    /// Servers of tools that the model's vendor asks.
    pub mcp: Vec<McpServer>,
    /// What is fetched of the caller while the call begins.
    pub fetch: Option<Arc<Fetch>>,
    /// What is done once a call is over.
    pub after: Arc<AfterCall>,
}

/// The model vendor's transcription of the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcription {
    /// Model name such as `gpt-transcribe`.
    pub model: String,
    /// Hint for names and jargon.
    pub prompt: Option<String>,
}

/// Something that is said without the model having thought of it: a greeting, a farewell, a line before a transfer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spoken {
    /// Nothing.
    None,
    /// The model speaks, told to say this.
    Say(String),
    /// A recording. It needs no model, and so no time.
    Play(Sound),
}

/// A recording in the line's format, with what it says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sound {
    /// The file it came from, for people.
    pub name: String,
    /// What is said in it, for the transcript and for the model. Empty for a mere sound.
    pub text: String,
    /// Audio in the line's format (G.711 μ-law at 8 kHz for a phone).
    #[serde(with = "sound_bytes")]
    pub audio: Arc<[u8]>,
}

impl fmt::Debug for Sound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sound({}, {} bytes)", self.name, self.audio.len())
    }
}

mod sound_bytes {
    //! Audio as base64, so that a journal's first line stays a line.
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(audio: &Arc<[u8]>, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&base64_simd::STANDARD.encode_to_string(audio))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Arc<[u8]>, D::Error> {
        let text = String::deserialize(d)?;
        let bytes = base64_simd::STANDARD
            .decode_to_vec(text.as_bytes())
            .map_err(|_| D::Error::custom("a sound's audio is not base64"))?;
        Ok(bytes.into())
    }
}

/// What happens when the model cannot go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnFailure {
    /// The line the caller hears; `None`: silence.
    pub line: Option<Sound>,
    /// What follows it.
    pub then: AfterFailure,
}

/// What follows the fallback line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterFailure {
    /// The call ends.
    HangUp,
    /// The caller is put through to this number (E.164).
    Transfer(String),
}

/// An agent on the phone.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The file's stem.
    pub name: String,
    /// What every deployment has.
    pub standing: Standing,
    /// E.164; `None`: nobody can ring it yet.
    pub number: Option<String>,
    /// Who answers, with what this deployment has otherwise.
    pub agent: Arc<Agent>,
    /// Where its values come from.
    pub origins: Origins,
    /// Where it is, in the names of the time zone database: what `{{system.time}}` goes by.
    pub timezone: String,
    /// How long things may take.
    pub limits: Limits,
    /// What the model may cost.
    pub budgets: Budgets,
    /// How agent audio is fed to the line.
    pub playout: Playout,
    /// Played while tools run; `None`: silence.
    pub tool_sound: Option<ToolSound>,
    /// Calls that it places.
    pub outbound: Outbound,
    /// What is kept of a call.
    pub keep: Keep,
}

/// What the model may cost, in millionths of the price's currency; `None`: no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budgets {
    /// In one call.
    pub call_micros: Option<u64>,
    /// With one caller's number, in a day (UTC).
    pub number_day_micros: Option<u64>,
    /// In all calls to the deployment, in a day (UTC).
    pub day_micros: Option<u64>,
}

/// How long things may take. All are counted in call time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Seconds a call may last; 0: no limit. (Minutes in the document, default 10.)
    pub max_duration_s: u64,
    /// Seconds that sessions with the model may be open in one call; 0: no limit. (Minutes in the document, default 0.)
    pub max_model_s: u64,
    /// Seconds before the limit at which the model is told; 0: never.
    pub warn_before_s: u64,
    /// Seconds for the farewell after the limit; then the line is cut.
    pub farewell_s: u64,
    /// Seconds without caller speech, while the agent is silent too, after which the call ends; 0: never.
    pub caller_silence_s: u64,
    /// Seconds without any caller audio after which the line is dead.
    pub caller_gone_s: u64,
    /// Seconds in which the carrier must ask for a stream anew that broke off; then the caller has hung up. 0: at once.
    #[serde(default)]
    pub line_back_s: u64,
    /// Milliseconds from the end of the caller's turn to the first agent audio before the model counts as silent.
    pub model_silence_ms: u64,
    /// Seconds in which a lost model must be back before the call falls back.
    pub model_recovery_s: u64,
    /// Milliseconds that the caller's last words are awaited once the line is over; 0: they are not.
    #[serde(default)]
    pub transcript_wait_ms: u64,
    /// Seconds from the webhook until the media stream must have started.
    pub media_start_s: u64,
    /// Milliseconds of caller audio kept while the model is not there yet; the oldest is dropped beyond that.
    pub early_audio_ms: u64,
}

/// How agent audio is fed to the line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Playout {
    /// Audio kept at the line ahead of what is being heard, in ms (40–1000).
    pub lead_ms: u64,
    /// The largest message to the line, in ms of audio (20–500); half the lead at most, whatever stands here. The first of
    /// a reply goes out at once.
    pub batch_ms: u64,
    /// Agent audio waiting to be sent, in seconds; more is dropped and counted.
    pub max_queue_s: u64,
    /// Milliseconds that a mark may be overdue before it counts as lost; until then no more is sent.
    pub mark_timeout_ms: u64,
}

/// What is kept of a call in its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// `recording.wav`.
    pub recording: bool,
    /// `journal`.
    pub journal: JournalKeep,
    /// `call.svg` and `call.html`.
    pub pictures: bool,
}

/// How much of a call's inputs the journal keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalKeep {
    /// No journal.
    Off,
    /// Everything but the audio itself: enough to decide alike in a replay.
    Decisions,
    /// Everything.
    Audio,
}
