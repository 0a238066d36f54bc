//! Who may tell us of calls: the carrier, by its signature. A handler that takes a [`Signed`] cannot forget to look.

use std::sync::Arc;
use std::time::Instant;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};

use crate::config::Config;
use crate::link::twilio::{manner, signature};
use crate::serve::Shared;
use crate::serve::public::Public;

/// Longest id or number that is looked at.
pub(in crate::serve) const MAX_FIELD: usize = 64;

/// A webhook whose sender is the carrier.
pub(in crate::serve) struct Signed {
    pub(in crate::serve) form: Trusted,
    /// What it was held against.
    pub(in crate::serve) config: Arc<Config>,
    pub(in crate::serve) uri: Uri,
    pub(in crate::serve) headers: HeaderMap,
    /// When it arrived.
    pub(in crate::serve) at: Instant,
}

impl FromRequest<Arc<Shared>> for Signed {
    type Rejection = Response;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Response> {
        let at = Instant::now();
        let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
        let form = Form::from_request(request, shared).await;
        let config = shared.config();
        let form = trusted(shared, &config, &method, &uri, &headers, form).map_err(|refusal| *refusal)?;
        Ok(Signed { form, config, uri, headers, at })
    }
}

/// A form whose sender is the carrier.
pub(in crate::serve) struct Trusted(Vec<(String, String)>);

impl Trusted {
    /// The first value of a field, if it is of a length that ids and numbers have.
    pub(in crate::serve) fn get(&self, name: &str) -> Option<&str> {
        self.text(name).filter(|value| value.len() <= MAX_FIELD)
    }

    /// The first value of a field that holds words, of whatever length: the form's own bound is the only one.
    pub(in crate::serve) fn text(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())?;
        (!value.is_empty()).then_some(value)
    }
}

fn trusted(
    shared: &Shared,
    config: &Config,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Result<Trusted, Box<Response>> {
    let Form(fields) = form.map_err(|rejection| {
        shared.metrics.rejected.add("form", 1);
        Box::new(rejection.into_response())
    })?;
    if config.server.twilio.check_signatures {
        let public = Public::of(&config.server, headers);
        let urls = [Some(public.webhook(uri)), public.webhook_as_asked(uri, headers)];
        let twilio = &config.server.twilio;
        let mut known = manner::of(twilio.profile).signature_headers.iter();
        let given = known.find_map(|name| headers.get(*name)).and_then(|value| value.to_str().ok()).unwrap_or("");
        // A GET is signed by its URL, which has the fields already.
        let signed: &[_] = if *method == Method::GET { &[] } else { &fields };
        let token = twilio.signs_with();
        let right = |token| urls.iter().flatten().any(|url| signature::verify_form(token, url, signed, given));
        if !token.is_some_and(right) {
            shared.metrics.rejected.add("signature", 1);
            if shared.strangers.due() {
                let why = match token {
                    None => format!("there is no twilio.{} to check its signature with", twilio.signing_name()),
                    Some(_) => "wrong signature (is public_url in offhook.toml what the carrier calls?)".to_owned(),
                };
                tracing::warn!("webhook refused: {why}");
            }
            return Err(Box::new(StatusCode::FORBIDDEN.into_response()));
        }
    }
    Ok(Trusted(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_words_are_not() {
        let long = "x".repeat(1_500);
        let fields = [("CallSid", "CA1"), ("StreamError", &long), ("To", &long), ("From", "")];
        let form = Trusted(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
        assert_eq!((form.get("CallSid"), form.get("To"), form.get("From")), (Some("CA1"), None, None));
        assert_eq!((form.text("StreamError"), form.text("From")), (Some(long.as_str()), None));
    }
}
