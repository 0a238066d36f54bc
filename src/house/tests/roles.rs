//! Route × role, as the sheet has it (ROLE, API-02, API-03).

use crate::config::Role::{self, Admin, Builder, Member, Owner};
use crate::house::principal::{Principal, Scopes};
use crate::house::routes::{Class, ROUTES, Resource, Route, find, may};

fn user(role: Role) -> Principal {
    let (id, email, session) = ("usr_1".to_owned(), "ann@example.com".to_owned(), "ses_1".to_owned());
    Principal::User { id, email, role, session, lacks_factor: false }
}

fn key(role: Role, scopes: &[&str], agents: Option<&[&str]>) -> Principal {
    let agents = agents.map(|agents| agents.iter().map(|agent| (*agent).to_owned()).collect());
    let scopes = Scopes::parse(scopes).unwrap();
    Principal::Key { id: "key_1".to_owned(), name: "production".to_owned(), role, scopes, agents }
}

fn route(method: &'static str, resource: Resource, least: Role) -> Route {
    let write = method != "GET";
    Route { method, path: "/api/v1/x", least: Some(least), resource, write, class: Class::Other }
}

/// `""`, or code and words.
fn answer(who: &Principal, route: &Route) -> String {
    may(who, route).map_or_else(|no| format!("{} {} {}", no.status, no.code, no.message), |()| String::new())
}

/// The least role for what is looked at, changed and deleted, of each resource; `None`: not only for members.
fn sheet(resource: Resource, method: &str) -> Option<Role> {
    use Resource as R;
    let look = method == "GET";
    Some(match resource {
        R::Session | R::Reference => return None,
        // ROLE-02, ROLE-03.
        R::Deployments | R::Models | R::Trunks if look => Builder,
        R::Deployments | R::Models | R::Trunks => Admin,
        // ROLE-04: what is held may be seen by who sees deployments.
        R::Numbers if look => Builder,
        R::Numbers => Admin,
        // ROLE-05.
        R::Agents if method == "DELETE" => Admin,
        R::Agents | R::Campaigns | R::Calls | R::Analytics => Builder,
        R::Members | R::Tokens | R::Org | R::Alerts => Admin,
        // X-10, SEC-06; webhooks carry what is said out of the house.
        R::Audit | R::Persons | R::Webhooks => Admin,
        // ROLE-06.
        R::Conversations => Member,
    })
}

#[test]
fn role_08_every_route_is_as_the_sheet_says() {
    for (at, route) in ROUTES.iter().enumerate() {
        let name = format!("{} {}", route.method, route.path);
        match sheet(route.resource, route.method) {
            // A list that is asked for by POST, or a thing of more weight, may ask for more than the sheet, never for less.
            Some(least) => assert!(route.least >= Some(least), "{name} asks for {:?}", route.least),
            None => assert!(route.least.is_none() || route.least == Some(Member), "{name}"),
        }
        assert!(route.method == "GET" || route.write || route.least.is_none(), "{name} changes nothing?");
        assert!(!(route.method == "GET" && route.write), "{name} changes something");
        assert!(["/api/v1/", "/docs", "/welcome/"].iter().any(|start| route.path.starts_with(start)), "{name}");
        assert_eq!(find(route.method, route.path), Some(route), "{name} is there twice");
        assert!(at == 0 || ROUTES[at - 1].path <= route.path, "{name} is out of order");
    }
}

#[test]
fn role_08_who_may_what_is_a_matter_of_rank() {
    for route in ROUTES {
        let Some(least) = route.least else {
            assert_eq!(answer(&Principal::Nobody, route), "");
            continue;
        };
        for (_, role) in Role::ALL {
            assert_eq!(may(&user(role), route).is_ok(), role >= least, "{role:?} {} {}", route.method, route.path);
        }
        assert!(answer(&Principal::Nobody, route).starts_with("401 unauthenticated "));
        let embed = Principal::Embed { deployment: "shop".to_owned(), origin: "https://example.com".to_owned() };
        let access = Principal::Access { id: "tok_1".to_owned(), agent: "anna".to_owned() };
        for stranger in [embed, access] {
            assert!(answer(&stranger, route).starts_with("403 role "), "{}", route.path);
        }
    }
}

#[test]
fn role_01_roles_are_ordered() {
    assert!(Member < Builder && Builder < Admin && Admin < Owner);
}

