//! `revisions`: what documents said whenever they were in force, who changed them, and how to have it again; and what would
//! be wrong with a document.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::{By, DocId, Edit, EditError, Role, Severity, Wanted, diff, keys_of};
use crate::house::routes as table;
use crate::store::{Document, Locked, Version};
use crate::web::documents::{self, Change, Changed, DocumentAnswer, Dry};
use crate::web::extract::{Json, Nothing, Path, Query};
use crate::web::page::{Page, cursor, limit, no_cursor, place};
use crate::web::problem::{Problem, Wrong, pointer};
use crate::web::{Api, Who};

use super::agents::checked;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(compare))
        .routes(routes!(restore))
        .routes(routes!(validate))
}

/// Which revisions are wanted.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Of this document, such as `agents/reception.toml`.
    document: Option<String>,
    /// Revisions on a page: 1 to 100; 25 if it is left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
}

/// A revision of a document.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct RevisionItem {
    /// Its number: the order in which revisions came into force, of all documents.
    id: i64,
    /// The document, such as `agents/reception.toml`.
    document: String,
    /// The text's revision; `null`: the document was deleted.
    revision: Option<String>,
    #[serde(flatten)]
    changed: Changed,
}

/// A revision with what it says.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct RevisionView {
    #[serde(flatten)]
    item: RevisionItem,
    /// The text; `null`: the document was deleted.
    text: Option<String>,
    /// Its keys.
    #[schema(value_type = Object)]
    keys: Map<String, Value>,
}

impl From<&Version> for RevisionItem {
    fn from(version: &Version) -> Self {
        let doc = DocId::of_kind(&version.kind, &version.name);
        RevisionItem {
            id: version.seq,
            document: doc.map(|doc| doc.to_string()).unwrap_or_default(),
            revision: (!version.revision.is_empty()).then(|| version.revision.clone()),
            changed: Changed::from(version),
        }
    }
}

/// Without its text.
fn version(document: &Document) -> Version {
    Version {
        seq: document.seq,
        kind: document.kind.clone(),
        name: document.name.clone(),
        revision: document.revision.clone(),
        applied_by: document.applied_by.clone(),
        way: document.way.clone(),
        applied_ms: document.applied_ms,
    }
}

/// Whether somebody may look at the revisions of a document: the server's and the models' are for admins, an agent's for
/// who may see it.
fn may_see(api: &Api, who: &Who, doc: &DocId) -> Result<(), Problem> {
    match doc {
        DocId::Server | DocId::Models if who.0.role() < Some(Role::Admin) => Err(table::needs(Role::Admin).into()),
        DocId::Server | DocId::Models => Ok(who.0.may_ask_for("")?),
        DocId::Agent(name) => Ok(who.0.may_ask_for(name)?),
        DocId::Deployment(name) => {
            let config = api.handle.config();
            let phone = config.deployments.get(&**name).map(|phone| &phone.standing);
            let standing = phone.or_else(|| config.chats.get(&**name).map(|chat| &chat.standing));
            Ok(who.0.may_ask_for(standing.map_or("", |standing| standing.agent.as_str()))?)
        }
    }
}

fn document_of(path: &str, field: fn(&str, &str, String) -> Wrong) -> Result<DocId, Problem> {
    DocId::from_path(path).ok_or_else(|| {
        let message = "A document is agents/NAME.toml, deployments/NAME.toml, models.toml or offhook.toml.".to_owned();
        Problem::wrong(vec![field("document", "document", message)])
    })
}

