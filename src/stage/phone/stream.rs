//! The phone's end of one media WebSocket: the script's audio goes out on an absolute schedule, what comes in is played.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use base64_simd::STANDARD;
use futures_util::{Sink, StreamExt};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::base::time::Samples;
use crate::config::CarrierProfile;
use crate::stage::phone::carrier::Order;
use crate::stage::phone::legs::{self, Stamp};
use crate::stage::phone::line::{Line, Received};
use crate::stage::phone::meter::Meter;
use crate::stage::phone::metronome::Pace;
use crate::stage::phone::report::{Audio, PhoneEvent, PhoneReport, What};
use crate::stage::phone::script::{Act, Landmark, Runner, SLOT_BYTES, SLOT_MS};

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connecting and the handshake together.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a polite close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Messages other than audio that wait while the server does not read.
const MAX_WAITING: usize = 256;
/// What is read at once: the library clears it before each read, so that its own 128 KiB cost more than the frame.
const READ_BUFFER: usize = 4 * 1024;
/// Bytes that may wait inside the WebSocket before it counts as stalled: about a second of audio.
const WRITE_BUFFER: usize = 16 * 1024;
/// Most probes of a kind: over half an hour.
const MAX_PROBES: usize = 100_000;

/// Why a stream ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    HungUp,
    Died,
    Broken,
    TimeLimit,
    Server { code: Option<u16> },
    ServerLost,
    Order(Order),
}

/// Tells what happens as it happens.
pub(crate) struct Live {
    pub(crate) began: Instant,
    pub(crate) events: Option<mpsc::Sender<PhoneEvent>>,
    pub(crate) lost: u64,
}

impl Live {
    pub(crate) fn tell(&mut self, what: What) {
        if let Some(events) = &self.events {
            let event = PhoneEvent { at: self.began.elapsed(), what };
            self.lost += u64::from(events.try_send(event).is_err());
        }
    }
}

/// Opens the socket. The error has the handshake's HTTP status, 0 when there was none.
pub(crate) async fn open(url: &str, headers: &[(&'static str, String)]) -> Result<Socket, (u16, String)> {
    let mut request = url.into_client_request().map_err(|error| (0, error.to_string()))?;
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).map_err(|error| (0, error.to_string()))?;
        request.headers_mut().insert(HeaderName::from_static(name), value);
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(1 << 20))
        .max_frame_size(Some(1 << 20))
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER);
    let connecting = tokio_tungstenite::connect_async_with_config(request, Some(config), true);
    match tokio::time::timeout(OPEN_TIMEOUT, connecting).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(Error::Http(response))) => Err((response.status().as_u16(), "no 101 (31920)".to_owned())),
        Ok(Err(error)) => Err((0, format!("{error} (31902)"))),
        Err(_) => Err((0, "connect timeout (31901)".to_owned())),
    }
}

/// Who speaks on the stream.
pub(crate) struct Identity {
    /// Whose stream it is: what its messages leave out.
    pub(crate) profile: CarrierProfile,
    pub(crate) stream_sid: String,
    pub(crate) call_sid: String,
    pub(crate) account_sid: String,
    pub(crate) parameters: Vec<(String, String)>,
}

