//! Scenes: a script of what happens in a conversation, one line each, and the trace of what it decides.
//!
//! ```text
//! # a comment
//! set backup off                       settings; after the first step: what is in force from then on (X-07)
//! 00:00.000 visitor v1 "Hello"         a message with the visitor's id
//! 00:00.000 visitor v1 x*4001          the same with so many letters
//! 00:00.000 flood 21 100 f             messages f1 to f21, one every 100 ms
//! 00:00.500 delta "Hi"                 from the request that was made last; `delta@1`: from request 1
//! 00:00.500 says "Hi there."           the same with its end, usage of 100 and 10 tokens, and `done`
//! 00:00.600 call 0 c1 lookup {"q":1}   a tool's call in one piece
//! 00:01.000 tool 1 "Sunny." a.pdf      what a run answered, and what it rests on
//! 00:01.000 error status 500           and connect, dns, broken, timeout, in_stream CODE, malformed
//! 00:02.000 resume 4                   somebody comes back who saw event 4; `resume none`
//! 00:03.000 restore                    a new server goes on with the rows
//! 00:03.000 other w                    a new conversation of another visitor, beside what they share
//! ```
//!
//! Deadlines pass by themselves.

use std::fmt::Write as _;
use std::sync::Arc;

use super::super::model::{Finish, Message, ModelError, ModelEvent, Phase, Said as VendorSaid, Usage};
use super::super::row::{From, State};
use super::super::*;
use super::{model, settings};

/// Plays a script; the trace.
pub(super) fn play(script: &str) -> Result<String, String> {
    let mut stage = Stage::new();
    for (number, line) in script.lines().enumerate() {
        stage.line(line).map_err(|why| format!("line {}: {line}: {why}", number + 1))?;
    }
    stage.end();
    Ok(stage.trace)
}

struct Stage {
    conversation: Option<Conversation>,
    commons: Commons,
    settings: TalkSettings,
    visitor: Arc<str>,
    rows: Vec<Row>,
    now: TalkTime,
    asked: u32,
    trace: String,
}

impl Stage {
    fn new() -> Stage {
        Stage {
            conversation: None,
            commons: Commons::new(),
            settings: settings(),
            visitor: "v".into(),
            rows: Vec::new(),
            now: TalkTime::ZERO,
            asked: 0,
            trace: String::new(),
        }
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let words = split(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            [] => Ok(()),
            ["set", set @ ..] => self.set(set),
            [at, step @ ..] => {
                self.run_until(time(at)?);
                self.step(step)
            }
        }
    }

    fn step(&mut self, step: &[&str]) -> Result<(), String> {
        let settings = Arc::new(self.settings.clone());
        let input = match step {
            ["visitor", id, text] => {
                let text = match text.split_once('*').map(|(c, n)| (c, n.parse())) {
                    Some((c, Ok(n))) => c.repeat(n),
                    _ => (*text).to_owned(),
                };
                Input::Visitor(Visitor::Message { id: (*id).into(), text: text.into(), settings })
            }
            ["flood", n, every_ms, prefix] => {
                for i in 1..=number(n)? {
                    let id = format!("{prefix}{i}");
                    let text = format!("Message {i}").into();
                    let settings = Arc::clone(&settings);
                    self.input(Input::Visitor(Visitor::Message { id: id.into(), text, settings }));
                    self.run_until(self.now.plus_ms(number(every_ms)?));
                }
                return Ok(());
            }
            ["retry", id, of] => Input::Visitor(Visitor::Retry { id: (*id).into(), of: number(of)?, settings }),
            ["stop"] => Input::Visitor(Visitor::Stop),
            ["ask_person"] => Input::Visitor(Visitor::AskPerson),
            ["team", "hand_off", name, reason] => {
                Input::Team(Team::HandOff { name: (*name).into(), reason: Reason::named(reason) })
            }
            ["team", "take", name] => Input::Team(Team::Take { name: (*name).into() }),
            ["team", "say", id, name, text] => {
                Input::Team(Team::Say { id: (*id).into(), name: (*name).into(), text: (*text).into() })
            }
            ["team", "give_back"] => Input::Team(Team::GiveBack),
            ["close", why] => Input::Close(end_why(why)?),
            ["tool", id, "fails", why] => {
                Input::Tool(ToolId(number(id)? as u32), ToolResult::Failed((*why).to_owned()))
            }
            ["tool", id, text, sources @ ..] => {
                let text = match text.split_once('*').map(|(c, n)| (c, n.parse())) {
                    Some((c, Ok(n))) => c.repeat(n),
                    _ => (*text).to_owned(),
                };
                let sources = sources.iter().map(|source| Arc::from(*source)).collect();
                Input::Tool(ToolId(number(id)? as u32), ToolResult::Output { text, sources })
            }
            ["drill", seconds] => {
                self.commons.drill(self.now, "web", number(seconds)? * 1_000);
                return Ok(());
            }
            ["wait"] => return Ok(()),
            ["resume", seen] => return self.resume(seen),
            ["restore"] => {
                let _ = writeln!(self.trace, "{} restored", self.now);
                // Through the store and back.
                let stored = serde_json::to_string(&self.rows).map_err(|error| error.to_string())?;
                let rows: Vec<Row> = serde_json::from_str(&stored).map_err(|error| error.to_string())?;
                assert_eq!(rows, self.rows);
                let visitor = Arc::clone(&self.visitor);
                let restored = Conversation::restore(self.now, visitor, settings, rows);
                self.conversation = Some(restored);
                self.drain();
                return Ok(());
            }
            ["other", visitor] => {
                let _ = writeln!(self.trace, "{} another conversation of {visitor}", self.now);
                self.visitor = (*visitor).into();
                self.conversation = None;
                self.rows.clear();
                self.asked = 0;
                self.begin();
                return Ok(());
            }
            ["says", text] => {
                for event in [
                    ModelEvent::Delta((*text).to_owned()),
                    ModelEvent::Finish(Finish::Stop),
                    ModelEvent::Usage(Usage { input_tokens: 100, cached_tokens: 0, output_tokens: 10 }),
                    ModelEvent::Done,
                ] {
                    self.input(Input::Model(AskId(self.asked), Ok(event)));
                }
                return Ok(());
            }
            [verb, rest @ ..] => {
                let (verb, ask) = match verb.split_once('@') {
                    Some((verb, ask)) => (verb, number(ask)? as u32),
                    None => (*verb, self.asked),
                };
                Input::Model(AskId(ask), of_model(verb, rest)?)
            }
            [] => return Ok(()),
        };
        self.input(input);
        Ok(())
    }

