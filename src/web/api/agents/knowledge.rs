//! `agents/{id}/knowledge`: documents that an agent looks things up in (AGT-04).

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::DocId;
use crate::house::knowledge as rules;
use crate::serve::knowledge::source;
use crate::store::{KnowledgeRow, KnowledgeTaken, MAX_HITS, NewKnowledge, written};
use crate::web::documents;
use crate::web::extract::{self, Json, Nothing, Path, Query};
use crate::web::problem::{Problem, Wrong};
use crate::web::{Api, MAX_BODY_BYTES, MAX_DOCUMENT_BYTES, Who};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list, add))
        .routes(routes!(search))
        .routes(routes!(get, remove))
        .routes(routes!(read))
}

/// A document.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct DocumentItem {
    id: String,
    /// What people and models call it.
    title: String,
    /// `text`, `markdown`, `html` or `pdf`, by its content; `null`: it was never read.
    kind: Option<String>,
    /// The media type that it came with.
    media_type: String,
    /// Where it is fetched, daily; `null`: it was sent.
    url: Option<String>,
    /// Of its bytes.
    size_bytes: i64,
    /// `waiting`, `reading`, `ready` or `failed`. What was read before is found in every state.
    state: &'static str,
    /// Why it failed, or what should be known of how it was read.
    words: Option<String>,
    /// Of a PDF.
    pages: Option<i64>,
    /// Of its text.
    characters: i64,
    /// Passages that are found in it.
    passages: i64,
    /// When it was added, and by whom.
    added: String,
    added_by: String,
    /// When it was last read.
    read: Option<String>,
    /// When that was last tried, or a page found as it was.
    tried: Option<String>,
}

impl DocumentItem {
    fn of(row: KnowledgeRow) -> DocumentItem {
        DocumentItem {
            id: row.id,
            title: row.title,
            kind: row.kind,
            media_type: row.declared,
            url: row.url,
            size_bytes: row.size,
            state: row.state.name(),
            words: row.words,
            pages: row.pages,
            characters: row.characters,
            passages: row.passages,
            added: written(row.added_ms),
            added_by: row.added_by,
            read: row.read_ms.map(written),
            tried: row.tried_ms.map(written),
        }
    }
}

/// All documents of an agent, and how many there may be.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct DocumentList {
    /// In the order in which they were added.
    items: Vec<DocumentItem>,
    /// There is no further page.
    next: Option<String>,
    bounds: Bounds,
}

/// How much there is, and may be.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
struct Bounds {
    documents: u64,
    max_documents: u64,
    bytes: i64,
    max_bytes: u64,
    max_document_bytes: u64,
    max_page_bytes: u64,
}

/// An agent's documents
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}/knowledge",
    tag = "Knowledge",
    params(("id" = String, Path, description = "The agent")),
    responses((status = 200, description = "All of them, and the bounds", body = DocumentList))
)]
async fn list(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
) -> Result<Json<DocumentList>, Problem> {
    agent(&api, &who, &id).await?;
    let all = api.handle.store().knowledge().list(&id).await?;
    let bounds = Bounds {
        documents: all.len() as u64,
        max_documents: rules::MAX_DOCUMENTS,
        bytes: all.iter().map(|document| document.size).sum(),
        max_bytes: rules::MAX_BYTES_IN_ALL,
        max_document_bytes: rules::MAX_BYTES,
        max_page_bytes: rules::MAX_PAGE_BYTES,
    };
    Ok(Json(DocumentList { items: all.into_iter().map(DocumentItem::of).collect(), next: None, bounds }))
}

/// What a document is called.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Called {
    /// What people and models call it, 1 to 200 characters; otherwise what it calls itself.
    title: Option<String>,
}

/// A page that is to be fetched.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPage {
    /// Where it is: `https://…`, at a public address.
    url: String,
    /// What people and models call it; otherwise what it calls itself.
    title: Option<String>,
}

/// A document, added
///
/// The body is the document, with its media type: text, Markdown, HTML or PDF, at most 10 MB; its content decides what it is. Or
/// it is JSON with the `url` of a page, at most 2 MB, which is fetched now and every day. It is read soon: see `state`.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{id}/knowledge",
    tag = "Knowledge",
    params(("id" = String, Path, description = "The agent"), Called),
    request_body(
        description = "The document, or the address of a page",
        content(
            (String = "text/plain"),
            (String = "text/markdown"),
            (String = "text/html"),
            (Vec<u8> = "application/pdf"),
            (NewPage = "application/json")
        )
    ),
    responses(
        (status = 201, description = "It is there, and waits to be read", body = DocumentItem),
        (status = 422, description = "It is beyond a bound")
    )
)]
async fn add(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Query(called): Query<Called>,
    request: Request,
) -> Result<Response, Problem> {
    agent(&api, &who, &id).await?;
    let Ok(_room) = api.uploads.try_acquire() else {
        let detail = "Many documents are being taken in right now. Try again in a moment.";
        return Err(Problem::unavailable("uploads", detail, 5));
    };
    let declared = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let declared: String = declared.unwrap_or("application/octet-stream").chars().take(200).collect();
    let is_page = declared.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json");
    let most = if is_page { MAX_BODY_BYTES } else { MAX_DOCUMENT_BYTES };
    let body = to_bytes(request.into_body(), most).await;
    let by = who.0.name();
    let new = if is_page {
        let page: NewPage = extract::read(&body.map_err(|_| extract::too_large())?)?;
        let url = rules::page_url(&page.url)?;
        let title = page.title.or(called.title).map(|title| rules::title(&title)).transpose()?;
        let name = url.chars().take(rules::MAX_TITLE).collect();
        NewKnowledge { title, name, declared: String::new(), url: Some(url), bytes: Vec::new(), by }
    } else {
        let title = called.title.map(|title| rules::title(&title)).transpose()?;
        let bytes = body.map_err(|_| Problem::from(rules::too_large()))?.to_vec();
        NewKnowledge { title, name: "Untitled document".to_owned(), declared, url: None, bytes, by }
    };
    match api.handle.store().knowledge().add(&id, new).await? {
        KnowledgeTaken::New(document) => {
            api.handle.look_for_jobs();
            api.audit(&who, "knowledge.add", &format!("{id}/{}", document.id), None).await;
            Ok((StatusCode::CREATED, Json(DocumentItem::of(*document))).into_response())
        }
        KnowledgeTaken::No(no) => Err(no.into()),
    }
}

