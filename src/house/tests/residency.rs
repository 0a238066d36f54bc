use proptest::prelude::*;

use super::*;
use crate::config::{Role, Tier};
use crate::house::residency::*;

/// The six models of the sheet's row.
fn six() -> Vec<ModelCard> {
    ["CH/CH", "CH/US", "DE/DE", "DE/US", "NO/NO", "US/US"]
        .iter()
        .map(|name| model(name, ModelKind::Text, &name[..2], &name[3..]))
        .collect()
}

#[test]
fn res_01_each_tier_takes_the_models_that_it_says() {
    let six = six();
    for (tier, expected) in [
        (Tier::SwissSwiss, &["CH/CH"][..]),
        (Tier::SwissAny, &["CH/CH", "CH/US"]),
        (Tier::EuropeEurope, &["CH/CH", "DE/DE"]),
        (Tier::EuropeAny, &["CH/CH", "CH/US", "DE/DE", "DE/US"]),
        (Tier::Global, &["CH/CH", "CH/US", "DE/DE", "DE/US", "NO/NO", "US/US"]),
    ] {
        let fitting: Vec<_> = six.iter().filter(|m| fits(tier, &m.facts)).map(|m| m.name.as_str()).collect();
        assert_eq!(fitting, expected, "{}", label(tier));
    }
}

#[test]
fn res_01_owners_and_admins_change_the_tier() {
    for role in [Role::Owner, Role::Admin] {
        assert_eq!(may_change(role), Ok(()));
    }
    for role in [Role::Builder, Role::Member] {
        let refusal = may_change(role).unwrap_err();
        assert_eq!((refusal.status, refusal.message.as_str()), (403, "This needs the role Admin or Owner."));
    }
}

#[test]
fn res_02_the_eu_is_its_27_members_by_code() {
    let codes = || (b'A'..=b'Z').flat_map(|a| (b'A'..=b'Z').map(move |b| String::from_utf8(vec![a, b]).unwrap()));
    assert_eq!(codes().filter(|code| is_eu(code)).count(), 27);
    assert_eq!(codes().filter(|code| is_european(code)).count(), 28);
    for member in ["AT", "BG", "CY", "DE", "FR", "GR", "HR", "IE", "LT", "MT", "SE", "SK"] {
        assert!(is_eu(member), "{member}");
    }
    // The EEA's others, Switzerland, who left, who asks to come in, and what is no code of ISO 3166.
    for other in ["NO", "IS", "LI", "CH", "GB", "UA", "TR", "EL", "EU", "UK", "", "de"] {
        assert!(!is_eu(other), "{other}");
    }
    assert!(is_european("CH") && !is_european("NO"));
}

#[test]
fn res_03_what_does_not_fit_is_refused_as_primary_and_as_backup() {
    for field in ["model", "backup_model"] {
        let refusal = choose(Tier::SwissSwiss, field, Some("other"), &six()[1]).unwrap_err();
        assert_eq!(refusal.message, "Selected model is not allowed by your organization's data-residency setting");
        assert_eq!((refusal.code, refusal.status, refusal.field), ("residency", 422, Some(field)));
    }
    assert_eq!(choose(Tier::Global, "model", None, &six()[5]), Ok(None));
}

#[test]
fn res_04_what_was_chosen_already_goes_on_and_is_flagged() {
    let us = &six()[5];
    let flag = choose(Tier::EuropeAny, "model", Some("US/US"), us).unwrap().unwrap();
    assert_eq!((flag.code, flag.field), ("residency", Some("model")));
    assert!(flag.message.contains("US/US") && flag.message.contains("Europe / any"), "{flag}");
    assert_eq!(choose(Tier::EuropeAny, "model", Some("DE/US"), &six()[3]), Ok(None));
}

#[test]
fn res_05_a_new_tier_tells_beforehand_what_it_flags() {
    let six = six();
    let uses = || [("website", &six[1]), ("phone", &six[5]), ("chat", &six[0])];
    let flagged = |tier| flagged_under(tier, uses()).into_iter().map(|(place, _)| place).collect::<Vec<_>>();
    assert_eq!(flagged(Tier::SwissAny), ["phone"]);
    assert_eq!(flagged(Tier::SwissSwiss), ["website", "phone"]);
    assert!(flagged(Tier::Global).is_empty());
}

#[test]
fn res_06_without_declared_countries_a_model_fits_global_only() {
    for (tier, name) in TIERS {
        let undeclared = model("m", ModelKind::Text, "--", "--");
        assert_eq!(choose(tier, "model", None, &undeclared).is_ok(), tier == Tier::Global, "{name}");
    }
    // Where it is hosted is all that "any" asks for.
    assert!(fits(Tier::SwissAny, &model("m", ModelKind::Text, "CH", "--").facts));
    assert!(!fits(Tier::SwissSwiss, &model("m", ModelKind::Text, "CH", "--").facts));
    assert!(!fits(Tier::EuropeAny, &model("m", ModelKind::Text, "--", "CH").facts));
}

#[test]
fn res_10_other_models_obey_the_tier_at_their_own_field() {
    let refusal = choose(Tier::EuropeAny, "voice_model", None, &six()[5]).unwrap_err();
    assert_eq!((refusal.code, refusal.field), ("residency", Some("voice_model")));
}

fn country() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        Just(None),
        Just(Some("CH".to_owned())),
        proptest::sample::select(vec!["DE", "FR", "NO", "US", "GB"]).prop_map(|code| Some(code.to_owned())),
        "[A-Z]{2}".prop_map(Some),
    ]
}

proptest! {
    /// Whatever fits a tier fits all that are wider.
    #[test]
    fn res_01_a_wider_tier_takes_all_that_a_stricter_one_takes(hosting in country(), vendor in country()) {
        let facts = ModelFacts { hosting_country: hosting, vendor_country: vendor, ..ModelFacts::default() };
        for (stricter, wider) in [
            (Tier::SwissSwiss, Tier::SwissAny),
            (Tier::SwissSwiss, Tier::EuropeEurope),
            (Tier::SwissAny, Tier::EuropeAny),
            (Tier::EuropeEurope, Tier::EuropeAny),
            (Tier::EuropeAny, Tier::Global),
        ] {
            prop_assert!(!fits(stricter, &facts) || fits(wider, &facts), "{} in {}", label(stricter), label(wider));
        }
    }
}
