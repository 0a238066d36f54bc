//! What the model answers: one response at a time, its items, their audio in pieces, tools, and its end.

use super::*;
use crate::engine::ResponseStatus;

/// The response that runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Active {
    pub(super) id: u32,
    cancelled: bool,
    pub(super) audible: bool,
    /// What is left of the item that is being said, in bytes.
    left: u64,
    items_left: u64,
    tool: Option<&'static str>,
    status: ResponseStatus,
    retry_after_ms: Option<u64>,
    silent: bool,
}

/// Numbers of replies that are not told to begin.
const UNSEEN: u32 = 1_000_000;

impl Model {
    pub(super) fn begin(&mut self, now: CallTime, asked: bool) {
        if self.active.is_some() {
            if asked {
                let about = self.random.chance(700).then_some(CommandKind::CreateResponse);
                let code = "conversation_already_has_active_response";
                self.later(now, 25, Say::Error { code, about, number: None, fatal: false, busy: true });
            }
            return;
        }
        if asked && let Some(runs_ms) = self.temper.is_busy(&mut self.random) {
            self.faults.met(Fault::UnseenReply);
            self.later(now, 25, Say::Error { code: "", about: None, number: None, fatal: false, busy: true });
            let (response, status) = (UNSEEN + self.responses, ResponseStatus::Completed);
            self.later(now, 30 + runs_ms, Say::Done { response, status, retry_after_ms: None });
            return;
        }
        if self.temper.is_silent(self.responses, &mut self.random) {
            self.faults.met(Fault::ModelSilent);
            return;
        }
        let now = now.max(self.named_at);
        self.responses += 1;
        let id = self.responses;
        let (begins_ms, speaks_ms) = (self.random.skewed(30, 900), self.random.skewed(60, 1_500));
        self.later(now, begins_ms, Say::Started { response: id });
        let reply = self.temper.reply(&mut self.random, id);
        if reply.status == ResponseStatus::Failed {
            self.faults.met(Fault::ReplyFails);
        }
        if reply.silent && reply.items > 0 {
            self.faults.met(Fault::SilentReply);
        }
        if let Some((after_ms, say)) = reply.besides {
            if matches!(say, Say::Error { .. }) {
                self.faults.met(Fault::ModelErrors);
            }
            self.later(now, begins_ms + after_ms, say);
        }
        let (left, items_left, tool, status) = (0, reply.items, reply.tool, reply.status);
        let (retry_after_ms, silent) = (reply.retry_after_ms, reply.silent);
        let (cancelled, audible) = (false, false);
        self.active = Some(Active { id, cancelled, audible, left, items_left, tool, status, retry_after_ms, silent });
        self.goes_on(now, begins_ms + speaks_ms);
    }

    /// The next item of the response, or its end.
    fn goes_on(&mut self, now: CallTime, after_ms: u64) {
        let Some(active) = &mut self.active else { return };
        let (response, silent) = (active.id, active.silent);
        if active.items_left > 0 {
            active.items_left -= 1;
            active.left = self.random.skewed(150, self.temper.longest_item_ms) * PER_MS;
            self.items += 1;
            let item = self.items;
            let bytes = self.temper.chunk(&mut self.random).min(self.active.map_or(0, |a| a.left));
            self.later(now, after_ms, Say::Audio { response, item, bytes, silent });
            let words = self.random.range(1, 4);
            self.later(now, after_ms, Say::Words { response, item, words, done: false });
            return;
        }
        let (tool, status, retry_after_ms) = (active.tool.take(), active.status, active.retry_after_ms);
        if let Some(name) = tool {
            self.later(now, after_ms, Say::Tool { response, name });
        }
        self.later(now, after_ms + 5, Say::Done { response, status, retry_after_ms });
    }

    pub(super) fn said_audio(&mut self, now: CallTime, response: u32, item: u32, bytes: u64) {
        match self.said.iter_mut().find(|(n, _)| *n == item) {
            Some((_, said)) => *said += bytes,
            None => {
                if self.said.len() == ITEMS_MAX {
                    self.said.pop_front();
                }
                self.said.push_back((item, bytes));
            }
        }
        let Some(active) = self.active.as_mut().filter(|a| a.id == response && !a.cancelled) else { return };
        active.audible = true;
        active.left -= bytes.min(active.left);
        let (left, silent) = (active.left, active.silent);
        let pace_ms = bytes / PER_MS / self.temper.pace.max(1);
        if left > 0 {
            let bytes = self.temper.chunk(&mut self.random).min(left);
            self.later(now, pace_ms, Say::Audio { response, item, bytes, silent });
        } else {
            let words = self.random.range(2, 30);
            self.later(now, pace_ms, Say::Words { response, item, words, done: true });
            self.goes_on(now, pace_ms + 10);
        }
    }

    pub(super) fn cancel(&mut self, now: CallTime) {
        let Some(active) = self.active.as_mut().filter(|a| !a.cancelled) else {
            let (code, about) = ("response_cancel_not_active", Some(CommandKind::CancelResponse));
            return self.later(now, 25, Say::Error { code, about, number: None, fatal: false, busy: false });
        };
        active.cancelled = true;
        let id = active.id;
        // What is on its way already still comes.
        self.queue.retain(
            |_, say| !matches!(say, Say::Tool { response, .. } | Say::Done { response, .. } if *response == id),
        );
        let (after_ms, status) = (self.random.range(10, 250), ResponseStatus::Cancelled);
        self.later(now, after_ms, Say::Done { response: id, status, retry_after_ms: None });
    }
}
