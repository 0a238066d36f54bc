//! A request of an agent's document with its gaps filled in: what is put on the wire, without a socket.

use reqwest::Url;

use crate::base::template::{self, Part, Values};
use crate::config::{BodyKind, HeaderText, HttpRequest, Method};

/// A request that can be sent.
#[derive(Clone)]
pub struct Filled {
    /// How it is asked.
    pub method: Method,
    /// Of a host that may be asked, as far as its name says.
    pub url: Url,
    /// Names and values; `true`: the value is a secret.
    pub headers: Vec<(String, String, bool)>,
    /// `None`: nothing is sent along.
    pub body: Option<String>,
}

/// Fills in `request`. Where the document says nothing of a body, `otherwise` is sent, which is JSON, if the method has a
/// body at all.
///
/// # Errors
/// In words for whoever gave the values.
pub fn fill(request: &HttpRequest, values: &Values<'_>, otherwise: &str) -> Result<Filled, String> {
    let url = template::url::render(&request.url, values)?;
    let url = Url::parse(&url).map_err(|error| format!("the address is not one ({error})"))?;
    let host = url.host_str().unwrap_or_default();
    if !request.may_ask(host) {
        return Err(format!("{host} is not one of the hosts that may be asked"));
    }
    let mut headers = Vec::with_capacity(request.headers.len() + 1);
    for (name, text) in &request.headers {
        let (value, secret) = match text {
            HeaderText::Secret(secret) => (secret.expose().to_owned(), true),
            HeaderText::Text(template) => (template.fill(values), false),
        };
        if value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
            return Err(format!("the value of header {name} has a line break or another control character"));
        }
        headers.push((name.clone(), value, secret));
    }
    let body = match &request.body {
        _ if !request.method.has_body() => None,
        None => Some(otherwise.to_owned()),
        Some(template) => Some(match request.body_kind {
            BodyKind::Json => template::json::render(template, values),
            BodyKind::Text => template.fill(values),
            BodyKind::Form => {
                let mut out = String::new();
                for part in template.parts() {
                    match part {
                        Part::Text(text) => out.push_str(text),
                        Part::Variable { name, .. } => {
                            let value = values.get(name).map(template::Filling::text).unwrap_or_default();
                            template::url::encode(&value, &mut out);
                        }
                    }
                }
                out
            }
        }),
    };
    if body.is_some() && !headers.iter().any(|(name, ..)| name.eq_ignore_ascii_case("content-type")) {
        headers.push(("Content-Type".to_owned(), "application/json".to_owned(), false));
    }
    Ok(Filled { method: request.method, url, headers, body })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::template::{Template, Variables};
    use crate::config::Secret;

    fn request(url: &str, body: Option<&str>, kind: BodyKind) -> HttpRequest {
        let template = |text: &str| Template::parse(text).unwrap();
        HttpRequest {
            method: Method::Post,
            url: template(url),
            headers: vec![
                ("Authorization".into(), HeaderText::Secret(Secret::new("Bearer hush"))),
                ("X-Name".into(), HeaderText::Text(template("{{crm.name}}"))),
            ],
            body: body.map(template),
            body_kind: kind,
            hosts: vec!["*.crm.example".into(), "api.example".into()],
            allow_private: false,
            max_response_bytes: 1,
            retries: 0,
        }
    }

    fn filled(request: &HttpRequest, name: &str, id: &str) -> Result<Filled, String> {
        let variables = Variables::from([("crm.name".to_owned(), name.to_owned())]);
        let arguments = json!({ "id": id });
        fill(request, &Values::new(&variables).with("args", &arguments), "{\"all\":1}")
    }

    #[test]
    fn values_cannot_leave_their_place() {
        let form = request("https://api.example/c/{{args.id}}", Some("a={{args.id}}&b=1"), BodyKind::Form);
        let filled_in = filled(&form, "Anna", "x&admin=1/..").unwrap();
        assert_eq!(filled_in.url.as_str(), "https://api.example/c/x%26admin%3D1%2F..");
        assert_eq!(filled_in.body.as_deref(), Some("a=x%26admin%3D1%2F..&b=1"));
        let broken = filled(&form, "Anna\r\nX-Admin: 1", "x").err().unwrap();
        assert_eq!(broken, "the value of header X-Name has a line break or another control character");
        let open = request("https://{{args.id}}/c", None, BodyKind::Json);
        assert_eq!(filled(&open, "", "eu.crm.example").unwrap().url.host_str(), Some("eu.crm.example"));
        for host in ["crm.example", "evilcrm.example", "api.example.evil", "127.0.0.1", "2130706433"] {
            assert!(filled(&open, "", host).is_err(), "{host}");
        }
    }

    #[test]
    fn without_a_body_of_its_own_everything_is_sent_as_json() {
        let plain = filled(&request("https://api.example/", None, BodyKind::Json), "Anna", "x").unwrap();
        assert_eq!(plain.body.as_deref(), Some("{\"all\":1}"));
        assert_eq!(plain.headers.last().unwrap(), &("Content-Type".into(), "application/json".into(), false));
        let get = HttpRequest { method: Method::Get, ..request("https://api.example/", None, BodyKind::Json) };
        assert!(filled(&get, "Anna", "x").unwrap().body.is_none());
    }
}
