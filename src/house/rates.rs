//! What a model costs, as its picker shows it (MOD-03, Q-02): an estimate, in money and in credits.

use serde::Serialize;

use crate::config::{Billing, ModelCard, ModelKind};

/// Tokens that 1,000 words are taken for.
const TOKENS_OF_1000_WORDS: u64 = 1_333;

/// What some amount costs, about.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// In millionths of the currency of the models' prices.
    pub micros: u64,
    /// In credits, to four places; `None`: nobody says what a credit costs.
    pub credits: Option<f64>,
}

/// What a model costs, about. Nothing is told of a model without a price.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "per", rename_all = "snake_case")]
pub enum Rate {
    /// A minute of a call.
    Minute {
        /// Both ways together.
        cost: Cost,
    },
    /// 1,000 words of text.
    ThousandWords {
        /// That it reads.
        read: Cost,
        /// That it writes.
        written: Cost,
    },
}

/// The rate of a model; `minute_micros`: what a minute of it costs, where it talks.
pub fn rate(card: &ModelCard, billing: &Billing, minute_micros: u64) -> Option<Rate> {
    let price = card.price.as_ref()?;
    let cost = |micros: u64| Cost { micros, credits: credits(micros, billing) };
    let words = |micros: u64| cost((micros * TOKENS_OF_1000_WORDS).div_ceil(1_000_000));
    Some(match card.kind {
        ModelKind::Voice => Rate::Minute { cost: cost(minute_micros) },
        ModelKind::Text => {
            Rate::ThousandWords { read: words(price.text_in_micros), written: words(price.text_out_micros) }
        }
    })
}

fn credits(micros: u64, billing: &Billing) -> Option<f64> {
    let credit = billing.credit_micros.filter(|credit| *credit > 0)?;
    Some((micros as f64 / credit as f64 * 10_000.0).round() / 10_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ModelFacts, Price};

    #[test]
    fn mod_03_texts_cost_by_the_thousand_words_and_voices_by_the_minute() {
        let price = Price { text_in_micros: 500_000, text_out_micros: 1_500_000, ..Price::default() };
        let card = |kind, price| ModelCard { name: "m".to_owned(), kind, facts: ModelFacts::default(), price };
        let billing = Billing { credit_micros: Some(1_000), currency: Some("USD".to_owned()) };
        let cost = |micros, credits| Cost { micros, credits: Some(credits) };
        // 1,333 tokens, in and out apart; a part of a millionth is one.
        let text = rate(&card(ModelKind::Text, Some(price)), &billing, 0);
        assert_eq!(text, Some(Rate::ThousandWords { read: cost(667, 0.667), written: cost(2_000, 2.0) }));
        let voice = rate(&card(ModelKind::Voice, Some(price)), &billing, 60_000);
        assert_eq!(voice, Some(Rate::Minute { cost: cost(60_000, 60.0) }));
        assert_eq!(rate(&card(ModelKind::Text, None), &billing, 0), None, "nothing is guessed");
        let without = rate(&card(ModelKind::Voice, Some(price)), &Billing::default(), 60_000);
        assert_eq!(without, Some(Rate::Minute { cost: Cost { micros: 60_000, credits: None } }));
    }
}
