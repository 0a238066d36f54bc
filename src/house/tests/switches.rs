use jiff::ToSpan;

use super::*;
use crate::house::switches::*;

fn schedule(activate_at: Option<&str>, deactivate_at: Option<&str>) -> Schedule {
    Schedule { activate_at: activate_at.map(at), deactivate_at: deactivate_at.map(at) }
}

const PAST: Option<&str> = Some("2026-06-16T11:59:59Z");
const NOW: Option<&str> = Some(NOON);
const SOON: Option<&str> = Some("2026-06-16T12:00:01Z");
const LATER: Option<&str> = Some("2026-06-17T12:00:00Z");

#[test]
fn vis_07_a_time_that_is_past_is_refused_when_it_is_new() {
    for (before, after, expected) in [
        ((None, None), (SOON, None), Ok(())),
        ((None, None), (PAST, None), Err(("schedule_past", "schedule.activate_at"))),
        ((None, None), (NOW, None), Err(("schedule_past", "schedule.activate_at"))),
        ((None, None), (None, PAST), Err(("schedule_past", "schedule.deactivate_at"))),
        ((LATER, None), (PAST, None), Err(("schedule_past", "schedule.activate_at"))),
        // It was set before and has come due since: it stays.
        ((PAST, None), (PAST, None), Ok(())),
        ((PAST, None), (PAST, LATER), Ok(())),
        ((PAST, LATER), (None, None), Ok(())),
        ((None, None), (SOON, LATER), Ok(())),
        ((None, None), (LATER, SOON), Err(("schedule_order", "schedule.deactivate_at"))),
        ((None, None), (SOON, SOON), Err(("schedule_order", "schedule.deactivate_at"))),
    ] {
        let set = set(&schedule(before.0, before.1), &schedule(after.0, after.1), at(NOON));
        let got = set.map_err(|refusal| (refusal.code, refusal.field.unwrap()));
        assert_eq!(got, expected, "{before:?} {after:?}");
    }
    let refusal = set(&Schedule::default(), &schedule(PAST, None), at(NOON)).unwrap_err();
    assert_eq!((refusal.status, refusal.message.as_str()), (422, "That time is past."));
}

#[test]
fn vis_07_a_schedule_that_came_due_unseen_has_its_effect() {
    for (on, off, live, over) in [
        (None, None, true, false),
        (PAST, None, true, false),
        (NOW, None, true, false),
        (SOON, None, false, false),
        (None, SOON, true, false),
        (None, NOW, false, true),
        (PAST, PAST, false, true),
        (PAST, LATER, true, false),
        (SOON, LATER, false, false),
    ] {
        let schedule = schedule(on, off);
        assert_eq!((is_on(&schedule, at(NOON)), is_over(&schedule, at(NOON))), (live, over), "{on:?} {off:?}");
    }
}

#[test]
fn vis_07_the_next_change_is_the_nearest_one_to_come() {
    let next = |on, off| next_change(&schedule(on, off), at(NOON));
    assert_eq!(next(SOON, LATER), Some(at(SOON.unwrap())));
    assert_eq!(next(PAST, LATER), Some(at(LATER.unwrap())));
    assert_eq!(next(PAST, None), None);
    assert_eq!(next(LATER, PAST), None);
}

#[test]
fn vis_05_the_switch_works_at_once_whatever_was_scheduled() {
    let now = at(NOON);
    for (on, off) in [(None, None), (SOON, None), (PAST, PAST), (SOON, LATER), (None, LATER)] {
        let before = schedule(on, off);
        let live = |switch: Switch, now| {
            let after = switch.apply(&before, now).unwrap();
            after.active && is_on(&after.schedule, now)
        };
        assert!(live(Switch::On, now), "{before:?}");
        assert!(!live(Switch::Off, now), "{before:?}");
        let off = Switch::Off.apply(&before, now).unwrap();
        assert!(!off.active && next_change(&off.schedule, now).is_none(), "nothing switches it on again");
    }
    let kept = Switch::On.apply(&schedule(SOON, LATER), now).unwrap();
    assert_eq!(kept.schedule, schedule(None, LATER), "when it ends is still to come");
}

#[test]
fn vis_05_it_may_be_inactive_until_a_time() {
    let now = at(NOON);
    let hour = now + 1.hour();
    let after = Switch::OffUntil(hour).apply(&Schedule::default(), now).unwrap();
    let live = |now| after.active && is_on(&after.schedule, now);
    assert_eq!([now, hour - 1.second(), hour].map(live), [false, false, true]);
    let refusal = Switch::OffUntil(now).apply(&Schedule::default(), now).unwrap_err();
    assert_eq!(refusal.message, "That time is past.");
}

#[test]
fn vis_06_emergency_off_ends_running_calls_and_nothing_brings_it_back() {
    let now = at(NOON);
    let after = Switch::Emergency.apply(&schedule(SOON, LATER), now).unwrap();
    assert_eq!(after, Switched { active: false, schedule: Schedule::default(), ends_calls: true });
    for switch in [Switch::On, Switch::Off, Switch::OffUntil(now + 1.hour())] {
        assert!(!switch.apply(&Schedule::default(), now).unwrap().ends_calls, "running calls go on");
    }
}

#[test]
fn vis_07_a_schedule_of_what_is_switched_off_is_told_to_wait_for_nothing() {
    let now = at(NOON);
    assert_eq!(idle(false, &schedule(SOON, None), now).unwrap().code, "schedule_idle");
    assert_eq!(idle(true, &schedule(SOON, None), now), None);
    assert_eq!(idle(false, &schedule(PAST, None), now), None);
}
