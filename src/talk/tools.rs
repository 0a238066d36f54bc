//! Tools: what the model calls is checked, run, and answered; then it is asked again.
//!
//! ```text
//!   called ──► refused, in words the model can act on: unknown, not JSON, not of its schema, too many at once
//!      │
//!      ├─────► answered at once (`note`, `hand_off`)
//!      └─────► running ──► answered: done, failed, its time is over
//! ```
//!
//! All calls of one request run at once; the model is asked again when the last has answered. An answer that ends before lets go
//! of them: what they answer is of no use any more.

use std::sync::Arc;

use super::commons::Commons;
use super::conversation::Conversation;
use super::handoff::Reason;
use super::io::{Action, ToolId, ToolResult, What};
use super::row::{Called, From, Row, State, Step};
use super::settings::{ChatTool, Does};
use super::time::TalkTime;
use super::timer::Timer;

/// Calls that are taken in of one request.
const CALLS_MAX: usize = 32;
/// Bytes of all their arguments.
const ARGUMENTS_MAX: usize = 64 * 1024;
/// Bytes of an id or a name of the vendor's.
const NAME_MAX: usize = 128;
/// Bytes of a note.
const NOTE_MAX: usize = 2_000;
/// Documents that an answer names, and bytes of each name.
const SOURCES_MAX: usize = 16;
const SOURCE_MAX: usize = 200;
/// Bytes that a call's answer always may have, so that what went wrong can be told.
const OUTPUT_MIN: usize = 200;

/// A call of which pieces arrive.
#[derive(Debug)]
pub(super) struct Piece {
    index: u32,
    id: String,
    name: String,
    pub(super) arguments: String,
    /// Its arguments had no room.
    cut: bool,
}

/// A call that was made, until all of its request have answered.
#[derive(Debug)]
pub(super) struct Pending {
    /// Its place among those that were called with it.
    place: usize,
    called: Called,
    /// The run that is awaited; `None`: it has answered.
    run: Option<ToolId>,
    since: TalkTime,
    due: TalkTime,
}

impl Conversation {
    /// A piece of a call.
    pub(super) fn on_piece(&mut self, index: u32, id: Option<String>, name: Option<String>, arguments: &str) {
        let Some(request) = self.answer.as_mut().and_then(|answer| answer.request.as_mut()) else { return };
        let pieces = &mut request.pieces;
        let room = ARGUMENTS_MAX.saturating_sub(pieces.iter().map(|piece| piece.arguments.len()).sum());
        let at = match pieces.iter().position(|piece| piece.index == index) {
            Some(at) => at,
            None if pieces.len() < CALLS_MAX => {
                let (id, name, arguments) = (String::new(), String::new(), String::new());
                pieces.push(Piece { index, id, name, arguments, cut: false });
                pieces.len() - 1
            }
            None => return self.count("tool_calls_dropped"),
        };
        let piece = &mut pieces[at];
        for (mine, theirs) in [(&mut piece.id, id), (&mut piece.name, name)] {
            if let Some(theirs) = theirs.filter(|_| mine.is_empty()) {
                *mine = theirs[..theirs.floor_char_boundary(NAME_MAX)].replace('\0', "\u{fffd}");
            }
        }
        let fits = arguments.floor_char_boundary(room);
        piece.cut |= fits < arguments.len();
        piece.arguments.push_str(&arguments[..fits].replace('\0', "\u{fffd}"));
    }

    /// Does what a request called for.
    pub(super) fn run_calls(&mut self, pieces: Vec<Piece>, commons: &mut Commons) {
        for (i, piece) in pieces.into_iter().enumerate() {
            let Some(answer) = &self.answer else { return };
            let is_new = !answer.pending.iter().any(|pending| *pending.called.id == *piece.id);
            let id = match is_new && !piece.id.is_empty() {
                true => piece.id.as_str().into(),
                // Some vendors give none, or one for all.
                false => format!("call_{}_{}_{i}", answer.seq, answer.steps.len()).into(),
            };
            let called = Called {
                id,
                name: piece.name.as_str().into(),
                arguments: piece.arguments.as_str().into(),
                output: "".into(),
                ok: false,
                ms: 0,
            };
            let pending = Pending { place: i, called, run: None, since: self.now, due: self.now };
            match self.checked(&piece) {
                Ok((tool, arguments)) => self.run(pending, &tool, &arguments),
                Err(why) => {
                    self.count("tool_calls_refused");
                    self.done(pending, Err(why));
                }
            }
        }
        self.watch_tools(commons);
    }

