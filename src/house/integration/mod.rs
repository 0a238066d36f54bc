//! How programs of others work with an agent (INTEG-01 to INTEG-05): the variables of its texts, and programs that place a
//! call with it. All of it is made of documents, and there is nothing to fill in.

mod snippets;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::base::template::Template;
use crate::config::{CALL_VARIABLES, Persona, Question, RESULT_VARIABLES, SYSTEM_VARIABLES};

pub use snippets::{CallWish, KEY_VARIABLE, Snippet, snippets};

/// The variables of an agent's texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// By namespace, in the order in which a call gets to know them.
    pub namespaces: Vec<Namespace>,
    /// Those that stand in a text and are in no namespace (INTEG-05).
    pub unknown: Vec<Unknown>,
}

/// Variables that are known from one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// What stands before the dot.
    pub name: &'static str,
    /// What is in it.
    pub about: &'static str,
    /// Its variables, by name.
    pub variables: Vec<Variable>,
}

/// A variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// With its namespace: `crm.city`.
    pub name: String,
    /// Its default, or what it looks like.
    pub example: String,
    /// Who says what it is.
    pub set_by: &'static str,
    /// Where it stands.
    pub used: Vec<Use>,
}

/// A variable that nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// As it stands there.
    pub name: String,
    /// Where.
    pub used: Vec<Use>,
}

/// A place of a variable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// `agents/mia.toml`.
    pub document: String,
    /// The key, with dots; of one of several, its name: `tools.book.url`.
    pub key: String,
}

/// A document and its keys.
pub type Keys = (String, Map<String, Value>);

/// The variables of an agent and where they stand in its documents: its own first, then its deployments'.
pub fn reference(agent: &Persona, documents: &[Keys]) -> Reference {
    let mut uses = uses(documents);
    let own = documents.first().map(|(_, keys)| keys);
    let filled = match agent.fetch {
        Some(_) => "[fetch] while the call begins, else its default",
        None => "its default, for there is no [fetch]",
    };
    let mut of_call = fixed("call", &CALL_VARIABLES, "offhook, of every call");
    of_call.extend(declared(agent, own, "call", "whoever places the call, else its default"));
    let after = &agent.after;
    let namespaces = [
        ("call", "The call: its numbers, and what whoever places it says in variables.", of_call),
        ("crm", "Who is called, or calls.", declared(agent, own, "crm", filled)),
        (
            "system",
            "The time where the deployment is, and its hours.",
            fixed("system", &SYSTEM_VARIABLES, "offhook, when the call begins"),
        ),
        ("result", "What came of the call.", fixed("result", &RESULT_VARIABLES, "offhook, once the call is over")),
        (
            "analysis",
            "What [analysis] found out.",
            answered(after.analysis.as_ref(), "[analysis], once the call is over"),
        ),
        ("qc", "What [qc] found out.", answered(after.qc.as_ref(), "[qc], once the call is analysed")),
    ];
    let namespaces = namespaces.into_iter().map(|(name, about, known)| {
        let variables = known.into_iter().map(|(short, (example, set_by))| {
            let name = format!("{name}.{short}");
            Variable { used: uses.remove(&name).unwrap_or_default(), name, example, set_by }
        });
        Namespace { name, about, variables: variables.collect() }
    });
    let namespaces = namespaces.collect();
    // Arguments are a tool's own, and known in its request only.
    uses.retain(|name, _| !name.starts_with("args."));
    let unknown = uses.into_iter().map(|(name, used)| Unknown { name, used }).collect();
    Reference { namespaces, unknown }
}

/// What whoever places a call may say, by its name in the request, with defaults.
pub fn sent(agent: &Persona) -> Vec<(&str, &str)> {
    let own =
        agent.variables.iter().filter_map(|(name, default)| Some((name.strip_prefix("call.")?, default.as_str())));
    own.collect()
}

