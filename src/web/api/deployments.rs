//! `deployments`: where agents are met. Their documents, switches, keys, whether they answer, and where their data sits.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::{self, Access, Channel, ChatSettings, Config, DocId, DocState, Edit, Wanted, keys_of, with_keys};
use crate::house::access::Member;
use crate::house::deployments::{self as rules, Have, Parts, cannot_work};
use crate::house::force::{Effective, Visitor, in_force};
use crate::house::panel::{self, Made};
use crate::house::{Refusal, models, phone};
use crate::store::Version;
use crate::web::documents::{self, Change, DocumentAnswer, Dry, Flagged, Standing};
use crate::web::extract::{Json, Maybe, Nothing, Path, Query};
use crate::web::once::{etag, is_known};
use crate::web::page::{Page, Wanted as Wish};
use crate::web::problem::{Problem, Wrong, set};
use crate::web::{Api, Who};

use super::agents::{Copy, Flip, checked, copy_title, new_id, schedule, taken};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(of_agent))
        .routes(routes!(list, create))
        .routes(routes!(get, replace, change, delete))
        .routes(routes!(assessment))
        .routes(routes!(clone))
        .routes(routes!(switch))
        .routes(routes!(rotate))
}

/// Where an agent is met, in short.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Met {
    /// The deployment's name.
    pub(super) id: String,
    /// `phone`, `website` or `internal`.
    pub(super) channel: &'static str,
    /// What people call it.
    title: String,
    /// Whether its switch is on.
    active: bool,
    effective: Live,
}

/// Whether it answers, and if not, the first that says no.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Effective)]
struct Live {
    /// It does.
    live: bool,
    /// `agent`, `deployment`, `schedule`, `hours`, `visibility` or `access`; `null` exactly when it is live.
    because: Option<&'static str>,
    /// The same in words.
    words: Option<&'static str>,
    /// When that one says no no longer, as far as is known: RFC 3339.
    until: Option<String>,
}

impl From<Effective> for Live {
    fn from(effective: Effective) -> Self {
        let because = effective.because;
        Live {
            live: effective.live,
            because: because.map(|because| because.name()),
            words: because.map(|because| because.words()),
            until: because.and_then(|because| because.until()).map(|at| at.to_string()),
        }
    }
}

/// Which deployments are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Of this agent.
    agent: Option<String>,
    /// `phone`, `website` or `internal`.
    channel: Option<String>,
    /// `live`, or `off`: whether it answers now.
    state: Option<String>,
    /// Deployments on a page: 1 to 100; 25 if it is left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
}

/// A deployment in a list, as its card shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct DeploymentItem {
    /// Its name.
    id: String,
    /// Its agent's name.
    agent: String,
    /// `phone`, `website` or `internal`.
    channel: &'static str,
    /// What people call it.
    title: String,
    /// The model in force.
    model: Option<String>,
    /// Where that comes from: `this deployment` or `agent`.
    model_from: &'static str,
    /// The backup model.
    backup_model: Option<String>,
    /// Its number, if it is a phone and has one.
    number: Option<String>,
    /// Who may use it; websites have no access mode.
    #[schema(value_type = Option<Object>)]
    access: Option<Value>,
    /// Whether its switch is on.
    active: bool,
    effective: Live,
    /// Why it cannot work; empty: it can.
    cannot_work: Vec<Flagged>,
    /// What else is flagged of it.
    flags: Vec<Flagged>,
    /// Countries in which its data sits, as far as is declared.
    countries: Vec<String>,
    #[serde(flatten)]
    standing: Standing,
}

/// A deployment.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct DeploymentView {
    #[serde(flatten)]
    item: DeploymentItem,
    /// Its embed key, which stands in the pages that embed it.
    key: Option<String>,
    /// When it is switched by itself.
    #[schema(value_type = Object)]
    schedule: Value,
    /// The keys of its document, as PUT and PATCH take them.
    #[schema(value_type = Object)]
    document: Map<String, Value>,
    /// The document as it is written, comments and all.
    text: String,
}

