//! `offhook webhooks listen`: a receiver to try webhooks with.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use offhook::config::Secret;
use offhook::serve::shutdown;
use offhook::serve::webhooks::signature::{self, Refusal};
use serde_json::Value;

use super::super::{Failure, say};

/// Largest body that is read.
const MAX_BODY_BYTES: usize = 4 << 20;
/// Ids that are remembered; then it begins anew.
const MAX_IDS: usize = 100_000;

/// Flags of `offhook webhooks listen`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Listen on this port of this machine; 0 takes a free one.
    #[arg(long, value_name = "N", default_value_t = 8788)]
    port: u16,
    /// What events are signed with. Others on this machine can read a command line: --secret-env is better.
    #[arg(long, value_name = "SECRET", conflicts_with = "secret_env")]
    secret: Option<String>,
    /// The environment variable that holds it. Without either, a new one is made and printed.
    #[arg(long, value_name = "NAME")]
    secret_env: Option<String>,
    /// Answer 500 to so many requests first, to see them tried again.
    #[arg(long, value_name = "N", default_value_t = 0)]
    fail_first: u64,
}

struct Receiver {
    secret: Secret,
    state: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    failing: u64,
    ids: HashSet<String>,
}

/// Receives until SIGTERM or Ctrl-C.
pub(super) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut signal = shutdown::signals().map_err(|error| format!("signals cannot be caught: {error}"))?;
    let (secret, made) = match (&args.secret, &args.secret_env) {
        (Some(secret), _) => (secret.clone(), false),
        (None, Some(name)) => {
            let unset = || format!("environment variable {name} is not set");
            (std::env::var(name).ok().filter(|secret| !secret.is_empty()).ok_or_else(unset)?, false)
        }
        (None, None) => (signature::new_secret().ok_or("no randomness for a secret")?, true),
    };
    let secret = Secret::new(secret.trim());
    signature::sign(&secret, "", 0, b"").map_err(|_| "what follows whsec_ in the secret is not base64".to_owned())?;
    let addr = SocketAddr::from(([127, 0, 0, 1], args.port));
    let listener = tokio::net::TcpListener::bind(addr).await;
    let listener = listener.map_err(|error| format!("cannot listen on {addr} (--port): {error}"))?;
    let addr = listener.local_addr().map_err(|error| error.to_string())?;
    say(&format!("events are received at http://{addr}/\n"));
    if made {
        say(&format!("their secret is {}\n", secret.expose()));
    }
    let state = Mutex::new(Seen { failing: args.fail_first, ids: HashSet::new() });
    let receiver = Arc::new(Receiver { secret, state });
    let app = Router::new().fallback(receive).layer(DefaultBodyLimit::max(MAX_BODY_BYTES)).with_state(receiver);
    tokio::select! {
        served = async { axum::serve(listener, app).await } => {
            served.map_err(|error| format!("listening has ended: {error}"))?;
        }
        () = signal() => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn receive(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, timestamp) = (header(signature::ID), header(signature::TIMESTAMP));
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let verified = signature::verify(&receiver.secret, id, timestamp, &body, header(signature::SIGNATURE), now_s);
    let event: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut seen = receiver.state.lock().unwrap_or_else(PoisonError::into_inner);
    let (word, status) = match verified {
        Err(Refusal::Timestamp) => ("BAD TIME", StatusCode::UNAUTHORIZED),
        Err(_) => ("BAD SIGN", StatusCode::UNAUTHORIZED),
        Ok(()) if seen.failing > 0 => {
            seen.failing -= 1;
            ("failed", StatusCode::INTERNAL_SERVER_ERROR)
        }
        Ok(()) => {
            if seen.ids.len() >= MAX_IDS {
                seen.ids.clear();
            }
            (if seen.ids.insert(id.to_owned()) { "ok" } else { "again" }, StatusCode::OK)
        }
    };
    let clock = format!("{:02}:{:02}:{:02}", now_s / 3_600 % 24, now_s / 60 % 60, now_s % 60);
    let text =
        |value: &Value| value.as_str().unwrap_or("-").chars().filter(|c| !c.is_control()).take(64).collect::<String>();
    let end = event["data"]["end"]["kind"].as_str().unwrap_or_default();
    let end: String = end.chars().filter(|c| !c.is_control()).take(64).collect();
    let id: String = id.chars().take(64).collect();
    let line = format!(
        "{clock}  {word:<8}  {:<16}  {:<22}  {id:<28}  {end}",
        text(&event["type"]),
        text(&event["call"]["id"])
    );
    say(&format!("{}\n", line.trim_end()));
    status
}
