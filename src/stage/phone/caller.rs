//! One call, from the voice webhook to the last status callback.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::link::twilio::{manner, signature};
use crate::stage::phone::carrier::Order;
use crate::stage::phone::line::Line;
use crate::stage::phone::meter::{Meter, Unmetered};
use crate::stage::phone::metronome::Pace;
use crate::stage::phone::options::CallOptions;
use crate::stage::phone::report::{EndedBy, Outcome, PhoneReport, Violation, What};
use crate::stage::phone::script::Runner;
use crate::stage::phone::stamps::{new_id, timestamp};
use crate::stage::phone::stream::{self, Identity, Live, Session, StreamEnd};
use crate::stage::phone::twiml::{self, DialNoun, GatherNoun, StreamNoun, Verb};
use crate::stage::phone::webhook::Server;

/// TwiML documents that one call runs at most.
const MAX_DOCUMENTS: usize = 10;
/// Time for a status callback.
const CALLBACK_TIMEOUT: Duration = Duration::from_secs(5);

/// Places a call and lives it to its end. Whatever goes wrong is in the report.
pub async fn place(options: CallOptions) -> PhoneReport {
    place_metered(options, &mut Unmetered).await
}

/// The same, while somebody measures.
pub async fn place_metered(mut options: CallOptions, meter: &mut dyn Meter) -> PhoneReport {
    let call_sid = options.call_sid.take().unwrap_or_else(|| new_id(options.profile, "CA"));
    let (registration, orders) = match &options.carrier {
        Some(carrier) => {
            let (registration, orders) = carrier.register(&call_sid);
            (Some(registration), Some(orders))
        }
        None => (None, None),
    };
    let live = Live { began: Instant::now(), events: options.events.take(), lost: 0 };
    let report = PhoneReport { call_sid: call_sid.clone(), ..PhoneReport::default() };
    let client = options.client.take();
    let server = match Server::new(&options.connect, options.public_url.as_deref(), options.token.clone(), client) {
        Ok(server) => server.signing_as(options.profile),
        Err(detail) => return PhoneReport { outcome: Outcome::HttpError { status: 0, detail }, ..report },
    };
    let mut call = Call {
        options,
        call_sid,
        server,
        live,
        report,
        orders,
        callbacks: JoinSet::new(),
        over: false,
        streamed: false,
        meter,
    };
    call.live.tell(What::Ringing);
    call.meter.placed(Instant::now());
    let document = match call.options.twiml.take() {
        Some(twiml) => Ok(twiml),
        None => call.ask().await,
    };
    match document {
        Ok(document) => call.run(document).await,
        Err(outcome) => call.report.outcome = outcome,
    }
    // A REST request from here on meets a call that is over.
    drop(registration);
    call.finish().await
}

struct Call<'m> {
    options: CallOptions,
    call_sid: String,
    server: Server,
    live: Live,
    report: PhoneReport,
    orders: Option<mpsc::Receiver<Order>>,
    /// Status callbacks under way; each yields whether it was answered 2xx.
    callbacks: JoinSet<bool>,
    over: bool,
    /// A stream was open already.
    streamed: bool,
    meter: &'m mut dyn Meter,
}

