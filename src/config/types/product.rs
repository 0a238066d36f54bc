//! What a product says beyond one call: where an agent is met, by whom, when, and with which models.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::Price;

/// Where an agent is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A phone number.
    Phone,
    /// A widget in a website, for visitors.
    Website,
    /// A chat for the organization's members.
    Internal,
}

impl Channel {
    /// All of them by name.
    pub const ALL: [(&'static str, Channel); 3] =
        [("phone", Channel::Phone), ("website", Channel::Website), ("internal", Channel::Internal)];

    /// As in documents.
    pub fn name(self) -> &'static str {
        Channel::ALL.iter().find(|(_, channel)| *channel == self).map_or("phone", |(name, _)| name)
    }
}

/// Who may meet an agent at all, over all of its deployments (VIS-01).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Anyone, without authentication.
    #[default]
    Public,
    /// Who is known.
    Internal,
}

/// What a member may do; each may what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // named as they are
pub enum Role {
    Member,
    Builder,
    Admin,
    Owner,
}

impl Role {
    /// All of them by name, from the least up.
    pub const ALL: [(&'static str, Role); 4] =
        [("member", Role::Member), ("builder", Role::Builder), ("admin", Role::Admin), ("owner", Role::Owner)];

    /// As in documents and in the API.
    pub fn name(self) -> &'static str {
        Role::ALL.iter().find(|(_, role)| *role == self).map_or("member", |(name, _)| name)
    }

    /// As people read it.
    pub fn title(self) -> &'static str {
        match self {
            Role::Member => "Member",
            Role::Builder => "Builder",
            Role::Admin => "Admin",
            Role::Owner => "Owner",
        }
    }
}

/// Who may use a deployment (ACC-01).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone; phones only.
    Public,
    /// Any member.
    Organization,
    /// Members of this role, or above.
    RoleBased(Role),
    /// These members, by e-mail address in lower case; never empty.
    InviteOnly(Vec<String>),
}

/// When something is switched on and off by itself (VIS-07). What was switched at a time that is over stays so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// It is off until then.
    pub activate_at: Option<Timestamp>,
    /// It is off from then; when both are set, later than `activate_at`.
    pub deactivate_at: Option<Timestamp>,
}

/// Business hours (HRS-01).
#[derive(Clone, Debug, PartialEq)]
pub struct Hours {
    /// Whose clock they go by.
    pub timezone: TimeZone,
    /// Spans of each day of the week, in order and without overlap; a day without any is closed.
    pub week: BTreeMap<WeekdayKey, Vec<Span>>,
    /// Days that are otherwise; without a span they are closed.
    pub exceptions: BTreeMap<Date, Vec<Span>>,
    /// What becomes of who comes outside of them.
    pub outside: Outside,
}

/// A day of the week, Monday first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WeekdayKey(i8);

impl From<Weekday> for WeekdayKey {
    fn from(day: Weekday) -> Self {
        WeekdayKey(day.to_monday_zero_offset())
    }
}

/// From one minute of a day to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Minutes from midnight by the clock on the wall, 0–1439.
    pub from_min: u16,
    /// The first minute that is outside, 1–1440, later than `from_min`.
    pub to_min: u16,
}

/// What becomes of who comes outside business hours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Outside {
    /// The agent answers all the same, and knows that it is closed.
    #[default]
    Answer,
    /// A line is said, or shown, and no more; `None`: the one for inactive deployments.
    Refuse(Option<String>),
}

/// What is declared of a model for choosing it (MOD-02). Nothing here is guessed: what is not declared is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelFacts {
    /// Who runs it, such as `OpenAI`.
    pub vendor: Option<String>,
    /// The vendor's country, ISO 3166-1 alpha-2 in upper case.
    pub vendor_country: Option<String>,
    /// Where it is hosted, likewise.
    pub hosting_country: Option<String>,
    /// Whether the vendor trains on what it is sent.
    pub trains_on_data: Option<bool>,
    /// Voices that it has; empty: not declared, and any may be asked for.
    pub voices: Vec<String>,
    /// Options that it has (`temperature`, `max_output_tokens`, `service_tier`, `prompt_caching`); `None`: not declared.
    pub options: Option<Vec<String>>,
}

impl ModelFacts {
    /// The voice that a new phone deployment is given (C-26); `None`: the model's own.
    pub fn first_voice(&self) -> Option<&str> {
        self.voices.iter().map(String::as_str).find(|voice| *voice == "alloy")
    }

