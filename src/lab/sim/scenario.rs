//! Scenarios: a script of what happens in a call, one line each, and the trace of what the engine decides.
//!
//! ```text
//! # a comment
//! set interruptions off            settings, before the first step
//! 00:00.100 ready                  the model's session is set up
//! 00:00.200 start                  the media stream begins; caller audio flows from here
//! 00:01.000 speech_started u1 500  by the model's VAD, offset in appended audio
//! 00:01.000 speaks 900             in local mode: what our own ears are told they hear
//! 00:01.000 speaks 900 -36         the same at a level in dBFS, of a television for instance
//! clock 5000                       the line's clock is faster than ours, in parts per million
//! 00:02.000 agent r1 a1 3000       3 s of agent audio, in deltas of 200 ms at five times its own pace
//! 00:03.000 silence r1 a1 3000     the same, but none of it can be heard
//! ```
//!
//! The verbs are those of [`Step`]; text with spaces stands in double quotes.

mod set;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::base::audio::AudioFormat;
use crate::base::time::CallTime;
use crate::config::{
    AfterFailure, Budget, CallSettings, Destination, FalseInterruptions, Interruptions, JournalKeep, Limits,
    NoiseReduction, OnFailure, Playout, Schema, Sound, Spoken, Tool, ToolKind, TurnDetection,
};
use crate::ears::answering::{AnsweredBy, Finding};
use crate::ears::vad::Probability;
use crate::engine::{
    CallerEvent, Control, EffectId, EffectResult, EndReason, Input, MarkId, ModelEvent, ResponseStatus,
    TransferOutcome, Turns, Usage,
};
use crate::lab::sim::Sim;

/// Agent audio arrives in deltas of this length ...
const DELTA_MS: u64 = 200;
/// ... this many times faster than it is played.
const PACE: u64 = 5;

/// How loud a caller is who speaks, and the line when nobody does, in dBFS.
const SPEECH_DB: i8 = -20;
const QUIET_DB: i8 = -60;

/// A script, read.
#[derive(Clone, Debug)]
pub struct Scenario {
    settings: CallSettings,
    delay_ms: u64,
    /// By how much the line's clock runs faster than ours, in parts per million.
    clock_ppm: i64,
    /// Whether audio and marks on the line are part of the trace.
    show_line: bool,
    steps: Vec<(CallTime, Step)>,
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Start,
    CallerAudio(bool),
    /// The stamps of caller audio begin here when it flows next.
    FirstStamp(u64),
    Frame {
        at_ms: u64,
        ms: u64,
    },
    /// How likely every step is speech from here on, in per mille, and its level; for local detection.
    Voice(u16, i8),
    /// What the ears tell of who picked up, with the next audio.
    Found(Finding),
    Key(char),
    Mark(MarkId),
    StallLine(u64),
    HoldMarks(u64),
    HangUp,
    StreamEnded,
    Lost,
    Ready(Option<Turns>),
    Closed {
        reason: String,
        retry: bool,
    },
    SpeechStarted {
        item: String,
        at_ms: u64,
    },
    SpeechStopped {
        item: String,
        at_ms: u64,
    },
    Committed(String),
    CallerWords {
        item: String,
        text: String,
        done: bool,
    },
    TranscriptFailed(String),
    Response(String),
    Audio {
        response: String,
        item: String,
        ms: u64,
        silent: bool,
    },
    AgentWords {
        response: String,
        item: String,
        text: String,
        done: bool,
    },
    Tool {
        response: String,
        call: String,
        name: String,
        arguments: String,
    },
    Done {
        response: String,
        status: ResponseStatus,
        detail: Option<String>,
        fatal: bool,
        retry_after_ms: Option<u64>,
    },
    Error {
        code: String,
        about: Option<crate::engine::CommandKind>,
        number: Option<u32>,
        fatal: bool,
        busy: bool,
        passing: bool,
        retry_after_ms: Option<u64>,
    },
    /// The model is not as it was asked to be.
    NotAsAsked(String),
    Garbage,
    Effect {
        id: u32,
        result: EffectResult,
    },
    Control(Control),
    Wait,
}

