//! `agents`: who talks. Their documents; [`acts`] has switches, copies and deletion, [`integration`] what programs need,
//! [`knowledge`] what they look things up in.

mod acts;
mod integration;
mod knowledge;

use std::collections::HashMap;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::{DocId, DocState, Edit, Persona, Schedule, Visibility, Wanted, keys_of};
use crate::house::deployments::MAX_TITLE;
use crate::house::zone;
use crate::store::{UsageBy, UsageFilter, Version};
use crate::web::documents::{self, Change, DocumentAnswer, Dry, Flagged, Standing, is_id};
use crate::web::extract::{Json, Nothing, Path, Query};
use crate::web::once::{Upon, etag, is_known};
use crate::web::page::{Page, Wanted as Wish};
use crate::web::problem::{Problem, Wrong, set};
use crate::web::{Api, Who};

use super::deployments::{Met, met};
pub(super) use acts::{Copy, Flip, copy_title};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list, create))
        .routes(routes!(get, replace, change, acts::delete))
        .routes(routes!(acts::clone))
        .routes(routes!(acts::switch))
        .routes(routes!(acts::emergency_off))
        .routes(routes!(integration::integration))
        .merge(knowledge::router())
}

/// Which agents are wanted.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// `active` or `inactive`: what its switch says.
    state: Option<String>,
    /// Part of the id or of the title, in any case.
    search: Option<String>,
    /// Agents on a page: 1 to 100; 25 if it is left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
}

/// An agent in a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct AgentItem {
    /// Its name, which deployments' documents have as `agent`.
    id: String,
    /// What people call it.
    title: String,
    /// Whether its switch is on.
    active: bool,
    /// `public` or `internal`.
    visibility: &'static str,
    /// Where it is met, each with its state.
    deployments: Vec<Met>,
    /// Calls that ended today (UTC).
    calls_today: u64,
    #[serde(flatten)]
    standing: Standing,
}

/// An agent.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct AgentView {
    #[serde(flatten)]
    item: AgentItem,
    /// When it is switched by itself.
    #[schema(value_type = Object)]
    schedule: Value,
    /// Calls at once; `null`: as many as the plan lets it have.
    max_calls: Option<u32>,
    /// What is flagged of it.
    flags: Vec<Flagged>,
    /// The keys of its document, as PUT and PATCH take them.
    #[schema(value_type = Object)]
    document: Map<String, Value>,
    /// The document as it is written, comments and all.
    text: String,
}

/// A list of agents
#[utoipa::path(
    get,
    path = "/api/v1/agents",
    tag = "Agents",
    params(Filter),
    responses((status = 200, description = "Agents by id", body = Page<AgentItem>))
)]
async fn list(State(api): State<Api>, who: Who, uri: Uri, Query(filter): Query<Filter>) -> Result<Response, Problem> {
    let active = match filter.state.as_deref() {
        None => None,
        Some("active") => Some(true),
        Some("inactive") => Some(false),
        Some(_) => {
            let message = "There are active and inactive.";
            return Err(Problem::wrong(vec![Wrong::parameter("state", "state", message)]));
        }
    };
    let config = api.handle.config();
    let search = filter.search.as_deref().unwrap_or_default().to_lowercase();
    let found = config.personas.values().filter(|agent| {
        let standing = &agent.standing;
        who.0.sees(&standing.name)
            && active.is_none_or(|active| active == standing.active)
            && (standing.name.to_lowercase().contains(&search) || standing.title.to_lowercase().contains(&search))
    });
    let wish = Wish { limit: filter.limit, cursor: filter.cursor };
    let page = Page::of(found, &wish, |agent| agent.standing.name.clone(), |agent| agent)?;
    let names: Vec<&str> = page.items.iter().map(|agent| agent.standing.name.as_str()).collect();
    let mut met = met(&api, &config, &names).await?;
    let facts = Facts::of(&api, names).await?;
    let items = page.items.into_iter().map(|agent| {
        let its = met.remove(&agent.standing.name).unwrap_or_default();
        item(&api, agent, its, &facts)
    });
    let items = items.collect();
    Ok(Page::<AgentItem> { items, next: page.next }.answer(&uri))
}

/// What is known of agents beside their documents.
#[derive(Default)]
struct Facts {
    states: HashMap<DocId, DocState>,
    changed: HashMap<String, Version>,
    calls: HashMap<String, u64>,
}

