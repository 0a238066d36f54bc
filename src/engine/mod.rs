//! THE CALL: every decision about one call, and no socket, clock, task, thread or file.
//!
//! The engine splits by the part that owns state: [`uplink`] the caller's audio, [`stamps`] where it belongs, [`clock`] the
//! line's clock beside ours, [`downlink`] the playout ledger,
//! [`session`] the connection to the model, [`reply`] what the model is saying or owes, [`waiting`] a caller who waits for it, [`turn`] the caller's turn,
//! [`local`] what our own ears make of it, [`commits`] turns whose words are not there yet, [`answering`] who picked up, [`tools`] what the model has asked for,
//! [`away`] a line that is lent, [`budget`] what a call may use up, [`keys`] what the caller presses, [`idle`] a caller who says nothing,
//! [`tool_sound`] what is heard while tools run, [`ending`] limits and the way out, [`words`] the caller's last words, [`conversation`] and [`stats`] what is left behind. This file only routes.

mod answering;
mod away;
mod budget;
mod caller;
mod clock;
mod commits;
mod conversation;
mod downlink;
mod ending;
pub mod event;
mod idle;
pub mod io;
mod keys;
mod local;
mod outbox;
mod reply;
pub mod report;
mod session;
mod stamps;
mod stats;
pub mod timer;
mod tool_sound;
mod tools;
mod turn;
mod uplink;
mod variables;
mod waiting;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use event::{CallEvent, EffectResult, EndReason, NotAnswered, Role, TransferOutcome};
pub use io::*;
pub use timer::Timer;

use crate::base::audio::AudioFormat;
use crate::base::time::{CallTime, LineTime, Samples};
use crate::config::{CallSettings, TurnDetection};
use crate::ears::hearing::{Hearing, HearingSettings};
use answering::Answering;
use away::{Doubt, Errand};
use budget::Spending;
use commits::Commits;
use conversation::Conversation;
use downlink::{Downlink, ItemKind, Progress};
use ending::Closing;
use idle::IdleState;
use keys::Keypad;
use local::Local;
use outbox::{Outbox, OwnedCommand};
use reply::{Reply, Weight};
use report::{Report, SCHEMA, Turn};
use session::Session;
use stats::Stats;
use timer::Timers;
use tools::Tools;
use turn::Floor;
use uplink::{Gate, Uplink};

/// While the line is lent, the cap is looked at again after this long.
const CAP_AGAIN_MS: u64 = 1_000;

/// One call, as a value.
///
/// The contract of its loop: **handle, drain, wait.** Call [`handle`](Self::handle) with one input and the time it
/// arrived; call [`poll_action`](Self::poll_action) until it answers `None`, carrying out each action; then wait for the
/// next input or until [`next_deadline`](Self::next_deadline), which is itself an input ([`Input::Tick`]). A new engine
/// has actions to poll before its first input: it dials the model.
#[derive(Debug)]
pub struct CallEngine {
    settings: Arc<CallSettings>,
    now: CallTime,
    phase: Phase,
    out: Outbox,
    timers: Timers,
    uplink: Uplink,
    hearing: Hearing,
    local: Option<Local>,
    downlink: Downlink,
    conversation: Conversation,
    commits: Commits,
    session: Session,
    reply: Reply,
    floor: Floor,
    tools: Tools,
    /// The line is lent, or about to be.
    away: Option<Errand>,
    doubt: Option<Doubt>,
    /// How often the line broke off.
    line_breaks: u32,
    /// When the caller hung up, if that is only known since.
    hung_up_at: Option<CallTime>,
    /// What is still being fetched, if anything.
    fetch: Option<EffectId>,
    fetching: bool,
    variables: BTreeMap<String, String>,
    spending: Spending,
    answering: Answering,
    stats: Stats,
    /// A tool runs that the caller waits for.
    tools_running: bool,
    keypad: Keypad,
    idle: IdleState,
    /// When the line was over, if words were awaited after that.
    line_over_at: Option<CallTime>,
    /// Used again by every step, so that reporting progress allocates nothing.
    progress: Vec<Progress>,
    effects: u32,
}

