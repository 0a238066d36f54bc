//! The catalogue: every document's last good version in force, linked with the others', and kept up document by document.
//!
//! ```text
//!  what is written ──► read ──► chosen: what is written, if it fits the rest; else its last good ──► linked ──► Config
//!                       │                                                                             (values stay the
//!                       └──► problems, as a reading of all that is written would tell them             same where they can)
//! ```
//!
//! A value, and pure: it is handed documents that were read, and has no file, clock or store.
//!
//! - A document that is wrong, or does not fit those that are in force, keeps its **last good version** and holds up no
//!   other. One that was never good is left out, with those that need it.
//! - A change that would break others which are in force and are not changed themselves is not taken: it is the change
//!   that is wrong. What was changed together is judged together.
//! - A deleted agent or deployment is gone: that is somebody's will. Deployments of a deleted agent answer no more until
//!   there is one again. `offhook.toml` and `models.toml` cannot be deleted under what needs them.
//! - At any time, reading anew the texts that are in force gives what is in force.

mod docs;
mod document;
mod links;
mod making;
mod models;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Weak};

use serde::Serialize;

use super::problem::{Place, Problem, Problems};
use super::server;
use super::types::{Config, Deployment, SecretBook};
use super::world::World;
use docs::{Doc, Docs};
pub use document::{By, Change, DocId, Revision};
pub(super) use document::{Hasher, Read};
use links::{Checks, View, is_same_book};
use models::Models;

/// All documents, and what is in force of them.
#[derive(Clone, Default)]
pub(super) struct Catalogue {
    docs: Docs,
    /// Errors of documents that claim what others have.
    taken: Vec<Problem>,
    models: Arc<Models>,
    secrets: Arc<SecretBook>,
    config: Option<Config>,
    generation: u64,
    /// Deployments that are no more, and that something is still done by.
    former: Vec<(Weak<Deployment>, Pin)>,
}

/// The versions of documents that a deployment was made of.
pub(super) type Pin = Arc<[Arc<Read>]>;

/// A document that is in force as of now, or is no more.
#[derive(Clone, Debug)]
pub(super) struct Applied {
    pub(super) doc: DocId,
    pub(super) from: Option<Revision>,
    /// `None`: it was deleted.
    pub(super) to: Option<Arc<Read>>,
}

/// Which version of a document is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InForce {
    /// What is written.
    AsWritten,
    /// An earlier one: what is written cannot be.
    LastGood,
    /// None.
    Nothing,
}

