//! One answer: who is asked, what comes of it, how it ends.

use std::sync::Arc;

use super::breaker::{Change, Gate};
use super::commons::Commons;
use super::conversation::Conversation;
use super::failover::{Failure, LINE, Then, then};
use super::handoff::Hand;
use super::io::{Action, AskId, Notice, What};
use super::model::{Ask, Finish, ModelError, ModelEvent, Options, Phase, Usage, WORDS_MAX};
use super::prompt::{self, Open};
use super::row::{Answered, CutOff, From, GivenBy, Row, Spent, State, Step, Trouble, Why};
use super::settings::TalkSettings;
use super::time::TalkTime;
use super::timer::Timer;
use super::tools::{Pending, Piece};
use crate::config::TextModel;

/// Halvings of what is sent of what was said: below a sixteenth it is not the history that is too long.
const SHORTENED_MAX: u32 = 4;

/// An answer under way.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) seq: u64,
    /// Those that were in force when it was asked for, to its end.
    pub(super) settings: Arc<TalkSettings>,
    answers: u64,
    again_of: Option<u64>,
    /// The visitor's id for having asked again.
    client: Option<Arc<str>>,
    /// Who is asked: the backup once it had to be, and to the end.
    on_backup: bool,
    why: Why,
    /// The request that its primary's breaker waits for.
    probe: Option<u32>,
    began: TalkTime,
    /// What a model is saying.
    pub(super) request: Option<Request>,
    /// What was shown.
    pub(super) text: String,
    pub(super) steps: Vec<Step>,
    /// Tools that were called last, until all have answered.
    pub(super) pending: Vec<Pending>,
    /// Bytes that tools have answered.
    pub(super) output_bytes: usize,
    /// The model has handed the conversation to the team.
    pub(super) handed: bool,
    pub(super) sources: Vec<Arc<str>>,
    troubles: Vec<Trouble>,
    spent: Vec<Spent>,
    first_token: Option<TalkTime>,
}

/// One request, until it is over.
#[derive(Debug)]
pub(super) struct Request {
    id: AskId,
    /// The model has begun, be it only to think.
    alive: bool,
    /// The visitor was shown something of it.
    shown: bool,
    /// Tokens sent, as estimated.
    sent_tokens: usize,
    /// Bytes of the answer that were there before it.
    from: usize,
    finish: Option<Finish>,
    usage: Option<Usage>,
    pub(super) pieces: Vec<Piece>,
}

impl Answer {
    /// A short stable name of its state.
    pub(super) fn phase(&self) -> &'static str {
        match &self.request {
            Some(request) if !request.alive => "asked",
            Some(_) => "answering",
            None => "tools",
        }
    }

    fn model(&self) -> &Arc<TextModel> {
        match &self.settings.backup {
            Some(backup) if self.on_backup => backup,
            _ => &self.settings.primary,
        }
    }

    fn model_name(&self) -> Arc<str> {
        self.model().name.as_str().into()
    }

    fn backup_left(&self) -> bool {
        !self.on_backup && self.settings.backup.is_some()
    }
}

impl Conversation {
    /// Begins the answer at `seq` to all up to the message `answers`.
    pub(super) fn begin_answer(
        &mut self,
        seq: u64,
        answers: u64,
        again_of: Option<u64>,
        client: Option<Arc<str>>,
        commons: &mut Commons,
    ) {
        let settings = Arc::clone(&self.settings);
        self.waiting = 0;
        self.timers.clear(Timer::Idle);
        self.timers.set(Timer::Answer, self.now.plus_ms(settings.limits.answer_s * 1_000));
        let (on_backup, why, probe) = self.route(&settings, commons);
        let event = self.log.push(What::Began { message: seq, answers, again_of });
        self.answer = Some(Answer {
            seq,
            answers,
            again_of,
            client,
            on_backup,
            why,
            probe,
            began: self.now,
            request: None,
            text: String::new(),
            steps: Vec::new(),
            pending: Vec::new(),
            output_bytes: 0,
            handed: false,
            sources: Vec::new(),
            troubles: Vec::new(),
            spent: Vec::new(),
            first_token: None,
            settings,
        });
        self.keep_beginning(event.id);
        self.out.push_back(Action::Deliver(event));
        if on_backup {
            self.tell_failover(why);
        }
        self.ask();
    }

    /// Keeps that the answer began: after a crash it can be asked for again, and no id of an event is given out twice.
    fn keep_beginning(&mut self, event: u64) {
        let Some(answer) = &self.answer else { return };
        let answered = Answered {
            answers: answer.answers,
            again_of: answer.again_of,
            revision: Arc::clone(&answer.settings.revision),
            ..Answered::default()
        };
        self.out.push_back(Action::Persist(Box::new(Row {
            seq: answer.seq,
            event,
            from: From::Agent,
            text: "".into(),
            client: answer.client.clone(),
            state: State::CutOff(CutOff::Lost),
            answer: Some(Box::new(answered)),
        })));
    }

