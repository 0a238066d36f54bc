//! A page of the web, fetched: from public addresses, within a time, of a bounded size.

use std::time::Duration;

use reqwest::header::{
    ACCEPT, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
};
use reqwest::{Client, Response, Url};

use crate::house::knowledge::MAX_PAGE_BYTES;
use crate::serve::reach::{Reach, Refused};
use crate::store::Fetched;

/// For all of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Other addresses that a server sends us to; each is checked as the first.
const HOPS: usize = 4;
/// Of what a server says of its version.
const MAX_VERSION: usize = 500;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// The page.
    Page(Fetched),
    /// It is as it was.
    Same,
}

/// What is known of the version that was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Version<'a> {
    pub(super) etag: Option<&'a str>,
    pub(super) modified: Option<&'a str>,
}

/// Fetches the page at `url`; `private` lets addresses on this machine and its network be asked.
///
/// # Errors
/// Why there is none, in words.
pub(super) async fn fetch(reach: &Reach, url: &str, known: Version<'_>, private: bool) -> Result<Came, String> {
    let fetched = async {
        let mut url = Url::parse(url).map_err(|_| "its address is none".to_owned())?;
        for _ in 0..HOPS {
            let client = allowed(reach, &url, private)?;
            match once(client, &url, known).await? {
                Ok(came) => return Ok(came),
                Err(elsewhere) => url = url.join(&elsewhere).map_err(|_| "its server sends us nowhere".to_owned())?,
            }
        }
        Err("its server sends us from one address to the next".to_owned())
    };
    let late = || Err(format!("its server does not answer within {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, fetched).await.unwrap_or_else(|_| late())
}

fn allowed<'a>(reach: &'a Reach, url: &Url, private: bool) -> Result<&'a Client, String> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("its address does not begin with http:// or https://".to_owned());
    }
    reach.client(url, private).map_err(|Refused| not_public())
}

fn not_public() -> String {
    "its address is not public: pages on this machine or its network are not fetched".to_owned()
}

/// The page; or where else it is.
async fn once(client: &Client, url: &Url, known: Version<'_>) -> Result<Result<Came, String>, String> {
    let mut request =
        client.get(url.clone()).header(ACCEPT, "text/html, text/markdown, text/plain, application/pdf;q=0.9");
    for (name, value) in [(IF_NONE_MATCH, known.etag), (IF_MODIFIED_SINCE, known.modified)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    let mut answer = request.send().await.map_err(|error| words(&error))?;
    let status = answer.status().as_u16();
    let said = |name: HeaderName| header(answer.headers(), &name);
    match status {
        304 => return Ok(Ok(Came::Same)),
        301 | 302 | 303 | 307 | 308 => {
            return said(LOCATION)
                .map(Err)
                .ok_or_else(|| format!("its server answers {status} and does not say where it is"));
        }
        200 => {}
        _ => return Err(format!("its server answers {status}")),
    }
    let (declared, etag, modified) = (said(CONTENT_TYPE).unwrap_or_default(), said(ETAG), said(LAST_MODIFIED));
    let bytes = body(&mut answer).await?;
    Ok(Ok(Came::Page(Fetched { bytes, declared, etag, modified })))
}

async fn body(answer: &mut Response) -> Result<Vec<u8>, String> {
    let too_large = || format!("it has more than {} MB", MAX_PAGE_BYTES / 1_000_000);
    if answer.content_length().is_some_and(|length| length > MAX_PAGE_BYTES) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| words(&error))? {
        if (bytes.len() + chunk.len()) as u64 > MAX_PAGE_BYTES {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (!value.is_empty() && value.len() <= MAX_VERSION).then(|| value.to_owned())
}

fn words(error: &reqwest::Error) -> String {
    if Refused::caused(error) { not_public() } else { "its server cannot be reached".to_owned() }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::response::IntoResponse as _;
    use axum::routing::get;

    use super::*;

    async fn server() -> String {
        let page = |headers: HeaderMap| async move {
            match headers.get("if-none-match").is_some_and(|etag| etag == "\"1\"") {
                true => StatusCode::NOT_MODIFIED.into_response(),
                false => {
                    ([("content-type", "text/html; charset=utf-8"), ("etag", "\"1\"")], "<p>Words.").into_response()
                }
            }
        };
        let big = || async { vec![b'x'; MAX_PAGE_BYTES as usize + 1] };
        let app = Router::new()
            .route("/page", get(page))
            .route("/moved", get(|| async { (StatusCode::FOUND, [("location", "/page")]) }))
            .route("/round", get(|| async { (StatusCode::FOUND, [("location", "/round")]) }))
            .route("/file", get(|| async { (StatusCode::FOUND, [("location", "file:///etc/passwd")]) }))
            .route("/big", get(big));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("http://{addr}")
    }

    #[tokio::test]
    async fn agt_04_a_page_is_fetched_within_bounds_and_asked_for_by_its_version() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (server, reach) = (server().await, Reach::new().unwrap());
        let get = async |path: &str, known| fetch(&reach, &format!("{server}{path}"), known, true).await;
        let page = Fetched {
            bytes: b"<p>Words.".to_vec(),
            declared: "text/html; charset=utf-8".to_owned(),
            etag: Some("\"1\"".to_owned()),
            modified: None,
        };
        for path in ["/page", "/moved"] {
            assert_eq!(get(path, Version::default()).await, Ok(Came::Page(page.clone())));
        }
        assert_eq!(get("/page", Version { etag: Some("\"1\""), modified: None }).await, Ok(Came::Same));
        for (path, words) in [
            ("/nothing", "its server answers 404"),
            ("/big", "it has more than 2 MB"),
            ("/round", "its server sends us from one address to the next"),
            ("/file", "its address does not begin with http:// or https://"),
        ] {
            assert_eq!(get(path, Version::default()).await, Err(words.to_owned()), "{path}");
        }
        let private = fetch(&reach, &format!("{server}/page"), Version::default(), false).await;
        assert_eq!(private, Err(not_public()), "SEC-07");
    }
}
