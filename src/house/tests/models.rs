use super::*;
use crate::config::{Tier, ValueOrigin};
use crate::house::models::*;
use crate::house::settings;

#[test]
fn mod_01_a_model_is_required() {
    let refusal = required(None::<&str>).unwrap_err();
    assert_eq!(
        (refusal.code, refusal.status, refusal.field, refusal.message.as_str()),
        ("model_required", 422, Some("model"), "Choose a model.")
    );
    assert_eq!(required(Some("m")), Ok("m"));
}

#[test]
fn mod_02_mod_03_a_picker_offers_what_fits_channel_and_tier() {
    let cards = [
        model("v-us", ModelKind::Voice, "US", "US"),
        model("t-us", ModelKind::Text, "US", "US"),
        model("v-ch", ModelKind::Voice, "CH", "US"),
        model("t-ch", ModelKind::Text, "CH", "CH"),
    ];
    for (channel, tier, expected) in [
        (Channel::Phone, Tier::Global, &["v-us", "v-ch"][..]),
        (Channel::Website, Tier::Global, &["t-us", "t-ch"]),
        (Channel::Internal, Tier::SwissAny, &["t-ch"]),
        (Channel::Phone, Tier::SwissAny, &["v-ch"]),
    ] {
        let offer = offer(channel, tier, &cards);
        assert_eq!(offer.models.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), expected);
        assert_eq!(offer.empty, None);
    }
}

#[test]
fn mod_04_phones_talk_and_others_read_and_write() {
    let said = |channel, card: &ModelCard| {
        fits(channel, card).map_err(|refusal| {
            assert_eq!((refusal.status, refusal.field), (422, Some("model")));
            (refusal.code, refusal.message)
        })
    };
    let needs_voice = ("model_not_voice", "Phone deployments require a voice model".to_owned());
    let needs_text = ("model_not_text", "Voice models can only be used for phone deployments".to_owned());
    assert_eq!(said(Channel::Phone, &text("t")), Err(needs_voice));
    for channel in [Channel::Website, Channel::Internal] {
        assert_eq!(said(channel, &voice("v")), Err(needs_text.clone()));
        assert_eq!(said(channel, &text("t")), Ok(()));
    }
    assert_eq!(said(Channel::Phone, &voice("v")), Ok(()));
}

#[test]
fn mod_05_an_empty_picker_says_which_setting_leaves_nothing() {
    let cards = [model("t", ModelKind::Text, "US", "US")];
    let none = offer(Channel::Website, Tier::SwissSwiss, &cards);
    assert!(none.models.is_empty());
    assert_eq!(none.empty.unwrap().message, "No model fits your data-residency setting (Swiss / Swiss).");
    // That the catalogue has none of the kind is not the setting's fault.
    assert_eq!(offer(Channel::Phone, Tier::SwissSwiss, &cards).empty, None);
}

#[test]
fn mod_06_a_change_of_the_model_asks_for_nothing_but_that_it_fits() {
    assert_eq!(choose(Channel::Website, Tier::Global, Some("old"), &text("new")), Ok(Vec::new()));
}

#[test]
fn mod_07_a_model_that_stopped_complying_goes_on_flagged() {
    let us = model("us", ModelKind::Text, "US", "US");
    for (was, refused) in [(Some("us"), false), (Some("other"), true), (None, true)] {
        let chosen = choose(Channel::Website, Tier::EuropeAny, was, &us);
        assert_eq!(chosen.is_err(), refused, "{was:?}");
        if let Ok(flags) = chosen {
            assert_eq!(flags.iter().map(|flag| flag.code).collect::<Vec<_>>(), ["residency"]);
        }
    }
    // The catalogue says otherwise of it today.
    let flags = choose(Channel::Website, Tier::Global, Some("v"), &voice("v")).unwrap();
    assert_eq!(flags[0].code, "model_not_text");
}

#[test]
fn fail_01_phones_have_no_backup_and_others_need_none() {
    let refusal =
        choose_backup(Channel::Phone, Tier::Global, Pair::default(), &voice("v"), Some(&text("t"))).unwrap_err();
    assert_eq!(
        (refusal.code, refusal.status, refusal.field, refusal.message.as_str()),
        ("backup_on_phone", 422, Some("backup_model"), "Phone deployments cannot have a backup model.")
    );
    for (_, channel) in Channel::ALL {
        assert_eq!(choose_backup(channel, Tier::SwissSwiss, Pair::default(), &text("t"), None), Ok(Vec::new()));
    }
}

#[test]
fn fail_02_a_backup_is_another_text_model_of_the_same_tier() {
    let primary = model("a", ModelKind::Text, "CH", "CH");
    for (backup, code, message) in [
        (primary.clone(), "backup_same", "The backup must be a different model."),
        (model("v", ModelKind::Voice, "CH", "CH"), "backup_not_text", "The backup must be a text model."),
        (
            model("us", ModelKind::Text, "US", "US"),
            "residency",
            "Selected model is not allowed by your organization's data-residency setting",
        ),
    ] {
        for channel in [Channel::Website, Channel::Internal] {
            let refusal = choose_backup(channel, Tier::SwissAny, Pair::default(), &primary, Some(&backup)).unwrap_err();
            assert_eq!((refusal.code, refusal.message.as_str()), (code, message));
            assert_eq!((refusal.status, refusal.field), (422, Some("backup_model")));
        }
    }
}