impl Facts {
    async fn of(api: &Api, names: Vec<&str>) -> Result<Facts, Problem> {
        let store = api.handle.store();
        let changed = store.newest_versions("agent", &names).await?;
        let place = api.handle.config().server.organization.zone();
        let since_ms = zone::begin(&place, zone::today(&place, Timestamp::now())).map(Timestamp::as_millisecond);
        let only_agents = Some(names.iter().map(|name| (*name).to_owned()).collect());
        let calls =
            store.usage(&UsageFilter { since_ms, only_agents, ..UsageFilter::default() }, UsageBy::Agent).await?;
        Ok(Facts {
            states: api.handle.source().documents().into_iter().map(|state| (state.doc.clone(), state)).collect(),
            changed: changed.into_iter().map(|version| (version.name.clone(), version)).collect(),
            calls: calls.into_iter().map(|sum| (sum.key, sum.calls.unsigned_abs())).collect(),
        })
    }
}

fn item(api: &Api, agent: &Persona, deployments: Vec<Met>, facts: &Facts) -> AgentItem {
    let standing = &agent.standing;
    let doc = DocId::Agent(standing.name.as_str().into());
    AgentItem {
        id: standing.name.clone(),
        title: standing.title.clone(),
        active: standing.active,
        visibility: match standing.visibility {
            Visibility::Public => "public",
            Visibility::Internal => "internal",
        },
        deployments,
        calls_today: facts.calls.get(&standing.name).copied().unwrap_or_default(),
        standing: documents::standing(api, &doc, facts.states.get(&doc), facts.changed.get(&standing.name)),
    }
}

/// An agent
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}",
    tag = "Agents",
    params(("id" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "The agent, with its document", body = AgentView),
        (status = 304, description = "It is as If-None-Match says"),
        (status = 409, description = "It is written, and not in force")
    )
)]
async fn get(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    who.0.may_ask_for(&id)?;
    let doc = DocId::Agent(id.as_str().into());
    let (text, revision) = documents::read(&api, &doc).await?;
    if is_known(&headers, &revision.to_string()) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let config = api.handle.config();
    let facts = Facts::of(&api, vec![&id]).await?;
    let Some(agent) = config.personas.get(&id) else {
        // It is written, and has never been in force.
        let standing = documents::standing(&api, &doc, facts.states.get(&doc), facts.changed.get(&id));
        return Err(not_in_force(&id, standing.why));
    };
    let flags = api.handle.source().findings().remove(&doc).unwrap_or_default();
    let flags = flags.into_iter().map(|ruling| Flagged {
        code: ruling.code,
        field: ruling.key.to_owned(),
        message: ruling.message,
    });
    let mut met = met(&api, &config, &[id.as_str()]).await?;
    let view = AgentView {
        item: item(&api, agent, met.remove(&id).unwrap_or_default(), &facts),
        schedule: schedule(&agent.standing.schedule),
        max_calls: agent.standing.max_calls,
        flags: flags.collect(),
        document: keys_of(&text).unwrap_or_default(),
        text: text.to_string(),
    };
    let mut response = Json(view).into_response();
    let (name, value) = etag(revision);
    set(&mut response, name, &value);
    Ok(response)
}

fn not_in_force(id: &str, why: Option<String>) -> Problem {
    let why = why.unwrap_or_else(|| "offhook check says what is wrong".to_owned());
    let detail = format!("The agent {id} is written, and not in force: {why}.");
    Problem::new(StatusCode::CONFLICT, "not_in_force", detail)
}

pub(super) fn schedule(schedule: &Schedule) -> Value {
    let at = |at: Option<Timestamp>| at.map(|at| at.to_string());
    json!({ "activate_at": at(schedule.activate_at), "deactivate_at": at(schedule.deactivate_at) })
}

/// A new agent
///
/// The body has the keys of its document, and may have an `id`. Everything wrong is told at once.
#[utoipa::path(
    post,
    path = "/api/v1/agents",
    tag = "Agents",
    params(Dry),
    request_body(content = Object, description = "Keys of an agent's document, and `id`"),
    responses(
        (status = 201, description = "It is made", body = DocumentAnswer),
        (status = 200, description = "It would be made", body = DocumentAnswer)
    )
)]
async fn create(
    State(api): State<Api>,
    who: Who,
    Query(dry): Query<Dry>,
    Json(body): Json<Map<String, Value>>,
) -> Result<Response, Problem> {
    let said: Vec<&str> = body.keys().map(String::as_str).collect();
    for _ in 1..documents::TRIES {
        match make(&api, &who, dry, body.clone()).await {
            Err(problem) if documents::is_overtaken(&problem, &said) => {}
            made => return made,
        }
    }
    make(&api, &who, dry, body).await
}

async fn make(api: &Api, who: &Who, dry: Dry, mut body: Map<String, Value>) -> Result<Response, Problem> {
    let id = new_id(api, &mut body, |body| body.get("title").and_then(Value::as_str).unwrap_or("agent").to_owned())?;
    who.0.may_ask_for(&id)?;
    title(&body)?;
    let doc = DocId::Agent(id.as_str().into());
    let change = Change { api, who, doc: doc.clone(), dry, action: "agent.create" };
    let edited = change.make(vec![Edit { doc, upon: None, to: Wanted::Keys(body) }]).await.map_err(taken)?;
    change.answer(if dry.is() { StatusCode::OK } else { StatusCode::CREATED }, &edited)
}

