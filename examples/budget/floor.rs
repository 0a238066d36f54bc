//! The least that a bridge can do: read a message from one socket, write one to the other. No pacing, no marks, no
//! bounds, no account of anything. The model's URL comes as the stream's parameter `model`.

use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{accept_async, connect_async_with_config};

const SESSION: &str = r#"{"type":"session.update","session":{"type":"realtime","output_modalities":["audio"],"audio":{"input":{"format":{"type":"audio/pcmu"},"turn_detection":{"type":"server_vad","threshold":0.5,"prefix_padding_ms":300,"silence_duration_ms":200,"create_response":true,"interrupt_response":true}},"output":{"format":{"type":"audio/pcmu"}}}}}"#;

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

/// Bridges whatever connects, until killed.
pub(crate) async fn run() -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| e.to_string())?;
    println!("{}", listener.local_addr().map_err(|e| e.to_string())?);
    loop {
        let (stream, _) = listener.accept().await.map_err(|e| e.to_string())?;
        tokio::spawn(async move {
            if let Err(error) = bridge(stream).await {
                eprintln!("floor: {error}");
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
    loop {
        tokio::select! {
            message = line.next() => {
                let Some(message) = message.transpose()? else { break };
                let Message::Text(text) = message else { continue };
                let Ok(LineMessage { event: "media", media: Some(media) }) = serde_json::from_str(&text) else { continue };
                let append = format!(r#"{{"type":"input_audio_buffer.append","audio":"{}"}}"#, media.payload);
                model.send(Message::text(append)).await?;
            }
            message = model.next() => {
                let Some(message) = message.transpose()? else { break };
                let Message::Text(text) = message else { continue };
                let Ok(ModelMessage { kind }) = serde_json::from_str(&text) else { continue };
                let out = match kind {
                    "response.output_audio.delta" => {
                        let Ok(Delta { delta }) = serde_json::from_str(&text) else { continue };
                        format!(r#"{{"event":"media","streamSid":"{sid}","media":{{"payload":"{delta}"}}}}"#)
                    }
                    "input_audio_buffer.speech_started" => format!(r#"{{"event":"clear","streamSid":"{sid}"}}"#),
                    _ => continue,
                };
                line.send(Message::text(out)).await?;
            }
        }
    }
    let _ = model.close(None).await;
    Ok(())
}