impl Scenario {
    /// Reads a script. The error names the line and what is wrong with it.
    pub fn parse(text: &str) -> Result<Scenario, String> {
        let mut scenario =
            Scenario { settings: settings(), delay_ms: 30, clock_ppm: 0, show_line: false, steps: Vec::new() };
        for (number, line) in text.lines().enumerate() {
            let words = split(line);
            if words.is_empty() {
                continue;
            }
            scenario.line(&words).map_err(|e| format!("line {}: {e}: {line}", number + 1))?;
        }
        scenario.steps.sort_by_key(|(at, _)| *at);
        Ok(scenario)
    }

    /// Runs it and answers the trace, with a summary of the report at its end.
    pub fn run(&self) -> (String, Sim) {
        let mut sim = Sim::new(self.settings.clone(), self.delay_ms);
        self.drive(&mut sim);
        let mut text = String::new();
        let of_line = |l: &&String| self.show_line || !(l.contains(" line audio") || l.contains(" line mark"));
        for line in sim.trace.iter().filter(of_line) {
            text.push_str(line);
            text.push('\n');
        }
        let report = sim.engine().report();
        for line in &report.lines {
            let _ = write!(text, "= {} {}..{} {:?}", line.who, line.media_at_ms, line.media_end_ms, line.text);
            if !line.unheard.is_empty() {
                let _ = write!(text, " unheard {:?}", line.unheard);
            }
            text.push('\n');
        }
        for (name, value) in &report.counters {
            let _ = writeln!(text, "= {name} {value}");
        }
        (text, sim)
    }

    /// Runs it with a journal.
    pub fn run_with_journal(&self, keep: JournalKeep) -> Sim {
        let mut sim = Sim::with_journal(self.settings.clone(), self.delay_ms, keep);
        self.drive(&mut sim);
        sim
    }

    fn drive(&self, sim: &mut Sim) {
        sim.line_clock(self.clock_ppm);
        for (at, step) in &self.steps {
            sim.run_until(*at);
            apply(sim, step);
        }
        while sim.engine().phase() == "transcribing"
            && let Some(at) = sim.next_at()
        {
            sim.run_until(at);
        }
    }

    fn line(&mut self, words: &[String]) -> Result<(), String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["set", rest @ ..] => set::set(&mut self.settings, rest),
            ["show", "line"] => {
                self.show_line = true;
                Ok(())
            }
            ["clock", ppm] => {
                self.clock_ppm = ppm.parse().map_err(|_| format!("not a number: {ppm}"))?;
                Ok(())
            }
            ["delay", ms] => {
                self.delay_ms = number(ms)?;
                Ok(())
            }
            [at, what @ ("agent" | "silence"), response, item, ms] => {
                // The audio of a reply arrives piece by piece.
                let (mut at, mut left) = (time(at)?, number(ms)?);
                while left > 0 {
                    let ms = left.min(DELTA_MS);
                    let silent = *what == "silence";
                    let step = Step::Audio { response: (*response).into(), item: (*item).into(), ms, silent };
                    self.steps.push((at, step));
                    at = at.plus_ms(ms / PACE);
                    left -= ms;
                }
                Ok(())
            }
            // For local detection: the caller speaks for so long.
            [at, "speaks", ms] => {
                let at = time(at)?;
                self.steps.push((at, Step::Voice(900, SPEECH_DB)));
                self.steps.push((at.plus_ms(number(ms)?), Step::Voice(0, QUIET_DB)));
                Ok(())
            }
            [at, "speaks", ms, level_db] => {
                let at = time(at)?;
                self.steps.push((at, Step::Voice(900, level(level_db)?)));
                self.steps.push((at.plus_ms(number(ms)?), Step::Voice(0, QUIET_DB)));
                Ok(())
            }
            [at, rest @ ..] => {
                self.steps.push((time(at)?, step(rest)?));
                Ok(())
            }
            [] => Ok(()),
        }
    }
}

