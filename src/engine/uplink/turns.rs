//! Turns on their way to the model: passed on from their beginning, committed, sent again if they were refused, and
//! forgotten if they are none.

use super::*;
use crate::engine::outbox::OwnedCommand;

impl Uplink {
    /// Our own ears heard a turn begin: from position `from` of what was heard, everything is passed on.
    pub(in crate::engine) fn begin_turn(&mut self, from: Samples, out: &mut Outbox) {
        let Gate::Turns { turn, .. } = &mut self.gate else { return };
        let held = self.format.samples(self.recent.len());
        let waits = !self.early.is_empty() || self.uncommitted > Samples::ZERO;
        let waits_until = if waits { self.waits_until } else { Samples::ZERO };
        let from = from.max(self.appended.saturating_sub(held)).max(waits_until);
        *turn = Some(from);
        let skip = self.recent.len() - self.format.bytes(self.appended.saturating_sub(from));
        if self.open {
            let piece = out.keep_parts(tail(&self.recent, skip));
            self.uncommitted += self.format.samples(self.recent.len() - skip);
            out.model_audio(piece);
        } else if self.early_cap > 0 {
            self.early.extend(self.recent.range(skip..));
            self.waits_until = self.appended;
            self.trim_early();
        }
    }

    /// What was passed on becomes a turn of the conversation. One so short that it would be refused ends in silence.
    /// Answers with its audio, as far as that is still here.
    pub(in crate::engine) fn commit(&mut self, number: u32, out: &mut Outbox) -> Vec<u8> {
        let lately = self.lately().min(self.recent.len());
        let mut audio = Vec::from(std::mem::take(&mut self.waited));
        audio.extend(self.recent.range(self.recent.len() - lately..));
        let passed = std::mem::take(&mut self.uncommitted);
        if matches!(self.gate, Gate::Turns { .. }) {
            self.end_with_silence(passed, out);
        }
        out.model(OwnedCommand::Commit { number });
        audio
    }

    /// How many of the latest bytes the session has, beside what had waited for it, and no turn was made of.
    pub(super) fn lately(&self) -> usize {
        match self.gate {
            Gate::Turns { .. } => self.format.bytes(self.uncommitted).saturating_sub(self.waited.len()),
            // Of what it has, more is not here.
            Gate::All | Gate::Untold => self.recent.len(),
        }
    }

    /// A turn that the model refused is sent again, and behind it what it has of the one that goes on. `false`: that is
    /// not all here any more, so nothing is done.
    pub(in crate::engine) fn commit_again(&mut self, audio: &[u8], number: u32, out: &mut Outbox) -> bool {
        let goes_on = self.lately();
        // Whoever hears turns begin would hear this one twice.
        if !self.open || matches!(self.gate, Gate::All) || goes_on > self.recent.len() {
            return false;
        }
        out.model(OwnedCommand::Clear);
        self.commit_before(audio, number, out);
        let (waited, recent) = (self.waited.as_slices(), tail(&self.recent, self.recent.len() - goes_on));
        for parts in [waited, recent] {
            if !(parts.0.is_empty() && parts.1.is_empty()) {
                let piece = out.keep_parts(parts);
                out.model_audio(piece);
            }
        }
        true
    }

    /// What the model refused is none of the next turn's; of one that is open it cannot be told apart.
    pub(in crate::engine) fn clear_refused(&self, out: &mut Outbox) {
        if self.open && self.lately() == 0 && !matches!(self.gate, Gate::All) {
            out.model(OwnedCommand::Clear);
        }
    }

    /// A turn of which the audio was kept is one of the conversation; what the model has of others is none of it.
    pub(in crate::engine) fn commit_before(&self, audio: &[u8], number: u32, out: &mut Outbox) {
        let piece = out.keep(audio);
        out.model_audio(piece);
        if matches!(self.gate, Gate::Turns { .. }) {
            self.end_with_silence(self.format.samples(audio.len()), out);
        }
        out.model(OwnedCommand::Commit { number });
    }

    fn end_with_silence(&self, said: Samples, out: &mut Outbox) {
        let short = self.samples(SHORTEST_COMMIT_MS).saturating_sub(said);
        if short > Samples::ZERO {
            let piece = out.keep_silence(self.format.silence_byte(), self.format.bytes(short));
            out.model_audio(piece);
        }
    }

    /// The turn is over: nothing more is passed on until the next.
    pub(in crate::engine) fn end_turn(&mut self) {
        if let Gate::Turns { turn, .. } = &mut self.gate {
            *turn = None;
        }
        self.trim_recent();
    }

    /// The same, and what was passed on of it is committed with the next.
    pub(in crate::engine) fn keep_turn(&mut self) {
        // What follows it does not follow at once: it is kept by itself, should the session be lost.
        if self.open {
            let lately = self.lately().min(self.recent.len());
            self.waited.extend(self.recent.range(self.recent.len() - lately..));
        }
        self.end_turn();
        self.waits_until = self.appended;
    }

    /// The same, and what was passed on of it is forgotten.
    pub(in crate::engine) fn drop_turn(&mut self, out: &mut Outbox) {
        let Gate::Turns { turn, .. } = &mut self.gate else { return };
        let Some(from) = turn.take() else { return };
        if self.open {
            out.model(OwnedCommand::Clear);
            self.uncommitted = Samples::ZERO;
            self.waited = VecDeque::new();
        } else {
            let of_turn = self.format.bytes(self.appended.saturating_sub(from));
            self.early.truncate(self.early.len().saturating_sub(of_turn));
        }
        self.trim_recent();
    }

    /// What was passed on since the last commit, and belongs to no turn that is open, is forgotten.
    pub(in crate::engine) fn forget_kept(&mut self, out: &mut Outbox) {
        if self.open && std::mem::take(&mut self.uncommitted) > Samples::ZERO {
            out.model(OwnedCommand::Clear);
            self.waited = VecDeque::new();
        }
    }
}

/// What a ring holds from byte `from` on.
fn tail(ring: &VecDeque<u8>, from: usize) -> (&[u8], &[u8]) {
    let (a, b) = ring.as_slices();
    match from.checked_sub(a.len()) {
        Some(from) => (&b[from.min(b.len())..], &[]),
        None => (&a[from..], b),
    }
}
