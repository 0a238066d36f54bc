//! The reference page, `/docs/api`: made from the API's document, without a line of script.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use serde_json::{Map, Value};
use utoipa::openapi::OpenApi;

use super::Api;
use super::extract::{Nothing, Query};

/// What browsers may do with pages of ours (the same on all of them).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; \
    media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types offhook";
const STYLE: &str = include_str!("../../assets/reference/reference.css");
/// Where every refusal of the house is explained.
const RULES: &str = include_str!("../../docs/rules.md");
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// What the API refuses for reasons that are not the house's.
const PROBLEMS: [(&str, u16, &str); 34] = [
    ("answered", 409, "Somebody picked up: the call can be ended, and not taken back."),
    ("content_type", 415, "The body is no JSON by its Content-Type."),
    ("document", 422, "A document would be wrong: each field with its pointer."),
    ("elsewhere", 409, "The call is up on another server, which has to be asked."),
    ("fixed", 409, "These documents cannot be changed here."),
    ("id_taken", 409, "There is a document with this id."),
    ("if_match", 428, "Which version a change is made upon has to be said: If-Match."),
    ("internal", 500, "A failure of the server, which its log explains."),
    ("invalid", 422, "Several fields are wrong: each is in errors."),
    ("json", 400, "The body is not JSON."),
    ("key", 400, "The Idempotency-Key is none, or is missing where there must be one."),
    ("key_busy", 409, "The request with this Idempotency-Key is still being carried out."),
    ("key_reused", 409, "The Idempotency-Key was used for another request within 24 hours."),
    ("method", 405, "The address has other methods."),
    ("missing", 422, "A field is missing."),
    ("no_analysis", 404, "Nothing was found out about the call, or not yet."),
    ("no_recording", 404, "The call was not recorded."),
    ("not_found", 404, "It is not there, or not yours."),
    ("not_in_force", 409, "The document is written, and not in force."),
    ("not_placed", 502, "The carrier certainly did not place the call: the same key may try again."),
    ("over", 409, "The call is over."),
    ("parameter", 422, "A parameter of the address is wrong or unknown."),
    ("range", 416, "The recording has no such bytes."),
    ("rate", 429, "Too many requests: Retry-After says when to come again."),
    ("recording_broken", 404, "The recording cannot be read."),
    ("recording_missing", 404, "The recording is gone, or on another server."),
    ("recordings_busy", 503, "So many recordings are read right now that this one has to wait."),
    ("ringing", 409, "Nobody has picked up yet."),
    ("stale", 412, "Somebody else changed it meanwhile: the ETag is the current one."),
    ("store", 503, "The store cannot be used right now."),
    ("too_large", 413, "The body is larger than it may be."),
    ("unauthenticated", 401, "No credential, or one that is not in force."),
    ("uploads", 503, "So many documents are being taken in right now that this one has to wait."),
    ("watchers", 503, "So many watch events already that there is no room for more."),
];

/// The reference of the API, as a page
#[utoipa::path(
    get,
    path = "/docs/api",
    tag = "Reference",
    responses((status = 200, description = "The page", body = String, content_type = "text/html"))
)]
pub(super) async fn reference(State(api): State<Api>, _: Query<Nothing>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("permissions-policy"), "microphone=(self), camera=()"),
    ];
    (headers, api.reference.to_string()).into_response()
}

/// How that page looks
#[utoipa::path(
    get,
    path = "/docs/api.css",
    tag = "Reference",
    responses((status = 200, description = "A style sheet", body = String, content_type = "text/css"))
)]
pub(super) async fn style(_: Query<Nothing>) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "max-age=300")];
    (headers, STYLE).into_response()
}