impl Call<'_> {
    /// Asks the voice webhook what to do.
    async fn ask(&mut self) -> Result<String, Outcome> {
        let url = self.server.public(&self.options.voice_url);
        let form = self.form(if self.options.placed { "in-progress" } else { "ringing" });
        let answer = self.server.post(&url, &form).await;
        let answer = answer.map_err(|detail| Outcome::HttpError { status: 0, detail })?;
        if !(200..300).contains(&answer.status) {
            let detail = answer.body.chars().take(200).collect();
            return Err(Outcome::HttpError { status: answer.status, detail });
        }
        let kind = answer.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !matches!(kind.as_str(), "text/xml" | "application/xml") {
            return Err(Outcome::BadTwiml { why: format!("Content-Type is {kind:.60}, not text/xml (12300)") });
        }
        Ok(answer.body)
    }

    /// Runs a document, and those that the server puts in its place.
    async fn run(&mut self, document: String) {
        self.report.twiml.clone_from(&document);
        let mut next = Some(document);
        for _ in 0..MAX_DOCUMENTS {
            let Some(document) = next.take() else { break };
            let verbs = match twiml::parse(&document) {
                Ok(verbs) => verbs,
                Err(why) => {
                    self.violate(12_200, why.clone());
                    if self.report.outcome == Outcome::NotAnswered {
                        self.report.outcome = Outcome::BadTwiml { why };
                    }
                    break;
                }
            };
            let mut verbs = VecDeque::from(verbs);
            while let (Some(verb), false) = (verbs.pop_front(), self.over) {
                if let Some(update) = self.perform(verb).await {
                    next = Some(update);
                    break;
                }
            }
        }
        if self.report.outcome == Outcome::NotAnswered {
            self.report.outcome = Outcome::Refused { said: self.report.said.join(" ") };
        }
    }

    /// Carries out one verb; gives the document that replaces the running one, if the server sent one.
    async fn perform(&mut self, verb: Verb) -> Option<String> {
        match verb {
            Verb::Say { text, .. } => {
                self.live.tell(What::CarrierSays(text.clone()));
                self.report.said.push(text);
            }
            Verb::Hangup => self.over = true,
            Verb::Redirect(url) => {
                let form = self.form("in-progress");
                let answer = self.server.post(&self.server.public(&url), &form).await;
                let document =
                    answer.ok().filter(|answer| (200..300).contains(&answer.status)).map(|answer| answer.body);
                // Without a document there is nothing to do with the call (11200).
                self.over = document.is_none();
                return document;
            }
            Verb::Gather(noun) => return self.gather(noun).await,
            Verb::Dial(noun) => return self.dial(noun).await,
            Verb::Press(digits) => {
                // A key every half second, as Twilio plays them; `w` takes as long, `W` twice.
                let ms: u64 = digits.chars().map(|c| if c == 'W' { 1_000 } else { 500 }).sum();
                self.report.pressed.push(digits);
                tokio::time::sleep(Duration::from_millis(ms)).await;
            }
            Verb::Stream(noun) => return self.stream(noun).await,
        }
        None
    }

    /// Keys in what is asked for, at once; gives the document that the action answers with.
    async fn gather(&mut self, noun: GatherNoun) -> Option<String> {
        self.live.tell(What::CarrierSays(noun.said.clone()));
        self.report.said.push(noun.said);
        let keyed = self.options.keyed.pop_front().unwrap_or_default();
        let digits: String = keyed.chars().take_while(|key| Some(*key) != noun.finish).collect();
        let digits: String = digits.chars().take(noun.most.unwrap_or(usize::MAX)).collect();
        if digits.is_empty() && !noun.on_empty {
            return None;
        }
        let mut form = self.form("in-progress");
        let ended_by = if keyed.contains('#') { "#" } else { "" };
        form.push(("Digits".to_owned(), digits));
        form.push(("FinishedOnKey".to_owned(), ended_by.to_owned()));
        form.push(("msg".to_owned(), "Gather End".to_owned()));
        let answer = self.server.post(&self.server.public(&noun.action), &form).await;
        let document = answer.ok().filter(|answer| (200..300).contains(&answer.status)).map(|answer| answer.body);
        self.over = document.is_none();
        document
    }

    /// Puts the caller through; gives the document that says how it goes on.
    async fn dial(&mut self, noun: DialNoun) -> Option<String> {
        self.live.tell(What::Transferred(noun.number.clone()));
        self.report.transferred_to = Some(noun.number.clone());
        self.report.ended_by = EndedBy::Transferred;
        let Some(dialled) = self.options.put_through.pop_front() else {
            self.tell_answered(&noun).await;
            // Whoever takes the call talks to the caller to the end.
            self.over = true;
            return None;
        };
        let rings = Duration::from_millis(dialled.rings_ms.min(noun.timeout_s * 1_000));
        if let Some(update) = self.pass(rings).await {
            return update;
        }
        if dialled.status == "completed" {
            self.tell_answered(&noun).await;
            if let Some(update) = self.pass(Duration::from_millis(dialled.talks_ms)).await {
                return update;
            }
        }
        let left = dialled.status == "canceled";
        let next = match &noun.action {
            Some(action) => {
                let mut form = self.form(if left { "completed" } else { "in-progress" });
                form.push(("DialCallStatus".to_owned(), dialled.status.to_owned()));
                form.push(("DialCallSid".to_owned(), new_id(self.options.profile, "CA")));
                let answer = self.server.post(&self.server.public(action), &form).await;
                answer.ok().filter(|answer| (200..300).contains(&answer.status)).map(|answer| answer.body)
            }
            None => None,
        };
        self.over = left;
        if left {
            self.report.ended_by = EndedBy::Caller;
        }
        next
    }

    /// Lets time pass in which the server may update the call: `Some` when it did, with the document if it goes on.
    async fn pass(&mut self, time: Duration) -> Option<Option<String>> {
        tokio::select! {
            order = stream::next_order(&mut self.orders) => {
                self.report.ended_by = EndedBy::Rest;
                Some(self.follow(order).await)
            }
            () = tokio::time::sleep(time) => None,
        }
    }

    /// What an order has the call do; without a document it is over.
    async fn follow(&mut self, order: Order) -> Option<String> {
        let document = match order {
            Order::Complete => None,
            Order::Update(document) => Some(document),
            Order::Goto(url) => {
                let answer = self.server.post(&url, &self.form("in-progress")).await;
                answer.ok().filter(|answer| (200..300).contains(&answer.status)).map(|answer| answer.body)
            }
        };
        self.over = document.is_none();
        document
    }

    async fn tell_answered(&mut self, noun: &DialNoun) {
        let Some(callback) = &noun.answered else { return };
        let mut form = self.form("in-progress");
        form.retain(|(name, _)| name != "CallSid");
        form.push(("CallSid".to_owned(), new_id(self.options.profile, "CA")));
        form.push(("ParentCallSid".to_owned(), self.call_sid.clone()));
        self.callback(self.server.public(callback), form);
        self.await_callbacks().await;
    }

    async fn stream(&mut self, noun: StreamNoun) -> Option<String> {
        let stream_sid = new_id(self.options.profile, "MZ");
        let socket = match self.open(&noun).await {
            Ok(socket) => socket,
            Err((status, why)) => {
                self.violate(31_920, why.clone());
                self.report.outcome = Outcome::StreamRefused { status, why };
                return None;
            }
        };
        self.report.outcome = Outcome::Connected;
        self.report.stream_sid.clone_from(&stream_sid);
        self.live.tell(What::Connected);
        self.stream_callback(&noun, &stream_sid, "stream-started");
        let identity = Identity {
            profile: self.options.profile,
            stream_sid: stream_sid.clone(),
            call_sid: self.call_sid.clone(),
            account_sid: self.options.account_sid.clone(),
            parameters: noun.parameters.clone(),
        };
        let line = Line::new(stream_sid.clone(), self.options.keep_audio);
        let script = match std::mem::replace(&mut self.streamed, true) {
            false => std::mem::take(&mut self.options.script),
            true => {
                let before = std::mem::take(&mut self.report.audio);
                self.report.earlier_audio.push(before);
                self.options.scripts_after.pop_front().unwrap_or_default()
            }
        };
        let runner = Runner::new(script, self.options.noise_dbfs, self.options.seed);
        let mut session = Session::new(socket, identity, line, runner, &mut self.live, &mut self.report, self.meter);
        session.keep_probes = self.options.keep_probes;
        session.before_start = std::mem::take(&mut self.options.before_start);
        session.max = Duration::from_millis(self.options.max_ms);
        session.clock_ppm = self.options.clock_ppm;
        if let Some(metronome) = &self.options.metronome {
            session.pace = Pace::Metronome(metronome.alarm());
        }
        let end = session.run(&mut self.orders).await;
        // `stream-started` must not overtake the word of the end.
        self.await_callbacks().await;
        self.stream_callback(&noun, &stream_sid, "stream-stopped");
        let (ended_by, over) = match end {
            StreamEnd::HungUp => (EndedBy::Caller, true),
            StreamEnd::Died => (EndedBy::CallerDied, true),
            StreamEnd::Broken => (EndedBy::Broken, false),
            StreamEnd::TimeLimit => (EndedBy::TimeLimit, true),
            StreamEnd::Server { code } => (EndedBy::Server { code }, false),
            StreamEnd::ServerLost => (EndedBy::ServerLost, false),
            StreamEnd::Order(order) => {
                self.report.ended_by = EndedBy::Rest;
                return self.follow(order).await;
            }
        };
        self.report.ended_by = ended_by;
        self.over = over;
        None
    }

    async fn open(&mut self, noun: &StreamNoun) -> Result<stream::Socket, (u16, String)> {
        let (scheme, rest) = noun.url.split_once("://").ok_or((0, "malformed URL (31923)".to_owned()))?;
        // Where the server itself is reached by plain HTTP there is no TLS to be had for the stream either.
        if scheme != "wss" && !(scheme == "ws" && self.server.is_plain()) {
            return Err((0, format!("the scheme is {scheme:.20}, not wss (31922)")));
        }
        if rest.contains('?') {
            return Err((0, "a query string in the stream's URL (31920)".to_owned()));
        }
        let mut headers = self.server.forwarded();
        let signs = manner::of(self.options.profile).signs_upgrades;
        if let Some(token) = noun.bearer.as_ref().filter(|_| !signs) {
            headers.push(("authorization", format!("Bearer {token}")));
        } else if noun.bearer.is_some() {
            return Err((0, "<Stream> has no attribute authBearerToken (12200)".to_owned()));
        } else if let Some(token) = self.options.upgrade_token.as_ref().or(self.options.token.as_ref())
            && signs
        {
            headers.push((signature::HEADER, signature::sign(token, &format!("wss://{rest}"), &[])));
        }
        stream::open(&self.server.reach_stream(&noun.url), &headers).await
    }

    /// The parameters that every voice request has.
    fn form(&self, status: &str) -> Vec<(String, String)> {
        let CallOptions { account_sid, from, to, .. } = &self.options;
        let mut form: Vec<(String, String)> = [
            ("CallSid", self.call_sid.as_str()),
            ("AccountSid", account_sid),
            ("From", from),
            ("To", to),
            ("Caller", from),
            ("Called", to),
            ("CallStatus", status),
            ("ApiVersion", "2010-04-01"),
            ("Direction", if self.options.placed { "outbound-api" } else { "inbound" }),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        form.extend(self.options.verstat.clone().map(|verstat| ("StirVerstat".to_owned(), verstat)));
        for who in ["From", "To", "Caller", "Called"] {
            for (what, value) in [("City", "SAN FRANCISCO"), ("State", "CA"), ("Zip", ""), ("Country", "US")] {
                form.push((format!("{who}{what}"), value.to_owned()));
            }
        }
        form
    }

    fn stream_callback(&mut self, noun: &StreamNoun, stream_sid: &str, event: &str) {
        let Some(callback) = &noun.status_callback else { return };
        let mut form: Vec<(String, String)> = [
            ("AccountSid", self.options.account_sid.as_str()),
            ("CallSid", &self.call_sid),
            ("StreamSid", stream_sid),
            ("StreamEvent", event),
            ("Timestamp", &timestamp().iso_8601()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        if let Some(name) = &noun.name {
            form.push(("StreamName".to_owned(), name.clone()));
        }
        self.callback(self.server.public(callback), form);
    }

    fn callback(&mut self, url: String, form: Vec<(String, String)>) {
        let server = self.server.clone();
        self.callbacks.spawn(async move {
            let answer = tokio::time::timeout(CALLBACK_TIMEOUT, server.post(&url, &form)).await;
            matches!(answer, Ok(Ok(answer)) if (200..300).contains(&answer.status))
        });
    }

    async fn await_callbacks(&mut self) {
        while let Some(answered) = self.callbacks.join_next().await {
            self.report.failed_callbacks += u64::from(!matches!(answered, Ok(true)));
        }
    }

    fn violate(&mut self, code: u16, what: String) {
        self.live.tell(What::Violated(what.clone()));
        self.report.violation_count += 1;
        self.report.violations.push(Violation { at_ms: 0, code, what });
    }

    async fn finish(mut self) -> PhoneReport {
        self.report.duration_ms = self.live.began.elapsed().as_millis() as u64;
        self.live.tell(What::Ended(self.report.ended_by));
        if let Some(callback) = &self.options.status_callback {
            let url = self.server.public(callback);
            let seconds = self.report.duration_ms.div_ceil(1_000);
            let mut form = self.form("completed");
            form.extend(
                [
                    ("Timestamp", timestamp().rfc_2822()),
                    ("SequenceNumber", if self.options.placed { "3" } else { "0" }.to_owned()),
                    ("CallbackSource", "call-progress-events".to_owned()),
                    ("SipResponseCode", "200".to_owned()),
                    ("CallDuration", seconds.to_string()),
                    ("Duration", seconds.div_ceil(60).to_string()),
                ]
                .map(|(name, value)| (name.to_owned(), value)),
            );
            self.await_callbacks().await;
            self.callback(url, form);
        }
        self.await_callbacks().await;
        self.report.events_lost = self.live.lost;
        self.report
    }
}
