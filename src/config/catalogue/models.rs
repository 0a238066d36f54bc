//! The models of `models.toml`, each with its secrets as far as they are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::model::{Meant, ModelDraft};
use super::super::problem::Problem;
use super::super::types::{Model, TextModel};
use super::super::world::World;

/// `models.toml` as it was read.
#[derive(Debug)]
pub(super) struct ModelsDraft {
    /// `None`: the table is there and wrong.
    pub(super) drafts: BTreeMap<String, Option<ModelDraft>>,
    /// With the secrets that are there.
    meant: BTreeMap<String, Meant>,
    /// What is wrong with a model's secrets; it matters when calls would use the model.
    pub(super) missing: BTreeMap<String, Vec<Problem>>,
}

impl ModelsDraft {
    pub(super) fn of(drafts: Vec<(String, Option<ModelDraft>)>, world: &dyn World) -> ModelsDraft {
        let drafts: BTreeMap<_, _> = drafts.into_iter().collect();
        let mut missing = BTreeMap::new();
        let mut look_up = |name: &String, draft: &ModelDraft| {
            draft.with_secrets(world).unwrap_or_else(|problems| {
                missing.insert(name.clone(), problems);
                draft.without_secrets()
            })
        };
        let there = drafts.iter().filter_map(|(name, draft)| Some((name, draft.as_ref()?)));
        let meant = there.map(|(name, draft)| (name.clone(), look_up(name, draft))).collect();
        ModelsDraft { drafts, meant, missing }
    }
}

/// Models as meant.
#[derive(Debug, Default)]
pub(super) struct Models {
    pub(super) realtime: BTreeMap<String, Arc<Model>>,
    pub(super) text: BTreeMap<String, Arc<TextModel>>,
}

impl Models {
    /// What `draft` means. A model that is as it was `before` stays the same value, and so do those that use it.
    pub(super) fn of(draft: &ModelsDraft, before: &Models) -> Models {
        let mut models = Models::default();
        for (name, meant) in &draft.meant {
            match meant {
                Meant::Realtime(model) => {
                    let same = before.realtime.get(name).filter(|old| is_same(old, model));
                    models.realtime.insert(name.clone(), Arc::clone(same.unwrap_or(model)));
                }
                Meant::Text(model) => {
                    let same = before.text.get(name).filter(|old| is_same_text(old, model));
                    models.text.insert(name.clone(), Arc::clone(same.unwrap_or(model)));
                }
            }
        }
        models
    }
}

/// Secrets do not show in what is printed, so they are compared by themselves.
fn is_same(a: &Model, b: &Model) -> bool {
    a.api_key == b.api_key && a.headers == b.headers && format!("{a:?}") == format!("{b:?}")
}

fn is_same_text(a: &TextModel, b: &TextModel) -> bool {
    a.api_key == b.api_key && a.headers == b.headers && format!("{a:?}") == format!("{b:?}")
}
