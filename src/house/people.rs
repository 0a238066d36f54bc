//! Users, invitations, keys and passwords: what they may be, and who may give them (ROLE-01, ROLE-05, ROLE-07, API-02, API-03,
//! VIS-04).

use super::principal::{Principal, Scopes};
use super::refusal::{Flag, Refusal};
use super::routes::needs;
use crate::config::Role;

/// Characters of an e-mail address.
const MAX_EMAIL: usize = 254;
/// Characters of the name of a key or a token.
const MAX_NAME: usize = 80;
/// Characters of a password.
const PASSWORD: std::ops::RangeInclusive<usize> = 10..=200;
/// Agents that a key can be bound to.
const MAX_AGENTS: usize = 64;
/// After this a key is flagged (API-02).
const ROTATE_DAYS: i64 = 90;
const DAY_MS: i64 = 86_400_000;
/// The longest life of a key: ten years.
const MAX_LIFE_MS: i64 = 3_653 * DAY_MS;

/// An e-mail address as it is kept: without space around it, in lower case.
///
/// # Errors
/// `email`: it does not look like one.
pub fn email(text: &str) -> Result<String, Refusal> {
    let text = text.trim().to_lowercase();
    let wrong = || Refusal::wrong("email", "email", "This is no e-mail address, such as ann@example.com.");
    let (name, domain) = text.rsplit_once('@').ok_or_else(wrong)?;
    let plain =
        |text: &str| text.chars().all(|c| !c.is_whitespace() && !c.is_control() && !"<>,;:\"\\()[]".contains(c));
    let is_one = !name.is_empty()
        && text.chars().count() <= MAX_EMAIL
        && plain(name)
        && !name.contains('@')
        && domain.split('.').all(|label| !label.is_empty())
        && domain.contains('.')
        && plain(domain);
    if is_one { Ok(text) } else { Err(wrong()) }
}

/// Whether a password may be one; `email` is whose it is, where it is somebody's.
///
/// # Errors
/// `password`: too short, too long, or the address.
pub fn password(text: &str, email: Option<&str>) -> Result<(), Refusal> {
    if !PASSWORD.contains(&text.chars().count()) {
        let (least, most) = (PASSWORD.start(), PASSWORD.end());
        return Err(Refusal::wrong("password", "password", format!("A password has {least} to {most} characters.")));
    }
    let first = text.chars().next();
    let says_nothing =
        email.is_some_and(|email| text.eq_ignore_ascii_case(email)) || text.chars().all(|c| Some(c) == first);
    if says_nothing {
        return Err(Refusal::wrong("password", "password", "This password is guessed at once. Choose another."));
    }
    Ok(())
}

/// The name of a key or a token as it is kept.
///
/// # Errors
/// `name`: empty, too long, or not of printable characters.
pub fn name(text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > MAX_NAME || text.chars().any(char::is_control) {
        return Err(Refusal::wrong("name", "name", format!("Give a name of at most {MAX_NAME} characters.")));
    }
    Ok(text.to_owned())
}

/// Whether `who` may make a member of `from` (`None`: not there yet) one of `to` (`None`: gone): owners are made and unmade by
/// owners alone (ROLE-05), everybody else by admins too.
///
/// # Errors
/// `role`.
pub fn may_change(who: &Principal, from: Option<Role>, to: Option<Role>) -> Result<(), Refusal> {
    let least = if from.max(to) == Some(Role::Owner) { Role::Owner } else { Role::Admin };
    if who.role() >= Some(least) { Ok(()) } else { Err(needs(least)) }
}

/// Whether so many owners are enough (ROLE-01).
///
/// # Errors
/// `last_owner`.
pub fn owners_left(owners: u64) -> Result<(), Refusal> {
    if owners > 0 { Ok(()) } else { Err(Refusal::state("last_owner", "An organization needs an owner.")) }
}

/// Whether nobody has that address yet.
///
/// # Errors
/// `email_taken`.
pub fn email_free(taken: bool) -> Result<(), Refusal> {
    if taken { Err(Refusal::state("email_taken", "Somebody has this e-mail address already.")) } else { Ok(()) }
}

/// Whether there is room for one more of something.
///
/// # Errors
/// `too_many`.
pub fn room(there: u64, most: u64, things: &str) -> Result<(), Refusal> {
    if there < most { Ok(()) } else { Err(Refusal::state("too_many", format!("There are {most} {things} already."))) }
}

/// A key that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyWish {
    /// See [`name`].
    pub name: String,
    /// What it may do at most.
    pub role: Role,
    /// What of that.
    pub scopes: Scopes,
    /// The only agents it may reach; `None`: all.
    pub agents: Option<Vec<String>>,
    /// When it ends by itself, in milliseconds since 1970.
    pub expires_ms: Option<i64>,
}