    fn set(&mut self, set: &[&str]) -> Result<(), String> {
        let limits = &mut self.settings.limits;
        match set {
            ["backup", "off"] => self.settings.backup = None,
            ["primary", name] => self.settings.primary = model(name),
            ["instructions", text] => self.settings.instructions = (*text).into(),
            ["policy", text] => self.settings.policy = Some((*text).into()),
            ["welcome", text] => self.settings.welcome = Some((*text).into()),
            ["show_tool_use", "off"] => self.settings.show_tool_use = false,
            ["history_tokens", n] => limits.history_tokens = number(n)? as usize,
            ["answer_bytes", n] => limits.answer_bytes = number(n)? as usize,
            ["tool_output_bytes", n] => limits.tool_output_bytes = number(n)? as usize,
            ["rounds", n] => limits.rounds = number(n)? as u32,
            ["parallel", n] => limits.parallel = number(n)? as usize,
            ["waiting", n] => limits.waiting = number(n)? as u32,
            ["answer_s", n] => limits.answer_s = number(n)?,
            ["idle_s", n] => limits.idle_s = number(n)?,
            ["hand_off_s", n] => limits.hand_off_s = number(n)?,
            _ => return Err("no such setting".to_owned()),
        }
        Ok(())
    }

    fn begin(&mut self) -> &mut Conversation {
        if self.conversation.is_none() {
            let settings = Arc::new(self.settings.clone());
            let conversation = Conversation::new(self.now, Arc::clone(&self.visitor), settings);
            self.conversation = Some(conversation);
            self.drain();
        }
        self.conversation.as_mut().expect("made above")
    }

    fn input(&mut self, input: Input) {
        let now = self.now;
        self.begin();
        if let Some(conversation) = &mut self.conversation {
            conversation.handle(now, input, &mut self.commons);
        }
        self.drain();
    }

    fn run_until(&mut self, until: TalkTime) {
        self.begin();
        while let Some((at, timer)) = self.begin().next_deadline().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            let _ = writeln!(self.trace, "{} due {timer:?}", self.now);
            self.input(Input::Tick);
        }
        self.now = self.now.max(until);
    }

    fn drain(&mut self) {
        while let Some(action) = self.conversation.as_mut().and_then(Conversation::poll_action) {
            if let Action::Ask { id, .. } = &action {
                self.asked = id.0;
            }
            if let Action::Persist(row) = &action {
                self.rows.retain(|other| other.seq != row.seq);
                self.rows.push((**row).clone());
            }
            let _ = writeln!(self.trace, "{} {}", self.now, tell(&action));
        }
    }

    fn resume(&mut self, seen: &str) -> Result<(), String> {
        let seen = if seen == "none" { None } else { Some(number(seen)?) };
        let resume = self.begin().resume(seen);
        let now = self.now;
        match resume {
            Resume::Events(events) => {
                let _ = writeln!(self.trace, "{now} resumed after {} with {} events", seen.unwrap_or(0), events.len());
                for event in events {
                    let _ = writeln!(self.trace, "{now}   {}", tell_event(&event));
                }
            }
            Resume::Anew(snapshot) => {
                let (id, hand, running) = (snapshot.id, &snapshot.hand, snapshot.running);
                let _ = writeln!(self.trace, "{now} shown anew up to {id} hand={hand:?} running={running:?}");
                for said in snapshot.said {
                    let _ = writeln!(self.trace, "{now}   {}", tell_said(&said));
                }
            }
        }
        Ok(())
    }

    fn end(&mut self) {
        let conversation = self.begin();
        let mut last = format!("= {}", conversation.phase());
        for (name, n) in conversation.counters() {
            let _ = write!(last, "\n= {name} {n}");
        }
        self.trace.push_str(&last);
        self.trace.push('\n');
    }
}

