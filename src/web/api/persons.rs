//! `callers` and `erasures`: by what members are known when they call (ACC-06), and people who are to be forgotten (SEC-06).

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::Secret;
use crate::store::{Caller, Erasure, written};
use crate::web::extract::{Json, Nothing, Path, Query};
use crate::web::page::{self, Page, Wanted};
use crate::web::problem::Problem;
use crate::web::{Api, Who};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(callers))
        .routes(routes!(add_number))
        .routes(routes!(remove_number))
        .routes(routes!(set_pin, drop_pin))
        .routes(routes!(erasures, erase))
        .routes(routes!(erasure))
}

/// A member who is known when they call.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct CallerItem {
    /// The member's id.
    member: String,
    /// E-mail address.
    email: String,
    /// `member`, `builder`, `admin` or `owner`.
    role: &'static str,
    /// Numbers that they are known by, E.164.
    numbers: Vec<String>,
    /// Whether they have a PIN for calls whose number the carrier does not vouch for.
    has_pin: bool,
    /// Until when no PIN is looked at, after too many wrong ones (RFC 3339); `null`: the next one is.
    paused_until: Option<String>,
}

/// A number.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewNumber {
    /// E.164.
    #[schema(example = "+15550100001")]
    number: String,
}

/// A PIN.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPin {
    /// 4 to 8 digits.
    #[schema(example = "739104", write_only)]
    pin: String,
}

/// Members who are known when they call
///
/// By e-mail address. Those who have neither a number nor a PIN are not among them.
#[utoipa::path(
    get,
    path = "/api/v1/callers",
    tag = "Persons",
    params(Wanted),
    responses((status = 200, description = "Members with numbers or a PIN", body = Page<CallerItem>))
)]
async fn callers(State(api): State<Api>, uri: Uri, Query(wanted): Query<Wanted>) -> Result<Response, Problem> {
    let limit = page::limit(wanted.limit)? as usize;
    let after = page::place(wanted.cursor.as_deref())?;
    let mut all = api.handle.store().callers().list(after.as_deref(), limit as u64 + 1).await?;
    let more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| more).map(|last| page::cursor(&last.email));
    Ok(Page { items: all.into_iter().map(caller).collect(), next }.answer(&uri))
}

/// Let a member be known by a number
#[utoipa::path(
    post,
    path = "/api/v1/callers/{member}/numbers",
    tag = "Persons",
    params(("member" = String, Path, description = "The member's id")),
    request_body = NewNumber,
    responses((status = 204, description = "They are known by it"))
)]
async fn add_number(
    State(api): State<Api>,
    Who(who): Who,
    Path(member): Path<String>,
    _: Query<Nothing>,
    Json(new): Json<NewNumber>,
) -> Result<StatusCode, Problem> {
    api.handle.store().callers().add(&who.name(), &member, &new.number).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Let a member be known by a number no more
#[utoipa::path(
    delete,
    path = "/api/v1/callers/{member}/numbers/{number}",
    tag = "Persons",
    params(
        ("member" = String, Path, description = "The member's id"),
        ("number" = String, Path, description = "E.164")
    ),
    responses((status = 204, description = "They are not known by it any more"))
)]
async fn remove_number(
    State(api): State<Api>,
    Who(who): Who,
    Path((member, number)): Path<(String, String)>,
    _: Query<Nothing>,
) -> Result<StatusCode, Problem> {
    api.handle.store().callers().remove(&who.name(), Some(&member), &number).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give a member a PIN
///
/// In place of the one before; tries are counted anew.
#[utoipa::path(
    put,
    path = "/api/v1/callers/{member}/pin",
    tag = "Persons",
    params(("member" = String, Path, description = "The member's id")),
    request_body = NewPin,
    responses((status = 204, description = "It is theirs"))
)]
async fn set_pin(
    State(api): State<Api>,
    Who(who): Who,
    Path(member): Path<String>,
    _: Query<Nothing>,
    Json(new): Json<NewPin>,
) -> Result<StatusCode, Problem> {
    api.handle.store().callers().set_pin(&who.name(), &member, Secret::new(new.pin)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take a member's PIN away
#[utoipa::path(
    delete,
    path = "/api/v1/callers/{member}/pin",
    tag = "Persons",
    params(("member" = String, Path, description = "The member's id")),
    responses((status = 204, description = "They have none"))
)]
async fn drop_pin(
    State(api): State<Api>,
    Who(who): Who,
    Path(member): Path<String>,
    _: Query<Nothing>,
) -> Result<StatusCode, Problem> {
    api.handle.store().callers().drop_pin(&who.name(), &member).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn caller(caller: Caller) -> CallerItem {
    CallerItem {
        member: caller.id,
        email: caller.email,
        role: caller.role.name(),
        numbers: caller.numbers,
        has_pin: caller.has_pin,
        paused_until: caller.paused_until_ms.map(written),
    }
}

/// Who is to be forgotten.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Person {
    /// The other party's number in calls, E.164: who called, or was called.
    #[schema(example = "+15550100001")]
    number: String,
}