/// How it is with one document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DocState {
    /// Which.
    pub doc: DocId,
    /// Of what is written; `None`: it is not there.
    pub written: Option<Revision>,
    /// Of what is in force.
    pub revision: Option<Revision>,
    /// Which version that is.
    pub in_force: InForce,
    /// Why it is not what is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Catalogue {
    /// What is in force; `None`: there is no good `offhook.toml`. Its revision is that of all documents in force.
    pub(super) fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    /// Counts what was applied.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Takes documents as they are written now; `None`: the document is not there. Tells what is in force because of it.
    /// `world`: as the documents see it.
    pub(super) fn apply(&mut self, changes: Vec<(DocId, Option<Arc<Read>>)>, world: &dyn World) -> Vec<Applied> {
        let mut changed = BTreeSet::new();
        let mut applied = Vec::new();
        for (id, read) in changes {
            match (self.docs.all(&id), read) {
                (Some(names), None) => {
                    let gone = names.remove(id.name());
                    self.former.extend(gone.as_ref().and_then(|doc| doc.former()));
                    if let Some(from) = gone.and_then(|doc| doc.good) {
                        applied.push(Applied { doc: id.clone(), from: Some(from.revision), to: None });
                    }
                }
                (Some(names), read) => names.entry(id.name().into()).or_default().written = read,
                (None, read) => self.docs.one(&id).written = read,
            }
            changed.insert(id);
        }
        let checks = Checks::default();
        let touched = self.choose(&changed, &mut applied, world, &checks);
        self.say(&touched, world, &checks);
        self.link(&touched, world, &checks);
        self.generation += 1;
        applied
    }

    /// What is wrong with the documents as they are written.
    pub(super) fn problems(&self) -> Problems {
        let of = |doc: &Doc| {
            let own = doc.written.iter().flat_map(|read| &read.problems);
            own.chain(&doc.said).cloned().collect::<Vec<_>>()
        };
        let mut problems: Vec<Problem> = self.docs.iter().flat_map(|(_, doc)| of(doc)).collect();
        problems.extend(self.taken.iter().cloned());
        // Two deployments may have one agent, and what it lacks.
        let mut problems = Problems::distinct(problems);
        if let Some(read) = self.docs.server.written.as_ref().filter(|_| !problems.iter().any(Problem::is_error)) {
            let place = Place::file(&read.file);
            problems.extend(read.server().into_iter().flat_map(|server| server::doubts(server, &place)));
            if self.docs.deployments.is_empty() {
                let message = "there is no document in deployments/: no number will be answered";
                problems.push(Problem::warning(&place, message));
            }
        }
        Problems::new(problems)
    }

    /// How it is with each document.
    pub(super) fn states(&self) -> Vec<DocState> {
        self.docs.iter().filter_map(|(id, doc)| doc.state(id)).collect()
    }

    /// How it is with one document; `None`: there is none.
    pub(super) fn state(&self, id: &DocId) -> Option<DocState> {
        self.docs.get(id)?.state(id.clone())
    }

    /// Those of which it is not what is written that is in force.
    pub(super) fn exceptions(&self) -> Vec<DocState> {
        self.docs.iter().filter(|(_, doc)| !doc.is_as_written()).filter_map(|(id, doc)| doc.state(id)).collect()
    }

    /// A document as it was in force last, though it may not be now.
    pub(super) fn last_good(&self, id: &DocId) -> Option<&Arc<Read>> {
        self.docs.get(id)?.good.as_ref()
    }

    /// A document as it is written.
    pub(super) fn written(&self, id: &DocId) -> Option<&Arc<Read>> {
        self.docs.get(id)?.written.as_ref()
    }

    /// A document as it is in force.
    pub(super) fn in_force(&self, id: &DocId) -> Option<&Arc<Read>> {
        let doc = self.docs.get(id)?;
        doc.good.as_ref().filter(|_| doc.out.is_none())
    }

    /// The agent of a deployment in force.
    pub(super) fn agent_of(&self, deployment: &DocId) -> Option<DocId> {
        let (agent, _) = self.in_force(deployment)?.deployment()?.agent.as_ref()?;
        Some(DocId::Agent(agent.as_str().into()))
    }

    /// All documents in force.
    pub(super) fn all_in_force(&self) -> impl Iterator<Item = (DocId, &Arc<Read>)> {
        self.docs.iter().filter(|(_, doc)| doc.out.is_none()).filter_map(|(id, doc)| Some((id, doc.good.as_ref()?)))
    }

    /// What `deployment` was made of, be it in force or not.
    pub(super) fn pin(&self, deployment: &Arc<Deployment>) -> Option<Pin> {
        let now = self.docs.deployments.get(deployment.name.as_str()).and_then(Doc::former);
        let mut all = now.iter().chain(&self.former);
        all.find(|(is, _)| is.as_ptr() == Arc::as_ptr(deployment)).map(|(_, made_of)| Arc::clone(made_of))
    }

    /// Name and endpoint of every model that could be read.
    pub(super) fn endpoints(&self) -> Vec<(String, String)> {
        let models = self.docs.models.written.as_ref().and_then(|read| read.models());
        let drafts = models.into_iter().flat_map(|models| models.drafts.values().flatten());
        drafts.map(|model| (model.name().to_owned(), model.endpoint().to_owned())).collect()
    }

    /// Chooses a version of each document, and returns those that may be different for it.
    fn choose(
        &mut self,
        changed: &BTreeSet<DocId>,
        applied: &mut Vec<Applied>,
        world: &dyn World,
        checks: &Checks,
    ) -> BTreeSet<DocId> {
        let mut touched = changed.clone();
        // What would break others is not tried again beside what had to wait for it, but once more by itself: it may have
        // been the innocent one of two.
        let mut barred = BTreeSet::new();
        self.choose_round(&mut touched, &mut barred, applied, world, checks);
        for id in barred.clone() {
            barred.remove(&id);
            self.choose_round(&mut touched, &mut barred, applied, world, checks);
        }
        let none = self.docs.agents.values().all(|doc| doc.written.is_none() && doc.good.is_none());
        for id in &touched {
            let Some(doc) = self.docs.get_mut(id) else { continue };
            doc.candidate = false;
            match &doc.written {
                None if *id == DocId::Models && none => doc.good = None,
                None => doc.held = doc.good.is_some().then(|| "the file is gone".to_owned()),
                Some(read) if !read.is_good() => {
                    let errors = read.problems.iter().filter(|p| p.is_error()).count();
                    let counted = || format!("it has {errors} {}", if errors == 1 { "error" } else { "errors" });
                    doc.held = Some(read.refused.clone().unwrap_or_else(counted));
                }
                Some(_) if !doc.is_pending() => doc.held = None,
                Some(_) => {}
            }
        }
        touched
    }

    /// Takes all that fits of what is not barred, until there is no more.
    fn choose_round(
        &mut self,
        touched: &mut BTreeSet<DocId>,
        barred: &mut BTreeSet<DocId>,
        applied: &mut Vec<Applied>,
        world: &dyn World,
        checks: &Checks,
    ) {
        loop {
            let mut candidates = Vec::new();
            for (id, doc) in self.docs.iter_mut() {
                doc.candidate = doc.is_pending() && !barred.contains(&id);
                if doc.candidate {
                    candidates.push(id.clone());
                    doc.held = None;
                }
                if doc.out.take().is_some() || doc.candidate {
                    touched.insert(id);
                }
            }
            self.with_dependents(touched);
            self.settle(touched, barred, world, checks);
            let mut taken = false;
            for id in candidates {
                let Some(doc) = self.docs.get_mut(&id).filter(|doc| doc.candidate) else { continue };
                let from = doc.good.as_ref().map(|read| read.revision);
                doc.good.clone_from(&doc.written);
                taken |= doc.good.is_some();
                applied.extend(doc.good.clone().map(|to| Applied { doc: id, from, to: Some(to) }));
            }
            if !taken || !self.docs.iter().any(|(id, doc)| doc.is_pending() && !barred.contains(&id)) {
                return;
            }
        }
    }

    /// Drops candidates until the rest fits, and what has nothing left that fits.
    fn settle(&mut self, touched: &BTreeSet<DocId>, barred: &mut BTreeSet<DocId>, world: &dyn World, checks: &Checks) {
        // Each round drops one at least.
        loop {
            let faults = self.faults(touched, world, checks);
            if faults.is_empty() {
                return;
            }
            let wrong: Vec<_> = faults.iter().filter(|(id, _)| self.docs.is_candidate(id)).collect();
            for (id, (why, _)) in &wrong {
                let doc = self.docs.get_mut(id).into_iter();
                doc.for_each(|doc| (doc.candidate, doc.held) = (false, Some(why.clone())));
            }
            if !wrong.is_empty() {
                continue;
            }
            let mut relied_on = false;
            for (id, (why, by)) in &faults {
                // One of them at a time: the other may be innocent.
                let Some(by) = by.iter().find(|by| self.docs.is_candidate(by)) else { continue };
                let why = format!("{id} relies on what it was: {why}");
                let doc = self.docs.get_mut(by).into_iter();
                doc.for_each(|doc| (doc.candidate, doc.held) = (false, Some(why.clone())));
                barred.insert(by.clone());
                relied_on = true;
            }
            if !relied_on {
                for (id, (why, _)) in faults {
                    let doc = self.docs.get_mut(&id).into_iter();
                    doc.for_each(|doc| doc.out = Some(why.clone()));
                }
            }
        }
    }

    /// Of what is touched, what does not fit the rest of the choice, why, and because of whom.
    fn faults(
        &self,
        touched: &BTreeSet<DocId>,
        world: &dyn World,
        checks: &Checks,
    ) -> Vec<(DocId, (String, Vec<DocId>))> {
        let view = View::new(&self.docs, world, checks, Doc::chosen);
        let is_out = |id: &DocId| self.docs.get(id).is_some_and(|doc| doc.out.is_some());
        let mut faults = Vec::new();
        for id in touched {
            let Some(doc) = self.docs.get(id).filter(|doc| doc.out.is_none()) else { continue };
            if let Some(fault) = doc.chosen().and_then(|read| view.fault(read, is_out)) {
                let why = fault.problems.first().map(short).unwrap_or_default();
                faults.push((id.clone(), (why, fault.by)));
            }
        }
        if touched.iter().any(|id| matches!(id, DocId::Deployment(_))) {
            for (claim, names) in view.claims() {
                let is_candidate = |name: &Arc<str>| self.docs.deployments.get(name).is_some_and(|doc| doc.candidate);
                let Some(first) = names.iter().find(|name| !is_candidate(name)).or(names.first()) else { continue };
                for name in names.iter().filter(|name| *name != first) {
                    let id = DocId::Deployment(Arc::clone(name));
                    if !is_out(&id) {
                        faults.push((id, (format!("deployments/{first}.toml {}", claim.had()), Vec::new())));
                    }
                }
            }
        }
        faults
    }

    /// Adds all that refer to what is in `ids`, as they are written or as they are in force.
    fn with_dependents(&self, ids: &mut BTreeSet<DocId>) {
        let server = [&self.docs.server.written, &self.docs.server.good].map(|read| read.as_ref()?.server());
        let secrets = match server {
            [Some(written), Some(good)] => !is_same_book(&written.secrets, &good.secrets),
            _ => true,
        };
        if ids.contains(&DocId::Models) || ids.contains(&DocId::Server) && secrets {
            ids.extend(self.docs.agents.keys().cloned().map(DocId::Agent));
            ids.extend(self.docs.deployments.keys().cloned().map(DocId::Deployment));
            return;
        }
        let agents = ids.iter().filter(|id| matches!(id, DocId::Agent(_))).map(|id| id.name().to_owned());
        let agents: HashSet<String> = agents.collect();
        if agents.is_empty() {
            return;
        }
        for (name, doc) in &self.docs.deployments {
            let versions = [&doc.written, &doc.good].into_iter().flatten().filter_map(|read| read.deployment());
            let mut named = versions.filter_map(|deployment| deployment.agent.as_ref());
            if named.any(|(agent, _)| agents.contains(agent)) {
                ids.insert(DocId::Deployment(Arc::clone(name)));
            }
        }
    }

    /// Finds what is wrong between documents as they are written.
    fn say(&mut self, touched: &BTreeSet<DocId>, world: &dyn World, checks: &Checks) {
        let view = View::new(&self.docs, world, checks, |doc: &Doc| doc.written.as_ref());
        let mut said = Vec::new();
        for id in touched {
            let Some(read) = self.docs.get(id).and_then(|doc| doc.written.as_ref()) else { continue };
            let agent = read.agent().map(|agent| view.of_agent(agent));
            let deployment = read.deployment().map(|_| view.of_deployment(read));
            said.push((id, agent.or(deployment).unwrap_or_default()));
        }
        let mut all_taken = Vec::new();
        for (claim, names) in view.claims() {
            let reads = names.iter().filter_map(|name| {
                let doc = self.docs.deployments.get(*name)?;
                Some((*name, doc.written.as_ref()?, doc.is_as_written()))
            });
            let reads: Vec<_> = reads.collect();
            // Who has it keeps it.
            let Some(first) = reads.iter().find(|(.., has)| *has).or(reads.first()) else { continue };
            let others = reads.iter().filter(|(name, ..)| *name != first.0);
            all_taken.extend(others.filter_map(|(_, read, _)| claim.taken(read, first.1)));
        }
        self.taken = all_taken;
        for (id, said) in said {
            if let Some(doc) = self.docs.get_mut(id) {
                doc.said = said;
            }
        }
    }
}

/// A problem in one line without its place.
fn short(problem: &Problem) -> String {
    problem.message.clone()
}
