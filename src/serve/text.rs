//! Questions to text models, answered with JSON that meets a schema.

use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use crate::config::{Question, TextModel};
use crate::link::completions;

use super::outgoing::Outgoing;

/// An answer that meets its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) value: Value,
    /// Whether the first did not.
    pub(super) repaired: bool,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
}

/// Why there is none: a short stable name and words.
pub(super) type Failure = (&'static str, String);

/// Asks `prompt`; an answer that does not meet the schema of `question` is asked for once more. `name` is what the vendor
/// calls the schema by.
pub(super) async fn ask(
    http: &reqwest::Client,
    question: &Question,
    name: &str,
    prompt: &str,
) -> Result<Answer, Failure> {
    let client = client(http, &question.model).map_err(|error| ("request", error))?;
    let mut messages = vec![json!({ "role": "user", "content": prompt })];
    let (mut input_tokens, mut output_tokens) = (0, 0);
    for repaired in [false, true] {
        let max_tokens = completions::max_tokens(question.model.dialect);
        let body = json!({
            "model": question.model.model,
            "messages": messages,
            max_tokens: question.max_tokens,
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": name, "schema": question.schema.document(), "strict": is_strict(question.schema.document())
                }
            }
        });
        let limit = Duration::from_millis(question.timeout_ms);
        // The library logs what servers answer when it makes nothing of it: that may be about the caller.
        let chat = client.chat();
        let asking = chat.create_byot::<_, Completion>(&body).with_subscriber(NoSubscriber::new());
        let asked = timeout(limit, asking).await;
        let completion = match asked {
            Ok(answer) => answer.map_err(|error| told(&error))?,
            Err(_) => return Err(("timeout", format!("no answer within {} ms", question.timeout_ms))),
        };
        let usage = completion.usage.unwrap_or_default();
        input_tokens += usage.prompt_tokens.unwrap_or(0);
        output_tokens += usage.completion_tokens.unwrap_or(0);
        let Some(choice) = completion.choices.into_iter().next() else {
            return Err(("empty", "the answer has no choices".to_owned()));
        };
        if choice.message.refusal.is_some_and(|refusal| !refusal.is_empty()) {
            return Err(("refused", "the model refuses to answer".to_owned()));
        }
        let text = choice.message.content.unwrap_or_default();
        if choice.finish_reason.as_deref() == Some("length") {
            return Err((
                "too_long",
                format!("the answer is longer than {} tokens (`max_tokens`)", question.max_tokens),
            ));
        }
        let checked = serde_json::from_str(&text)
            .map_err(|error| format!("it is not JSON ({error})"))
            .and_then(|value| question.schema.check(&value).map(|()| value));
        let wrong = match checked {
            Ok(value) => return Ok(Answer { value, repaired, input_tokens, output_tokens }),
            Err(wrong) => wrong,
        };
        if repaired {
            return Err(("not_of_schema", wrong));
        }
        messages.push(json!({ "role": "assistant", "content": text }));
        let again =
            format!("That does not fit the schema: {wrong}. Answer again, with the corrected JSON and nothing else.");
        messages.push(json!({ "role": "user", "content": again }));
    }
    Err(("not_of_schema", String::new()))
}

fn client(http: &reqwest::Client, model: &TextModel) -> Result<Client<OpenAIConfig>, String> {
    let key = model.api_key.as_ref().map_or("none", |key| key.expose());
    // All that the library would otherwise take from the environment.
    let mut config =
        OpenAIConfig::new().with_api_base(&model.base_url).with_api_key(key).with_org_id("").with_project_id("");
    for (name, value) in &model.headers {
        let name = reqwest::header::HeaderName::try_from(name.as_str()).map_err(|error| error.to_string())?;
        config = config
            .with_header(name, value.expose())
            .map_err(|_| "a header's value has characters that HTTP forbids".to_owned())?;
    }
    Ok(Client::build(http.clone(), config))
}

/// A client for all text models.
pub(super) fn http(outgoing: &Outgoing) -> reqwest::Result<reqwest::Client> {
    outgoing.client().connect_timeout(Duration::from_secs(10)).build()
}

/// A failure in words that hold no key: vendors put parts of it into theirs.
fn told(error: &OpenAIError) -> Failure {
    match error {
        OpenAIError::ApiError(answer) => {
            let status = answer.status_code.as_u16();
            let error = &answer.api_error;
            let code = error.code.as_deref().or(error.r#type.as_deref()).unwrap_or("no code");
            let words = match status {
                401 | 403 => format!("HTTP {status}: {code}"),
                _ => format!("HTTP {status}: {code}: {}", error.message.chars().take(300).collect::<String>()),
            };
            ("status", words)
        }
        OpenAIError::Reqwest(_) => ("unreachable", "the text model cannot be reached".to_owned()),
        OpenAIError::JSONDeserialize(error, _) => {
            ("not_a_completion", format!("the answer is no chat completion ({error})"))
        }
        _ => ("request", "the text model cannot be asked".to_owned()),
    }
}

/// Whether vendors can hold a model to `schema` while it writes: every object says what it has, and has all of it.
fn is_strict(schema: &Value) -> bool {
    let Some(fields) = schema.as_object() else { return true };
    if let Some(properties) = fields.get("properties").and_then(Value::as_object) {
        let required = fields.get("required").and_then(Value::as_array);
        let demanded = |name: &String| required.is_some_and(|required| required.iter().any(|one| one == name.as_str()));
        if fields.get("additionalProperties") != Some(&Value::Bool(false)) || !properties.keys().all(demanded) {
            return false;
        }
    } else if fields.get("type").is_some_and(|kind| kind == "object") {
        return false;
    }
    fields.values().all(|value| match value {
        Value::Array(items) => items.iter().all(is_strict),
        other => is_strict(other),
    })
}

/// What is used of a chat completion; compatible servers leave out much of the rest.
#[derive(Deserialize)]
struct Completion {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Default, Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_schemas_that_say_everything_are_strict() {
        let whole = json!({ "type": "object", "properties": { "a": { "type": "string" } }, "required": ["a"], "additionalProperties": false });
        assert!(is_strict(&whole));
        assert!(is_strict(
            &json!({ "type": "object", "properties": { "a": { "type": "array", "items": whole } }, "required": ["a"], "additionalProperties": false })
        ));
        for loose in [
            json!({ "type": "object" }),
            json!({ "type": "object", "properties": { "a": {} }, "required": [], "additionalProperties": false }),
            json!({ "type": "object", "properties": { "a": {} }, "required": ["a"] }),
            json!({ "type": "object", "properties": { "a": { "type": "object" } }, "required": ["a"], "additionalProperties": false }),
        ] {
            assert!(!is_strict(&loose), "{loose}");
        }
    }
}
