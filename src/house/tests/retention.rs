use super::*;
use crate::config::StoreSettings;
use crate::house::retention::*;

#[test]
fn sec_06_an_agents_days_go_within_the_organizations_bound() {
    let some = |days: u64| (days > 0).then_some(days);
    // The organization's days, of recordings, its bound; the agent's, of recordings; what goes.
    for (keep, recordings, most, own, own_recordings, expected) in [
        (0, 0, 0, None, None, (0, 0)),
        (90, 0, 0, None, None, (90, 90)),
        (90, 7, 0, None, None, (90, 7)),
        (90, 365, 0, None, None, (90, 90)),
        // Shorter, longer, for ever.
        (90, 7, 0, Some(30), None, (30, 7)),
        (90, 7, 0, Some(365), Some(0), (365, 365)),
        (90, 7, 0, Some(0), None, (0, 7)),
        // Within the bound.
        (90, 7, 180, Some(365), Some(200), (180, 180)),
        (90, 7, 180, Some(0), None, (180, 7)),
        (90, 0, 30, None, None, (30, 30)),
        (0, 0, 30, None, Some(1), (30, 1)),
    ] {
        let organization = StoreSettings {
            keep_days: keep,
            keep_recordings_days: recordings,
            max_keep_days: most,
            ..StoreSettings::default()
        };
        let got = in_force(&organization, KeepDays { calls: own, recordings: own_recordings });
        let expected = Kept { calls: some(expected.0), recordings: some(expected.1) };
        assert_eq!(got, expected, "{keep} {recordings} {most} {own:?} {own_recordings:?}");
    }
}

#[test]
fn an_agents_days_beyond_the_bound_are_flagged() {
    let organization = |most| StoreSettings { max_keep_days: most, ..StoreSettings::default() };
    let said = |most, own| {
        let keep = KeepDays { calls: own, recordings: None };
        over_bound(&organization(most), keep).map(|flag| flag.message)
    };
    assert_eq!(said(0, Some(0)), None);
    assert_eq!(said(30, None), None);
    assert_eq!(said(30, Some(30)), None);
    let words = "Calls of this agent would be kept for 31 days; your organization keeps none for more than 30.";
    assert_eq!(said(30, Some(31)).as_deref(), Some(words));
    assert!(said(30, Some(0)).is_some_and(|words| words.contains("for ever")));
}
