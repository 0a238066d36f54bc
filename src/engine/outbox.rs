//! Actions on their way out. Audio of one step lies in one arena, which the next step uses again.

use std::collections::VecDeque;
use std::ops::Range;

use crate::base::time::Samples;
use crate::ears::answering::Finding;
use crate::ears::vad::Step;
use crate::engine::event::Role;
use crate::engine::event::{CallEvent, EndReason};
use crate::engine::io::{Action, CallerCommand, Effect, EffectId, MarkId, ModelCommand, Record};

/// An arena larger than this is given back when it is empty: only the flush of early audio needs so much.
const ARENA_KEPT_BYTES: usize = 16 * 1024;

/// The queue of actions.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Out>,
    arena: Vec<u8>,
    current: Option<Out>,
}

/// A piece of the arena.
pub(super) type Piece = Range<u32>;

/// A command to the model with its text owned: none of these is sent per frame.
#[derive(Debug)]
pub(super) enum OwnedCommand {
    Commit { number: u32 },
    Clear,
    Create { instructions: Option<String> },
    Cancel,
    Truncate { item: String, audio_end_ms: u64 },
    Add { role: Role, text: String, id: Option<String>, first: bool },
    Delete { item: String },
    ToolOutput { number: u32, call: String, output: String },
}

#[derive(Debug)]
enum Out {
    LineAudio(Piece),
    LineMark(MarkId),
    LineClear,
    ModelAudio(Piece),
    Model(OwnedCommand),
    Dial,
    Close,
    Run(EffectId, Effect),
    Cancel(EffectId),
    RecordCaller(Samples, Piece),
    RecordAgent(Samples, Piece),
    Heard(Step),
    Found(Finding),
    Emit(Box<CallEvent>),
    LineOver,
    End(EndReason),
}

impl Outbox {
    /// Makes the arena free again once everything was polled.
    pub(super) fn begin_step(&mut self) {
        if self.queue.is_empty() {
            self.current = None;
            self.arena.clear();
            if self.arena.capacity() > ARENA_KEPT_BYTES {
                self.arena.shrink_to(ARENA_KEPT_BYTES);
            }
        }
    }

    /// Copies audio into the arena.
    pub(super) fn keep(&mut self, audio: &[u8]) -> Piece {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(audio);
        start..self.arena.len() as u32
    }

    /// Copies audio that lies in two parts, as in a ring, into the arena.
    pub(super) fn keep_parts(&mut self, parts: (&[u8], &[u8])) -> Piece {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(parts.0);
        self.arena.extend_from_slice(parts.1);
        start..self.arena.len() as u32
    }

    /// Puts `len` bytes of silence into the arena.
    pub(super) fn keep_silence(&mut self, byte: u8, len: usize) -> Piece {
        let start = self.arena.len();
        self.arena.resize(start + len, byte);
        start as u32..self.arena.len() as u32
    }

    pub(super) fn line_audio(&mut self, piece: Piece) {
        self.queue.push_back(Out::LineAudio(piece));
    }

    pub(super) fn line_mark(&mut self, mark: MarkId) {
        self.queue.push_back(Out::LineMark(mark));
    }

    pub(super) fn line_clear(&mut self) {
        self.queue.push_back(Out::LineClear);
    }

    pub(super) fn model_audio(&mut self, piece: Piece) {
        self.queue.push_back(Out::ModelAudio(piece));
    }

    pub(super) fn model(&mut self, command: OwnedCommand) {
        self.queue.push_back(Out::Model(command));
    }

    pub(super) fn dial_model(&mut self) {
        self.queue.push_back(Out::Dial);
    }

    pub(super) fn close_model(&mut self) {
        self.queue.push_back(Out::Close);
    }

    pub(super) fn run(&mut self, id: EffectId, effect: Effect) {
        self.queue.push_back(Out::Run(id, effect));
    }

    pub(super) fn cancel(&mut self, id: EffectId) {
        self.queue.push_back(Out::Cancel(id));
    }

