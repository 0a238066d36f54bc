//! New deployments: with the channel's defaults, or as copies.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::config::{self, Access, Channel, ChatSettings, Config, DocId, Edit, Wanted, with_keys};
use crate::house::deployments::{self as rules, Have};
use crate::house::{Refusal, models, phone, zone};
use crate::serve::numbers::Quota;
use crate::store::people::new_embed_key;
use crate::web::documents::{self, Change, DocumentAnswer, Dry};
use crate::web::extract::{Json, Maybe, Path, Query};
use crate::web::problem::{Problem, Wrong};
use crate::web::{Api, Who};

use super::seen;
use super::view::{standing, standings};
use crate::web::api::agents::{Copy, copy_title, new_id, taken};

/// A new deployment
///
/// The body has the keys of its document, of which `agent` and `channel` must be there, and may have an `id`. What is left
/// out is the channel's default, and stands in the document then: a phone takes the first voice model that fits, anyone may
/// call it, and calls last 10 minutes at most. Everything wrong is told at once.
#[utoipa::path(
    post,
    path = "/api/v1/deployments",
    tag = "Deployments",
    params(Dry),
    request_body(content = Object, description = "Keys of a deployment's document, and `id`"),
    responses(
        (status = 201, description = "It is made", body = DocumentAnswer),
        (status = 200, description = "It would be made", body = DocumentAnswer)
    )
)]
pub(super) async fn create(
    State(api): State<Api>,
    who: Who,
    Query(dry): Query<Dry>,
    Json(body): Json<Map<String, Value>>,
) -> Result<Response, Problem> {
    let said: Vec<&str> = body.keys().map(String::as_str).collect();
    for _ in 1..documents::TRIES {
        match make(&api, &who, dry, body.clone()).await {
            Err(problem) if documents::is_overtaken(&problem, &said) => {}
            made => return made,
        }
    }
    make(&api, &who, dry, body).await
}

async fn make(api: &Api, who: &Who, dry: Dry, mut body: Map<String, Value>) -> Result<Response, Problem> {
    let config = api.handle.config();
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let agent = text("agent");
    if let Some(agent) = &agent {
        who.0.may_ask_for(agent)?;
    }
    let id = new_id(api, &mut body.clone(), |_| {
        let (agent, channel) = (agent.as_deref().unwrap_or("deployment"), text("channel").unwrap_or_default());
        format!("{agent} {channel}")
    })?;
    body.remove("id");
    let doc = DocId::Deployment(id.as_str().into());
    let change = Change { api, who, doc: doc.clone(), dry, action: "deployment.create" };
    let numbers = api.handle.numbers().quota().await?;
    let mut errors = fill(&config, &mut body, numbers, Timestamp::now())?;
    if !errors.is_empty() {
        // What else would be told of it is told now.
        let trial = Change { dry: Dry { dry_run: Some(true) }, doc: doc.clone(), ..change };
        let edit = Edit { doc, upon: None, to: Wanted::Keys(body) };
        if let Err(problem) = trial.make(vec![edit]).await {
            let known: Vec<String> = errors.iter().map(|wrong| wrong.field.clone()).collect();
            errors.extend(problem.errors.into_iter().filter(|wrong| !known.contains(&wrong.field)));
        }
        return Err(documents::invalid(errors));
    }
    let edit = Edit { doc, upon: None, to: Wanted::Keys(body) };
    let edited = change.make(vec![edit]).await.map_err(taken)?;
    change.answer(if dry.is() { StatusCode::OK } else { StatusCode::CREATED }, &edited)
}