    /// Whether it has `voice`; custom voices, and those of a model that declares none, are the vendor's to know.
    pub fn has_voice(&self, voice: &str) -> bool {
        self.voices.is_empty() || voice.starts_with("voice_") || self.voices.iter().any(|known| known == voice)
    }
}

/// A model as people choose it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelCard {
    /// Its name in `models.toml`.
    pub name: String,
    /// What it is for.
    pub kind: ModelKind,
    /// What is declared of it.
    pub facts: ModelFacts,
    /// What it costs; `None`: not known.
    pub price: Option<Price>,
}

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// It talks to callers: `kind = "realtime"`.
    Voice,
    /// It reads and writes.
    Text,
}

/// Where data may go (RES-01).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Hosted in Switzerland by a Swiss company.
    SwissSwiss,
    /// Hosted in Switzerland.
    SwissAny,
    /// Hosted and operated in Switzerland or the EU.
    EuropeEurope,
    /// Hosted in Switzerland or the EU.
    EuropeAny,
    /// Anywhere.
    #[default]
    Global,
}

/// `[residency]`: the tier, and what the operator declares of this server (C-34).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Residency {
    /// Where data may go.
    pub tier: Tier,
    /// Where this server stands, ISO 3166-1 alpha-2.
    pub infrastructure: Option<String>,
    /// Where knowledge is kept.
    pub knowledge: Option<String>,
    /// Where chats are kept.
    pub chats: Option<String>,
    /// The carrier's country.
    pub phone_provider: Option<String>,
}

/// `[organization]`: what goes for all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// The IANA name of the zone whose days and hours people read, such as `Europe/Zurich`. What is kept is UTC.
    pub timezone: String,
}

impl Organization {
    /// The zone itself. The configuration knows only zones that there are.
    pub fn zone(&self) -> TimeZone {
        TimeZone::get(&self.timezone).unwrap_or(TimeZone::UTC)
    }
}

impl Default for Organization {
    fn default() -> Self {
        Organization { timezone: "UTC".to_owned() }
    }
}

/// `[plan]`: what the organization may have; `None`: no limit but the server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Deployments of all agents together; inactive ones count (DEP-09).
    pub deployments: Option<u32>,
    /// Phone numbers, assigned or not.
    pub numbers: Option<u32>,
    /// Calls of one agent at once (CON-01).
    pub calls_per_agent: Option<u32>,
}

/// `[billing]`: how cost is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Billing {
    /// What one credit costs, in millionths of the currency of the models' prices; `None`: there are no credits.
    pub credit_micros: Option<u64>,
    /// The currency's name, such as `USD`, for people.
    pub currency: Option<String>,
}

/// `[budget]`: what models may cost in all calls together (COST-03).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrganizationBudget {
    /// In a month (UTC), in millionths of the currency of the models' prices; `None`: there is no limit.
    pub month_micros: Option<u64>,
}

/// What every deployment is beside its channel's own settings.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The document's name.
    pub name: String,
    /// What people call it (DEP-10), 1–80 characters.
    pub title: String,
    /// Where it is.
    pub channel: Channel,
    /// The agent's name.
    pub agent: String,
    /// Whether it is switched on.
    pub active: bool,
    /// When it is switched by itself.
    pub schedule: Schedule,
    /// When it is open; `None`: always.
    pub hours: Option<Hours>,
    /// Who may use it; `None` on websites, which have no access mode.
    pub access: Option<Access>,
    /// The embed key, `oh_pub_…`; publishable.
    pub key: Option<String>,
}

/// The same of an agent, over all of its deployments.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentStanding {
    /// Its name.
    pub name: String,
    /// What people call it, 1–80 characters; its name where nobody says otherwise.
    pub title: String,
    /// Whether it is switched on (VIS-05).
    pub active: bool,
    /// When it is switched by itself.
    pub schedule: Schedule,
    /// Who may meet it.
    pub visibility: Visibility,
    /// Calls at once (CON-01); `None`: as many as the plan lets it have.
    pub max_calls: Option<u32>,
    /// How long its calls are kept, where it is not as long as the organization's.
    pub keep: KeepDays,
}

/// How long an agent's calls are kept, in days from their end, 0-3650; `None`: as the organization says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepDays {
    /// Calls with all that there is of them; 0: for ever.
    pub calls: Option<u64>,
    /// Their recordings, and journals with audio; 0: as long as their calls.
    pub recordings: Option<u64>,
}