/// Whether `who` may make such a key at `now_ms`: nobody hands on more than they have (API-03).
///
/// # Errors
/// `role`, `scope`, `agents`, `expires`.
pub fn may_make(who: &Principal, wish: &KeyWish, now_ms: i64) -> Result<(), Refusal> {
    if who.role() < Some(wish.role) {
        return Err(needs(wish.role));
    }
    if let Some(agents) = &wish.agents
        && (agents.is_empty() || agents.len() > MAX_AGENTS)
    {
        return Err(Refusal::wrong("agents", "agents", format!("Name 1 to {MAX_AGENTS} agents, or leave it out.")));
    }
    expiry(wish.expires_ms, now_ms)?;
    if let Principal::Key { scopes, .. } = who
        && !scopes.hold(&wish.scopes)
    {
        return Err(Refusal::forbidden("scope", format!("This key has only these scopes to hand on: {scopes}.")));
    }
    if let Some(agents) = &wish.agents {
        return agents.iter().try_for_each(|agent| who.may_ask_for(agent));
    }
    match who {
        Principal::Key { agents: Some(agents), .. } => {
            Err(Refusal::forbidden("scope", format!("This key is for these agents only: {}.", agents.join(", "))))
        }
        _ => Ok(()),
    }
}

/// Whether something may end then.
///
/// # Errors
/// `expires`: it would be over already, or after ten years.
pub fn expiry(expires_ms: Option<i64>, now_ms: i64) -> Result<(), Refusal> {
    match expires_ms {
        Some(at) if at <= now_ms => Err(Refusal::wrong("expires", "expires", "That time is past.")),
        Some(at) if at > now_ms.saturating_add(MAX_LIFE_MS) => {
            Err(Refusal::wrong("expires", "expires", "That is more than ten years away."))
        }
        _ => Ok(()),
    }
}

/// A key that should be replaced by a new one (API-02, SEC-02).
pub fn is_old(made_ms: i64, now_ms: i64) -> Option<Flag> {
    let days = (now_ms - made_ms) / DAY_MS;
    let message = format!("This key is {days} days old. Make a new one, use it, and delete this one.");
    (days >= ROTATE_DAYS).then(|| Flag::new("rotate", None, message))
}

/// What somebody hears who shows a password that is not the right one, or none that is known; the same for both.
pub fn not_known() -> Refusal {
    let message = "That e-mail address and password do not go together.".to_owned();
    Refusal { code: "log_in", status: 401, field: None, message }
}

/// What somebody hears who shows a wrong password of an agent (VIS-04).
pub fn wrong_password() -> Refusal {
    Refusal { code: "password", status: 401, field: None, message: "That is not the password.".to_owned() }
}

/// What is missing after the right password.
pub fn factor_needed() -> Refusal {
    let message = "Please give the code of your second factor, too.".to_owned();
    Refusal { code: "second_factor_needed", status: 401, field: Some("code"), message }
}

/// A code that is wrong, too old, or was used already.
pub fn wrong_code() -> Refusal {
    let message = "That is not the code, or it was used already.".to_owned();
    Refusal { code: "second_factor_wrong", status: 401, field: Some("code"), message }
}

/// A second factor that cannot be given up, since the organization asks for it.
pub fn factor_demanded() -> Refusal {
    Refusal::state("second_factor", "The organization asks for a second factor. Set up a new one instead.")
}

/// There is no second factor that waits to be confirmed, or none to be given up.
pub fn no_factor() -> Refusal {
    Refusal::state("no_second_factor", "There is no second factor to confirm or to give up.")
}

/// Whether a second factor's secret can be kept (SEC-01).
///
/// # Errors
/// `no_seal_key`.
pub fn may_seal_factor(has_key: bool) -> Result<(), Refusal> {
    let message = "A second factor's secret is kept in the store, sealed with a key of the operator: \
        [store] seal_key in offhook.toml is not set.";
    if has_key { Ok(()) } else { Err(Refusal::state("no_seal_key", message)) }
}

/// Nothing of that id, or not yours.
pub fn not_found(what: &str) -> Refusal {
    Refusal { code: "not_found", status: 404, field: None, message: format!("There is no such {what}.") }
}

/// A one-time link that was used, or whose time is over.
pub fn link_over() -> Refusal {
    let message = "This link was used already, or its time is over.".to_owned();
    Refusal { code: "link_over", status: 410, field: None, message }
}

/// Too many wrong attempts; `retry_s` is when the next one is heard.
pub fn too_many_attempts(retry_s: u64) -> Refusal {
    let message = format!("Too many attempts. Please try again in {retry_s} seconds.");
    Refusal { code: "attempts", status: 429, field: None, message }
}

/// Too many passwords are waited for at this moment.
pub fn busy() -> Refusal {
    let message = "Too many people log in at this moment. Please try again.".to_owned();
    Refusal { code: "busy", status: 503, field: None, message }
}
