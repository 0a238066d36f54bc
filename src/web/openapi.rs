//! The API's document: made from the handlers, completed by what all of them have in common.

use std::collections::HashSet;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::{HttpMethod, Operation, Parameter, ParameterIn};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ContentBuilder, Header, Info, OpenApi, OpenApiBuilder, Paths, Ref, RefOr, Response as Described,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::Api;
use super::extract::{Nothing, Query};
use super::problem::{MEDIA_TYPE, Problem, Wrong};
use crate::config::Role;
use crate::house::routes::{self, Resource, Route};

const ABOUT: &str = "Everything that the console does can be done by these requests. Bodies are JSON; what is refused is \
    told as application/problem+json, with a code for programs and a sentence for people. Lists come in pages. Documents \
    have ETags, and who changes one says upon which. See docs/api.md for the conventions.";

/// The document.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    tag = "Reference",
    responses((status = 200, description = "This document", body = Object, content_type = "application/json"))
)]
pub(super) async fn document(State(api): State<Api>, _: Query<Nothing>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], api.document.to_string()).into_response()
}

/// Where a document begins.
pub(super) fn begun() -> OpenApi {
    let mut info = Info::new("offhook", env!("CARGO_PKG_VERSION"));
    info.description = Some(ABOUT.to_owned());
    OpenApiBuilder::new().info(info).paths(Paths::new()).build()
}

/// With what is the same everywhere: who may, and what may be answered.
pub(super) fn completed(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_default();
    components.schemas.insert(Problem::name().into(), Problem::schema());
    components.schemas.insert(Wrong::name().into(), Wrong::schema());
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key (oh_key_…), or the token of [api] in offhook.toml."));
    components.add_security_scheme("token", SecurityScheme::Http(bearer.build()));
    let cookie = ApiKeyValue::with_description("__Host-offhook", "The session of somebody who is logged in.");
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in [
            (HttpMethod::Get, &mut item.get),
            (HttpMethod::Put, &mut item.put),
            (HttpMethod::Post, &mut item.post),
            (HttpMethod::Delete, &mut item.delete),
            (HttpMethod::Patch, &mut item.patch),
        ] {
            let Some(operation) = operation else { continue };
            let method = name(&method);
            operation.operation_id = Some(id(method, path));
            if let Some(route) = routes::find(method, path) {
                complete(operation, route);
            }
        }
    }
    document
}

fn complete(operation: &mut Operation, route: &Route) {
    if let Some(least) = route.least {
        let role = role(least);
        operation.security =
            Some(vec![SecurityRequirement::new("token", [role]), SecurityRequirement::new("session", [role])]);
    } else {
        operation.security = Some(Vec::new());
    }
    let mut answers = vec![
        ("400", "The request cannot be read"),
        ("401", "Who asks is not known"),
        ("408", "The request took too long to come"),
        ("422", "Parameters or fields are wrong: all of them are named"),
        ("429", "Too many requests: Retry-After says when to come again"),
        ("500", "A failure of the server"),
        ("503", "Not now: Retry-After says when to come again"),
    ];
    if route.least.is_some() {
        answers.push(("403", "The role, the key's scopes, or access do not let you"));
    }
    if route.path.contains('{') {
        answers.push(("404", "It is not there, or not yours"));
    }
    if operation.request_body.is_some() {
        answers.push(("415", "The body is not JSON"));
    }
    // A POST has its body read for its Idempotency-Key, also where none is asked for.
    if operation.request_body.is_some() || route.method == "POST" {
        answers.push(("413", "The body is too large"));
    }
    let documents = matches!(route.resource, Resource::Agents | Resource::Deployments | Resource::Org);
    if route.write && documents {
        answers.push(("412", "Somebody else changed it meanwhile"));
    }
    if route.write {
        answers.push((
            "409",
            "The state of things forbids it; the Idempotency-Key was used for something else, or is in use",
        ));
    }
    for (status, description) in answers {
        let said = operation.responses.responses.entry(status.to_owned());
        said.or_insert_with(|| RefOr::T(problem(description)));
    }
    // What is refused is a problem, whoever describes it.
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.starts_with(['4', '5'])
            && response.content.is_empty()
        {
            response.content = problem("").content;
        }
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response {
            headers(status, response);
        }
    }
}

/// A refusal.
fn problem(description: &str) -> Described {
    let schema = RefOr::<utoipa::openapi::Schema>::Ref(Ref::from_schema_name(Problem::name()));
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(description).content(MEDIA_TYPE, content).build()
}

/// What answers say in their heads.
fn headers(status: &str, response: &mut Described) {
    let mut header = |name: &str, description: &str| {
        let mut header = Header::default();
        header.description = Some(description.to_owned());
        response.headers.entry(name.to_owned()).or_insert(RefOr::T(header));
    };
    header("RateLimit-Policy", "Requests that may come at once, and the seconds in which they are made up for.");
    header("RateLimit", "Requests that are left, and the seconds until all are there again.");
    if matches!(status, "429" | "503") {
        header("Retry-After", "Seconds to wait.");
    }
}

/// Requests that have no parameters behind `?`, as method and path.
pub(super) fn bare(document: &OpenApi) -> HashSet<(&'static str, &'static str)> {
    let has_none = |route: &&Route| {
        let paths = &document.paths.paths;
        // A link as it is printed is the same request by another path.
        let item = paths.get(route.path).or_else(|| paths.get(&format!("/api/v1{}", route.path)));
        let operation = item.and_then(|item| match route.method {
            "GET" => item.get.as_ref(),
            "PUT" => item.put.as_ref(),
            "POST" => item.post.as_ref(),
            "DELETE" => item.delete.as_ref(),
            "PATCH" => item.patch.as_ref(),
            _ => None,
        });
        let own = operation.and_then(|operation| operation.parameters.as_ref());
        let is_query = |parameter: &RefOr<Parameter>| match parameter {
            RefOr::T(parameter) => parameter.parameter_in == ParameterIn::Query,
            RefOr::Ref(_) => true,
        };
        operation.is_some() && !own.into_iter().flatten().any(is_query)
    };
    routes::ROUTES.iter().filter(has_none).map(|route| (route.method, route.path)).collect()
}

/// As `security` names it.
pub(super) fn role(role: Role) -> &'static str {
    Role::ALL.iter().find(|(_, known)| *known == role).map_or("owner", |(name, _)| name)
}

/// In capitals.
pub(super) fn name(method: &HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Put => "PUT",
        HttpMethod::Post => "POST",
        HttpMethod::Delete => "DELETE",
        HttpMethod::Patch => "PATCH",
        HttpMethod::Options => "OPTIONS",
        HttpMethod::Head => "HEAD",
        HttpMethod::Trace => "TRACE",
    }
}

/// Such as `post_deployments_id_key_rotate`.
fn id(method: &str, path: &str) -> String {
    let path = path.trim_start_matches("/api/v1");
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(method.to_ascii_lowercase().as_str()).chain(words).collect::<Vec<_>>().join("_")
}
