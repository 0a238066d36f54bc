//! What users, keys and passwords may be, and who may give them.

use crate::config::Role::{self, Admin, Builder, Member, Owner};
use crate::house::people::{KeyWish, email, is_old, may_change, may_make, name, owners_left, password};
use crate::house::principal::{Principal, Scopes};

const DAY_MS: i64 = 86_400_000;

fn key(role: Role, scopes: &[&str], agents: Option<&[&str]>) -> Principal {
    let agents = agents.map(|agents| agents.iter().map(|agent| (*agent).to_owned()).collect());
    let (id, name) = ("key_1".to_owned(), "staging".to_owned());
    Principal::Key { id, name, role, scopes: Scopes::parse(scopes).unwrap(), agents }
}

fn wish(role: Role, scopes: &[&str], agents: Option<&[&str]>) -> KeyWish {
    let agents = agents.map(|agents| agents.iter().map(|agent| (*agent).to_owned()).collect());
    KeyWish { name: "new".to_owned(), role, scopes: Scopes::parse(scopes).unwrap(), agents, expires_ms: None }
}

#[test]
fn addresses_are_read_and_put_in_one_form() {
    for (text, expected) in [
        (" Ann@Example.com ", Some("ann@example.com")),
        ("ann+calls@mail.example.com", Some("ann+calls@mail.example.com")),
        ("jürgen@bücher.example", Some("jürgen@bücher.example")),
        ("ann", None),
        ("@example.com", None),
        ("ann@", None),
        ("ann@localhost", None),
        ("ann@example..com", None),
        ("a nn@example.com", None),
        ("ann@b@example.com", None),
        ("Ann <ann@example.com>", None),
        ("ann@example.com\r\nBcc: all@example.com", None),
    ] {
        assert_eq!(email(text).ok().as_deref(), expected, "{text}");
    }
    assert!(email(&format!("{}@example.com", "a".repeat(250))).is_err());
}

#[test]
fn role_07_passwords_are_long_enough_and_bounded() {
    for (text, fits) in [
        ("correct horse", true),
        ("ten chars!", true),
        ("pässwörter", true),
        ("nine char", false),
        ("aaaaaaaaaaaa", false),
        ("ANN@example.com", false),
        ("", false),
    ] {
        assert_eq!(password(text, Some("ann@example.com")).is_ok(), fits, "{text}");
    }
    assert!(password(&"ab".repeat(101), None).is_err());
    assert!(name(" production ").is_ok_and(|name| name == "production"));
    assert!(name(" ").is_err() && name("a\nb").is_err() && name(&"a".repeat(81)).is_err());
}

#[test]
fn role_05_owners_are_made_and_unmade_by_owners() {
    let user = |role| {
        let (id, email, session) = (String::new(), String::new(), String::new());
        Principal::User { id, email, role, session, lacks_factor: false }
    };
    for (who, from, to, may) in [
        (Admin, None, Some(Admin), true),
        (Admin, None, Some(Owner), false),
        (Admin, Some(Owner), Some(Admin), false),
        (Admin, Some(Owner), None, false),
        (Admin, Some(Admin), None, true),
        (Owner, Some(Owner), None, true),
        (Owner, None, Some(Owner), true),
        (Builder, None, Some(Member), false),
    ] {
        let answer = may_change(&user(who), from, to);
        assert_eq!(answer.is_ok(), may, "{who:?} {from:?} {to:?}");
        if let Err(no) = answer {
            assert_eq!((no.status, no.code), (403, "role"));
        }
    }
    let no = may_change(&user(Admin), Some(Owner), Some(Admin)).unwrap_err();
    assert_eq!(no.message, "This needs the role Owner.");
    assert!(may_change(&Principal::Operator, Some(Owner), None).is_ok());
}

#[test]
fn role_01_one_owner_stays() {
    let no = owners_left(0).unwrap_err();
    assert_eq!((no.status, no.message.as_str()), (409, "An organization needs an owner."));
    assert_eq!(owners_left(1), Ok(()));
}

#[test]
fn api_03_no_key_makes_one_that_may_more() {
    let maker = key(Admin, &["*:read", "tokens:write", "calls:write"], None);
    assert_eq!(may_make(&maker, &wish(Admin, &["calls:write"], None), 0), Ok(()));
    assert_eq!(
        may_make(&maker, &wish(Owner, &["calls:read"], None), 0).unwrap_err().message,
        "This needs the role Owner."
    );
    assert_eq!(may_make(&maker, &wish(Member, &["agents:write"], None), 0).unwrap_err().code, "scope");
    assert_eq!(may_make(&maker, &wish(Member, &["*:write"], None), 0).unwrap_err().code, "scope");
    assert_eq!(may_make(&maker, &wish(Member, &["*:read"], Some(&["anna"])), 0), Ok(()));
    assert_eq!(may_make(&maker, &wish(Member, &["*:read"], Some(&[])), 0).unwrap_err().code, "agents");
    let bound = key(Owner, &["*:write"], Some(&["anna"]));
    assert_eq!(may_make(&bound, &wish(Member, &["*:read"], None), 0).unwrap_err().code, "scope");
    assert_eq!(may_make(&bound, &wish(Member, &["*:read"], Some(&["ben"])), 0).unwrap_err().code, "scope");
    assert_eq!(may_make(&bound, &wish(Member, &["*:read"], Some(&["anna"])), 0), Ok(()));
    for (expires_ms, fits) in [(Some(5), false), (Some(6), true), (Some(i64::MAX), false), (None, true)] {
        let wish = KeyWish { expires_ms, ..wish(Owner, &["*:write"], None) };
        assert_eq!(may_make(&Principal::Operator, &wish, 5).is_ok(), fits, "{expires_ms:?}");
    }
}

#[test]
fn sec_02_a_key_of_ninety_days_is_flagged() {
    assert_eq!(is_old(0, 89 * DAY_MS), None);
    let flag = is_old(0, 91 * DAY_MS).unwrap();
    assert_eq!(flag.code, "rotate");
    assert!(flag.message.starts_with("This key is 91 days old."));
}
