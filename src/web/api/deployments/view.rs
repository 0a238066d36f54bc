//! How deployments are shown: whether they answer, why they cannot work, and where their data sits.

use std::collections::{BTreeSet, HashMap, HashSet};

use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::config::{self, Access, Config, DocId, DocState};
use crate::house::deployments::{Parts, cannot_work};
use crate::house::force::{Because, Effective, Visitor, in_force};
use crate::house::panel::{self, Made};
use crate::house::zone;
use crate::store::Version;
use crate::store::people::Somebody;
use crate::web::documents::{self, Flagged, Standing};
use crate::web::extract::{Json, Nothing, Path, Query};
use crate::web::problem::Problem;
use crate::web::{Api, Who};

use super::seen;

/// Where an agent is met, in short.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::web::api) struct Met {
    /// The deployment's name.
    pub(in crate::web::api) id: String,
    /// `phone`, `website` or `internal`.
    pub(in crate::web::api) channel: &'static str,
    /// What people call it.
    title: String,
    /// Whether its switch is on.
    active: bool,
    effective: Live,
}

/// Whether it answers, and if not, the first that says no.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Effective)]
pub(in crate::web::api) struct Live {
    /// It does.
    live: bool,
    /// `agent`, `deployment`, `schedule`, `hours`, `visibility` or `access`; `null` exactly when it is live.
    because: Option<&'static str>,
    /// The same in words.
    words: Option<&'static str>,
    /// When that one says no no longer, as far as is known: RFC 3339.
    until: Option<String>,
    /// The same as people read it: in the organization's time zone, which is named.
    until_shown: Option<String>,
}

impl Live {
    fn of(effective: Effective, config: &Config) -> Live {
        let because = effective.because;
        let until = because.and_then(|because| because.until());
        let place = &config.server.organization;
        Live {
            live: effective.live,
            because: because.map(|because| because.name()),
            words: because.map(|because| because.words()),
            until_shown: until.map(|at| zone::shown(at, &place.zone())),
            until: until.map(|at| at.to_string()),
        }
    }
}

/// A deployment in a list, as its card shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct DeploymentItem {
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
    /// Who may use it, as documents say it; `null` for websites, which have no access mode.
    access: Value,
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

/// All deployments by name.
pub(super) fn standings(config: &Config) -> impl Iterator<Item = &config::Standing> {
    let phones = config.deployments.iter().map(|(name, phone)| (name, &phone.standing));
    let chats = config.chats.iter().map(|(name, chat)| (name, &chat.standing));
    let mut all: Vec<_> = phones.chain(chats).collect();
    all.sort_by_key(|(name, _)| *name);
    all.into_iter().map(|(_, standing)| standing)
}

pub(super) fn standing<'a>(config: &'a Config, id: &str) -> Option<&'a config::Standing> {
    let phone = config.deployments.get(id).map(|phone| &phone.standing);
    phone.or_else(|| config.chats.get(id).map(|chat| &chat.standing))
}

/// Where these agents are met, by agent.
pub(in crate::web::api) async fn met(
    api: &Api,
    config: &Config,
    agents: &[&str],
) -> Result<HashMap<String, Vec<Met>>, Problem> {
    let now = Timestamp::now();
    let its: Vec<_> = standings(config).filter(|standing| agents.contains(&standing.agent.as_str())).collect();
    let who = somebody(api, &its).await?;
    let mut met: HashMap<String, Vec<Met>> = HashMap::new();
    for standing in its {
        met.entry(standing.agent.clone()).or_default().push(Met {
            id: standing.name.clone(),
            channel: standing.channel.name(),
            title: standing.title.clone(),
            active: standing.active,
            effective: Live::of(effective(config, standing, &who, now), config),
        });
    }
    Ok(met)
}

/// Who there is that these deployments might be for.
pub(super) async fn somebody(api: &Api, standings: &[&config::Standing]) -> Result<Somebody, Problem> {
    let lists = standings.iter().filter_map(|standing| match &standing.access {
        Some(Access::InviteOnly(invited)) => Some(invited),
        _ => None,
    });
    let invited: HashSet<&str> = lists.flatten().map(String::as_str).collect();
    let invited: Vec<&str> = invited.into_iter().collect();
    Ok(api.handle.store().people().somebody(&invited).await?)
}

