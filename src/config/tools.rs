//! The part of an agent that says what it can do beside talking: tools, destinations, servers of tools.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::http::{self, Secrets, Shape};
use super::named::At;
use super::problem::{Place, Problem};
use super::reader::{Field, Table};
use super::scope::Scope;
use super::types::{Destination, HttpTool, KNOWLEDGE, McpServer, Method, Schema, Spoken, Tool, ToolKind};
use super::values::{self, MAX_LINE, MAX_NAME, SecretRef};
use super::world::World;

/// What an agent's document says of tools.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) tools: Arc<[Tool]>,
    pub(super) http: BTreeMap<String, Arc<HttpTool>>,
    pub(super) destinations: Arc<[Destination]>,
    pub(super) mcp: Vec<McpServer>,
    /// Where the first server of tools is named.
    pub(super) mcp_place: Option<Place>,
}

/// Reads `tools`, `[[tool]]`, `[[destination]]` and `[[mcp]]`.
pub(super) fn read(
    table: &mut Table<'_, '_>,
    world: &dyn World,
    scope: &Scope,
    secrets: &mut Secrets<'_>,
    spoken: impl Fn(Field<'_, '_>, &dyn World, &Scope) -> Option<Spoken>,
) -> Tools {
    let mut destinations: Vec<Destination> = Vec::new();
    let built_in = table.take("tools");
    for item in table.take("destination").map(|f| f.list(MAX_DESTINATIONS)).unwrap_or_default() {
        let Some(table) = item.table() else { continue };
        if let Some(destination) = destination(table, world, scope, &destinations, &spoken) {
            destinations.push(destination);
        }
    }
    let mut kinds = Vec::new();
    for item in built_in.map(|f| f.list(MAX_TOOLS)).unwrap_or_default() {
        match item.choice(&ToolKind::BUILT_IN) {
            Some(kind) if kinds.contains(&kind) => item.wrong("is named twice"),
            Some(ToolKind::Transfer) if destinations.is_empty() => {
                item.wrong_allowed("has nobody to put callers through to", "with at least one [[destination]]");
            }
            Some(kind) => kinds.push(kind),
            None => {}
        }
    }
    let mut tools: Vec<Tool> = kinds.iter().filter_map(|kind| Tool::built_in(*kind, &destinations)).collect();
    let mut asked = BTreeMap::new();
    for item in table.take("tool").map(|f| f.list(MAX_TOOLS)).unwrap_or_default() {
        let Some(table) = item.table() else { continue };
        if let Some((tool, http)) = tool(table, scope, secrets, &tools) {
            asked.insert(tool.name.clone(), Arc::new(http));
            tools.push(tool);
        }
    }
    let (mut mcp, mut mcp_place) = (Vec::new(), None);
    for item in table.take("mcp").map(|f| f.list(MAX_SERVERS)).unwrap_or_default() {
        let place = item.place();
        let Some(table) = item.table() else { continue };
        mcp_place.get_or_insert(place);
        if let Some(server) = server(table, secrets, &mcp) {
            mcp.push(server);
        }
    }
    Tools { tools: tools.into(), http: asked, destinations: destinations.into(), mcp, mcp_place }
}

fn tool(
    mut table: Table<'_, '_>,
    scope: &Scope,
    secrets: &mut Secrets<'_>,
    others: &[Tool],
) -> Option<(Tool, HttpTool)> {
    let name = table.need("name", "what the model calls the tool by");
    let name = name.and_then(|field| {
        let name = field.string_that(64, super::NAME_SHAPE, super::is_name)?;
        if name == KNOWLEDGE || ToolKind::BUILT_IN.iter().any(|(built_in, _)| *built_in == name) {
            field.wrong_allowed("is the name of a built-in tool", "another name");
        } else if others.iter().any(|other| other.name == name) {
            field.wrong("another tool has this name");
        }
        Some(name)
    });
    let description = table.need("description", "for the model: what it does and when to use it");
    let description = description.and_then(|f| f.string(MAX_DESCRIPTION));
    let parameters = table.take("parameters");
    let nothing = serde_json::json!({ "type": "object", "properties": {}, "additionalProperties": false });
    let parameters = match parameters {
        Some(field) => schema(&field),
        None => Schema::new(nothing).ok(),
    };
    let timeout_ms = table.integer("timeout_ms", 8_000, 100..=120_000);
    let http = table.need("http", "where it is asked: { method = \"POST\", url = \"https://…\" }");
    let http = http.and_then(Field::table).and_then(|mut table| {
        let names = parameters.as_ref().map(properties).unwrap_or_default();
        let scope = scope.with_arguments(names.iter());
        let shape =
            Shape { scope: &scope, methods: &Method::ALL, method: Method::Post, retries: Some(0), idempotent: false };
        let request = http::request(&mut table, &shape, secrets);
        table.finish();
        request
    });
    secrets.uses.settle(|| name.clone().map_or(At::Nowhere, At::Tool));
    table.finish();
    let tool =
        Tool { name: name?, description: description?, parameters: parameters?, does: ToolKind::Http, timeout_ms };
    Some((tool, HttpTool { request: http?, timeout_ms }))
}

