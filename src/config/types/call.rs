//! What a call runs by.

use super::*;

/// What the engine needs to know of the configuration; kept in the journal, so it holds no secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallSettings {
    /// The deployment's name.
    pub deployment: String,
    /// The agent's name.
    pub agent: String,
    /// [`Config::revision`].
    pub revision: String,
    /// Seeds what the call leaves to chance (the jitter of redials), so that a replay decides alike.
    pub seed: u64,
    /// The line's format, both ways.
    pub format: AudioFormat,
    /// See [`Manner::turn_detection`].
    pub turn_detection: TurnDetection,
    /// See [`Manner::shadows`].
    pub shadows: Vec<Shadow>,
    /// See [`Manner::interruptions`].
    pub interruptions: Interruptions,
    /// See [`Manner::false_interruptions`].
    pub false_interruptions: FalseInterruptions,
    /// See [`Manner::back_channels`].
    #[serde(default)]
    pub back_channels: Arc<BackChannels>,
    /// Noise reduction by this server; none when the provider does it.
    pub noise_reduction: NoiseReduction,
    /// See [`Manner::echo_guard`].
    pub echo_guard: bool,
    /// Whether the model sends transcripts of the caller.
    pub transcribed: bool,
    /// See [`Manner::disclaimer`].
    pub disclaimer: Option<Sound>,
    /// See [`Manner::greeting`].
    pub greeting: Spoken,
    /// See [`Manner::greeting_interruptible`].
    pub greeting_interruptible: bool,
    /// See [`Manner::farewell`].
    pub farewell: Spoken,
    /// See [`Agent::tools`].
    pub tools: Arc<[Tool]>,
    /// See [`Agent::destinations`].
    pub destinations: Arc<[Destination]>,
    /// What `{{name.field}}` stands for in what is said, as far as it is known when the call begins.
    pub variables: BTreeMap<String, String>,
    /// Whether further variables are being fetched while the call begins.
    pub fetches: bool,
    /// See [`Manner::on_failure`].
    pub on_failure: OnFailure,
    /// See [`Manner::hold_sound`].
    pub hold_sound: Option<Sound>,
    /// See [`Manner::filler`].
    pub filler: Option<Sound>,
    /// See [`Manner::keys`].
    #[serde(default)]
    pub keys: Option<Keys>,
    /// See [`Manner::idle`].
    #[serde(default)]
    pub idle: Option<Idle>,
    /// See [`Deployment::limits`].
    pub limits: Limits,
    /// See [`Deployment::playout`].
    pub playout: Playout,
    /// See [`Model::price`].
    pub price: Option<Price>,
    /// What the model may cost in this call.
    pub budget: Option<Budget>,
    /// Whether that is a share of a budget, so that more may be asked for.
    #[serde(default)]
    pub budget_grows: bool,
    /// See [`Deployment::tool_sound`].
    #[serde(default)]
    pub tool_sound: Option<ToolSound>,
    /// See [`Model::max_session_min`].
    pub max_session_min: u64,
    /// See [`Model::dial_timeout_ms`].
    pub dial_timeout_ms: u64,
    /// See [`Deployment::outbound`]; `None`: the call came in.
    #[serde(default)]
    pub outbound: Option<Outbound>,
    /// See [`Origins::elsewhere`]. For whoever reads the journal; the engine has no use for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<String>,
}

impl CallSettings {
    /// What a call to `deployment` over a line of `format` runs by.
    pub fn new(deployment: &Deployment, revision: &str, format: AudioFormat, seed: u64) -> Self {
        let agent = &deployment.agent;
        CallSettings {
            deployment: deployment.name.clone(),
            agent: agent.name.clone(),
            revision: revision.to_owned(),
            seed,
            format,
            turn_detection: agent.manner.turn_detection.clone(),
            shadows: agent.manner.shadows.clone(),
            interruptions: agent.manner.interruptions,
            false_interruptions: agent.manner.false_interruptions,
            back_channels: agent.manner.back_channels.clone(),
            noise_reduction: match agent.manner.noise_engine {
                NoiseEngine::Local => agent.manner.noise_reduction,
                NoiseEngine::Provider => NoiseReduction::None,
            },
            echo_guard: agent.manner.echo_guard,
            transcribed: agent.manner.transcription.is_some(),
            disclaimer: agent.manner.disclaimer.clone(),
            greeting: agent.manner.greeting.clone(),
            greeting_interruptible: agent.manner.greeting_interruptible,
            farewell: agent.manner.farewell.clone(),
            tools: agent.tools.clone(),
            destinations: agent.destinations.clone(),
            variables: BTreeMap::new(),
            fetches: false,
            on_failure: agent.manner.on_failure.clone(),
            hold_sound: agent.manner.hold_sound.clone(),
            filler: agent.manner.filler.clone(),
            keys: agent.manner.keys.clone(),
            idle: agent.manner.idle.clone(),
            limits: deployment.limits.clone(),
            playout: deployment.playout.clone(),
            price: agent.model.price,
            budget: None,
            budget_grows: false,
            tool_sound: deployment.tool_sound.clone(),
            max_session_min: agent.model.max_session_min,
            dial_timeout_ms: agent.model.dial_timeout_ms,
            outbound: None,
            elsewhere: deployment.origins.elsewhere(),
        }
    }
}