/// The page of a document.
pub(super) fn page(document: &OpenApi) -> String {
    let document = serde_json::to_value(document).unwrap_or_default();
    let operations = operations(&document);
    let schemas = document["components"]["schemas"].as_object().cloned().unwrap_or_default();
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "API reference · offhook" }
                link rel="stylesheet" href="/docs/api.css";
            }
            body {
                a.skip href="#main" { "Skip to content" }
                div.all {
                    nav aria-label="Contents" {
                        @for (tag, operations) in &operations {
                            h4 { (tag) }
                            ul { @for operation in operations {
                                li { a href={ "#" (operation.id) } { (operation.summary) } }
                            } }
                        }
                        h4 { "More" }
                        ul {
                            li { a href="#schemas" { "Schemas" } }
                            li { a href="#problems" { "Problems" } }
                            li { a href="/api/v1/openapi.json" { "OpenAPI document" } }
                        }
                    }
                    main #main {
                        h1 { "API reference" }
                        p { (document["info"]["description"].as_str().unwrap_or_default()) }
                        pre { code { "curl -H \"Authorization: Bearer $OFFHOOK_KEY\" $OFFHOOK_URL/api/v1/agents" } }
                        @for (tag, operations) in &operations {
                            h2 { (tag) }
                            @for operation in operations { (operation.article()) }
                        }
                        h2 #schemas { "Schemas" }
                        @for (name, schema) in &schemas { (schema_article(name, schema)) }
                        h2 #problems { "Problems" }
                        p { "What is refused is told as " code { (super::problem::MEDIA_TYPE) } ", with one of these codes." }
                        (problems())
                    }
                }
            }
        }
    };
    markup.into_string()
}

struct Operation<'a> {
    method: &'static str,
    path: &'a str,
    id: &'a str,
    summary: &'a str,
    value: &'a Value,
}

/// By tag, in the document's order.
fn operations(document: &Value) -> BTreeMap<&str, Vec<Operation<'_>>> {
    let mut by_tag: BTreeMap<&str, Vec<Operation<'_>>> = BTreeMap::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for method in METHODS {
            let Some(value) = item.get(method) else { continue };
            let text = |key: &str| value[key].as_str().unwrap_or_default();
            let tag = value["tags"][0].as_str().unwrap_or("Other");
            let operation = Operation { method, path, id: text("operationId"), summary: text("summary"), value };
            by_tag.entry(tag).or_default().push(operation);
        }
    }
    by_tag
}

impl Operation<'_> {
    fn article(&self) -> Markup {
        let parameters = self.value["parameters"].as_array().cloned().unwrap_or_default();
        let empty = Map::new();
        let responses = self.value["responses"].as_object().unwrap_or(&empty);
        let role = self.value["security"][0]["token"][0].as_str();
        html! {
            article #(self.id) {
                h3 { span class={ "method " (self.method) } { (self.method.to_uppercase()) } code { (self.path) } }
                p { b { (self.summary) } " " span.who { (who(role)) } }
                @if let Some(description) = self.value["description"].as_str() { p { (description) } }
                @if !parameters.is_empty() {
                    h4 { "Parameters" }
                    table {
                        thead { tr { th scope="col" { "Name" } th scope="col" { "In" } th scope="col" { "What it is" } } }
                        tbody { @for parameter in &parameters { tr {
                            td { code { (text(&parameter["name"])) } }
                            td.soft { (text(&parameter["in"])) }
                            td { (text(&parameter["description"])) }
                        } } }
                    }
                }
                @if let Some(content) = self.value["requestBody"]["content"].as_object() {
                    h4 { "Body" }
                    p {
                        @for (kind, media) in content { code { (kind) } " " (named(&media["schema"])) " " }
                        span.soft { (text(&self.value["requestBody"]["description"])) }
                    }
                }
                h4 { "Answers" }
                table {
                    thead { tr { th scope="col" { "Status" } th scope="col" { "Body" } th scope="col" { "When" } } }
                    tbody { @for (status, response) in responses { tr {
                        td { code { (status) } }
                        td { @for (_, media) in response["content"].as_object().unwrap_or(&empty) { (named(&media["schema"])) } }
                        td { (text(&response["description"])) }
                    } } }
                }
            }
        }
    }
}

