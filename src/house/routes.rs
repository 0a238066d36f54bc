//! Every route of the API, and who may ask it (ROLE-08): one table for the handlers, the OpenAPI document and the tests.
//!
//! What is not in the table does not exist. A row says the least; a rule about the thing itself (the last owner, a key's
//! agents) comes on top, where the thing is known.

use super::principal::{Principal, Reach, Scopes};
use super::refusal::Refusal;
use crate::config::Role;

/// A request that the API answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// In capitals. `HEAD` goes where `GET` goes.
    pub method: &'static str,
    /// As axum writes it: `/api/v1/agents/{id}`.
    pub path: &'static str,
    /// The least role; `None`: anyone, known or not.
    pub least: Option<Role>,
    /// What it is about: the scope that a key needs.
    pub resource: Resource,
    /// Whether it changes something: `write` of that scope, otherwise `read`.
    pub write: bool,
    /// Which bucket it takes from.
    pub class: Class,
}

/// What routes are about, and keys have scopes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Agents' documents and their revisions.
    Agents,
    /// Alerts.
    Alerts,
    /// Statistics, usage and budgets.
    Analytics,
    /// The audit log.
    Audit,
    /// Jobs that place many calls.
    Campaigns,
    /// Calls, their recordings and their events.
    Calls,
    /// Chats.
    Conversations,
    /// Deployments' documents, their revisions and their embed keys.
    Deployments,
    /// Users and invitations.
    Members,
    /// Models of the catalogue.
    Models,
    /// Phone numbers.
    Numbers,
    /// Settings of the organization.
    Org,
    /// Persons whom the organization's calls are with, and their erasure.
    Persons,
    /// API keys, access tokens and agents' passwords.
    Tokens,
    /// SIP trunks.
    Trunks,
    /// Webhooks' endpoints and deliveries.
    Webhooks,
    /// What everybody has of their own: log-in, password, sessions. No key reaches it but to ask who it is.
    Session,
    /// The OpenAPI document and its page.
    Reference,
}

/// The buckets of RATE-01, each of one second's worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Lists of calls: 50/s.
    Listing,
    /// Placing calls: 100/s, counted in calls.
    Placing,
    /// Changing agents: 10/s.
    Agents,
    /// Showing a password or a one-time link, which are bounded by account and by address.
    LogIn,
    /// Credentials that nobody knows: 5/s of an address, and 50 at once.
    Guesses,
    /// The rest: 50/s.
    Other,
}

impl Resource {
    /// Those that keys have scopes for, by name.
    pub const SCOPES: [(&'static str, Resource); 16] = [
        ("agents", Resource::Agents),
        ("alerts", Resource::Alerts),
        ("analytics", Resource::Analytics),
        ("audit", Resource::Audit),
        ("campaigns", Resource::Campaigns),
        ("calls", Resource::Calls),
        ("conversations", Resource::Conversations),
        ("deployments", Resource::Deployments),
        ("members", Resource::Members),
        ("models", Resource::Models),
        ("numbers", Resource::Numbers),
        ("org", Resource::Org),
        ("persons", Resource::Persons),
        ("tokens", Resource::Tokens),
        ("trunks", Resource::Trunks),
        ("webhooks", Resource::Webhooks),
    ];

    /// As in a scope.
    pub fn name(self) -> &'static str {
        match self {
            Resource::Session => "session",
            Resource::Reference => "reference",
            _ => Resource::SCOPES.iter().find(|(_, resource)| *resource == self).map_or("", |(name, _)| name),
        }
    }

    /// The resource of a scope.
    pub fn of_scope(name: &str) -> Option<Resource> {
        Resource::SCOPES.iter().find(|(known, _)| *known == name).map(|(_, resource)| *resource)
    }

    /// Whether it is the organization's as a whole, so that a key bound to agents has no part in it: it could make itself
    /// a key that is bound to none.
    fn is_whole(self) -> bool {
        use Resource::{Alerts, Audit, Members, Numbers, Org, Persons, Tokens, Trunks, Webhooks};
        matches!(self, Alerts | Audit | Members | Numbers | Org | Persons | Tokens | Trunks | Webhooks)
    }
}

