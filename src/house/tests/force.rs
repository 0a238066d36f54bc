use std::collections::BTreeMap;

use jiff::ToSpan;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::config::{Hours, Outside, Role};
use crate::house::access::Member;
use crate::house::force::*;

/// Closed on every day.
fn closed(outside: Outside) -> Hours {
    Hours { timezone: TimeZone::UTC, week: BTreeMap::new(), exceptions: BTreeMap::new(), outside }
}

fn later() -> Schedule {
    Schedule { activate_at: Some(at(NOON) + 1.hour()), deactivate_at: None }
}

#[test]
fn vis_08_each_switch_that_is_off_is_named() {
    let now = at(NOON);
    let good = (agent(), deployment(Channel::Phone, Some(Access::Public)));
    assert_eq!(in_force(&good.0, &good.1, Visitor::Unknown, now), Effective { live: true, because: None });
    let refuse = Outside::Refuse(None);
    type Change = fn(&mut AgentStanding, &mut Standing);
    let cases: [(&str, Change); 6] = [
        ("agent", |agent, _| agent.active = false),
        ("deployment", |_, deployment| deployment.active = false),
        ("schedule", |agent, _| agent.schedule = later()),
        ("schedule", |_, deployment| deployment.schedule = later()),
        ("visibility", |agent, _| agent.visibility = Visibility::Internal),
        ("access", |_, deployment| deployment.access = Some(Access::Organization)),
    ];
    for (name, change) in cases {
        let (mut agent, mut deployment) = good.clone();
        change(&mut agent, &mut deployment);
        let effective = in_force(&agent, &deployment, Visitor::Unknown, now);
        assert_eq!((effective.live, effective.because.map(Because::name)), (false, Some(name)));
        // Access is for those who come, and not for whom we call.
        let placed = places(&agent, &deployment, now).err().map(Because::name);
        assert_eq!(placed, Some(name).filter(|name| !matches!(*name, "visibility" | "access")));
    }
    let shut = Standing { hours: Some(closed(refuse)), ..good.1.clone() };
    assert_eq!(in_force(&good.0, &shut, Visitor::Unknown, now).because, Some(Because::Hours { until: None }));
    assert_eq!(places(&good.0, &shut, now), Ok(()));
}

#[test]
fn vis_08_hrs_02_hours_say_no_only_where_nobody_is_answered_outside() {
    let answering = Standing { hours: Some(closed(Outside::Answer)), ..deployment(Channel::Phone, None) };
    assert!(in_force(&agent(), &answering, Visitor::Unknown, at(NOON)).live);
}

#[test]
fn vis_08_the_answer_serializes_for_the_api() {
    let now = at(NOON);
    let phone = deployment(Channel::Phone, None);
    let json = |agent| serde_json::to_value(in_force(&agent, &phone, Visitor::Unknown, now)).unwrap();
    assert_eq!(json(agent()), serde_json::json!({"live": true, "because": null, "until": null}));
    let scheduled = AgentStanding { schedule: later(), ..agent() };
    let expected = serde_json::json!({"live": false, "because": "schedule", "until": "2026-06-16T13:00:00Z"});
    assert_eq!(json(scheduled), expected);
}

#[test]
fn vis_08_a_card_says_whether_anyone_gets_in() {
    let now = at(NOON);
    let members = [Member { email: "m@example.test".to_owned(), role: Role::Member }];
    let internal = AgentStanding { visibility: Visibility::Internal, ..agent() };
    let website = deployment(Channel::Website, None);
    let chat = deployment(Channel::Internal, Some(Access::RoleBased(Role::Builder)));
    for (agent, deployment, members, token, because) in [
        (agent(), &website, &[][..], false, None),
        (internal.clone(), &website, &[], false, Some(Because::Visibility)),
        (internal.clone(), &website, &[], true, None),
        (internal.clone(), &website, &members, false, None),
        (agent(), &chat, &members, true, Some(Because::Access)),
        (internal, &chat, &[], true, Some(Because::Access)),
    ] {
        let somebody = Visitor::Somebody { members, token };
        assert_eq!(in_force(&agent, deployment, somebody, now).because, because, "{deployment:?} {members:?}");
    }
}

