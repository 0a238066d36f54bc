//! `tokens`, and `access-tokens` and `password` of agents: what programs and people without an account show (API-02, API-03,
//! VIS-04).

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::members::page;
use crate::config::{Role, Secret};
use crate::house::people::{self as rules, KeyWish};
use crate::house::principal::Scopes;
use crate::store::people::{AccessToken, ApiKey, Use};
use crate::store::{read, written};
use crate::web::extract::{Json, Nothing, Path, Query};
use crate::web::page::{Page, Wanted, limit, place};
use crate::web::problem::{Problem, Wrong};
use crate::web::{Api, Who};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list, create))
        .routes(routes!(show, revoke))
        .routes(routes!(accesses, create_access))
        .routes(routes!(revoke_access))
        .routes(routes!(password, set_password, drop_password))
}

/// An API key.
#[derive(Serialize, ToSchema)]
struct KeyItem {
    /// Its id; not what it says.
    id: String,
    /// What it is for.
    name: String,
    /// The last four characters of what it says.
    hint: String,
    /// What it may do at most.
    role: &'static str,
    /// What of that.
    scopes: Vec<String>,
    /// The only agents it may reach; `null`: all.
    agents: Option<Vec<String>>,
    /// Who made it.
    made_by: String,
    /// When.
    created: String,
    /// When it ends by itself; `null`: never.
    expires: Option<String>,
    /// When it was last used, to the minute; `null`: never.
    used: Option<String>,
    /// It is 90 days old and should be replaced: in words.
    rotate: Option<String>,
    /// What it says; shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    key: Option<String>,
}

/// A key that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    /// What it is for, such as staging.
    name: String,
    /// What it may do at most: member, builder, admin or owner.
    #[schema(value_type = String)]
    role: Role,
    /// What of that: `calls:read`, `agents:write`, `*:read`. Left out: `*:write`, which is everything.
    scopes: Option<Vec<String>>,
    /// The only agents it may reach. Left out: all.
    agents: Option<Vec<String>>,
    /// When it ends by itself, RFC 3339 in UTC. Left out: never.
    expires: Option<String>,
}

/// An access token of an agent.
#[derive(Serialize, ToSchema)]
struct AccessItem {
    /// Its id; not what it says.
    id: String,
    /// The agent that it lets in to.
    agent: String,
    /// What it is for.
    name: String,
    /// The last four characters of what it says.
    hint: String,
    /// Who made it.
    made_by: String,
    /// When.
    created: String,
    /// When it ends by itself; `null`: never.
    expires: Option<String>,
    /// When it was last used; `null`: never.
    used: Option<String>,
    /// From where it was used, the most used first.
    uses: Vec<UseItem>,
    /// What it says; shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    token: Option<String>,
}

/// Uses of an access token from one origin.
#[derive(Serialize, ToSchema)]
struct UseItem {
    /// A page's origin; `other` counts those beyond the first hundred.
    origin: String,
    /// How often.
    uses: i64,
    /// When last.
    used: String,
}

/// An access token that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAccess {
    /// What it is for.
    name: String,
    /// When it ends by itself, RFC 3339 in UTC. Left out: never.
    expires: Option<String>,
}

/// A password of an agent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAgentPassword {
    /// 10 to 200 characters.
    password: String,
}

/// Whether an agent has a password.
#[derive(Serialize, ToSchema)]
struct AgentPasswordItem {
    /// Whether it has one.
    set: bool,
    /// Who set it.
    made_by: Option<String>,
    /// When.
    created: Option<String>,
}

/// API keys, the newest first
#[utoipa::path(
    get,
    path = "/api/v1/tokens",
    tag = "Tokens",
    params(Wanted),
    responses((status = 200, description = "Keys, without what they say", body = Page<KeyItem>))
)]
async fn list(State(api): State<Api>, uri: Uri, Query(wanted): Query<Wanted>) -> Result<Response, Problem> {
    let (limit, after) = (limit(wanted.limit)?, place(wanted.cursor.as_deref())?);
    let all = api.handle.store().people().keys(after.as_deref(), u64::from(limit) + 1).await?;
    Ok(page(all, limit, |key| key.id.clone(), |key| item(key, None)).answer(&uri))
}

