//! What `{{name.field}}` stands for in what is said: known when the call begins, or fetched while it does.

use super::*;

impl CallEngine {
    /// Asks for what is known of the caller; whoever runs it has a deadline of its own, and defaults.
    pub(super) fn begin_fetch(&mut self) {
        if self.fetching {
            self.fetch = Some(self.begin_effect(Effect::Fetch));
        }
    }

    /// Answers whether the effect was the fetch.
    pub(super) fn on_fetched(&mut self, id: EffectId, result: &EffectResult) -> bool {
        if self.fetch != Some(id) {
            return false;
        }
        self.fetch = None;
        self.fetching = false;
        match result {
            EffectResult::Variables(variables) => self.variables.extend(variables.clone()),
            // The defaults stand.
            _ => self.stats.count("fetches_failed", 1),
        }
        if matches!(self.phase, Phase::Talking) {
            self.greet();
        }
        true
    }

    /// A text with its variables filled in.
    pub(super) fn worded(&self, text: &str) -> String {
        crate::base::template::render(text, &self.variables).into_owned()
    }

    /// Keeps something for a session after this one, which knows it already. Answers with its line, if there is room.
    pub(super) fn note_for_model(&mut self, text: &str) -> Option<usize> {
        if self.conversation.is_full() {
            return None;
        }
        let line = self.conversation.begin(Role::System, "told");
        self.conversation.say(line, text, true);
        Some(line)
    }

    /// Tells the model something that nobody said; a session that is not there yet is told when it is.
    pub(super) fn tell_model(&mut self, text: String) {
        if self.conversation.is_full() {
            if self.session.is_ready() {
                self.out.model(OwnedCommand::Add { role: Role::System, text, id: None, first: false });
            }
            return;
        }
        let line = self.conversation.begin(Role::System, "told");
        self.conversation.say(line, &text, true);
        self.tell_session(line);
    }
}