/// A document
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}/knowledge/{document}",
    tag = "Knowledge",
    params(("id" = String, Path, description = "The agent"), ("document" = String, Path, description = "The document's id")),
    responses((status = 200, description = "The document, without its bytes", body = DocumentItem))
)]
async fn get(
    State(api): State<Api>,
    who: Who,
    Path((id, document)): Path<(String, String)>,
    _: Query<Nothing>,
) -> Result<Json<DocumentItem>, Problem> {
    agent(&api, &who, &id).await?;
    let found = api.handle.store().knowledge().get(&id, &document).await?;
    found.map(|row| Json(DocumentItem::of(row))).ok_or_else(|| Problem::absent("document", &document))
}

/// A document, removed
///
/// With all that was read of it. Nothing of it is found from then on.
#[utoipa::path(
    delete,
    path = "/api/v1/agents/{id}/knowledge/{document}",
    tag = "Knowledge",
    params(("id" = String, Path, description = "The agent"), ("document" = String, Path, description = "The document's id")),
    responses((status = 204, description = "It is gone"))
)]
async fn remove(
    State(api): State<Api>,
    who: Who,
    Path((id, document)): Path<(String, String)>,
    _: Query<Nothing>,
) -> Result<StatusCode, Problem> {
    agent(&api, &who, &id).await?;
    if !api.handle.store().knowledge().remove(&id, &document).await? {
        return Err(Problem::absent("document", &document));
    }
    api.audit(&who, "knowledge.remove", &format!("{id}/{document}"), None).await;
    Ok(StatusCode::NO_CONTENT)
}

/// A document, read again
///
/// A page is fetched again. Until it is read, what was read before is found.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{id}/knowledge/{document}/read",
    tag = "Knowledge",
    params(("id" = String, Path, description = "The agent"), ("document" = String, Path, description = "The document's id")),
    responses((status = 202, description = "It waits to be read", body = DocumentItem))
)]
async fn read(
    State(api): State<Api>,
    who: Who,
    Path((id, document)): Path<(String, String)>,
    _: Query<Nothing>,
) -> Result<Response, Problem> {
    agent(&api, &who, &id).await?;
    let asked = api.handle.store().knowledge().read_again(&id, &document).await?;
    let row = asked.ok_or_else(|| Problem::absent("document", &document))?;
    api.handle.look_for_jobs();
    api.audit(&who, "knowledge.read", &format!("{id}/{document}"), None).await;
    Ok((StatusCode::ACCEPTED, Json(DocumentItem::of(row))).into_response())
}

/// What is looked for.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Search {
    /// As the agent would ask.
    query: String,
    /// Passages: 1 to 20; 5, as the agent is given, if it is left out.
    #[param(minimum = 1, maximum = 20)]
    limit: Option<usize>,
}

/// Passages that were found.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct FoundList {
    /// The best first.
    items: Vec<FoundItem>,
    next: Option<String>,
}

/// A passage.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct FoundItem {
    /// The document's id.
    document: String,
    /// What the document is called.
    title: String,
    /// The headings above it; may be empty.
    heading: String,
    /// Of a PDF.
    page: Option<i64>,
    /// As the agent is told where it stands.
    source: String,
    text: String,
}

/// An agent's documents, looked into
///
/// What the agent finds when it asks the same.
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}/knowledge/search",
    tag = "Knowledge",
    params(("id" = String, Path, description = "The agent"), Search),
    responses((status = 200, description = "Passages, the best first", body = FoundList))
)]
async fn search(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Query(search): Query<Search>,
) -> Result<Json<FoundList>, Problem> {
    agent(&api, &who, &id).await?;
    let limit = search.limit.unwrap_or(5);
    if !(1..=MAX_HITS).contains(&limit) {
        let message = format!("A search answers 1 to {MAX_HITS} passages.");
        return Err(Problem::wrong(vec![Wrong::parameter("limit", "limit", message)]));
    }
    let found = api.handle.store().knowledge().search(&id, &search.query, limit).await?;
    let items = found.into_iter().map(|hit| FoundItem {
        source: source(&hit),
        document: hit.document,
        title: hit.title,
        heading: hit.heading,
        page: hit.page,
        text: hit.text,
    });
    Ok(Json(FoundList { items: items.collect(), next: None }))
}

/// Whether there is such an agent, for whoever asks.
async fn agent(api: &Api, who: &Who, id: &str) -> Result<(), Problem> {
    who.0.may_ask_for(id)?;
    if !documents::is_id(id) {
        return Err(Problem::absent("agent", id));
    }
    documents::read(api, &DocId::Agent(id.into())).await.map(drop)
}
