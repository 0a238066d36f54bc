//! Who gets in (ACC, VIS-01, VIS-03): the agent's visibility lies over all of its deployments, their access modes beneath it.

use super::refusal::Refusal;
use crate::config::{Access, Channel, Role, Visibility};

/// The access mode of a new deployment (ACC-02); websites have none.
pub fn default_mode(channel: Channel) -> Option<Access> {
    match channel {
        Channel::Phone => Some(Access::Public),
        Channel::Internal => Some(Access::Organization),
        Channel::Website => None,
    }
}

/// What the picker of the least role stands on at first (ACC-03).
pub const DEFAULT_ROLE: Role = Role::Builder;

/// Whether a deployment of this channel may have this access mode (ACC-02, ACC-03).
///
/// # Errors
/// `access_public`, `access_on_website`, `access_role`, `access_nobody`.
pub fn check(channel: Channel, access: Option<&Access>) -> Result<(), Refusal> {
    let wrong = |code, message: &str| Err(Refusal::wrong(code, "access", message));
    match (channel, access) {
        (_, None) => Ok(()),
        (Channel::Website, Some(_)) => wrong("access_on_website", "Website deployments have no access mode."),
        (Channel::Internal, Some(Access::Public)) => {
            wrong("access_public", "Public is not available for internal chat.")
        }
        (_, Some(Access::RoleBased(Role::Member | Role::Owner))) => {
            wrong("access_role", "The minimum role is Admin or Builder.")
        }
        (_, Some(Access::InviteOnly(members))) if members.is_empty() => {
            wrong("access_nobody", "Select at least one member.")
        }
        _ => Ok(()),
    }
}

/// A member of the organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// E-mail address, in lower case.
    pub email: String,
    /// What they may do.
    pub role: Role,
}

/// Who comes, as far as it is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visitor<'a> {
    /// Anyone.
    Unknown,
    /// A member who is logged in, or is known by their number (ACC-06).
    Member(&'a Member),
    /// Has shown the agent's password or one of its access tokens (VIS-04).
    Token,
    /// Nobody in particular: could anyone get in? For cards and lists.
    Somebody {
        /// All members.
        members: &'a [Member],
        /// Whether the agent has a password or an access token.
        token: bool,
    },
}

/// Which of the two doors is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The agent is internal, and who comes is not known.
    Visibility,
    /// The deployment is for others.
    Access,
}

/// Whether `visitor` gets in (ACC-01, ACC-04, VIS-01, VIS-03).
///
/// An internal agent wants somebody it knows: a member, or who has its password or a token. Where only members are let in,
/// a token does not make one. An internal chat asks for members anyway.
///
/// # Errors
/// The door that is closed; visibility comes first.
pub fn admits(
    channel: Channel,
    visibility: Visibility,
    access: Option<&Access>,
    visitor: Visitor<'_>,
) -> Result<(), Door> {
    if let Visitor::Somebody { members, token } = visitor {
        return somebody(channel, visibility, access, members, token);
    }
    let known = visitor != Visitor::Unknown;
    if visibility == Visibility::Internal && channel != Channel::Internal && !known {
        return Err(Door::Visibility);
    }
    let member = match visitor {
        Visitor::Member(member) => Some(member),
        _ => None,
    };
    let default = default_mode(channel);
    let lets_in = match access.or(default.as_ref()) {
        None | Some(Access::Public) => true,
        Some(Access::Organization) => member.is_some(),
        Some(Access::RoleBased(least)) => member.is_some_and(|member| member.role >= *least),
        // The list is the list: no role is above it (ACC-04).
        Some(Access::InviteOnly(invited)) => member.is_some_and(|member| invited.contains(&member.email)),
    };
    if lets_in { Ok(()) } else { Err(Door::Access) }
}

/// Whether anyone of all who may come gets in; else the door that the best known of them stands before.
fn somebody(
    channel: Channel,
    visibility: Visibility,
    access: Option<&Access>,
    members: &[Member],
    token: bool,
) -> Result<(), Door> {
    let known = members.iter().map(Visitor::Member).chain(token.then_some(Visitor::Token));
    let mut closed = Door::Visibility;
    for visitor in std::iter::once(Visitor::Unknown).chain(known) {
        match admits(channel, visibility, access, visitor) {
            Ok(()) => return Ok(()),
            Err(door) => closed = door,
        }
    }
    Err(closed)
}

impl Door {
    /// What `visitor` is told: to say who they are, or that it is not for them.
    pub fn refusal(self, visitor: Visitor<'_>) -> Refusal {
        match (self, visitor) {
            (Door::Visibility, _) => Refusal { status: 401, ..Refusal::forbidden("visibility", ASK) },
            (Door::Access, Visitor::Unknown) => Refusal { status: 401, ..Refusal::forbidden("access", ASK) },
            (Door::Access, _) => Refusal::forbidden("access", "You have no access to this deployment."),
        }
    }
}

const ASK: &str = "Please log in, or show the agent's password or an access token.";
