//! The documents of a catalogue, each in the versions that count.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::super::problem::Problem;
use super::super::types::Deployment;
use super::making::Linked;
use super::{DocId, DocState, InForce, Read};

/// Documents by kind and name.
#[derive(Clone, Default)]
pub(super) struct Docs {
    pub(super) server: Doc,
    pub(super) models: Doc,
    pub(super) agents: BTreeMap<Arc<str>, Doc>,
    pub(super) deployments: BTreeMap<Arc<str>, Doc>,
}

/// One document.
#[derive(Clone, Default)]
pub(super) struct Doc {
    /// As it is written now; `None`: it is not there.
    pub(super) written: Option<Arc<Read>>,
    /// The last version that was in force.
    pub(super) good: Option<Arc<Read>>,
    /// Why what is written is not in force.
    pub(super) held: Option<String>,
    /// Why no version is in force, though there is a good one.
    pub(super) out: Option<String>,
    /// While it is decided: whether what is written may be the one in force.
    pub(super) candidate: bool,
    /// What is wrong between what is written here and there.
    pub(super) said: Vec<Problem>,
    pub(super) linked: Linked,
}

impl Docs {
    /// In order, those that are referred to before those that refer to them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (DocId, &Doc)> {
        let ones = [(DocId::Server, &self.server), (DocId::Models, &self.models)];
        let agents = self.agents.iter().map(|(name, doc)| (DocId::Agent(Arc::clone(name)), doc));
        let deployments = self.deployments.iter().map(|(name, doc)| (DocId::Deployment(Arc::clone(name)), doc));
        ones.into_iter().chain(agents).chain(deployments)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (DocId, &mut Doc)> {
        let ones = [(DocId::Server, &mut self.server), (DocId::Models, &mut self.models)];
        let agents = self.agents.iter_mut().map(|(name, doc)| (DocId::Agent(Arc::clone(name)), doc));
        let deployments = self.deployments.iter_mut().map(|(name, doc)| (DocId::Deployment(Arc::clone(name)), doc));
        ones.into_iter().chain(agents).chain(deployments)
    }

    pub(super) fn get(&self, id: &DocId) -> Option<&Doc> {
        match id {
            DocId::Server => Some(&self.server),
            DocId::Models => Some(&self.models),
            DocId::Agent(name) => self.agents.get(name),
            DocId::Deployment(name) => self.deployments.get(name),
        }
    }

    pub(super) fn get_mut(&mut self, id: &DocId) -> Option<&mut Doc> {
        match id {
            DocId::Server => Some(&mut self.server),
            DocId::Models => Some(&mut self.models),
            DocId::Agent(name) => self.agents.get_mut(name),
            DocId::Deployment(name) => self.deployments.get_mut(name),
        }
    }

    /// All documents of `id`'s kind, if there can be several.
    pub(super) fn all(&mut self, id: &DocId) -> Option<&mut BTreeMap<Arc<str>, Doc>> {
        match id {
            DocId::Server | DocId::Models => None,
            DocId::Agent(_) => Some(&mut self.agents),
            DocId::Deployment(_) => Some(&mut self.deployments),
        }
    }

    /// `offhook.toml`, or else `models.toml`.
    pub(super) fn one(&mut self, id: &DocId) -> &mut Doc {
        if *id == DocId::Server { &mut self.server } else { &mut self.models }
    }

    pub(super) fn is_linked(&self, deployment: &Weak<Deployment>) -> bool {
        let linked =
            |doc: &Doc| matches!(&doc.linked, Linked::Phone(now, _) if Arc::as_ptr(now) == deployment.as_ptr());
        deployment.upgrade().and_then(|is| self.deployments.get(is.name.as_str())).is_some_and(linked)
    }

    pub(super) fn is_candidate(&self, id: &DocId) -> bool {
        self.get(id).is_some_and(|doc| doc.candidate)
    }
}

impl Doc {
    /// Good in itself, and not in force.
    pub(super) fn is_pending(&self) -> bool {
        self.written.as_ref().is_some_and(|read| read.is_good()) && !self.is_chosen_as_written()
    }

    pub(super) fn is_chosen_as_written(&self) -> bool {
        matches!((&self.written, &self.good), (Some(written), Some(good)) if Arc::ptr_eq(written, good))
    }

    pub(super) fn is_as_written(&self) -> bool {
        self.out.is_none() && self.is_chosen_as_written()
    }

    pub(super) fn chosen(&self) -> Option<&Arc<Read>> {
        if self.candidate { self.written.as_ref() } else { self.good.as_ref() }
    }

    /// `None`: there is no such document.
    pub(super) fn state(&self, id: DocId) -> Option<DocState> {
        let good = self.good.as_ref().filter(|_| self.out.is_none());
        if self.written.is_none() && good.is_none() {
            return None;
        }
        let in_force = match good {
            Some(_) if self.is_chosen_as_written() => InForce::AsWritten,
            Some(_) => InForce::LastGood,
            None => InForce::Nothing,
        };
        Some(DocState {
            doc: id,
            written: self.written.as_ref().map(|read| read.revision),
            revision: good.map(|read| read.revision),
            in_force,
            why: self.out.clone().or_else(|| self.held.clone()),
        })
    }
}