/// Whether anybody is answered, of all who are members or have shown an agent's password or token.
pub(super) fn effective(config: &Config, standing: &config::Standing, who: &Somebody, now: Timestamp) -> Effective {
    let Some(agent) = config.personas.get(&standing.agent) else {
        return Effective { live: false, because: Some(Because::Agent) };
    };
    let token = who.with_token.contains(&standing.agent);
    in_force(&agent.standing, standing, Visitor::Somebody { members: &who.members, token }, now)
}

/// What is known of deployments beside their documents.
pub(super) struct Facts {
    pub(super) states: HashMap<DocId, DocState>,
    changed: HashMap<String, Version>,
    flags: HashMap<DocId, Vec<Flagged>>,
    who: Somebody,
    /// Agents that have something to look things up in.
    knowing: BTreeSet<String>,
}

impl Facts {
    pub(super) async fn of(api: &Api, config: &Config, names: Vec<&str>) -> Result<Facts, Problem> {
        let its: Vec<_> = names.iter().filter_map(|name| standing(config, name)).collect();
        let who = somebody(api, &its).await?;
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
            who,
            knowing: api.handle.store().knowledge().agents().await?,
        })
    }
}

pub(super) fn item(api: &Api, config: &Config, standing: &config::Standing, facts: &Facts) -> DeploymentItem {
    let doc = DocId::Deployment(standing.name.as_str().into());
    let now = Timestamp::now();
    let effective = effective(config, standing, &facts.who, now);
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
    let cannot: Vec<Flagged> = cannot.unwrap_or_default().into_iter().map(Flagged::from).collect();
    let mut flags = facts.flags.get(&doc).cloned().unwrap_or_default();
    flags.retain(|flag| !cannot.iter().any(|other| other.code == flag.code));
    let rows = rows(config, standing, facts.knowing.contains(&standing.agent));
    DeploymentItem {
        id: standing.name.clone(),
        agent: standing.agent.clone(),
        channel: standing.channel.name(),
        title: standing.title.clone(),
        model: model.map(str::to_owned),
        model_from: if own { "this deployment" } else { "agent" },
        backup_model: chat.and_then(|chat| chat.backup.as_ref()).map(|backup| backup.name.clone()),
        number,
        access: standing.access.as_ref().map_or(Value::Null, access),
        active: standing.active,
        effective: Live::of(effective, config),
        cannot_work: cannot,
        flags,
        countries: panel::countries(&rows).into_iter().map(str::to_owned).collect(),
        standing: documents::standing(api, &doc, facts.states.get(&doc), facts.changed.get(&standing.name)),
    }
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

/// Where a deployment's data sits and who has it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Assessment {
    /// Countries, for the badge.
    countries: Vec<String>,
    /// The rows that it has.
    rows: Vec<AssessmentRow>,
}

/// One row of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct AssessmentRow {
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
pub(super) async fn assessment(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
) -> Result<Json<Assessment>, Problem> {
    let config = api.handle.config();
    let standing = standing(&config, &id);
    seen(&who, standing)?;
    let standing = standing.ok_or_else(|| Problem::absent("deployment", &id))?;
    let knows = api.handle.store().knowledge().has_any(&standing.agent).await?;
    let rows = rows(&config, standing, knows);
    let countries = panel::countries(&rows).into_iter().map(str::to_owned).collect();
    Ok(Json(Assessment { countries, rows: rows.into_iter().map(row).collect() }))
}

fn rows(config: &Config, standing: &config::Standing, has_knowledge: bool) -> Vec<panel::Row> {
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
        // No document lets a website's visitors talk; what transcribes is the model's own vendor's.
        voice_model: None,
        others: others.collect(),
        carrier: phone.map(|_| config.server.twilio.profile.title()),
        has_knowledge,
    };
    panel::rows(&made, &config.server.residency)
}
