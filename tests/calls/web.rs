//! A house with documents and more models, asked over its API: what the tests of documents and deployments share.

use std::fs;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::house::{House, Plan, Site, write};

/// The token of `[api]`.
pub(crate) const KEY: &str = "a-token-of-at-least-16-characters";

/// More models: where they are, and what is declared of them.
const MODELS: &str = "
[alpine]
kind = \"text\"
base_url = \"http://127.0.0.1:9/v1\"
model = \"a\"
vendor = \"Alpine AI\"
vendor_country = \"CH\"
hosting_country = \"CH\"
trains_on_data = false
price = { text_in = 0.5, text_out = 1.5 }
[valley]
kind = \"text\"
base_url = \"http://127.0.0.1:9/v1\"
model = \"v\"
vendor = \"Alpine AI\"
vendor_country = \"CH\"
hosting_country = \"CH\"
[coast]
kind = \"text\"
base_url = \"http://127.0.0.1:9/v1\"
model = \"c\"
vendor = \"Coast\"
vendor_country = \"US\"
hosting_country = \"US\"
";

pub(crate) struct Web {
    pub(crate) house: House,
    client: reqwest::Client,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }

    pub(crate) fn fields(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().map(|wrong| wrong["field"].as_str().unwrap_or_default()).collect()
    }

    pub(crate) fn said(&self, code: (u16, &str), detail: &str) {
        assert_eq!((self.code(), self.body["detail"].as_str()), (code, Some(detail)), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
    }
}

impl Web {
    pub(crate) async fn build(server: &str) -> Web {
        let site = Site::build(&Plan {
            server: server.to_owned(),
            twilio: "[api]\ntoken = { file = \"api-token\" }\n".to_owned(),
            agent: "greeting = { say = \"Greet.\" } # in a word\n".to_owned(),
            ..Plan::default()
        })
        .await;
        write(&site.config().join("api-token"), KEY);
        let models = site.config().join("models.toml");
        let text = fs::read_to_string(&models).expect("models");
        write(&models, &format!("{text}{MODELS}"));
        Web { house: House::ruled(site).await, client: reqwest::Client::new() }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let mut request = self.client.request(method, self.house.url(path));
        let mut all = HeaderMap::new();
        all.insert("authorization", HeaderValue::from_str(&format!("Bearer {KEY}")).unwrap());
        if body.is_some() {
            all.insert("content-type", HeaderValue::from_static("application/json"));
        }
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).unwrap();
            if value.is_empty() {
                all.remove(name);
            } else {
                all.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        request = request.headers(all);
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.expect("a body");
        Answer { status, headers, body: serde_json::from_str(&text).unwrap_or_default(), text }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, &format!("/api/v1{path}"), &[], None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, &format!("/api/v1{path}"), &[], Some(body.to_string())).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        let path = format!("/api/v1{path}");
        self.send(Method::PATCH, &path, &[("if-match", "*")], Some(body.to_string())).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, &format!("/api/v1{path}"), &[], None).await
    }

    pub(crate) fn file(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.house.site.config().join(path)).ok()
    }
}

/// What a list has, once it has so much.
pub(crate) async fn until_listed(web: &Web, path: &str, n: usize) -> Value {
    for _ in 0..200 {
        let items = web.get(path).await.body["items"].take();
        if items.as_array().is_some_and(|items| items.len() >= n) {
            return items;
        }
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
    panic!("{path}: there are not {n}");
}
