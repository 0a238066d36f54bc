//! What `offhook check` prints.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use super::catalogue::{Catalogue, DocId, DocState, InForce};
use super::files::{Env, Folder, Settle};
use super::last_good::{LastGood as _, LastGoodFolder};
use super::problem::{Problem, Problems, Severity};
use super::resolve::{Resolved, strict};
use super::ruling::CatalogueRules;
use super::types::TurnDetection;
use super::waiting;
use super::watch::begun;

/// Reads the directory `dir` and tells what was found and what is wrong. Secrets come from the process's environment.
///
/// The report displays as text, and serializes for `--json`.
pub fn check(dir: &Path) -> CheckReport {
    check_with(dir, &|name| std::env::var(name).ok())
}

/// As [`check()`], with an environment of one's own.
pub fn check_with(dir: &Path, env: Env<'_>) -> CheckReport {
    check_by(dir, env, &|_, _, _| Vec::new(), &BTreeMap::new())
}

/// As [`check_with`], and by `rules` over all documents at once: they are asked of what can be read, as of what never was in
/// force. `locked`: documents of which a change waits, with what is said of it.
pub fn check_by(dir: &Path, env: Env<'_>, rules: &CatalogueRules, locked: &BTreeMap<DocId, String>) -> CheckReport {
    let mut folder = Folder::new(dir.to_owned(), env, Settle::AT_ONCE);
    let look = folder.look(Instant::now());
    // As a start would take them; that nothing can be read there is no fault of the documents.
    let kept = LastGoodFolder::new(&super::data_dir_of(dir)).load().unwrap_or_default();
    let now = Timestamp::now();
    let (catalogue, _) = begun(&folder, look.changes.clone(), &kept, None, now);
    let (found, waiting) = waiting::found(&folder, look.changes, &kept, locked);
    let resolved = strict(&catalogue, look.problems.into_iter().chain(waiting).collect());
    let (started, _) = begun(&folder, found, &kept, Some(rules), now);
    report(dir, &catalogue, &started, resolved, rules)
}

/// What is to be told of documents in `dir`. `started`: as a server would take them.
pub(super) fn report(
    dir: &Path,
    catalogue: &Catalogue,
    started: &Catalogue,
    resolved: Resolved,
    rules: &CatalogueRules,
) -> CheckReport {
    let rulings = resolved.config.as_ref().map(|config| rules(None, config, Timestamp::now())).unwrap_or_default();
    let told = rulings.iter().map(|ruling| {
        let written = catalogue.written(&ruling.doc);
        let file = written.map_or_else(|| ruling.doc.to_string(), |read| read.file.to_string());
        ruling.problem(&file, written.and_then(|read| read.text.as_deref().ok()).unwrap_or_default())
    });
    let told: Vec<Problem> = told.collect();
    let problems = Problems::new(resolved.problems.iter().cloned().chain(told).collect());
    let config = resolved.config.filter(|_| !problems.has_errors());
    let found = config.map(|config| Found {
        revision: config.revision,
        deployments: config
            .deployments
            .values()
            .map(|d| FoundDeployment {
                name: d.name.clone(),
                number: d.number.clone().unwrap_or_else(|| "No number".to_owned()),
                active: d.standing.active,
                agent: d.agent.name.clone(),
                model: d.agent.model.name.clone(),
            })
            .collect(),
        chats: config
            .chats
            .values()
            .map(|chat| FoundChat {
                name: chat.standing.name.clone(),
                channel: chat.standing.channel.name(),
                active: chat.standing.active,
                agent: chat.standing.agent.clone(),
                model: chat.model.name.clone(),
                backup: chat.backup.as_ref().map(|model| model.name.clone()),
            })
            .collect(),
        agents: config
            .agents
            .values()
            .map(|a| FoundAgent {
                name: a.name.clone(),
                model: a.model.name.clone(),
                voice: a.manner.voice.clone(),
                turns: a.manner.turn_detection.mode(),
                vad: match &a.manner.turn_detection {
                    TurnDetection::Local(settings) => Some(settings.engine.name()),
                    _ => None,
                },
                shadows: a.manner.shadows.iter().map(|s| s.name.clone()).collect(),
            })
            .collect(),
        models: resolved.models.into_iter().map(|(name, url)| FoundModel { name, url }).collect(),
    });
    CheckReport {
        ok: found.is_some(),
        dir: dir.display().to_string(),
        errors: problems.count(Severity::Error),
        warnings: problems.count(Severity::Warning),
        problems,
        documents: started.states(),
        found,
    }
}