/// Variables by their names without the namespace: what they look like, and who sets them.
type Known = BTreeMap<String, (String, &'static str)>;

fn fixed(namespace: &str, names: &[&str], set_by: &'static str) -> Known {
    let example = |name: &str| {
        let known =
            EXAMPLES.iter().find(|(known, _)| known.strip_prefix(namespace).is_some_and(|rest| rest[1..] == *name));
        known.map_or("", |(_, example)| example).to_owned()
    };
    names.iter().map(|name| ((*name).to_owned(), (example(name), set_by))).collect()
}

/// What is declared: in force, and in the document as it is written, which may be new.
fn declared(agent: &Persona, own: Option<&Map<String, Value>>, namespace: &str, set_by: &'static str) -> Known {
    let in_force = agent.variables.iter().filter_map(|(name, default)| {
        let (of, name) = name.split_once('.')?;
        (of == namespace).then(|| (name.to_owned(), (default.clone(), set_by)))
    });
    let written = own.and_then(|keys| keys.get("variables")?.get(namespace)?.as_object());
    let written = written
        .into_iter()
        .flatten()
        .filter_map(|(name, default)| Some((name.clone(), (default.as_str()?.to_owned(), set_by))));
    in_force.chain(written).collect()
}

/// What a question's answer has, with the types of it.
fn answered(question: Option<&Question>, set_by: &'static str) -> Known {
    let Some(question) = question else { return Known::new() };
    let properties = question.schema.document()["properties"].as_object();
    let properties = properties.into_iter().flatten().map(|(name, schema)| {
        let kind = match &schema["type"] {
            Value::String(kind) => kind.clone(),
            Value::Null => String::new(),
            several => several.to_string(),
        };
        (name.clone(), (kind, set_by))
    });
    [("json".to_owned(), ("all of the answer".to_owned(), set_by))].into_iter().chain(properties).collect()
}

/// Where each variable stands.
fn uses(documents: &[Keys]) -> BTreeMap<String, Vec<Use>> {
    let mut found: BTreeMap<String, BTreeSet<Use>> = BTreeMap::new();
    for (document, keys) in documents {
        for (key, value) in keys.iter().filter(|(key, _)| *key != "variables") {
            walk(key, value, &mut |key, text| {
                let Ok(template) = Template::parse(text) else { return };
                for (name, _) in template.variables() {
                    let place = Use { document: document.clone(), key: key.to_owned() };
                    found.entry(name.to_owned()).or_default().insert(place);
                }
            });
        }
    }
    found.into_iter().map(|(name, places)| (name, places.into_iter().collect())).collect()
}

/// Every text of a document with its key.
fn walk(key: &str, value: &Value, see: &mut impl FnMut(&str, &str)) {
    match value {
        Value::String(text) => see(key, text),
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                match item.get("name").and_then(Value::as_str) {
                    Some(name) => walk(&format!("{key}.{name}"), item, see),
                    None => walk(&format!("{key}.{n}"), item, see),
                }
            }
        }
        Value::Object(keys) => keys.iter().for_each(|(name, value)| walk(&format!("{key}.{name}"), value, see)),
        _ => {}
    }
}

/// What the server's own variables look like.
const EXAMPLES: [(&str, &str); 22] = [
    ("call.agent", "reception"),
    ("call.deployment", "main-number"),
    ("call.direction", "outbound"),
    ("call.from", "+15550100100"),
    ("call.id", "call_…"),
    ("call.started", "2026-12-01T09:30:00Z"),
    ("call.to", "+15550100900"),
    ("system.date", "2026-12-01"),
    ("system.now", "2026-12-01T10:30:00+01:00"),
    ("system.open", "true"),
    ("system.opens_at", "Wednesday 2026-12-02 09:00"),
    ("system.time", "10:30"),
    ("system.timezone", "Europe/Zurich"),
    ("system.weekday", "Tuesday"),
    ("result.duration_s", "74"),
    ("result.end", "caller_hung_up"),
    ("result.interruptions", "1"),
    ("result.notes", "Wants a table by the window."),
    ("result.report", "the whole report, as JSON"),
    ("result.tools", "book: done"),
    ("result.transcript", "Agent: …, and a line for each turn"),
    ("result.turns", "6"),
];