/// How far the call has come.
///
/// ```text
///            media started                hang_up, a limit, a failure,
///  Ringing ───────────────► Talking ───── an operator, shutdown ─────► Closing
///     │                        │                                         │ all was heard, or its time is up:
///     │ no media in time       │ caller hung up, line dead               │ effect run and done, or its time is up
///     │                        ▼                                         │
///     │               words are awaited ◄────────────────────────────────┤ words of the caller are awaited, else
///     ▼                        ▼ all are there, or their time is up      ▼
///    Over ◄────────────────── Over ◄─────────────────────────────────── Over
/// ```
///
/// While words are awaited there is no line any more, and no place is taken that a caller could need.
///
/// The model's connection has states of its own ([`session`]); it is dialled while the phase is still `Ringing`.
#[derive(Debug)]
enum Phase {
    /// The carrier announced the call; its media stream is not there yet.
    Ringing {
        /// The model failed already: the fallback line waits for the stream.
        failed: Option<EndReason>,
    },
    /// Audio flows.
    Talking,
    /// The last words, then the way out.
    Closing(Closing),
    /// The line is over; what the caller said last is still being written down.
    Transcribing(EndReason),
    /// Nothing follows.
    Over(EndReason),
}

impl CallEngine {
    /// A call that has just been announced by the carrier, at [`CallTime::ZERO`].
    pub fn new(settings: Arc<CallSettings>) -> Self {
        let mut hearing = Hearing::new(ears(&settings), settings.format);
        if let Some(outbound) = settings.outbound.as_ref().filter(|outbound| outbound.detect.own()) {
            hearing.listen_for_answer(outbound.monologue_ms);
        }
        Self::with_ears(settings, hearing)
    }

    /// The same, but its ears are [told](Self::tell) what they hear, as in a replay: it decides alike on any machine, and
    /// without the audio.
    pub fn told(settings: Arc<CallSettings>) -> Self {
        let hearing = Hearing::told(ears(&settings), settings.format);
        Self::with_ears(settings, hearing)
    }

    fn with_ears(settings: Arc<CallSettings>, hearing: Hearing) -> Self {
        let local = Self::own_ears(&settings);
        let gate = Self::gate(&settings.turn_detection, settings.format);
        let mut engine = CallEngine {
            now: CallTime::ZERO,
            phase: Phase::Ringing { failed: None },
            out: Outbox::default(),
            timers: Timers::default(),
            uplink: Uplink::new(settings.format, settings.limits.early_audio_ms, gate),
            hearing,
            local,
            downlink: Downlink::new(settings.format, &settings.playout, settings.tool_sound.as_ref()),
            conversation: Conversation::default(),
            commits: Commits::default(),
            session: Session::new(settings.seed),
            reply: Reply::default(),
            floor: Floor::default(),
            tools: Tools::default(),
            away: None,
            doubt: None,
            line_breaks: 0,
            hung_up_at: None,
            fetch: None,
            fetching: settings.fetches,
            variables: settings.variables.clone(),
            spending: Spending::default(),
            answering: Answering::default(),
            stats: Stats::default(),
            tools_running: false,
            keypad: Keypad::default(),
            idle: IdleState::default(),
            line_over_at: None,
            progress: Vec::new(),
            effects: 0,
            settings,
        };
        engine.timers.set(Timer::MediaStart, CallTime::from_ms(engine.settings.limits.media_start_s * 1_000));
        let (deployment, agent) = (engine.settings.deployment.clone(), engine.settings.agent.clone());
        engine.emit(CallEvent::Announced { deployment, agent, revision: engine.settings.revision.clone() });
        engine.begin_fetch();
        engine.dial();
        engine
    }

    fn own_ears(settings: &CallSettings) -> Option<Local> {
        match &settings.turn_detection {
            TurnDetection::Local(turn) => Some(Local::new(settings, turn)),
            _ => None,
        }
    }