/// Fills in what the channel has by default, and tells which fields are wrong.
///
/// # Errors
/// What forbids it whatever the fields say: the plan's limit, a second internal chat.
fn fill(config: &Config, body: &mut Map<String, Value>, numbers: Quota, now: Timestamp) -> Result<Vec<Wrong>, Problem> {
    let mut errors = Vec::new();
    let mut wrong = |no: Refusal| errors.push(Wrong::field(no.field.unwrap_or_default(), no.code, no.message));
    let missing = |field, message: &str| Refusal {
        code: "missing",
        status: 422,
        field: Some(field),
        message: message.to_owned(),
    };
    let text = |body: &Map<String, Value>, name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let agent = text(body, "agent");
    let persona = agent.as_deref().and_then(|agent| config.personas.get(agent));
    match (&agent, persona) {
        (None, _) => wrong(missing("agent", "Choose an agent.")),
        (Some(name), None) => {
            wrong(Refusal { code: "agent_unknown", ..missing("agent", &format!("There is no agent {name:.80}.")) })
        }
        _ => {}
    }
    let channel = match text(body, "channel") {
        None => Err(missing("channel", "Choose a channel: phone, website or internal.")),
        Some(name) => rules::channel(&name),
    };
    // Where nothing can be yet, nothing more is asked for.
    let needs_model = channel.as_ref().map_or_else(|no| no.code == "missing", |channel| *channel != Channel::Phone);
    let channel = match channel {
        Ok(channel) => Some(channel),
        Err(no) => {
            wrong(no);
            None
        }
    };
    let chosen = text(body, "model");
    let card = chosen.as_deref().and_then(|name| config.models.get(name));
    if let (Some(name), None) = (&chosen, card) {
        wrong(Refusal { code: "model_unknown", ..missing("model", &format!("There is no model {name:.80}.")) });
    }
    let tier = config.server.residency.tier;
    let has_default = persona.is_some_and(|persona| persona.text_model.is_some());
    if chosen.is_none() && !body.contains_key("model") && !has_default && needs_model {
        let Err(no) = models::required(None::<()>) else { return Ok(errors) };
        wrong(no);
    }
    let Some(channel) = channel else { return Ok(errors) };
    if let Some(card) = card
        && let Err(no) = models::choose(channel, tier, None, card)
    {
        wrong(no);
    }
    let is_taken = |title: &str| {
        let mut its = standings(config).filter(|standing| Some(&standing.agent) == agent.as_ref());
        its.any(|standing| standing.title == title)
    };
    if let Some(title) = text(body, "title")
        && let Err(no) = rules::may_be_called(channel, None, title.trim(), is_taken)
    {
        wrong(no);
    }
    if !errors.is_empty() {
        return Ok(errors);
    }
    let agent = agent.clone().unwrap_or_default();
    rules::may_create(channel, &have(config, &agent, numbers), &config.server.plan)?;
    let mut default = |key: &str, value: Value| {
        body.entry(key).or_insert(value);
    };
    let today = zone::today(&config.server.organization.zone(), now);
    let title = rules::unique_title(&rules::default_title(channel, today), is_taken);
    default("title", title.into());
    default("key", new_embed_key()?.into());
    if channel == Channel::Phone {
        // Selected is what is said, else what the agent has.
        let agents = config.agents.get(&agent).and_then(|agent| config.models.get(&agent.model.name));
        let selected = card.or(agents).map(AsRef::as_ref);
        let new = phone::new(tier, selected, config.models.values().map(AsRef::as_ref), today, is_taken)?;
        default("model", new.model.name.clone().into());
        if let Some(voice) = new.voice {
            default("voice", voice.into());
        }
        default("access", "public".into());
        default("limits", json!({ "max_minutes": new.max_minutes }));
        default("keep", json!({ "recording": new.recording }));
    } else if channel == Channel::Internal {
        default("access", "organization".into());
    }
    Ok(errors)
}

/// What there is before one is made.
fn have(config: &Config, agent: &str, numbers: Quota) -> Have {
    let internal = |chat: &config::ChatDeployment| {
        chat.standing.agent == agent && matches!(chat.settings, ChatSettings::Internal(_))
    };
    Have {
        deployments: u32::try_from(config.deployments.len() + config.chats.len()).unwrap_or(u32::MAX),
        internal_chat: config.chats.values().any(|chat| internal(chat)),
        numbers: numbers.used,
        spare_numbers: numbers.spare,
    }
}

/// A copy of a deployment
///
/// Of the same agent, inactive, with a key of its own; without the number, the schedule, and those who were invited.
#[utoipa::path(
    post,
    path = "/api/v1/deployments/{id}/clone",
    tag = "Deployments",
    params(("id" = String, Path, description = "Its name"), Dry),
    request_body = Option<Copy>,
    responses(
        (status = 201, description = "The copy", body = DocumentAnswer),
        (status = 200, description = "The copy that would be made", body = DocumentAnswer)
    )
)]
pub(super) async fn clone(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Query(dry): Query<Dry>,
    Maybe(body): Maybe<Copy>,
) -> Result<Response, Problem> {
    let wished = body.unwrap_or_default();
    let said = wished.said();
    for _ in 1..documents::TRIES {
        match make_copy(&api, &who, &id, dry, wished.clone()).await {
            Err(problem) if documents::is_overtaken(&problem, &said) => {}
            made => return made,
        }
    }
    make_copy(&api, &who, &id, dry, wished).await
}

async fn make_copy(api: &Api, who: &Who, id: &str, dry: Dry, wished: Copy) -> Result<Response, Problem> {
    let config = api.handle.config();
    let original = standing(&config, id);
    seen(who, original)?;
    let original = original.ok_or_else(|| Problem::absent("deployment", id))?;
    let (text, _) = documents::read(api, &DocId::Deployment(id.into())).await?;
    let numbers = api.handle.numbers().quota().await?;
    rules::may_create(original.channel, &have(&config, &original.agent, numbers), &config.server.plan)?;
    let is_taken = |title: &str| standings(&config).any(|other| other.agent == original.agent && other.title == title);
    let title = wished.title.unwrap_or_else(|| copy_title(&original.title, is_taken));
    rules::may_be_called(original.channel, None, title.trim(), is_taken)?;
    let mut fields = Map::new();
    fields.extend(wished.id.map(|id| ("id".to_owned(), Value::from(id))));
    let copy = new_id(api, &mut fields, |_| format!("{id}-copy"))?;
    let mut keys = Map::new();
    keys.insert("title".to_owned(), title.into());
    keys.insert("active".to_owned(), false.into());
    keys.insert("key".to_owned(), new_embed_key()?.into());
    for gone in ["schedule", "number"] {
        keys.insert(gone.to_owned(), Value::Null);
    }
    if matches!(original.access, Some(Access::InviteOnly(_))) {
        keys.insert("access".to_owned(), "organization".into());
    }
    let text = with_keys(&text, &keys).map_err(|why| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "patch", why))?;
    let doc = DocId::Deployment(copy.as_str().into());
    let change = Change { api, who, doc: doc.clone(), dry, action: "deployment.clone" };
    let edited = change.make(vec![Edit { doc, upon: None, to: Wanted::Text(text) }]).await.map_err(taken)?;
    change.answer(if dry.is() { StatusCode::OK } else { StatusCode::CREATED }, &edited)
}
