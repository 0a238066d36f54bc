//! All rules over a whole catalogue at once, for documents that are files: what may not be, and what should be known.
//!
//! Files say how things are to be and not what somebody has just done, so the rules are told what was in force **before**.
//! What is new there is refused as it would be on every other way. What was in force already and has stopped
//! complying, since the tier, the plan or a model's facts have changed, goes on and is flagged (MOD-07).
//!
//! Without a *before*, everything is new: so `offhook check` sees a directory that never ran. A server hands in the last
//! revision that was in force, over a restart, too.

use jiff::Timestamp;

use super::deployments::{self, Parts, shared_key};
pub use super::facts::{AgentFacts, DeploymentFacts, Facts};
use super::models::{self, Pair, still};
use super::refusal::{Flag, Refusal};
use super::{access, caps, hours, residency, retention, switches};
use crate::config::{Channel, Config, DocId, Problem, Ruling, Schedule, Severity, Standing, Tier};

/// What was in force before.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// The catalogue then.
    pub facts: &'a Facts<'a>,
    /// When its documents were last seen to be so. A schedule that is new since, for a time before that, was past when it
    /// was written (VIS-07); one for a time after it has come due unseen, and has its effect.
    pub seen_at: Timestamp,
}

/// Whose document it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Document {
    /// `offhook.toml`.
    Server,
    /// `agents/{name}.toml`.
    Agent(String),
    /// `deployments/{name}.toml`.
    Deployment(String),
}

/// What a rule says of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which document.
    pub document: Document,
    /// The key in it, such as `backup_model` or `analysis.model`; empty: the document itself. It need not be there: a
    /// model may be the agent's.
    pub field_path: &'static str,
    /// No, or yes, but.
    pub verdict: Verdict,
}

impl Finding {
    /// As `offhook check` and the log tell it, at its place in the document, whose path for people is `file`, and whose text
    /// is `source`: at the key, else at the table that it belongs in, else at `agent`, which says what is not said there.
    pub fn problem(&self, file: &str, source: &str) -> Problem {
        Ruling::from(self).problem(file, source)
    }

    /// See [`Ruling::round`].
    fn round(&self) -> u8 {
        match &self.verdict {
            Verdict::Flagged(_) => 0,
            Verdict::Refused(refusal) => match refusal.code {
                "deployment_limit" => 3,
                "key_taken" => 2,
                "already_configured" | "title_taken" => 1,
                _ => 0,
            },
        }
    }
}

impl From<&Finding> for Ruling {
    fn from(finding: &Finding) -> Self {
        let (severity, code, message) = match &finding.verdict {
            Verdict::Refused(refusal) => (Severity::Error, refusal.code, &refusal.message),
            Verdict::Flagged(flag) => (Severity::Warning, flag.code, &flag.message),
        };
        let (doc, message) = (DocId::from(&finding.document), message.clone());
        Ruling { doc, severity, code, key: finding.field_path, message, round: finding.round() }
    }
}

/// No, or yes, but.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The document may not come in force; what was before stays.
    Refused(Refusal),
    /// It may, and is flagged.
    Flagged(Flag),
}

/// What all rules say of `after`, the agents' documents by name, then the deployments', then the server's.
pub fn review(before: Option<Before<'_>>, after: &Facts<'_>, now: Timestamp) -> Vec<Finding> {
    let both = both(before.map(|before| before.facts), after);
    let mut review = Review { before, after, now, findings: Vec::new() };
    for agent in after.agents.values() {
        review.agent(agent);
    }
    for pair in &both {
        review.deployment(pair);
    }
    review.internal_chats(&both);
    review.titles(&both);
    review.keys(&both);
    review.limit(&both);
    review.findings.sort_by(|a, b| a.document.rank().cmp(&b.document.rank()));
    review.findings
}

/// All rules as a catalogue is held to them by [`Opening::rules`](crate::config::Opening::rules): see
/// [`CatalogueRules`](crate::config::CatalogueRules), which this is one of.
pub fn rulings(before: Option<(&Config, Timestamp)>, after: &Config, now: Timestamp) -> Vec<Ruling> {
    let was = before.map(|(config, seen_at)| (Facts::of(config), seen_at));
    let before = was.as_ref().map(|(facts, seen_at)| Before { facts, seen_at: *seen_at });
    review(before, &Facts::of(after), now).iter().map(Ruling::from).collect()
}

