//! What an agent can do beside talking: its tools, and where it may put a caller through to.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::Spoken;

/// A tool the agent may use, as the engine knows it: no URL and no secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// What the model calls it by: letters, digits, `_` and `-`, at most 64.
    pub name: String,
    /// For the model: what it does and when to use it.
    pub description: String,
    /// What its arguments must be.
    pub parameters: Schema,
    /// How it runs.
    pub does: ToolKind,
    /// Milliseconds until it counts as failed, its retries included.
    pub timeout_ms: u64,
}

/// How a tool runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolKind {
    /// `note {text}`: keeps a line in the call's report.
    Note,
    /// `hang_up {reason?}`: ends the call once the goodbye was heard.
    HangUp,
    /// `transfer {destination}`: puts the caller through.
    Transfer,
    /// `send_dtmf {digits}`: keys for the far end, such as another company's menu.
    SendDtmf,
    /// `press_to_continue {seconds?}`: waits until the caller has pressed a key.
    PressToContinue,
    /// `wait {seconds}`: is silent until the caller says something, or for so long.
    Wait,
    /// Asked of an HTTP server by the shell.
    Http,
    /// `knowledge {question}`: looked up in the agent's documents by the shell. Agents that have some have it, unasked.
    Knowledge,
}

/// What the model calls the tool by that looks things up in the agent's documents.
pub const KNOWLEDGE: &str = "knowledge";

impl ToolKind {
    /// The built-in ones, by the names under which they are known to models and in documents.
    pub const BUILT_IN: [(&'static str, ToolKind); 6] = [
        ("note", ToolKind::Note),
        ("hang_up", ToolKind::HangUp),
        ("transfer", ToolKind::Transfer),
        ("send_dtmf", ToolKind::SendDtmf),
        ("press_to_continue", ToolKind::PressToContinue),
        ("wait", ToolKind::Wait),
    ];
}

/// Where a caller can be put through to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Destination {
    /// What the model and key actions call it by.
    pub name: String,
    /// E.164.
    pub number: String,
    /// For the model: who is there and for what. May be empty.
    pub description: String,
    /// What the caller hears before.
    pub line: Spoken,
    /// Seconds that it rings before the caller is back with the agent.
    pub ring_s: u64,
}

impl Destination {
    /// A number that has no entry of its own.
    pub fn number(number: &str) -> Destination {
        let (name, number) = (number.to_owned(), number.to_owned());
        Destination { name, number, description: String::new(), line: Spoken::None, ring_s: RING_S }
    }
}

/// How long a look into documents may take: the caller waits for it.
const KNOWLEDGE_TIMEOUT_MS: u64 = 3_000;

/// Seconds that it rings unless a destination says otherwise.
pub const RING_S: u64 = 25;

impl Tool {
    /// Several built-in tools that need nothing else.
    pub fn built_ins(kinds: &[ToolKind]) -> Arc<[Tool]> {
        kinds.iter().filter_map(|kind| Tool::built_in(*kind, &[])).collect()
    }

    /// The tool that looks things up in the agent's documents, of phone and chat.
    pub fn knowledge() -> Tool {
        let schema = json!({
            "type": "object",
            "properties": {
                "question": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1_000,
                    "description": "What to look for: the telling words, in the language of the documents."
                }
            },
            "required": ["question"],
            "additionalProperties": false
        });
        Tool {
            name: KNOWLEDGE.to_owned(),
            description: "Looks something up in the documents that you were given. Use it before you answer a question about \
                          facts, prices, times or rules that your instructions do not answer. Answer from what it finds, \
                          and name the source by its title. When it finds nothing, say that you do not know."
                .to_owned(),
            parameters: Schema::unchecked(schema),
            does: ToolKind::Knowledge,
            timeout_ms: KNOWLEDGE_TIMEOUT_MS,
        }
    }

    /// A built-in tool; `destinations` are what `transfer` can choose from. `None` for [`ToolKind::Http`] and [`ToolKind::Knowledge`].
    pub fn built_in(kind: ToolKind, destinations: &[Destination]) -> Option<Tool> {
        let (name, _) = ToolKind::BUILT_IN.iter().find(|(_, built_in)| *built_in == kind)?;
        let (description, properties, required): (&str, Value, &[&str]) = match kind {
            ToolKind::Note => (
                "Keeps a note for the people who read this call's report. Use it as soon as the caller has settled \
                 something that must not be lost: a name, a number, a time, a wish, a complaint. One fact per note. The \
                 caller does not hear it.",
                json!({
                    "text": { "type": "string", "description": "The note: one short sentence that stands by itself." }
                }),
                &["text"],
            ),
            ToolKind::HangUp => (
                "Ends the phone call. Use it only when the caller wants nothing more or has said goodbye. Say your own \
                 goodbye first, in the same response: the line is cut once the caller has heard it.",
                json!({
                    "reason": { "type": "string", "description": "Why the call ends, in a few words, for the report." }
                }),
                &[],
            ),
            ToolKind::Transfer => {
                let names: Vec<_> = destinations.iter().map(|d| d.name.as_str()).collect();
                let told = destinations.iter().filter(|d| !d.description.is_empty());
                let told: Vec<_> = told.map(|d| format!("{}: {}", d.name, d.description)).collect();
                let which = format!("Who to put the caller through to. {}", told.join(" "));
                (
                    "Puts the caller through to a person. Tell the caller first, in the same response: it begins once \
                     the caller has heard that. If nobody answers, the caller is back with you and you are told.",
                    json!({ "destination": { "type": "string", "enum": names, "description": which.trim_end() } }),
                    &["destination"],
                )
            }
            ToolKind::SendDtmf => (
                "Presses keys on the phone, for a machine at the other end that asks for them. Nothing else is heard \
                 meanwhile.",
                json!({
                    "digits": {
                        "type": "string",
                        "pattern": "^[0-9*#wW]{1,32}$",
                        "description": "The keys in order; w waits half a second, W a whole one."
                    }
                }),
                &["digits"],
            ),
            ToolKind::PressToContinue => (
                "Waits until the caller has pressed a key. Ask for that first, in the same response. What the caller \
                 says meanwhile does not end the wait.",
                json!({
                    "seconds": { "type": "integer", "minimum": 1, "maximum": 300, "description": "How long at most; 30 if left out." }
                }),
                &[],
            ),
            ToolKind::Wait => (
                "Stays silent while the caller looks something up or talks to somebody else. It ends when the caller \
                 speaks, presses a key, or the time is over.",
                json!({
                    "seconds": { "type": "integer", "minimum": 1, "maximum": 300, "description": "How long at most." }
                }),
                &["seconds"],
            ),
            ToolKind::Http | ToolKind::Knowledge => return None,
        };
        let schema = json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false
        });
        Some(Tool {
            name: (*name).to_owned(),
            description: description.to_owned(),
            parameters: Schema::unchecked(schema),
            does: kind,
            timeout_ms: BUILT_IN_TIMEOUT_MS,
        })
    }
}