    /// Who is asked first: the backup where the primary is left alone or held to be down.
    fn route(&self, settings: &TalkSettings, commons: &mut Commons) -> (bool, Why, Option<u32>) {
        let backup = settings.backup.is_some();
        if backup && commons.drilled_until(self.now, &settings.deployment).is_some() {
            return (true, Why::Drill, None);
        }
        match commons.gate(self.now, &settings.primary.name, &settings.breaker) {
            Gate::Probe(probe) => (false, Why::Primary, Some(probe)),
            Gate::Skip if backup => (true, Why::Breaker, None),
            Gate::Ask | Gate::Skip => (false, Why::Primary, None),
        }
    }

    /// Asks the answer's model for what comes next.
    pub(super) fn ask(&mut self) {
        let Some(answer) = &mut self.answer else { return };
        let settings = Arc::clone(&answer.settings);
        let limits = &settings.limits;
        let open =
            Open { answers: answer.answers, again_of: answer.again_of, text: &answer.text, steps: &answer.steps };
        let prompt = prompt::write(&settings, self.history.rows(), open, limits.history_tokens >> self.shortened);
        let tools = settings.tool_specs();
        self.asks = self.asks.wrapping_add(1);
        let id = AskId(self.asks);
        answer.request = Some(Request {
            id,
            alive: false,
            shown: false,
            sent_tokens: prompt.tokens,
            from: answer.text.len(),
            finish: None,
            usage: None,
            pieces: Vec::new(),
        });
        let ask = Ask {
            messages: prompt.messages,
            may_call: !tools.is_empty() && answer.steps.len() < limits.rounds as usize && !answer.handed,
            tools,
            options: Options {
                max_output_tokens: settings.max_output_tokens,
                temperature: settings.temperature,
                safety_identifier: settings.visitor_hash.clone(),
                connect_timeout_ms: limits.connect_ms,
                // The answer's own bound is met first.
                max_answer_bytes: limits.answer_bytes.saturating_mul(2),
            },
        };
        let model = Arc::clone(answer.model());
        self.out.push_back(Action::Ask { id, model, ask: Box::new(ask) });
        self.timers.set(Timer::FirstToken, self.now.plus_ms(limits.first_token_ms));
        self.add("turns_left_out", prompt.left_out);
    }

    pub(super) fn on_model(&mut self, id: AskId, event: ModelEvent, commons: &mut Commons) {
        let request = self.answer.as_mut().and_then(|answer| answer.request.as_mut());
        let Some(request) = request.filter(|request| request.id == id) else {
            return self.count("model_events_late");
        };
        match event {
            ModelEvent::Delta(text) if text.is_empty() => {}
            ModelEvent::Delta(text) => {
                self.on_alive(commons);
                self.on_text(&text, commons);
            }
            ModelEvent::Thinking => self.on_alive(commons),
            ModelEvent::ToolCall { index, id, name, arguments } => {
                self.on_alive(commons);
                self.on_piece(index, id, name, &arguments);
            }
            ModelEvent::Finish(reason) => {
                request.finish = Some(reason);
                self.on_alive(commons);
                self.timers.clear(Timer::Stall);
                let usage_ms = self.answer.as_ref().map_or(0, |answer| answer.settings.limits.usage_ms);
                self.timers.set(Timer::Usage, self.now.plus_ms(usage_ms));
            }
            ModelEvent::Usage(usage) => request.usage = Some(usage),
            ModelEvent::Done => self.on_done(commons),
        }
    }

    pub(super) fn on_model_error(&mut self, id: AskId, error: ModelError, commons: &mut Commons) {
        let request = self.answer.as_ref().and_then(|answer| answer.request.as_ref());
        if request.is_none_or(|request| request.id != id) {
            return self.count("model_events_late");
        }
        self.on_failure(&error, commons);
    }

    /// A token is late, the first or the next one.
    pub(super) fn on_slow(&mut self, timer: Timer, commons: &mut Commons) {
        let phase = if timer == Timer::FirstToken { Phase::FirstToken } else { Phase::Stall };
        if let Some(request) = self.answer.as_ref().and_then(|answer| answer.request.as_ref()) {
            self.out.push_back(Action::Cancel(request.id));
            self.on_failure(&ModelError::Timeout { phase }, commons);
        }
    }

    /// The model has ended and does not say what it took, nor that it is done.
    pub(super) fn on_usage_late(&mut self, commons: &mut Commons) {
        if let Some(request) = self.answer.as_ref().and_then(|answer| answer.request.as_ref()) {
            self.out.push_back(Action::Cancel(request.id));
            self.on_done(commons);
        }
    }

