//! The OpenAI Realtime dialect: our link and our built-in model, against each other and against the `openai` package.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use offhook::base::audio::{AudioFormat, Codec};
use offhook::config::*;
use offhook::engine::{CommandKind, ModelCommand, ModelEvent, ResponseStatus, Role};
use offhook::link::openai::{self, Session};
use offhook::stage::rehearsal::{Probe, Script, Server};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The far end of both conversations below; the Python one says the same words.
const SCRIPT: &str = r#"
think_ms = 30
pace = 20
delta_ms = 100
api_key = "right"

[[turn]]
hears = "A table, please."
say = "For how many people, please?"

[[turn]]
hears = "Four."
tools = [{ name = "note", arguments = { text = "four" } }]
then_say = "Four it is."

[[turn]]
hears = "Tell me more."
say = "This is a long story that takes a while to tell, and whoever hears it will want to say something long before it has come to its end, because that is what stories on the phone are like."

[otherwise]
say = "I am sorry, could you please say all of that once more, from the beginning?"
"#;

#[tokio::test]
async fn openai_package_holds_a_conversation_with_the_built_in_model() {
    let Some(python) = judges() else { return };
    let server = serve(SCRIPT).await;
    let host = server.addr().to_string();
    let run = move || Command::new(python).arg(script("openai_converse.py")).arg(host).output();
    let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    // All that a WebSocket session without MCP, idle timeouts and diarization can send.
    assert_eq!(text.lines().filter(|line| line.starts_with("seen")).count(), 30, "{text}");
}

#[test]
fn openai_package_accepts_every_command() {
    let Some(python) = judges() else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), every_command().join("\n")).unwrap();
    let output = Command::new(python).arg(script("openai_judge.py")).arg("client").arg(file.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    // Of the API's eleven, a phone call needs neither retrieve nor output_audio_buffer.clear.
    assert_eq!(text.lines().filter(|line| line.starts_with("seen")).count(), 9, "{text}");
}

#[tokio::test]
async fn link_and_built_in_model_hold_a_call() {
    let probe = Probe::new();
    let server =
        Server::bind_with(([127, 0, 0, 1], 0).into(), Script::parse(SCRIPT).unwrap(), Arc::new(probe.clone())).await;
    let server = server.unwrap();
    let mut call = Call::dial(&agent(&server.url())).await.unwrap();
    call.wait(|event| matches!(event, ModelEvent::Ready { session, .. } if session.starts_with("sess_")).then_some(()))
        .await;

    // A spoken turn.
    call.say().await;
    let at = |event: &ModelEvent<'_>| match event {
        ModelEvent::SpeechStarted { audio_start_ms, .. } => Some(*audio_start_ms),
        _ => None,
    };
    assert_eq!(call.wait(at).await, 100);
    let words = |event: &ModelEvent<'_>| match event {
        ModelEvent::AgentTranscript { text, done: true, .. } => Some(text.to_string()),
        _ => None,
    };
    assert_eq!(call.wait(words).await, "For how many people, please?");
    assert_eq!(call.done().await.0, ResponseStatus::Completed);
    assert_eq!(call.audio_bytes, 28 * 65 * 8);

    // A tool call, its output and the answer.
    call.say().await;
    let tool = |event: &ModelEvent<'_>| match event {
        ModelEvent::ToolCall { call, name, arguments, .. } => {
            Some((call.to_string(), name.to_string(), arguments.to_string()))
        }
        _ => None,
    };
    let (id, name, arguments) = call.wait(tool).await;
    assert_eq!((name.as_str(), arguments.as_str()), ("note", r#"{"text":"four"}"#));
    call.done().await;
    call.send(ModelCommand::ToolOutput { number: 1, call: &id, output: "noted" }).await;
    call.send(ModelCommand::CreateResponse { instructions: None }).await;
    assert_eq!(call.wait(words).await, "Four it is.");
    call.done().await;

    // Barge-in as the engine does it: cancel, then truncate at what was heard.
    call.say().await;
    let item = |event: &ModelEvent<'_>| match event {
        ModelEvent::Audio { item, .. } => Some(item.to_string()),
        _ => None,
    };
    let item = call.wait(item).await;
    call.send(ModelCommand::CancelResponse).await;
    let cancelled = call.done().await;
    assert_eq!(cancelled, (ResponseStatus::Cancelled, Some("client_cancelled".to_owned())));
    call.send(ModelCommand::Truncate { item: &item, audio_end_ms: 60 }).await;
    call.send(ModelCommand::Truncate { item: &item, audio_end_ms: 60_000 }).await;
    let complaint = |event: &ModelEvent<'_>| match event {
        ModelEvent::Error { code, about, fatal: false, .. } => Some((code.to_string(), *about)),
        _ => None,
    };
    assert_eq!(call.wait(complaint).await, ("invalid_value".to_owned(), Some(CommandKind::Truncate)));
    call.send(ModelCommand::CancelResponse).await;
    assert_eq!(
        call.wait(complaint).await,
        ("response_cancel_not_active".to_owned(), Some(CommandKind::CancelResponse))
    );

    let counters = call.session.counters();
    assert_eq!((counters.unknown, counters.garbage), (0, 0));
    assert_eq!(probe.heard().last().unwrap().bytes, call.sent_bytes);
    assert_eq!(probe.sent().last().unwrap().bytes, call.audio_bytes as u64);
    let truncations = server.received().iter().filter(|kind| *kind == "conversation.item.truncate").count();
    assert_eq!(truncations, 2);
}

