//! What is done with agents beside changing their documents: deleted, copied, switched.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::config::{DocId, Edit, Schedule, Wanted, keys_of, with_keys};
use crate::house::deployments::{MAX_TITLE, unique_title};
use crate::house::switches::Switch;
use crate::web::api::deployments::met;
use crate::web::documents::{self, Change, DocumentAnswer, Dry};
use crate::web::extract::{Json, Maybe, Nothing, Path, Query};
use crate::web::problem::{Problem, Wrong};
use crate::web::{Api, Who};

use super::{checked, new_id, reach, schedule as schedule_of, taken, title};

/// What goes with an agent that is deleted.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Gone {
    /// Documents, such as `agents/reception.toml`.
    documents: Vec<String>,
    /// Numbers that go back to the pool.
    numbers: Vec<String>,
    /// Websites' widgets that stop.
    widgets: Vec<String>,
    /// Calls that are up, which finish (DEL-02).
    calls: u64,
    /// Documents that it looked things up in, by title.
    knowledge: Vec<String>,
}

/// An agent, deleted
///
/// With its deployments and the documents that it looked things up in; numbers go back to the pool, embed keys, access tokens and its
/// password are dead. Running calls finish, and what is known of
/// calls stays until its time is over. With `dry_run` the answer says what would go along.
#[utoipa::path(
    delete,
    path = "/api/v1/agents/{id}",
    tag = "Agents",
    params(("id" = String, Path, description = "Its name"), Dry),
    responses(
        (status = 204, description = "It is gone"),
        (status = 200, description = "What would go along", body = Gone),
        (status = 409, description = "It is locked"),
        (status = 412, description = "Somebody else changed it")
    )
)]
pub(super) async fn delete(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Query(dry): Query<Dry>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let change = reach(&api, &who, &id, dry, "agent.delete")?;
    let config = api.handle.config();
    let revision = documents::revision(&api, &change.doc).await?;
    checked(&headers, &revision.to_string())?;
    let calls = api.handle.store().running_calls_of(&id).await?.len() as u64;
    let mut gone = Gone {
        documents: vec![change.doc.to_string()],
        numbers: Vec::new(),
        widgets: Vec::new(),
        calls,
        knowledge: Vec::new(),
    };
    let mut edits = vec![Edit { doc: change.doc.clone(), upon: Some(revision), to: Wanted::Gone }];
    let mut met = met(&api, &config, &[id.as_str()]).await?;
    for deployment in met.remove(&id).unwrap_or_default() {
        let doc = DocId::Deployment(deployment.id.as_str().into());
        let Some(revision) = documents::found(&api, &doc).await? else { continue };
        gone.documents.push(doc.to_string());
        gone.numbers.extend(config.deployments.get(&deployment.id).and_then(|phone| phone.number.clone()));
        if deployment.channel == "website" {
            gone.widgets.push(deployment.id);
        }
        edits.push(Edit { doc, upon: Some(revision), to: Wanted::Gone });
    }
    let knowledge = api.handle.store().knowledge();
    if dry.is() {
        gone.knowledge = knowledge.list(&id).await?.into_iter().map(|document| document.title).collect();
    }
    change.make(edits).await?;
    if !dry.is() {
        // The agent is gone by now: to say that it is not would be wrong.
        if let Err(error) = api.handle.store().people().forget_agent(&id).await {
            tracing::error!(%error, agent = id, "access tokens and the password of an agent that is gone are still kept");
        }
        if let Err(error) = knowledge.remove_all(&id).await {
            tracing::error!(%error, agent = id, "what an agent knew that is gone is still kept");
        }
    }
    Ok(if dry.is() { Json(gone).into_response() } else { StatusCode::NO_CONTENT.into_response() })
}

/// What a copy is called; what is left out is made of the original's.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web::api) struct Copy {
    /// Its name.
    pub(in crate::web::api) id: Option<String>,
    /// What people call it, 1 to 80 characters.
    pub(in crate::web::api) title: Option<String>,
}

impl Copy {
    /// What of it is said.
    pub(in crate::web::api) fn said(&self) -> Vec<&'static str> {
        let all = [("id", &self.id), ("title", &self.title)];
        all.into_iter().filter(|(_, said)| said.is_some()).map(|(name, _)| name).collect()
    }
}

/// A copy of an agent
///
/// With the same settings, inactive. Calls, numbers, deployments, keys, schedules and documents of its knowledge are not copied.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{id}/clone",
    tag = "Agents",
    params(("id" = String, Path, description = "Its name"), Dry),
    request_body = Option<Copy>,
    responses(
        (status = 201, description = "The copy", body = DocumentAnswer),
        (status = 200, description = "The copy that would be made", body = DocumentAnswer)
    )
)]
pub(super) async fn clone(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Query(dry): Query<Dry>,
    Maybe(body): Maybe<Copy>,
) -> Result<Response, Problem> {
    who.0.may_ask_for(&id)?;
    let wished = body.unwrap_or_default();
    let said = wished.said();
    for _ in 1..documents::TRIES {
        match make_copy(&api, &who, &id, dry, wished.clone()).await {
            Err(problem) if documents::is_overtaken(&problem, &said) => {}
            made => return made,
        }
    }
    make_copy(&api, &who, &id, dry, wished).await
}