fn of_model(verb: &str, rest: &[&str]) -> Result<Result<ModelEvent, ModelError>, String> {
    let why = || "said so".to_owned();
    Ok(match (verb, rest) {
        ("delta", [text]) => match text.split_once('*').map(|(c, n)| (c, n.parse())) {
            Some((c, Ok(n))) => Ok(ModelEvent::Delta(c.repeat(n))),
            _ => Ok(ModelEvent::Delta((*text).to_owned())),
        },
        ("thinks", []) => Ok(ModelEvent::Thinking),
        ("call", [index, id, name, arguments]) => Ok(ModelEvent::ToolCall {
            index: number(index)? as u32,
            id: (*id != "-").then(|| (*id).to_owned()),
            name: (*name != "-").then(|| (*name).to_owned()),
            arguments: (*arguments).to_owned(),
        }),
        ("finish", [reason]) => Ok(ModelEvent::Finish(Finish::read(reason))),
        ("usage", [input, output]) => Ok(ModelEvent::Usage(Usage {
            input_tokens: number(input)?,
            cached_tokens: 0,
            output_tokens: number(output)?,
        })),
        ("done", []) => Ok(ModelEvent::Done),
        ("error", ["connect"]) => Err(ModelError::Connect { why: why() }),
        ("error", ["dns"]) => Err(ModelError::Dns { why: why() }),
        ("error", ["broken"]) => Err(ModelError::Broken { why: why() }),
        ("error", ["timeout"]) => Err(ModelError::Timeout { phase: Phase::Connect }),
        ("error", ["malformed"]) => Err(ModelError::Malformed { why: why() }),
        ("error", ["in_stream", code]) => Err(ModelError::InStream { said: vendor_said(code, "Try later.") }),
        ("error", ["status", status, rest @ ..]) => {
            let (code, message) = match rest {
                [code, message, ..] => (*code, *message),
                _ => ("", "No."),
            };
            let retry_after_s = rest.get(2).and_then(|s| s.parse().ok());
            let code_ = number(status)? as u16;
            Err(ModelError::Status { code: code_, said: vendor_said(code, message), retry_after_s })
        }
        _ => return Err("unknown step".to_owned()),
    })
}

fn vendor_said(code: &str, message: &str) -> VendorSaid {
    let code = (!code.is_empty()).then(|| code.to_owned());
    VendorSaid { code, message: message.to_owned(), ..VendorSaid::default() }
}

fn end_why(why: &str) -> Result<EndWhy, String> {
    let all = [EndWhy::Visitor, EndWhy::Team, EndWhy::Idle, EndWhy::Revoked, EndWhy::LetGo];
    all.into_iter().find(|end| end.name() == why).ok_or_else(|| format!("nothing ends by {why}"))
}

fn tell(action: &Action) -> String {
    match action {
        Action::Ask { id, model, ask } => {
            let tools: Vec<&str> = ask.tools.iter().map(|tool| &*tool.name).filter(|_| ask.may_call).collect();
            let mut told = format!("ask {} {} tools={}", id.0, model.name, tools.join(","));
            for message in &ask.messages {
                let _ = match message {
                    Message::System(text) => write!(told, "\n            system {}", brief(text)),
                    Message::User(text) => write!(told, "\n            user {}", brief(text)),
                    Message::Assistant { text, calls } => {
                        let calls = calls.iter().map(|call| format!(" {}={}({})", call.id, call.name, call.arguments));
                        write!(told, "\n            assistant {}{}", brief(text), calls.collect::<String>())
                    }
                    Message::Tool { call, output } => write!(told, "\n            tool {call} {}", brief(output)),
                };
            }
            told
        }
        Action::Cancel(id) => format!("cancel {}", id.0),
        Action::RunTool { id, name, arguments, .. } => format!("run {} {name} {arguments}", id.0),
        Action::CancelTool(id) => format!("cancel tool {}", id.0),
        Action::Persist(row) => tell_row(row),
        Action::Reply(Reply { client, outcome: Ok(accepted) }) => {
            let again = if accepted.again { " again" } else { "" };
            let answer = accepted.answer.as_ref().map(|said| format!(" answered: {}", tell_said(said)));
            format!("reply {client} {}{again}{}", accepted.message, answer.unwrap_or_default())
        }
        Action::Reply(Reply { client, outcome: Err(refused) }) => {
            let (code, status, words) = refused.code.words();
            let wait = refused.wait_s.map(|s| format!(" wait_s={s}")).unwrap_or_default();
            format!("refuse {client} {status} {code} {words:?}{wait}")
        }
        Action::Deliver(event) => tell_event(event),
        Action::Tell(notice) => format!("tell {notice:?}"),
        Action::End(why) => format!("end {}", why.name()),
    }
}