/// Makes an API key
///
/// What it says is in the answer, and nowhere else afterwards. Nobody makes a key that may more than they may themselves.
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    tag = "Tokens",
    request_body = NewKey,
    responses((status = 201, description = "The key, with what it says", body = KeyItem))
)]
async fn create(State(api): State<Api>, who: Who, Json(body): Json<NewKey>) -> Result<Response, Problem> {
    let scopes = body.scopes.map_or_else(|| Ok(Scopes::all()), |names| Scopes::parse(&names))?;
    for agent in body.agents.iter().flatten() {
        exists(&api, agent).map_err(|_| {
            let message = format!("There is no agent {:?}.", agent.chars().take(80).collect::<String>());
            Problem::wrong(vec![Wrong::field("agents", "agents", message)])
        })?;
    }
    let expires_ms = moment(body.expires.as_deref())?;
    let wish = KeyWish { name: body.name, role: body.role, scopes, agents: body.agents, expires_ms };
    let (key, secret) = api.handle.store().people().add_key(&who.0, wish).await?;
    let place = format!("/api/v1/tokens/{}", key.id);
    let body = Json(item(key, Some(secret)));
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], body).into_response())
}

/// An API key
#[utoipa::path(
    get,
    path = "/api/v1/tokens/{id}",
    tag = "Tokens",
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 200, description = "The key, without what it says", body = KeyItem))
)]
async fn show(State(api): State<Api>, Path(id): Path<String>, _: Query<Nothing>) -> Result<Json<KeyItem>, Problem> {
    Ok(Json(item(api.handle.store().people().key(&id).await?, None)))
}

/// Ends an API key, at once
#[utoipa::path(
    delete,
    path = "/api/v1/tokens/{id}",
    tag = "Tokens",
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 204, description = "It is good for nothing any more"))
)]
async fn revoke(State(api): State<Api>, who: Who, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    api.handle.store().people().remove_key(&who.0, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Access tokens of an agent, the newest first
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}/access-tokens",
    tag = "Tokens",
    params(("id" = String, Path, description = "The agent's name"), Wanted),
    responses((status = 200, description = "Tokens, without what they say", body = Page<AccessItem>))
)]
async fn accesses(
    State(api): State<Api>,
    who: Who,
    uri: Uri,
    Path(agent): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    who.0.may_ask_for(&agent)?;
    exists(&api, &agent)?;
    let (limit, after) = (limit(wanted.limit)?, place(wanted.cursor.as_deref())?);
    let people = api.handle.store().people();
    let all = people.accesses(&agent, after.as_deref(), u64::from(limit) + 1).await?;
    let ids: Vec<_> = all.iter().map(|token| token.id.clone()).collect();
    let uses = people.uses(&ids).await?;
    let of = |id: &str| uses.iter().filter(|one| one.token == id).cloned().collect::<Vec<_>>();
    let show = |token: AccessToken| {
        let uses = of(&token.id);
        access(token, uses, None)
    };
    Ok(page(all, limit, |token| token.id.clone(), show).answer(&uri))
}

/// Makes an access token of an agent
///
/// It lets people without an account in to the agent while that is internal. What it says is in the answer, and nowhere else
/// afterwards.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{id}/access-tokens",
    tag = "Tokens",
    params(("id" = String, Path, description = "The agent's name")),
    request_body = NewAccess,
    responses((status = 201, description = "The token, with what it says", body = AccessItem))
)]
async fn create_access(
    State(api): State<Api>,
    who: Who,
    Path(agent): Path<String>,
    Json(body): Json<NewAccess>,
) -> Result<Response, Problem> {
    who.0.may_ask_for(&agent)?;
    exists(&api, &agent)?;
    let expires_ms = moment(body.expires.as_deref())?;
    let (token, secret) = api.handle.store().people().add_access(&who.0, &agent, &body.name, expires_ms).await?;
    Ok((StatusCode::CREATED, Json(access(token, Vec::new(), Some(secret)))).into_response())
}

