//! `audit`: who did what to which object and when.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::members::page;
use super::when::When;
use crate::config::DocId;
use crate::store::people::{AuditFilter, AuditRow};
use crate::store::written;
use crate::web::Api;
use crate::web::documents::is_id;
use crate::web::extract::Query;
use crate::web::page::{Page, limit, no_cursor, place};
use crate::web::problem::Problem;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list))
}

/// Which entries are wanted; all that is said must be true.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Done to this: an id, an e-mail address, or a document's name; of an agent or a deployment its id or its document.
    object: Option<String>,
    /// Done by them: `user ann@example.com`, `key production`, `terminal`.
    who: Option<String>,
    /// Of this kind: `user.role`; or all of `user`.
    action: Option<String>,
    /// Not before: RFC 3339, a day, or so long ago, such as `-2d`.
    since: Option<String>,
    /// Before, likewise.
    until: Option<String>,
    /// Entries on a page: 1 to 100; 25 if it is left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
}

/// Something that somebody did.
#[derive(Serialize, ToSchema)]
struct AuditItem {
    /// When.
    at: String,
    /// Who: `user ann@example.com`, `key production`, `terminal`.
    who: String,
    /// What: a thing, a point, and a verb.
    action: String,
    /// To what: its id or its name.
    object: String,
    /// What there is to say beside.
    #[schema(value_type = Option<Object>)]
    detail: Option<Value>,
}

/// What was done, the newest first
///
/// Kept for 400 days.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    tag = "Audit",
    params(Filter),
    responses((status = 200, description = "Entries", body = Page<AuditItem>))
)]
async fn list(State(api): State<Api>, uri: Uri, Query(filter): Query<Filter>) -> Result<Response, Problem> {
    let limit = limit(filter.limit)?;
    let before = place(filter.cursor.as_deref())?.map(|place| place.parse::<i64>().map_err(|_| no_cursor()));
    let before = before.transpose()?;
    let when = When::of(&api);
    let wanted = AuditFilter {
        objects: filter.object.map(objects).unwrap_or_default(),
        who: filter.who,
        action: filter.action,
        since_ms: when.perhaps("since", filter.since.as_deref())?,
        until_ms: when.perhaps("until", filter.until.as_deref())?,
    };
    let rows = api.handle.store().people().audited(&wanted, before, u64::from(limit) + 1).await?;
    Ok(page(rows, limit, |row| row.seq.to_string(), item).answer(&uri))
}

/// As what entries may have it: agents and deployments stand there by their documents, and are asked for by their ids.
fn objects(object: String) -> Vec<String> {
    if !is_id(&object) {
        return vec![object];
    }
    let documents = [DocId::Agent(object.as_str().into()), DocId::Deployment(object.as_str().into())];
    documents.iter().map(DocId::to_string).chain([object]).collect()
}

fn item(row: AuditRow) -> AuditItem {
    AuditItem {
        at: written(row.at_ms),
        who: row.who,
        action: row.action,
        object: row.object,
        detail: row.detail.and_then(|text| serde_json::from_str(&text).ok()),
    }
}