fn tell_event(event: &Event) -> String {
    let what = match &event.what {
        What::Said(said) => format!("said {}", tell_said(said)),
        What::Began { message, answers, again_of } => {
            let again = again_of.map(|of| format!(" again_of={of}")).unwrap_or_default();
            format!("began {message} answers={answers}{again}")
        }
        What::Delta { message, text } => format!("delta {message} {}", brief(text)),
        What::Tool { message, tool, running } => {
            format!("tool {message} {} {}", tool.as_deref().unwrap_or("-"), if *running { "runs" } else { "ended" })
        }
        What::Complete { message, sources, by } => {
            format!("complete {message} by {} {:?} {}", by.model, by.why, sources.join(","))
        }
        What::CutOff { message, why, again } => format!("cut off {message} {} again={again}", why.name()),
        What::Failed { message, words, again } => format!("failed {message} {words:?} again={again}"),
        What::HandOff { hand } => format!("hand {hand:?}"),
        What::Ended { why } => format!("ended {}", why.name()),
    };
    format!("#{} {what}", event.id).trim_end().to_owned()
}

fn tell_said(said: &Said) -> String {
    let client = said.client.as_ref().map(|client| format!(" client={client}")).unwrap_or_default();
    format!("{} {} {}{}{client}", said.message, who(&said.from), brief(&said.text), state(said.state))
}

fn tell_row(row: &Row) -> String {
    let mut told = format!("row {} {} {}{}", row.seq, who(&row.from), brief(&row.text), state(row.state));
    let Some(answer) = &row.answer else { return told };
    let _ = write!(told, " answers={} ms={} first={:?}", answer.answers, answer.took_ms, answer.first_token_ms);
    if let Some(again_of) = answer.again_of {
        let _ = write!(told, " again_of={again_of}");
    }
    for trouble in &answer.troubles {
        let _ = write!(told, " [{}: {} {:?}]", trouble.model, trouble.failure.name(), trouble.words);
    }
    for call in answer.steps.iter().flat_map(|step| &step.calls) {
        let _ = write!(told, " <{} ok={} {} ms>", call.name, call.ok, call.ms);
    }
    for spent in &answer.spent {
        let about = if spent.estimated { "about " } else { "" };
        let (read, written, micros) = (spent.input_tokens, spent.output_tokens, spent.micros.unwrap_or(0));
        let _ = write!(told, " ({}: {about}{read}+{written} tokens, {micros})", spent.model);
    }
    told
}

fn who(from: &From) -> String {
    match from {
        From::Visitor => "visitor".to_owned(),
        From::Agent => "agent".to_owned(),
        From::Person(name) => format!("person({name})"),
        From::HandOff(hand) => format!("hand({hand:?})"),
        From::Ended(why) => format!("ended({})", why.name()),
        From::Note => "note".to_owned(),
    }
}

fn state(state: State) -> String {
    match state {
        State::Whole => String::new(),
        State::CutOff(why) => format!(" (cut off: {})", why.name()),
        State::Failed => " (failed)".to_owned(),
    }
}

fn brief(text: &str) -> String {
    match text.char_indices().nth(110) {
        Some((cut, _)) => format!("{:?}…({} bytes)", &text[..cut], text.len()),
        None => format!("{text:?}"),
    }
}

fn time(text: &str) -> Result<TalkTime, String> {
    let (minutes, seconds) = text.split_once(':').ok_or("a step begins with mm:ss.mmm")?;
    let seconds: f64 = seconds.parse().map_err(|_| "a step begins with mm:ss.mmm")?;
    Ok(TalkTime::from_ms(number(minutes)? * 60_000 + (seconds * 1_000.0).round() as u64))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number"))
}

/// Splits at spaces and keeps what stands in quotes together, single or double; a quote in a word is literal. A line that begins
/// with `#` is a comment.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    if rest.starts_with('#') {
        return words;
    }
    while !rest.is_empty() {
        let mark = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (word, after) = match mark {
            Some(mark) => rest[1..].split_once(mark).unwrap_or((&rest[1..], "")),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}