/// A list of deployments
#[utoipa::path(
    get,
    path = "/api/v1/deployments",
    tag = "Deployments",
    params(Filter),
    responses((status = 200, description = "Deployments of all agents by id", body = Page<DeploymentItem>))
)]
async fn list(State(api): State<Api>, who: Who, uri: Uri, Query(filter): Query<Filter>) -> Result<Response, Problem> {
    Ok(listed(&api, &who, filter).await?.answer(&uri))
}

/// Deployments of an agent
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}/deployments",
    tag = "Deployments",
    params(("id" = String, Path, description = "The agent's name"), Wish),
    responses((status = 200, description = "Deployments by id", body = Page<DeploymentItem>))
)]
async fn of_agent(
    State(api): State<Api>,
    who: Who,
    uri: Uri,
    Path(id): Path<String>,
    Query(wish): Query<Wish>,
) -> Result<Response, Problem> {
    who.0.may_ask_for(&id)?;
    if !api.handle.config().personas.contains_key(&id) {
        return Err(Problem::absent("agent", &id));
    }
    let filter = Filter { agent: Some(id), limit: wish.limit, cursor: wish.cursor, ..Filter::default() };
    Ok(listed(&api, &who, filter).await?.answer(&uri))
}

async fn listed(api: &Api, who: &Who, filter: Filter) -> Result<Page<DeploymentItem>, Problem> {
    let one_of = |name: &str, value: &Option<String>, known: &[&str]| match value {
        Some(value) if !known.contains(&value.as_str()) => {
            let message = format!("There are {}.", known.join(", "));
            Err(Problem::wrong(vec![Wrong::parameter(name, name, message)]))
        }
        _ => Ok(()),
    };
    one_of("channel", &filter.channel, &Channel::ALL.map(|(name, _)| name))?;
    one_of("state", &filter.state, &["live", "off"])?;
    let live = filter.state.as_deref().map(|state| state == "live");
    let config = api.handle.config();
    let now = Timestamp::now();
    let found = standings(&config).filter(|standing| {
        who.0.sees(&standing.agent)
            && filter.agent.as_ref().is_none_or(|agent| *agent == standing.agent)
            && filter.channel.as_deref().is_none_or(|channel| channel == standing.channel.name())
            && live.is_none_or(|live| effective(&config, standing, now).live == live)
    });
    let wish = Wish { limit: filter.limit, cursor: filter.cursor };
    let page = Page::of(found, &wish, |standing| standing.name.clone(), |standing| standing)?;
    let facts = Facts::of(api, page.items.iter().map(|standing| standing.name.as_str()).collect()).await?;
    let items = page.items.into_iter().map(|standing| item(api, &config, standing, &facts)).collect();
    Ok(Page { items, next: page.next })
}

/// All deployments by name.
fn standings(config: &Config) -> impl Iterator<Item = &config::Standing> {
    let phones = config.deployments.iter().map(|(name, phone)| (name, &phone.standing));
    let chats = config.chats.iter().map(|(name, chat)| (name, &chat.standing));
    let mut all: Vec<_> = phones.chain(chats).collect();
    all.sort_by_key(|(name, _)| *name);
    all.into_iter().map(|(_, standing)| standing)
}

fn standing<'a>(config: &'a Config, id: &str) -> Option<&'a config::Standing> {
    let phone = config.deployments.get(id).map(|phone| &phone.standing);
    phone.or_else(|| config.chats.get(id).map(|chat| &chat.standing))
}

/// Where an agent is met.
pub(super) fn met(config: &Config, agent: &str) -> Vec<Met> {
    let now = Timestamp::now();
    let its = standings(config).filter(|standing| standing.agent == agent);
    its.map(|standing| Met {
        id: standing.name.clone(),
        channel: standing.channel.name(),
        title: standing.title.clone(),
        active: standing.active,
        effective: effective(config, standing, now).into(),
    })
    .collect()
}

