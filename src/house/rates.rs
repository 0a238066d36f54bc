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