    /// What the model is given to hear.
    fn gate(detection: &TurnDetection, format: AudioFormat) -> Gate {
        match detection {
            TurnDetection::Local(turn) => Gate::turns(turn, format),
            TurnDetection::Disabled { .. } => Gate::Untold,
            _ => Gate::All,
        }
    }

    /// Takes in what happened at `at`. Never fails: bad input degrades or ends the call, with a reason. `at` never runs
    /// backwards; an earlier time counts as the latest one seen.
    pub fn handle(&mut self, at: CallTime, input: Input<'_>) {
        if self.is_over() {
            return;
        }
        self.now = self.now.max(at);
        self.out.begin_step();
        match input {
            // There is no line, and nothing that the world does or asks is of use any more.
            Input::Caller(_) | Input::Effect(..) if self.line_over_at.is_some() => {}
            Input::Control(control) if self.line_over_at.is_some() && !matches!(control, Control::EndNow(_)) => {}
            Input::Caller(event) => self.on_caller(event),
            Input::Model(event) => self.on_model(event),
            Input::Effect(id, result) => self.on_effect(id, result),
            Input::Control(control) => self.on_control(control),
            Input::Tick => {}
        }
        // After the input: audio that is here counts, even when it is handled late.
        while !self.is_over()
            && let Some(timer) = self.timers.pop_due(self.now)
        {
            self.on_timer(timer);
        }
        if !self.is_over() {
            self.settle();
        }
    }

