//! Bad callers: what a media server on the open network meets, by accident or not. What becomes of them does not count;
//! what the others notice of them does.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::stage::load::callers::Crowd;
use crate::stage::load::random::Random;
use crate::stage::load::target::{self, Way};
use crate::stage::phone::{CallOptions, Outcome, Step, place};

/// The longest that one misdeed takes.
const LONGEST: Duration = Duration::from_secs(15);
/// Nobody is turned away more often than this.
const PAUSE: Duration = Duration::from_millis(200);

/// One misdeed, by chance.
pub(crate) async fn act(crowd: &Crowd, n: usize, left: Duration, random: &mut Random, client: &reqwest::Client) {
    let began = Instant::now();
    let lasts = left.min(LONGEST);
    let deaf = || vec![Step::StopReading(lasts.as_millis() as u64), Step::WaitEnd { max_ms: 60_000 }];
    let (what, misdeed) = match random.below(8) {
        0 => ("floods with media", Misdeed::Call(flood())),
        1 => ("sends garbage", Misdeed::Call(garbage())),
        2 => ("does not read", Misdeed::Call(deaf())),
        3 => ("vanishes", Misdeed::Call(vec![Step::Silence(random.below(2_000) as u64), Step::Die])),
        4 => ("repeats, reorders and skips", Misdeed::Call(scrambled())),
        5 => ("shows a made-up token", Misdeed::Stranger),
        6 => ("never finishes a request", Misdeed::Half("POST /twilio/voice HTTP/1.1\r\nHost: x\r\nContent-Le")),
        _ => ("connects and says nothing", Misdeed::Half("")),
    };
    crowd.books.tally.hostile(what);
    match misdeed {
        Misdeed::Stranger => stranger(crowd, n, lasts).await,
        Misdeed::Half(beginning) => half(crowd, beginning, lasts).await,
        Misdeed::Call(script) => {
            let mut options = crowd.way.call_with(n, script, lasts, random.next());
            options.client = Some(client.clone());
            let report = place(options).await;
            if matches!(report.outcome, Outcome::Refused { .. }) {
                crowd.books.tally.hostile("was refused");
            }
        }
    }
    tokio::time::sleep(PAUSE.saturating_sub(began.elapsed())).await;
}

enum Misdeed {
    /// A call with this script.
    Call(Vec<Step>),
    /// A media socket without a call.
    Stranger,
    /// A connection that sends this and no more.
    Half(&'static str),
}

/// 25 messages of media at once, again and again: nine times as fast as it is spoken.
fn flood() -> Vec<Step> {
    let media = r#"{"event":"media","streamSid":"{streamSid}","media":{"track":"inbound","timestamp":"1","payload":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}"#;
    (0..2_000).flat_map(|n| [Step::Raw(media.to_owned()), Step::Silence(if n % 25 == 0 { 20 } else { 0 })]).collect()
}

fn garbage() -> Vec<Step> {
    let texts = [
        "not json".to_owned(),
        "{".repeat(5_000),
        r#"{"event":"media","streamSid":"MZother","media":{"payload":"AAAA"}}"#.to_owned(),
        r#"{"event":"media","streamSid":"{streamSid}","media":{"payload":"!!!"}}"#.to_owned(),
        r#"{"event":"mark","streamSid":"{streamSid}","mark":{"name":"never-sent"}}"#.to_owned(),
        format!(r#"{{"event":"surprise","padding":"{}"}}"#, "x".repeat(60_000)),
    ];
    let mut script = Vec::new();
    for round in 0..100 {
        script.extend(texts.iter().cloned().map(Step::Raw));
        script.push(Step::RawBinary(vec![round; 1_000]));
        script.push(Step::Silence(100));
    }
    script
}

fn scrambled() -> Vec<Step> {
    let round = [
        Step::Duplicate(20),
        Step::Silence(600),
        Step::Reorder(25),
        Step::Silence(600),
        Step::SkipMedia(700),
        Step::StartAgain,
    ];
    (0..6).flat_map(|_| round.clone()).collect()
}

/// Comes to the media socket as if by TwiML, but without having called.
async fn stranger(crowd: &Crowd, n: usize, lasts: Duration) {
    let Some(address) = crowd.way.address() else { return };
    let (path, token) = match &*crowd.way {
        Way::Webhook { token, .. } => ("/twilio/media".to_owned(), token.clone()),
        Way::Stream { url, token, .. } => {
            let path = url.splitn(4, '/').nth(3).unwrap_or_default();
            (format!("/{path}"), token.clone())
        }
    };
    let parameters = [("token".to_owned(), "0".repeat(64))];
    let options = CallOptions {
        twiml: Some(target::twiml(&format!("ws://{address}{path}"), &parameters)),
        token,
        max_ms: lasts.as_millis() as u64,
        keep_audio: false,
        ..CallOptions::new(format!("http://{address}"), format!("+1{n}"), vec![Step::WaitEnd { max_ms: 5_000 }])
    };
    place(options).await;
}

/// Opens a connection, sends the beginning of something and holds on.
async fn half(crowd: &Crowd, beginning: &str, lasts: Duration) {
    let Some(address) = crowd.way.address() else { return };
    if let Ok(Ok(mut socket)) = timeout(Duration::from_secs(2), TcpStream::connect(&address)).await {
        let _ = socket.write_all(beginning.as_bytes()).await;
        tokio::time::sleep(lasts).await;
    }
}
