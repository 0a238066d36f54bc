use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::Role;
use crate::house::access::Member;
use crate::house::callers::*;
use crate::house::force::Because;

fn member(role: Role) -> Member {
    Member { email: format!("{role:?}@example.test").to_lowercase(), role }
}

fn met(agent: &AgentStanding, access: Access, caller: Option<(Role, bool, Pin)>) -> Answer {
    let of = caller.map(|(role, attested, pin)| (member(role), attested, pin));
    let caller = of.as_ref().map(|(member, attested, pin)| Caller { member, attested: *attested, pin: *pin });
    answer(agent, &deployment(Channel::Phone, Some(access)), caller, at(NOON))
}

#[test]
fn acc_06_a_caller_is_known_by_an_attested_number_or_by_number_and_pin() {
    let refused = Answer::Refuse(Because::Access);
    let cases = [
        (None, refused),
        (Some((true, Pin::Unasked)), Answer::LetIn),
        (Some((true, Pin::Missing)), Answer::LetIn),
        // Guesses of whoever showed the number before do not shut its owner out.
        (Some((true, Pin::Paused)), Answer::LetIn),
        (Some((false, Pin::Unasked)), Answer::AskPin(ASK)),
        (Some((false, Pin::Right)), Answer::LetIn),
        (Some((false, Pin::Wrong(1))), Answer::AskPin(AGAIN)),
        (Some((false, Pin::Wrong(2))), Answer::AskPin(AGAIN)),
        (Some((false, Pin::Wrong(3))), refused),
        (Some((false, Pin::Missing)), refused),
        (Some((false, Pin::Paused)), refused),
    ];
    for (caller, expected) in cases {
        let caller = caller.map(|(attested, pin)| (Role::Member, attested, pin));
        assert_eq!(met(&agent(), Access::Organization, caller), expected, "{caller:?}");
    }
}

#[test]
fn acc_01_acc_04_acc_07_no_pin_is_asked_of_whom_it_would_not_let_in() {
    let unasked = |role| Some((role, false, Pin::Unasked));
    let (ask, refused) = (Answer::AskPin(ASK), Answer::Refuse(Because::Access));
    let invited = || Access::InviteOnly(vec!["builder@example.test".to_owned()]);
    let roles = [Role::Member, Role::Builder, Role::Admin, Role::Owner];
    for (access, expected) in [
        (Access::Public, [Answer::LetIn; 4]),
        (Access::Organization, [ask; 4]),
        (Access::RoleBased(Role::Builder), [refused, ask, ask, ask]),
        (Access::RoleBased(Role::Admin), [refused, refused, ask, ask]),
        // The list is the list: an owner who is not on it is refused.
        (invited(), [refused, ask, refused, refused]),
    ] {
        assert_eq!(roles.map(|role| met(&agent(), access.clone(), unasked(role))), expected, "{access:?}");
    }
}

#[test]
fn vis_03_an_internal_agent_on_a_public_phone_asks_as_the_organization_does() {
    let internal = AgentStanding { visibility: Visibility::Internal, ..agent() };
    assert_eq!(met(&internal, Access::Public, None), Answer::Refuse(Because::Visibility));
    assert_eq!(met(&internal, Access::Public, Some((Role::Member, false, Pin::Unasked))), Answer::AskPin(ASK));
    assert_eq!(met(&internal, Access::Public, Some((Role::Member, true, Pin::Missing))), Answer::LetIn);
}

#[test]
fn vis_08_what_is_off_is_off_for_members_too() {
    let off = AgentStanding { active: false, ..agent() };
    let refused = met(&off, Access::Organization, Some((Role::Owner, true, Pin::Right)));
    assert_eq!(refused, Answer::Refuse(Because::Agent));
    assert!(!is_about_who_calls(refused) && is_about_who_calls(met(&agent(), Access::Organization, None)));
}

#[test]
fn acc_06_pauses_leave_who_guesses_no_hope() {
    // Whoever tries at every moment that they may, for a year.
    let (mut wrong, mut passed) = (0, Duration::ZERO);
    let year = Duration::from_secs(365 * 86_400);
    while passed < year {
        wrong += 1;
        passed += pause_after(wrong);
    }
    assert!((100..=200).contains(&wrong), "{wrong} tries a year");
    assert_eq!([0, 1, 2, 4, 5].map(pause_after), [Duration::ZERO; 5]);
    assert_eq!([3, 6].map(pause_after), [Duration::from_secs(900), Duration::from_secs(1_800)]);
    assert_eq!(pause_after(u32::MAX), Duration::from_secs(7 * 86_400));
}

#[test]
fn a_pin_is_of_digits_and_no_easy_one() {
    let code = |pin: &str| check_pin(pin, ["+15550107391"]).err().map(|refusal| refusal.code);
    for pin in ["", "123", "123456789", "12a4", "٣٤٥٦", "12 4"] {
        assert_eq!(code(pin), Some("pin_shape"), "{pin}");
    }
    for pin in ["1111", "1234", "87654321", "0123", "7391", "5550"] {
        assert_eq!(code(pin), Some("pin_easy"), "{pin}");
    }
    for pin in ["1212", "2468", "739102", "19283746"] {
        assert_eq!(code(pin), None, "{pin}");
    }
}

#[test]
fn a_number_is_one_members() {
    let code = |number: &str, holder, has| check_number(number, "a@x.test", holder, has).err().map(|r| r.code);
    assert_eq!(code("+15550100100", None, 0), None);
    assert_eq!(code("+15550100100", Some("a@x.test"), MAX_NUMBERS), None, "it is there already");
    assert_eq!(code("+15550100100", Some("b@x.test"), 0), Some("number_taken"));
    assert_eq!(code("+15550100100", None, MAX_NUMBERS), Some("number_limit"));
    assert_eq!(code("anonymous", None, 0), Some("number_shape"));
}

proptest! {
    #[test]
    fn pauses_never_grow_shorter(tries in 1u32..1_000) {
        prop_assert!(pause_after(3 * tries) <= pause_after(3 * tries + 3));
    }
}