/// How to erase.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Dry {
    /// Only say what there is.
    dry_run: Option<bool>,
}

/// What there is of a person.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ThereIs {
    /// Calls with them.
    calls: u64,
    /// Those of them that are up.
    running: u64,
    /// Those that have a recording.
    recordings: u64,
    /// Events that wait for webhooks, or were given up.
    events: u64,
}

/// The receipt of an erasure: what was erased, and not who it was.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ErasureItem {
    /// Its id.
    id: String,
    /// A keyed hash of the number: the same for the same person on this store, and it leads back to nobody.
    subject: String,
    /// Who asked for it.
    asked_by: String,
    /// When (RFC 3339).
    asked: String,
    /// When all was gone; `null`: something is left.
    done: Option<String>,
    /// What was erased so far.
    erased: ErasedItem,
    /// What is left.
    left: LeftItem,
}

/// What was erased.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ErasedItem {
    /// Calls, with reports, transcripts and analyses.
    calls: i64,
    /// Those of them that had a recording.
    recordings: i64,
    /// Calls' folders.
    folders: i64,
    /// Events for webhooks that waited or were given up.
    events: i64,
    /// Attempts at webhooks in the log.
    attempts: i64,
    /// Jobs about the calls.
    jobs: i64,
    /// Requests to place them, of which the keys are left.
    dials: i64,
}

/// What is left.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct LeftItem {
    /// Calls that are up, or being looked into.
    calls: u64,
    /// Folders of servers that are away.
    folders: u64,
}

/// Forget a person
///
/// All that calls with them have left, on all servers; calls that are up when they end. It begins at once and goes on by itself.
/// To ask twice is harmless.
#[utoipa::path(
    post,
    path = "/api/v1/erasures",
    tag = "Persons",
    params(Dry),
    request_body = Person,
    responses(
        (status = 202, description = "It has begun", body = ErasureItem, headers(("location" = String, description = "The receipt"))),
        (status = 200, description = "What there is, with dry_run", body = ThereIs)
    )
)]
async fn erase(
    State(api): State<Api>,
    Who(who): Who,
    Query(dry): Query<Dry>,
    Json(person): Json<Person>,
) -> Result<Response, Problem> {
    let store = api.handle.store();
    if dry.dry_run == Some(true) {
        let found = store.found(&person.number).await?;
        let (calls, running) = (found.calls, found.running);
        let there_is = ThereIs { calls, running, recordings: found.recordings, events: found.events };
        return Ok(Json(there_is).into_response());
    }
    let begun = item(store.erase(&person.number, &who.name()).await?);
    let place = format!("/api/v1/erasures/{}", begun.id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, place)], Json(begun)).into_response())
}

/// Receipts of erasures
#[utoipa::path(
    get,
    path = "/api/v1/erasures",
    tag = "Persons",
    params(Wanted),
    responses((status = 200, description = "The newest first", body = Page<ErasureItem>))
)]
async fn erasures(State(api): State<Api>, uri: Uri, Query(wanted): Query<Wanted>) -> Result<Response, Problem> {
    let limit = page::limit(wanted.limit)? as usize;
    let before = page::place(wanted.cursor.as_deref())?;
    let mut all = api.handle.store().erasures(before.as_deref(), limit as u64 + 1).await?;
    let more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| more).map(|last| page::cursor(&last.receipt.id));
    Ok(Page { items: all.into_iter().map(item).collect(), next }.answer(&uri))
}

/// One receipt
#[utoipa::path(
    get,
    path = "/api/v1/erasures/{id}",
    tag = "Persons",
    params(("id" = String, Path, description = "The receipt's id")),
    responses((status = 200, description = "The receipt", body = ErasureItem))
)]
async fn erasure(
    State(api): State<Api>,
    Path(id): Path<String>,
    _: Query<Nothing>,
) -> Result<Json<ErasureItem>, Problem> {
    let found = api.handle.store().erasure(&id).await?;
    found.map(|found| Json(item(found))).ok_or_else(|| Problem::absent("erasure", &id))
}

fn item(erasure: Erasure) -> ErasureItem {
    let receipt = erasure.receipt;
    ErasureItem {
        id: receipt.id,
        subject: receipt.subject,
        asked_by: receipt.asked_by,
        asked: written(receipt.asked_ms),
        done: receipt.done_ms.map(written),
        erased: ErasedItem {
            calls: receipt.calls,
            recordings: receipt.recordings,
            folders: receipt.folders,
            events: receipt.events,
            attempts: receipt.attempts,
            jobs: receipt.jobs,
            dials: receipt.dials,
        },
        left: LeftItem { calls: erasure.calls_left, folders: erasure.folders_left },
    }
}
