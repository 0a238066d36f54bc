//! What an agent asks during a call: of other servers by its tools, who the caller is, and of its documents.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::base::template::{Values, Variables};
use crate::config::{Agent, Fetch, KNOWLEDGE};
use crate::engine::EffectResult;
use crate::link::http::fill;
use crate::store::Knowledge;

use super::knowledge::lookup;
use super::metrics::Metrics;
use super::reach::Reach;
use super::request::{Failure, send};

/// The way of one call to other servers.
#[derive(Clone)]
pub(super) struct Hands {
    reach: Reach,
    agent: Arc<Agent>,
    knowledge: Knowledge,
    metrics: Arc<Metrics>,
}

impl Hands {
    pub(super) fn new(reach: Reach, agent: Arc<Agent>, knowledge: Knowledge, metrics: Arc<Metrics>) -> Hands {
        Hands { reach, agent, knowledge, metrics }
    }

    /// Runs a tool: what it answered, or why not in words that the model can act on.
    pub(super) async fn run(self, name: String, arguments: String, variables: Arc<Variables>) -> EffectResult {
        let mut tally = Tally { metrics: &self.metrics, began: Instant::now(), outcome: "cancelled" };
        let ran = self.ask(&name, &arguments, &variables).await;
        tally.outcome = ran.as_ref().map_or_else(|failure| failure.kind, |_| "done");
        drop(tally);
        match ran {
            Ok(text) => EffectResult::Output(text),
            Err(failure) => {
                // The server's own words may be about the caller.
                tracing::info!(tool = name, why = failure.kind, "a tool failed");
                tracing::debug!(tool = name, words = failure.words);
                EffectResult::Failed(failure.words)
            }
        }
    }

    async fn ask(&self, name: &str, arguments: &str, variables: &Variables) -> Result<String, Failure> {
        if name == KNOWLEDGE {
            return lookup::answer(&self.knowledge, &self.agent.name, arguments).await;
        }
        let Some(tool) = self.agent.http_tools.get(name) else {
            return Err(Failure::new("request", "there is no such tool"));
        };
        let parsed: Value = serde_json::from_str(arguments)
            .map_err(|error| Failure::new("request", format!("the arguments are not JSON ({error})")))?;
        let values = Values::new(variables).with("args", &parsed);
        let filled = fill(&tool.request, &values, arguments).map_err(|why| Failure::new("request", why))?;
        let limit = Duration::from_millis(tool.timeout_ms);
        let answer = send(&self.reach, &tool.request, &filled, (Instant::now() + limit).into()).await;
        let answer = answer.map_err(|failure| match failure.kind {
            "timeout" => Failure::new("timeout", format!("no answer within {} ms", tool.timeout_ms)),
            _ => failure,
        })?;
        Ok(match answer.text.trim().is_empty() {
            true => format!("The server answered {} and said nothing.", answer.status),
            false => answer.text,
        })
    }

    /// Fetches what is known of the caller, until the fetch's deadline after `began`. `None`: the defaults stand.
    pub(super) async fn fetch(self, fetch: Arc<Fetch>, variables: Arc<Variables>, began: Instant) -> Option<Variables> {
        let deadline = began + Duration::from_millis(fetch.deadline_ms);
        let fetched = self.look_up(&fetch, &variables, deadline).await;
        self.metrics.fetch.observe(began.elapsed());
        self.metrics.fetches.add(fetched.as_ref().map_or_else(|failure| failure.kind, |_| "done"), 1);
        fetched.map_err(|failure| tracing::debug!(why = failure.words, "nothing was fetched of the caller")).ok()
    }

    async fn look_up(&self, fetch: &Fetch, variables: &Variables, deadline: Instant) -> Result<Variables, Failure> {
        let everything = Value::from_iter(variables.iter().map(|(name, value)| (name.clone(), value.clone())));
        let filled = fill(&fetch.request, &Values::new(variables), &everything.to_string())
            .map_err(|why| Failure::new("request", why))?;
        let answer = send(&self.reach, &fetch.request, &filled, deadline.into()).await?;
        let answer: Value = serde_json::from_str(&answer.text)
            .map_err(|error| Failure::new("not_json", format!("the answer is not JSON ({error})")))?;
        let found = fetch.map.iter().filter_map(|(name, pointer)| {
            let text = match answer.pointer(pointer)? {
                Value::Null => return None,
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            Some((name.clone(), text.chars().take(MAX_VALUE).collect()))
        });
        Ok(found.collect())
    }
}

/// Counts a tool however it comes to its end, also when it is let go of: its time was over, or the call.
struct Tally<'a> {
    metrics: &'a Metrics,
    began: Instant,
    outcome: &'static str,
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        self.metrics.tool.observe(self.began.elapsed());
        self.metrics.tools.add(self.outcome, 1);
    }
}

/// Characters of one variable that was fetched: it stands in instructions.
const MAX_VALUE: usize = 4_000;
