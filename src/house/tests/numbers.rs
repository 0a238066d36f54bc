use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan as _};

use super::at;
use crate::config::{CarrierProfile, Channel, Plan, Role};
use crate::house::numbers::market::*;
use crate::house::numbers::papers::{self, Address, Bundle, BundleState, Needs, Place};
use crate::house::numbers::reach::{self, Reach, Where};
use crate::house::numbers::*;
use crate::house::{Flag, Refusal};

/// Status, code, field and words.
fn said<T: std::fmt::Debug>(result: Result<T, Refusal>) -> (u16, &'static str, Option<&'static str>, String) {
    let Refusal { code, status, field, message } = result.expect_err("a refusal");
    (status, code, field, message)
}

fn plan(numbers: Option<u32>) -> Plan {
    Plan { numbers, ..Plan::default() }
}

fn held(origin: Origin, deployment: Option<&str>) -> Held<'_> {
    Held { origin, bought: Some(at("2026-06-16T12:00:30Z")), deployment, calls: 0 }
}

#[test]
fn role_04_numbers_are_for_admins_and_owners() {
    assert_eq!((may_change(Role::Owner), may_change(Role::Admin)), (Ok(()), Ok(())));
    for role in [Role::Builder, Role::Member] {
        let wanted = (403, "role", None, "This needs the role Admin or Owner.".to_owned());
        assert_eq!(said(may_change(role)), wanted);
    }
}

#[test]
fn num_02_other_countries_are_refused_with_the_list() {
    for (code, country) in [("US", Country::Us), ("gb", Country::Gb), ("De", Country::De), ("IT", Country::It)] {
        assert_eq!(Country::of(code), Ok(country));
    }
    for code in ["FR", "", "UK", "Switzerland", "C", "CHE", "🇨🇭"] {
        let list = "United States (US), United Kingdom (GB), Germany (DE), Italy (IT), Switzerland (CH)";
        let message = format!("Numbers are to be had in these countries: {list}.");
        assert_eq!(said(Country::of(code)), (422, "country", Some("country"), message), "{code}");
    }
}

#[test]
fn what_a_carrier_does_not_sell_over_its_api_is_refused_with_what_can_be_done() {
    for (country, name) in Country::ALL {
        for kind in Type::ALL {
            assert!(sold(CarrierProfile::Twilio, country, kind).is_ok());
            let other = sold(CarrierProfile::SignalWire, country, kind);
            if country == Country::Us && kind != Type::Mobile {
                assert!(other.is_ok());
                continue;
            }
            let (status, code, _, message) = said(other);
            assert_eq!((status, code), (409, "not_by_carrier"));
            assert!(
                message.starts_with("SignalWire ") && (kind == Type::Mobile || message.contains(name)),
                "{message}"
            );
            assert_eq!(message.contains("take it over"), country == Country::Gb && kind != Type::Mobile, "{message}");
        }
    }
}

#[test]
fn num_03_types_have_one_name_and_are_read_in_three_spellings() {
    for (name, kind) in [("local", Type::Local), ("Mobile", Type::Mobile), ("toll-free", Type::TollFree)] {
        assert_eq!(Type::of(name), Ok(kind));
    }
    assert_eq!((Type::of("toll_free"), Type::of("toll free")), (Ok(Type::TollFree), Ok(Type::TollFree)));
    let message = "Numbers are of one of these types: local, mobile, toll-free.".to_owned();
    assert_eq!(said(Type::of("national")), (422, "type", Some("type"), message));
}

#[test]
fn num_03_nothing_found_has_three_reasons() {
    let search = |digits| Search { country: Country::Ch, kind: Type::Mobile, digits };
    let (any, some) = (search(None), search(Some(Digits::Anywhere("44".to_owned()))));
    assert_eq!(any.none(), "No mobile numbers in Switzerland right now.");
    let toll_free = Search { country: Country::De, kind: Type::TollFree, digits: None };
    assert_eq!(toll_free.none(), "No toll-free numbers in Germany right now.");
    for (offered, with_voice, without, code, why) in [
        (false, false, false, "not_offered", "The carrier has no mobile numbers in Switzerland."),
        (true, false, true, "none_with_voice", "None of the mobile numbers in Switzerland takes calls."),
        (true, true, true, "none_matches", "None has these digits."),
        (true, false, false, "none_matches", "None has these digits."),
    ] {
        let empty = Empty::of(offered, with_voice, without);
        assert_eq!((empty.code(), empty.why(&some).as_str()), (code, why));
    }
    assert_eq!(Empty::NoneMatches.why(&any), "All are taken.");
}