/// What was found in a configuration directory, and what is wrong with it.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// Whether a server can run by it.
    pub ok: bool,
    /// The directory.
    pub dir: String,
    /// How many of the problems are errors.
    pub errors: usize,
    /// How many of the problems are warnings.
    pub warnings: usize,
    /// All problems, by file and line.
    pub problems: Problems,
    /// Which version of each document a server that starts now runs by.
    pub documents: Vec<DocState>,
    /// What was found; `None` when there are errors.
    pub found: Option<Found>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// The configuration's revision.
    pub revision: String,
    /// Numbers and who answers them.
    pub deployments: Vec<FoundDeployment>,
    /// Deployments on channels of text.
    pub chats: Vec<FoundChat>,
    /// Agents that talk, whether they answer a number or not.
    pub agents: Vec<FoundAgent>,
    /// Models, whether they are used or not.
    pub models: Vec<FoundModel>,
}

/// A deployment on a channel of text, in short.
#[derive(Clone, Debug, Serialize)]
pub struct FoundChat {
    /// The file's stem.
    pub name: String,
    /// `website` or `internal`.
    pub channel: &'static str,
    /// Whether it is there.
    pub active: bool,
    /// Its agent's name.
    pub agent: String,
    /// Its model's name.
    pub model: String,
    /// Its backup's.
    pub backup: Option<String>,
}

/// A deployment on the phone, in short.
#[derive(Clone, Debug, Serialize)]
pub struct FoundDeployment {
    /// The file's stem.
    pub name: String,
    /// E.164, or "No number".
    pub number: String,
    /// Whether it answers.
    pub active: bool,
    /// Its agent's name.
    pub agent: String,
    /// The agent's model's name.
    pub model: String,
}

/// An agent in short.
#[derive(Clone, Debug, Serialize)]
pub struct FoundAgent {
    /// The file's stem.
    pub name: String,
    /// Its model's name.
    pub model: String,
    /// Its voice, when it names one.
    pub voice: Option<String>,
    /// Who decides where turns begin and end: `turn_detection.mode`.
    pub turns: &'static str,
    /// What tells speech from other sound, in local mode.
    pub vad: Option<&'static str>,
    /// Candidates that are tried beside the live settings.
    pub shadows: Vec<String>,
}

/// A model in short.
#[derive(Clone, Debug, Serialize)]
pub struct FoundModel {
    /// Its name in `models.toml`.
    pub name: String,
    /// Where it is, without the query.
    pub url: String,
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.problems.iter() {
            writeln!(f, "{problem}")?;
        }
        let others: Vec<_> = self.documents.iter().filter(|state| state.in_force != InForce::AsWritten).collect();
        if !others.is_empty() {
            let mut rows = vec![row(["document", "in force", "why not what is written"])];
            for state in others {
                let version = match state.revision {
                    Some(revision) => format!("last good, {revision}"),
                    None => "nothing".to_owned(),
                };
                rows.push(row([&state.doc.to_string(), &version, state.why.as_deref().unwrap_or_default()]));
            }
            writeln!(f)?;
            table(f, &rows)?;
            writeln!(f)?;
        }
        let Some(found) = &self.found else {
            let (s, w) = (plural(self.errors, "error"), plural(self.warnings, "warning"));
            return write!(f, "{}: {s}, {w}", self.dir);
        };
        if !self.problems.is_empty() {
            writeln!(f)?;
        }
        let mut rows = vec![row(["deployment", "number", "agent", "model", ""])];
        for d in &found.deployments {
            rows.push(row([&d.name, &d.number, &d.agent, &d.model, if d.active { "" } else { "inactive" }]));
        }
        table(f, &rows)?;
        writeln!(f)?;
        if !found.chats.is_empty() {
            let mut rows = vec![row(["chat", "channel", "agent", "model", "backup", ""])];
            for chat in &found.chats {
                let backup = chat.backup.as_deref().unwrap_or("none");
                let active = if chat.active { "" } else { "inactive" };
                rows.push(row([&chat.name, chat.channel, &chat.agent, &chat.model, backup, active]));
            }
            table(f, &rows)?;
            writeln!(f)?;
        }
        let mut rows = vec![row(["agent", "model", "voice", "turns", "tried beside"])];
        for a in &found.agents {
            let turns = match a.vad {
                Some(engine) => format!("{} ({engine})", a.turns),
                None => a.turns.to_owned(),
            };
            let voice = a.voice.as_deref().unwrap_or("the model's own");
            rows.push(row([&a.name, &a.model, voice, &turns, &a.shadows.join(", ")]));
        }
        table(f, &rows)?;
        writeln!(f)?;
        let mut rows = vec![row(["model", "endpoint"])];
        for m in &found.models {
            rows.push(row([&m.name, &m.url]));
        }
        table(f, &rows)?;
        write!(f, "\n{}: good, {}, revision {}", self.dir, plural(self.warnings, "warning"), found.revision)
    }
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}

/// Prints `rows` in aligned columns.
fn table(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> =
        (0..columns).map(|c| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0)).collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
