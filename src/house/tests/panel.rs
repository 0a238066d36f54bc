use super::*;
use crate::config::Residency;
use crate::house::panel::*;

fn declared() -> Residency {
    let swiss = || Some("CH".to_owned());
    Residency {
        infrastructure: swiss(),
        knowledge: swiss(),
        chats: swiss(),
        phone_provider: Some("US".to_owned()),
        ..Residency::default()
    }
}

fn quiet(mut card: ModelCard, vendor: &str) -> ModelCard {
    card.facts.trains_on_data = Some(false);
    of(card, vendor)
}

fn made(channel: Channel, model: &ModelCard) -> Made<'_> {
    Made {
        channel,
        model: Some(model),
        backup: None,
        voice_model: None,
        others: Vec::new(),
        carrier: None,
        has_knowledge: false,
    }
}

/// As a page would show them.
fn shown(rows: &[Row]) -> Vec<String> {
    let value = |value: &Value| match value {
        Value::Place { country, who: Some(who) } => format!("{country} ({who})"),
        Value::Place { country, who: None } => country.clone(),
        Value::Training(on) => if *on { "On" } else { "Off" }.to_owned(),
        Value::NotDeclared => NOT_DECLARED.to_owned(),
    };
    rows.iter().map(|row| format!("{}: {}", row.label, value(&row.value))).collect()
}

#[test]
fn res_07_the_badge_has_each_country_that_is_declared_once_in_the_rows_order() {
    let card = quiet(model("v", ModelKind::Voice, "US", "CH"), "OpenAI");
    let of = |channel, declared: &Residency| {
        let rows = rows(&made(channel, &card), declared);
        countries(&rows).join(" ")
    };
    let (all, none) = (declared(), Residency::default());
    for channel in [Channel::Phone, Channel::Website, Channel::Internal] {
        assert_eq!(of(channel, &all), "US CH", "{channel:?}");
        assert_eq!(of(channel, &none), "US CH", "the model's own, {channel:?}");
    }
    let unknown = model("u", ModelKind::Text, "--", "--");
    let rows = rows(&made(Channel::Website, &unknown), &none);
    assert!(countries(&rows).is_empty(), "nothing is guessed: {rows:?}");
}

#[test]
fn res_08_res_09_a_phone_has_its_rows_and_only_those() {
    let card = quiet(model("v", ModelKind::Voice, "US", "US"), "OpenAI");
    let rows = rows(&Made { carrier: Some("Twilio"), ..made(Channel::Phone, &card) }, &declared());
    let expected = [
        "Model hosting: US",
        "Hosting company: US (OpenAI)",
        "Phone provider: US (Twilio)",
        "Infrastructure: CH",
        "Chat storage: CH",
        "Training: Off",
    ];
    assert_eq!(shown(&rows), expected);
    assert_eq!(countries(&rows), ["US", "CH"], "RES-07");
}

#[test]
fn res_08_a_chat_with_backup_and_knowledge() {
    let primary = quiet(model("a", ModelKind::Text, "CH", "CH"), "Infomaniak");
    let backup = quiet(model("b", ModelKind::Text, "CH", "FR"), "Mistral");
    let made = Made { backup: Some(&backup), has_knowledge: true, ..made(Channel::Internal, &primary) };
    let expected = [
        "Model hosting: CH",
        "Hosting company: CH (Infomaniak)",
        "Backup company: FR (Mistral)",
        "Infrastructure: CH",
        "Knowledge base: CH",
        "Chat storage: CH",
        "Training: Off",
    ];
    assert_eq!(shown(&rows(&made, &declared())), expected, "the backup's hosting is the primary's");
}

#[test]
fn res_08_c_34_what_is_not_declared_is_said_so() {
    let card = text("t");
    let rows = rows(&made(Channel::Website, &card), &Residency::default());
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| row.value == Value::NotDeclared), "{rows:?}");
    assert!(countries(&rows).is_empty());
}

#[test]
fn res_10_web_calls_add_a_row_for_the_voice_model_and_others_for_others() {
    let chat = quiet(model("t", ModelKind::Text, "CH", "CH"), "A");
    let voice = quiet(model("v", ModelKind::Voice, "US", "US"), "B");
    let qc = of(model("q", ModelKind::Text, "DE", "DE"), "C");
    let others = vec![("Analysis", &chat), ("QC", &qc)];
    let made = Made { voice_model: Some(&voice), others, ..made(Channel::Website, &chat) };
    let shown = shown(&rows(&made, &declared()));
    let expected = [
        "Model hosting: CH",
        "Hosting company: CH (A)",
        "Voice model hosting: US",
        "Voice model company: US (B)",
        "QC hosting: DE",
        "QC company: DE (C)",
        "Infrastructure: CH",
        "Chat storage: CH",
        "Training: Not declared",
    ];
    assert_eq!(shown, expected, "the analysis is the primary model's, and the QC's model does not say");
}

#[test]
fn res_09_training_is_on_when_anyone_trains() {
    let mut primary = text("t");
    let mut backup = text("b");
    backup.facts.trains_on_data = Some(true);
    for (first, expected) in [(None, true), (Some(false), true), (Some(true), true)] {
        primary.facts.trains_on_data = first;
        let made = Made { backup: Some(&backup), ..made(Channel::Website, &primary) };
        assert_eq!(rows(&made, &declared()).last().unwrap().value, Value::Training(expected));
    }
}