/// Ends an access token of an agent, at once
#[utoipa::path(
    delete,
    path = "/api/v1/agents/{id}/access-tokens/{token}",
    tag = "Tokens",
    params(
        ("id" = String, Path, description = "The agent's name"),
        ("token" = String, Path, description = "The token's id")
    ),
    responses((status = 204, description = "It is good for nothing any more"))
)]
async fn revoke_access(
    State(api): State<Api>,
    who: Who,
    Path((agent, token)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    api.handle.store().people().remove_access(&who.0, &agent, &token).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether an agent has a password
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}/password",
    tag = "Tokens",
    params(("id" = String, Path, description = "The agent's name")),
    responses((status = 200, description = "Whether it has one; never which", body = AgentPasswordItem))
)]
async fn password(
    State(api): State<Api>,
    who: Who,
    Path(agent): Path<String>,
    _: Query<Nothing>,
) -> Result<Json<AgentPasswordItem>, Problem> {
    who.0.may_ask_for(&agent)?;
    exists(&api, &agent)?;
    let found = api.handle.store().people().agent_password(&agent).await?;
    Ok(Json(AgentPasswordItem {
        set: found.is_some(),
        created: found.as_ref().map(|found| written(found.made_ms)),
        made_by: found.map(|found| found.made_by),
    }))
}

/// Sets the password of an agent
///
/// It lets people without an account in to the agent while that is internal.
#[utoipa::path(
    put,
    path = "/api/v1/agents/{id}/password",
    tag = "Tokens",
    params(("id" = String, Path, description = "The agent's name")),
    request_body = NewAgentPassword,
    responses((status = 204, description = "It holds from now on"))
)]
async fn set_password(
    State(api): State<Api>,
    who: Who,
    Path(agent): Path<String>,
    Json(body): Json<NewAgentPassword>,
) -> Result<StatusCode, Problem> {
    who.0.may_ask_for(&agent)?;
    exists(&api, &agent)?;
    rules::password(&body.password, None)?;
    let people = api.handle.store().people();
    let hash = people.hasher().hash(Secret::new(body.password)).await?;
    people.set_agent_password(&who.0, &agent, Some(hash)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes the password of an agent away
#[utoipa::path(
    delete,
    path = "/api/v1/agents/{id}/password",
    tag = "Tokens",
    params(("id" = String, Path, description = "The agent's name")),
    responses((status = 204, description = "It has none any more"))
)]
async fn drop_password(State(api): State<Api>, who: Who, Path(agent): Path<String>) -> Result<StatusCode, Problem> {
    api.handle.store().people().set_agent_password(&who.0, &agent, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn item(key: ApiKey, secret: Option<Secret>) -> KeyItem {
    let rotate = rules::is_old(key.made_ms, crate::store::now_ms()).map(|flag| flag.message);
    KeyItem {
        scopes: key.scopes.names(),
        id: key.id,
        name: key.name,
        hint: key.hint,
        role: key.role.name(),
        agents: key.agents,
        made_by: key.made_by,
        created: written(key.made_ms),
        expires: key.expires_ms.map(written),
        used: key.used_ms.map(written),
        rotate,
        key: secret.map(|secret| secret.expose().to_owned()),
    }
}

fn access(token: AccessToken, uses: Vec<Use>, secret: Option<Secret>) -> AccessItem {
    let uses = uses.into_iter().map(|one| UseItem { origin: one.origin, uses: one.uses, used: written(one.used_ms) });
    AccessItem {
        uses: uses.collect(),
        id: token.id,
        agent: token.agent,
        name: token.name,
        hint: token.hint,
        made_by: token.made_by,
        created: written(token.made_ms),
        expires: token.expires_ms.map(written),
        used: token.used_ms.map(written),
        token: secret.map(|secret| secret.expose().to_owned()),
    }
}

fn exists(api: &Api, agent: &str) -> Result<(), Problem> {
    let config = api.handle.config();
    if config.personas.contains_key(agent) || config.agents.contains_key(agent) {
        return Ok(());
    }
    Err(Problem::absent("agent", agent))
}

fn moment(text: Option<&str>) -> Result<Option<i64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    read(text).map(Some).ok_or_else(|| {
        let message = "A moment is written as 2026-11-20T23:14:55Z, or as a date.";
        Problem::wrong(vec![Wrong::field("expires", "expires", message)])
    })
}