/// All routes, sorted by path.
#[rustfmt::skip] // a table
pub const ROUTES: &[Route] = &[
    row("GET", "/api/v1/agents", Some(Role::Builder), Resource::Agents, false, Class::Other),
    row("POST", "/api/v1/agents", Some(Role::Builder), Resource::Agents, true, Class::Agents),
    row("GET", "/api/v1/agents/{id}", Some(Role::Builder), Resource::Agents, false, Class::Other),
    row("PUT", "/api/v1/agents/{id}", Some(Role::Builder), Resource::Agents, true, Class::Agents),
    row("PATCH", "/api/v1/agents/{id}", Some(Role::Builder), Resource::Agents, true, Class::Agents),
    row("DELETE", "/api/v1/agents/{id}", Some(Role::Admin), Resource::Agents, true, Class::Agents),
    row("GET", "/api/v1/agents/{id}/access-tokens", Some(Role::Admin), Resource::Tokens, false, Class::Other),
    row("POST", "/api/v1/agents/{id}/access-tokens", Some(Role::Admin), Resource::Tokens, true, Class::Other),
    row("DELETE", "/api/v1/agents/{id}/access-tokens/{token}", Some(Role::Admin), Resource::Tokens, true, Class::Other),
    row("POST", "/api/v1/agents/{id}/clone", Some(Role::Builder), Resource::Agents, true, Class::Agents),
    row("GET", "/api/v1/agents/{id}/deployments", Some(Role::Builder), Resource::Deployments, false, Class::Other),
    row("POST", "/api/v1/agents/{id}/emergency-off", Some(Role::Builder), Resource::Agents, true, Class::Agents),
    row("GET", "/api/v1/agents/{id}/integration", Some(Role::Builder), Resource::Agents, false, Class::Other),
    row("GET", "/api/v1/agents/{id}/knowledge", Some(Role::Builder), Resource::Agents, false, Class::Other),
    row("POST", "/api/v1/agents/{id}/knowledge", Some(Role::Builder), Resource::Agents, true, Class::Agents),
    row("GET", "/api/v1/agents/{id}/knowledge/search", Some(Role::Builder), Resource::Agents, false, Class::Other),
    row("GET", "/api/v1/agents/{id}/knowledge/{document}", Some(Role::Builder), Resource::Agents, false, Class::Other),
    row("DELETE", "/api/v1/agents/{id}/knowledge/{document}", Some(Role::Admin), Resource::Agents, true, Class::Agents),
    row("POST", "/api/v1/agents/{id}/knowledge/{document}/read", Some(Role::Builder), Resource::Agents, true, Class::Agents),
    row("GET", "/api/v1/agents/{id}/password", Some(Role::Admin), Resource::Tokens, false, Class::Other),
    row("PUT", "/api/v1/agents/{id}/password", Some(Role::Admin), Resource::Tokens, true, Class::Other),
    row("DELETE", "/api/v1/agents/{id}/password", Some(Role::Admin), Resource::Tokens, true, Class::Other),
    row("POST", "/api/v1/agents/{id}/switch", Some(Role::Builder), Resource::Agents, true, Class::Agents),
    row("GET", "/api/v1/audit", Some(Role::Admin), Resource::Audit, false, Class::Other),
    row("GET", "/api/v1/budgets", Some(Role::Builder), Resource::Analytics, false, Class::Other),
    row("GET", "/api/v1/callers", Some(Role::Admin), Resource::Members, false, Class::Other),
    row("POST", "/api/v1/callers/{member}/numbers", Some(Role::Admin), Resource::Members, true, Class::Other),
    row("DELETE", "/api/v1/callers/{member}/numbers/{number}", Some(Role::Admin), Resource::Members, true, Class::Other),
    row("PUT", "/api/v1/callers/{member}/pin", Some(Role::Admin), Resource::Members, true, Class::Other),
    row("DELETE", "/api/v1/callers/{member}/pin", Some(Role::Admin), Resource::Members, true, Class::Other),
    row("GET", "/api/v1/calls", Some(Role::Builder), Resource::Calls, false, Class::Listing),
    row("POST", "/api/v1/calls", Some(Role::Builder), Resource::Calls, true, Class::Placing),
    row("GET", "/api/v1/calls/live", Some(Role::Builder), Resource::Calls, false, Class::Listing),
    row("GET", "/api/v1/calls/statistics/statuses", Some(Role::Builder), Resource::Calls, false, Class::Other),
    row("GET", "/api/v1/calls/{id}", Some(Role::Builder), Resource::Calls, false, Class::Other),
    row("GET", "/api/v1/calls/{id}/analysis", Some(Role::Builder), Resource::Calls, false, Class::Other),
    row("POST", "/api/v1/calls/{id}/cancel", Some(Role::Builder), Resource::Calls, true, Class::Other),
    row("POST", "/api/v1/calls/{id}/commit", Some(Role::Builder), Resource::Calls, true, Class::Other),
    row("POST", "/api/v1/calls/{id}/end", Some(Role::Builder), Resource::Calls, true, Class::Other),
    row("GET", "/api/v1/calls/{id}/events", Some(Role::Builder), Resource::Calls, false, Class::Other),
    row("GET", "/api/v1/calls/{id}/peaks", Some(Role::Builder), Resource::Calls, false, Class::Other),
    row("GET", "/api/v1/calls/{id}/recording", Some(Role::Builder), Resource::Calls, false, Class::Other),
    row("POST", "/api/v1/calls/{id}/say", Some(Role::Builder), Resource::Calls, true, Class::Other),
    row("GET", "/api/v1/calls/{id}/transcript", Some(Role::Builder), Resource::Calls, false, Class::Other),
    row("POST", "/api/v1/calls/{id}/transfer", Some(Role::Builder), Resource::Calls, true, Class::Other),
    row("GET", "/api/v1/deployments", Some(Role::Builder), Resource::Deployments, false, Class::Other),
    row("POST", "/api/v1/deployments", Some(Role::Admin), Resource::Deployments, true, Class::Other),
    row("GET", "/api/v1/deployments/{id}", Some(Role::Builder), Resource::Deployments, false, Class::Other),
    row("PUT", "/api/v1/deployments/{id}", Some(Role::Admin), Resource::Deployments, true, Class::Other),
    row("PATCH", "/api/v1/deployments/{id}", Some(Role::Admin), Resource::Deployments, true, Class::Other),
    row("DELETE", "/api/v1/deployments/{id}", Some(Role::Admin), Resource::Deployments, true, Class::Other),
    row("GET", "/api/v1/deployments/{id}/assessment", Some(Role::Builder), Resource::Deployments, false, Class::Other),
    row("POST", "/api/v1/deployments/{id}/clone", Some(Role::Admin), Resource::Deployments, true, Class::Other),
    row("POST", "/api/v1/deployments/{id}/key/rotate", Some(Role::Admin), Resource::Deployments, true, Class::Other),
    row("POST", "/api/v1/deployments/{id}/switch", Some(Role::Admin), Resource::Deployments, true, Class::Other),
    row("GET", "/api/v1/erasures", Some(Role::Admin), Resource::Persons, false, Class::Other),
    row("POST", "/api/v1/erasures", Some(Role::Admin), Resource::Persons, true, Class::Other),
    row("GET", "/api/v1/erasures/{id}", Some(Role::Admin), Resource::Persons, false, Class::Other),
    row("GET", "/api/v1/events", Some(Role::Builder), Resource::Calls, false, Class::Other),
    row("GET", "/api/v1/invitations", Some(Role::Admin), Resource::Members, false, Class::Other),
    row("POST", "/api/v1/invitations", Some(Role::Admin), Resource::Members, true, Class::Other),
    row("DELETE", "/api/v1/invitations/{id}", Some(Role::Admin), Resource::Members, true, Class::Other),
    row("POST", "/api/v1/log-in", None, Resource::Session, true, Class::LogIn),
    row("POST", "/api/v1/log-out", Some(Role::Member), Resource::Session, true, Class::Other),
    row("GET", "/api/v1/members", Some(Role::Admin), Resource::Members, false, Class::Other),
    row("GET", "/api/v1/members/{id}", Some(Role::Admin), Resource::Members, false, Class::Other),
    row("PATCH", "/api/v1/members/{id}", Some(Role::Admin), Resource::Members, true, Class::Other),
    row("DELETE", "/api/v1/members/{id}", Some(Role::Admin), Resource::Members, true, Class::Other),
    row("POST", "/api/v1/members/{id}/link", Some(Role::Admin), Resource::Members, true, Class::Other),
    row("GET", "/api/v1/models", Some(Role::Builder), Resource::Models, false, Class::Other),
    row("GET", "/api/v1/numbers", Some(Role::Admin), Resource::Numbers, false, Class::Other),
    row("POST", "/api/v1/numbers", Some(Role::Admin), Resource::Numbers, true, Class::Other),
    row("GET", "/api/v1/numbers/available", Some(Role::Admin), Resource::Numbers, false, Class::Other),
    row("POST", "/api/v1/numbers/by-hand", Some(Role::Admin), Resource::Numbers, true, Class::Other),
    row("GET", "/api/v1/numbers/differences", Some(Role::Admin), Resource::Numbers, false, Class::Other),
    row("POST", "/api/v1/numbers/differences", Some(Role::Admin), Resource::Numbers, true, Class::Other),
    row("POST", "/api/v1/numbers/differences/{number}/repair", Some(Role::Admin), Resource::Numbers, true, Class::Other),
    row("POST", "/api/v1/numbers/differences/{number}/take-over", Some(Role::Admin), Resource::Numbers, true, Class::Other),
    row("GET", "/api/v1/numbers/papers", Some(Role::Admin), Resource::Numbers, false, Class::Other),
    row("GET", "/api/v1/numbers/{id}", Some(Role::Admin), Resource::Numbers, false, Class::Other),
    row("PATCH", "/api/v1/numbers/{id}", Some(Role::Admin), Resource::Numbers, true, Class::Other),
    row("DELETE", "/api/v1/numbers/{id}", Some(Role::Admin), Resource::Numbers, true, Class::Other),
    row("POST", "/api/v1/numbers/{id}/assign", Some(Role::Admin), Resource::Numbers, true, Class::Other),
    row("POST", "/api/v1/numbers/{id}/release", Some(Role::Admin), Resource::Numbers, true, Class::Other),
    row("POST", "/api/v1/numbers/{id}/unassign", Some(Role::Admin), Resource::Numbers, true, Class::Other),
    row("GET", "/api/v1/openapi.json", None, Resource::Reference, false, Class::Other),
    row("GET", "/api/v1/org", Some(Role::Admin), Resource::Org, false, Class::Other),
    row("PATCH", "/api/v1/org", Some(Role::Admin), Resource::Org, true, Class::Other),
    row("GET", "/api/v1/org/residency", Some(Role::Admin), Resource::Org, false, Class::Other),
    row("PATCH", "/api/v1/org/residency", Some(Role::Admin), Resource::Org, true, Class::Other),
    row("GET", "/api/v1/revisions", Some(Role::Builder), Resource::Agents, false, Class::Other),
    row("GET", "/api/v1/revisions/{id}", Some(Role::Builder), Resource::Agents, false, Class::Other),
    row("GET", "/api/v1/revisions/{id}/diff", Some(Role::Builder), Resource::Agents, false, Class::Other),
    row("POST", "/api/v1/revisions/{id}/restore", Some(Role::Admin), Resource::Agents, true, Class::Agents),
    row("GET", "/api/v1/session", Some(Role::Member), Resource::Session, false, Class::Other),
    row("GET", "/api/v1/session/all", Some(Role::Member), Resource::Session, false, Class::Other),
    row("DELETE", "/api/v1/session/all", Some(Role::Member), Resource::Session, true, Class::Other),
    row("DELETE", "/api/v1/session/all/{id}", Some(Role::Member), Resource::Session, true, Class::Other),
    row("POST", "/api/v1/session/factor", Some(Role::Member), Resource::Session, true, Class::LogIn),
    row("POST", "/api/v1/session/factor/confirm", Some(Role::Member), Resource::Session, true, Class::LogIn),
    row("POST", "/api/v1/session/factor/drop", Some(Role::Member), Resource::Session, true, Class::LogIn),
    row("POST", "/api/v1/session/password", Some(Role::Member), Resource::Session, true, Class::LogIn),
    row("GET", "/api/v1/tokens", Some(Role::Admin), Resource::Tokens, false, Class::Other),
    row("POST", "/api/v1/tokens", Some(Role::Admin), Resource::Tokens, true, Class::Other),
    row("GET", "/api/v1/tokens/{id}", Some(Role::Admin), Resource::Tokens, false, Class::Other),
    row("DELETE", "/api/v1/tokens/{id}", Some(Role::Admin), Resource::Tokens, true, Class::Other),
    row("GET", "/api/v1/usage", Some(Role::Builder), Resource::Analytics, false, Class::Other),
    row("POST", "/api/v1/validate", Some(Role::Builder), Resource::Agents, true, Class::Other),
    row("GET", "/api/v1/webhooks", Some(Role::Admin), Resource::Webhooks, false, Class::Other),
    row("POST", "/api/v1/webhooks", Some(Role::Admin), Resource::Webhooks, true, Class::Other),
    row("GET", "/api/v1/webhooks/{id}", Some(Role::Admin), Resource::Webhooks, false, Class::Other),
    row("PATCH", "/api/v1/webhooks/{id}", Some(Role::Admin), Resource::Webhooks, true, Class::Other),
    row("DELETE", "/api/v1/webhooks/{id}", Some(Role::Admin), Resource::Webhooks, true, Class::Other),
    row("GET", "/api/v1/webhooks/{id}/dead", Some(Role::Admin), Resource::Webhooks, false, Class::Other),
    row("GET", "/api/v1/webhooks/{id}/deliveries", Some(Role::Admin), Resource::Webhooks, false, Class::Other),
    row("GET", "/api/v1/webhooks/{id}/deliveries/{delivery}", Some(Role::Admin), Resource::Webhooks, false, Class::Other),
    row("POST", "/api/v1/webhooks/{id}/deliveries/{delivery}/replay", Some(Role::Admin), Resource::Webhooks, true, Class::Other),
    row("POST", "/api/v1/webhooks/{id}/disable", Some(Role::Admin), Resource::Webhooks, true, Class::Other),
    row("POST", "/api/v1/webhooks/{id}/enable", Some(Role::Admin), Resource::Webhooks, true, Class::Other),
    row("POST", "/api/v1/webhooks/{id}/replay", Some(Role::Admin), Resource::Webhooks, true, Class::Other),
    row("POST", "/api/v1/webhooks/{id}/rotate", Some(Role::Admin), Resource::Webhooks, true, Class::Other),
    row("POST", "/api/v1/webhooks/{id}/test", Some(Role::Admin), Resource::Webhooks, true, Class::Other),
    row("GET", "/api/v1/welcome/{token}", None, Resource::Session, false, Class::LogIn),
    row("POST", "/api/v1/welcome/{token}", None, Resource::Session, true, Class::LogIn),
    row("GET", "/docs/api", None, Resource::Reference, false, Class::Other),
    row("GET", "/docs/api.css", None, Resource::Reference, false, Class::Other),
    row("GET", "/welcome/{token}", None, Resource::Session, false, Class::LogIn),
    row("POST", "/welcome/{token}", None, Resource::Session, true, Class::LogIn),
];

