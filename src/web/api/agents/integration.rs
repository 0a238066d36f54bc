//! How programs of others work with an agent (INTEG).

use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::{DocId, keys_of};
use crate::house::integration::{self as rules, CallWish, KEY_VARIABLE, Keys};
use crate::web::api::deployments::met;
use crate::web::documents;
use crate::web::extract::{Json, Nothing, Path, Query};
use crate::web::problem::Problem;
use crate::web::{Api, Who};

/// How a program places calls with an agent, and the variables of its texts.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Integration {
    /// The agent's name.
    agent: String,
    /// Where calls are placed.
    endpoint: String,
    /// How it is asked.
    method: &'static str,
    /// The environment variable that the programs have their key from.
    key_variable: &'static str,
    /// Programs that place a call and run as they are.
    snippets: Vec<Snippet>,
    /// The variables, by namespace.
    namespaces: Vec<Namespace>,
    /// Those that stand in a text and that no namespace knows.
    unknown: Vec<Unknown>,
}

/// A program: it takes the number to call as its argument.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Snippet {
    /// `curl`, `python` or `node`.
    language: &'static str,
    /// What its tab is called.
    title: &'static str,
    /// What to save it as.
    file: &'static str,
    /// All of it.
    text: String,
}

/// Variables that are known from one source.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Namespace {
    /// `call`, `crm`, `system`, `result`, `analysis` or `qc`.
    name: &'static str,
    /// What is in it.
    about: &'static str,
    variables: Vec<Variable>,
}

/// A variable.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Variable {
    /// With its namespace.
    name: String,
    /// Its default; of an answer's, its type; otherwise what it looks like.
    example: String,
    /// Who says what it is.
    set_by: &'static str,
    /// Where it stands; empty: nowhere.
    used: Vec<Place>,
}

/// A variable that nobody knows.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Unknown {
    name: String,
    used: Vec<Place>,
}

/// A place in a document.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Place {
    /// Such as `agents/reception.toml`.
    document: String,
    /// The key, with dots.
    key: String,
}

/// How programs work with an agent
///
/// Made of its documents: nothing is to be filled in. The programs hold no key.
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}/integration",
    tag = "Agents",
    params(("id" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "Variables and programs", body = Integration),
        (status = 409, description = "It is written, and not in force")
    )
)]
pub(super) async fn integration(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
    headers: HeaderMap,
) -> Result<Json<Integration>, Problem> {
    who.0.may_ask_for(&id)?;
    let own = DocId::Agent(id.as_str().into());
    let (text, _) = documents::read(&api, &own).await?;
    let config = api.handle.config();
    let agent = config.personas.get(&id).ok_or_else(|| super::not_in_force(&id, None))?;
    let mut texts: Vec<Keys> = vec![(own.to_string(), keys_of(&text).unwrap_or_default())];
    for deployment in met(&api, &config, &[id.as_str()]).await?.remove(&id).unwrap_or_default() {
        let doc = DocId::Deployment(deployment.id.as_str().into());
        if let Some(text) = documents::text(&api, &doc).await? {
            texts.push((doc.to_string(), keys_of(&text).unwrap_or_default()));
        }
    }
    let endpoint = format!("{}/api/v1/calls", api.handle.base(&headers));
    let snippets = rules::snippets(&CallWish { url: &endpoint, agent: &id, variables: rules::sent(agent) });
    let snippets = snippets.map(|snippet| {
        let rules::Snippet { language, title, file, text } = snippet;
        Snippet { language, title, file, text }
    });
    let rules::Reference { namespaces, unknown } = rules::reference(agent, &texts);
    let namespace = |namespace: rules::Namespace| Namespace {
        name: namespace.name,
        about: namespace.about,
        variables: namespace.variables.into_iter().map(variable).collect(),
    };
    let unknown = unknown.into_iter().map(|unknown| Unknown { name: unknown.name, used: places(unknown.used) });
    Ok(Json(Integration {
        agent: id,
        endpoint,
        method: "POST",
        key_variable: KEY_VARIABLE,
        snippets: snippets.into(),
        namespaces: namespaces.into_iter().map(namespace).collect(),
        unknown: unknown.collect(),
    }))
}

fn variable(variable: rules::Variable) -> Variable {
    let rules::Variable { name, example, set_by, used } = variable;
    Variable { name, example, set_by, used: places(used) }
}

fn places(used: Vec<rules::Use>) -> Vec<Place> {
    used.into_iter().map(|rules::Use { document, key }| Place { document, key }).collect()
}
