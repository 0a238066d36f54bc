//! `deployments/*.toml`: a phone number and the agent that answers it.

use std::sync::Arc;

use super::problem::{Place, Problem, nearest};
use super::reader::{Field, Table};
use super::scope::Scope;
use super::types::{Agent, Budgets, Deployment, JournalKeep, Keep, Limits, Outbound, Playout, ToolSound};
use super::world::World;
use super::{outbound, tool_sound, values};

/// A deployment as written: its agent is only a name.
#[derive(Clone, Debug)]
pub(super) struct DeploymentDraft {
    pub(super) agent: Option<(String, Place)>,
    pub(super) number: Option<(String, Place)>,
    active: bool,
    timezone: String,
    limits: Limits,
    /// With the place of the first one that is set.
    budgets: (Budgets, Option<Place>),
    playout: Playout,
    tool_sound: Option<ToolSound>,
    outbound: Outbound,
    /// What its texts stand on, which the agent must have.
    pub(super) variables: Vec<(String, Place)>,
    keep: Keep,
}

/// Reads the document.
pub(super) fn read(mut table: Table<'_, '_>, world: &dyn World) -> DeploymentDraft {
    let agent = table.need("agent", "the name of a document in agents/");
    let agent = agent.and_then(|field| Some((field.string(values::MAX_NAME)?, field.place())));
    let number = table.need("number", "the phone number it answers, in E.164");
    let number = number.and_then(|field| Some((values::e164(&field)?, field.place())));
    let (limits, budgets) = limits(table.table("limits"));
    let scope = Scope::unknown();
    let outbound = outbound::read(table.table("outbound"), world, &scope);
    let draft = DeploymentDraft {
        agent,
        number,
        active: table.boolean("active", true),
        timezone: table.take("timezone").and_then(timezone).unwrap_or_else(|| "UTC".to_owned()),
        limits,
        budgets,
        playout: playout(table.table("playout")),
        tool_sound: tool_sound::read(table.table("tool_sound"), world),
        outbound,
        variables: scope.owes(),
        keep: keep(table.table("keep")),
    };
    table.finish();
    draft
}

impl DeploymentDraft {
    /// A limit on cost, if there is one: without a price it would mean nothing.
    pub(super) fn needs_price(&self) -> Option<&Place> {
        self.budgets.1.as_ref()
    }

    /// The deployment as meant. A draft can be resolved any number of times.
    pub(super) fn resolve(&self, name: &str, agent: Arc<Agent>) -> Option<Deployment> {
        Some(Deployment {
            name: name.to_owned(),
            number: self.number.as_ref()?.0.clone(),
            active: self.active,
            agent,
            timezone: self.timezone.clone(),
            limits: self.limits.clone(),
            budgets: self.budgets.0.clone(),
            playout: self.playout.clone(),
            tool_sound: self.tool_sound.clone(),
            outbound: self.outbound.clone(),
            keep: self.keep.clone(),
        })
    }
}

fn timezone(field: Field<'_, '_>) -> Option<String> {
    let name = field.string(values::MAX_NAME)?;
    if jiff::tz::TimeZone::get(&name).is_ok() {
        return Some(name);
    }
    let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    let message = match nearest(&name, known.iter().map(String::as_str)) {
        Some(meant) => format!("there is no such time zone; did you mean {meant}?"),
        None => "there is no such time zone".to_owned(),
    };
    field.wrong_allowed(message, "names such as \"Europe/Berlin\", \"America/New_York\", \"UTC\"");
    None
}

fn limits(mut table: Table<'_, '_>) -> (Limits, (Budgets, Option<Place>)) {
    let max_duration_s = 60 * table.integer("max_minutes", 10, 0..=1_440);
    let warn_before = table.take("warn_before_s");
    let warn_before_s = warn_before.as_ref().and_then(|f| f.integer(0..=600)).unwrap_or(30);
    if let Some(field) = warn_before.filter(|_| max_duration_s > 0 && warn_before_s >= max_duration_s) {
        let place = field.place();
        let allowed = format!("less than max_minutes, which is {max_duration_s} s; 0 for no warning");
        field.note(Problem::error(&place, "is as long as the call").allowed(allowed));
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