/// Settings of a phone call with short, round limits, for scenarios and tests.
pub fn settings() -> CallSettings {
    CallSettings {
        deployment: "main-number".to_owned(),
        agent: "reception".to_owned(),
        revision: "test".to_owned(),
        seed: 1,
        format: AudioFormat::PHONE,
        turn_detection: TurnDetection::Provider { threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 200 },
        shadows: Vec::new(),
        interruptions: Interruptions::On,
        false_interruptions: FalseInterruptions::default(),
        back_channels: Default::default(),
        noise_reduction: NoiseReduction::None,
        echo_guard: true,
        transcribed: true,
        disclaimer: None,
        greeting: Spoken::None,
        greeting_interruptible: true,
        farewell: Spoken::None,
        tools: Tool::built_ins(&[ToolKind::Note, ToolKind::HangUp]),
        destinations: Default::default(),
        variables: Default::default(),
        fetches: false,
        on_failure: OnFailure { line: None, then: AfterFailure::HangUp },
        hold_sound: None,
        filler: None,
        keys: None,
        idle: None,
        limits: Limits {
            max_duration_s: 600,
            max_model_s: 0,
            warn_before_s: 30,
            farewell_s: 5,
            caller_silence_s: 0,
            caller_gone_s: 20,
            line_back_s: 0,
            model_silence_ms: 4_000,
            model_recovery_s: 8,
            transcript_wait_ms: 0,
            media_start_s: 15,
            early_audio_ms: 10_000,
        },
        playout: Playout { lead_ms: 200, batch_ms: 100, max_queue_s: 60, mark_timeout_ms: 5_000 },
        price: None,
        budget: None,
        budget_grows: false,
        tool_sound: None,
        max_session_min: 0,
        dial_timeout_ms: 5_000,
        outbound: None,
        elsewhere: Vec::new(),
    }
}

/// A level in dBFS.
fn level(text: &str) -> Result<i8, String> {
    text.parse().ok().filter(|db| *db <= 0).ok_or_else(|| format!("{text:?} is no level in dBFS"))
}

