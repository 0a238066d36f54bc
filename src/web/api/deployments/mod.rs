//! `deployments`: where agents are met. Their documents, switches and keys.
//!
//! [`view`] shows them, whether they answer, and where their data sits; [`made`] makes new ones.

mod made;
mod view;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::{self, Channel, DocId, Edit, Wanted, keys_of};
use crate::house::deployments as rules;
use crate::store::people::{Somebody, new_embed_key};
use crate::web::documents::{self, Change, DocumentAnswer, Dry, is_id};
use crate::web::extract::{Json, Nothing, Path, Query};
use crate::web::once::{etag, is_known};
use crate::web::page::{Page, Wanted as Wish};
use crate::web::problem::{Problem, Wrong, set};
use crate::web::{Api, Who};

use super::agents::{Flip, checked, schedule};
use view::{DeploymentItem, Facts, effective, item, somebody, standing, standings};
pub(super) use view::{Met, met};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(of_agent))
        .routes(routes!(list, made::create))
        .routes(routes!(get, replace, change, delete))
        .routes(routes!(view::assessment))
        .routes(routes!(made::clone))
        .routes(routes!(switch))
        .routes(routes!(rotate))
}

/// Which deployments are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Of this agent.
    agent: Option<String>,
    /// `phone`, `website` or `internal`.
    channel: Option<String>,
    /// `live`, or `off`: whether it answers now.
    state: Option<String>,
    /// Deployments on a page: 1 to 100; 25 if it is left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
}

/// A deployment.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct DeploymentView {
    #[serde(flatten)]
    item: DeploymentItem,
    /// Its embed key, which stands in the pages that embed it.
    key: Option<String>,
    /// When it is switched by itself.
    #[schema(value_type = Object)]
    schedule: Value,
    /// The keys of its document, as PUT and PATCH take them.
    #[schema(value_type = Object)]
    document: Map<String, Value>,
    /// The document as it is written, comments and all.
    text: String,
}

/// A list of deployments
#[utoipa::path(
    get,
    path = "/api/v1/deployments",
    tag = "Deployments",
    params(Filter),
    responses((status = 200, description = "Deployments of all agents by id", body = Page<DeploymentItem>))
)]
async fn list(State(api): State<Api>, who: Who, uri: Uri, Query(filter): Query<Filter>) -> Result<Response, Problem> {
    Ok(listed(&api, &who, filter).await?.answer(&uri))
}

/// Deployments of an agent
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}/deployments",
    tag = "Deployments",
    params(("id" = String, Path, description = "The agent's name"), Wish),
    responses((status = 200, description = "Deployments by id", body = Page<DeploymentItem>))
)]
async fn of_agent(
    State(api): State<Api>,
    who: Who,
    uri: Uri,
    Path(id): Path<String>,
    Query(wish): Query<Wish>,
) -> Result<Response, Problem> {
    who.0.may_ask_for(&id)?;
    if !api.handle.config().personas.contains_key(&id) {
        return Err(Problem::absent("agent", &id));
    }
    let filter = Filter { agent: Some(id), limit: wish.limit, cursor: wish.cursor, ..Filter::default() };
    Ok(listed(&api, &who, filter).await?.answer(&uri))
}

async fn listed(api: &Api, who: &Who, filter: Filter) -> Result<Page<DeploymentItem>, Problem> {
    let one_of = |name: &str, value: &Option<String>, known: &[&str]| match value {
        Some(value) if !known.contains(&value.as_str()) => {
            let message = format!("There are {}.", known.join(", "));
            Err(Problem::wrong(vec![Wrong::parameter(name, name, message)]))
        }
        _ => Ok(()),
    };
    one_of("channel", &filter.channel, &Channel::ALL.map(|(name, _)| name))?;
    one_of("state", &filter.state, &["live", "off"])?;
    let live = filter.state.as_deref().map(|state| state == "live");
    let config = api.handle.config();
    let now = Timestamp::now();
    let who_is_there = match live {
        Some(_) => somebody(api, &standings(&config).collect::<Vec<_>>()).await?,
        None => Somebody::default(),
    };
    let found = standings(&config).filter(|standing| {
        who.0.sees(&standing.agent)
            && filter.agent.as_ref().is_none_or(|agent| *agent == standing.agent)
            && filter.channel.as_deref().is_none_or(|channel| channel == standing.channel.name())
            && live.is_none_or(|live| effective(&config, standing, &who_is_there, now).live == live)
    });
    let wish = Wish { limit: filter.limit, cursor: filter.cursor };
    let page = Page::of(found, &wish, |standing| standing.name.clone(), |standing| standing)?;
    let facts = Facts::of(api, &config, page.items.iter().map(|standing| standing.name.as_str()).collect()).await?;
    let items = page.items.into_iter().map(|standing| item(api, &config, standing, &facts)).collect();
    Ok(Page { items, next: page.next })
}

/// A deployment
#[utoipa::path(
    get,
    path = "/api/v1/deployments/{id}",
    tag = "Deployments",
    params(("id" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "The deployment, with its document", body = DeploymentView),
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
    let config = api.handle.config();
    let doc = DocId::Deployment(id.as_str().into());
    let found = standing(&config, &id);
    seen(&who, found)?;
    let (text, revision) = documents::read(&api, &doc).await?;
    let facts = Facts::of(&api, &config, vec![&id]).await?;
    let Some(standing) = found else {
        let why = facts.states.get(&doc).and_then(|state| state.why.clone());
        let why = why.unwrap_or_else(|| "offhook check says what is wrong".to_owned());
        let detail = format!("The deployment {id} is written, and not in force: {why}.");
        return Err(Problem::new(StatusCode::CONFLICT, "not_in_force", detail));
    };
    if is_known(&headers, &revision.to_string()) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let view = DeploymentView {
        item: item(&api, &config, standing, &facts),
        key: standing.key.clone(),
        schedule: schedule(&standing.schedule),
        document: keys_of(&text).unwrap_or_default(),
        text: text.to_string(),
    };
    let mut response = Json(view).into_response();
    let (name, value) = etag(revision);
    set(&mut response, name, &value);
    Ok(response)
}

