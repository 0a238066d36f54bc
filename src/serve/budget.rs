//! What a call asks for when it is let in: its place, and what its model may cost.

use std::sync::Arc;

use crate::config::{Budget, Budgets, Config, Deployment, OrganizationBudget};
use crate::engine::Control;
use crate::house::caps;
use crate::store::{Denied, Limits, NewCall, Wish, minute_micros};

use super::Shared;
use super::registry::Command;

/// What the store is asked for a call: a place among those of its agent (CON-01), and what it may cost.
pub(super) fn wish(config: &Config, deployment: &Deployment, call: NewCall) -> Wish {
    let agent = config.personas.get(&deployment.standing.agent);
    let own = agent.and_then(|agent| agent.standing.max_calls);
    let cap = caps::of_agent(own, config.server.plan.calls_per_agent);
    Wish { call, agent_max: cap.map(|cap| u64::from(cap.number())), limits: limits(config, deployment) }
}

/// What a deployment's calls may cost.
pub(super) fn limits(config: &Config, deployment: &Deployment) -> Limits {
    let budgets = &deployment.budgets;
    Limits {
        call_micros: budgets.call_micros,
        number_day_micros: budgets.number_day_micros,
        day_micros: budgets.day_micros,
        month_micros: config.server.budget.month_micros,
        minute_micros: deployment.agent.model.price.as_ref().map_or(0, minute_micros),
    }
}

/// Why not, as the metric names it.
pub(super) fn name(denied: &Denied) -> &'static str {
    match denied {
        Denied::AgentFull => "agent_full",
        Denied::DayBudget => "day_budget",
        Denied::MonthBudget => "month_budget",
        Denied::NumberBudget => "number_budget",
        Denied::Over => "call_over",
        Denied::Store(_) => "store",
    }
}

/// Asks for more for a call that has used up half of its share, and tells the call; without an answer it has what it has.
pub(super) fn ask_for_more(shared: &Arc<Shared>, call: &str, deployment: &Deployment, cost_micros: u64) {
    let limits = limits(&shared.config(), deployment);
    let (shared, call) = (Arc::clone(shared), call.to_owned());
    tokio::spawn(async move {
        match shared.store.raise(&call, cost_micros, &limits).await {
            Ok(Some(budget)) => {
                // A call that is over, or has too much to do, has no use for it.
                shared.registry.command(&call, Command::Control(Control::Budget(budget)));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(call, %error, "what is left of the budget is not known"),
        }
    });
}

/// Lets a call in that was let in before, and is found again when nothing is left or no place is free: it goes on all the
/// same. Its limit is its own, or else the smallest of those that it shares, of which it could have had no more than all.
pub(super) async fn again(shared: &Shared, deployment: &Deployment, call: NewCall) -> Option<Budget> {
    let wish = Wish { call, agent_max: None, limits: Limits::default() };
    if let Err(denied) = shared.store.admit(wish).await {
        tracing::warn!(why = name(&denied), "a call that was placed before takes no place in the store");
    }
    of_budgets(&deployment.budgets, shared.config().server.budget)
}

fn of_budgets(budgets: &Budgets, organization: OrganizationBudget) -> Option<Budget> {
    let of = |of: &str, micros: Option<u64>| Some(Budget { micros: micros?, of: of.to_owned() });
    let month = of("month", organization.month_micros);
    let shared = [of("day", budgets.day_micros), of("number", budgets.number_day_micros), month];
    of("call", budgets.call_micros).or_else(|| shared.into_iter().flatten().min_by_key(|budget| budget.micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_was_let_in_keeps_a_limit_when_the_days_are_spent() {
        let month = |call_micros, number_day_micros, day_micros, month_micros| {
            let budgets = Budgets { call_micros, number_day_micros, day_micros };
            let found = of_budgets(&budgets, OrganizationBudget { month_micros });
            found.map(|budget| (budget.micros, budget.of))
        };
        let of = |call_micros, number_day_micros, day_micros| month(call_micros, number_day_micros, day_micros, None);
        assert_eq!(month(None, Some(5), Some(7), Some(3)), Some((3, "month".to_owned())));
        assert_eq!(month(None, None, None, Some(3)), Some((3, "month".to_owned())));
        assert_eq!(of(Some(9), Some(5), Some(7)), Some((9, "call".to_owned())), "its own");
        assert_eq!(of(None, Some(5), Some(7)), Some((5, "number".to_owned())));
        assert_eq!(of(None, None, Some(7)), Some((7, "day".to_owned())));
        assert_eq!(of(None, None, None), None);
    }
}
