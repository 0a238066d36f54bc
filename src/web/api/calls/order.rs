//! What is asked of calls that are up.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::house::calls::{Status, line};
use crate::house::principal::Principal;
use crate::serve::{CallRefused, Order};
use crate::web::extract::{Json, Nothing, Path, Query};
use crate::web::problem::{Problem, Wrong};
use crate::web::{Api, Who};

/// It was passed on to the call.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Passed {
    /// The call.
    call: String,
}

/// A line to say.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// What the agent is to say, in these words: 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    text: String,
}

/// Whom to put the caller through to.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Transfer {
    /// A destination of the agent's, by its name.
    #[schema(min_length = 1, max_length = 64)]
    to: String,
}

/// End a call
///
/// One that talks ends politely, one that rings is taken back.
#[utoipa::path(
    post,
    path = "/api/v1/calls/{id}/end",
    tag = "Calls",
    params(("id" = String, Path, description = "The call's id")),
    responses(
        (status = 202, description = "It was passed on", body = Passed),
        (status = 409, description = "The call is over, or its server is gone", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "The server that has the call took it and has not said what came of it", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn end(
    State(api): State<Api>,
    Who(who): Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
) -> Result<Response, Problem> {
    super::seen(&api, &who, &id).await?;
    order(&api, &who, &id, Order::End).await
}

/// Take back a call that nobody has answered
///
/// At once, or as soon as it is known which call of the carrier's it is.
#[utoipa::path(
    post,
    path = "/api/v1/calls/{id}/cancel",
    tag = "Calls",
    params(("id" = String, Path, description = "The call's id")),
    responses(
        (status = 202, description = "It was passed on", body = Passed),
        (status = 409, description = "It was answered, or is over", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "The server that has the call took it and has not said what came of it", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn cancel(
    State(api): State<Api>,
    Who(who): Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
) -> Result<Response, Problem> {
    let listed = super::seen(&api, &who, &id).await?;
    match Status::from_name(&listed.status) {
        Some(Status::InProgress) => {
            let detail = format!("It was answered; end it by POST /api/v1/calls/{id}/end.");
            Err(Problem::new(StatusCode::CONFLICT, "answered", detail))
        }
        // What nobody knows the outcome of may ring yet.
        Some(Status::Dialing | Status::Failed) => order(&api, &who, &id, Order::Cancel).await,
        _ => Err(over()),
    }
}

/// End the caller's turn
///
/// For agents that are told when it is their turn (`turn_detection` `disabled`).
#[utoipa::path(
    post,
    path = "/api/v1/calls/{id}/commit",
    tag = "Calls",
    params(("id" = String, Path, description = "The call's id")),
    responses(
        (status = 202, description = "It was passed on", body = Passed),
        (status = 409, description = "The call is over, or its server is gone", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "The server that has the call took it and has not said what came of it", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn commit(
    State(api): State<Api>,
    Who(who): Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
) -> Result<Response, Problem> {
    super::seen(&api, &who, &id).await?;
    order(&api, &who, &id, Order::Commit).await
}

/// Have the agent say a line
///
/// In its own voice, once it has said what it is saying. Nothing comes of it before the conversation has begun and while it ends.
#[utoipa::path(
    post,
    path = "/api/v1/calls/{id}/say",
    tag = "Calls",
    params(("id" = String, Path, description = "The call's id")),
    request_body = Line,
    responses(
        (status = 202, description = "It was passed on", body = Passed),
        (status = 409, description = "The call is over, rings, or its server is gone", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "The server that has the call took it and has not said what came of it", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn say(
    State(api): State<Api>,
    Who(who): Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
    Json(body): Json<Line>,
) -> Result<Response, Problem> {
    super::seen(&api, &who, &id).await?;
    let text = line(&body.text)?.to_owned();
    order(&api, &who, &id, Order::Say(text)).await
}

/// Put the caller through
///
/// To a destination of the agent's, once they have heard what is said before. If nobody answers there they come back.
#[utoipa::path(
    post,
    path = "/api/v1/calls/{id}/transfer",
    tag = "Calls",
    params(("id" = String, Path, description = "The call's id")),
    request_body = Transfer,
    responses(
        (status = 202, description = "It was passed on", body = Passed),
        (status = 409, description = "The call is over, rings, or its server is gone", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "The server that has the call took it and has not said what came of it", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn transfer(
    State(api): State<Api>,
    Who(who): Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
    Json(body): Json<Transfer>,
) -> Result<Response, Problem> {
    let listed = super::seen(&api, &who, &id).await?;
    let config = api.handle.config();
    let agent = config.deployments.get(&listed.deployment).map(|deployment| &deployment.agent);
    let known: Vec<&str> = agent.iter().flat_map(|agent| agent.destinations.iter()).map(|d| d.name.as_str()).collect();
    if !known.contains(&body.to.as_str()) {
        let message = match known.as_slice() {
            [] => "This agent has no destinations that callers could be put through to.".to_owned(),
            known => format!("There is no such destination; there are: {}.", known.join(", ")),
        };
        return Err(Problem::wrong(vec![Wrong::field("to", "destination", message)]));
    }
    order(&api, &who, &id, Order::PutThrough(body.to)).await
}

/// Asks it of the call, on whichever server that is.
async fn order(api: &Api, who: &Principal, id: &str, order: Order) -> Result<Response, Problem> {
    let (action, detail) = match &order {
        Order::End => ("call.end", None),
        Order::Cancel => ("call.cancel", None),
        Order::Commit => ("call.commit", None),
        Order::Say(_) => ("call.say", None),
        Order::PutThrough(to) => ("call.transfer", Some(json!({ "to": to }))),
    };
    match api.handle.order(id, order).await {
        Ok(()) => {
            noted(api, who, action, id, detail).await;
            Ok(passed(id))
        }
        Err(refused) if refused.status == 404 => Err(over()),
        Err(refused) => {
            // It may have been done.
            if refused.status == 504 {
                noted(api, who, action, id, Some(json!({ "outcome": "unknown" }))).await;
            }
            Err(problem(refused))
        }
    }
}

/// In the audit log. What was asked is done by now, whether it can be noted or not.
async fn noted(api: &Api, who: &Principal, action: &str, call: &str, detail: Option<Value>) {
    if let Err(error) = api.handle.store().audit(&who.name(), action, call, detail).await {
        tracing::error!(%error, action, call, "it is not in the audit log");
    }
}

fn over() -> Problem {
    Problem::new(StatusCode::CONFLICT, "over", "The call is over.")
}

fn passed(id: &str) -> Response {
    (StatusCode::ACCEPTED, Json(Passed { call: id.to_owned() })).into_response()
}

/// What the server says of it.
pub(super) fn problem(refused: CallRefused) -> Problem {
    let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let sentence = sentence(&refused.message);
    match refused.status {
        422 => match refused.code.as_ref() {
            code @ ("deployment" | "to" | "variables") => Problem::wrong(vec![Wrong::field(code, code, sentence)]),
            code => Problem::new(status, code, sentence),
        },
        503 => Problem::unavailable(&refused.code, sentence, 1),
        429 => Problem::new(status, refused.code.as_ref(), sentence).header(axum::http::header::RETRY_AFTER, "60"),
        _ => Problem::new(status, refused.code.as_ref(), sentence),
    }
}

/// The words of `/v1`, which begin small and end without a stop.
fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    let first = chars.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    let text = format!("{first}{}", chars.as_str());
    if text.ends_with(['.', '!', '?']) { text } else { format!("{text}.") }
}
