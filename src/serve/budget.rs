//! What the model may cost in a call that begins: what is left of the deployment's budgets.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::{Budget, Budgets, Deployment};
use crate::store::Spender;

use super::Shared;

/// The smallest of what is left, if there is a limit at all; whose nothing is left of, as an error. `number`: the other
/// party's. A store that cannot be asked is no reason not to answer: then only the call's own limit holds.
pub(super) async fn left(
    shared: &Shared,
    deployment: &Deployment,
    number: Option<&str>,
    now: SystemTime,
) -> Result<Option<Budget>, &'static str> {
    let budgets = &deployment.budgets;
    let day = Spender::Deployment(deployment.name.clone());
    let mut asked = vec![("day", budgets.day_micros, day)];
    if let Some(number) = number {
        asked.push(("number", budgets.number_day_micros, Spender::Number(number.to_owned())));
    }
    let mut least = budgets.call_micros.map(|micros| Budget { micros, of: "call".to_owned() });
    for (of, limit, spender) in asked {
        let Some(limit) = limit else { continue };
        let spent = match shared.store.spent_micros_since(&spender, midnight_ms(now)).await {
            Ok(spent) => spent,
            Err(error) => {
                shared.metrics.budgets_unknown.add(1);
                tracing::warn!(%error, of, "what was spent today is not known; the call is answered");
                continue;
            }
        };
        let micros = limit.saturating_sub(spent);
        if micros == 0 {
            return Err(if of == "day" { "day_budget" } else { "number_budget" });
        }
        if least.as_ref().is_none_or(|least| micros < least.micros) {
            least = Some(Budget { micros, of: of.to_owned() });
        }
    }
    Ok(least)
}

/// For a call that was let in while something was left, and is found again when nothing is: its own limit, or else the
/// smallest of those that it shares, of which it could have had no more than all.
pub(super) fn at_most(deployment: &Deployment) -> Option<Budget> {
    of_budgets(&deployment.budgets)
}

fn of_budgets(budgets: &Budgets) -> Option<Budget> {
    let of = |of: &str, micros: Option<u64>| Some(Budget { micros: micros?, of: of.to_owned() });
    let shared = [of("day", budgets.day_micros), of("number", budgets.number_day_micros)];
    of("call", budgets.call_micros).or_else(|| shared.into_iter().flatten().min_by_key(|budget| budget.micros))
}

/// When the day began, in UTC, in milliseconds since 1970.
fn midnight_ms(now: SystemTime) -> i64 {
    const DAY: u64 = 86_400;
    let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    i64::try_from((since - since % DAY) * 1_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight() {
        let at = |s| UNIX_EPOCH + Duration::from_secs(s);
        assert_eq!(midnight_ms(at(1_795_216_495)), 1_795_132_800_000);
        assert_eq!(midnight_ms(at(1_795_132_800)), 1_795_132_800_000);
        assert_eq!(midnight_ms(at(5)), 0);
    }

    #[test]
    fn a_call_that_was_let_in_keeps_a_limit_when_the_days_are_spent() {
        let of = |call_micros, number_day_micros, day_micros| {
            let found = of_budgets(&Budgets { call_micros, number_day_micros, day_micros });
            found.map(|budget| (budget.micros, budget.of))
        };
        assert_eq!(of(Some(9), Some(5), Some(7)), Some((9, "call".to_owned())), "its own");
        assert_eq!(of(None, Some(5), Some(7)), Some((5, "number".to_owned())));
        assert_eq!(of(None, None, Some(7)), Some((7, "day".to_owned())));
        assert_eq!(of(None, None, None), None);
    }
}