#[test]
fn num_04_area_codes_are_american_and_patterns_are_not() {
    let find = |country, area, pattern| Search::of(country, "local", area, pattern).map(|search| search.digits);
    assert_eq!(find("US", Some("415"), None), Ok(Some(Digits::AreaCode(415))));
    assert_eq!(find("US", Some(" "), Some("")), Ok(None));
    for wrong in ["41", "4155", "115", "x15", "+41", "٤١٥"] {
        let message = "An area code has three digits, the first of which is 2 to 9.".to_owned();
        assert_eq!(said(find("US", Some(wrong), None)), (422, "area_code", Some("area_code"), message), "{wrong}");
    }
    for country in ["GB", "DE", "IT", "CH"] {
        let (status, code, field, message) = said(find(country, Some("415"), None));
        assert_eq!((status, code, field), (422, "area_code", Some("area_code")), "{country}");
        assert!(message.starts_with("Only numbers of the United States have an area code"), "{message}");
    }
    assert_eq!(said(find("US", None, Some("55"))).1, "pattern");
    assert_eq!(said(find("US", Some("415"), Some("55"))).1, "pattern");
}

#[test]
fn num_04_a_pattern_is_read_as_people_of_the_country_write_it() {
    let find = |country, text| Search::of(country, "local", None, Some(text)).map(|search| search.digits);
    let begins = |text: &str| Ok(Some(Digits::Beginning(text.to_owned())));
    let anywhere = |text: &str| Ok(Some(Digits::Anywhere(text.to_owned())));
    assert_eq!(find("DE", "030"), begins("+4930"));
    assert_eq!(find("DE", "+49 30"), begins("+4930"));
    assert_eq!(find("DE", "0049 30"), begins("+4930"));
    assert_eq!(find("GB", "(020) 7946"), begins("+44207946"));
    assert_eq!(find("CH", "044"), begins("+4144"));
    // Landlines of Italy keep their zero.
    assert_eq!(find("IT", "06"), begins("+3906"));
    assert_eq!(find("IT", "3"), Err(Refusal::wrong("pattern", "pattern", "A pattern has at least 2 digits.")));
    assert_eq!(find("DE", "30"), anywhere("30"));
    assert_eq!(find("DE", "777777"), anywhere("777777"));
    assert_eq!(said(find("DE", "+33 1")).3, "Numbers in Germany begin with +49.");
    for wrong in ["*30", "30%", "abc", "+", "3+0", "1234567890123", "3\n0", "３０"] {
        assert_eq!(said(find("DE", wrong)).1, "pattern", "{wrong}");
    }
}

#[test]
fn num_05_the_quota_has_its_words() {
    let message = "Phone number quota exhausted… (1 / 1) Contact support to increase your limit.".to_owned();
    assert_eq!(said(may_buy(1, &plan(Some(1)))), (409, "number_quota", None, message));
    assert_eq!(said(may_buy(3, &plan(Some(2)))).1, "number_quota", "a limit that was lowered");
    assert_eq!(said(may_buy(0, &plan(Some(0)))).1, "number_quota");
    assert_eq!((may_buy(0, &plan(Some(1))), may_buy(9, &plan(None))), (Ok(()), Ok(())));
    assert_eq!((used(1, &plan(Some(1))).as_str(), used(7, &plan(None)).as_str()), ("1 / 1", "7"));
    assert!(counts(Origin::Bought) && counts(Origin::TakenOver) && !counts(Origin::ByHand));
}

#[test]
fn num_06_a_lost_answer_is_told_as_such() {
    let refusal = unanswered();
    assert_eq!((refusal.status, refusal.code), (502, "carrier_silent"));
    assert_eq!(refusal.message, "The carrier did not answer; the number will appear if it was bought.");
}

