//! THE CALL: every decision about one call, and no socket, clock, task, thread or file.

pub mod event;
pub mod io;
pub mod timer;

use std::sync::Arc;

pub use event::{CallEvent, EndReason};
pub use io::*;
pub use timer::Timer;

use crate::config::CallSettings;
use crate::report::Report;
use crate::time::CallTime;

/// One call, as a value.
///
/// The contract of its loop: **handle, drain, wait.** Call [`handle`](Self::handle) with one input and the time it
/// arrived; call [`poll_action`](Self::poll_action) until it answers `None`, carrying out each action; then wait for the
/// next input or until [`next_deadline`](Self::next_deadline), which is itself an input ([`Input::Tick`]). A new engine
/// has actions to poll before its first input: it dials the model.
#[derive(Debug)]
pub struct CallEngine {
    settings: Arc<CallSettings>,
}

impl CallEngine {
    /// A call that has just been announced by the carrier, at [`CallTime::ZERO`].
    pub fn new(settings: Arc<CallSettings>) -> Self {
        CallEngine { settings }
    }

    /// Takes in what happened at `at`. Never fails: bad input degrades or ends the call, with a reason. `at` never runs
    /// backwards; an earlier time counts as the latest one seen.
    pub fn handle(&mut self, at: CallTime, input: Input<'_>) {
        let _ = (at, input);
    }

    /// The next thing to do, in order. After [`Action::End`] there is nothing more, for good.
    pub fn poll_action(&mut self) -> Option<Action<'_>> {
        None
    }

    /// When to send [`Input::Tick`], and what it waits for; `None` once the call is over.
    pub fn next_deadline(&self) -> Option<(CallTime, Timer)> {
        None
    }

    /// Whether [`Action::End`] was given out.
    pub fn is_over(&self) -> bool {
        false
    }

    /// The report as of now. `call`, `carrier_call`, `started` and `recording` are left empty: the engine does not know them.
    #[allow(clippy::unimplemented)]
    pub fn report(&self) -> Report {
        let _ = &self.settings;
        unimplemented!()
    }
}