/// What will be flagged once the tier is `tier`, for people to see before it is saved (RES-05): a change of the tier refuses
/// nothing and changes no deployment.
pub fn of_tier(facts: &Facts<'_>, tier: Tier, now: Timestamp) -> Vec<Finding> {
    let after = Facts { tier, ..facts.clone() };
    let mut findings = review(Some(Before { facts, seen_at: now }), &after, now);
    findings.retain(|finding| matches!(&finding.verdict, Verdict::Flagged(flag) if flag.code == residency::CODE));
    findings
}

/// A deployment as it is to be, and as it was; `None`: it is new.
type Both<'a, 'b> = (&'a DeploymentFacts<'a>, Option<&'b DeploymentFacts<'b>>);

/// All deployments by name. There may be thousands, so none is searched for.
fn both<'a, 'b>(before: Option<&'b Facts<'b>>, after: &'a Facts<'a>) -> Vec<Both<'a, 'b>> {
    let mut old = before.into_iter().flat_map(|facts| &facts.deployments).peekable();
    let paired = after.deployments.iter().map(|(name, deployment)| {
        while old.next_if(|(known, _)| *known < name).is_some() {}
        (deployment, old.next_if(|(known, _)| *known == name).map(|(_, was)| was))
    });
    paired.collect()
}

struct Review<'a, 'b> {
    before: Option<Before<'b>>,
    after: &'a Facts<'a>,
    now: Timestamp,
    findings: Vec<Finding>,
}

impl<'a, 'b> Review<'a, 'b> {
    fn agent(&mut self, agent: &AgentFacts<'a>) {
        let name = &agent.standing.name;
        let document = Document::Agent(name.clone());
        let was = self.before.and_then(|before| before.facts.agents.get(name.as_str()));
        for (field, model) in agent.uses() {
            let was = was.and_then(|was| was.uses().find(|(known, _)| *known == field)).map(|(_, model)| model);
            match self.after.models.get(model) {
                Some(card) => {
                    let chosen = residency::choose(self.after.tier, field, was, card);
                    self.verdicts(&document, chosen.map(|flag| flag.into_iter().collect()));
                }
                None => self.gone(&document, field, model, was == Some(model)),
            }
        }
        self.switch(&document, was.map(|was| &was.standing.schedule), agent.standing.active, &agent.standing.schedule);
        if let Some(flag) = caps::over_plan(agent.standing.max_calls, self.after.plan.calls_per_agent) {
            self.flag(&document, flag);
        }
        if let Some(flag) = retention::over_bound(&self.after.store, agent.standing.keep) {
            self.flag(&document, flag);
        }
    }

    fn deployment(&mut self, (deployment, was): &Both<'a, 'b>) {
        let (standing, was) = (deployment.standing, *was);
        let document = Document::Deployment(standing.name.clone());
        self.models(&document, deployment, was);
        let was_so = was.is_some_and(|was| was.standing.access == standing.access);
        if let Err(refusal) = access::check(standing.channel, standing.access.as_ref()) {
            self.settle(&document, refusal, was_so);
        }
        let days = standing.hours.iter().flat_map(|hours| hours.week.values().chain(hours.exceptions.values()));
        let was_so = was.is_some_and(|was| was.standing.hours == standing.hours);
        if let Some(refusal) = days.filter_map(|day| hours::check(day).err()).next() {
            self.settle(&document, refusal, was_so);
        }
        self.switch(&document, was.map(|was| &was.standing.schedule), standing.active, &standing.schedule);
        let Some(agent) = self.after.agents.get(standing.agent.as_str()) else { return };
        // Its model has been spoken of, and that an agent is inactive is somebody's will.
        let parts = Parts { has_number: deployment.has_number, model: Some(("", true)), ..Parts::default() };
        let flags = deployments::cannot_work(agent.standing, standing, &parts, self.now);
        for flag in flags.into_iter().filter(|flag| flag.code != "agent_inactive") {
            self.flag(&document, flag);
        }
    }