/// Whether anybody is answered. An organization has an owner at least, and who was invited by address is somebody.
fn effective(config: &Config, standing: &config::Standing, now: Timestamp) -> Effective {
    let Some(agent) = config.personas.get(&standing.agent) else {
        return Effective { live: false, because: Some(crate::house::force::Because::Agent) };
    };
    let mut members = vec![Member { email: String::new(), role: config::Role::Owner }];
    if let Some(Access::InviteOnly(invited)) = &standing.access {
        members.extend(invited.iter().map(|email| Member { email: email.clone(), role: config::Role::Member }));
    }
    in_force(&agent.standing, standing, Visitor::Somebody { members: &members, token: false }, now)
}

/// What is known of deployments beside their documents.
struct Facts {
    states: HashMap<DocId, DocState>,
    changed: HashMap<String, Version>,
    flags: HashMap<DocId, Vec<Flagged>>,
}

impl Facts {
    async fn of(api: &Api, names: Vec<&str>) -> Result<Facts, Problem> {
        let changed = api.handle.store().newest_versions("deployment", &names).await?;
        let source = api.handle.source();
        let flags = source.findings().into_iter().map(|(doc, rulings)| {
            let flags = rulings.into_iter().map(|ruling| Flagged {
                code: ruling.code,
                field: ruling.key.to_owned(),
                message: ruling.message,
            });
            (doc, flags.collect())
        });
        Ok(Facts {
            states: source.documents().into_iter().map(|state| (state.doc.clone(), state)).collect(),
            changed: changed.into_iter().map(|version| (version.name.clone(), version)).collect(),
            flags: flags.collect(),
        })
    }
}

fn item(api: &Api, config: &Config, standing: &config::Standing, facts: &Facts) -> DeploymentItem {
    let doc = DocId::Deployment(standing.name.as_str().into());
    let now = Timestamp::now();
    let effective = effective(config, standing, now);
    let (phone, chat) = (config.deployments.get(&standing.name), config.chats.get(&standing.name));
    let model = phone.map(|phone| phone.agent.model.name.as_str()).or(chat.map(|chat| chat.model.name.as_str()));
    let own = match (phone, chat) {
        (Some(phone), _) => phone.origins.of("model") == config::ValueOrigin::Deployment,
        (_, Some(chat)) => chat.persona.text_model.as_ref().is_none_or(|agents| agents.name != chat.model.name),
        _ => false,
    };
    let number = phone.and_then(|phone| phone.number.clone());
    let nobody_may = effective.because.is_some_and(|because| matches!(because.name(), "visibility" | "access"));
    let parts = Parts {
        has_number: number.is_some(),
        model: model.map(|model| (model, config.models.contains_key(model))),
        missing_secrets: Vec::new(),
        nobody_may,
    };
    let cannot = config.personas.get(&standing.agent).map(|agent| cannot_work(&agent.standing, standing, &parts, now));
    let cannot: Vec<Flagged> = cannot.unwrap_or_default().into_iter().map(flagged).collect();
    let mut flags = facts.flags.get(&doc).cloned().unwrap_or_default();
    flags.retain(|flag| !cannot.iter().any(|other| other.code == flag.code));
    let rows = rows(config, standing);
    DeploymentItem {
        id: standing.name.clone(),
        agent: standing.agent.clone(),
        channel: standing.channel.name(),
        title: standing.title.clone(),
        model: model.map(str::to_owned),
        model_from: if own { "this deployment" } else { "agent" },
        backup_model: chat.and_then(|chat| chat.backup.as_ref()).map(|backup| backup.name.clone()),
        number,
        access: standing.access.as_ref().map(access),
        active: standing.active,
        effective: effective.into(),
        cannot_work: cannot,
        flags,
        countries: panel::countries(&rows).into_iter().map(str::to_owned).collect(),
        standing: documents::standing(api, &doc, facts.states.get(&doc), facts.changed.get(&standing.name)),
    }
}

