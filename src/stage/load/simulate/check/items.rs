//! What the model believes that the caller heard.

use super::*;

/// Off by this much, an item counts as heard as it is, in ms: positions are whole milliseconds, and a reckoning.
const NEAR_MS: u64 = 2;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Item {
    pub(super) number: u32,
    /// Of this response.
    response: u32,
    /// Audio that the model made.
    pub(super) received: u64,
    pub(super) sent: u64,
    /// It was stopped for good: none of it may be heard any more.
    pub(super) stopped: bool,
    /// It is made of silence.
    pub(super) silent: bool,
    /// The caller heard so much of it, and no more is to come.
    heard_ms: Option<u64>,
    /// The model was told so last.
    truncated_ms: Option<u64>,
    /// Its response is over.
    done: bool,
    /// The session that knows it is gone.
    lost: bool,
}

impl Item {
    pub(super) fn new(number: u32) -> Self {
        Item { number, ..Item::default() }
    }
}

impl Watch {
    /// What the model says of its responses.
    pub(super) fn hears_model(&mut self, event: &ModelEvent<'_>) {
        let number = |name: &str| name.strip_prefix("resp_").and_then(|n| n.parse().ok()).unwrap_or_default();
        match event {
            ModelEvent::ResponseStarted { response } => self.response = number(response),
            ModelEvent::ResponseDone { response, .. } => {
                let over = number(response);
                self.items.iter_mut().filter(|item| item.response == over).for_each(|item| item.done = true);
                self.told = true;
            }
            ModelEvent::Closed { .. } => self.lose_session(),
            ModelEvent::Audio { response, item, payload } => {
                let Some(item) = number_of(item) else { return };
                let response = number(response);
                let (cancelled, over) = (response == self.cancelled, self.over);
                let item = self.receives(item, payload.len() as u64, payload.first() == Some(&SILENCE));
                if item.response == 0 {
                    (item.response, item.stopped, item.lost) = (response, cancelled, over);
                }
            }
            _ => {}
        }
    }

    /// What the model is told of them.
    pub(super) fn tells_model(&mut self, action: &Action<'_>) {
        match action {
            Action::SendModel(ModelCommand::CancelResponse) => self.cancelled = self.response,
            Action::SendModel(ModelCommand::Truncate { item, audio_end_ms }) => {
                if let Some(item) = self.item_named(item) {
                    item.truncated_ms = Some(*audio_end_ms);
                }
            }
            Action::Emit(CallEvent::AgentHeard { item, ms }) => {
                if let Some(item) = self.item_named(item) {
                    item.heard_ms = Some(*ms);
                }
                self.told = true;
            }
            // A recording may come between two stretches of an item, each of which is heard by itself.
            Action::Emit(CallEvent::LineQueued { .. }) => {
                self.items.iter_mut().filter(|item| !item.done).for_each(|item| item.lost = true);
            }
            // What is lent or over is cut off, and nothing follows that could rest on it.
            Action::LineOver => {
                self.over = true;
                self.lose_session();
            }
            Action::DialModel | Action::CloseModel | Action::Run(..) | Action::End(_) => self.lose_session(),
            _ => {}
        }
    }

    /// At an item's end: what was not heard of it is not believed to be.
    pub(super) fn compare_items(&mut self, sim: &Sim) {
        let (now, line) = (sim.now(), sim.line_now());
        let mut untold = None;
        for item in &mut self.items {
            // The line cannot tell whose silence it plays.
            if !item.done || item.lost || item.silent {
                continue;
            }
            let played_ms =
                line.played_of(Self::byte_of(item.number), now.plus_ms(line.delay_ms())).as_ms(self.rate_hz);
            let heard_ms = match (item.heard_ms, item.stopped) {
                (Some(heard_ms), _) => heard_ms,
                (None, true) => played_ms,
                (None, false) => continue,
            };
            item.lost = true;
            let made_ms = item.received * 1_000 / u64::from(self.rate_hz);
            let near_ms = if item.heard_ms.is_some() { NEAR_MS } else { self.batch_ms + RECKONING_MS };
            let believed_ms = item.truncated_ms.unwrap_or(made_ms);
            if believed_ms > heard_ms + near_ms * (1 + self.holds) {
                untold.get_or_insert_with(|| {
                    format!("of item_{} {heard_ms} ms are heard, and the model believes {believed_ms}", item.number)
                });
            }
        }
        if let Some(what) = untold {
            self.doubt.get_or_insert(Broken { at: now, what });
            self.look = true;
        }
    }

    fn item_named(&mut self, name: &str) -> Option<&mut Item> {
        let number = number_of(name)?;
        self.items.get_mut(usize::from(Self::byte_of(number)) - 1).filter(|item| item.number == number)
    }

    fn lose_session(&mut self) {
        self.items.iter_mut().for_each(|item| item.lost = true);
    }
}

pub(super) fn number_of(item: &str) -> Option<u32> {
    item.strip_prefix("item_").and_then(|number| number.parse().ok())
}