    /// Primary, backup and voice.
    fn models(&mut self, document: &Document, deployment: &DeploymentFacts<'a>, was: Option<&DeploymentFacts<'b>>) {
        let (standing, tier) = (deployment.standing, self.after.tier);
        let before = self.before.map(|before| before.facts);
        // Another channel is another choice.
        let was = was.filter(|was| was.standing.channel == standing.channel);
        let was_model = was.zip(before).and_then(|(was, facts)| primary(facts, was));
        let model = match models::required(primary(self.after, deployment)) {
            Ok(model) => model,
            Err(refusal) => return self.settle(document, refusal, was.is_some() && was_model.is_none()),
        };
        let Some(card) = self.after.models.get(model) else {
            return self.gone(document, "model", model, was_model == Some(model));
        };
        let chosen = models::choose(standing.channel, tier, was_model, card);
        // What the agent's document has just been refused is told there.
        if chosen.is_ok() || !self.is_agents_choice(deployment, model) {
            self.verdicts(document, chosen);
        }
        if let Some(name) = deployment.backup {
            let pair = Pair { model: was_model, backup: was.and_then(|was| was.backup) };
            match self.after.models.get(name) {
                Some(backup) => {
                    let chosen = models::choose_backup(standing.channel, tier, pair, card, Some(backup));
                    self.verdicts(document, chosen);
                }
                None => self.gone(document, "backup_model", name, pair.backup == Some(name)),
            }
        }
        if let Some(Err(refusal)) = deployment.voice.map(|voice| models::has_voice(card, voice)) {
            let was_so = was.is_some_and(|was| was.voice == deployment.voice) && was_model == Some(model);
            self.settle(document, refusal, was_so);
        }
    }

    /// Whether `model` comes from the agent's document, and is new there and refused for where it is.
    fn is_agents_choice(&self, deployment: &DeploymentFacts<'_>, model: &str) -> bool {
        let agent = deployment.standing.agent.as_str();
        let channel = deployment.standing.channel;
        let default =
            |facts: &Facts<'_>| facts.agents.get(agent).and_then(|agent| agent.default(channel)) == Some(model);
        let is_new = !self.before.is_some_and(|before| default(before.facts));
        let fits = self.after.models.get(model).is_none_or(|card| residency::fits(self.after.tier, &card.facts));
        deployment.model.is_none() && default(self.after) && is_new && !fits
    }

    fn switch(&mut self, document: &Document, was: Option<&Schedule>, active: bool, schedule: &Schedule) {
        // Where nothing is known of before, a time that is over may have come due long since.
        let (was, seen_at) = match self.before {
            Some(before) => (was.copied().unwrap_or_default(), before.seen_at),
            None => (*schedule, self.now),
        };
        if let Err(refusal) = switches::set(&was, schedule, seen_at) {
            self.settle(document, refusal, was == *schedule);
        }
        if let Some(flag) = switches::idle(active, schedule, self.now) {
            self.flag(document, flag);
        }
    }

    /// One for each agent (DEP-08).
    fn internal_chats(&mut self, both: &[Both<'a, 'b>]) {
        let later = contested(both, |standing| (standing.channel == Channel::Internal).then_some(&*standing.agent));
        for contest in later {
            self.settle(&contest.document(), deployments::second_internal_chat(), contest.was_so);
        }
    }

    /// Unique for each agent, and such as people may give (DEP-10). An internal chat's is not for people to give.
    fn titles(&mut self, both: &[Both<'a, 'b>]) {
        let standings = both.iter().map(|(deployment, was)| (deployment.standing, was));
        for (standing, was) in standings.filter(|(standing, _)| standing.channel != Channel::Internal) {
            let was = was.map(|was| was.standing.title.as_str());
            let called = deployments::may_be_called(standing.channel, was, &standing.title, |_| false);
            if let Err(refusal) = called {
                self.settle(&Document::Deployment(standing.name.clone()), refusal, false);
            }
        }
        let later = contested(both, |standing| {
            (standing.channel != Channel::Internal).then_some((&*standing.agent, &*standing.title))
        });
        for contest in later {
            self.settle(&contest.document(), deployments::title_taken(contest.claim.1), contest.was_so);
        }
    }

    /// Each its own (DEP-14).
    fn keys(&mut self, both: &[Both<'a, 'b>]) {
        for contest in contested(both, |standing| standing.key.as_deref()) {
            self.settle(&contest.document(), shared_key(contest.owner), contest.was_so);
        }
    }