/// A stream under way.
pub(crate) struct Session<'a> {
    pub(crate) socket: Socket,
    pub(crate) identity: Identity,
    pub(crate) line: Line,
    pub(crate) runner: Runner,
    pub(crate) live: &'a mut Live,
    pub(crate) report: &'a mut PhoneReport,
    pub(crate) keep_probes: bool,
    pub(crate) before_start: Vec<String>,
    pub(crate) max: Duration,
    pub(crate) pace: Pace,
    pub(crate) clock_ppm: i32,
    meter: &'a mut dyn Meter,
    /// Position zero of the stream.
    began: Instant,
    sequence: u64,
    chunk: u64,
    bytes_sent: u64,
    bytes_received: u64,
    waiting: VecDeque<Message>,
    duplicate: u32,
    reorder: u32,
    held: Vec<(String, u64)>,
    stalled_until: Option<Instant>,
    agent_speaks: bool,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        socket: Socket,
        identity: Identity,
        line: Line,
        runner: Runner,
        live: &'a mut Live,
        report: &'a mut PhoneReport,
        meter: &'a mut dyn Meter,
    ) -> Self {
        Session {
            socket,
            identity,
            line,
            runner,
            live,
            report,
            keep_probes: false,
            before_start: Vec::new(),
            max: Duration::from_secs(3_600),
            pace: Pace::default(),
            clock_ppm: 0,
            meter,
            began: Instant::now(),
            sequence: 0,
            chunk: 0,
            bytes_sent: 0,
            bytes_received: 0,
            waiting: VecDeque::new(),
            duplicate: 0,
            reorder: 0,
            held: Vec::new(),
            stalled_until: None,
            agent_speaks: false,
        }
    }

    /// Speaks the script until the stream ends, and closes the socket as the end demands.
    pub(crate) async fn run(mut self, orders: &mut Option<mpsc::Receiver<Order>>) -> StreamEnd {
        self.send(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#.to_owned()).await;
        for text in std::mem::take(&mut self.before_start) {
            let text = self.fill_in(text);
            self.send(text).await;
        }
        self.send_start().await;
        self.began = self.pace.begin(Instant::now());
        self.meter.started(self.began);
        self.report.media_start_ms = Some(self.live.began.elapsed().as_millis() as u64);
        let end = self.talk(orders).await;
        let now = self.position();
        self.line.advance(now);
        match &end {
            StreamEnd::HungUp | StreamEnd::TimeLimit | StreamEnd::Order(_) => {
                self.sequence += 1;
                let Identity { stream_sid, call_sid, account_sid, .. } = &self.identity;
                let mut stop = json!({"event": "stop", "sequenceNumber": self.sequence.to_string(), "streamSid": stream_sid,
                    "stop": {"accountSid": account_sid, "callSid": call_sid}});
                self.leave_out(&mut stop, &["stop"]);
                self.send(stop.to_string()).await;
                self.close().await;
            }
            StreamEnd::Server { .. } => self.close().await,
            StreamEnd::Died | StreamEnd::Broken | StreamEnd::ServerLost => {}
        }
        self.finish();
        end
    }

    async fn talk(&mut self, orders: &mut Option<mpsc::Receiver<Order>>) -> StreamEnd {
        let mut slot = 0u64;
        let mut acts = Vec::new();
        loop {
            let due = self.due(slot);
            let mark =
                self.line.next_mark_at().map(|at| self.began + self.ours(at.as_us(8_000)) + Duration::from_micros(1));
            let wake = mark.map_or(due, |mark| mark.min(due));
            if self.stalled_until.is_some_and(|until| Instant::now() >= until) {
                self.stalled_until = None;
            }
            tokio::select! {
                message = self.socket.next(), if self.stalled_until.is_none() => match message {
                    Some(Ok(Message::Close(frame))) => return StreamEnd::Server { code: frame.map(|f| f.code.into()) },
                    Some(Ok(message)) => self.receive(&message),
                    Some(Err(_)) | None => return StreamEnd::ServerLost,
                },
                order = next_order(orders) => return StreamEnd::Order(order),
                () = self.pace.until(wake) => {}
            }
            let now = self.position();
            self.line.advance(now);
            while let Some(name) = self.line.poll_echo() {
                self.sequence += 1;
                let sequence = self.sequence.to_string();
                let mut echo = json!({"event": "mark", "sequenceNumber": sequence,
                    "streamSid": self.identity.stream_sid, "mark": {"name": name}});
                self.leave_out(&mut echo, &["sequenceNumber"]);
                self.send(echo.to_string()).await;
            }
            // Slots that are late are caught up, each with its own timestamp.
            while Instant::now() >= self.due(slot) {
                self.watch_agent();
                let now = Samples((slot + 1) * SLOT_BYTES as u64);
                self.runner.slot(now, self.line.ears(), &mut acts);
                for act in acts.drain(..) {
                    if let Some(end) = self.act(act, slot).await {
                        return end;
                    }
                }
                slot += 1;
            }
            if self.began.elapsed() >= self.max {
                return StreamEnd::TimeLimit;
            }
        }
    }

    async fn act(&mut self, act: Act, slot: u64) -> Option<StreamEnd> {
        match act {
            Act::Media(audio) => self.send_media(audio, slot).await,
            Act::Landmark(landmark) => {
                let due = self.due(slot);
                match landmark {
                    Landmark::SpeechBegins => self.meter.speech_begins(due),
                    Landmark::TurnEnds => self.meter.turn_ends(due),
                }
            }
            Act::Skip => {}
            Act::Dtmf(digit) => {
                self.sequence += 1;
                let mut key = json!({"event": "dtmf", "streamSid": self.identity.stream_sid,
                    "sequenceNumber": self.sequence.to_string(),
                    "dtmf": {"track": "inbound_track", "digit": digit.to_string()}});
                if self.identity.profile == CarrierProfile::SignalWire {
                    key["dtmf"] = json!({"digit": digit.to_string(), "duration": 100});
                }
                self.send(key.to_string()).await;
                self.live.tell(What::Pressed(digit));
            }
            Act::Raw(text) => {
                let text = self.fill_in(text);
                self.send(text).await;
            }
            Act::RawBinary(bytes) => self.push(Message::binary(bytes)).await,
            Act::StartAgain => self.send_start().await,
            Act::Duplicate(frames) => self.duplicate = frames,
            Act::Reorder(frames) => self.reorder = frames,
            Act::StopReading(ms) => self.stalled_until = Some(Instant::now() + Duration::from_millis(ms)),
            Act::Note(what) => self.live.tell(what),
            Act::Die => return Some(StreamEnd::Died),
            Act::Break => return Some(StreamEnd::Broken),
            Act::HangUp => return Some(StreamEnd::HungUp),
        }
        None
    }

    fn receive(&mut self, message: &Message) {
        let at = Instant::now();
        let now = self.position();
        match message {
            Message::Text(text) => match self.line.receive(now, text) {
                Received::Media(bytes) => {
                    self.report.frames_received += 1;
                    self.bytes_received += bytes as u64;
                    self.meter.receives(at, self.line.newest());
                    if self.keep_probes && self.report.received.len() < MAX_PROBES {
                        self.report.received.push(Stamp { at, bytes: self.bytes_received, digest: 0 });
                    }
                }
                Received::Mark => {}
                Received::Clear(dropped) => {
                    self.meter.cleared(at);
                    self.live.tell(What::Cleared { dropped_ms: dropped.as_ms(8_000) });
                }
                Received::Violation(what) => self.live.tell(What::Violated(what)),
            },
            Message::Binary(_) => {
                self.line.receive_binary(now);
                self.live.tell(What::Violated("binary frame".to_owned()));
            }
            // Pings are answered by the WebSocket itself.
            _ => {}
        }
    }

    async fn send_start(&mut self) {
        self.sequence += 1;
        let Identity { stream_sid, call_sid, account_sid, parameters, .. } = &self.identity;
        let parameters: serde_json::Map<_, _> =
            parameters.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let mut start = json!({"event": "start", "sequenceNumber": self.sequence.to_string(), "streamSid": stream_sid,
            "start": {"streamSid": stream_sid, "accountSid": account_sid, "callSid": call_sid, "tracks": ["inbound"],
                "customParameters": parameters,
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8_000, "channels": 1}}});
        self.leave_out(&mut start, &["streamSid"]);
        self.send(start.to_string()).await;
    }

    /// What SignalWire's messages do not have.
    fn leave_out(&self, message: &mut serde_json::Value, fields: &[&str]) {
        if let (CarrierProfile::SignalWire, Some(message)) = (self.identity.profile, message.as_object_mut()) {
            message.retain(|name, _| !fields.contains(&name.as_str()));
        }
    }

    async fn send_media(&mut self, mut audio: [u8; SLOT_BYTES], slot: u64) {
        let due = self.due(slot);
        self.meter.sends(due, Instant::now(), &mut audio);
        let at_ms = slot * SLOT_MS;
        self.sequence += 1;
        self.chunk += 1;
        let whose = match self.identity.profile {
            CarrierProfile::Twilio => (r#""streamSid":""#, self.identity.stream_sid.as_str(), r#"","#),
            CarrierProfile::SignalWire => ("", "", ""),
        };
        let mut text = format!(
            r#"{{"event":"media","sequenceNumber":"{}",{}{}{}"media":{{"track":"inbound","chunk":"{}","timestamp":"{at_ms}","payload":""#,
            self.sequence, whose.0, whose.1, whose.2, self.chunk
        );
        STANDARD.encode_append(audio, &mut text);
        text.push_str("\"}}");
        let digest = if self.keep_probes { legs::digest(&audio) } else { 0 };
        if self.reorder > 0 {
            self.held.push((text, digest));
            self.reorder -= 1;
            if self.reorder == 0 {
                for (text, digest) in std::mem::take(&mut self.held).into_iter().rev() {
                    self.push_media(text, digest).await;
                }
            }
            return;
        }
        if self.duplicate > 0 {
            self.duplicate -= 1;
            self.push_media(text.clone(), digest).await;
        }
        self.push_media(text, digest).await;
    }

    /// Audio that the server does not take in time is dropped, as Twilio drops it.
    async fn push_media(&mut self, text: String, digest: u64) {
        if !self.try_push(Message::text(text)).await {
            self.report.frames_dropped += 1;
            self.meter.refused();
            return;
        }
        self.report.frames_sent += 1;
        self.bytes_sent += SLOT_BYTES as u64;
        if self.keep_probes && self.report.sent.len() < MAX_PROBES {
            self.report.sent.push(Stamp { at: Instant::now(), bytes: self.bytes_sent, digest });
        }
    }

    async fn send(&mut self, text: String) {
        self.push(Message::text(text)).await;
    }

    async fn push(&mut self, message: Message) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(message);
        }
        self.flush_waiting().await;
    }

    /// Whether nothing waits any longer.
    async fn flush_waiting(&mut self) -> bool {
        while !self.waiting.is_empty() {
            if !self.ready().await {
                return false;
            }
            if let Some(message) = self.waiting.pop_front() {
                self.write(message).await;
            }
        }
        true
    }

    async fn try_push(&mut self, message: Message) -> bool {
        if !self.flush_waiting().await || !self.ready().await {
            return false;
        }
        self.write(message).await;
        true
    }

    /// Whether the socket takes a message now. Never waits. A broken socket takes anything: reading tells of its end.
    async fn ready(&mut self) -> bool {
        let socket = &mut self.socket;
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *socket).poll_ready(cx).is_ready())).await
    }

    async fn write(&mut self, message: Message) {
        let socket = &mut self.socket;
        let _ = Pin::new(&mut *socket).start_send(message);
        // What cannot be flushed now is flushed with the next message.
        poll_fn(|cx| {
            let _ = Pin::new(&mut *socket).poll_flush(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// Says goodbye and reads until the other end has, both within a bound.
    async fn close(&mut self) {
        let goodbye = async {
            while !self.flush_waiting().await {
                tokio::time::sleep(Duration::from_millis(SLOT_MS)).await;
            }
            let _ = self.socket.close(None).await;
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, goodbye).await;
    }

    fn watch_agent(&mut self) {
        let speaks = self.line.ears().speaking_ms(self.position()).is_some();
        if speaks != self.agent_speaks {
            self.agent_speaks = speaks;
            self.live.tell(if speaks { What::AgentSpeaks } else { What::AgentSilent });
        }
    }

    fn fill_in(&self, text: String) -> String {
        text.replace("{streamSid}", &self.identity.stream_sid)
            .replace("{callSid}", &self.identity.call_sid)
            .replace("{accountSid}", &self.identity.account_sid)
    }

    /// When a slot is over, so that its audio can be sent.
    fn due(&self, slot: u64) -> Instant {
        self.began + self.ours((slot + 1) * SLOT_MS * 1_000)
    }

    /// How long so many microseconds of the line's clock are.
    fn ours(&self, line_us: u64) -> Duration {
        Duration::from_micros((u128::from(line_us) * 1_000_000 / self.rate()) as u64)
    }

    fn position(&self) -> Samples {
        Samples::from_us((self.began.elapsed().as_micros() * self.rate() / 1_000_000) as u64, 8_000)
    }

    /// Microseconds of the line's clock in a second of ours.
    fn rate(&self) -> u128 {
        (1_000_000 + i64::from(self.clock_ppm).clamp(-500_000, 500_000)) as u128
    }

    fn finish(mut self) {
        let report = self.report;
        report.first_audio_ms = self.line.ears().first_loud().map(|at| at.as_ms(8_000));
        report.heard = self.line.heard().to_vec();
        report.marks = self.line.marks().to_vec();
        report.clears = self.line.clears().to_vec();
        let (violations, count) = self.line.violations();
        report.violations.extend_from_slice(violations);
        report.violation_count += count;
        report.overflow_ms = self.line.dropped().as_ms(8_000);
        report.audio = Audio(self.line.take_timeline());
    }
}

pub(crate) async fn next_order(orders: &mut Option<mpsc::Receiver<Order>>) -> Order {
    if let Some(receiver) = orders {
        if let Some(order) = receiver.recv().await {
            return order;
        }
        *orders = None;
    }
    std::future::pending().await
}