#[tokio::test]
async fn refusals_and_ends_reach_the_engine_as_closed() {
    // A wrong key is final, a busy server is not.
    let server = serve(SCRIPT).await;
    let wrong = Model { api_key: Some(Secret::new("wrong")), ..(*agent(&server.url()).model).clone() };
    let wrong = Agent { model: Arc::new(wrong), ..agent(&server.url()) };
    assert_eq!(
        Call::dial(&wrong).await.err(),
        Some(("HTTP 401: invalid_api_key: Refused by the built-in model.".to_owned(), false))
    );
    let nowhere = agent(&server.url().replace("/v1/", "/v2/"));
    assert_eq!(Call::dial(&nowhere).await.err(), Some(("HTTP 404".to_owned(), false)));
    let server = serve("[fault]\nrefuse = 503\nrefuse_times = 1").await;
    let (reason, retry) = Call::dial(&agent(&server.url())).await.err().unwrap();
    assert!(reason.starts_with("HTTP 503: refused_on_purpose") && retry, "{reason}");

    // The next one is let in, dropped in mid-sentence, and may not come back.
    let server = serve(&format!("{SCRIPT}\n[fault]\nnever_back = true").replace(
        "say = \"For how many people, please?\"",
        "say = \"For how many people, please?\"\nfault = { drop_ms = 500 }",
    ))
    .await;
    let mut call = Call::dial(&agent(&server.url())).await.unwrap();
    call.ready().await;
    call.say().await;
    let closed = |event: &ModelEvent<'_>| match event {
        ModelEvent::Closed { reason, retry } => Some((reason.to_string(), *retry)),
        _ => None,
    };
    assert_eq!(call.wait(closed).await, ("connection lost".to_owned(), true));
    assert_eq!(call.audio_bytes, 500 * 8);
    let (reason, retry) = Call::dial(&agent(&server.url())).await.err().unwrap();
    assert!(reason.starts_with("HTTP 503: server_unavailable") && retry, "{reason}");

    // A session that expires, and the header of the withdrawn beta.
    let server = serve("[fault]\nsession_limit_s = 0.05").await;
    let mut call = Call::dial(&agent(&server.url())).await.unwrap();
    let (reason, retry) = call.wait(closed).await;
    assert!(reason.starts_with("closed with 1001") && retry, "{reason}");
    let server = serve("").await;
    let mut request = server.url().into_client_request().unwrap();
    request.headers_mut().insert("openai-beta", HeaderValue::from_static("realtime=v1"));
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let Some(Ok(Message::Text(text))) = socket.next().await else { panic!() };
    assert!(text.contains("beta_api_shape_disabled"));
    let Some(Ok(Message::Close(Some(frame)))) = socket.next().await else { panic!() };
    assert_eq!(u16::from(frame.code), 4000);
}

#[tokio::test]
async fn nonsense_on_the_wire_is_counted_and_survived() {
    let server = serve("pace = 50\nthink_ms = 0\n[fault]\nmalformed = true").await;
    let mut call = Call::dial(&agent(&server.url())).await.unwrap();
    call.ready().await;
    call.send(ModelCommand::CreateResponse { instructions: Some("Say \"Still here.\"") }).await;
    assert_eq!(call.done().await.0, ResponseStatus::Completed);
    let counters = call.session.counters();
    assert_eq!((counters.garbage, counters.unknown), (4, 2));
}

#[tokio::test]
async fn a_stopped_server_says_goodbye() {
    let server = serve(SCRIPT).await;
    let mut call = Call::dial(&agent(&server.url())).await.unwrap();
    call.ready().await;
    assert_eq!(server.sessions(), 1);
    drop(server);
    let closed = |event: &ModelEvent<'_>| matches!(event, ModelEvent::Closed { retry: true, .. }).then_some(());
    call.wait(closed).await;
}