/// A document of that name, which was not to be there, is there.
pub(super) fn taken(problem: Problem) -> Problem {
    if &*problem.code != "stale" {
        return problem;
    }
    let message = "There is one with this id already.";
    let errors = vec![Wrong::field("id", "id_taken", message)];
    Problem::new(StatusCode::CONFLICT, "id_taken", message).with(errors)
}

/// The id of a new document: the body's, or one made of what `otherwise` says that is not taken.
///
/// # Errors
/// What the body says is none.
pub(super) fn new_id(
    api: &Api,
    body: &mut Map<String, Value>,
    otherwise: impl FnOnce(&Map<String, Value>) -> String,
) -> Result<String, Problem> {
    match body.remove("id") {
        Some(Value::String(id)) if is_id(&id) => Ok(id),
        Some(_) => {
            let message = "An id is 1 to 64 letters, digits, - and _.";
            Err(Problem::wrong(vec![Wrong::field("id", "id", message)]))
        }
        None => {
            let words = otherwise(body).to_lowercase();
            let words = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
            let mut slug: String = words.collect::<Vec<_>>().join("-").chars().take(50).collect();
            if slug.is_empty() {
                slug.push_str("agent");
            }
            let documents = api.handle.source().documents();
            let is_taken = |id: &str| documents.iter().any(|state| state.doc.name() == id);
            let mut id = slug.clone();
            let mut count = 2_u64;
            while is_taken(&id) {
                id = format!("{slug}-{count}");
                count += 1;
            }
            Ok(id)
        }
    }
}

/// Whether the title that a body says is one.
pub(super) fn title(body: &Map<String, Value>) -> Result<(), Problem> {
    match body.get("title") {
        Some(Value::String(title)) if title.trim().is_empty() || title.chars().count() > MAX_TITLE => {
            let message = format!("A name has 1 to {MAX_TITLE} characters.");
            Err(Problem::wrong(vec![Wrong::field("title", "title_length", message)]))
        }
        _ => Ok(()),
    }
}

/// An agent's document, replaced
///
/// With `If-None-Match: *` it is made. Keys that stay as they are keep their comments.
#[utoipa::path(
    put,
    path = "/api/v1/agents/{id}",
    tag = "Agents",
    params(("id" = String, Path, description = "Its name"), Dry),
    request_body(content = Object, description = "All keys of the document"),
    responses(
        (status = 200, description = "It is changed, or would be", body = DocumentAnswer),
        (status = 201, description = "It is made", body = DocumentAnswer),
        (status = 409, description = "It is locked"),
        (status = 412, description = "Somebody else changed it"),
        (status = 428, description = "If-Match is missing")
    )
)]
async fn replace(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Query(dry): Query<Dry>,
    headers: HeaderMap,
    Json(body): Json<Map<String, Value>>,
) -> Result<Response, Problem> {
    let change = reach(&api, &who, &id, dry, "agent.change")?;
    change.upon(&headers, Wanted::Keys(body)).await
}

/// Keys of an agent's document, changed
///
/// A merge patch (RFC 7396): what is not named stays, `null` removes. Applies from the next call or message.
#[utoipa::path(
    patch,
    path = "/api/v1/agents/{id}",
    tag = "Agents",
    params(("id" = String, Path, description = "Its name"), Dry),
    request_body(content = Object, description = "Keys of the document"),
    responses(
        (status = 200, description = "It is changed, or would be", body = DocumentAnswer),
        (status = 409, description = "It is locked"),
        (status = 412, description = "Somebody else changed it"),
        (status = 428, description = "If-Match is missing")
    )
)]
async fn change(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Query(dry): Query<Dry>,
    headers: HeaderMap,
    Json(body): Json<Map<String, Value>>,
) -> Result<Response, Problem> {
    let change = reach(&api, &who, &id, dry, "agent.change")?;
    title(&body)?;
    change.upon(&headers, Wanted::Patched(body)).await
}

fn reach<'a>(api: &'a Api, who: &'a Who, id: &str, dry: Dry, action: &'static str) -> Result<Change<'a>, Problem> {
    who.0.may_ask_for(id)?;
    if !is_id(id) {
        return Err(Problem::absent("agent", id));
    }
    Ok(Change { api, who, doc: DocId::Agent(id.into()), dry, action })
}

/// `If-Match`, where it is not asked for.
pub(super) fn checked(headers: &HeaderMap, revision: &str) -> Result<(), Problem> {
    match headers.contains_key(axum::http::header::IF_MATCH) {
        true => Upon::of(headers)?.check(Some(revision)),
        false => Ok(()),
    }
}
