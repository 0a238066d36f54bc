//! What happens in calls, as server-sent events (API-10): all of it, or a call's.
//!
//! Each event has a number, which only grows; `Last-Event-ID` goes on behind it, as far as this server remembers. A watcher that is
//! left too far behind is told so by `reset`, and begins anew.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{sleep, timeout};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::engine::Role;
use crate::house::calls::Status;
use crate::serve::feed::{News, Told, What};
use crate::web::extract::{Nothing, Path, Query, Several};
use crate::web::problem::{Problem, Wrong};
use crate::web::standing::Standing;
use crate::web::{Api, Who};

use super::calls::{self, CallItem};

/// Watchers at once.
static WATCHING: Semaphore = Semaphore::const_new(512);
/// Who hears nothing for so long is told that all is well.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// After this a watcher comes again, by its number.
const LONGEST: Duration = Duration::from_secs(600);
/// While the server is being shut down.
const DRAINING: Duration = Duration::from_secs(2);
/// How often it is looked whether it is.
const LOOK: Duration = Duration::from_secs(1);
/// What comes within this is sent together: many watchers of many calls would else be woken for each word of each.
const GATHER: Duration = Duration::from_millis(20);
/// Events that are taken from the ring in one go.
const SOME: usize = 64;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(all)).routes(routes!(of_call))
}

/// Which events are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// `call.*`, or names of events with commas between them; all if it is left out.
    #[param(value_type = Option<String>)]
    types: Option<Several>,
}

/// One event: `id` is its number, `event` its name, and `data` this.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[allow(dead_code)] // its shape in the API's document: what is sent has more, by the event's name
struct CallEventItem {
    /// When: RFC 3339, UTC.
    at: String,
    /// The call as lists show it, with `call.dialing`, `call.started`, `call.ended` and `call.failed`; otherwise its id.
    #[schema(value_type = Object)]
    call: Value,
}

/// What happens in calls, live
///
/// Server-sent events: `call.dialing`, `call.started`, `call.said`, `call.turn`, `call.interrupted`, `call.tool`,
/// `call.transferring`, `call.ended`, `call.failed`, `call.analysed`. `Last-Event-ID` goes on where it ended; `event: reset` says that
/// too much was missed. The stream ends after ten minutes: come again by `Last-Event-ID`, as browsers do by themselves. It also
/// ends, within seconds, when whoever watches may not any more.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "Events",
    params(
        Wanted,
        ("Last-Event-ID" = Option<String>, Header, description = "The number of the last event that was seen")
    ),
    responses((status = 200, description = "Events, for as long as the connection lasts", body = CallEventItem, content_type = "text/event-stream"))
)]
async fn all(
    State(api): State<Api>,
    Who(who): Who,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let names = names(&wanted.types.unwrap_or_default().0)?;
    let standing = Standing::new(&api, who, "GET", "/api/v1/events");
    watch(&api, standing, names, None, &headers)
}

/// What happens in a call, live
///
/// As `/api/v1/events`, of this call alone. First comes `event: call`, without a number: the call as it is now. After its end the
/// stream ends.
#[utoipa::path(
    get,
    path = "/api/v1/calls/{id}/events",
    tag = "Events",
    params(
        ("id" = String, Path, description = "The call's id"),
        ("Last-Event-ID" = Option<String>, Header, description = "The number of the last event that was seen")
    ),
    responses((status = 200, description = "Events, until the call is over", body = CallEventItem, content_type = "text/event-stream"))
)]
async fn of_call(
    State(api): State<Api>,
    Who(who): Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let listed = calls::seen(&api, &who, &id).await?;
    let standing = Standing::new(&api, who, "GET", "/api/v1/calls/{id}/events");
    watch(&api, standing, None, Some(listed), &headers)
}

/// The names that are asked for; `None`: all.
fn names(types: &[String]) -> Result<Option<Vec<&'static str>>, Problem> {
    if types.is_empty() || types.iter().any(|name| name == "call.*" || name == "*") {
        return Ok(None);
    }
    let known: Option<Vec<_>> = types.iter().map(|name| What::NAMES.into_iter().find(|known| known == name)).collect();
    let wrong = || {
        let message = format!("Types are call.* or some of {}.", What::NAMES.join(", "));
        Problem::wrong(vec![Wrong::parameter("types", "types", message)])
    };
    known.map(Some).ok_or_else(wrong)
}

