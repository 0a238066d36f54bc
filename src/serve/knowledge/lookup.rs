//! The tool `knowledge`: who has it, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::known::Known;
use crate::config::{CallSettings, Deployment, Tool, ToolKind};
use crate::serve::request::Failure;
use crate::store::{Hit, Knowledge};

/// Passages that the model is given, and their characters: it reads all of them before it says a word.
const PASSAGES: usize = 5;
const CHARACTERS: usize = 4_500;
/// The store's own time is shorter; this is for who looks.
const PATIENCE: Duration = Duration::from_millis(2_500);

const SAY: &str = "Answer from these passages only, in your own words, and name the source by its title.";
const NOTHING: &str =
    "Nothing of it is in the documents. Ask again in other words, or say that you do not know it; do not guess.";

/// Gives a call the tool, if its agent has documents.
pub(in crate::serve) fn give(known: &Known, settings: &mut CallSettings) {
    if known.has(&settings.agent) {
        settings.tools = settings.tools.iter().cloned().chain([Tool::knowledge()]).collect();
    }
}

/// The deployment with what was given to the call: the model is told of the tools that the call knows.
pub(in crate::serve) fn equipped(deployment: &Arc<Deployment>, settings: &CallSettings) -> Arc<Deployment> {
    if !settings.tools.iter().any(|tool| tool.does == ToolKind::Knowledge) {
        return Arc::clone(deployment);
    }
    let mut equipped = Deployment::clone(deployment);
    Arc::make_mut(&mut equipped.agent).tools = Arc::clone(&settings.tools);
    Arc::new(equipped)
}

#[derive(Deserialize)]
struct Asked {
    question: String,
}

/// What is found, as the model is told it; or why nothing could be looked up.
pub(in crate::serve) async fn answer(knowledge: &Knowledge, agent: &str, arguments: &str) -> Result<String, Failure> {
    let Asked { question } = serde_json::from_str(arguments)
        .map_err(|error| Failure::new("request", format!("the arguments do not fit ({error})")))?;
    let (knowledge, agent) = (knowledge.clone(), agent.to_owned());
    // On a task of its own: the call's has audio to see to.
    let found = tokio::spawn(async move { knowledge.search(&agent, &question, PASSAGES).await });
    match tokio::time::timeout(PATIENCE, found).await {
        Ok(Ok(Ok(found))) => Ok(told(&found).to_string()),
        Ok(Ok(Err(error))) => {
            tracing::warn!(%error, "documents cannot be looked into");
            Err(Failure::new("store", "the documents cannot be looked into now; say so"))
        }
        Ok(Err(_)) => Err(Failure::new("internal", "the documents cannot be looked into now; say so")),
        Err(_) => Err(Failure::new("timeout", "the documents could not be looked into in time; say so")),
    }
}

/// What the model is told of what was found, also in a chat.
pub fn told(found: &[Hit]) -> Value {
    let mut left = CHARACTERS;
    let fits = |hit: &&Hit| {
        let length = hit.text.chars().count();
        let fits = length <= left;
        left = left.saturating_sub(length);
        fits
    };
    let told: Vec<&Hit> = found.iter().take(PASSAGES).take_while(fits).collect();
    if told.is_empty() {
        return json!({ "sources": [], "passages": [], "note": NOTHING });
    }
    let mut sources: Vec<String> = Vec::new();
    for source in told.iter().map(|hit| hit.title.clone()) {
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    let passages: Vec<Value> = told.iter().map(|hit| json!({ "source": source(hit), "text": hit.text })).collect();
    json!({ "sources": sources, "passages": passages, "note": SAY })
}

/// Where a passage stands, for people: `House rules, page 2, Pets`.
pub fn source(hit: &Hit) -> String {
    let page = hit.page.map(|page| format!("page {page}"));
    let heading = Some(hit.heading.clone()).filter(|heading| !heading.is_empty() && *heading != hit.title);
    [Some(hit.title.clone()), page, heading].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(title: &str, heading: &str, page: Option<i64>, text: &str) -> Hit {
        let (title, heading, text) = (title.to_owned(), heading.to_owned(), text.to_owned());
        Hit { document: "doc_1".to_owned(), title, heading, page, text }
    }

    #[test]
    fn agt_04_what_is_found_names_its_source_and_is_bounded() {
        let found = [
            hit("House rules", "Pets > Dogs", Some(2), "Dogs may come."),
            hit("Prices", "Prices", None, "Ten francs."),
        ];
        let said = told(&found);
        assert_eq!(said["sources"], json!(["House rules", "Prices"]));
        assert_eq!(
            said["passages"][0],
            json!({ "source": "House rules, page 2, Pets > Dogs", "text": "Dogs may come." })
        );
        assert_eq!(said["passages"][1]["source"], "Prices");
        assert_eq!(told(&[])["note"], NOTHING);
        let long = vec![hit("A", "", None, &"x".repeat(1_200)); 9];
        assert_eq!(told(&long)["passages"].as_array().map(Vec::len), Some(3));
    }
}