#[test]
fn role_02_to_06_say_what_is_needed_in_the_sheets_words() {
    let table = [
        (Member, route("GET", Resource::Deployments, Builder), "This needs the role Builder, Admin or Owner."),
        (Builder, route("POST", Resource::Deployments, Admin), "This needs the role Admin or Owner."),
        (Builder, route("POST", Resource::Numbers, Admin), "This needs the role Admin or Owner."),
        (Builder, route("DELETE", Resource::Agents, Admin), "This needs the role Admin or Owner."),
        (Admin, route("DELETE", Resource::Org, Owner), "This needs the role Owner."),
    ];
    for (role, route, words) in table {
        assert_eq!(answer(&user(role), &route), format!("403 role {words}"));
    }
    assert_eq!(answer(&user(Member), &route("GET", Resource::Conversations, Member)), "");
}

#[test]
fn role_07_without_the_second_factor_that_is_asked_for_there_is_only_ones_own_session() {
    let (id, email, session) = (String::new(), String::new(), String::new());
    let ann = Principal::User { id, email, role: Owner, session, lacks_factor: true };
    assert!(answer(&ann, &route("GET", Resource::Calls, Builder)).starts_with("403 second_factor "));
    assert_eq!(answer(&ann, &route("POST", Resource::Session, Member)), "");
}

#[test]
fn api_03_a_key_needs_the_scope_and_is_told_which() {
    let reader = key(Admin, &["*:read", "calls:write"], None);
    let table = [
        (route("GET", Resource::Agents, Builder), ""),
        (route("POST", Resource::Calls, Builder), ""),
        (route("POST", Resource::Agents, Builder), "403 scope This key needs the scope agents:write."),
        (route("DELETE", Resource::Org, Owner), "403 role This needs the role Owner."),
        (*find("GET", "/api/v1/session").unwrap(), ""),
        (*find("GET", "/api/v1/session/all").unwrap(), "403 role This is for a user who is logged in."),
        (route("POST", Resource::Session, Member), "403 role This is for a user who is logged in."),
    ];
    for (route, expected) in table {
        assert_eq!(answer(&reader, &route), expected, "{route:?}");
    }
    let one = key(Admin, &["calls:read"], None);
    assert_eq!(
        answer(&one, &route("GET", Resource::Agents, Builder)),
        "403 scope This key needs the scope agents:read."
    );
}

#[test]
fn api_03_a_key_bound_to_agents_reaches_only_them() {
    let bound = key(Owner, &["*:write"], Some(&["anna", "ben"]));
    assert!(bound.sees("anna") && !bound.sees("carl"));
    assert_eq!(bound.may_ask_for("ben"), Ok(()));
    let no = bound.may_ask_for("carl").unwrap_err();
    assert_eq!((no.status, no.code), (403, "scope"));
    assert_eq!(no.message, "This key is for these agents only: anna, ben.");
    assert_eq!(answer(&bound, &route("PATCH", Resource::Agents, Builder)), "");
    for whole in [Resource::Tokens, Resource::Members, Resource::Org, Resource::Webhooks, Resource::Persons] {
        assert!(answer(&bound, &route("GET", whole, Admin)).starts_with("403 scope "), "{whole:?}");
    }
    assert!(user(Builder).sees("carl") && !Principal::Nobody.sees("carl"));
}

#[test]
fn api_03_scopes_are_read_and_written_and_never_grow() {
    let scopes = Scopes::parse(&["calls:write", "calls:read", "agents:read"]).unwrap();
    assert_eq!(scopes.names(), ["agents:read", "calls:write"]);
    assert_eq!(Scopes::parse(&scopes.names()), Ok(scopes.clone()));
    for wrong in
        [&[][..], &["calls"], &["calls:delete"], &["session:read"], &["reference:read"], &["Calls:read"], &[":"]]
    {
        assert_eq!(Scopes::parse(wrong).unwrap_err().status, 422, "{wrong:?}");
    }
    let holds = |own: &[&str], other: &[&str]| Scopes::parse(own).unwrap().hold(&Scopes::parse(other).unwrap());
    assert!(holds(&["*:write"], &["*:read", "org:write"]));
    assert!(holds(&["*:read", "calls:write"], &["calls:write", "agents:read"]));
    assert!(!holds(&["*:read", "calls:write"], &["agents:write"]));
    // All of today's resources are not all of tomorrow's.
    let each: Vec<_> = Resource::SCOPES.iter().map(|(name, _)| format!("{name}:write")).collect();
    assert!(!Scopes::parse(&each).unwrap().hold(&Scopes::parse(&["*:read"]).unwrap()));
}

#[test]
fn x_10_everybody_has_a_name() {
    let names = [
        (user(Member), "user ann@example.com"),
        (key(Member, &["*:read"], None), "key production"),
        (Principal::Operator, "terminal"),
        (Principal::Nobody, "nobody"),
    ];
    for (who, name) in names {
        assert_eq!(who.name(), name);
    }
}