fn flagged(flag: crate::house::Flag) -> Flagged {
    Flagged { code: flag.code, field: flag.field.unwrap_or_default().to_owned(), message: flag.message }
}

/// As documents say it.
fn access(access: &Access) -> Value {
    match access {
        Access::Public => "public".into(),
        Access::Organization => "organization".into(),
        Access::RoleBased(role) => json!({ "role": role.name() }),
        Access::InviteOnly(members) => json!({ "members": members }),
    }
}

/// A deployment
#[utoipa::path(
    get,
    path = "/api/v1/deployments/{id}",
    tag = "Deployments",
    params(("id" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "The deployment, with its document", body = DeploymentView),
        (status = 304, description = "It is as If-None-Match says"),
        (status = 409, description = "It is written, and not in force")
    )
)]
async fn get(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let config = api.handle.config();
    let doc = DocId::Deployment(id.as_str().into());
    let found = standing(&config, &id);
    seen(&who, found)?;
    let (text, revision) = documents::read(&api, &doc).await?;
    let facts = Facts::of(&api, vec![&id]).await?;
    let Some(standing) = found else {
        let why = facts.states.get(&doc).and_then(|state| state.why.clone());
        let why = why.unwrap_or_else(|| "offhook check says what is wrong".to_owned());
        let detail = format!("The deployment {id} is written, and not in force: {why}.");
        return Err(Problem::new(StatusCode::CONFLICT, "not_in_force", detail));
    };
    if is_known(&headers, &revision.to_string()) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let view = DeploymentView {
        item: item(&api, &config, standing, &facts),
        key: standing.key.clone(),
        schedule: schedule(&standing.schedule),
        document: keys_of(&text).unwrap_or_default(),
        text: text.to_string(),
    };
    let mut response = Json(view).into_response();
    let (name, value) = etag(revision);
    set(&mut response, name, &value);
    Ok(response)
}

/// Whether it is within reach; what is not in force is only for who sees all agents.
fn seen(who: &Who, standing: Option<&config::Standing>) -> Result<(), Problem> {
    match standing {
        Some(standing) => Ok(who.0.may_ask_for(&standing.agent)?),
        None => Ok(who.0.may_ask_for("")?),
    }
}

/// Where a deployment's data sits and who has it.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Assessment {
    /// Countries, for the badge.
    countries: Vec<String>,
    /// The rows that it has.
    rows: Vec<AssessmentRow>,
}

/// One row of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct AssessmentRow {
    /// Such as `Model hosting`.
    label: String,
    /// What people read, such as `CH (Alpine AI)`, `Off`, or `Not declared`.
    text: String,
    /// The country, ISO 3166-1 alpha-2.
    country: Option<String>,
    /// Whose it is.
    who: Option<String>,
    /// Whether it is declared; what is not is shown in amber, and never guessed.
    declared: bool,
}

fn row(row: panel::Row) -> AssessmentRow {
    let (text, country, who, declared) = match row.value {
        panel::Value::Place { country, who } => {
            let text = who.as_ref().map_or_else(|| country.clone(), |who| format!("{country} ({who})"));
            (text, Some(country), who, true)
        }
        panel::Value::Training(on) => (if on { "On" } else { "Off" }.to_owned(), None, None, true),
        panel::Value::NotDeclared => (panel::NOT_DECLARED.to_owned(), None, None, false),
    };
    AssessmentRow { label: row.label, text, country, who, declared }
}

/// Where a deployment's data sits
#[utoipa::path(
    get,
    path = "/api/v1/deployments/{id}/assessment",
    tag = "Deployments",
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, description = "The rows that it has, and those only", body = Assessment))
)]
async fn assessment(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
) -> Result<Json<Assessment>, Problem> {
    let config = api.handle.config();
    let standing = standing(&config, &id);
    seen(&who, standing)?;
    let rows = rows(&config, standing.ok_or_else(|| Problem::absent("deployment", &id))?);
    let countries = panel::countries(&rows).into_iter().map(str::to_owned).collect();
    Ok(Json(Assessment { countries, rows: rows.into_iter().map(row).collect() }))
}

