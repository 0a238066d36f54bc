use std::collections::BTreeSet;

use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::config::{Plan, Role};
use crate::house::deployments::*;

#[test]
fn dep_02_several_of_one_channel_are_allowed_but_for_internal_chats() {
    let have = Have { deployments: 30, internal_chat: true, numbers: 9, spare_numbers: 0 };
    let plan = Plan::default();
    for (channel, expected) in
        [(Channel::Phone, None), (Channel::Website, None), (Channel::Internal, Some("already_configured"))]
    {
        assert_eq!(may_create(channel, &have, &plan).err().map(|refusal| refusal.code), expected);
    }
}

#[test]
fn dep_06_other_channels_are_not_available_yet() {
    for (name, message) in [
        ("telegram", "Telegram is not available yet."),
        ("whatsapp", "WhatsApp is not available yet."),
        ("email", "Email is not available yet."),
    ] {
        let refusal = channel(name).unwrap_err();
        assert_eq!((refusal.status, refusal.message.as_str()), (422, message));
    }
    for (name, known) in Channel::ALL {
        assert_eq!(channel(name), Ok(known));
    }
    assert_eq!(channel("fax").unwrap_err().code, "channel_unknown");
}

#[test]
fn dep_07_a_phone_needs_quota_or_a_spare_number() {
    for (limit, numbers, spare_numbers, enabled) in [
        (Some(0), 0, 0, false),
        (Some(0), 1, 1, true),
        (Some(1), 1, 0, false),
        (Some(2), 1, 0, true),
        (Some(1), 3, 0, false),
        (None, 5, 0, true),
    ] {
        let plan = Plan { numbers: limit, ..Plan::default() };
        let have = Have { numbers, spare_numbers, ..Have::default() };
        let created = may_create(Channel::Phone, &have, &plan);
        assert_eq!(created.is_ok(), enabled, "{limit:?} {have:?}");
        assert_eq!(badge(Channel::Phone, &have, &plan), (!enabled).then_some("No quota"));
        if let Err(refusal) = created {
            assert_eq!((refusal.code, refusal.status), ("no_number_quota", 409));
        }
        assert_eq!(may_create(Channel::Website, &have, &plan), Ok(()), "others need no number");
    }
}

#[test]
fn dep_08_an_agent_has_one_internal_chat() {
    let have = Have { internal_chat: true, deployments: 1, ..Have::default() };
    let refusal = may_create(Channel::Internal, &have, &Plan::default()).unwrap_err();
    assert_eq!(
        (refusal.code, refusal.status, refusal.message.as_str()),
        ("already_configured", 409, "This agent already has an internal chat.")
    );
    assert_eq!(badge(Channel::Internal, &have, &Plan::default()), Some("already configured"));
    assert_eq!(badge(Channel::Internal, &Have::default(), &Plan::default()), None);
}

#[test]
fn dep_09_the_plan_limits_deployments_over_all_agents() {
    let plan = Plan { deployments: Some(2), ..Plan::default() };
    for (deployments, full) in [(0, false), (1, false), (2, true), (3, true)] {
        for (_, channel) in Channel::ALL {
            let have = Have { deployments, ..Have::default() };
            let created = may_create(channel, &have, &plan);
            assert_eq!(created.is_err(), full, "{deployments}");
            if let Err(refusal) = created {
                assert_eq!((refusal.code, refusal.status), ("deployment_limit", 409));
                let message = "You have reached the limit of 2 deployments. Upgrade your plan to add more.";
                assert_eq!(refusal.message, message);
            }
        }
    }
    assert_eq!(within_limit(u32::MAX, &Plan::default()), Ok(()));
}

#[test]
fn dep_10_default_names_tell_channel_and_day() {
    let today = date(2026, 6, 6);
    assert_eq!(default_title(Channel::Website, today), "Website 2026-06-06");
    assert_eq!(default_title(Channel::Phone, today), "Phone 2026-06-06");
    assert_eq!(default_title(Channel::Internal, today), "Chat Internal");
}

#[test]
fn dep_10_q_01_a_second_one_the_same_day_is_counted() {
    let mut taken = BTreeSet::new();
    for expected in ["Website 2026-06-16", "Website 2026-06-16 (2)", "Website 2026-06-16 (3)"] {
        let title = unique_title("Website 2026-06-16", |title| taken.contains(title));
        assert_eq!(title, expected);
        taken.insert(title);
    }
}