fn step(words: &[&str]) -> Result<Step, String> {
    let own = |s: &str| s.to_owned();
    let done = |response: &str, status, detail: Option<&&str>| Step::Done {
        response: own(response),
        status,
        detail: detail.map(|d| own(d)),
        fatal: false,
        retry_after_ms: None,
    };
    let failed = |response: &str, detail: &str, fatal, retry_after_ms| Step::Done {
        response: own(response),
        status: ResponseStatus::Failed,
        detail: Some(own(detail)),
        fatal,
        retry_after_ms,
    };
    let error = |code: &str, about, number, fatal, busy| {
        let code = own(code);
        Step::Error { code, about, number, fatal, busy, passing: false, retry_after_ms: None }
    };
    let passing = |code: &str, retry_after_ms| {
        let (code, passing) = (own(code), true);
        Step::Error { code, about: None, number: None, fatal: false, busy: false, passing, retry_after_ms }
    };
    let commit = Some(crate::engine::CommandKind::CommitAudio);
    let create = Some(crate::engine::CommandKind::CreateResponse);
    let output = Some(crate::engine::CommandKind::ToolOutput);
    Ok(match words {
        ["start"] => Step::Start,
        ["caller", "on"] => Step::CallerAudio(true),
        ["caller", "off"] => Step::CallerAudio(false),
        ["first_stamp", ms] => Step::FirstStamp(number(ms)?),
        ["frame", at_ms, ms] => Step::Frame { at_ms: number(at_ms)?, ms: number(ms)? },
        ["probability", per_mille] => {
            let per_mille = number(per_mille)? as u16;
            Step::Voice(per_mille, if per_mille >= 500 { SPEECH_DB } else { QUIET_DB })
        }
        ["probability", per_mille, level_db] => Step::Voice(number(per_mille)? as u16, level(level_db)?),
        ["found", what] => Step::Found(found(what)?),
        ["answered_by", by] => Step::Control(Control::AnsweredBy(AnsweredBy::from_name(by))),
        ["key", digit] => Step::Key(digit.chars().next().ok_or("which key?")?),
        ["mark", generation, seq] => {
            Step::Mark(MarkId { generation: number(generation)? as u32, seq: number(seq)? as u32 })
        }
        ["stall_line", ms] => Step::StallLine(number(ms)?),
        ["hold_marks", ms] => Step::HoldMarks(number(ms)?),
        ["hang_up"] => Step::HangUp,
        ["lost"] => Step::Lost,
        ["ready"] => Step::Ready(None),
        // A model whose own detection of turns cannot be switched off.
        ["ready", "detects", silence_ms] => {
            let silence_ms = number(silence_ms)? as u32;
            Step::Ready(Some(Turns { detects: true, answers: true, prefix_ms: 300, silence_ms }))
        }
        ["ready", "answers_none"] => {
            Step::Ready(Some(Turns { detects: true, answers: false, prefix_ms: 300, silence_ms: 200 }))
        }
        ["not_as_asked", what] => Step::NotAsAsked(own(what)),
        ["closed", reason] => Step::Closed { reason: own(reason), retry: true },
        ["refused", reason] => Step::Closed { reason: own(reason), retry: false },
        ["speech_started", item, ms] => Step::SpeechStarted { item: own(item), at_ms: number(ms)? },
        ["speech_stopped", item, ms] => Step::SpeechStopped { item: own(item), at_ms: number(ms)? },
        ["committed", item] => Step::Committed(own(item)),
        ["unheard", item] => Step::TranscriptFailed(own(item)),
        ["heard", item, text] => Step::CallerWords { item: own(item), text: own(text), done: true },
        ["heard_delta", item, text] => Step::CallerWords { item: own(item), text: own(text), done: false },
        ["response", response] => Step::Response(own(response)),
        ["words", response, item, text] => {
            Step::AgentWords { response: own(response), item: own(item), text: own(text), done: true }
        }
        ["word_delta", response, item, text] => {
            Step::AgentWords { response: own(response), item: own(item), text: own(text), done: false }
        }
        ["tool", response, call, name, arguments] => {
            Step::Tool { response: own(response), call: own(call), name: own(name), arguments: own(arguments) }
        }
        ["done", response] => done(response, ResponseStatus::Completed, None),
        ["done", response, "cancelled"] => done(response, ResponseStatus::Cancelled, None),
        ["done", response, "failed"] => done(response, ResponseStatus::Failed, None),
        ["done", response, "failed", detail] => done(response, ResponseStatus::Failed, Some(detail)),
        ["done", response, "failed", detail, "fatal"] => failed(response, detail, true, None),
        ["done", response, "failed", detail, "after", ms] => failed(response, detail, false, Some(number(ms)?)),
        ["done", response, "incomplete", detail] => done(response, ResponseStatus::Incomplete, Some(detail)),
        ["error", code] => error(code, None, None, false, false),
        ["error", code, "create"] => error(code, create, None, false, false),
        ["error", code, "commit"] => error(code, commit, None, false, false),
        ["error", code, "commit", which] => error(code, commit, Some(number(which)? as u32), false, false),
        ["error", code, "output"] => error(code, output, None, false, false),
        ["error", code, "output", which] => error(code, output, Some(number(which)? as u32), false, false),
        ["error", code, "passing"] => passing(code, None),
        ["error", code, "after", ms] => passing(code, Some(number(ms)?)),
        ["error", code, "busy"] => error(code, None, None, false, true),
        ["fatal", code] => error(code, None, None, true, false),
        ["garbage"] => Step::Garbage,
        ["effect", id, "done"] => Step::Effect { id: number(id)? as u32, result: EffectResult::Done },
        ["effect", id, "failed", why] => {
            Step::Effect { id: number(id)? as u32, result: EffectResult::Failed(own(why)) }
        }
        ["effect", id, "unknown", why] => {
            Step::Effect { id: number(id)? as u32, result: EffectResult::Unknown(own(why)) }
        }
        ["effect", id, "output", text] => {
            Step::Effect { id: number(id)? as u32, result: EffectResult::Output(own(text)) }
        }
        ["effect", id, "variable", name, value] => {
            let variables = [(own(name), own(value))].into();
            Step::Effect { id: number(id)? as u32, result: EffectResult::Variables(variables) }
        }
        ["transfer", "answered"] => Step::Control(Control::Transfer(TransferOutcome::Answered)),
        ["transfer", "busy"] => Step::Control(Control::Transfer(TransferOutcome::Busy)),
        ["transfer", "no_answer"] => Step::Control(Control::Transfer(TransferOutcome::NoAnswer)),
        ["stream_ended"] => Step::StreamEnded,
        ["line_returns"] => Step::Control(Control::LineReturns),
        ["operator", "says", text] => Step::Control(Control::Say(own(text))),
        ["operator", "puts_through", to] => Step::Control(Control::PutThrough(own(to))),
        ["commit"] => Step::Control(Control::CommitTurn),
        ["budget", of, micros] => {
            Step::Control(Control::Budget(Budget { micros: number(micros)?, of: (*of).to_owned() }))
        }
        ["shutdown", "now"] => Step::Control(Control::EndNow(EndReason::Shutdown)),
        ["shutdown"] => Step::Control(Control::End(EndReason::Shutdown)),
        ["wait"] => Step::Wait,
        _ => return Err("unknown step".to_owned()),
    })
}