fn rows(config: &Config, standing: &config::Standing) -> Vec<panel::Row> {
    let card = |name: &str| config.models.get(name).map(AsRef::as_ref);
    let (phone, chat) = (config.deployments.get(&standing.name), config.chats.get(&standing.name));
    let model = phone.map(|phone| phone.agent.model.name.as_str()).or(chat.map(|chat| chat.model.name.as_str()));
    let after = config.personas.get(&standing.agent).map(|persona| &persona.after);
    let asked = after.into_iter().flat_map(|after| [("Analysis", &after.analysis), ("QC", &after.qc)]);
    let others = asked.filter_map(|(what, question)| Some((what, card(&question.as_ref()?.model.name)?)));
    let made = Made {
        channel: standing.channel,
        model: model.and_then(card),
        backup: chat.and_then(|chat| chat.backup.as_ref()).and_then(|backup| card(&backup.name)),
        voice_model: None,
        others: others.collect(),
        carrier: phone.map(|_| "Twilio"),
        has_knowledge: false,
    };
    panel::rows(&made, &config.server.residency)
}

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
async fn create(
    State(api): State<Api>,
    who: Who,
    Query(dry): Query<Dry>,
    Json(mut body): Json<Map<String, Value>>,
) -> Result<Response, Problem> {
    let config = api.handle.config();
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let agent = text("agent");
    if let Some(agent) = &agent {
        who.0.may_ask_for(agent)?;
    }
    let id = new_id(&api, &mut body.clone(), |_| {
        let (agent, channel) = (agent.as_deref().unwrap_or("deployment"), text("channel").unwrap_or_default());
        format!("{agent} {channel}")
    })?;
    body.remove("id");
    let doc = DocId::Deployment(id.as_str().into());
    let change = Change { api: &api, who: &who, doc: doc.clone(), dry, action: "deployment.create" };
    let mut errors = fill(&config, &mut body, Timestamp::now())?;
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
fn fill(config: &Config, body: &mut Map<String, Value>, now: Timestamp) -> Result<Vec<Wrong>, Problem> {
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
    if chosen.is_none() && !body.contains_key("model") && !has_default && channel != Some(Channel::Phone) {
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
    rules::may_create(channel, &have(config, &agent), &config.server.plan)?;
    let mut default = |key: &str, value: Value| {
        body.entry(key).or_insert(value);
    };
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let title = rules::unique_title(&rules::default_title(channel, today), is_taken);
    default("title", title.into());
    default("key", new_key()?.into());
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
fn have(config: &Config, agent: &str) -> Have {
    let internal = |chat: &config::ChatDeployment| {
        chat.standing.agent == agent && matches!(chat.settings, ChatSettings::Internal(_))
    };
    let numbers = config.deployments.values().filter(|phone| phone.number.is_some()).count();
    Have {
        deployments: u32::try_from(config.deployments.len() + config.chats.len()).unwrap_or(u32::MAX),
        internal_chat: config.chats.values().any(|chat| internal(chat)),
        numbers: u32::try_from(numbers).unwrap_or(u32::MAX),
        spare_numbers: 0,
    }
}

/// A new embed key.
fn new_key() -> Result<String, Problem> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let random = SystemRandom::new();
    let mut key = "oh_pub_".to_owned();
    while key.len() < "oh_pub_".len() + KEY_LETTERS {
        let mut bytes = [0; 32];
        random.fill(&mut bytes).map_err(|_| Problem::internal(&"the system gives no random numbers"))?;
        // Of 256 values the last eight would make some letters likelier.
        let letters = bytes.iter().filter(|byte| **byte < 248).map(|byte| LETTERS[usize::from(byte % 62)] as char);
        let left = "oh_pub_".len() + KEY_LETTERS - key.len();
        key.extend(letters.take(left));
    }
    Ok(key)
}

/// Letters and digits of an embed key: 190 bits.
const KEY_LETTERS: usize = 32;

/// A deployment's document, replaced
#[utoipa::path(
    put,
    path = "/api/v1/deployments/{id}",
    tag = "Deployments",
    params(("id" = String, Path, description = "Its name"), Dry),
    request_body(content = Object, description = "All keys of the document"),
    responses(
        (status = 200, description = "It is changed, or would be", body = DocumentAnswer),
        (status = 201, description = "It is made", body = DocumentAnswer),
        (status = 409, description = "It is locked, or others forbid it"),
        (status = 412, description = "Somebody else changed it"),
        (status = 428, description = "If-Match is missing")
    )
)]
async fn replace(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Query(dry): Query<Dry>,
    headers: HeaderMap,
    Json(body): Json<Map<String, Value>>,
) -> Result<Response, Problem> {
    let change = reach(&api, &who, &id, Some(&body), dry, "deployment.change")?;
    change.upon(&headers, Wanted::Keys(body)).await
}

