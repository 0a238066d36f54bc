//! The part of an agent that is about before and after a call: what is fetched, asked and told.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::http::{self, Secrets, Shape};
use super::named::At;
use super::problem::{Place, Problem, nearest};
use super::reader::{Field, Table};
use super::scope::{Declared, Scope, Stage};
use super::tools;
use super::types::{AfterCall, Fetch, Method, Push, Question, Schema, TextModel};
use super::values::MAX_NAME;
use crate::base::template::Template;

/// What is done after a call, as written: its models are only names.
#[derive(Clone, Debug, Default)]
pub(super) struct AfterDraft {
    analysis: Option<QuestionDraft>,
    qc: Option<QuestionDraft>,
    push: Option<Push>,
}

#[derive(Clone, Debug)]
struct QuestionDraft {
    model: (String, Place),
    prompt: Template,
    schema: Schema,
    success: Option<String>,
    timeout_ms: u64,
    max_tokens: u32,
}

impl AfterDraft {
    /// Names of the models that are asked.
    pub(super) fn models(&self) -> impl Iterator<Item = &(String, Place)> {
        [&self.analysis, &self.qc].into_iter().flatten().map(|question| &question.model)
    }

    /// As meant.
    pub(super) fn resolve(&self, models: &BTreeMap<String, Arc<TextModel>>) -> AfterCall {
        let meant = |draft: &Option<QuestionDraft>| {
            let QuestionDraft { model, prompt, schema, success, timeout_ms, max_tokens } = draft.clone()?;
            Some(Question { model: models.get(&model.0)?.clone(), prompt, schema, success, timeout_ms, max_tokens })
        };
        AfterCall { analysis: meant(&self.analysis), qc: meant(&self.qc), push: self.push.clone() }
    }
}

/// Reads `[analysis]`, `[qc]` and `[push]`; what the first two find out is declared.
pub(super) fn read(table: &mut Table<'_, '_>, declared: &mut Declared, secrets: &mut Secrets<'_>) -> AfterDraft {
    let (analysis, names) = question(table.table("analysis"), &declared.scope(Stage::Analysis), true);
    declared.analysis = names;
    let (qc, names) = question(table.table("qc"), &declared.scope(Stage::Qc), false);
    declared.qc = names;
    let push = push(table.table("push"), &declared.scope(Stage::Push), secrets);
    AfterDraft { analysis, qc, push }
}

/// The question, and the names of what its answer has. `judges`: one of them may say whether the call served its purpose.
fn question(mut table: Table<'_, '_>, scope: &Scope, judges: bool) -> (Option<QuestionDraft>, Vec<String>) {
    let (model, prompt, schema) = match table.is_present() {
        true => (
            table.need("model", "the name of a table of kind = \"text\" in models.toml"),
            table.need("prompt", "what is asked about the call, with {{result.transcript}} in it"),
            table.need("schema", "the JSON Schema of the answer"),
        ),
        false => (table.take("model"), table.take("prompt"), table.take("schema")),
    };
    let model = model.and_then(|field| Some((field.string(MAX_NAME)?, field.place())));
    let prompt = prompt.and_then(|field| scope.template(&field, MAX_PROMPT));
    let schema = schema.and_then(|field| tools::schema(&field));
    let success = if judges { table.take("success") } else { None };
    let success = success.and_then(|field| criterion(&field, schema.as_ref()));
    let timeout_ms = table.integer("timeout_ms", 60_000, 1_000..=600_000);
    let max_tokens = table.integer("max_tokens", 2_000, 16..=32_768) as u32;
    table.finish();
    let names = schema.as_ref().map(tools::properties).unwrap_or_default();
    // `json` is the whole answer.
    let names: Vec<_> = names.into_iter().chain(schema.is_some().then(|| "json".to_owned())).collect();
    let draft =
        || Some(QuestionDraft { model: model?, prompt: prompt?, schema: schema?, success, timeout_ms, max_tokens });
    (draft(), names)
}