    pub(super) fn record_caller(&mut self, at: Samples, piece: Piece) {
        self.queue.push_back(Out::RecordCaller(at, piece));
    }

    pub(super) fn record_agent(&mut self, at: Samples, piece: Piece) {
        self.queue.push_back(Out::RecordAgent(at, piece));
    }

    pub(super) fn heard(&mut self, step: Step) {
        self.queue.push_back(Out::Heard(step));
    }

    pub(super) fn found(&mut self, finding: Finding) {
        self.queue.push_back(Out::Found(finding));
    }

    /// A piece of the arena that was put there in this step.
    pub(super) fn piece(&self, piece: &Piece) -> &[u8] {
        &self.arena[piece.start as usize..piece.end as usize]
    }

    /// The same, to be changed before it is given out.
    pub(super) fn piece_mut(&mut self, piece: &Piece) -> &mut [u8] {
        &mut self.arena[piece.start as usize..piece.end as usize]
    }

    pub(super) fn emit(&mut self, event: CallEvent) {
        self.queue.push_back(Out::Emit(Box::new(event)));
    }

    pub(super) fn line_over(&mut self) {
        self.queue.push_back(Out::LineOver);
    }

    pub(super) fn end(&mut self, reason: EndReason) {
        self.queue.push_back(Out::End(reason));
    }

    /// The next action, borrowed until the one after it.
    pub(super) fn poll(&mut self) -> Option<Action<'_>> {
        self.current = Some(self.queue.pop_front()?);
        let arena = &self.arena;
        let audio = |piece: &Piece| &arena[piece.start as usize..piece.end as usize];
        Some(match self.current.as_ref()? {
            Out::LineAudio(piece) => Action::SendCaller(CallerCommand::Audio(audio(piece))),
            Out::LineMark(mark) => Action::SendCaller(CallerCommand::Mark(*mark)),
            Out::LineClear => Action::SendCaller(CallerCommand::Clear),
            Out::ModelAudio(piece) => Action::SendModel(ModelCommand::AppendAudio(audio(piece))),
            Out::Model(command) => Action::SendModel(command.borrow()),
            Out::Dial => Action::DialModel,
            Out::Close => Action::CloseModel,
            Out::Run(id, effect) => Action::Run(*id, effect.clone()),
            Out::Cancel(id) => Action::Cancel(*id),
            Out::RecordCaller(at, piece) => Action::Record(Record::Caller { at: *at, payload: audio(piece) }),
            Out::RecordAgent(at, piece) => Action::Record(Record::Agent { at: *at, payload: audio(piece) }),
            Out::Heard(step) => Action::Heard(*step),
            Out::Found(finding) => Action::Found(*finding),
            Out::Emit(event) => Action::Emit(event.as_ref().clone()),
            Out::LineOver => Action::LineOver,
            Out::End(reason) => Action::End(reason.clone()),
        })
    }
}

impl OwnedCommand {
    fn borrow(&self) -> ModelCommand<'_> {
        match self {
            OwnedCommand::Commit { number } => ModelCommand::CommitAudio { number: *number },
            OwnedCommand::Clear => ModelCommand::ClearAudio,
            OwnedCommand::Create { instructions } => {
                ModelCommand::CreateResponse { instructions: instructions.as_deref() }
            }
            OwnedCommand::Cancel => ModelCommand::CancelResponse,
            OwnedCommand::Truncate { item, audio_end_ms } => {
                ModelCommand::Truncate { item, audio_end_ms: *audio_end_ms }
            }
            OwnedCommand::Add { role, text, id, first } => {
                ModelCommand::AddMessage { role: *role, text, id: id.as_deref(), first: *first }
            }
            OwnedCommand::Delete { item } => ModelCommand::DeleteItem { item },
            OwnedCommand::ToolOutput { number, call, output } => {
                ModelCommand::ToolOutput { number: *number, call, output }
            }
        }
    }
}