/// Keys of a deployment's document, changed
///
/// A merge patch (RFC 7396): what is not named stays, `null` removes. Applies from the next call or message.
#[utoipa::path(
    patch,
    path = "/api/v1/deployments/{id}",
    tag = "Deployments",
    params(("id" = String, Path, description = "Its name"), Dry),
    request_body(content = Object, description = "Keys of the document"),
    responses(
        (status = 200, description = "It is changed, or would be", body = DocumentAnswer),
        (status = 409, description = "It is locked, or others forbid it"),
        (status = 412, description = "Somebody else changed it"),
        (status = 428, description = "If-Match is missing")
    )
)]
async fn change(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Query(dry): Query<Dry>,
    headers: HeaderMap,
    Json(body): Json<Map<String, Value>>,
) -> Result<Response, Problem> {
    let change = reach(&api, &who, &id, Some(&body), dry, "deployment.change")?;
    let config = api.handle.config();
    if let (Some(standing), Some(title)) = (standing(&config, &id), body.get("title").and_then(Value::as_str)) {
        let its = || standings(&config).filter(|other| other.agent == standing.agent && other.name != standing.name);
        let is_taken = |title: &str| its().any(|other| other.title == title);
        let was = Some(standing.title.as_str());
        rules::may_be_called(standing.channel, was, title.trim(), is_taken)?;
    }
    change.upon(&headers, Wanted::Patched(body)).await
}

/// A change of a deployment that is within reach, before it and after it: nobody hands one to an agent that is not theirs.
fn reach<'a>(
    api: &'a Api,
    who: &'a Who,
    id: &str,
    body: Option<&Map<String, Value>>,
    dry: Dry,
    action: &'static str,
) -> Result<Change<'a>, Problem> {
    seen(who, standing(&api.handle.config(), id))?;
    if let Some(agent) = body.and_then(|body| body.get("agent")).and_then(Value::as_str) {
        who.0.may_ask_for(agent)?;
    }
    let is_id =
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if !is_id {
        return Err(Problem::absent("deployment", id));
    }
    Ok(Change { api, who, doc: DocId::Deployment(id.into()), dry, action })
}

