//! Tools: what the model calls is checked, run by the world or waited for, and answered.
//!
//! Several run at once and answer in whatever order they are done. A response is asked for once nothing that the same
//! response called still runs, so that the caller hears one answer rather than pieces of it. A caller who cuts in takes
//! nothing away: what a tool answers is given to the model all the same, and to the next session as text if the one that
//! asked is gone. What runs when the call ends is let go of.
//!
//! ```text
//!   called ──► refused, in words the model can act on: unknown, not JSON, not of its schema, too many at once
//!      │
//!      ├─────► answered at once (`note`), or the call is on its way out (`hang_up`)
//!      └─────► running ──► answered: done, failed, its time is over, the caller pressed or spoke
//! ```

use std::collections::VecDeque;

use super::*;
use crate::config::{Tool, ToolKind};

/// Tools at once; one more is refused.
const RUNNING_MAX: usize = 8;
/// Responses in a row that only call tools; then the caller has to speak first.
const ROUNDS_MAX: u32 = 16;
/// Bytes kept of a note or a reason.
const NOTE_MAX: usize = 2_000;
/// Bytes of an answer that the model is given: it reads all of it before it says a word.
const OUTPUT_MAX: usize = 64 * 1024;
/// Bytes of an answer that a later session is told.
const TOLD_MAX: usize = 4_096;
/// Answers remembered in case the model refuses them.
const GIVEN_MAX: usize = 16;
/// How long `press_to_continue` waits unless it says so, in seconds.
const PRESS_S: u64 = 30;

/// What runs.
#[derive(Debug, Default)]
pub(super) struct Tools {
    running: Vec<Running>,
    /// Responses since the caller spoke that only called tools.
    rounds: u32,
    /// The last one of them, in its session: it counts once, however many tools it called.
    counted: (u32, String),
    /// Answers that the model was given, the latest last: it may refuse one yet.
    given: VecDeque<Given>,
    /// The number of the last one.
    last: u32,
}

/// An answer that the model was given.
#[derive(Debug)]
struct Given {
    number: u32,
    call: String,
    session: u32,
    /// The line of the conversation that tells it to a session after this one.
    line: usize,
}

#[derive(Debug)]
struct Running {
    /// The model's name for this call.
    call: String,
    /// The response that called it.
    response: String,
    /// Which of the model's sessions it was called in.
    session: u32,
    name: String,
    kind: ToolKind,
    since: CallTime,
    due: CallTime,
    /// What the world does for it; `None` when it waits for time or for the caller.
    effect: Option<EffectId>,
}

impl Running {
    /// Whether it waits for the line to be lent and come back.
    fn is_errand(&self) -> bool {
        matches!(self.kind, ToolKind::Transfer | ToolKind::SendDtmf)
    }
}

impl Tools {
    /// Whether the caller waits for one: not when it is the agent who waits for the caller.
    pub(super) fn keep_caller_waiting(&self) -> bool {
        self.running.iter().any(|r| matches!(r.kind, ToolKind::Http | ToolKind::Knowledge))
    }

    /// Whether the agent waits for the caller, who may be silent meanwhile, or for a tool.
    pub(super) fn excuse_silence(&self) -> bool {
        !self.running.is_empty()
    }

    /// The number for the next answer.
    pub(super) fn number(&mut self) -> u32 {
        self.last += 1;
        self.last
    }

    /// Counts anew: the caller spoke.
    pub(super) fn caller_spoke(&mut self) {
        self.rounds = 0;
    }
}

impl CallEngine {
    pub(super) fn on_tool_call(&mut self, response: &str, call: &str, name: &str, arguments: &str) {
        self.emit(CallEvent::ToolCalled { name: name.to_owned(), arguments: arguments.to_owned() });
        self.reply.called_tool();
        let running = Running {
            call: call.to_owned(),
            response: response.to_owned(),
            session: self.conversation.session(),
            name: name.to_owned(),
            kind: ToolKind::Note,
            since: self.now,
            due: self.now,
            effect: None,
        };
        match self.checked(name, arguments) {
            Ok((tool, arguments)) => self.run_tool(Running { kind: tool.does, ..running }, &tool, arguments),
            Err(why) => {
                self.stats.count("tool_calls_refused", 1);
                self.answer_tool(running, error(&why));
            }
        }
    }

