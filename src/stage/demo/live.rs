//! The conversation, printed while it happens.

use std::io::{IsTerminal, stdout};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::time::CallTime;
use crate::engine::{CallEvent, Role};
use crate::output::say;

const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const CYAN: &str = "\x1b[36m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const STRIKE: &str = "\x1b[9m";
const PLAIN: &str = "\x1b[0m";

/// Prints to standard output; in colour when it is a terminal.
pub(super) struct Live {
    on: bool,
    colour: bool,
    /// Call time of media time 0.
    media_start_ms: AtomicU64,
}

impl Live {
    pub(super) fn new(on: bool) -> Self {
        let colour = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Live { on, colour, media_start_ms: AtomicU64::new(0) }
    }

    pub(super) fn header(&self, addresses: &str, number: &str) {
        if self.on {
            let (dim, plain) = (self.code(DIM), self.code(PLAIN));
            say(&format!(
                "A recorded caller dials {number}. Everything below happens on this machine.\n{dim}{addresses}{plain}\n\n"
            ));
        }
    }

    pub(super) fn event(&self, at: CallTime, event: &CallEvent) {
        if !self.on {
            return;
        }
        let strike = |text: &str| {
            if self.colour { format!("{STRIKE}{DIM}{text}{PLAIN}") } else { format!("[not heard: {text}]") }
        };
        let (who, colour, text) = match event {
            CallEvent::ModelDialled { attempt } => ("model", DIM, format!("is dialled, attempt {attempt}")),
            CallEvent::ModelReady { took_ms } => ("model", DIM, format!("is ready after {took_ms} ms")),
            CallEvent::ModelLost { reason, .. } => ("model", YELLOW, format!("is lost: {reason}")),
            CallEvent::LineQueued { what, ms } => ("server", DIM, format!("plays the recording \"{what}\", {ms} ms")),
            CallEvent::MediaStarted => {
                self.media_start_ms.store(at.as_ms(), Ordering::Relaxed);
                ("line", DIM, "the media stream is open".to_owned())
            }
            CallEvent::SpeechStarted { media_ms, .. } => {
                ("caller", DIM, format!("begins to speak, known after {} ms", self.ms_since(at, *media_ms)))
            }
            CallEvent::SpeechStopped { media_ms, .. } => {
                ("caller", DIM, format!("has been silent for {} ms", self.ms_since(at, *media_ms)))
            }
            CallEvent::TurnCommitted { .. } => {
                ("server", DIM, "takes this for the turn's end and asks for the answer".to_owned())
            }
            CallEvent::AgentHeld { heard_ms, .. } => {
                ("server", YELLOW, format!("hears a voice: the agent is held after {heard_ms} ms"))
            }
            CallEvent::TurnDropped { voiced_ms, .. } => {
                ("server", DIM, format!("takes {voiced_ms} ms of voice for no turn: the model is told nothing"))
            }
            CallEvent::BackChannel { voiced_ms, .. } => (
                "server",
                DIM,
                format!("takes {voiced_ms} ms of voice for a remark: the model hears it, and is asked nothing"),
            ),
            CallEvent::AgentResumed { .. } => {
                ("agent", YELLOW, "GOES ON at the very sample where it was held".to_owned())
            }
            CallEvent::FirstAudio { after_ms, .. } => {
                ("agent", DIM, format!("first audio, {after_ms} ms into the response"))
            }
            CallEvent::BargeIn { heard_ms, unheard_ms, .. } => (
                "caller",
                YELLOW,
                format!("BARGES IN: the agent stops; {heard_ms} ms were heard, {unheard_ms} ms were not"),
            ),
            CallEvent::Truncated { heard_ms, .. } => {
                ("model", DIM, format!("is told that only {heard_ms} ms were heard"))
            }
            CallEvent::Said { who, text, unheard } => {
                let heard = format!("“{text}”");
                let text = if unheard.is_empty() { heard } else { format!("“{text} {}”", strike(unheard)) };
                let (who, colour) = match who {
                    Role::Caller => ("caller", CYAN),
                    _ => ("agent", GREEN),
                };
                (who, colour, text)
            }
            CallEvent::ToolCalled { name, arguments } => ("tool", YELLOW, format!("{name} {arguments}")),
            CallEvent::Noted { text } => ("note", BOLD, text.clone()),
            CallEvent::Closing { why } => ("server", DIM, format!("ends the call once everything was heard: {why}")),
            CallEvent::EffectRun { what, .. } => {
                ("server", DIM, format!("asks the carrier to {}", what.replace('_', " ")))
            }
            CallEvent::Ended { reason } => ("server", BOLD, format!("the call is over: {reason}")),
            _ => return,
        };
        let (colour, plain, dim) = (self.code(colour), self.code(PLAIN), self.code(DIM));
        say(&format!("{dim}{at}{plain}  {colour}{who:<7} {text}{plain}\n"));
    }

    /// How long ago at `at` a position on the media time line was.
    fn ms_since(&self, at: CallTime, media_ms: u64) -> u64 {
        at.as_ms().saturating_sub(self.media_start_ms.load(Ordering::Relaxed) + media_ms)
    }

    fn code(&self, code: &'static str) -> &'static str {
        if self.colour { code } else { "" }
    }
}
