//! What a call asks of the world beside its line and its model: effects, and what they bring that a session has to know.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use tracing::Instrument as _;

use crate::base::template::{self, Variables};
use crate::engine::{Effect, EffectId, EffectResult};
use crate::serve::lines::Outcome;

use super::{Call, Fetching};

/// Effects at once; the engine runs no more tools than fit, with a fetch and a hang-up beside them.
const MAX_EFFECTS: usize = 16;

impl Call<'_> {
    /// Begins an effect; its result comes back as an input.
    pub(super) fn run_effect(&mut self, id: EffectId, effect: Effect) {
        self.asked.effects = false;
        let run: BoxFuture<'static, Outcome> = match effect {
            _ if self.effects.len() >= MAX_EFFECTS => {
                Box::pin(std::future::ready(Outcome::Ended(EffectResult::Failed("too much at once".to_owned()))))
            }
            Effect::Tool { name, arguments } => {
                let ran = self.hands.clone().run(name, arguments, Arc::clone(&self.variables));
                Box::pin(async move { Outcome::Ended(ran.await) })
            }
            Effect::Fetch => {
                let fetching = self.begin_fetch();
                Box::pin(async move {
                    Outcome::Ended(match fetching.await {
                        Some(variables) => EffectResult::Variables(Arc::unwrap_or_clone(variables)),
                        None => EffectResult::Failed("nothing was fetched; the defaults stand".to_owned()),
                    })
                })
            }
            Effect::HangUp | Effect::Transfer { .. } | Effect::SendDtmf(_) => match self.line.run(&effect) {
                // The carrier is never let go of half-way: what it does then would not be known.
                Some(errand) => {
                    let errand = errand.instrument(self.span.clone());
                    let never_aborted = AbortHandle::new_pair().1;
                    return self
                        .effects
                        .push(Abortable::new(Box::pin(async move { (id, errand.await) }), never_aborted));
                }
                // The call is being let go of.
                None => Box::pin(std::future::ready(Outcome::Ended(EffectResult::Failed(
                    "the line could not come back".to_owned(),
                )))),
            },
        };
        let run = run.instrument(self.span.clone());
        let (handle, registration) = AbortHandle::new_pair();
        self.handles.insert(id, handle);
        self.effects.push(Abortable::new(Box::pin(async move { (id, run.await) }), registration));
    }

    fn begin_fetch(&mut self) -> Fetching {
        let fetched: BoxFuture<'static, Option<Arc<Variables>>> = match self.deployment.agent.fetch.clone() {
            Some(fetch) => {
                let run = self.hands.clone().fetch(fetch, Arc::clone(&self.variables), self.began);
                Box::pin(async move { run.await.map(Arc::new) })
            }
            None => Box::pin(std::future::ready(None)),
        };
        let fetching = fetched.shared();
        self.fetch = Some(fetching.clone());
        fetching
    }

    /// What was fetched is known from now on.
    pub(super) fn learn(&mut self, fetched: &Variables) {
        let known = Arc::make_mut(&mut self.variables);
        known.extend(fetched.iter().map(|(name, value)| (name.clone(), value.clone())));
    }

    /// A session for a connection that is there, with the agent's instructions as far as their variables are known.
    pub(super) fn begin_session(&mut self) {
        if let Some(Some(fetched)) = self.fetch.as_ref().and_then(|fetch| fetch.peek().cloned()) {
            self.learn(&fetched);
        }
        let instructions = template::render(&self.deployment.agent.instructions, &self.variables);
        self.model.begin(&instructions);
    }
}
