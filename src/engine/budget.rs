//! What a call may use up: the model's time and its price. The agent is told before, so that it can say goodbye itself.

use super::*;
use crate::config::{Budget, Price};
use crate::engine::report::Cost;

/// Of a budget, in percent, after which the agent is told to come to an end.
const WARN_PERCENT: u64 = 80;
/// Of a budget that is a share of one, in percent, after which more is asked for.
const ASK_PERCENT: u64 = 50;
/// How long the answer may take; after that what there is is all there is.
const ASKED_MS: u64 = 2_000;

/// What was used up.
#[derive(Debug, Default)]
pub(super) struct Spending {
    /// Since when the model's session has been open.
    open_since: Option<CallTime>,
    /// How long earlier sessions were, in ms.
    open_ms: u64,
    warned: bool,
    /// What the call may cost by now, once it was given more.
    granted: Option<Budget>,
    /// When more was asked for, since it was given last.
    asked_at: Option<CallTime>,
    /// The answer is there.
    answered: bool,
}

impl Spending {
    fn open_ms(&self, now: CallTime) -> u64 {
        self.open_ms + self.open_since.map_or(0, |since| now.ms_since(since))
    }
}

impl CallEngine {
    pub(super) fn model_opened(&mut self) {
        self.spending.open_since.get_or_insert(self.now);
        self.watch_budget();
    }

    pub(super) fn model_shut(&mut self) {
        self.spending.open_ms = self.spending.open_ms(self.now);
        self.spending.open_since = None;
    }

    /// How long the model's session has been open, in ms.
    pub(super) fn model_open_ms(&self) -> u64 {
        self.spending.open_ms(self.now)
    }

    /// What the call has cost, in millionths of the price's currency; 0 without a price.
    pub(super) fn cost_micros(&self) -> u64 {
        self.settings.price.map_or(0, |price| price.of(&self.stats.usage, self.model_open_ms()))
    }

    /// Acts on what is used up, and sets when time alone will have used up more.
    pub(super) fn watch_budget(&mut self) {
        if !matches!(self.phase, Phase::Talking) {
            self.timers.clear(Timer::Budget);
            return;
        }
        if self.is_lending() {
            // A caller who is being put through is not hung up on.
            self.timers.set(Timer::Budget, self.now.plus_ms(BY_MINUTE_MS));
            return;
        }
        let limits = &self.settings.limits;
        let (cap_ms, warn_ms) = (limits.max_model_s * 1_000, limits.warn_before_s * 1_000);
        let open_ms = self.model_open_ms();
        let cost = self.cost_micros();
        let budget = self.budget();
        let asks = budget.as_ref().is_some_and(|budget| self.asks_for_more(budget, cost));
        let budget = budget.filter(|_| !asks);
        if let Some(budget) = budget.as_ref().filter(|budget| cost >= budget.micros) {
            let reason = EndReason::CostCap { of: budget.of.clone() };
            self.close_with_farewell(reason);
            return;
        }
        if cap_ms > 0 && open_ms >= cap_ms {
            self.close_with_farewell(EndReason::ModelTimeCap);
            return;
        }
        let dear = budget.as_ref().is_some_and(|budget| cost >= budget.micros / 100 * WARN_PERCENT);
        let late = cap_ms > 0 && open_ms + warn_ms >= cap_ms;
        if (dear || late) && !std::mem::replace(&mut self.spending.warned, true) {
            self.announce_end(if dear { "budget" } else { "model_time" });
        }
        if self.spending.open_since.is_none() && !asks {
            self.timers.clear(Timer::Budget);
            return;
        }
        // Time goes on by itself; the price of words is looked at whenever some were said.
        let until_cap = (cap_ms > 0).then(|| match self.spending.warned {
            false => cap_ms.saturating_sub(warn_ms).max(open_ms + 1) - open_ms,
            true => cap_ms - open_ms,
        });
        let by_minute = self.settings.price.filter(|price| price.minute_micros > 0).map(|_| BY_MINUTE_MS);
        let until_answer = asks.then_some(ASKED_MS);
        let wait_ms = [until_cap, until_answer, budget.and(by_minute)].into_iter().flatten().min();
        match wait_ms {
            Some(ms) => self.timers.set(Timer::Budget, self.now.plus_ms(ms)),
            None => self.timers.clear(Timer::Budget),
        }
    }

    /// What the call may cost by now, if that is limited.
    fn budget(&self) -> Option<Budget> {
        let budget = self.spending.granted.as_ref().or(self.settings.budget.as_ref());
        budget.filter(|_| self.settings.price.is_some()).cloned()
    }

