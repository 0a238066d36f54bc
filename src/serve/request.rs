//! One request of an agent's document, sent: within its time, with its tries, and an answer of bounded size.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client, Response};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::HttpRequest;
use crate::link::http::Filled;

use super::reach::{Reach, Refused};

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// 200–299.
    pub(super) status: u16,
    pub(super) text: String,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// A short stable name: a label of a metric.
    pub(super) kind: &'static str,
    /// For the model or a log: no secret, no address.
    pub(super) words: String,
    /// Whether a further try may go better.
    again: bool,
}

impl Failure {
    /// One that no further try changes.
    pub(super) fn new(kind: &'static str, words: impl Into<String>) -> Failure {
        Failure { kind, words: words.into(), again: false }
    }
}

/// Sends `filled`, again where that may help, until `deadline`. `request` is what it was filled in from.
pub(super) async fn send(
    reach: &Reach,
    request: &HttpRequest,
    filled: &Filled,
    deadline: Instant,
) -> Result<Answer, Failure> {
    let client = reach.client(&filled.url, request.allow_private).map_err(|refused: Refused| refuse(&refused))?;
    let mut left = request.retries;
    let mut pause = FIRST_PAUSE;
    loop {
        let failed = match timeout_at(deadline, once(client, request, filled)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failed)) => failed,
            Err(_) => return Err(Failure::new("timeout", "no answer in time")),
        };
        let wait = jittered(pause);
        if left == 0 || !failed.again || Instant::now() + wait >= deadline {
            return Err(failed);
        }
        left -= 1;
        pause = (pause * 2).min(LONGEST_PAUSE);
        sleep(wait).await;
    }
}

async fn once(client: &Client, request: &HttpRequest, filled: &Filled) -> Result<Answer, Failure> {
    let method = reqwest::Method::from_bytes(filled.method.name().as_bytes()).unwrap_or(reqwest::Method::GET);
    let mut builder = client.request(method, filled.url.clone());
    for (name, value, secret) in &filled.headers {
        let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()))
        else {
            return Err(Failure::new("request", format!("header {name} has characters that HTTP forbids")));
        };
        value.set_sensitive(*secret);
        builder = builder.header(name, value);
    }
    if let Some(body) = &filled.body {
        builder = builder.body(body.clone());
    }
    let mut answer = builder.send().await.map_err(unreachable_words)?;
    let status = answer.status().as_u16();
    if (300..400).contains(&status) && status != 304 {
        return Err(Failure::new(
            "redirect",
            format!("the server answered with a redirect ({status}), which is not followed"),
        ));
    }
    if !(200..300).contains(&status) {
        let again = matches!(status, 429 | 502 | 503 | 504);
        return Err(Failure { again, ..bad_status(status, &mut answer).await });
    }
    let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("none").to_owned();
    let body = read(&mut answer, request.max_response_bytes).await?;
    let not_text =
        || Failure::new("not_text", format!("the answer is not text (its content type: {})", shorten(&kind, 80)));
    let text = String::from_utf8(body).ok().filter(|text| !text.contains('\0')).ok_or_else(not_text)?;
    Ok(Answer { status, text })
}

/// The body, as long as it is no longer than `max`; what follows is never read.
async fn read(answer: &mut Response, max: usize) -> Result<Vec<u8>, Failure> {
    let too_large = || Failure::new("too_large", format!("the answer is larger than {max} bytes"));
    if answer.content_length().is_some_and(|length| length > max as u64) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(unreachable_words)? {
        if body.len() + chunk.len() > max {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Status and the beginning of the body, which often says what is wrong.
async fn bad_status(status: u16, answer: &mut Response) -> Failure {
    let mut body = Vec::new();
    while body.len() < ERROR_BYTES
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        body.extend_from_slice(&chunk[..chunk.len().min(ERROR_BYTES)]);
    }
    let text = String::from_utf8_lossy(&body);
    let text = shorten(text.trim(), ERROR_CHARS);
    let words = if text.is_empty() {
        format!("the server answered {status}")
    } else {
        format!("the server answered {status}: {text}")
    };
    Failure::new("status", words)
}

fn unreachable_words(error: reqwest::Error) -> Failure {
    if Refused::caused(&error) {
        return refuse(&Refused);
    }
    // The address may hold what is nobody else's business, and adds nothing to the reason.
    let error = error.without_url();
    let mut words = "the server cannot be reached".to_owned();
    let mut source: Option<&dyn std::error::Error> = Some(&error);
    let mut last = String::new();
    while let Some(cause) = source {
        last = cause.to_string();
        source = cause.source();
    }
    if !last.is_empty() {
        words = format!("{words}: {}", shorten(&last, ERROR_CHARS));
    }
    Failure { kind: "unreachable", words, again: true }
}

fn refuse(refused: &Refused) -> Failure {
    Failure::new("refused", refused.to_string())
}

fn shorten(text: &str, max: usize) -> String {
    text.chars().take(max).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// From half of `pause` to all of it, so that many who failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0u8; 1];
    // Without randomness they do.
    let _ = SystemRandom::new().fill(&mut random);
    pause / 2 + pause / 2 * u32::from(random[0]) / 255
}

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Of an error's body.
const ERROR_CHARS: usize = 500;
const ERROR_BYTES: usize = 4 * ERROR_CHARS;
