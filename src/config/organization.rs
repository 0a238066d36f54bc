//! `[organization]`, `[plan]`, `[residency]`, `[billing]` and `[budget]` of `offhook.toml`: what goes for all agents.

use super::countries;
use super::hours;
use super::reader::Table;
use super::types::{Billing, Organization, OrganizationBudget, Plan, Residency, Tier};
use super::values;

/// Reads `[organization]`.
pub(super) fn organization(mut table: Table<'_, '_>) -> Organization {
    let timezone = table.take("timezone").and_then(hours::timezone);
    table.finish();
    timezone.map_or_else(Organization::default, |timezone| Organization { timezone })
}

/// Reads `[plan]`: a preset, and numbers that are otherwise.
pub(super) fn plan(mut table: Table<'_, '_>) -> Plan {
    let preset = Plan::default();
    let presets = [
        ("free", Plan { calls_per_agent: Some(FREE_CALLS), ..preset }),
        ("pro", Plan { calls_per_agent: Some(PRO_CALLS), ..preset }),
    ];
    let preset = table.choice("preset", preset, &presets);
    let mut number = |key: &'static str| table.take(key).and_then(|f| f.integer(0..=1_000_000)).map(|n| n as u32);
    let plan = Plan {
        deployments: number("deployments").or(preset.deployments),
        numbers: number("numbers").or(preset.numbers),
        calls_per_agent: number("calls_per_agent").or(preset.calls_per_agent),
    };
    table.finish();
    plan
}

/// Reads `[residency]`.
pub(super) fn residency(mut table: Table<'_, '_>) -> Residency {
    let tiers = [
        ("swiss_swiss", Tier::SwissSwiss),
        ("swiss_any", Tier::SwissAny),
        ("europe_europe", Tier::EuropeEurope),
        ("europe_any", Tier::EuropeAny),
        ("global", Tier::Global),
    ];
    let residency = Residency {
        tier: table.choice("tier", Tier::Global, &tiers),
        infrastructure: countries::read(&mut table, "infrastructure"),
        knowledge: countries::read(&mut table, "knowledge"),
        chats: countries::read(&mut table, "chats"),
        phone_provider: countries::read(&mut table, "phone_provider"),
    };
    table.finish();
    residency
}

/// Reads `[billing]`.
pub(super) fn billing(mut table: Table<'_, '_>) -> Billing {
    let credit_micros = values::money(&mut table, "credit").filter(|micros| *micros > 0);
    let code = |text: &str| text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase());
    let currency =
        table.take("currency").and_then(|f| f.string_that(values::MAX_NAME, "ISO 4217, such as \"USD\"", code));
    table.finish();
    Billing { credit_micros, currency }
}

/// Reads `[budget]`.
pub(super) fn budget(mut table: Table<'_, '_>) -> OrganizationBudget {
    let month = table.take("max_cost_per_month").and_then(|field| field.number(0.0..=1_000_000.0));
    table.finish();
    let month_micros = month.filter(|amount| *amount > 0.0).map(|amount| (f64::from(amount) * 1e6).round() as u64);
    OrganizationBudget { month_micros }
}

/// Calls of one agent at once.
const FREE_CALLS: u32 = 2;
const PRO_CALLS: u32 = 10;