const fn row(
    method: &'static str,
    path: &'static str,
    least: Option<Role>,
    resource: Resource,
    write: bool,
    class: Class,
) -> Route {
    Route { method, path, least, resource, write, class }
}

/// The route of a method and of a path as axum matched it.
pub fn find(method: &str, path: &str) -> Option<&'static Route> {
    let method = if method == "HEAD" { "GET" } else { method };
    ROUTES.iter().find(|route| route.path == path && route.method == method)
}

/// Whether `who` may ask it (ROLE-02 to ROLE-06, API-03).
///
/// # Errors
/// 401 `unauthenticated`; 403 `role`, `second_factor`, or `scope`, which names the one needed.
pub fn may(who: &Principal, route: &Route) -> Result<(), Refusal> {
    let Some(least) = route.least else { return Ok(()) };
    match (who, who.role()) {
        (Principal::Nobody, _) => return Err(Refusal::unauthenticated()),
        (_, Some(role)) if role >= least => {}
        _ => return Err(needs(least)),
    }
    match who {
        Principal::User { lacks_factor: true, .. } if route.resource != Resource::Session => Err(Refusal::forbidden(
            "second_factor",
            "The organization asks for a second factor. Please set yours up first.",
        )),
        Principal::Key { scopes, agents, .. } => within(scopes, agents.as_deref(), route),
        // Passwords and sessions are somebody's; whoever has the terminal has the command line for them.
        Principal::Operator if route.resource == Resource::Session && route.write => Err(personal()),
        _ => Ok(()),
    }
}

