//! The assessment panel: where a deployment's data sits and who has it, from what is declared (RES-07 to RES-10).

use crate::config::{Channel, ModelCard, Residency};

/// What a deployment is made of, as far as data leaves it.
#[derive(Clone, Debug)]
pub struct Made<'a> {
    /// Where it is.
    pub channel: Channel,
    /// Its model; `None`: it is gone.
    pub model: Option<&'a ModelCard>,
    /// The backup model.
    pub backup: Option<&'a ModelCard>,
    /// The agent's voice model, where a website lets people talk.
    pub voice_model: Option<&'a ModelCard>,
    /// Models that do something else (`Transcription`, `Analysis`, `QC`), by what they do.
    pub others: Vec<(&'static str, &'a ModelCard)>,
    /// Who carries calls, such as `Twilio`, or a trunk's provider.
    pub carrier: Option<&'a str>,
    /// Whether the agent has a knowledge base.
    pub has_knowledge: bool,
}

/// One row of the panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Such as `Model hosting`.
    pub label: String,
    /// What is declared.
    pub value: Value,
}

/// What is declared of a row. A page shows what is not in amber, as [`NOT_DECLARED`], and never guesses (C-34).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A country (ISO 3166-1 alpha-2), and whose it is when that is known.
    Place {
        /// The country.
        country: String,
        /// Such as `OpenAI`.
        who: Option<String>,
    },
    /// Whether anyone trains on it.
    Training(bool),
    /// Nothing is.
    NotDeclared,
}

/// What a page shows of what is not declared (C-34).
pub const NOT_DECLARED: &str = "Not declared";

/// The rows of a deployment, those that it has and no others (RES-08).
pub fn rows(made: &Made<'_>, declared: &Residency) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |label: String, value| rows.push(Row { label, value });
    add("Model hosting".to_owned(), hosting(made.model));
    add("Hosting company".to_owned(), company(made.model));
    if let Some(backup) = made.backup {
        for (label, of) in [("Backup hosting", hosting as fn(_) -> _), ("Backup company", company)] {
            let value = of(Some(backup));
            if value != of(made.model) {
                add(label.to_owned(), value);
            }
        }
    }
    let known = [made.model, made.backup];
    let others = made.voice_model.map(|card| ("Voice model", card)).into_iter().chain(made.others.iter().copied());
    for (what, card) in others.filter(|(_, card)| !known.iter().flatten().any(|known| known.name == card.name)) {
        add(format!("{what} hosting"), hosting(Some(card)));
        add(format!("{what} company"), company(Some(card)));
    }
    if made.channel == Channel::Phone {
        add("Phone provider".to_owned(), place(declared.phone_provider.as_ref(), made.carrier));
    }
    add("Infrastructure".to_owned(), place(declared.infrastructure.as_ref(), None));
    if made.has_knowledge {
        add("Knowledge base".to_owned(), place(declared.knowledge.as_ref(), None));
    }
    add("Chat storage".to_owned(), place(declared.chats.as_ref(), None));
    add("Training".to_owned(), training(made));
    rows
}

/// The countries on the shield (RES-07), each once, in the rows' order.
pub fn countries(rows: &[Row]) -> Vec<&str> {
    let mut countries = Vec::new();
    for row in rows {
        if let Value::Place { country, .. } = &row.value
            && !countries.contains(&country.as_str())
        {
            countries.push(country);
        }
    }
    countries
}

fn hosting(card: Option<&ModelCard>) -> Value {
    place(card.and_then(|card| card.facts.hosting_country.as_ref()), None)
}

fn company(card: Option<&ModelCard>) -> Value {
    let facts = card.map(|card| &card.facts);
    place(facts.and_then(|facts| facts.vendor_country.as_ref()), facts.and_then(|facts| facts.vendor.as_deref()))
}

fn place(country: Option<&String>, who: Option<&str>) -> Value {
    match country {
        Some(country) => Value::Place { country: country.clone(), who: who.map(str::to_owned) },
        None => Value::NotDeclared,
    }
}

/// On when anyone trains; off only when all are declared not to.
fn training(made: &Made<'_>) -> Value {
    let others = made.others.iter().map(|(_, card)| *card);
    let parties = made.model.into_iter().chain(made.backup).chain(made.voice_model).chain(others);
    let said: Vec<_> = parties.map(|card| card.facts.trains_on_data).collect();
    if said.contains(&Some(true)) {
        return Value::Training(true);
    }
    match made.model.is_none() || said.contains(&None) {
        true => Value::NotDeclared,
        false => Value::Training(false),
    }
}