#[test]
fn num_08_one_number_one_deployment() {
    assert_eq!(may_assign(None, Channel::Phone, None), Ok(()));
    let taken = (409, "number_assigned", None, "This number is already assigned to reception.".to_owned());
    assert_eq!(said(may_assign(Some("reception"), Channel::Phone, None)), taken);
    assert_eq!(said(may_assign(Some("reception"), Channel::Phone, Some("+15550100100"))), taken);
    let has = (409, "has_number", None, "This deployment already has a number.".to_owned());
    assert_eq!(said(may_assign(None, Channel::Phone, Some("+15550100100"))), has);
    for channel in [Channel::Website, Channel::Internal] {
        assert_eq!(said(may_assign(None, channel, None)).1, "channel");
    }
}

#[test]
fn num_11_num_12_a_number_may_go_when_it_is_free_and_thirty_days_old() {
    let zurich = TimeZone::get("Europe/Zurich").unwrap();
    let free = held(Origin::Bought, None);
    let from = at("2026-07-16T12:00:30Z");
    assert_eq!(releasable(&free), Some(from));
    assert_eq!(may_release(&free, from, &zurich), Ok(()));
    // A minute that was not over is not promised.
    let message = "This number can be released from 2026-07-16 14:01 Europe/Zurich.".to_owned();
    for before in [1.second(), 24.hours()] {
        let now = from.checked_sub(before).unwrap();
        assert_eq!(said(may_release(&free, now, &zurich)), (409, "too_early", None, message.clone()));
    }
    let late = from.checked_add(SignedDuration::from_hours(9_000)).unwrap();
    let assigned = (409, "number_in_use", None, "Unassign the number first.".to_owned());
    for origin in [Origin::Bought, Origin::TakenOver, Origin::ByHand] {
        assert_eq!(said(may_release(&held(origin, Some("reception")), late, &zurich)), assigned);
    }
    let talks = Held { calls: 1, ..free };
    assert_eq!(said(may_release(&talks, late, &zurich)).3, "A call on this number goes on.");
    // Of what somebody bought elsewhere nobody may know when.
    assert_eq!(may_release(&Held { bought: None, ..held(Origin::TakenOver, None) }, late, &zurich), Ok(()));
}

#[test]
fn num_14_what_was_entered_by_hand_is_removed_and_not_released() {
    let by_hand = held(Origin::ByHand, None);
    assert_eq!(releasable(&by_hand), None);
    assert_eq!(said(may_release(&by_hand, at("2030-01-01T00:00:00Z"), &TimeZone::UTC)).1, "by_hand");
    assert_eq!(may_remove(&by_hand), Ok(()));
    assert_eq!(said(may_remove(&held(Origin::Bought, None))).1, "not_by_hand");
    assert_eq!(said(may_remove(&held(Origin::ByHand, Some("desk")))).1, "number_in_use");
    assert_eq!(entered("+41 (44) 555-01.00"), Ok("+41445550100".to_owned()));
    for wrong in ["", "0445550100", "41445550100", "+0445550100", "+41445", "+4144555010012345", "+4144555010x"] {
        assert_eq!(said(entered(wrong)).1, "number_form", "{wrong}");
    }
}

#[test]
fn beyond_30_all_papers_that_are_missing_are_told_at_once() {
    const NOW: &str = "2026-06-16T12:00:00Z";
    let both = Needs { address: Address::Local, bundle: true };
    let bundle = Bundle {
        id: "BU1",
        state: BundleState::Approved,
        country: Some("DE"),
        kind: Some(Type::Local),
        valid_until: None,
    };
    let berlin = Place { id: "AD1", country: "DE" };
    fn judge(needs: Needs, bundle: Option<&Bundle<'_>>, address: Option<&Place<'_>>) -> Result<Option<Flag>, Refusal> {
        papers::suffice(needs, (Country::De, Type::Local), bundle, address, at(NOW))
    }
    let ask = judge;
    let all =
        "To buy local numbers in Germany the carrier wants an address in Germany and an approved regulatory bundle.";
    assert_eq!(said(ask(both, None, None)), (422, "papers_missing", Some("bundle"), all.to_owned()));
    assert_eq!(said(ask(both, Some(&bundle), None)).2, Some("address"));
    assert_eq!(ask(both, Some(&bundle), Some(&berlin)), Ok(None));
    assert_eq!(ask(Needs::default(), None, None), Ok(None));
    assert_eq!(papers::words(Needs::default(), Country::Us, Type::Local), None);
    let bern = Place { id: "AD2", country: "CH" };
    assert_eq!(said(ask(both, Some(&bundle), Some(&bern))).3, "The address must be in Germany.");
    let foreign = Needs { address: Address::Foreign, bundle: false };
    assert_eq!(said(ask(foreign, None, Some(&berlin))).3, "The address must be outside Germany.");
    assert_eq!(ask(foreign, None, Some(&bern)), Ok(None));
    for (unfit, why) in [
        (Bundle { state: BundleState::InReview, ..bundle.clone() }, "its state is in_review"),
        (Bundle { state: BundleState::Rejected, ..bundle.clone() }, "its state is rejected"),
        (Bundle { country: Some("GB"), ..bundle.clone() }, "not for local numbers in Germany"),
        (Bundle { kind: Some(Type::Mobile), ..bundle.clone() }, "not for local numbers in Germany"),
        (Bundle { valid_until: Some(at(NOW)), ..bundle.clone() }, "not valid any more"),
    ] {
        let (status, code, field, words) = said(ask(both, Some(&unfit), Some(&berlin)));
        assert_eq!((status, code, field), (422, "papers_unfit", Some("bundle")));
        assert!(words.contains(why), "{words}");
    }
    let soon = Bundle { valid_until: Some(at("2026-07-01T00:00:00Z")), ..bundle };
    let flag = ask(both, Some(&soon), Some(&berlin)).unwrap().expect("a flag");
    assert_eq!((flag.code, flag.message.as_str()), ("bundle_ends", "The bundle BU1 is valid until 2026-07-01 only."));
}

