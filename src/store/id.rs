//! Ids: their kind, their moment, and chance.

use std::time::{SystemTime, UNIX_EPOCH};

use ring::error::Unspecified;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::base::time::date::{compact, parse};

use super::ms_of;

/// What an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A call; without its kind also the [name of its folder](folder).
    Call,
    /// An event.
    Event,
    /// A server's process.
    Server,
    /// A data directory.
    Home,
    /// An erasure.
    Erasure,
    /// A phone number.
    Number,
    /// A document that an agent can look things up in.
    Document,
    /// An endpoint that was made by the API.
    Webhook,
    /// A user.
    User,
    /// A session.
    Session,
    /// A one-time link.
    Link,
    /// An API key; not what it says.
    Key,
    /// An access token; not what it says.
    Token,
    /// Something that one server asks of another.
    Command,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Call => "call",
            Kind::Event => "evt",
            Kind::Server => "srv",
            Kind::Home => "home",
            Kind::Erasure => "era",
            Kind::Number => "num",
            Kind::Document => "doc",
            Kind::Webhook => "hook",
            Kind::User => "usr",
            Kind::Session => "ses",
            Kind::Link => "link",
            Kind::Key => "key",
            Kind::Token => "tok",
            Kind::Command => "cmd",
        }
    }
}

/// `call_20261120T231455123-1f00ca93b40d2e67`: the kind, the moment in UTC to the millisecond, and 64 random bits. Ids of a
/// kind sort by time, and calls' after those of earlier versions, which had neither kind nor milliseconds.
///
/// # Errors
/// The system has no randomness.
pub fn new(kind: Kind, at: SystemTime, random: &SystemRandom) -> Result<String, Unspecified> {
    let mut bytes = [0u8; 8];
    random.fill(&mut bytes)?;
    Ok(written(kind, at, u64::from_be_bytes(bytes)))
}

/// The same for who cannot do without: the system's source does not fail once it has begun, and were it to, the moment in
/// nanoseconds is no other's.
pub(super) fn new_at_any_rate(kind: Kind) -> String {
    let now = SystemTime::now();
    let nanos = || now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    new(kind, now, &SystemRandom::new()).unwrap_or_else(|_| written(kind, now, nanos()))
}

fn written(kind: Kind, at: SystemTime, chance: u64) -> String {
    format!("{}_{}{:03}-{chance:016x}", kind.name(), compact(at), ms_of(at) % 1_000)
}

/// The name of a call's folder in `calls/`: its id without the kind, since all that is there are calls.
pub fn folder(call: &str) -> &str {
    call.strip_prefix(CALL).unwrap_or(call)
}

/// The call whose folder has this name. Names from earlier versions are ids.
pub(super) fn of_folder(name: &str) -> String {
    let id = format!("{CALL}{name}");
    if began(&id).is_some() { id } else { name.to_owned() }
}

const CALL: &str = "call_";

/// When a call began, by its id, in milliseconds since 1970, and to how many milliseconds that is exact; `None`: it is no
/// call's id. Ids of earlier versions look so: `20261120T231455-1f00ca93b40d2e67`.
pub(super) fn began(id: &str) -> Option<(i64, i64)> {
    let (moment, random) = id.split_once('-')?;
    if random.is_empty() || !random.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let (second, ms) = match moment.strip_prefix(CALL) {
        Some(moment) if moment.len() == 18 => moment.split_at_checked(15)?,
        None if moment.len() == 15 => (moment, ""),
        _ => return None,
    };
    let began_ms = ms_of(parse(second)?);
    if ms.is_empty() {
        return Some((began_ms, 1_000));
    }
    let ms: u16 = ms.bytes().all(|b| b.is_ascii_digit()).then(|| ms.parse().ok())??;
    Some((began_ms + i64::from(ms), 1))
}

/// Whether a text may be a part of an id: what would be a pattern is none.
pub(super) fn may_be_part(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ids_tell_their_kind_sort_by_time_and_differ() {
        let random = SystemRandom::new();
        let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        let id = |ms| new(Kind::Call, at(ms), &random).expect("random");
        let a = id(1_795_216_495_007);
        assert!(a.starts_with("call_20261120T231455007-") && a.len() == "call_20261120T231455007-".len() + 16, "{a}");
        assert_ne!(a, id(1_795_216_495_007));
        assert!(a < id(1_795_216_495_008) && id(1_795_216_495_999) < id(1_795_216_496_000));
        assert!("20261231T235959-ffffffffffffffff" < a.as_str(), "those of before come first");
        assert!(new(Kind::Event, at(0), &random).expect("random").starts_with("evt_"));
    }

    #[test]
    fn a_folder_is_named_after_its_call_and_tells_it() {
        for (id, name) in [
            ("call_20261120T231455123-1f00ca93b40d2e67", "20261120T231455123-1f00ca93b40d2e67"),
            ("20261120T231455-1f00ca93b40d2e67", "20261120T231455-1f00ca93b40d2e67"),
            ("not-a-call", "not-a-call"),
        ] {
            assert_eq!((folder(id), of_folder(name).as_str()), (name, id));
        }
    }

    #[test]
    fn an_id_says_when_its_call_began() {
        let cases = [
            ("call_20261120T231455123-1f00ca93b40d2e67", Some((1_795_216_495_123, 1))),
            ("20261120T231455-1f00ca93b40d2e67", Some((1_795_216_495_000, 1_000))),
            ("call_20261120T231455-1f00ca93b40d2e67", None),
            ("call_20261120T231455+23-1f", None),
            ("20261120T231455123-1f", None),
            ("call_20261120T231455123-", None),
            ("call_20261120T231455123-1g", None),
            ("20261320T231455-1f", None),
            ("not-a-call", None),
            (".deleted-20261120T231455-1f", None),
        ];
        for (id, began_at) in cases {
            assert_eq!(began(id), began_at, "{id}");
        }
    }
}
