//! What a call may cost: a share of what is left, so that calls at the same time never spend the same money.

use crate::config::{Budget, Price};

/// Minutes that a share is meant for; a call that goes on is given more.
const MINUTES: u64 = 2;
/// A minute of conversation, both speaking without a pause, in tokens of audio: 10 a second heard, 20 a second said.
const HEARD: u64 = 600;
const SAID: u64 = 1_200;

/// What a deployment's calls may cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// In one call.
    pub call_micros: Option<u64>,
    /// With one person's number, in a day (UTC).
    pub number_day_micros: Option<u64>,
    /// In all calls of the deployment, in a day (UTC).
    pub day_micros: Option<u64>,
    /// In all calls of the organization, in a month (UTC).
    pub month_micros: Option<u64>,
    /// What a minute costs, about; 0: nothing that is known.
    pub minute_micros: u64,
}

/// What a minute of conversation costs at this price.
pub fn minute_micros(price: &Price) -> u64 {
    let of_tokens = HEARD * price.audio_in_micros + SAID * price.audio_out_micros;
    of_tokens.div_ceil(1_000_000) + price.minute_micros
}

/// A budget that calls share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pot {
    /// Whose it is, as budgets name it: `month`, `day` or `number`.
    pub(super) of: &'static str,
    pub(super) limit: u64,
    /// What calls that are over have cost.
    pub(super) spent: u64,
    /// What those that go on may cost.
    pub(super) reserved: u64,
}

impl Pot {
    /// What is spent, or may be.
    pub(super) fn used(&self) -> u64 {
        self.spent.saturating_add(self.reserved)
    }

    fn left(&self) -> u64 {
        self.limit.saturating_sub(self.spent).saturating_sub(self.reserved)
    }
}

/// What a call that begins may cost, and how much of it is taken out of the pots; the pot that is empty, as an error.
pub(super) fn first(limits: &Limits, pots: &[Pot]) -> Result<(Option<Budget>, u64), &'static str> {
    if limits.minute_micros == 0 {
        // Nothing is counted, so nothing is ever used up.
        return Ok((call(limits), 0));
    }
    more(limits, pots, 0, 0).map(|(budget, taken)| (budget, if pots.is_empty() { 0 } else { taken }))
}

/// The same for one that has cost `spent` of the `had` that it was given: with what it had.
pub(super) fn more(limits: &Limits, pots: &[Pot], spent: u64, had: u64) -> Result<(Option<Budget>, u64), &'static str> {
    let wanted = spent.saturating_add(MINUTES * limits.minute_micros).max(had);
    let least = pots.iter().min_by_key(|pot| pot.left());
    let Some(least) = least else { return Ok((call(limits), had)) };
    if least.left() == 0 && had == 0 {
        return Err(least.of);
    }
    let given = wanted.min(had.saturating_add(least.left()));
    Ok(match call(limits) {
        Some(own) if own.micros <= given => (Some(own.clone()), own.micros),
        _ => (Some(Budget { micros: given, of: least.of.to_owned() }), given),
    })
}

fn call(limits: &Limits) -> Option<Budget> {
    Some(Budget { micros: limits.call_micros?, of: "call".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(call_micros: Option<u64>, minute_micros: u64) -> Limits {
        Limits { call_micros, minute_micros, ..Limits::default() }
    }

    fn pot(limit: u64, spent: u64, reserved: u64) -> Pot {
        Pot { of: "day", limit, spent, reserved }
    }

    fn budget(micros: u64, of: &str) -> Option<Budget> {
        Some(Budget { micros, of: of.to_owned() })
    }

    #[test]
    fn shares_are_minutes_as_far_as_there_is_something_left() {
        assert_eq!(first(&limits(None, 10), &[pot(100, 0, 0)]), Ok((budget(20, "day"), 20)));
        assert_eq!(first(&limits(None, 10), &[pot(100, 50, 45)]), Ok((budget(5, "day"), 5)));
        assert_eq!(first(&limits(None, 10), &[pot(100, 50, 50)]), Err("day"));
        assert_eq!(first(&limits(None, 10), &[pot(100, 200, 0)]), Err("day"), "more was spent than was allowed");
        assert_eq!(first(&limits(Some(7), 10), &[pot(100, 0, 0)]), Ok((budget(7, "call"), 7)));
        let number = Pot { of: "number", ..pot(8, 0, 0) };
        assert_eq!(first(&limits(None, 10), &[pot(100, 0, 0), number]), Ok((budget(8, "number"), 8)));
        assert_eq!(first(&limits(Some(7), 10), &[]), Ok((budget(7, "call"), 0)), "nobody shares it");
        assert_eq!(first(&limits(None, 0), &[pot(1, 1, 0)]), Ok((None, 0)), "without a price nothing is used up");
    }

    #[test]
    fn a_call_that_goes_on_is_given_more_and_never_less_than_it_had() {
        assert_eq!(more(&limits(None, 10), &[pot(100, 0, 20)], 15, 20), Ok((budget(35, "day"), 35)));
        assert_eq!(more(&limits(None, 10), &[pot(100, 75, 20)], 15, 20), Ok((budget(25, "day"), 25)));
        assert_eq!(more(&limits(None, 10), &[pot(100, 80, 20)], 15, 20), Ok((budget(20, "day"), 20)));
        assert_eq!(more(&limits(Some(30), 10), &[pot(100, 0, 20)], 15, 20), Ok((budget(30, "call"), 30)));
        assert_eq!(more(&limits(None, 10), &[pot(100, 0, 20)], 0, 20), Ok((budget(20, "day"), 20)));
    }

    #[test]
    fn however_many_begin_the_shares_are_never_more_than_there_is() {
        let (mut reserved, mut begun) = (0, 0);
        while let Ok((_, taken)) = first(&limits(None, 7), &[pot(150, 30, reserved)]) {
            (reserved, begun) = (reserved + taken, begun + 1);
        }
        assert_eq!((reserved, begun), (120, 9));
    }
}