    /// Asks for more once half of a share is used up. While the answer is awaited nothing is decided by the share.
    fn asks_for_more(&mut self, budget: &Budget, cost: u64) -> bool {
        let spending = &mut self.spending;
        if !self.settings.budget_grows || budget.of == "call" || spending.answered {
            return false;
        }
        if let Some(at) = spending.asked_at {
            return self.now.ms_since(at) < ASKED_MS;
        }
        if cost < budget.micros / 100 * ASK_PERCENT {
            return false;
        }
        spending.asked_at = Some(self.now);
        self.emit(CallEvent::BudgetLow { cost_micros: cost });
        true
    }

    /// The call may cost so much from now on, which is never less than before.
    pub(super) fn on_budget(&mut self, given: Budget) {
        let more = self.budget().is_none_or(|had| given.micros > had.micros);
        // Nothing more is left: nobody is asked again.
        self.spending.answered = !more;
        if more {
            self.spending.asked_at = None;
            self.spending.granted = Some(given);
        }
        self.watch_budget();
    }

    fn announce_end(&mut self, why: &str) {
        self.emit(CallEvent::WrapUpAsked { why: why.to_owned() });
        let text = "This call has to end soon. Come to an end with the caller now and say goodbye.";
        self.tell_model(text.to_owned());
    }
}

/// How often a price by the minute is looked at.
const BY_MINUTE_MS: u64 = 1_000;

impl Price {
    /// What this usage costs in millionths; `open_ms`: how long sessions were open.
    pub fn of(&self, usage: &Usage, open_ms: u64) -> u64 {
        let cached = usage.cached_tokens.min(usage.input_tokens);
        let audio = usage.input_audio_tokens.min(usage.input_tokens - cached);
        let text = usage.input_tokens - cached - audio;
        let spoken = usage.output_audio_tokens.min(usage.output_tokens);
        // Prices are per million tokens: millionths per token.
        let tokens = u128::from(cached) * u128::from(self.cached_micros)
            + u128::from(audio) * u128::from(self.audio_in_micros)
            + u128::from(text) * u128::from(self.text_in_micros)
            + u128::from(spoken) * u128::from(self.audio_out_micros)
            + u128::from(usage.output_tokens - spoken) * u128::from(self.text_out_micros);
        let time = u128::from(open_ms) * u128::from(self.minute_micros) / 60_000;
        u64::try_from(tokens / 1_000_000 + time).unwrap_or(u64::MAX)
    }

    /// The same by what it is for; the parts add up to the whole.
    pub fn parts(&self, usage: &Usage, open_ms: u64) -> Cost {
        let cached_tokens = usage.cached_tokens.min(usage.input_tokens);
        let input_audio_tokens = usage.input_audio_tokens.min(usage.input_tokens - cached_tokens);
        let input_tokens = usage.input_tokens - cached_tokens;
        let cached = Usage { input_tokens: cached_tokens, cached_tokens, ..Usage::default() };
        let input = Usage { input_tokens, input_audio_tokens, ..Usage::default() };
        let whole = self.of(usage, open_ms);
        let [cached, input, time] =
            [(cached, 0), (input, 0), (Usage::default(), open_ms)].map(|(u, ms)| self.of(&u, ms));
        let said = whole.saturating_sub(cached).saturating_sub(input).saturating_sub(time);
        Cost { input_micros: input, cached_micros: cached, output_micros: said, time_micros: time }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_02_each_kind_of_token_has_its_price_and_time_has_one_too() {
        let price = Price {
            text_in_micros: 4_000_000,
            audio_in_micros: 32_000_000,
            cached_micros: 400_000,
            text_out_micros: 16_000_000,
            audio_out_micros: 64_000_000,
            minute_micros: 60_000,
        };
        let usage = Usage {
            input_tokens: 1_000,
            input_audio_tokens: 500,
            cached_tokens: 300,
            output_tokens: 100,
            output_audio_tokens: 80,
        };
        // 300 cached, 500 audio, 200 text; 80 spoken, 20 written.
        assert_eq!(price.of(&usage, 0), 120 + 16_000 + 800 + 5_120 + 320);
        assert_eq!(price.of(&Usage::default(), 90_000), 90_000);
        let cost = Cost { input_micros: 16_800, cached_micros: 120, output_micros: 5_440, time_micros: 90_000 };
        assert_eq!(price.parts(&usage, 90_000), cost);
        let all = Usage { input_tokens: u64::MAX, ..Usage::default() };
        assert_eq!(Price { text_in_micros: u64::MAX, ..price }.of(&all, u64::MAX), u64::MAX);
    }
}