fn apply(sim: &mut Sim, step: &Step) {
    let cow = |s: &'_ String| Cow::Owned(s.clone());
    let event = match step {
        Step::Start => {
            sim.input(Input::Caller(CallerEvent::Started));
            return sim.caller_audio(true);
        }
        Step::CallerAudio(on) => return sim.caller_audio(*on),
        Step::FirstStamp(ms) => return sim.first_stamp(*ms),
        Step::Frame { at_ms, ms } => {
            let payload = vec![0xFF; (ms * 8) as usize];
            return sim.input(Input::Caller(CallerEvent::Audio { at_ms: *at_ms, payload: &payload }));
        }
        Step::Voice(per_mille, level_db) => return sim.hears(Probability::from_per_mille(*per_mille), *level_db),
        Step::Found(finding) => return sim.finds(*finding),
        Step::Key(digit) => return sim.input(Input::Caller(CallerEvent::Dtmf(*digit))),
        Step::Mark(id) => return sim.input(Input::Caller(CallerEvent::MarkPlayed(*id))),
        Step::StallLine(ms) => {
            let now = sim.now();
            return sim.line().stall(now, *ms);
        }
        Step::HoldMarks(ms) => {
            let now = sim.now();
            return sim.line().hold_marks(now, *ms);
        }
        Step::HangUp => {
            sim.caller_audio(false);
            return sim.input(Input::Caller(CallerEvent::HungUp));
        }
        Step::StreamEnded => {
            sim.caller_audio(false);
            return sim.input(Input::Caller(CallerEvent::StreamEnded));
        }
        Step::Lost => {
            sim.caller_audio(false);
            return sim.input(Input::Caller(CallerEvent::Lost));
        }
        Step::Effect { id, result } => return sim.input(Input::Effect(EffectId(*id), result.clone())),
        Step::Control(control) => return sim.input(Input::Control(control.clone())),
        Step::Wait => return,
        Step::Ready(turns) => ModelEvent::Ready { session: "sess".into(), turns: *turns },
        Step::NotAsAsked(what) => ModelEvent::NotAsAsked { what: cow(what) },
        Step::Closed { reason, retry } => ModelEvent::Closed { reason: cow(reason), retry: *retry },
        Step::SpeechStarted { item, at_ms } => ModelEvent::SpeechStarted { item: cow(item), audio_start_ms: *at_ms },
        Step::SpeechStopped { item, at_ms } => ModelEvent::SpeechStopped { item: cow(item), audio_end_ms: *at_ms },
        Step::Committed(item) => ModelEvent::Committed { item: cow(item) },
        Step::CallerWords { item, text, done } => {
            ModelEvent::CallerTranscript { item: cow(item), text: cow(text), done: *done }
        }
        Step::TranscriptFailed(item) => ModelEvent::TranscriptFailed { item: cow(item) },
        Step::Response(response) => ModelEvent::ResponseStarted { response: cow(response) },
        Step::Audio { response, item, ms, silent } => {
            let payload = vec![if *silent { 0xFF } else { 0x55 }; (ms * 8) as usize];
            let event = ModelEvent::Audio { response: cow(response), item: cow(item), payload: &payload };
            return sim.input(Input::Model(event));
        }
        Step::AgentWords { response, item, text, done } => {
            ModelEvent::AgentTranscript { response: cow(response), item: cow(item), text: cow(text), done: *done }
        }
        Step::Tool { response, call, name, arguments } => ModelEvent::ToolCall {
            response: cow(response),
            call: cow(call),
            name: cow(name),
            arguments: cow(arguments),
        },
        Step::Done { response, status, detail, fatal, retry_after_ms } => {
            let usage = Usage { input_tokens: 10, output_tokens: 20, ..Usage::default() };
            let (response, detail) = (cow(response), detail.as_ref().map(cow));
            let (status, fatal, retry_after_ms) = (*status, *fatal, *retry_after_ms);
            ModelEvent::ResponseDone { response, status, detail, usage, fatal, retry_after_ms }
        }
        Step::Error { code, about, number, fatal, busy, passing, retry_after_ms } => ModelEvent::Error {
            code: cow(code),
            message: "said so".into(),
            about: *about,
            number: *number,
            fatal: *fatal,
            busy: *busy,
            passing: *passing,
            retry_after_ms: *retry_after_ms,
        },
        Step::Garbage => ModelEvent::Garbage,
    };
    sim.input(Input::Model(event));
}