    /// As many as the plan lets be; the newest are refused (DEP-09).
    fn limit(&mut self, both: &[Both<'a, 'b>]) {
        let old = both.iter().filter(|(_, was)| was.is_some()).count();
        let mut count = u32::try_from(old).unwrap_or(u32::MAX);
        if let Some(limit) = self.after.plan.deployments.filter(|limit| count > *limit) {
            let message = format!("There are {count} deployments; the limit is {limit}. None is switched off for it.");
            self.flag(&Document::Server, Flag::new("deployment_limit", Some("plan.deployments"), message));
        }
        for (deployment, _) in both.iter().filter(|(_, was)| was.is_none()) {
            if let Err(refusal) = deployments::within_limit(count, &self.after.plan) {
                self.settle(&Document::Deployment(deployment.standing.name.clone()), refusal, false);
            }
            count = count.saturating_add(1);
        }
    }

    fn verdicts(&mut self, document: &Document, chosen: Result<Vec<Flag>, Refusal>) {
        match chosen {
            Ok(flags) => flags.into_iter().for_each(|flag| self.flag(document, flag)),
            Err(refusal) => self.settle(document, refusal, false),
        }
    }

    /// A model that the catalogue does not have.
    fn gone(&mut self, document: &Document, field: &'static str, model: &str, was_so: bool) {
        match was_so {
            true => self.flag(document, models::gone(field, model)),
            false => self.settle(document, models::unknown(field, model), false),
        }
    }

    /// Refused when it is new, flagged when it was so before.
    fn settle(&mut self, document: &Document, refusal: Refusal, was_so: bool) {
        if was_so {
            return self.flag(document, still(refusal));
        }
        let field_path = refusal.field.unwrap_or_default();
        self.findings.push(Finding { document: document.clone(), field_path, verdict: Verdict::Refused(refusal) });
    }

    fn flag(&mut self, document: &Document, flag: Flag) {
        let field_path = flag.field.unwrap_or_default();
        self.findings.push(Finding { document: document.clone(), field_path, verdict: Verdict::Flagged(flag) });
    }
}

/// What more than one deployment claims: each but the first that does. Who claimed it before comes first, then the alphabet.
fn contested<'s, K: Ord + Copy>(
    both: &[Both<'s, 's>],
    claim: impl Fn(&'s Standing) -> Option<K>,
) -> Vec<Contest<'s, K>> {
    let mut claims = Vec::new();
    for (deployment, was) in both {
        if let Some(key) = claim(deployment.standing) {
            let was_so = was.and_then(|was| claim(was.standing)) == Some(key);
            claims.push((key, !was_so, deployment.standing.name.as_str()));
        }
    }
    claims.sort_unstable();
    let mut contested = Vec::new();
    for claimants in claims.chunk_by(|(one, ..), (other, ..)| one == other) {
        let Some((&(claim, _, owner), later)) = claimants.split_first() else { continue };
        contested.extend(later.iter().map(|(_, new, name)| Contest { claim, owner, name, was_so: !new }));
    }
    contested
}

/// A claim of a deployment to what is another's.
struct Contest<'a, K> {
    claim: K,
    /// Whose it is.
    owner: &'a str,
    /// Who claims it, too.
    name: &'a str,
    /// Whether it did before.
    was_so: bool,
}

impl<K> Contest<'_, K> {
    fn document(&self) -> Document {
        Document::Deployment(self.name.to_owned())
    }
}

/// The model that a deployment runs on: its own, else its agent's.
fn primary<'f>(facts: &Facts<'f>, deployment: &DeploymentFacts<'f>) -> Option<&'f str> {
    let agent = || facts.agents.get(deployment.standing.agent.as_str());
    deployment.model.or_else(|| agent()?.default(deployment.standing.channel))
}

impl Document {
    /// Its path within the configuration directory.
    pub fn path(&self) -> String {
        match self {
            Document::Server => "offhook.toml".to_owned(),
            Document::Agent(name) => format!("agents/{name}.toml"),
            Document::Deployment(name) => format!("deployments/{name}.toml"),
        }
    }

    fn rank(&self) -> (u8, &str) {
        match self {
            Document::Agent(name) => (0, name),
            Document::Deployment(name) => (1, name),
            Document::Server => (2, ""),
        }
    }
}

impl From<&Document> for DocId {
    fn from(document: &Document) -> Self {
        match document {
            Document::Server => DocId::Server,
            Document::Agent(name) => DocId::Agent(name.as_str().into()),
            Document::Deployment(name) => DocId::Deployment(name.as_str().into()),
        }
    }
}