/// A carrier needs no longer for what it is asked; what waits for the caller has a time of its own.
const BUILT_IN_TIMEOUT_MS: u64 = 15_000;

/// A JSON Schema (draft 2020-12 unless it says otherwise) that values can be held against. Two are equal when their
/// documents are.
#[derive(Clone)]
pub struct Schema {
    document: Arc<Value>,
    /// Made when first needed: a replay reads many schemas and may use none.
    validator: Arc<OnceLock<Option<jsonschema::Validator>>>,
}

impl Schema {
    /// A schema that is well-formed and refers to nothing outside itself; else why it is not.
    pub fn new(document: Value) -> Result<Schema, String> {
        let validator = jsonschema::validator_for(&document).map_err(|error| error.to_string())?;
        let schema = Schema::unchecked(document);
        let _ = schema.validator.set(Some(validator));
        Ok(schema)
    }

    /// The same without a look at it: one that is not well-formed admits everything.
    pub(crate) fn unchecked(document: Value) -> Schema {
        Schema { document: Arc::new(document), validator: Arc::default() }
    }

    /// The schema itself.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// What is wrong with `value`, in words that its author can act on.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let validator = self.validator.get_or_init(|| jsonschema::validator_for(&self.document).ok());
        let Some(validator) = validator else { return Ok(()) };
        let mut errors = validator.iter_errors(value).map(|error| {
            let place = error.instance_path().to_string();
            if place.is_empty() { error.to_string() } else { format!("{place}: {error}") }
        });
        let listed: Vec<String> = errors.by_ref().take(ERRORS_LISTED).collect();
        if listed.is_empty() { Ok(()) } else { Err(listed.join("; ")) }
    }
}

/// Mistakes in one set of arguments that are worth telling.
const ERRORS_LISTED: usize = 5;

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.document == other.document
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({})", self.document)
    }
}

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.document.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Value::deserialize(d).map(Schema::unchecked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_held_against_the_schema_in_words() {
        let tool = Tool::built_in(ToolKind::Wait, &[]).unwrap();
        assert_eq!(tool.parameters.check(&json!({ "seconds": 5 })), Ok(()));
        let wrong = tool.parameters.check(&json!({ "seconds": 5000, "x": 1 })).unwrap_err();
        assert!(wrong.contains("/seconds: 5000 is greater than the maximum of 300"), "{wrong}");
        assert!(wrong.contains("'x' was unexpected"), "{wrong}");
        assert!(tool.parameters.check(&json!({})).unwrap_err().contains("\"seconds\" is a required property"));
    }

    #[test]
    fn every_built_in_tool_has_a_schema_that_is_one() {
        for (name, kind) in ToolKind::BUILT_IN {
            let tool = Tool::built_in(kind, &[]).unwrap();
            assert_eq!(tool.name, name);
            // Without a destination there is nothing to choose: such a tool is refused before.
            if kind != ToolKind::Transfer {
                Schema::new(tool.parameters.document().clone()).unwrap();
            }
        }
    }

    #[test]
    fn a_schema_that_is_none_is_refused() {
        assert!(Schema::new(json!({ "type": "strnig" })).is_err());
        assert!(Schema::new(json!({ "$ref": "https://elsewhere.example/schema" })).is_err());
    }
}