/// Whether it is within reach; what is not in force is only for who sees all agents.
fn seen(who: &Who, standing: Option<&config::Standing>) -> Result<(), Problem> {
    match standing {
        Some(standing) => Ok(who.0.may_ask_for(&standing.agent)?),
        None => Ok(who.0.may_ask_for("")?),
    }
}

/// A deployment's document, replaced
#[utoipa::path(
    put,
    path = "/api/v1/deployments/{id}",
    tag = "Deployments",
    params(("id" = String, Path, description = "Its name"), Dry),
    request_body(content = Object, description = "All keys of the document"),
    responses(
        (status = 200, description = "It is changed, or would be", body = DocumentAnswer),
        (status = 201, description = "It is made", body = DocumentAnswer),
        (status = 409, description = "It is locked, or others forbid it"),
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
    let change = reach(&api, &who, &id, Some(&body), dry, "deployment.change")?;
    change.upon(&headers, Wanted::Keys(body)).await
}

/// Keys of a deployment's document, changed
///
/// A merge patch (RFC 7396): what is not named stays, `null` removes. Applies from the next call or message.
#[utoipa::path(
    patch,
    path = "/api/v1/deployments/{id}",
    tag = "Deployments",
    params(("id" = String, Path, description = "Its name"), Dry),
    request_body(content = Object, description = "Keys of the document"),
    responses(
        (status = 200, description = "It is changed, or would be", body = DocumentAnswer),
        (status = 409, description = "It is locked, or others forbid it"),
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
    let change = reach(&api, &who, &id, Some(&body), dry, "deployment.change")?;
    let config = api.handle.config();
    if let (Some(standing), Some(title)) = (standing(&config, &id), body.get("title").and_then(Value::as_str)) {
        let its = || standings(&config).filter(|other| other.agent == standing.agent && other.name != standing.name);
        let is_taken = |title: &str| its().any(|other| other.title == title);
        let was = Some(standing.title.as_str());
        rules::may_be_called(standing.channel, was, title.trim(), is_taken)?;
    }
    change.upon(&headers, Wanted::Patched(body)).await
}

/// A change of a deployment that is within reach, before it and after it: nobody hands one to an agent that is not theirs.
fn reach<'a>(
    api: &'a Api,
    who: &'a Who,
    id: &str,
    body: Option<&Map<String, Value>>,
    dry: Dry,
    action: &'static str,
) -> Result<Change<'a>, Problem> {
    seen(who, standing(&api.handle.config(), id))?;
    if let Some(agent) = body.and_then(|body| body.get("agent")).and_then(Value::as_str) {
        who.0.may_ask_for(agent)?;
    }
    if !is_id(id) {
        return Err(Problem::absent("deployment", id));
    }
    Ok(Change { api, who, doc: DocId::Deployment(id.into()), dry, action })
}

/// A deployment, deleted
///
/// Its number goes back to the pool, its embed key is dead; running calls finish.
#[utoipa::path(
    delete,
    path = "/api/v1/deployments/{id}",
    tag = "Deployments",
    params(("id" = String, Path, description = "Its name"), Dry),
    responses(
        (status = 204, description = "It is gone, or would be"),
        (status = 409, description = "It is locked"),
        (status = 412, description = "Somebody else changed it")
    )
)]
async fn delete(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Query(dry): Query<Dry>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let change = reach(&api, &who, &id, None, dry, "deployment.delete")?;
    let revision = documents::revision(&api, &change.doc).await?;
    checked(&headers, &revision.to_string())?;
    let edit = Edit { doc: change.doc.clone(), upon: Some(revision), to: Wanted::Gone };
    change.make(vec![edit]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A deployment, switched on or off
///
/// At once. Running calls go on. What was scheduled and is void by it is cleared.
#[utoipa::path(
    post,
    path = "/api/v1/deployments/{id}/switch",
    tag = "Deployments",
    params(("id" = String, Path, description = "Its name"), Dry),
    request_body = Flip,
    responses((status = 200, description = "It is switched, or would be", body = DocumentAnswer))
)]
async fn switch(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Query(dry): Query<Dry>,
    headers: HeaderMap,
    Json(flip): Json<Flip>,
) -> Result<Response, Problem> {
    let change = reach(&api, &who, &id, None, dry, "deployment.switch")?;
    let config = api.handle.config();
    let standing = standing(&config, &id).ok_or_else(|| Problem::absent("deployment", &id))?;
    let edited = change.keys(&headers, flip.keys(&standing.schedule)?).await?;
    change.answer(StatusCode::OK, &edited)
}

/// A new embed key.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct NewKey {
    /// It stands in the page that embeds the deployment; the old one is dead.
    key: String,
}

/// A new embed key for a deployment
///
/// The old one is dead at once: pages that embed it need the new one.
#[utoipa::path(
    post,
    path = "/api/v1/deployments/{id}/key/rotate",
    tag = "Deployments",
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, description = "The new key", body = NewKey))
)]
async fn rotate(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
    headers: HeaderMap,
) -> Result<Json<NewKey>, Problem> {
    let change = reach(&api, &who, &id, None, Dry::default(), "deployment.key.rotate")?;
    let key = new_embed_key()?;
    let mut keys = Map::new();
    keys.insert("key".to_owned(), key.as_str().into());
    change.keys(&headers, keys).await?;
    Ok(Json(NewKey { key }))
}