/// A call's model side: the link around a socket.
struct Call {
    socket: Socket,
    session: Session,
    out: String,
    audio_bytes: usize,
    sent_bytes: u64,
}

impl Call {
    async fn dial(agent: &Agent) -> Result<Call, (String, bool)> {
        let wanted = openai::request(&agent.model);
        let mut request = wanted.url.into_client_request().unwrap();
        for (name, value) in wanted.headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.expose().parse().unwrap());
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((socket, _)) => {
                let session = Session::new(agent, &agent.instructions, AudioFormat::PHONE);
                Ok(Call { socket, session, out: String::new(), audio_bytes: 0, sent_bytes: 0 })
            }
            Err(tungstenite::Error::Http(response)) => {
                let body = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
                match openai::refused(response.status().as_u16(), &body) {
                    ModelEvent::Closed { reason, retry } => Err((reason.into_owned(), retry)),
                    other => panic!("{other:?}"),
                }
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn ready(&mut self) {
        self.wait(|event| matches!(event, ModelEvent::Ready { .. }).then_some(())).await;
    }

    async fn done(&mut self) -> (ResponseStatus, Option<String>) {
        self.wait(|event| match event {
            ModelEvent::ResponseDone { status, detail, .. } => Some((*status, detail.as_deref().map(str::to_owned))),
            _ => None,
        })
        .await
    }

    async fn send(&mut self, command: ModelCommand<'_>) {
        self.session.encode(&command, &mut self.out);
        self.socket.send(Message::Text(self.out.as_str().into())).await.unwrap();
    }

    /// A turn: silence, a square wave, silence.
    async fn say(&mut self) {
        let mut audio = vec![0xFF; 400 * 8];
        audio.extend((0..600 * 8).map(|n| if n / 20 % 2 == 0 { 0x10 } else { 0x90 }));
        audio.extend([0xFF; 300 * 8]);
        for frame in audio.chunks(160) {
            self.send(ModelCommand::AppendAudio(frame)).await;
            self.sent_bytes += frame.len() as u64;
        }
    }

    /// Waits for the event of which `pick` makes something.
    async fn wait<T>(&mut self, pick: impl Fn(&ModelEvent<'_>) -> Option<T>) -> T {
        let mut seen = Vec::new();
        let waiting = async {
            loop {
                let text = match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => text,
                    Some(Ok(Message::Close(frame))) => {
                        let frame = frame.map(|frame| (u16::from(frame.code), frame.reason.to_string()));
                        let (code, reason) = frame.unwrap_or((1005, String::new()));
                        match pick(&openai::closed(Some(code), &reason)) {
                            Some(picked) => break picked,
                            None => panic!("closed with {code} {reason} after {seen:?}"),
                        }
                    }
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => match pick(&openai::closed(None, "")) {
                        Some(picked) => break picked,
                        None => panic!("lost after {seen:?}"),
                    },
                };
                let event = self.session.decode(&text);
                if let Some(ModelEvent::Audio { payload, .. }) = &event {
                    self.audio_bytes += payload.len();
                }
                seen.push(text.chars().take(80).collect::<String>());
                let mut picked = event.as_ref().and_then(&pick);
                while let Some(event) = self.session.poll_event() {
                    picked = picked.or_else(|| pick(&event));
                }
                if let Some(reply) = self.session.poll_reply() {
                    self.socket.send(Message::Text(reply.into())).await.unwrap();
                }
                if let Some(picked) = picked {
                    break picked;
                }
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        waited.unwrap_or_else(|_| panic!("nothing came after {:?}", seen))
    }
}

async fn serve(script: &str) -> Server {
    Server::bind(([127, 0, 0, 1], 0).into(), Script::parse(script).unwrap()).await.unwrap()
}

/// Messages that the link sends: every command, and the set-up of agents that differ in every setting.
fn every_command() -> Vec<String> {
    let base = agent("ws://127.0.0.1/v1/realtime");
    let formats = [AudioFormat::PHONE, AudioFormat::PCM_24K, AudioFormat { codec: Codec::Pcma, rate_hz: 8_000 }];
    let detections = [
        TurnDetection::Provider { threshold: 0.3, prefix_padding_ms: 0, silence_duration_ms: 2_000 },
        TurnDetection::Semantic { eagerness: Eagerness::Auto },
        TurnDetection::Semantic { eagerness: Eagerness::High },
        TurnDetection::Disabled { commit_key: None },
        TurnDetection::Local(TurnSettings::default()),
    ];
    let mut agents = vec![base.clone()];
    let with = |manner: Manner| Agent { manner, ..base.clone() };
    agents.extend(detections.map(|turn_detection| with(Manner { turn_detection, ..base.manner.clone() })));
    agents.extend(
        formats.map(|format| Agent { model: Arc::new(Model { format, ..(*base.model).clone() }), ..base.clone() }),
    );
    let far = NoiseReduction::FarField;
    agents.push(with(Manner { noise_engine: NoiseEngine::Local, ..base.manner.clone() }));
    agents.push(with(Manner { noise_reduction: far, voice: Some("voice_1".into()), ..base.manner.clone() }));
    let bare = Manner {
        noise_reduction: NoiseReduction::None,
        voice: None,
        speed: 0.8,
        language: None,
        transcription: None,
        max_output_tokens: Some(4_096),
        ..base.manner.clone()
    };
    agents.push(Agent { tools: Default::default(), ..with(bare) });
    let mut messages = BTreeSet::new();
    for agent in &agents {
        let mut session = Session::new(agent, &agent.instructions, AudioFormat::PHONE);
        session.decode(r#"{"type":"session.created","session":{"id":"s"}}"#);
        messages.insert(session.poll_reply().unwrap());
        let audio = [0xFF; 160];
        for command in [
            ModelCommand::AppendAudio(&audio),
            ModelCommand::CommitAudio { number: 1 },
            ModelCommand::ClearAudio,
            ModelCommand::CreateResponse { instructions: None },
            ModelCommand::CreateResponse { instructions: Some("Say \"hello\".") },
            ModelCommand::CancelResponse,
            ModelCommand::Truncate { item: "item_1", audio_end_ms: 120 },
            ModelCommand::AddMessage { role: Role::System, text: "s", id: Some("note_1"), first: true },
            ModelCommand::AddMessage { role: Role::Caller, text: "c", id: None, first: false },
            ModelCommand::AddMessage { role: Role::Agent, text: "a", id: None, first: false },
            ModelCommand::DeleteItem { item: "note_1" },
            ModelCommand::ToolOutput { number: 1, call: "call_1", output: "{}" },
        ] {
            let mut out = String::new();
            session.encode(&command, &mut out);
            messages.insert(out);
        }
    }
    messages.into_iter().collect()
}

fn agent(url: &str) -> Agent {
    Agent {
        name: "host".into(),
        instructions: "You answer the phone of a restaurant.".into(),
        model: Arc::new(Model {
            name: "rehearsal".into(),
            url: url.into(),
            api_key: Some(Secret::new("right")),
            headers: vec![],
            format: AudioFormat::PHONE,
            dial_timeout_ms: 5_000,
            price: None,
            max_session_min: 55,
            mcp: false,
        }),
        manner: Manner {
            voice: Some("marin".into()),
            speed: 1.0,
            language: Some("en".into()),
            transcription: Some(Transcription { model: "gpt-transcribe".into(), prompt: Some("Harbour".into()) }),
            max_output_tokens: None,
            turn_detection: TurnDetection::Provider {
                threshold: 0.5,
                prefix_padding_ms: 300,
                silence_duration_ms: 200,
            },
            shadows: Vec::new(),
            interruptions: Interruptions::On,
            false_interruptions: Default::default(),
            back_channels: Default::default(),
            noise_engine: Default::default(),
            echo_guard: true,
            disclaimer: None,
            greeting_interruptible: true,
            noise_reduction: NoiseReduction::NearField,
            greeting: Spoken::None,
            farewell: Spoken::None,
            on_failure: OnFailure { line: None, then: AfterFailure::HangUp },
            hold_sound: None,
            filler: None,
            keys: None,
            idle: None,
        },
        tools: Tool::built_ins(&[ToolKind::Note, ToolKind::HangUp]),
        destinations: Default::default(),
        variables: Default::default(),
        http_tools: Default::default(),
        mcp: Vec::new(),
        fetch: None,
        after: Default::default(),
    }
}

pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire").join(name)
}

/// The interpreter that has the vendors' packages.
pub(crate) fn judges() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/judges/bin/python");
    if python.exists() {
        return Some(python);
    }
    let demanded = std::env::var_os("OFFHOOK_JUDGES").is_some_and(|value| value == "1");
    assert!(!demanded, "OFFHOOK_JUDGES=1, but {} is missing: run ./dev test, which makes it", python.display());
    eprintln!("SKIPPED: {} is missing (./dev test makes it)", python.display());
    None
}