    /// The tool and its arguments, or what the model must do about it.
    fn checked(&self, piece: &Piece) -> Result<(ChatTool, serde_json::Value), String> {
        let Some(answer) = &self.answer else { return Err(String::new()) };
        let (name, tools) = (&piece.name, &answer.settings.tools);
        let Some(tool) = tools.iter().find(|tool| *tool.spec.name == **name) else {
            let known: Vec<&str> = tools.iter().map(|tool| &*tool.spec.name).collect();
            return Err(format!("there is no tool {name:?}; the tools are {known:?}"));
        };
        if piece.cut {
            return Err(format!("nothing was done: the arguments of {name} are too long"));
        }
        let arguments = if piece.arguments.trim().is_empty() { "{}" } else { &piece.arguments };
        let value = serde_json::from_str(arguments)
            .map_err(|error| format!("nothing was done: the arguments of {name} are not JSON: {error}"))?;
        let fits = tool.parameters.check(&value);
        fits.map_err(|why| format!("nothing was done: the arguments of {name} do not fit: {why}"))?;
        let (running, parallel) =
            (answer.pending.iter().filter(|p| p.run.is_some()).count(), answer.settings.limits.parallel);
        if tool.does == Does::Asks && running >= parallel {
            return Err(format!(
                "nothing was done: {parallel} tools run already; call it again when they have answered"
            ));
        }
        Ok((tool.clone(), value))
    }