    /// The model does something: the next token may take a while again.
    fn on_alive(&mut self, commons: &mut Commons) {
        let Some(answer) = &mut self.answer else { return };
        let Some(request) = &mut answer.request else { return };
        if request.finish.is_none() {
            self.timers.set(Timer::Stall, self.now.plus_ms(answer.settings.limits.stall_ms));
        }
        self.timers.clear(Timer::FirstToken);
        if std::mem::replace(&mut request.alive, true) || answer.on_backup {
            return;
        }
        let (probe, model) = (answer.probe.take(), &answer.settings.primary.name);
        if commons.succeeded(model, probe) == Change::Closed {
            self.out.push_back(Action::Tell(Notice::BreakerClosed { model: model.as_str().into() }));
        }
    }

    fn on_text(&mut self, text: &str, commons: &mut Commons) {
        let Some(answer) = &mut self.answer else { return };
        let Some(request) = &mut answer.request else { return };
        // Stores of text have no place for it.
        let mut text = text.replace('\0', "\u{fffd}");
        let follows = !request.shown && !answer.text.is_empty();
        if follows && !answer.text.ends_with(char::is_whitespace) && !text.starts_with(char::is_whitespace) {
            text.insert_str(0, "\n\n");
        }
        // Blanks are nothing to see.
        let visible = !text.trim().is_empty();
        request.shown |= visible;
        let room = answer.settings.limits.answer_bytes.saturating_sub(answer.text.len());
        let fits = text.floor_char_boundary(room);
        let is_all = fits == text.len();
        text.truncate(fits);
        if !text.is_empty() {
            answer.text.push_str(&text);
            answer.first_token = answer.first_token.or(visible.then_some(self.now));
            let event = self.log.push(What::Delta { message: answer.seq, text: text.into() });
            self.out.push_back(Action::Deliver(event));
        }
        if !is_all {
            self.count("answers_too_long");
            self.cut_off(CutOff::TooLong, commons);
        }
    }

    /// A request is over as it should be.
    fn on_done(&mut self, commons: &mut Commons) {
        let Some(request) = self.end_request(commons) else { return };
        let Some(answer) = &mut self.answer else { return };
        if !request.pieces.is_empty() {
            if answer.steps.len() < answer.settings.limits.rounds as usize && !answer.handed {
                return self.run_calls(request.pieces, commons);
            }
            // It was told that it may not.
            self.add("tool_calls_refused", request.pieces.len() as u64);
        }
        self.on_last_word(request.finish, commons);
    }

    fn on_last_word(&mut self, finish: Option<Finish>, commons: &mut Commons) {
        let Some(answer) = &mut self.answer else { return };
        let state = match finish {
            // Who was handed over has nothing more to hear.
            _ if answer.text.trim().is_empty() && !answer.handed => {
                let (model, failure) = (answer.model_name(), Failure::Empty);
                let words = match finish {
                    Some(Finish::ContentFilter) => "the vendor held the answer back",
                    Some(Finish::Length) => "no tokens were left for an answer",
                    _ => "the answer is empty",
                };
                self.trouble(model, failure, words.to_owned());
                State::Failed
            }
            Some(Finish::Length) => State::CutOff(CutOff::Length),
            Some(Finish::ContentFilter) => State::CutOff(CutOff::Filtered),
            _ => State::Whole,
        };
        self.end_answer(state, commons);
    }

    /// A request is over, and not as it should be.
    fn on_failure(&mut self, error: &ModelError, commons: &mut Commons) {
        let Some(answer) = &mut self.answer else { return };
        let Some(request) = &answer.request else { return };
        if request.finish.is_some() {
            // All of it was there.
            return self.on_done(commons);
        }
        let (failure, shown) = (Failure::of(error), request.shown);
        let model = answer.model_name();
        if !answer.on_backup && failure.fails_over() {
            let probe = answer.probe.take();
            if commons.failed(self.now, &model, probe, &answer.settings.breaker) == Change::Opened {
                self.out.push_back(Action::Tell(Notice::BreakerOpened { model: Arc::clone(&model) }));
            }
        }
        let backup_left = answer.backup_left();
        self.end_request(commons);
        self.trouble(model, failure, error.to_string());
        if matches!(error, ModelError::Status { said, .. } if said.code.as_deref() == Some("context_length_exceeded")) {
            // For when it is tried again.
            self.shortened = (self.shortened + 1).min(SHORTENED_MAX);
            self.count("histories_shortened");
        }
        match then(failure, shown, backup_left) {
            Then::Backup => {
                let why = Why::Failover(failure);
                if let Some(answer) = &mut self.answer {
                    answer.on_backup = true;
                    answer.why = why;
                }
                self.tell_failover(why);
                self.ask();
            }
            Then::CutOff if failure == Failure::TooLong => self.end_answer(State::CutOff(CutOff::TooLong), commons),
            // A failure between tools leaves what was said before them.
            Then::Line | Then::CutOff => self.end_answer(State::CutOff(CutOff::Failed), commons),
        }
    }