/// The property of the answer that says whether the call served its purpose (AGT-12).
fn criterion(field: &Field<'_, '_>, schema: Option<&Schema>) -> Option<String> {
    let name = field.string(MAX_NAME)?;
    let property = &schema?.document()["properties"][name.as_str()];
    if property["type"] == "boolean" {
        return Some(name);
    }
    field.wrong_allowed("is no boolean of the schema", "the name of a property of type = \"boolean\"");
    None
}

fn push(mut table: Table<'_, '_>, scope: &Scope, secrets: &mut Secrets<'_>) -> Option<Push> {
    let methods = [("POST", Method::Post), ("PUT", Method::Put), ("PATCH", Method::Patch)];
    // The call's id tells the receiver of a second delivery.
    let shape = Shape { scope, methods: &methods, method: Method::Post, retries: Some(5), idempotent: true };
    let request = if_present(&mut table, |table| http::request(table, &shape, secrets));
    secrets.uses.settle(|| At::Push);
    let timeout_ms = table.integer("timeout_ms", 30_000, 100..=120_000);
    table.finish();
    Some(Push { request: request?, timeout_ms })
}

/// Reads `[fetch]`.
pub(super) fn fetch(mut table: Table<'_, '_>, declared: &Declared, secrets: &mut Secrets<'_>) -> Option<Fetch> {
    let methods = [("GET", Method::Get), ("POST", Method::Post)];
    let scope = declared.scope(Stage::Fetch);
    let shape = Shape { scope: &scope, methods: &methods, method: Method::Get, retries: None, idempotent: true };
    let present = table.is_present();
    let request = if_present(&mut table, |table| http::request(table, &shape, secrets));
    secrets.uses.settle(|| At::Fetch);
    let deadline_ms = table.integer("deadline_ms", 800, 50..=5_000);
    let map = match table.take("map") {
        Some(field) => pointers(field, declared),
        None => crm(declared).map(|name| (name.to_owned(), format!("/{}", &name[CRM.len()..]))).collect(),
    };
    if present && crm(declared).next().is_none() {
        let place = table.place();
        table.note(
            Problem::error(&place, "fetches what nobody needs")
                .allowed("with [variables.crm] that say what is fetched"),
        );
    }
    table.finish();
    Some(Fetch { request: request?, deadline_ms, map })
}

fn pointers(field: Field<'_, '_>, declared: &Declared) -> BTreeMap<String, String> {
    let Some(mut table) = field.table() else { return BTreeMap::new() };
    let mut map = BTreeMap::new();
    for (name, field) in table.rest() {
        let pointer = |text: &str| text.starts_with('/');
        if !crm(declared).any(|known| known == name) {
            let message = match nearest(name, crm(declared)) {
                Some(meant) => format!("is not declared in [variables.crm]; did you mean {meant:?}?"),
                None => "is not declared in [variables.crm]".to_owned(),
            };
            let known = crm(declared).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
            field.note(Problem::error(&field.key_place(), message).allowed(known));
        } else if let Some(pointer) = field.string_that(MAX_NAME, "a JSON Pointer such as \"/customer/name\"", pointer)
        {
            map.insert(name.to_owned(), pointer);
        }
    }
    map
}

fn crm(declared: &Declared) -> impl Iterator<Item = &str> {
    declared.variables.keys().map(String::as_str).filter(|name| name.starts_with(CRM))
}

/// Reads a request that need not be there; its keys are known all the same.
fn if_present<T>(table: &mut Table<'_, '_>, read: impl FnOnce(&mut Table<'_, '_>) -> Option<T>) -> Option<T> {
    if table.is_present() {
        return read(table);
    }
    for key in
        ["url", "method", "headers", "body", "retries", "idempotent", "max_response_bytes", "hosts", "allow_private"]
    {
        table.take(key);
    }
    None
}

const MAX_PROMPT: usize = 65_536;
const CRM: &str = "crm.";