    fn run(&mut self, mut pending: Pending, tool: &ChatTool, arguments: &serde_json::Value) {
        let text = |key: &str| {
            let text = arguments.get(key).and_then(|value| value.as_str()).unwrap_or_default().trim();
            text[..text.floor_char_boundary(NOTE_MAX)].to_owned()
        };
        match tool.does {
            Does::Note => {
                let (seq, event) = (self.history.place(), self.log.last());
                let (text, state) = (text("text").replace('\0', "\u{fffd}").into(), State::Whole);
                self.put(Row { seq, event, from: From::Note, text, client: None, state, answer: None });
                self.done(pending, Ok(r#"{"ok":true}"#.to_owned()));
            }
            Does::HandOff => {
                self.ask_for_person(Reason::named(&text("reason")), "agent");
                if let Some(answer) = &mut self.answer {
                    answer.handed = true;
                }
                let told =
                    "The team was told. Say in one sentence that somebody of the team will take over; then stop.";
                self.done(pending, Ok(told.to_owned()));
            }
            Does::Asks => {
                self.tools = self.tools.wrapping_add(1);
                let id = ToolId(self.tools);
                let Some(answer) = &mut self.answer else { return };
                let name = Arc::clone(&tool.spec.name);
                let http = answer.settings.http_tools.get(&*name).cloned();
                pending.run = Some(id);
                pending.due = self.now.plus_ms(tool.timeout_ms);
                answer.pending.push(pending);
                self.show_tool(&name, true);
                self.out.push_back(Action::RunTool { id, name, http, arguments: arguments.to_string().into() });
            }
        }
    }

    pub(super) fn on_tool(&mut self, id: ToolId, result: ToolResult, commons: &mut Commons) {
        let Some(pending) = self.take_pending(|pending| pending.run == Some(id)) else {
            return self.count("tool_results_late");
        };
        match result {
            ToolResult::Output { text, sources } => {
                self.note_sources(&sources);
                self.done(pending, Ok(text));
            }
            ToolResult::Failed(why) => {
                self.count("tools_failed");
                self.done(pending, Err(why));
            }
        }
        self.watch_tools(commons);
    }

    pub(super) fn on_tools_due(&mut self, commons: &mut Commons) {
        let now = self.now;
        while let Some(pending) = self.take_pending(|pending| pending.run.is_some() && pending.due <= now) {
            if let Some(id) = pending.run {
                self.out.push_back(Action::CancelTool(id));
            }
            self.count("tools_timed_out");
            let waited_s = now.ms_since(pending.since).div_ceil(1_000);
            let why = format!("{} did not answer within {waited_s} s", pending.called.name);
            self.done(pending, Err(why));
        }
        self.watch_tools(commons);
    }

    /// The answer ends: nothing that runs is of use. What was called stays known, since it may have been done.
    pub(super) fn let_tools_go(&mut self) {
        while let Some(pending) = self.take_pending(|pending| pending.run.is_some()) {
            if let Some(id) = pending.run {
                self.out.push_back(Action::CancelTool(id));
            }
            self.count("tools_cancelled");
            self.done(pending, Err("nobody waited for its answer; it may have been done all the same".to_owned()));
        }
        self.end_step();
    }

    /// Waits for what runs; when nothing does, the model is asked again.
    fn watch_tools(&mut self, commons: &mut Commons) {
        let Some(answer) = &self.answer else { return };
        match answer.pending.iter().filter(|pending| pending.run.is_some()).map(|pending| pending.due).min() {
            Some(due) => self.timers.set(Timer::Tools, due),
            None => {
                self.timers.clear(Timer::Tools);
                self.end_step();
                // Said before it handed over, that somebody will come.
                match self.answer.as_ref().is_some_and(|answer| answer.handed && !answer.text.is_empty()) {
                    true => self.end_answer(State::Whole, commons),
                    false => self.ask(),
                }
            }
        }
    }

    fn end_step(&mut self) {
        let Some(answer) = &mut self.answer else { return };
        answer.pending.sort_by_key(|pending| pending.place);
        let calls: Vec<Called> = answer.pending.drain(..).map(|pending| pending.called).collect();
        if !calls.is_empty() {
            answer.steps.push(Step { until: answer.text.len(), calls });
        }
    }

    /// A call has its answer.
    fn done(&mut self, mut pending: Pending, outcome: Result<String, String>) {
        let ran = pending.run.take().is_some();
        let Some(answer) = &mut self.answer else { return };
        let limits = &answer.settings.limits;
        let left = limits.tool_outputs_bytes.saturating_sub(answer.output_bytes);
        let room = limits.tool_output_bytes.min(left).max(OUTPUT_MIN);
        pending.called.ok = outcome.is_ok();
        let output = outcome.unwrap_or_else(|why| serde_json::json!({ "error": why }).to_string());
        let output = output.replace('\0', "\u{fffd}");
        let fits = output.floor_char_boundary(room);
        let is_cut = fits < output.len();
        pending.called.output = match is_cut {
            true => format!("{}… (cut off: {} bytes more)", &output[..fits], output.len() - fits).into(),
            false => output.into(),
        };
        pending.called.ms = self.now.ms_since(pending.since);
        answer.output_bytes += pending.called.output.len();
        let name = Arc::clone(&pending.called.name);
        answer.pending.push(pending);
        if is_cut {
            self.count("tool_outputs_cut");
        }
        if ran {
            self.show_tool(&name, false);
        }
    }

    fn take_pending(&mut self, which: impl Fn(&Pending) -> bool) -> Option<Pending> {
        let pending = &mut self.answer.as_mut()?.pending;
        pending.iter().position(which).map(|at| pending.remove(at))
    }

    fn show_tool(&mut self, name: &Arc<str>, running: bool) {
        let Some(answer) = &self.answer else { return };
        let tool = answer.settings.show_tool_use.then(|| Arc::clone(name));
        let event = self.log.push(What::Tool { message: answer.seq, tool, running });
        self.out.push_back(Action::Deliver(event));
    }

    fn note_sources(&mut self, sources: &[Arc<str>]) {
        let Some(answer) = &mut self.answer else { return };
        let mut dropped = 0;
        for source in sources {
            let source = &source[..source.floor_char_boundary(SOURCE_MAX)];
            let known = answer.sources.iter().any(|known| **known == *source);
            match answer.sources.len() {
                _ if known => {}
                SOURCES_MAX.. => dropped += 1,
                _ => answer.sources.push(source.into()),
            }
        }
        self.add("sources_dropped", dropped);
    }
}
