use jiff::ToSpan;

use super::*;
use crate::config::{Plan, Role, Span, Tier};
use crate::house::access::{self, Door, Visitor};
use crate::house::caps::Cap;
use crate::house::deployments::{self, Have};
use crate::house::knowledge::{self, Held};
use crate::house::models::{self, Pair};
use crate::house::people::{self, KeyWish};
use crate::house::principal::{Principal, Scopes};
use crate::house::{Refusal, callers, calls, hours, residency, routes, switches};

/// One of each that a rule gives out by itself.
fn refusals() -> Vec<Refusal> {
    let (talks, reads) = (voice("v"), text("t"));
    let us = model("us", ModelKind::Voice, "US", "US");
    let named = |title| deployments::may_be_called(Channel::Website, None, title, |_| true).unwrap_err();
    let backup = |channel, backup| {
        models::choose_backup(channel, Tier::Global, Pair::default(), &reads, Some(backup)).unwrap_err()
    };
    let full = Have { deployments: 3, internal_chat: true, ..Have::default() };
    let plan = Plan { deployments: Some(3), numbers: Some(0), ..Plan::default() };
    let schedule = |on: i64, off: i64| {
        let at = |hours: i64| Some(at(NOON) + hours.hours());
        let after = Schedule { activate_at: at(on), deactivate_at: at(off) };
        switches::set(&Schedule::default(), &after, super::at(NOON)).unwrap_err()
    };
    let span = |from_min, to_min| Span { from_min, to_min };
    let mut marin = talks.clone();
    marin.facts.voices = vec!["marin".to_owned()];
    vec![
        models::required(None::<()>).unwrap_err(),
        models::fits(Channel::Phone, &reads).unwrap_err(),
        models::fits(Channel::Website, &talks).unwrap_err(),
        backup(Channel::Phone, &reads),
        backup(Channel::Website, &reads),
        backup(Channel::Website, &talks),
        residency::choose(Tier::SwissAny, "model", None, &us).unwrap_err(),
        models::has_voice(&marin, "alloy").unwrap_err(),
        models::for_new_phone(Tier::Global, None, []).unwrap_err(),
        models::for_new_phone(Tier::SwissAny, None, [&us]).unwrap_err(),
        deployments::channel("telegram").unwrap_err(),
        deployments::channel("fax").unwrap_err(),
        deployments::may_create(Channel::Phone, &full, &plan).unwrap_err(),
        deployments::may_create(Channel::Internal, &full, &plan).unwrap_err(),
        deployments::may_create(Channel::Website, &full, &plan).unwrap_err(),
        named(""),
        named("taken"),
        deployments::may_be_called(Channel::Internal, None, "Staff", |_| false).unwrap_err(),
        access::check(Channel::Internal, Some(&Access::Public)).unwrap_err(),
        access::check(Channel::Website, Some(&Access::Public)).unwrap_err(),
        access::check(Channel::Phone, Some(&Access::RoleBased(Role::Owner))).unwrap_err(),
        access::check(Channel::Phone, Some(&Access::InviteOnly(Vec::new()))).unwrap_err(),
        schedule(-1, 1),
        schedule(2, 1),
        hours::check(&[span(9, 9)]).unwrap_err(),
        hours::check(&[span(0, 9), span(8, 10)]).unwrap_err(),
        residency::may_change(Role::Member).unwrap_err(),
        Door::Visibility.refusal(Visitor::Unknown),
        Door::Access.refusal(Visitor::Unknown),
        Door::Access.refusal(Visitor::Token),
        Cap::Agent(2).refusal(),
        calls::no_way_out(),
        calls::not_yet("priority"),
        calls::not_yet("not_before"),
        calls::line("").unwrap_err(),
        knowledge::may_add(Held::default(), 0).unwrap_err(),
        knowledge::may_add(Held { documents: 200, bytes: 0 }, 1).unwrap_err(),
        knowledge::may_add(Held { documents: 1, bytes: 100_000_000 }, 1).unwrap_err(),
        knowledge::too_large(),
        knowledge::title("").unwrap_err(),
        knowledge::page_url("x").unwrap_err(),
        callers::check_pin("123", []).unwrap_err(),
        callers::check_pin("1234", []).unwrap_err(),
        callers::check_number("5550100", "ann@example.test", None, 0).unwrap_err(),
        callers::check_number("+15550100100", "ann@example.test", Some("bob@example.test"), 0).unwrap_err(),
        callers::check_number("+15550100100", "ann@example.test", None, callers::MAX_NUMBERS).unwrap_err(),
    ]
    .into_iter()
    .chain(of_people())
    .collect()
}