#[test]
fn dep_10_names_have_1_to_80_characters_and_are_unique() {
    let called = |channel, was, title: &str| {
        may_be_called(channel, was, title, |title| title == "Taken").map_err(|refusal| {
            assert_eq!((refusal.status, refusal.field), (422, Some("title")));
            refusal.code
        })
    };
    let web = Channel::Website;
    assert_eq!(called(web, None, "Öffnungszeiten ☎"), Ok(()));
    assert_eq!(called(web, None, &"ü".repeat(80)), Ok(()));
    for bad in ["", "   ", "a\nb", &"x".repeat(81)] {
        assert_eq!(called(web, Some("Old"), bad), Err("title_length"), "{bad:?}");
    }
    assert_eq!(called(web, None, "Taken"), Err("title_taken"));
    assert_eq!(called(web, Some("Taken"), "Taken"), Ok(()), "its own");
    assert_eq!(called(Channel::Internal, Some("Chat Internal"), "Staff"), Err("title_fixed"));
    assert_eq!(called(Channel::Internal, None, "Chat Internal"), Ok(()));
}

#[test]
fn dep_14_no_two_deployments_have_the_same_key() {
    assert!(shared_keys([("a", "oh_pub_1"), ("b", "oh_pub_2"), ("c", "oh_pub_3")]).is_empty());
    let shared = shared_keys([("a", "oh_pub_1"), ("b", "oh_pub_2"), ("c", "oh_pub_1"), ("d", "oh_pub_1")]);
    assert_eq!(shared, [("a", "c"), ("a", "d")]);
}

#[test]
fn dep_15_a_card_says_why_its_deployment_cannot_work() {
    let now = at(NOON);
    let works = Parts { has_number: true, model: Some(("m", true)), ..Parts::default() };
    let phone = deployment(Channel::Phone, None);
    let codes = |agent: &AgentStanding, deployment: &Standing, parts: &Parts<'_>| {
        cannot_work(agent, deployment, parts, now).iter().map(|flag| flag.code).collect::<Vec<_>>()
    };
    assert!(codes(&agent(), &phone, &works).is_empty());
    assert_eq!(codes(&agent(), &phone, &Parts { has_number: false, ..works.clone() }), ["no_number"]);
    assert!(
        codes(&agent(), &deployment(Channel::Website, None), &Parts { has_number: false, ..works.clone() }).is_empty()
    );
    assert_eq!(codes(&agent(), &phone, &Parts { model: Some(("m", false)), ..works.clone() }), ["model_gone"]);
    let secret = Parts { missing_secrets: vec!["OPENAI_API_KEY"], ..works.clone() };
    let flags = cannot_work(&agent(), &phone, &secret, now);
    assert_eq!(flags[0].message, "The secret OPENAI_API_KEY is missing.");
    let over = Schedule { activate_at: None, deactivate_at: Some(now) };
    assert_eq!(codes(&agent(), &Standing { schedule: over, ..phone.clone() }, &works), ["schedule_over"]);
    assert_eq!(codes(&AgentStanding { active: false, ..agent() }, &phone, &works), ["agent_inactive"]);
    let all = Parts { nobody_may: true, missing_secrets: vec!["A", "B"], ..Parts::default() };
    let agent = AgentStanding { active: false, schedule: over, ..agent() };
    let expected = [
        "no_number",
        "model_required",
        "secret_missing",
        "secret_missing",
        "schedule_over",
        "agent_inactive",
        "nobody_may",
    ];
    assert_eq!(codes(&agent, &phone, &all), expected);
}

#[test]
fn role_03_admins_and_owners_change_deployments() {
    assert_eq!(may_change(Role::Admin), Ok(()));
    assert_eq!(may_change(Role::Builder).unwrap_err().status, 403);
}

proptest! {
    /// However many are made of whatever names, no two are alike, none is too long, and each says what it was called.
    #[test]
    fn dep_10_titles_are_unique(titles in proptest::collection::vec("[ab]{1,2}|[aü]{78,80}|a \\(2\\)", 1..40)) {
        let mut taken = BTreeSet::new();
        for title in titles {
            let unique = unique_title(&title, |title| taken.contains(title));
            prop_assert!(unique.chars().count() <= MAX_TITLE);
            let kept: String = title.chars().take(70).collect();
            prop_assert!(unique.starts_with(&kept));
            prop_assert!(taken.insert(unique));
        }
    }
}