#[test]
fn fail_02_q_19_a_backup_is_checked_again_only_when_it_changes() {
    let (a, b) = (text("a"), model("b", ModelKind::Text, "US", "US"));
    let choose = |model, backup, primary, new| {
        choose_backup(Channel::Website, Tier::SwissAny, Pair { model, backup }, primary, Some(new))
            .map(|flags| flags.iter().map(|flag| flag.code).collect::<Vec<_>>())
            .map_err(|refusal| refusal.code)
    };
    assert_eq!(choose(Some("a"), Some("b"), &a, &b), Ok(vec!["residency"]));
    assert_eq!(choose(Some("a"), None, &a, &b), Err("residency"));
    // The primary becomes what the backup is.
    assert_eq!(choose(Some("a"), Some("b"), &b, &b), Err("backup_same"));
}

#[test]
fn fail_03_the_same_vendor_is_allowed_in_amber() {
    let flags = |a, b| choose_backup(Channel::Website, Tier::Global, Pair::default(), &a, Some(&b)).unwrap();
    let amber = flags(of(text("a"), "OpenAI"), of(text("b"), "openai"));
    assert_eq!(amber[0].message, "Same provider as the primary: if OpenAI is down, both are.");
    assert_eq!(amber[0].field, Some("backup_model"));
    assert!(flags(of(text("a"), "OpenAI"), of(text("b"), "Mistral")).is_empty());
    assert!(flags(text("a"), text("b")).is_empty(), "nothing is assumed of vendors that are not declared");
}

#[test]
fn dep_12_a_new_phone_takes_the_selected_voice_model_or_the_first() {
    let cards =
        [text("t"), model("us", ModelKind::Voice, "US", "US"), model("ch", ModelKind::Voice, "CH", "CH"), voice("v")];
    for (tier, selected, expected) in [
        (Tier::Global, None, Ok("us")),
        (Tier::Global, Some(0), Ok("us")),
        (Tier::Global, Some(2), Ok("ch")),
        (Tier::SwissAny, None, Ok("ch")),
        (Tier::SwissAny, Some(1), Err("residency")),
    ] {
        let model = for_new_phone(tier, selected.map(|i: usize| &cards[i]), &cards);
        assert_eq!(model.map(|card| card.name.as_str()).map_err(|refusal| refusal.code), expected);
    }
    let none = for_new_phone(Tier::Global, Some(&cards[0]), &cards[..1]).unwrap_err();
    assert_eq!(
        (none.code, none.status, none.message.as_str()),
        ("no_voice_model", 409, "No voice model is available.")
    );
    let strict = for_new_phone(Tier::SwissSwiss, None, &cards[..2]).unwrap_err();
    assert_eq!(strict.message, "No model fits your data-residency setting (Swiss / Swiss).");
}

#[test]
fn c_26_a_new_phone_is_given_alloy_if_its_model_has_it() {
    for (voices, expected) in
        [(&["marin", "alloy"][..], Some("alloy")), (&["marin", "cedar"], None), (&[], None), (&["Alloy"], None)]
    {
        let facts = ModelFacts { voices: voices.iter().map(|v| v.to_string()).collect(), ..ModelFacts::default() };
        assert_eq!(voice_for_new_phone(&facts), expected, "{voices:?}");
    }
}

#[test]
fn phn_02_a_voice_that_the_model_lacks_is_refused_with_those_it_has() {
    let mut card = voice("v");
    assert_eq!(has_voice(&card, "anything"), Ok(()), "nothing is declared");
    card.facts.voices = vec!["marin".to_owned(), "cedar".to_owned()];
    assert_eq!(has_voice(&card, "cedar"), Ok(()));
    assert_eq!(has_voice(&card, "voice_123"), Ok(()), "a custom one is the vendor's to know");
    let refusal = has_voice(&card, "alloy").unwrap_err();
    assert_eq!((refusal.status, refusal.field), (422, Some("voice")));
    assert!(refusal.message.contains("marin, cedar"), "{refusal}");
}

#[test]
fn c_01_the_value_in_force_says_where_it_comes_from() {
    for (deployment, agent, value, from, name) in [
        (Some(3), Some(5), 3, ValueOrigin::Deployment, "this deployment"),
        (Some(3), None, 3, ValueOrigin::Deployment, "this deployment"),
        (None, Some(5), 5, ValueOrigin::Agent, "agent"),
        (None, None, 10, ValueOrigin::Default, "default"),
    ] {
        let found = settings::in_force(deployment, agent, settings::MAX_MINUTES);
        assert_eq!((found.value, found.from, found.from.name()), (value, from, name));
        let json = serde_json::to_value(found).unwrap();
        assert_eq!(json, serde_json::json!({"value": value, "from": name}));
    }
}

#[test]
fn c_04_phn_09_a_call_lasts_ten_minutes_unless_somebody_says_otherwise() {
    assert_eq!(settings::in_force(None, None, settings::MAX_MINUTES).value, 10);
    assert_eq!(settings::in_force(Some(0), None, settings::MAX_MINUTES).value, 0, "no limit is a value too");
}