fn who(role: Option<&str>) -> String {
    match role {
        None => "anyone".to_owned(),
        Some("owner") => "Owner".to_owned(),
        Some(role) => {
            let mut letters = role.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase()).unwrap_or_default();
            format!("{first}{} and above", letters.as_str())
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A schema in a few words, with a link to where it is told.
fn named(schema: &Value) -> Markup {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return html! { a href={ "#schema-" (name) } { (name) } };
    }
    if let Some(items) = schema.get("items") {
        return html! { "list of " (named(items)) };
    }
    let either = ["oneOf", "allOf", "anyOf"].iter().find_map(|key| schema[*key].as_array());
    if let Some(either) = either {
        return html! { @for (at, one) in either.iter().enumerate() { @if at > 0 { ", " } (named(one)) } };
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(text).collect::<Vec<_>>().join(" or "),
        kind => text(kind).to_owned(),
    };
    html! { span.soft { (kinds) } }
}

fn schema_article(name: &str, schema: &Value) -> Markup {
    let mut fields: Vec<(&String, &Value)> = schema["properties"].as_object().into_iter().flatten().collect();
    let parts = schema["allOf"].as_array().into_iter().flatten();
    fields.extend(parts.clone().filter_map(|part| part["properties"].as_object()).flatten());
    let others: Vec<&Value> = parts.filter(|part| part.get("$ref").is_some()).collect();
    html! {
        article #{ "schema-" (name) } {
            h3 { (name) }
            @if let Some(description) = schema["description"].as_str() { p { (description) } }
            @if !others.is_empty() { p { "With all of " @for other in &others { (named(other)) " " } } }
            @if !fields.is_empty() {
                table {
                    thead { tr { th scope="col" { "Field" } th scope="col" { "Type" } th scope="col" { "What it is" } } }
                    tbody { @for (field, schema) in &fields { tr {
                        td { code { (field) } }
                        td { (named(schema)) }
                        td { (text(&schema["description"])) }
                    } } }
                }
            }
        }
    }
}

/// All codes, those of the house as its page tells them.
fn problems() -> Markup {
    let mut codes: BTreeMap<&str, (String, &str)> = BTreeMap::new();
    for (code, status, words) in PROBLEMS {
        codes.insert(code, (status.to_string(), words));
    }
    for line in RULES.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let code = cells.first().and_then(|cell| cell.strip_prefix('`')).and_then(|cell| cell.strip_suffix('`'));
        if let (Some(code), [_, status, words, ..]) = (code, cells.as_slice())
            && status.len() == 3
            && status.bytes().all(|b| b.is_ascii_digit())
        {
            codes.entry(code).or_insert(((*status).to_owned(), words));
        }
    }
    html! {
        table {
            thead { tr { th scope="col" { "Code" } th scope="col" { "Status" } th scope="col" { "What it says" } } }
            tbody { @for (code, (status, words)) in &codes { tr #{ "problem-" (code) } {
                td { code { (code) } }
                td { code { (status) } }
                td { (words) }
            } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::{all, openapi};

    #[test]
    fn api_01_the_page_tells_all_requests_and_needs_no_script() {
        let (_, document) = all().split_for_parts();
        let document = openapi::completed(document);
        let page = page(&document);
        for path in document.paths.paths.keys() {
            assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
        }
        for refused in ["<script", "style=", " onclick", "javascript:"] {
            assert!(!page.contains(refused), "{refused}");
        }
        for code in ["rate", "already_configured", "residency"] {
            assert!(page.contains(&format!("id=\"problem-{code}\"")), "{code}");
        }
        // Every link within the page leads somewhere.
        for target in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(page.contains(&format!("id=\"{target}\"")), "{target}");
        }
    }
}
