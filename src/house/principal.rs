//! Who asks: every request, command and file comes from one of these.

use std::collections::BTreeMap;
use std::fmt;

use super::refusal::Refusal;
use super::routes::Resource;
use crate::config::Role;

/// Who asks, as far as it is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A member who is logged in.
    User {
        /// The user's id.
        id: String,
        /// E-mail address, in lower case.
        email: String,
        /// As it is now: a session of another role is dead.
        role: Role,
        /// The session's id; not what the cookie says.
        session: String,
        /// The organization demands a second factor and this user has none yet: until then only their own things.
        lacks_factor: bool,
    },
    /// A program with an API key (`oh_key_…`), or with the token of `[api]`, which is a key of role owner (C-24).
    Key {
        /// The key's id.
        id: String,
        /// What its maker called it.
        name: String,
        /// What it may do at most.
        role: Role,
        /// On what, and whether it may change that.
        scopes: Scopes,
        /// The only agents it may see and change; `None`: all.
        agents: Option<Vec<String>>,
    },
    /// Somebody without an account who was let in to one agent: an access token (`oh_tok_…`) or its password (VIS-04).
    Access {
        /// The token's id; `password` for the password.
        id: String,
        /// The agent.
        agent: String,
    },
    /// A page of somebody else with an embed key (`oh_pub_…`).
    Embed {
        /// The deployment of the key.
        deployment: String,
        /// The page's origin, as its browser says.
        origin: String,
    },
    /// Whoever has the terminal and the files, which are all there is.
    Operator,
    /// Not known.
    Nobody,
}

impl Principal {
    /// The role of members, keys and the operator; `None` of those who have no part in the organization.
    pub fn role(&self) -> Option<Role> {
        match self {
            Principal::User { role, .. } | Principal::Key { role, .. } => Some(*role),
            Principal::Operator => Some(Role::Owner),
            Principal::Access { .. } | Principal::Embed { .. } | Principal::Nobody => None,
        }
    }

    /// As it stands in the audit log and in revisions: `user ann@example.com`, `key production`, `terminal`.
    pub fn name(&self) -> String {
        match self {
            Principal::User { email, .. } => format!("user {email}"),
            Principal::Key { name, .. } => format!("key {name}"),
            Principal::Access { id, agent } => format!("access {id} of {agent}"),
            Principal::Embed { deployment, .. } => format!("widget of {deployment}"),
            Principal::Operator => "terminal".to_owned(),
            Principal::Nobody => "nobody".to_owned(),
        }
    }

    /// Whether an agent, and what belongs to it, is within reach: for lists, which leave out what is not.
    pub fn sees(&self, agent: &str) -> bool {
        match self {
            Principal::Key { agents, .. } => agents.as_ref().is_none_or(|agents| agents.iter().any(|a| a == agent)),
            Principal::Access { agent: only, .. } => only == agent,
            Principal::User { .. } | Principal::Operator => true,
            Principal::Embed { .. } | Principal::Nobody => false,
        }
    }

    /// Whether all agents are within reach, those to come too.
    pub fn sees_all(&self) -> bool {
        matches!(self, Principal::User { .. } | Principal::Operator | Principal::Key { agents: None, .. })
    }

    /// Whether it may ask for an agent, or for what belongs to it. To be asked before it is looked up, so that the answer
    /// tells nobody what there is.
    ///
    /// # Errors
    /// `scope`: the key is bound to other agents (API-03).
    pub fn may_ask_for(&self, agent: &str) -> Result<(), Refusal> {
        match self {
            Principal::Key { agents: Some(agents), .. } if !self.sees(agent) => {
                Err(Refusal::forbidden("scope", format!("This key is for these agents only: {}.", agents.join(", "))))
            }
            _ if self.sees(agent) => Ok(()),
            _ => Err(Refusal::unauthenticated()),
        }
    }
}

/// How far a scope goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Look.
    Read,
    /// Look and change.
    Write,
}

impl Reach {
    /// As in a scope's name.
    pub fn name(self) -> &'static str {
        match self {
            Reach::Read => "read",
            Reach::Write => "write",
        }
    }
}

/// What a key may look at and change (API-03): `calls:read`, `agents:write`; `*:read` and `*:write` of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    all: Option<Reach>,
    each: BTreeMap<Resource, Reach>,
}

impl Scopes {
    /// Everything: what a key without scopes of its own has within its role.
    pub fn all() -> Scopes {
        Scopes { all: Some(Reach::Write), each: BTreeMap::new() }
    }

    /// Reads scopes by their names, at most [`Scopes::MOST`] of them.
    ///
    /// # Errors
    /// `scopes`: none, too many, or one that does not exist; the message lists those that do.
    pub fn parse<S: AsRef<str>>(names: &[S]) -> Result<Scopes, Refusal> {
        if names.is_empty() || names.len() > Scopes::MOST {
            return Err(Refusal::wrong("scopes", "scopes", "Give at least one scope, such as calls:read or *:write."));
        }
        let mut scopes = Scopes::default();
        for name in names {
            let name = name.as_ref();
            let (resource, reach) = name.split_once(':').unwrap_or((name, ""));
            let reach = match reach {
                "read" => Reach::Read,
                "write" => Reach::Write,
                _ => return Err(unknown(name)),
            };
            if resource == "*" {
                scopes.all = scopes.all.max(Some(reach));
                continue;
            }
            let resource = Resource::of_scope(resource).ok_or_else(|| unknown(name))?;
            let held = scopes.each.entry(resource).or_insert(reach);
            *held = reach.max(*held);
        }
        Ok(scopes)
    }

    /// The most that one key can have.
    pub const MOST: usize = 64;

    /// By their names, sorted.
    pub fn names(&self) -> Vec<String> {
        let all = self.all.map(|reach| format!("*:{}", reach.name()));
        let each = self.each.iter().map(|(resource, reach)| format!("{}:{}", resource.name(), reach.name()));
        all.into_iter().chain(each).collect()
    }

    /// Whether they reach that far.
    pub fn reach(&self, resource: Resource, reach: Reach) -> bool {
        self.all.max(self.each.get(&resource).copied()) >= Some(reach)
    }

    /// Whether they hold all that `other` holds: nobody hands on what they do not have.
    pub fn hold(&self, other: &Scopes) -> bool {
        other.all.is_none_or(|reach| self.all >= Some(reach))
            && other.each.iter().all(|(resource, reach)| self.reach(*resource, *reach))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(" "))
    }
}

fn unknown(name: &str) -> Refusal {
    let known: Vec<_> = Resource::SCOPES.iter().map(|(name, _)| *name).collect();
    let message = format!(
        "There is no scope {}. A scope is one of {} or *, then :read or :write.",
        name.chars().take(40).collect::<String>(),
        known.join(", ")
    );
    Refusal::wrong("scopes", "scopes", message)
}