#[test]
fn vis_07_what_came_due_while_nobody_was_there_is_live_at_once() {
    let due = AgentStanding { schedule: later(), ..agent() };
    let live = |now| in_force(&due, &deployment(Channel::Phone, None), Visitor::Unknown, now).live;
    assert!(!live(at(NOON)));
    assert!(live(at(NOON) + 90.minutes()));
}

#[test]
fn vis_01_switching_takes_effect_with_the_next_question() {
    let website = deployment(Channel::Website, None);
    for (visibility, live) in [(Visibility::Public, true), (Visibility::Internal, false)] {
        let agent = AgentStanding { visibility, ..agent() };
        assert_eq!(in_force(&agent, &website, Visitor::Unknown, at(NOON)).live, live);
    }
    assert_eq!(Visibility::default(), Visibility::Public, "Q-23");
}

#[test]
fn dep_04_acc_06_hrs_02_what_who_comes_is_told() {
    let line = |line: Option<&str>| Some(closed(Outside::Refuse(line.map(str::to_owned))));
    let told_on =
        |channel, hours, because| format!("{:?}", told(because, &Standing { hours, ..deployment(channel, None) }));
    let schedule = Because::Schedule { of: Whose::Agent, until: None };
    let hours = Because::Hours { until: None };
    for (channel, off, closed_to) in [
        (Channel::Phone, "RefuseInactive", "Line(\"I am sorry, this line is for members only. Goodbye.\")"),
        (Channel::Website, "Nothing", "Credentials"),
        (Channel::Internal, "Line(\"This chat is paused.\")", "Credentials"),
    ] {
        for because in [Because::Agent, Because::Deployment, schedule] {
            assert_eq!(told_on(channel, None, because), off);
        }
        assert_eq!(told_on(channel, line(None), hours), off);
        assert_eq!(told_on(channel, line(Some("Call again.")), hours), "Line(\"Call again.\")");
        for because in [Because::Visibility, Because::Access] {
            assert_eq!(told_on(channel, None, because), closed_to);
        }
    }
}

/// Everything that may say no, as bits: set is good.
fn stand(bits: u8) -> (AgentStanding, Standing) {
    let is = |bit: u8| bits & (1 << bit) != 0;
    let schedule = |good| if good { Schedule::default() } else { later() };
    let agent = AgentStanding {
        active: is(0),
        schedule: schedule(is(2)),
        visibility: if is(5) { Visibility::Public } else { Visibility::Internal },
        ..agent()
    };
    let deployment = Standing {
        active: is(1),
        schedule: schedule(is(3)),
        hours: (!is(4)).then(|| closed(Outside::Refuse(None))),
        access: Some(if is(6) { Access::Public } else { Access::Organization }),
        ..deployment(Channel::Phone, None)
    };
    (agent, deployment)
}

#[test]
fn vis_08_it_is_live_only_if_all_say_so_and_the_first_no_is_the_reason() {
    let names = ["agent", "deployment", "schedule", "schedule", "hours", "visibility", "access"];
    for bits in 0..128_u8 {
        let (agent, deployment) = stand(bits);
        let effective = in_force(&agent, &deployment, Visitor::Unknown, at(NOON));
        let first = names.iter().enumerate().find(|(bit, _)| bits & (1 << bit) == 0).map(|(_, name)| *name);
        assert_eq!(effective.live, first.is_none(), "{bits:07b}");
        assert_eq!(effective.because.map(Because::name), first, "{bits:07b}");
    }
}

proptest! {
    /// Nothing that is switched on takes a deployment out of force, and nobody who is better known gets in less.
    #[test]
    fn vis_08_in_force_is_monotone(bits in 0..128_u8, more in 0..128_u8, minutes in 0_i64..120) {
        let now = at(NOON) + minutes.minutes();
        let member = Member { email: "m@example.test".to_owned(), role: Role::Member };
        let live = |bits, visitor| {
            let (agent, deployment) = stand(bits);
            in_force(&agent, &deployment, visitor, now).live
        };
        for visitor in [Visitor::Unknown, Visitor::Token, Visitor::Member(&member)] {
            prop_assert!(!live(bits, visitor) || live(bits | more, visitor));
            prop_assert!(!live(bits, visitor) || live(bits, Visitor::Member(&member)));
            let anyone = Visitor::Somebody { members: std::slice::from_ref(&member), token: true };
            prop_assert!(!live(bits, visitor) || live(bits, anyone));
        }
    }
}
