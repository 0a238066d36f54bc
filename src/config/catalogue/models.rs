//! The models of `models.toml`, each with its secrets as far as they are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::model::{Meant, ModelDraft};
use super::super::problem::Problem;
use super::super::types::{Model, ModelCard, TextModel};
use super::super::world::World;

/// `models.toml` as it was read.
#[derive(Debug, Default)]
pub(super) struct ModelsDraft {
    /// `None`: the table is there and wrong.
    pub(super) drafts: BTreeMap<String, Option<ModelDraft>>,
    /// With the secrets that are there.
    pub(super) meant: Models,
    /// What is wrong with a model's secrets; it matters when the model would be used.
    pub(super) missing: BTreeMap<String, Vec<Problem>>,
}

impl ModelsDraft {
    pub(super) fn of(drafts: Vec<(String, Option<ModelDraft>)>, world: &dyn World) -> ModelsDraft {
        let mut models = ModelsDraft { drafts: drafts.into_iter().collect(), ..ModelsDraft::default() };
        for (name, draft) in &models.drafts {
            let Some(draft) = draft else { continue };
            let meant = draft.with_secrets(world).unwrap_or_else(|problems| {
                models.missing.insert(name.clone(), problems);
                draft.without_secrets()
            });
            match meant {
                Meant::Realtime(model) => drop(models.meant.realtime.insert(name.clone(), model)),
                Meant::Text(model) => drop(models.meant.text.insert(name.clone(), model)),
            }
        }
        models
    }

    /// The models as people choose them.
    pub(super) fn cards(&self) -> BTreeMap<String, Arc<ModelCard>> {
        let known = self.drafts.iter().filter_map(|(name, draft)| Some((name, draft.as_ref()?)));
        known.map(|(name, draft)| (name.clone(), Arc::clone(draft.card()))).collect()
    }
}

/// Models as meant.
#[derive(Debug, Default)]
pub(super) struct Models {
    pub(super) realtime: BTreeMap<String, Arc<Model>>,
    pub(super) text: BTreeMap<String, Arc<TextModel>>,
}

/// A model that something was made with.
#[derive(Clone)]
pub(super) enum Used {
    Realtime(Arc<Model>),
    Text(Arc<TextModel>),
    Unknown,
}

impl Models {
    /// What `draft` means. A model that is as it was `before` stays the same value, and so do those that use it.
    pub(super) fn of(draft: &ModelsDraft, before: &Models) -> Models {
        let mut models = Models::default();
        for (name, model) in &draft.meant.realtime {
            let same = before.realtime.get(name).filter(|old| is_same(old, model));
            models.realtime.insert(name.clone(), Arc::clone(same.unwrap_or(model)));
        }
        for (name, model) in &draft.meant.text {
            let same = before.text.get(name).filter(|old| is_same_text(old, model));
            models.text.insert(name.clone(), Arc::clone(same.unwrap_or(model)));
        }
        models
    }

    /// The models of these names.
    pub(super) fn used<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<Used> {
        let used = |name| match (self.realtime.get(name), self.text.get(name)) {
            (Some(model), _) => Used::Realtime(Arc::clone(model)),
            (None, Some(model)) => Used::Text(Arc::clone(model)),
            (None, None) => Used::Unknown,
        };
        names.map(used).collect()
    }
}

impl Used {
    pub(super) fn is(&self, other: &Used) -> bool {
        match (self, other) {
            (Used::Realtime(a), Used::Realtime(b)) => Arc::ptr_eq(a, b),
            (Used::Text(a), Used::Text(b)) => Arc::ptr_eq(a, b),
            (Used::Unknown, Used::Unknown) => true,
            _ => false,
        }
    }
}

/// Secrets do not show in what is printed, so they are compared by themselves.
fn is_same(a: &Model, b: &Model) -> bool {
    a.api_key == b.api_key && a.headers == b.headers && format!("{a:?}") == format!("{b:?}")
}

fn is_same_text(a: &TextModel, b: &TextModel) -> bool {
    a.api_key == b.api_key && a.headers == b.headers && format!("{a:?}") == format!("{b:?}")
}
