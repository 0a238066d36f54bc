//! The one `session.update` of a session: the agent's document in the API's words.

use serde::Serialize;
use serde_json::Value;

use crate::base::audio::{AudioFormat, Codec};
use crate::config::{Agent, Eagerness, McpServer, NoiseEngine, NoiseReduction, Secret, TurnDetection};

/// The session as `agent` wants it with these `instructions`, as the value of `session.update`'s `session`.
///
/// What the far end would otherwise choose is spelt out, with `null` for "off", because defaults differ between
/// documents and servers (`silence_duration_ms` is 500 in one and 200 in the other). Left out: what is at the model's
/// own default and unknown to some compatible servers (`speed` 1.0, no tools, no limit of tokens).
pub(super) fn session<'a>(agent: &'a Agent, instructions: &'a str) -> SessionUpdate<'a> {
    let format = Format::of(agent.model.format);
    let tools: Vec<Tool<'_>> = agent.tools.iter().map(Tool::of).chain(agent.mcp.iter().map(Tool::remote)).collect();
    SessionUpdate {
        kind: "realtime",
        output_modalities: ["audio"],
        instructions,
        audio: Audio {
            input: Input {
                format,
                noise_reduction: match agent.manner.noise_reduction {
                    _ if agent.manner.noise_engine == NoiseEngine::Local => None,
                    NoiseReduction::None => None,
                    NoiseReduction::NearField => Some(Typed { kind: "near_field" }),
                    NoiseReduction::FarField => Some(Typed { kind: "far_field" }),
                },
                transcription: agent.manner.transcription.as_ref().map(|transcription| Transcription {
                    model: &transcription.model,
                    language: agent.manner.language.as_deref(),
                    prompt: transcription.prompt.as_deref(),
                }),
                turn_detection: detection(&agent.manner.turn_detection),
            },
            output: Output {
                format,
                voice: agent.manner.voice.as_deref().map(|voice| match voice.starts_with("voice_") {
                    true => Voice::Custom { id: voice },
                    false => Voice::Named(voice),
                }),
                speed: (agent.manner.speed != 1.0).then_some(agent.manner.speed),
            },
        },
        tool_choice: (!tools.is_empty()).then_some("auto"),
        tools,
        max_output_tokens: agent.manner.max_output_tokens,
    }
}

#[derive(Serialize)]
pub(super) struct SessionUpdate<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    output_modalities: [&'static str; 1],
    instructions: &'a str,
    audio: Audio<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
}

#[derive(Serialize)]
struct Audio<'a> {
    input: Input<'a>,
    output: Output<'a>,
}

#[derive(Serialize)]
struct Input<'a> {
    format: Format,
    noise_reduction: Option<Typed>,
    transcription: Option<Transcription<'a>>,
    turn_detection: Option<Detection>,
}

#[derive(Serialize)]
struct Output<'a> {
    format: Format,
    #[serde(skip_serializing_if = "Option::is_none")]
    voice: Option<Voice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speed: Option<f32>,
}

/// `rate` is required for linear audio and refused for G.711.
#[derive(Clone, Copy, Serialize)]
#[serde(tag = "type")]
enum Format {
    #[serde(rename = "audio/pcmu")]
    Pcmu,
    #[serde(rename = "audio/pcma")]
    Pcma,
    #[serde(rename = "audio/pcm")]
    Pcm { rate: u32 },
}

impl Format {
    fn of(format: AudioFormat) -> Self {
        match format.codec {
            Codec::Pcmu => Format::Pcmu,
            Codec::Pcma => Format::Pcma,
            Codec::Linear16 => Format::Pcm { rate: format.rate_hz },
        }
    }
}

#[derive(Serialize)]
struct Typed {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct Transcription<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Voice<'a> {
    Named(&'a str),
    Custom { id: &'a str },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Detection {
    ServerVad {
        threshold: f32,
        prefix_padding_ms: u32,
        silence_duration_ms: u32,
        create_response: bool,
        interrupt_response: bool,
    },
    SemanticVad {
        eagerness: &'static str,
        create_response: bool,
        interrupt_response: bool,
    },
}

fn detection(setting: &TurnDetection) -> Option<Detection> {
    // The far end answers by itself, which saves a round trip; it never interrupts by itself, because only the engine
    // knows what the caller has heard.
    let (create_response, interrupt_response) = (true, false);
    match *setting {
        TurnDetection::Provider { threshold, prefix_padding_ms, silence_duration_ms } => Some(Detection::ServerVad {
            threshold,
            prefix_padding_ms,
            silence_duration_ms,
            create_response,
            interrupt_response,
        }),
        TurnDetection::Semantic { eagerness } => Some(Detection::SemanticVad {
            eagerness: match eagerness {
                Eagerness::Auto => "auto",
                Eagerness::Low => "low",
                Eagerness::Medium => "medium",
                Eagerness::High => "high",
            },
            create_response,
            interrupt_response,
        }),
        TurnDetection::Local(_) | TurnDetection::Disabled { .. } => None,
    }
}

/// A tool of ours in the API's flat form, or a server of tools that the vendor asks.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Tool<'a> {
    Function {
        name: &'a str,
        description: &'a str,
        parameters: &'a Value,
    },
    Mcp {
        server_label: &'a str,
        server_url: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        server_description: Option<&'a str>,
        /// A secret: it goes to the vendor, and nowhere else.
        #[serde(skip_serializing_if = "Option::is_none")]
        authorization: Option<&'a str>,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        allowed_tools: &'a [String],
        /// Nobody is there to approve anything.
        require_approval: &'static str,
    },
}

impl<'a> Tool<'a> {
    fn of(tool: &'a crate::config::Tool) -> Self {
        let crate::config::Tool { name, description, parameters, .. } = tool;
        Tool::Function { name, description, parameters: parameters.document() }
    }

    fn remote(server: &'a McpServer) -> Self {
        Tool::Mcp {
            server_label: &server.label,
            server_url: &server.url,
            server_description: server.description.as_deref(),
            authorization: server.authorization.as_ref().map(Secret::expose),
            allowed_tools: &server.allowed_tools,
            require_approval: "never",
        }
    }
}
