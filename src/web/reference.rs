//! The reference page, `/docs/api`: made from the API's document, without a line of script.

use axum::extract::State;
use axum::response::Html;
use maud::{DOCTYPE, html};
use utoipa::openapi::OpenApi;

use super::Api;
use super::extract::{Nothing, Query};

/// The reference of the API as a page.
#[utoipa::path(
    get,
    path = "/docs/api",
    tag = "Reference",
    responses((status = 200, description = "The page", body = String, content_type = "text/html"))
)]
pub(super) async fn reference(State(api): State<Api>, _: Query<Nothing>) -> Html<String> {
    Html(api.reference.to_string())
}

pub(super) fn page(document: &OpenApi) -> String {
    html! { (DOCTYPE) html lang="en" { head { title { "offhook" } } body { h1 { (document.info.title) } } } }
        .into_string()
}