    /// The next thing to do, in order. After [`Action::End`] there is nothing more, for good.
    pub fn poll_action(&mut self) -> Option<Action<'_>> {
        self.out.poll()
    }

    /// When to send [`Input::Tick`], and what it waits for; `None` once the call is over.
    pub fn next_deadline(&self) -> Option<(CallTime, Timer)> {
        self.timers.next()
    }

    /// Whether [`Action::End`] was given out.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    /// A short stable name of the phase, for operators.
    pub fn phase(&self) -> &'static str {
        match self.phase {
            Phase::Ringing { .. } => "ringing",
            Phase::Talking => "talking",
            Phase::Closing(_) => "closing",
            Phase::Transcribing(_) => "transcribing",
            Phase::Over(_) => "over",
        }
    }

    /// Media time of a position in what was heard, such as a step's end. Exact for the latest ones: of breaks in the line's
    /// clock only so many are remembered.
    pub fn media_of_heard(&self, heard: Samples) -> Samples {
        self.uplink.media_of_appended(heard)
    }

    /// The report as of now. `call`, `carrier_call`, `started` and `recording` are left empty: the engine does not know them.
    pub fn report(&self) -> Report {
        let rate_hz = self.settings.format.rate_hz;
        let over_at = self.hung_up_at.or(self.line_over_at).unwrap_or(self.now);
        // A call that was cut off by the server's end has lines in the middle of being heard.
        let spoken = self.downlink.playing(self.line_now()).filter(|(item, _)| item.kind != ItemKind::Sound);
        let playing: Vec<_> = spoken.map(|(item, heard)| (item.line, heard, item.received())).collect();
        let mut counters = self.stats.counters();
        let more = [
            ("caller_frames", self.uplink.frames),
            ("caller_gap_ms", self.uplink.gap_samples.as_ms(rate_hz)),
            ("agent_audio_sent_ms", self.downlink.sent_total.as_ms(rate_hz)),
            ("tool_sound_sent_ms", self.downlink.bed_sent().as_ms(rate_hz)),
            ("marks_of_cleared_audio", self.downlink.marks_cleared),
            ("marks_unknown", self.downlink.marks_unknown),
            ("lines_unlisted", self.conversation.refused),
            ("line_stamps_ignored", u64::from(self.uplink.ignores_stamps())),
        ];
        counters.extend(more.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n)));
        Report {
            schema: SCHEMA,
            call: String::new(),
            carrier_call: String::new(),
            started: String::new(),
            direction: None,
            from: None,
            to: None,
            deployment: self.settings.deployment.clone(),
            agent: self.settings.agent.clone(),
            revision: self.settings.revision.clone(),
            model: None,
            rate_hz,
            duration_ms: over_at.as_ms(),
            media_start_at_ms: self.uplink.started_at().map(CallTime::as_ms),
            media_ms: self.uplink.started_at().map(|_| self.uplink.media_at(over_at).as_ms(rate_hz)),
            line_clock_ppm: self.uplink.clock.skew_ppm(),
            model_ready_at_ms: self.stats.model_ready_at.map(CallTime::as_ms),
            end: match &self.phase {
                Phase::Over(reason) | Phase::Transcribing(reason) => reason.clone(),
                Phase::Closing(closing) => closing.reason.clone(),
                _ => EndReason::Internal { why: "the call has not ended".to_owned() },
            },
            lines: self.conversation.report(rate_hz, over_at, |t| self.uplink.media_at(t), &playing),
            turns: self.stats.turns.iter().cloned().map(Turn::with_latency).collect(),
            interruptions: self.stats.interruptions.clone(),
            shadows: self
                .local
                .iter()
                .flat_map(|local| local.shadows.iter().map(crate::ears::turn::shadow::Shadow::tally))
                .collect(),
            notes: self.stats.notes.clone(),
            answered_by: self.answering.answered.clone(),
            keys: self.stats.keys.clone(),
            tools: self.stats.tools.clone(),
            complaints: self.stats.complaints.clone(),
            gaps: self.uplink.gaps.clone(),
            counters,
            usage: self.stats.usage,
            model_ms: self.model_open_ms(),
            cost_micros: self.cost_micros(),
            cost: self.settings.price.map(|price| price.parts(&self.stats.usage, self.model_open_ms())),
            recording: None,
            journal: None,
        }
    }

    fn on_model(&mut self, event: ModelEvent<'_>) {
        let of_conversation = !matches!(
            event,
            ModelEvent::Ready { .. }
                | ModelEvent::NotAsAsked { .. }
                | ModelEvent::Closed { .. }
                | ModelEvent::Error { .. }
                | ModelEvent::Garbage
        );
        if of_conversation && !self.session.is_ready() {
            // Sent before the session was set up, or after it was let go: of no conversation of ours.
            self.stats.count("model_events_out_of_session", 1);
            return;
        }
        match event {
            ModelEvent::Ready { turns, .. } => self.on_ready(turns),
            ModelEvent::NotAsAsked { what } => self.complain("session", &what),
            ModelEvent::Closed { reason, retry } => self.on_closed(&reason, retry),
            ModelEvent::Error { code, message, about, number, fatal, busy, passing, retry_after_ms } => {
                let weight = Weight { fatal, busy, passing, retry_after_ms };
                self.on_model_error(&code, &message, about, number, weight);
            }
            ModelEvent::Garbage => self.stats.count("model_garbage", 1),
            // The line is over: only words, and what was spent, are still taken.
            ModelEvent::SpeechStarted { .. } | ModelEvent::SpeechStopped { .. } | ModelEvent::ToolCall { .. }
                if self.line_over_at.is_some() => {}
            ModelEvent::SpeechStarted { item, audio_start_ms } => self.on_speech_started(&item, audio_start_ms),
            ModelEvent::SpeechStopped { audio_end_ms, .. } => self.on_speech_stopped(audio_end_ms),
            ModelEvent::Committed { item } => self.on_committed(&item),
            ModelEvent::CallerTranscript { item, text, done } => self.on_caller_words(&item, &text, done),
            ModelEvent::TranscriptFailed { item } => self.on_transcript_failed(&item),
            ModelEvent::ResponseStarted { response } => self.on_response_started(&response),
            ModelEvent::Audio { response, item, payload } => self.on_agent_audio(&response, &item, payload),
            ModelEvent::AgentTranscript { item, text, done, .. } => self.on_agent_words(&item, &text, done),
            ModelEvent::ToolCall { response, call, name, arguments } => {
                self.on_tool_call(&response, &call, &name, &arguments);
            }
            ModelEvent::ResponseDone { response, status, detail, usage, fatal, retry_after_ms } => {
                let weight = Weight { fatal, retry_after_ms, ..Weight::default() };
                self.on_response_done(&response, status, detail.as_deref(), usage, weight);
            }
        }
    }

    fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Feed => {} // settling feeds
            Timer::MarkOverdue => self.on_marks_overdue(),
            Timer::Pad => self.on_pad(),
            Timer::Interrupt => self.on_interrupt_due(),
            Timer::Verdict => self.on_verdict_due(),
            Timer::Held => self.on_held_due(),
            Timer::ModelDial => self.on_dial_timeout(),
            Timer::ModelRedial => self.dial(),
            Timer::ModelRecovery => self.on_recovery_timeout(),
            Timer::ModelRenew => self.session.renew_due = true,
            Timer::Hold => self.on_hold_due(),
            Timer::ToolSound => self.on_tool_sound_due(),
            Timer::Keys => self.on_keys_due(),
            Timer::Idle => self.on_idle_due(),
            Timer::ModelSilent => self.on_model_silent(),
            Timer::ModelRetry => self.on_retry_due(),
            Timer::MediaStart => self.finish(EndReason::NeverConnected),
            Timer::CallerGone if self.lends_line() => {}
            Timer::CallerGone if self.leaves_without_line() => {}
            Timer::CallerGone => self.on_line_ended(EndReason::CallerGone),
            Timer::CallerSilent => self.close_with_farewell(EndReason::CallerSilent),
            Timer::Answering => self.on_answering_due(),
            Timer::CapWarning => self.on_cap_warning(),
            // A caller who is being put through is not hung up on.
            Timer::Cap if self.is_lending() => self.timers.set(Timer::Cap, self.now.plus_ms(CAP_AGAIN_MS)),
            Timer::Cap => self.close_with_farewell(EndReason::DurationCap),
            Timer::Farewell => self.on_farewell_due(),
            Timer::Tools => self.on_tools_due(),
            Timer::Away => self.on_away_due(),
            Timer::Budget => self.watch_budget(),
            Timer::HangUp => self.on_hang_up_timeout(),
            Timer::Words => self.on_words_due(),
        }
    }

    /// What follows from the new state, whatever brought it about.
    fn settle(&mut self) {
        if self.line_over_at.is_some() {
            self.end_when_worded();
            return;
        }
        self.settle_idle_verdict();
        if !matches!(self.phase, Phase::Talking) && !self.line_is_lent() {
            // Last words are heard.
            self.release_agent("closing");
        }
        self.settle_errand();
        self.settle_tool_sound();
        self.feed();
        self.watch_caller_silence();
        self.watch_idle();
        self.renew_at_edge();
        self.leave_when_heard();
    }

    /// The model complains: its words are told once each.
    fn complain(&mut self, about: &'static str, text: &str) {
        if !text.is_empty() && self.stats.complained(self.now, about, text) {
            self.emit(CallEvent::ModelComplained { about: about.to_owned(), text: text.to_owned() });
        }
    }

    fn emit(&mut self, event: CallEvent) {
        self.out.emit(event);
    }

    /// Now by the line's clock.
    fn line_now(&self) -> LineTime {
        self.uplink.clock.line_at(self.now)
    }

    fn rate_hz(&self) -> u32 {
        self.settings.format.rate_hz
    }
}

fn ears(settings: &CallSettings) -> HearingSettings {
    HearingSettings {
        engine: match &settings.turn_detection {
            TurnDetection::Local(turn) => Some(turn.engine),
            _ => None,
        },
        echo_guard: settings.echo_guard,
        noise_reduction: settings.noise_reduction,
    }
}