/// Reads a JSON Schema of an object, as a table or as JSON in a string.
pub(super) fn schema(field: &Field<'_, '_>) -> Option<Schema> {
    let document = match field.as_str() {
        Some(text) => match serde_json::from_str(text) {
            Ok(document) => document,
            Err(error) => {
                field.wrong_allowed(format!("is not JSON ({error})"), SCHEMA_SHAPE);
                return None;
            }
        },
        None if field.is_table() => field.json()?,
        None => {
            field.wrong_type("a table or a string");
            return None;
        }
    };
    if document.to_string().len() > MAX_SCHEMA_BYTES {
        field.wrong_allowed("is too long", format!("at most {MAX_SCHEMA_BYTES} bytes"));
        return None;
    }
    if document["type"] != "object" {
        field.wrong_allowed("is not the schema of an object", SCHEMA_SHAPE);
        return None;
    }
    match Schema::new(document) {
        Ok(schema) => Some(schema),
        Err(why) => {
            field.wrong_allowed(format!("is not a JSON Schema ({why})"), SCHEMA_SHAPE);
            None
        }
    }
}

/// Names of an object's properties.
pub(super) fn properties(schema: &Schema) -> Vec<String> {
    let properties = schema.document()["properties"].as_object();
    properties.into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

fn destination(
    mut table: Table<'_, '_>,
    world: &dyn World,
    scope: &Scope,
    others: &[Destination],
    spoken: impl Fn(Field<'_, '_>, &dyn World, &Scope) -> Option<Spoken>,
) -> Option<Destination> {
    let name = table.need("name", "what the model calls it by").and_then(|field| {
        let name = field.string_that(64, super::NAME_SHAPE, super::is_name)?;
        if others.iter().any(|other| other.name == name) {
            field.wrong("another destination has this name");
        }
        Some(name)
    });
    let number = table.need("number", "the number to put callers through to").and_then(|f| values::e164(&f));
    let description = table.string("description", MAX_DESCRIPTION).unwrap_or_default();
    let line = table.take("line").and_then(|f| spoken(f, world, scope)).unwrap_or(Spoken::None);
    let ring_s = table.integer("ring_s", 25, 5..=120);
    table.finish();
    Some(Destination { name: name?, number: number?, description, line, ring_s })
}

fn server(mut table: Table<'_, '_>, secrets: &mut Secrets<'_>, others: &[McpServer]) -> Option<McpServer> {
    let label = table.need("label", "what the model calls the server by").and_then(|field| {
        let label = field.string_that(64, super::NAME_SHAPE, super::is_name)?;
        if others.iter().any(|other| other.label == label) {
            field.wrong("another server has this label");
        }
        Some(label)
    });
    let description = table.string("description", MAX_DESCRIPTION);
    let url = table.need("url", "where the server is: https://…");
    let url = url.and_then(|field| values::url(&field, &["https"]));
    let authorization = table.take("authorization").and_then(SecretRef::read_named);
    let authorization = authorization.map(|secret| secrets.look_up(&secret, "", None));
    let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or_default().to_owned();
    secrets.uses.hosts(&[host]);
    secrets.uses.settle(|| label.clone().map_or(At::Nowhere, At::Mcp));
    let url = url.map(|url| url.to_string());
    let allowed_tools = table
        .take("allowed_tools")
        .map(|field| field.list(MAX_TOOLS).into_iter().filter_map(|item| item.string(MAX_NAME)).collect::<Vec<_>>());
    // Nobody is there who could approve anything during a call.
    table.choice("require_approval", (), &[("never", ())]);
    table.finish();
    let allowed_tools = allowed_tools.unwrap_or_default();
    Some(McpServer { label: label?, description, url: url?, authorization, allowed_tools })
}

/// Says that a model's vendor asks no servers of tools.
pub(super) fn no_mcp(model: &str, place: &Place) -> Problem {
    let message = format!("model {model:?} does not ask servers of tools by itself");
    Problem::error(place, message).allowed("a model with mcp = true in models.toml, or [[tool]] in place of this")
}

const MAX_TOOLS: usize = 64;
const MAX_DESTINATIONS: usize = 64;
const MAX_SERVERS: usize = 16;
const MAX_DESCRIPTION: usize = MAX_LINE;
const MAX_SCHEMA_BYTES: usize = 65_536;
const SCHEMA_SHAPE: &str =
    "{ type = \"object\", properties = { … }, required = [ … ] }, or the same as JSON in a string";