#[test]
fn beyond_31_a_number_is_where_its_first_digits_say() {
    for (number, country) in [
        ("+14155550100", "US"),
        ("+14165550100", "CA"),
        ("+18765550100", "JM"),
        ("+442079460000", "GB"),
        ("+441481555010", "GG"),
        ("+390669812345", "VA"),
        ("+390612345678", "IT"),
        ("+41445550100", "CH"),
        ("+4930555010", "DE"),
        ("+4235550100", "LI"),
        ("+77011234567", "KZ"),
        ("+79161234567", "RU"),
    ] {
        assert_eq!(reach::place(number), Where::Country(country), "{number}");
    }
    for premium in ["+19005550100", "+449055550100", "+4990055501", "+41900555010", "+979123456789", "+39899123456"] {
        assert_eq!(reach::place(premium), Where::Premium, "{premium}");
    }
    for satellite in ["+870771234567", "+88161234567", "+88216123456"] {
        assert_eq!(reach::place(satellite), Where::Nowhere, "{satellite}");
    }
    for unknown in ["", "anonymous", "+", "+999123456", "sip:ann@example.com"] {
        assert_eq!(reach::place(unknown), Where::Unknown, "{unknown}");
    }
}

#[test]
fn beyond_31_countries_are_closed_but_for_its_own_and_those_in_use() {
    let own = "+41445550100";
    let set = |codes: &[&str]| codes.iter().map(|code| (*code).to_owned()).collect::<BTreeSet<_>>();
    let (by_default, in_use) = (Reach::default(), set(&["DE"]));
    let to = |reach: &Reach, number| reach::may_call(reach, own, &in_use, number);
    assert_eq!((to(&by_default, "+41315550100"), to(&by_default, "+4930555010")), (Ok(()), Ok(())));
    let message = "Calls from this number may not go to FR.".to_owned();
    assert_eq!(said(to(&by_default, "+33155550100")), (422, "country_closed", Some("to"), message));
    let chosen = Reach { from: Some(set(&["IT"])), to: Some(set(&["FR"])) };
    assert_eq!(to(&chosen, "+33155550100"), Ok(()));
    assert_eq!(said(to(&chosen, "+41315550100")).1, "country_closed");
    // Whatever is chosen.
    let all = Reach { to: Some(set(&["CH", "GB", "US"])), ..Reach::default() };
    assert_eq!(said(to(&all, "+41900555010")).1, "premium_number");
    assert_eq!(said(to(&all, "+88161234567")).1, "country_closed");
    let takes = |reach: &Reach, from| reach::takes(reach, own, &in_use, from);
    assert!(takes(&by_default, "+41315550100") && takes(&by_default, "anonymous") && takes(&by_default, ""));
    assert!(!takes(&by_default, "+33155550100") && !takes(&by_default, "+19005550100"));
    assert!(takes(&chosen, "+390612345678") && !takes(&chosen, "+41315550100"));
}
