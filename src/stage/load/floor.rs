//! The floor: the least that a bridge can do. It reads a message from one socket and writes one to the other, with the
//! libraries' default settings: no pacing, no marks, no bounds, no account of anything. What a server costs beyond it is
//! what it does for its callers; a ratio to it can be compared between machines and days. The benchmarks have its two pure
//! functions as their reference too.

use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{accept_async, connect_async_with_config};

/// The model's messages that audio comes in.
const DELTA: &str = "response.output_audio.delta";
const SPEECH_STARTED: &str = "input_audio_buffer.speech_started";
const SESSION: &str = r#"{"type":"session.update","session":{"type":"realtime","output_modalities":["audio"],"audio":{"input":{"format":{"type":"audio/pcmu"},"turn_detection":{"type":"server_vad","threshold":0.5,"prefix_padding_ms":300,"silence_duration_ms":200,"create_response":true,"interrupt_response":true}},"output":{"format":{"type":"audio/pcmu"}}}}}"#;
/// So that the floor's model speaks first, as the server's does.
const GREET: &str = r#"{"type":"response.create"}"#;

/// Says where it listens on standard output, and bridges whatever connects, until it is killed. The model's URL comes as
/// the stream's parameter `model`.
///
/// # Errors
/// No socket can be listened on.
pub async fn run() -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    let addr = listener.local_addr().map_err(|error| error.to_string())?;
    crate::output::say(&format!("{addr}\n"));
    loop {
        // A connection that is gone before it is accepted is not the listener's end.
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(async move {
            if let Err(error) = bridge(stream).await {
                crate::output::remark(format_args!("floor: {error}"));
            }
        });
    }
}

async fn bridge(stream: TcpStream) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut line = accept_async(stream).await?;
    let (sid, url) = loop {
        let Some(Message::Text(text)) = line.next().await.transpose()? else { return Ok(()) };
        let message: Value = serde_json::from_str(&text).unwrap_or_default();
        if message["event"] == "start" {
            let url = message["start"]["customParameters"]["model"].as_str().unwrap_or_default().to_owned();
            break (message["streamSid"].as_str().unwrap_or_default().to_owned(), url);
        }
    };
    let (mut model, _) = connect_async_with_config(url, None, true).await?;
    model.send(Message::text(SESSION)).await?;
    model.send(Message::text(GREET)).await?;
    loop {
        tokio::select! {
            message = line.next() => {
                let Some(message) = message.transpose()? else { break };
                let Message::Text(text) = message else { continue };
                let Some(append) = to_model(&text) else { continue };
                model.send(Message::text(append)).await?;
            }
            message = model.next() => {
                let Some(message) = message.transpose()? else { break };
                let Message::Text(text) = message else { continue };
                let Some(out) = to_line(&text, &sid) else { continue };
                line.send(Message::text(out)).await?;
            }
        }
    }
    let _ = model.close(None).await;
    Ok(())
}

/// The line's message as one for the model; `None` when it is not audio.
pub fn to_model(text: &str) -> Option<String> {
    let Ok(LineMessage { event: "media", media: Some(media) }) = serde_json::from_str(text) else { return None };
    Some(format!(r#"{{"type":"input_audio_buffer.append","audio":"{}"}}"#, media.payload))
}

/// The model's message as one for the stream `sid` of the line; `None` when the line has no use for it.
pub fn to_line(text: &str, sid: &str) -> Option<String> {
    let ModelMessage { kind } = serde_json::from_str(text).ok()?;
    match kind {
        DELTA => {
            let Delta { delta } = serde_json::from_str(text).ok()?;
            Some(format!(r#"{{"event":"media","streamSid":"{sid}","media":{{"payload":"{delta}"}}}}"#))
        }
        SPEECH_STARTED => Some(format!(r#"{{"event":"clear","streamSid":"{sid}"}}"#)),
        _ => None,
    }
}

#[derive(Deserialize)]
struct LineMessage<'a> {
    event: &'a str,
    #[serde(borrow)]
    media: Option<Media<'a>>,
}

#[derive(Deserialize)]
struct Media<'a> {
    payload: &'a str,
}

#[derive(Deserialize)]
struct ModelMessage<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
}

#[derive(Deserialize)]
struct Delta<'a> {
    delta: &'a str,
}
