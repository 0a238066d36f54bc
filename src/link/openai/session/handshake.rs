//! The handshake: the far end greets, is told who we want it to be, and says who it is.

use super::*;
use crate::engine::Turns as WhoseTurns;
use crate::link::openai::told::{Detection, Told};

impl Session {
    /// The far end has greeted, by either of the two events: it is told once who we want it to be.
    pub(super) fn greeted<'a>(&mut self) -> Taken<'a> {
        match self.update.take() {
            Some(update) => {
                self.reply = Some(update);
                self.phase = Phase::Configuring;
                Taken::Done
            }
            None => Taken::Nothing,
        }
    }

    /// The session is what the far end says, not what was asked for: its formats are followed, and who detects turns is
    /// the engine's to know.
    pub(super) fn session_updated<'a>(&mut self, text: &'a str) -> Taken<'a> {
        if !matches!(self.phase, Phase::Configuring | Phase::Ready) {
            return Taken::Nothing;
        }
        let told = Told::read(text);
        let (to, from) = self.converter.formats();
        let (input, output) = match (told.input.unwrap_or(Ok(to)), told.output.unwrap_or(Ok(from))) {
            (Ok(input), Ok(output)) => (input, output),
            (Err(name), _) | (_, Err(name)) => {
                let reason = format!("the model's audio is {name}, and {} was asked for", told::name(self.asked));
                return Taken::Event(self.refuse(reason, false));
            }
        };
        let again = self.phase == Phase::Ready;
        if (input, output) != self.converter.formats() {
            self.converter.follow(input, output);
            self.guess = Guess::default();
            if (input, output) != (self.asked, self.asked) {
                let (to, from) = (told::name(input), told::name(output));
                self.odd(format!(
                    "takes {to} and sends {from}, where {} was asked for: converted",
                    told::name(self.asked)
                ));
            }
        }
        if again {
            // Told once more; who detects turns does not change in the middle of a call.
            return if self.further.is_empty() { Taken::Nothing } else { Taken::Further };
        }
        let turns = match told.detection {
            Detection::On { kind, prefix_ms, silence_ms, answers } if !(self.detects && answers) => {
                let does = if answers { "detects turns and answers them" } else { "detects turns and answers none" };
                let asked = if self.detects { "to be asked to answer" } else { "to be told of turns" };
                self.odd(format!("{does} ({kind}), though it was {asked}: followed"));
                Some(WhoseTurns { detects: true, answers, prefix_ms, silence_ms })
            }
            // Nobody would end the caller's turns: our own ears are none for an agent that leaves that to the model.
            Detection::Off if self.detects => {
                let reason = "the model detects no turns, though it was asked to".to_owned();
                self.further.clear();
                return Taken::Event(self.refuse(reason, false));
            }
            _ => None,
        };
        self.phase = Phase::Ready;
        let id = serde_json::from_str::<Value>(text).ok();
        let id = id.as_ref().and_then(|told| told["session"]["id"].as_str()).filter(|id| !id.is_empty());
        let session = Cow::Owned(id.unwrap_or(&self.id).to_owned());
        self.further.push_front(ModelEvent::Ready { session, turns });
        Taken::Further
    }

    /// There is no session to be had of this connection.
    pub(super) fn refuse<'a>(&mut self, reason: String, retry: bool) -> ModelEvent<'a> {
        self.phase = Phase::Over;
        ModelEvent::Closed { reason: Cow::Owned(reason), retry }
    }

    /// The far end is not as it was asked to be.
    pub(super) fn odd(&mut self, what: String) {
        self.further.push_back(ModelEvent::NotAsAsked { what: Cow::Owned(what) });
    }
}
