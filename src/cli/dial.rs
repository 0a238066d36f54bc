//! `offhook dial`: places a call through a running server.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use offhook::config;
use offhook::serve::client;
use serde_json::{Value, json};

use super::{Failure, remark, say};

/// Flags of `offhook dial`.
///
/// Exit status: 0 placed (with --wait: answered and over), 1 it failed, 2 not understood, 3 busy, 4 no answer, 5 canceled,
/// 6 a machine answered and no message was left, 7 nobody knows whether it rang, or whether it was taken back.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The number to ring, in E.164: +, country and number
    #[arg(value_name = "NUMBER")]
    number: String,
    /// The deployment that calls
    #[arg(long, value_name = "NAME")]
    deployment: String,
    /// A variable for the agent; may be repeated
    #[arg(long = "var", value_name = "NAME=VALUE")]
    variables: Vec<String>,
    /// Wait for the call's end, and say how it goes
    #[arg(long)]
    wait: bool,
    /// Where the server is, such as https://calls.example.com. Without it: where its configuration has it listen
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Try again a call that was asked for under this key: it does not ring twice. Without it: a new call
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Directory of the server's configuration; its [api] token is used, unless OFFHOOK_API_TOKEN is set
    #[arg(long, value_name = "DIR", default_value = "config")]
    config: PathBuf,
}

/// The environment variable with the token, for where there is no configuration.
const TOKEN: &str = "OFFHOOK_API_TOKEN";
/// How long a server may be away before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest wait between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(4);
/// How often a call is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Exit codes: see [`Args`].
pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut variables = BTreeMap::new();
    for pair in &args.variables {
        let (name, value) =
            pair.split_once('=').ok_or_else(|| format!("--var {pair}: expected NAME=VALUE, such as name=Ann"))?;
        variables.insert(name.to_owned(), value.to_owned());
    }
    let (server, token) = way(&args)?;
    let key = match &args.key {
        Some(key) => key.clone(),
        None => client::new_key().map_err(|error| error.to_string())?,
    };
    let client = client::Client::new(&server, &token).map_err(|error| error.to_string())?;
    let body = json!({ "deployment": args.deployment, "to": args.number, "variables": variables });
    let placed = insist(|| client.post("/v1/calls", Some(&key), &body), &key).await?;
    let call = placed["call"].as_str().unwrap_or_default().to_owned();
    let began = Instant::now();
    let mut shown = String::new();
    show(&mut shown, &placed, began);
    let (mut now, path) = (placed, format!("/v1/calls/{call}"));
    let mut seen = Instant::now();
    while args.wait && !is_over(&now) && seen.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK).await;
        now = match state(&now) {
            // Repeated, the request has it looked up.
            "unknown" | "canceling" => insist(|| client.post("/v1/calls", Some(&key), &body), &key).await?,
            _ => insist(|| client.get(&path), &key).await?,
        };
        if !matches!(state(&now), "unknown" | "canceling") {
            seen = Instant::now();
        }
        show(&mut shown, &now, began);
    }
    Ok(verdict(&now, &key))
}

/// The server and its token.
fn way(args: &Args) -> Result<(String, String), Failure> {
    let given = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
    if let (Some(server), Some(token)) = (&args.server, &given) {
        return Ok((server.clone(), token.clone()));
    }
    // Other secrets than this one are not needed here: one that is not set does no harm.
    let unset = "unset, and too short for a token";
    let env = |name: &str| std::env::var(name).ok().or_else(|| Some(unset.to_owned()));
    let config = config::load_with(&args.config, &env).map_err(|problems| problems.to_string())?;
    let token = given.or_else(|| config.server.api.as_ref().map(|api| api.token.expose().to_owned()));
    let token = token.filter(|token| token != unset).ok_or_else(|| {
        format!(
            "no token for the server's API: set [api] token in {}/offhook.toml and the environment variable that it names, or {TOKEN}",
            args.config.display()
        )
    })?;
    let own = || {
        let listen = config.server.listen_admin.unwrap_or(config.server.listen);
        let ip = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
            ip => ip,
        };
        match (&config.server.tls, config.server.people_url()) {
            // The certificate is for the name by which the world knows it.
            (Some(_), Some(url)) => url.to_owned(),
            (Some(_), None) => format!("https://{}", std::net::SocketAddr::new(ip, listen.port())),
            (None, _) => format!("http://{}", std::net::SocketAddr::new(ip, listen.port())),
        }
    };
    Ok((args.server.clone().unwrap_or_else(own), token))
}

/// Asks until there is an answer: with the same key it does not ring twice.
async fn insist<F>(ask: impl Fn() -> F, key: &str) -> Result<Value, Failure>
where
    F: Future<Output = Result<client::Answer, client::Unreachable>>,
{
    let (began, mut pause) = (Instant::now(), Duration::from_millis(250));
    loop {
        let mut wait = pause;
        let why = match ask().await {
            Ok(client::Answer { status: 200..300, body, .. }) => return Ok(body),
            Ok(client::Answer { status, body, retry_after_s }) => {
                let message = body["error"]["message"].as_str().unwrap_or("no reason given").to_owned();
                if !matches!(status, 408 | 429 | 502..=504) {
                    return Err(format!("the server refuses (HTTP {status}): {message}"));
                }
                wait = retry_after_s.map_or(pause, |seconds| Duration::from_secs(seconds.max(1)));
                message
            }
            Err(unreachable) => unreachable.to_string(),
        };
        // Asked to come later than that, there is nothing to wait for.
        if began.elapsed().saturating_add(wait) >= PATIENCE {
            return Err(format!(
                "no answer within {} s: {why}\ntry again with --key {key}, which does not ring twice",
                PATIENCE.as_secs()
            ));
        }
        remark(format_args!("{why}; trying again"));
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn state(call: &Value) -> &str {
    call["state"].as_str().unwrap_or("unknown")
}

fn is_over(call: &Value) -> bool {
    !matches!(state(call), "queued" | "ringing" | "answered" | "unknown" | "canceling")
}

/// One line for each state.
fn show(shown: &mut String, call: &Value, began: Instant) {
    let now = state(call);
    if shown == now {
        return;
    }
    *shown = now.to_owned();
    let since = began.elapsed().as_secs_f32();
    let more = match (now, call["why"].as_str()) {
        (_, Some(why)) => why.to_owned(),
        ("queued", None) => call["call"].as_str().unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    let line = format!("{since:>7.1} s  {now:<10} {more}");
    say(&format!("{}\n", line.trim_end()));
}

fn verdict(call: &Value, key: &str) -> ExitCode {
    let why = call["why"].as_str().unwrap_or_default();
    ExitCode::from(match state(call) {
        "busy" => 3,
        "no_answer" => 4,
        "canceled" => 5,
        "failed" | "not_placed" => 1,
        "unknown" => {
            remark(format_args!("it is not known whether it rings; --key {key} looks again and does not ring twice"));
            7
        }
        "canceling" => {
            remark(format_args!(
                "it is being taken back, and the carrier has not confirmed that; --key {key} looks again"
            ));
            7
        }
        "completed" if matches!(why, "answering_machine" | "fax" | "voicemail_not_left") => 6,
        "completed" if matches!(why, "model_unavailable" | "model_silent" | "never_connected" | "internal") => 1,
        _ => 0,
    })
}