    /// The tool and its arguments, or what the model must do about it.
    fn checked(&self, name: &str, arguments: &str) -> Result<(Tool, serde_json::Value), String> {
        let tools = &self.settings.tools;
        let Some(tool) = tools.iter().find(|tool| tool.name == name) else {
            let known: Vec<_> = tools.iter().map(|tool| tool.name.as_str()).collect();
            return Err(format!("there is no tool {name:?}; the tools are {known:?}"));
        };
        let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
        let value = serde_json::from_str(arguments)
            .map_err(|e| format!("nothing was done: the arguments of {name} are not JSON: {e}"))?;
        let fits = tool.parameters.check(&value);
        fits.map_err(|why| format!("nothing was done: the arguments of {name} do not fit: {why}"))?;
        let at_once = matches!(tool.does, ToolKind::Note | ToolKind::HangUp);
        if !at_once && self.tools.running.len() >= RUNNING_MAX {
            return Err(format!("nothing was done: {RUNNING_MAX} tools run already; wait for their answers"));
        }
        Ok((tool.clone(), value))
    }

    fn run_tool(&mut self, mut running: Running, tool: &Tool, arguments: serde_json::Value) {
        let text = |key: &str| {
            let text = arguments.get(key).and_then(|v| v.as_str()).unwrap_or_default().trim();
            text[..text.floor_char_boundary(NOTE_MAX)].to_owned()
        };
        let seconds = arguments.get("seconds").and_then(serde_json::Value::as_u64);
        // The caller has something to say yet.
        let overtaken = self.reply.is_being_cancelled(&running.response);
        match tool.does {
            ToolKind::Note if text("text").is_empty() => {
                self.answer_tool(running, error("note needs {\"text\": \"...\"}"));
            }
            ToolKind::Note => {
                let note = text("text");
                self.stats.noted(self.now, &note);
                self.emit(CallEvent::Noted { text: note });
                self.answer_tool(running, r#"{"ok":true}"#.to_owned());
            }
            ToolKind::HangUp if overtaken => {
                self.answer_tool(running, error("the caller interrupted; the call goes on"));
            }
            ToolKind::HangUp if self.away.is_some() => {
                let why = "nothing was done: the line is lent; the call ends by itself when somebody answers there";
                self.answer_tool(running, error(why));
            }
            ToolKind::HangUp => {
                self.stats.used(self.now, &running.name, "", 0);
                self.hang_up_by_tool(&running.call, text("reason"));
            }
            ToolKind::Transfer | ToolKind::SendDtmf | ToolKind::PressToContinue | ToolKind::Wait if overtaken => {
                self.answer_tool(running, error("the caller interrupted; nothing was done"));
            }
            ToolKind::Transfer | ToolKind::SendDtmf if self.away.is_some() => {
                self.answer_tool(
                    running,
                    error("nothing was done: the line is busy with another transfer or other keys"),
                );
            }
            ToolKind::Transfer => {
                let name = text("destination");
                match self.settings.destinations.iter().find(|d| d.name == name).cloned() {
                    Some(destination) => {
                        let call = running.call.clone();
                        self.wait_with(running, self.now.plus_ms(away::LONGEST_MS));
                        self.begin_transfer(destination, Some(call));
                    }
                    None => self.answer_tool(running, error(&format!("there is no destination {name:?}"))),
                }
            }
            ToolKind::SendDtmf => {
                let call = running.call.clone();
                self.wait_with(running, self.now.plus_ms(away::LONGEST_MS));
                self.begin_dtmf(text("digits"), Some(call));
            }
            ToolKind::PressToContinue => {
                self.wait_with(running, self.now.plus_ms(seconds.unwrap_or(PRESS_S) * 1_000));
            }
            ToolKind::Wait => self.wait_with(running, self.now.plus_ms(seconds.unwrap_or(PRESS_S) * 1_000)),
            ToolKind::Http | ToolKind::Knowledge => {
                let effect = Effect::Tool { name: tool.name.clone(), arguments: arguments.to_string() };
                running.effect = Some(self.begin_effect(effect));
                self.wait_with(running, self.now.plus_ms(tool.timeout_ms));
            }
        }
    }

    fn wait_with(&mut self, mut running: Running, due: CallTime) {
        running.due = due;
        // One that was answered before is spoken of together with this one.
        self.reply.withdraw(reply::TOOL_ANSWERED);
        if !self.reply.is_being_cancelled(&running.response) {
            // Nobody waits for the model meanwhile.
            self.answered();
        }
        self.tools.running.push(running);
        self.watch_tools();
    }

    /// An effect that stands behind a tool has come to its end. Answers whether it was one.
    pub(super) fn on_tool_effect(&mut self, id: EffectId, result: &EffectResult) -> bool {
        let Some(running) = self.take_running(|r| r.effect == Some(id)) else { return false };
        let output = match result {
            EffectResult::Output(text) => {
                let cut = text.floor_char_boundary(OUTPUT_MAX);
                if cut < text.len() { format!("{}… (cut off)", &text[..cut]) } else { text.clone() }
            }
            EffectResult::Failed(why) | EffectResult::Unknown(why) => {
                self.stats.count("tools_failed", 1);
                error(why)
            }
            EffectResult::Done | EffectResult::Variables(_) => r#"{"ok":true}"#.to_owned(),
        };
        self.answer_tool(running, output);
        true
    }

    /// The errand that a tool waited for has come to its end. `then_ask`: nothing else is about to be answered. Answers
    /// whether a tool waited.
    pub(super) fn on_errand_done(&mut self, call: &str, output: String, then_ask: bool) -> bool {
        let Some(running) = self.take_running(|r| r.call == call && r.is_errand()) else { return false };
        if then_ask {
            self.answer_tool(running, output);
        } else {
            self.deliver(&running, output);
        }
        true
    }

    /// The same, when there is no model any more to be told.
    pub(super) fn note_answered(&mut self, call: &str, output: &str) {
        if let Some(running) = self.take_running(|r| r.call == call && r.is_errand()) {
            self.stats.used(self.now, &running.name, output, self.now.ms_since(running.since));
        }
    }

    /// A key was pressed. Answers whether a tool waited for one: then it is nobody else's.
    pub(super) fn tool_takes_key(&mut self, digit: char) -> bool {
        let pressed = format!(r#"{{"pressed":"{digit}"}}"#);
        let mut taken = false;
        while let Some(running) = self.take_running(|r| matches!(r.kind, ToolKind::PressToContinue)) {
            taken = true;
            self.answer_tool(running, pressed.clone());
        }
        self.end_waits(r#"{"ended":"the caller pressed a key"}"#);
        taken
    }

    /// The caller is back: nobody has to wait any longer.
    pub(super) fn end_waits(&mut self, why: &str) {
        while let Some(running) = self.take_running(|r| r.kind == ToolKind::Wait) {
            self.answer_tool(running, why.to_owned());
        }
    }

    pub(super) fn on_tools_due(&mut self) {
        let now = self.now;
        // An errand has a time of its own, and a tool that waits for it waits as long.
        if self.is_lending() {
            for errand in self.tools.running.iter_mut().filter(|r| r.is_errand()) {
                errand.due = errand.due.max(now.plus_ms(away::LONGEST_MS));
            }
        }
        while let Some(running) = self.take_running(|r| r.due <= now) {
            if running.is_errand() {
                self.away = None;
            }
            let waited_s = now.ms_since(running.since).div_ceil(1_000);
            let output = match running.kind {
                ToolKind::PressToContinue => format!(r#"{{"pressed":null,"waited_s":{waited_s}}}"#),
                ToolKind::Wait => format!(r#"{{"ended":"the time is over","waited_s":{waited_s}}}"#),
                _ => {
                    if let Some(effect) = running.effect {
                        self.out.cancel(effect);
                    }
                    self.stats.count("tools_timed_out", 1);
                    error(&format!("{} did not answer within {waited_s} s", running.name))
                }
            };
            self.answer_tool(running, output);
        }
    }

    /// The end: nothing that runs can be of use.
    pub(super) fn cancel_tools(&mut self) {
        for running in std::mem::take(&mut self.tools.running) {
            if let Some(effect) = running.effect {
                self.out.cancel(effect);
            }
            self.stats.count("tools_cancelled", 1);
            let waited_ms = self.now.ms_since(running.since);
            self.stats.used(self.now, &running.name, r#"{"cancelled":"the call ended"}"#, waited_ms);
        }
        self.watch_tools();
    }

    fn take_running(&mut self, which: impl Fn(&Running) -> bool) -> Option<Running> {
        let index = self.tools.running.iter().position(which)?;
        let running = self.tools.running.remove(index);
        self.watch_tools();
        Some(running)
    }

    fn watch_tools(&mut self) {
        self.tools_running = self.tools.keep_caller_waiting();
        match self.tools.running.iter().map(|r| r.due).min() {
            Some(due) => self.timers.set(Timer::Tools, due),
            None => self.timers.clear(Timer::Tools),
        }
    }

    fn answer_tool(&mut self, running: Running, output: String) {
        self.deliver(&running, output);
        let Running { response, session, .. } = running;
        if self.tools.running.iter().any(|r| r.response == response && r.session == session) {
            return;
        }
        let this = (session, response);
        if self.tools.counted != this {
            self.tools.counted = this;
            self.tools.rounds += 1;
        }
        if self.tools.rounds > ROUNDS_MAX {
            self.stats.count("tool_rounds_refused", 1);
            return;
        }
        // Digits that are open are answered when they are complete, and this with them.
        if !matches!(self.phase, Phase::Talking) || self.answering.is_deaf() || self.keypad.is_open() {
            return;
        }
        if !self.floor.is_speaking() {
            self.ask(reply::TOOL_ANSWERED, None);
            // Also when it must wait for the end of another: that may never come.
            self.await_reply();
        } else if self.local.is_some() && self.reply.owed.is_none() {
            // Asked for if what is being said turns out to be no turn; else that turn's answer is this one's too.
            self.owe(reply::TOOL_ANSWERED, None);
        }
    }

    /// Gives the model what a tool answered.
    fn deliver(&mut self, running: &Running, output: String) {
        let Running { call, session, name, since, .. } = running;
        self.stats.used(self.now, name, &output, self.now.ms_since(*since));
        self.emit(CallEvent::ToolAnswered { name: name.clone(), output: output.clone() });
        let kept = &output[..output.floor_char_boundary(TOLD_MAX)];
        if *session == self.conversation.session() && self.session.is_ready() {
            // For a session after this one, which has the conversation as text only.
            let line = self.note_for_model(&format!("[The tool {name} answered: {kept}]"));
            let number = self.tools.number();
            if let Some(line) = line {
                if self.tools.given.len() == GIVEN_MAX {
                    self.tools.given.pop_front();
                }
                self.tools.given.push_back(Given { number, call: call.clone(), session: *session, line });
            }
            self.out.model(OwnedCommand::ToolOutput { number, call: call.clone(), output });
        } else {
            // The session that asked is gone.
            self.tell_model(format!("The tool {name}, which you called before, has answered: {kept}"));
        }
    }

    /// The model did not take what a tool answered, be it that it has forgotten the call with a response that was cut short: it
    /// is told in words. `number`: which, if it says so; else the one whose call its `words` name, or the last.
    pub(super) fn on_tool_output_refused(&mut self, number: Option<u32>, words: &str) {
        self.stats.count("tool_outputs_refused", 1);
        let given = &mut self.tools.given;
        let index = match number {
            Some(number) => given.iter().position(|g| g.number == number),
            None => given.iter().rposition(|g| words.contains(&g.call)).or(given.len().checked_sub(1)),
        };
        let Some(given) = index.and_then(|index| given.remove(index)) else { return };
        if given.session != self.conversation.session() {
            // The next session was told.
            return;
        }
        self.tell_session(given.line);
        if self.withdraw_tools_answer() {
            self.ask(reply::TOOL_ANSWERED, None);
        }
    }
}

/// For the model: what went wrong.
pub(super) fn error(why: &str) -> String {
    serde_json::json!({ "error": why }).to_string()
}
