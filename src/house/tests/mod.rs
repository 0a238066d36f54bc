//! The sheet's acceptance rows as tables, and properties where a table would be too short.

mod access;
mod callers;
mod caps;
mod deployments;
mod documentation;
mod documents;
mod force;
mod hours;
mod integration;
mod models;
mod numbers;
mod panel;
mod people;
mod phone;
mod residency;
mod retention;
mod review;
mod roles;
mod running;
mod switches;
mod visibility;
mod zone;

use jiff::Timestamp;

use crate::config::{
    Access, AgentStanding, Channel, KeepDays, ModelCard, ModelFacts, ModelKind, Schedule, Standing, Visibility,
};

const NOON: &str = "2026-06-16T12:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A model hosted in one country by a vendor of another; `--`: not declared.
fn model(name: &str, kind: ModelKind, hosting: &str, vendor: &str) -> ModelCard {
    let declared = |country: &str| (country != "--").then(|| country.to_owned());
    let facts =
        ModelFacts { hosting_country: declared(hosting), vendor_country: declared(vendor), ..ModelFacts::default() };
    ModelCard { name: name.to_owned(), kind, facts, price: None }
}

fn text(name: &str) -> ModelCard {
    model(name, ModelKind::Text, "--", "--")
}

fn voice(name: &str) -> ModelCard {
    model(name, ModelKind::Voice, "--", "--")
}

fn of(mut card: ModelCard, vendor: &str) -> ModelCard {
    card.facts.vendor = Some(vendor.to_owned());
    card
}

fn agent() -> AgentStanding {
    AgentStanding {
        name: "reception".to_owned(),
        title: "Reception".to_owned(),
        active: true,
        schedule: Schedule::default(),
        visibility: Visibility::Public,
        max_calls: None,
        keep: KeepDays::default(),
    }
}

fn deployment(channel: Channel, access: Option<Access>) -> Standing {
    Standing {
        name: "main".to_owned(),
        title: "Main".to_owned(),
        channel,
        agent: "reception".to_owned(),
        active: true,
        schedule: Schedule::default(),
        hours: None,
        access,
        key: None,
    }
}