fn within(scopes: &Scopes, agents: Option<&[String]>, route: &Route) -> Result<(), Refusal> {
    let reach = if route.write { Reach::Write } else { Reach::Read };
    match route.resource {
        Resource::Reference => Ok(()),
        // Who it is, a key may ask; the rest is somebody's.
        Resource::Session if route.path == "/api/v1/session" => Ok(()),
        Resource::Session => Err(personal()),
        resource if !scopes.reach(resource, reach) => {
            let message = format!("This key needs the scope {}:{}.", resource.name(), reach.name());
            Err(Refusal::forbidden("scope", message))
        }
        resource if agents.is_some() && resource.is_whole() => {
            let message = format!(
                "This key is bound to agents. {}:{} needs a key for the whole organization.",
                resource.name(),
                reach.name()
            );
            Err(Refusal::forbidden("scope", message))
        }
        _ => Ok(()),
    }
}

/// What somebody of a lesser role is told.
pub fn needs(least: Role) -> Refusal {
    let enough: Vec<_> = Role::ALL.iter().filter(|(_, role)| *role >= least).map(|(_, role)| role.title()).collect();
    let roles = match enough.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    };
    Refusal::forbidden("role", format!("This needs the role {roles}."))
}

/// What who is no user is told about what only users have.
pub fn personal() -> Refusal {
    Refusal::forbidden("role", "This is for a user who is logged in.")
}