/// Revisions of documents
///
/// The newest first. Without `document` of all agents and deployments; of those that are not yours there is none.
#[utoipa::path(
    get,
    path = "/api/v1/revisions",
    tag = "Documents",
    params(Filter),
    responses((status = 200, description = "Revisions, the newest first", body = Page<RevisionItem>))
)]
async fn list(State(api): State<Api>, who: Who, uri: Uri, Query(filter): Query<Filter>) -> Result<Response, Problem> {
    let most = limit(filter.limit)?;
    let before = match place(filter.cursor.as_deref())? {
        Some(place) => Some(place.parse().map_err(|_| no_cursor())?),
        None => None,
    };
    let found = match &filter.document {
        Some(path) => {
            let doc = document_of(path, Wrong::parameter)?;
            may_see(&api, &who, &doc)?;
            api.handle.store().versions(&[doc.kind()], Some(doc.name()), before, u64::from(most) + 1).await?
        }
        None => {
            who.0.may_ask_for("")?;
            let kinds: &[&str] = match who.0.role() >= Some(Role::Admin) {
                true => &["agent", "deployment", "models", "server"],
                false => &["agent", "deployment"],
            };
            api.handle.store().versions(kinds, None, before, u64::from(most) + 1).await?
        }
    };
    let more = found.len() > most as usize;
    let items: Vec<_> = found.iter().take(most as usize).map(RevisionItem::from).collect();
    let next = items.last().filter(|_| more).map(|last| cursor(&last.id.to_string()));
    Ok(Page { items, next }.answer(&uri))
}

/// A revision by its number, within reach.
async fn found(api: &Api, who: &Who, id: &str) -> Result<(Document, DocId), Problem> {
    let absent = || Problem::absent("revision", id);
    let seq: i64 = id.parse().map_err(|_| absent())?;
    let document = api.handle.store().version(seq).await?.ok_or_else(absent)?;
    let doc = DocId::of_kind(&document.kind, &document.name).ok_or_else(absent)?;
    may_see(api, who, &doc)?;
    Ok((document, doc))
}

/// A revision
#[utoipa::path(
    get,
    path = "/api/v1/revisions/{id}",
    tag = "Documents",
    params(("id" = String, Path, description = "Its number")),
    responses((status = 200, description = "The revision, with its text", body = RevisionView))
)]
async fn get(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
) -> Result<Json<RevisionView>, Problem> {
    let (document, _) = found(&api, &who, &id).await?;
    let keys = document.text.as_deref().and_then(keys_of).unwrap_or_default();
    Ok(Json(RevisionView { item: RevisionItem::from(&version(&document)), text: document.text, keys }))
}

/// With which revision one is compared.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Against {
    /// Another revision of the same document, by its number; left out: the one before.
    with: Option<String>,
}

/// What is different between two revisions.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Difference {
    /// The revision that is compared with; `null`: there was none before.
    from: Option<RevisionItem>,
    /// The revision itself.
    to: RevisionItem,
    /// Line by line as `diff -u` shows it; empty: nothing is.
    diff: String,
}

/// What a revision changed
#[utoipa::path(
    get,
    path = "/api/v1/revisions/{id}/diff",
    tag = "Documents",
    params(("id" = String, Path, description = "Its number"), Against),
    responses((status = 200, description = "The difference", body = Difference))
)]
async fn compare(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Query(against): Query<Against>,
) -> Result<Json<Difference>, Problem> {
    let (document, doc) = found(&api, &who, &id).await?;
    let other = match against.with {
        Some(with) => {
            let (other, of) = found(&api, &who, &with).await?;
            if of != doc {
                let message = format!("It is a revision of {of}, not of {doc}.");
                return Err(Problem::wrong(vec![Wrong::parameter("with", "with", message)]));
            }
            Some(other)
        }
        None => api.handle.store().version_before(&document).await?,
    };
    let text = |document: &Document| document.text.clone().unwrap_or_default();
    Ok(Json(Difference {
        diff: diff(&other.as_ref().map(text).unwrap_or_default(), &text(&document)),
        from: other.as_ref().map(version).as_ref().map(RevisionItem::from),
        to: RevisionItem::from(&version(&document)),
    }))
}

