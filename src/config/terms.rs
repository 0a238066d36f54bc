//! How long a call may take, what it may cost, how it is fed, placed and kept: defaults of an agent's document, and a phone
//! deployment's own.

use super::outbound;
use super::problem::{Place, Problem};
use super::reader::Table;
use super::scope::Scope;
use super::types::{Budgets, JournalKeep, Keep, Limits, Outbound, Playout};
use super::world::World;

/// The tables of a document that are read here.
pub(super) const KEYS: [&str; 4] = ["limits", "playout", "outbound", "keep"];

/// See the fields of the same names of [`super::types::Deployment`].
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) limits: Limits,
    pub(super) budgets: Budgets,
    /// Of the first budget that is set: without a price it would mean nothing.
    pub(super) budget_place: Option<Place>,
    pub(super) playout: Playout,
    pub(super) outbound: Outbound,
    pub(super) keep: Keep,
}

/// Reads the tables from a document whose texts know `scope`.
pub(super) fn read(table: &mut Table<'_, '_>, scope: &Scope, world: &dyn World) -> Terms {
    let (limits, (budgets, budget_place)) = limits(table.table("limits"));
    Terms {
        limits,
        budgets,
        budget_place,
        playout: playout(table.table("playout")),
        outbound: outbound::read(table.table("outbound"), world, scope),
        keep: keep(table.table("keep")),
    }
}

fn limits(mut table: Table<'_, '_>) -> (Limits, (Budgets, Option<Place>)) {
    let max_duration_s = 60 * table.integer("max_minutes", 10, 0..=1_440);
    let warn_before = table.take("warn_before_s");
    let warn_before_s = warn_before.as_ref().and_then(|f| f.integer(0..=600)).unwrap_or(30);
    if let Some(field) = warn_before.filter(|_| max_duration_s > 0 && warn_before_s >= max_duration_s) {
        let place = field.place();
        let allowed = format!("less than max_minutes, which is {max_duration_s} s; 0 for no warning");
        field.note(Problem::error(&place, "is as long as the call").allowed(allowed).relative());
    }
    let limits = Limits {
        max_duration_s,
        max_model_s: 60 * table.integer("max_model_minutes", 0, 0..=1_440),
        warn_before_s,
        farewell_s: table.integer("farewell_s", 10, 1..=60),
        caller_silence_s: table.integer("caller_silence_s", 120, 0..=3_600),
        caller_gone_s: table.integer("caller_gone_s", 30, 5..=600),
        line_back_s: table.integer("line_back_s", 4, 0..=30),
        model_silence_ms: table.integer("model_silence_ms", 6_000, 500..=60_000),
        model_recovery_s: table.integer("model_recovery_s", 15, 0..=300),
        transcript_wait_ms: table.integer("transcript_wait_ms", 3_000, 0..=10_000),
        media_start_s: table.integer("media_start_s", 30, 1..=300),
        early_audio_ms: table.integer("early_audio_ms", 15_000, 0..=60_000),
    };
    let mut first = None;
    let mut budget = |key: &'static str| {
        let field = table.take(key)?;
        let amount = field.number(0.0..=100_000.0).filter(|amount| *amount > 0.0)?;
        first.get_or_insert_with(|| field.place());
        Some((f64::from(amount) * 1e6).round() as u64)
    };
    let budgets = Budgets {
        call_micros: budget("max_cost"),
        number_day_micros: budget("max_cost_per_number_and_day"),
        day_micros: budget("max_cost_per_day"),
    };
    table.finish();
    (limits, (budgets, first))
}

fn playout(mut table: Table<'_, '_>) -> Playout {
    let playout = Playout {
        lead_ms: table.integer("lead_ms", 200, 40..=1_000),
        batch_ms: table.integer("batch_ms", 100, 20..=500),
        max_queue_s: table.integer("max_queue_s", 180, 1..=600),
        mark_timeout_ms: table.integer("mark_timeout_ms", 15_000, 1_000..=120_000),
    };
    table.finish();
    playout
}

fn keep(mut table: Table<'_, '_>) -> Keep {
    let keep = Keep {
        recording: table.boolean("recording", false),
        journal: table.choice(
            "journal",
            JournalKeep::Decisions,
            &[("off", JournalKeep::Off), ("decisions", JournalKeep::Decisions), ("audio", JournalKeep::Audio)],
        ),
        pictures: table.boolean("pictures", false),
    };
    table.finish();
    keep
}