    fn tell_failover(&mut self, why: Why) {
        let Some(answer) = &self.answer else { return };
        let from = answer.settings.primary.name.as_str().into();
        let notice = Notice::Failover { message: answer.seq, from, to: answer.model_name(), why };
        self.out.push_back(Action::Tell(notice));
        self.count("failovers");
    }

    fn trouble(&mut self, model: Arc<str>, failure: Failure, mut words: String) {
        let Some(answer) = &mut self.answer else { return };
        words.truncate(words.floor_char_boundary(WORDS_MAX));
        let words = words.replace('\0', "\u{fffd}");
        let (message, told) = (answer.seq, words.clone());
        answer.troubles.push(Trouble { model: Arc::clone(&model), failure, words });
        self.out.push_back(Action::Tell(Notice::ModelFailed { message, model, failure, words: told }));
    }

    /// Takes the request away and keeps what it took. A probe that could not tell leaves its place to the next.
    fn end_request(&mut self, commons: &mut Commons) -> Option<Request> {
        let answer = self.answer.as_mut()?;
        let request = answer.request.take()?;
        for timer in [Timer::FirstToken, Timer::Stall, Timer::Usage] {
            self.timers.clear(timer);
        }
        if let Some(probe) = answer.probe.take() {
            commons.let_go(self.now, &answer.settings.primary.name, probe);
        }
        if request.usage.is_some() || request.alive {
            let usage = request.usage.unwrap_or_else(|| {
                let calls = request.pieces.iter().map(|piece| prompt::tokens(&piece.arguments) + 8).sum::<usize>();
                let said = answer.text.get(request.from..).map_or(0, prompt::tokens);
                let (input_tokens, output_tokens) = (request.sent_tokens as u64, (said + calls) as u64);
                Usage { input_tokens, cached_tokens: 0, output_tokens }
            });
            let estimated = request.usage.is_none();
            let model = answer.model();
            let spent = Spent::new(model.name.as_str().into(), usage, estimated, model.price.as_ref());
            answer.spent.push(spent);
        }
        Some(request)
    }

    /// Ends the answer under way, if there is one, before it is whole.
    pub(super) fn cut_off(&mut self, why: CutOff, commons: &mut Commons) {
        if let Some(request) = self.answer.as_ref().and_then(|answer| answer.request.as_ref()) {
            self.out.push_back(Action::Cancel(request.id));
            if request.finish.is_some() && request.pieces.is_empty() {
                // All of it is there; only what it took is not.
                return self.on_done(commons);
            }
            self.end_request(commons);
        }
        self.let_tools_go();
        self.end_answer(State::CutOff(why), commons);
    }

    /// Ends the answer: keeps it, shows its end, and goes on to what waits.
    pub(super) fn end_answer(&mut self, state: State, commons: &mut Commons) {
        let Some(answer) = self.answer.take() else { return };
        for timer in [Timer::Answer, Timer::Tools] {
            self.timers.clear(timer);
        }
        // Of what failed or took too long and brought nothing there is nothing to mark.
        let state = match state {
            State::CutOff(CutOff::Failed | CutOff::TooSlow) if answer.text.trim().is_empty() => State::Failed,
            state => state,
        };
        let by = GivenBy { model: answer.model_name(), why: answer.why };
        let (message, again) = (answer.seq, self.waiting == 0 && self.hand == Hand::Agent && !self.is_ended());
        let event = self.log.push(match state {
            State::Whole => What::Complete { message, sources: answer.sources.clone(), by: by.clone() },
            State::CutOff(why) => What::CutOff { message, why, again },
            State::Failed => What::Failed { message, words: LINE, again },
        });
        self.put(Row {
            seq: message,
            event: event.id,
            from: From::Agent,
            text: answer.text.into(),
            client: answer.client,
            state,
            answer: Some(Box::new(Answered {
                answers: answer.answers,
                again_of: answer.again_of,
                by: (state != State::Failed).then_some(by),
                revision: Arc::clone(&answer.settings.revision),
                troubles: answer.troubles,
                steps: answer.steps,
                sources: answer.sources,
                spent: answer.spent,
                first_token_ms: answer.first_token.map(|at| at.ms_since(answer.began)),
                took_ms: self.now.ms_since(answer.began),
            })),
        });
        self.out.push_back(Action::Deliver(event));
        self.next_answer(commons);
    }
}
