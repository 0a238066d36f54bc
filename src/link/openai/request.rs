//! How to connect.

use crate::config::{Model, Secret};

/// The WebSocket upgrade that opens a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `ws://` or `wss://`, with its query.
    pub url: String,
    /// Headers beyond those of the upgrade itself, names in lower case.
    pub headers: Vec<(String, Secret)>,
}

/// The upgrade for `model`. An `OpenAI-Beta` header is dropped, wherever it comes from: the API refuses sessions that
/// carry it (`beta_api_shape_disabled`).
pub fn request(model: &Model) -> Request {
    let mut headers = Vec::with_capacity(model.headers.len() + 1);
    if let Some(key) = &model.api_key {
        headers.push(("authorization".to_owned(), Secret::new(format!("Bearer {}", key.expose()))));
    }
    for (name, value) in &model.headers {
        let name = name.to_ascii_lowercase();
        if name != "openai-beta" {
            headers.retain(|(known, _)| *known != name);
            headers.push((name, value.clone()));
        }
    }
    Request { url: model.url.clone(), headers }
}