/// A revision, in force again
///
/// As a new revision with the same text, held to today's rules. Of a deleted document it makes one again.
#[utoipa::path(
    post,
    path = "/api/v1/revisions/{id}/restore",
    tag = "Documents",
    params(("id" = String, Path, description = "Its number"), Dry),
    responses(
        (status = 200, description = "It is in force, or would be", body = DocumentAnswer),
        (status = 409, description = "A running campaign uses it, or the revision is a deletion"),
        (status = 412, description = "Somebody else changed the document")
    )
)]
async fn restore(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Query(dry): Query<Dry>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (document, doc) = found(&api, &who, &id).await?;
    let now = documents::found(&api, &doc).await?;
    if let Some(now) = now {
        checked(&headers, &now.to_string())?;
    }
    let to = match document.text {
        Some(text) => Wanted::Text(text),
        None => {
            let detail = "This revision is the document's deletion: delete it if that is meant.";
            return Err(Problem::new(StatusCode::CONFLICT, "deleted", detail));
        }
    };
    let change = Change { api: &api, who: &who, doc: doc.clone(), dry, action: "document.restore" };
    let edited = change.make(vec![Edit { doc, upon: now, to }]).await?;
    change.answer(StatusCode::OK, &edited)
}

/// A document that is to be checked: one of `text` and `keys`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Checked {
    /// Which it is, or would be, such as `agents/reception.toml`.
    document: String,
    /// What it would say, as TOML.
    text: Option<String>,
    /// The same as keys.
    #[schema(value_type = Option<Object>)]
    keys: Option<Map<String, Value>>,
}

/// What is wrong with a document.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Verdict {
    /// Whether it could be in force.
    ok: bool,
    /// All that is wrong with it.
    problems: Vec<Found>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Found {
    /// `error` or `warning`.
    severity: &'static str,
    /// Stable, in snake case.
    code: String,
    /// Where, as a JSON pointer.
    pointer: String,
    /// Counts from 1; 0 when it is none in particular.
    line: usize,
    /// Characters from 1.
    column: usize,
    /// What is wrong, and what is allowed.
    message: String,
}

/// What would be wrong with a document
///
/// It is held against its language, all that it names and all rules, as if it were written now. Nothing is.
#[utoipa::path(
    post,
    path = "/api/v1/validate",
    tag = "Documents",
    request_body = Checked,
    responses((status = 200, description = "What is wrong, if anything", body = Verdict))
)]
async fn validate(
    State(api): State<Api>,
    who: Who,
    _: Query<Nothing>,
    Json(asked): Json<Checked>,
) -> Result<Json<Verdict>, Problem> {
    let doc = document_of(&asked.document, Wrong::field)?;
    may_see(&api, &who, &doc)?;
    let to = match (asked.text, asked.keys) {
        (Some(text), None) => Wanted::Text(text),
        (None, Some(keys)) => Wanted::Keys(keys),
        _ => {
            let message = "Send either text or keys.";
            return Err(Problem::wrong(vec![Wrong::field("text", "missing", message)]));
        }
    };
    let upon = documents::found(&api, &doc).await?;
    let edits = vec![Edit { doc: doc.clone(), upon, to }];
    // Of what is locked too: nothing is changed.
    let problems = match api.handle.edit(edits, &who.0.name(), By::Api, Locked::Passed, true).await {
        Ok(_) => Vec::new(),
        Err(EditError::Invalid(problems)) => {
            let found = problems.iter().map(|problem| {
                let wrong = documents::wrong(problem, &doc);
                let severity = if problem.severity == Severity::Error { "error" } else { "warning" };
                let (line, column) = (problem.line, problem.column);
                Found { severity, code: wrong.code, pointer: wrong.pointer, line, column, message: wrong.message }
            });
            found.collect()
        }
        Err(EditError::Patch(why)) => vec![Found {
            severity: "error",
            code: "patch".to_owned(),
            pointer: pointer(""),
            line: 0,
            column: 0,
            message: why,
        }],
        Err(error) => return Err(documents::refused(error, &doc)),
    };
    Ok(Json(Verdict { ok: !problems.iter().any(|problem| problem.severity == "error"), problems }))
}