/// A deployment, deleted
///
/// Its number goes back to the pool, its embed key is dead; running calls finish.
#[utoipa::path(
    delete,
    path = "/api/v1/deployments/{id}",
    tag = "Deployments",
    params(("id" = String, Path, description = "Its name"), Dry),
    responses(
        (status = 204, description = "It is gone, or would be"),
        (status = 409, description = "It is locked"),
        (status = 412, description = "Somebody else changed it")
    )
)]
async fn delete(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Query(dry): Query<Dry>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let change = reach(&api, &who, &id, None, dry, "deployment.delete")?;
    let (_, revision) = documents::read(&api, &change.doc).await?;
    checked(&headers, &revision.to_string())?;
    let edit = Edit { doc: change.doc.clone(), upon: Some(revision), to: Wanted::Gone };
    change.make(vec![edit]).await?;
    Ok(StatusCode::NO_CONTENT)
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
async fn clone(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Query(dry): Query<Dry>,
    Maybe(body): Maybe<Copy>,
) -> Result<Response, Problem> {
    let config = api.handle.config();
    let original = standing(&config, &id);
    seen(&who, original)?;
    let original = original.ok_or_else(|| Problem::absent("deployment", &id))?;
    let (text, _) = documents::read(&api, &DocId::Deployment(id.as_str().into())).await?;
    rules::may_create(original.channel, &have(&config, &original.agent), &config.server.plan)?;
    let wished = body.unwrap_or_default();
    let is_taken = |title: &str| standings(&config).any(|other| other.agent == original.agent && other.title == title);
    let title = wished.title.unwrap_or_else(|| copy_title(&original.title, is_taken));
    rules::may_be_called(original.channel, None, title.trim(), is_taken)?;
    let mut fields = Map::new();
    fields.extend(wished.id.map(|id| ("id".to_owned(), Value::from(id))));
    let copy = new_id(&api, &mut fields, |_| format!("{id}-copy"))?;
    let mut keys = Map::new();
    keys.insert("title".to_owned(), title.into());
    keys.insert("active".to_owned(), false.into());
    keys.insert("key".to_owned(), new_key()?.into());
    for gone in ["schedule", "number"] {
        keys.insert(gone.to_owned(), Value::Null);
    }
    if matches!(original.access, Some(Access::InviteOnly(_))) {
        keys.insert("access".to_owned(), "organization".into());
    }
    let text = with_keys(&text, &keys).map_err(|why| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "patch", why))?;
    let doc = DocId::Deployment(copy.as_str().into());
    let change = Change { api: &api, who: &who, doc: doc.clone(), dry, action: "deployment.clone" };
    let edited = change.make(vec![Edit { doc, upon: None, to: Wanted::Text(text) }]).await.map_err(taken)?;
    change.answer(if dry.is() { StatusCode::OK } else { StatusCode::CREATED }, &edited)
}

/// A deployment, switched on or off
///
/// At once. Running calls go on. What was scheduled and is void by it is cleared.
#[utoipa::path(
    post,
    path = "/api/v1/deployments/{id}/switch",
    tag = "Deployments",
    params(("id" = String, Path, description = "Its name"), Dry),
    request_body = Flip,
    responses((status = 200, description = "It is switched, or would be", body = DocumentAnswer))
)]
async fn switch(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Query(dry): Query<Dry>,
    Json(flip): Json<Flip>,
) -> Result<Response, Problem> {
    let change = reach(&api, &who, &id, None, dry, "deployment.switch")?;
    let config = api.handle.config();
    let standing = standing(&config, &id).ok_or_else(|| Problem::absent("deployment", &id))?;
    let edited = change.keys(flip.keys(&standing.schedule)?).await?;
    change.answer(StatusCode::OK, &edited)
}

/// A new embed key.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct NewKey {
    /// It stands in the page that embeds the deployment; the old one is dead.
    key: String,
}

/// A new embed key for a deployment
///
/// The old one is dead at once: pages that embed it need the new one.
#[utoipa::path(
    post,
    path = "/api/v1/deployments/{id}/key/rotate",
    tag = "Deployments",
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, description = "The new key", body = NewKey))
)]
async fn rotate(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
) -> Result<Json<NewKey>, Problem> {
    let change = reach(&api, &who, &id, None, Dry::default(), "deployment.key.rotate")?;
    let key = new_key()?;
    let mut keys = Map::new();
    keys.insert("key".to_owned(), key.as_str().into());
    change.keys(keys).await?;
    Ok(Json(NewKey { key }))
}