/// Somebody who watches.
struct Watcher {
    api: Api,
    standing: Standing,
    names: Option<Vec<&'static str>>,
    /// Only this call.
    call: Option<String>,
    latest: watch::Receiver<u64>,
    /// Everything up to this number was seen.
    seen: u64,
    waiting: VecDeque<Event>,
    /// Nothing follows what waits.
    over: bool,
    since: Instant,
    _permit: SemaphorePermit<'static>,
}

fn watch(
    api: &Api,
    standing: Standing,
    names: Option<Vec<&'static str>>,
    call: Option<crate::store::Listed>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let too_many = || Problem::unavailable("watchers", "So many watch already that there is no room for more.", 10);
    let permit = WATCHING.try_acquire().map_err(|_| too_many())?;
    let mut latest = api.handle.feed().latest();
    let now = *latest.borrow_and_update();
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::trim);
    let mut waiting = VecDeque::new();
    let seen = match last.filter(|last| !last.is_empty()) {
        None => now,
        // What is no number of ours was missed, whatever it was.
        Some(last) => last.parse().unwrap_or(u64::MAX),
    };
    let mut over = false;
    if let Some(listed) = &call {
        over = !Status::from_name(&listed.status).is_some_and(Status::is_live) && last.is_none();
        let config = api.handle.config();
        let item = CallItem::new(listed.clone(), &config.server.billing);
        waiting.extend(Event::default().event("call").json_data(item));
    }
    let watcher = Watcher {
        api: api.clone(),
        standing,
        names,
        call: call.map(|listed| listed.id),
        latest,
        seen,
        waiting,
        over,
        since: Instant::now(),
        _permit: permit,
    };
    let events = stream::unfold(watcher, async |mut watcher| {
        let event = watcher.next().await?;
        Some((Ok::<_, Infallible>(event), watcher))
    });
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("all is well"));
    let mut response = sse.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies pass it on as it comes.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

impl Watcher {
    /// The next event, however long that takes; `None`: the stream is over.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if !self.standing.holds().await {
                self.api.handle.count_watcher("standing");
                return None;
            }
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let longest = if self.api.handle.is_draining() { DRAINING } else { LONGEST };
            if self.over || self.since.elapsed() >= longest {
                return None;
            }
            match self.api.handle.feed().after(self.seen, SOME) {
                News::Lost(latest) => {
                    self.seen = latest;
                    self.api.handle.count_watcher("behind");
                    return Event::default().event("reset").id(latest.to_string()).json_data(json!({})).ok();
                }
                News::Events(events) if events.is_empty() => {
                    // Whoever tells lives as long as the server; a look now and then is for its end.
                    let more = tokio::select! {
                        more = timeout(LOOK, self.latest.changed()) => more.is_ok(),
                        () = self.standing.changed() => false,
                    };
                    if more {
                        sleep(GATHER).await;
                    }
                }
                News::Events(events) => {
                    for told in events {
                        self.take(&told);
                    }
                    // What is taken in one go is made in one go: others have their turn in between.
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    fn take(&mut self, told: &Told) {
        self.seen = told.id;
        if self.over
            || !self.standing.who().sees(&told.agent)
            || self.call.as_ref().is_some_and(|call| *call != told.call)
        {
            return;
        }
        let name = told.what.name();
        if self.names.as_ref().is_some_and(|names| !names.contains(&name)) {
            return;
        }
        self.over = self.call.is_some() && matches!(told.what, What::Over(_));
        let event = Event::default().event(name).id(told.id.to_string()).json_data(self.data(told));
        self.waiting.extend(event);
    }

    /// What an event says.
    fn data(&self, told: &Told) -> Value {
        let at = crate::store::written(told.at_ms);
        let with = |more: Value| {
            let mut data = json!({ "at": at, "call": told.call });
            if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
                data.extend(more);
            }
            data
        };
        match &told.what {
            What::Dialing(listed) | What::Started(listed) | What::Over(listed) => {
                let config = self.api.handle.config();
                json!({ "at": at, "call": CallItem::new((**listed).clone(), &config.server.billing) })
            }
            What::Said(said) => with(json!({
                "who": if said.who == Role::Caller { "caller" } else { "agent" },
                "at_ms": said.at_ms,
                "text": said.text,
                "unheard": said.unheard,
            })),
            What::Turn { turn } => with(json!({ "turn": turn })),
            What::Interrupted { heard_ms } => with(json!({ "heard_ms": heard_ms })),
            What::Tool { name } => with(json!({ "tool": name })),
            What::Transferring { to } => with(json!({ "to": to })),
            What::Analysed => with(json!({})),
        }
    }
}