/// A tool that an HTTP server stands behind, and that takes one number.
///
/// # Errors
/// None that a caller could bring about.
pub fn http_tool(name: &str, timeout_ms: u64) -> Result<Tool, String> {
    Ok(Tool {
        name: name.to_owned(),
        description: String::new(),
        parameters: Schema::new(serde_json::json!({
            "type": "object",
            "properties": { "n": { "type": "integer" } },
            "required": ["n"],
            "additionalProperties": false
        }))?,
        does: ToolKind::Http,
        timeout_ms,
    })
}

fn destination(name: &str, to: &str, line: Spoken, ring_s: &str) -> Result<Destination, String> {
    let (name, description) = (name.to_owned(), String::new());
    Ok(Destination { name, number: to.to_owned(), description, line, ring_s: number(ring_s)? })
}

fn found(what: &str) -> Result<Finding, String> {
    let all = [Finding::Speaks, Finding::Human, Finding::Machine, Finding::Beep, Finding::Quiet];
    all.into_iter().find(|finding| finding.name() == what).ok_or_else(|| format!("{what:?} is not found by ears"))
}

fn sound(name: &str, text: &str, ms: u64) -> Sound {
    Sound { name: name.to_owned(), text: text.to_owned(), audio: Arc::from(vec![0x2A; (ms * 8) as usize]) }
}

fn time(text: &str) -> Result<CallTime, String> {
    let (minutes, seconds) = text.split_once(':').ok_or("a step begins with mm:ss.mmm")?;
    let seconds: f64 = seconds.parse().map_err(|_| "a step begins with mm:ss.mmm")?;
    Ok(CallTime::from_ms(number(minutes)? * 60_000 + (seconds * 1_000.0).round() as u64))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number"))
}

/// Splits at spaces and keeps what stands in double quotes together; a quote in a word is literal. A line that begins
/// with `#` is a comment.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    if rest.starts_with('#') {
        return words;
    }
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}