async fn make_copy(api: &Api, who: &Who, id: &str, dry: Dry, wished: Copy) -> Result<Response, Problem> {
    let (text, _) = documents::read(api, &DocId::Agent(id.into())).await?;
    let config = api.handle.config();
    let titles: BTreeSet<&str> = config.personas.values().map(|agent| agent.standing.title.as_str()).collect();
    let original = keys_of(&text).unwrap_or_default();
    let original = original.get("title").and_then(Value::as_str).unwrap_or(id);
    let called = wished.title.unwrap_or_else(|| copy_title(original, |title| titles.contains(title)));
    let mut fields = Map::new();
    fields.extend(wished.id.map(|id| ("id".to_owned(), Value::from(id))));
    let copy = new_id(api, &mut fields, |_| format!("{id}-copy"))?;
    who.0.may_ask_for(&copy)?;
    let mut keys = Map::new();
    keys.insert("title".to_owned(), called.into());
    keys.insert("active".to_owned(), false.into());
    keys.insert("schedule".to_owned(), Value::Null);
    title(&keys)?;
    let text = with_keys(&text, &keys).map_err(|why| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "patch", why))?;
    let doc = DocId::Agent(copy.as_str().into());
    let change = Change { api, who, doc: doc.clone(), dry, action: "agent.clone" };
    let edited = change.make(vec![Edit { doc, upon: None, to: Wanted::Text(text) }]).await.map_err(taken)?;
    change.answer(if dry.is() { StatusCode::OK } else { StatusCode::CREATED }, &edited)
}

/// `{title} (copy)`, counted on when taken (CLONE-03).
pub(in crate::web::api) fn copy_title(title: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let suffix = " (copy)";
    let kept: String = title.chars().take(MAX_TITLE - suffix.len()).collect();
    unique_title(&format!("{kept}{suffix}"), is_taken)
}

/// Which way a switch is moved.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web::api) struct Flip {
    /// On, or off. Both at once, whatever is scheduled.
    pub(in crate::web::api) active: bool,
    /// Off until this moment (RFC 3339), when it is on again by itself.
    #[schema(format = DateTime)]
    pub(in crate::web::api) until: Option<String>,
}

impl Flip {
    /// The keys of a document that say so.
    ///
    /// # Errors
    /// `schedule_past`, or a moment until which it would be on.
    pub(in crate::web::api) fn keys(&self, scheduled: &Schedule) -> Result<Map<String, Value>, Problem> {
        let until = match self.until.as_deref().map(str::parse::<Timestamp>).transpose() {
            Ok(until) => until,
            Err(_) => {
                let message = "A moment is RFC 3339 with its offset from UTC, such as 2026-12-24T08:00:00+01:00.";
                return Err(Problem::wrong(vec![Wrong::field("until", "until", message)]));
            }
        };
        let switch = match (self.active, until) {
            (true, None) => Switch::On,
            (false, None) => Switch::Off,
            (false, Some(until)) => Switch::OffUntil(until),
            (true, Some(_)) => {
                let message = "until goes with active = false: it is off until then.";
                return Err(Problem::wrong(vec![Wrong::field("until", "until", message)]));
            }
        };
        let switched = switch.apply(scheduled, Timestamp::now()).map_err(|no| match no.field {
            Some("schedule.activate_at") => Problem::wrong(vec![Wrong::field("until", no.code, no.message)]),
            _ => Problem::from(no),
        })?;
        let mut keys = Map::new();
        keys.insert("active".to_owned(), switched.active.into());
        keys.insert("schedule".to_owned(), moments(&switched.schedule));
        Ok(keys)
    }
}

/// A schedule as documents say it; `null` without one.
fn moments(schedule: &Schedule) -> Value {
    if *schedule == Schedule::default() {
        return Value::Null;
    }
    schedule_of(schedule)
}

/// An agent, switched on or off
///
/// At once, for all of its deployments. Running calls go on. What was scheduled and is void by it is cleared.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{id}/switch",
    tag = "Agents",
    params(("id" = String, Path, description = "Its name"), Dry),
    request_body = Flip,
    responses((status = 200, description = "It is switched, or would be", body = DocumentAnswer))
)]
pub(super) async fn switch(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Query(dry): Query<Dry>,
    headers: HeaderMap,
    Json(flip): Json<Flip>,
) -> Result<Response, Problem> {
    let change = reach(&api, &who, &id, dry, "agent.switch")?;
    let config = api.handle.config();
    let agent = config.personas.get(&id).ok_or_else(|| Problem::absent("agent", &id))?;
    let edited = change.keys(&headers, flip.keys(&agent.standing.schedule)?).await?;
    change.answer(StatusCode::OK, &edited)
}

/// What an emergency has ended.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Ended {
    /// Calls that are being ended, on all servers; those that ring are taken back.
    calls: u64,
    /// Servers that have not said within two seconds that they have ended theirs: ask again, or look at them.
    silent: Vec<String>,
}

/// An agent, off in an emergency
///
/// It is inactive at once, and its calls on all servers are ended with their farewell. No lock stands in its way, and no fault
/// of its document: where that is wrong, its last good version takes its place, inactive.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{id}/emergency-off",
    tag = "Agents",
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, description = "It is off", body = Ended))
)]
pub(super) async fn emergency_off(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
) -> Result<Json<Ended>, Problem> {
    let change = reach(&api, &who, &id, Dry::default(), "agent.emergency_off")?;
    let config = api.handle.config();
    let agent = config.personas.get(&id).ok_or_else(|| Problem::absent("agent", &id))?;
    let switched = Switch::Emergency.apply(&agent.standing.schedule, Timestamp::now())?;
    let mut keys = Map::new();
    keys.insert("active".to_owned(), switched.active.into());
    keys.insert("schedule".to_owned(), moments(&switched.schedule));
    let switched = change.keys_at_any_rate(keys.clone()).await;
    // Calls end whether its document can be written or not.
    let ended = api.handle.end_all_of(&id, keys, &who.0.name()).await;
    switched?;
    let ended = ended?;
    Ok(Json(Ended { calls: ended.calls, silent: ended.silent }))
}