/// The same of users and keys.
fn of_people() -> Vec<Refusal> {
    let scopes = |names: &[&str]| Scopes::parse(names);
    let key = |agents: Option<Vec<String>>| Principal::Key {
        id: String::new(),
        name: String::new(),
        role: Role::Owner,
        scopes: scopes(&["calls:read", "tokens:read"]).unwrap(),
        agents,
    };
    let bound = key(Some(vec!["anna".to_owned()]));
    let (id, email, session) = (String::new(), String::new(), String::new());
    let lacking = Principal::User { id, email, role: Role::Owner, session, lacks_factor: true };
    let tokens = |method| routes::find(method, "/api/v1/tokens").unwrap();
    let wish = |scope: &str| KeyWish {
        name: String::new(),
        role: Role::Member,
        scopes: scopes(&[scope]).unwrap(),
        agents: None,
        expires_ms: None,
    };
    let expiry = |at| people::expiry(Some(at), 5).unwrap_err();
    vec![
        Refusal::unauthenticated(),
        routes::may(&key(None), tokens("POST")).unwrap_err(),
        routes::may(&bound, tokens("GET")).unwrap_err(),
        routes::may(&lacking, tokens("GET")).unwrap_err(),
        bound.may_ask_for("ben").unwrap_err(),
        people::may_make(&key(None), &wish("*:write"), 0).unwrap_err(),
        people::may_make(&Principal::Operator, &KeyWish { agents: Some(vec![]), ..wish("*:read") }, 0).unwrap_err(),
        people::owners_left(0).unwrap_err(),
        people::email("ann").unwrap_err(),
        people::email_free(true).unwrap_err(),
        people::password("short", None).unwrap_err(),
        people::password("aaaaaaaaaaaa", None).unwrap_err(),
        people::name("").unwrap_err(),
        scopes(&[]).unwrap_err(),
        scopes(&["all"]).unwrap_err(),
        expiry(4),
        expiry(i64::MAX),
        people::room(3, 3, "API keys").unwrap_err(),
        people::not_known(),
        people::wrong_password(),
        people::factor_needed(),
        people::wrong_code(),
        people::factor_demanded(),
        people::no_factor(),
        people::not_found("user"),
        people::link_over(),
        people::too_many_attempts(9),
        people::busy(),
    ]
}

/// Whether a message is a row's, whose `{gaps}` may hold anything.
fn fits(row: &str, message: &str) -> bool {
    let row = row.replace("Telegram", "{channel}");
    row.split(" Or: ").any(|row| {
        let mut rest = message;
        let mut parts = row.split('{').map(|part| part.split_once('}').map_or(part, |(_, after)| after));
        let first = parts.next().unwrap_or_default();
        let Some(after) = rest.strip_prefix(first) else { return false };
        rest = after;
        parts.all(|part| match rest.find(part) {
            Some(at) => {
                rest = &rest[at + part.len()..];
                true
            }
            None => false,
        })
    })
}

#[test]
fn x_01_codes_statuses_messages_and_fields_are_those_of_the_documentation() {
    let text = include_str!("../../../docs/rules.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split(" |").map(|cell| cell.trim_matches(['|', ' '])).collect())
        .collect();
    for refusal in refusals() {
        let (code, status) = (format!("`{}`", refusal.code), refusal.status.to_string());
        let row = rows.iter().find(|row| row[0] == code && row[1] == status);
        let row = row.unwrap_or_else(|| panic!("{code} with {status} is not in docs/rules.md"));
        let said = fits(row[2], &refusal.message) || row[2].starts_with("The same");
        assert!(said, "{code}: {:?} is not {:?}", refusal.message, row[2]);
        match refusal.field {
            Some(field) => assert!(row[3].contains(field) || row[3].contains("whichever"), "{code}: {field}"),
            None => assert_eq!(row[3], "", "{code}"),
        }
    }
}
