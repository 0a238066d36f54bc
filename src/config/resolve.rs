//! All documents at once: right altogether, or not at all.

use super::catalogue::Catalogue;
use super::problem::{Problem, Problems};
use super::types::Config;

/// What came of the documents.
#[derive(Debug)]
pub(super) struct Resolved {
    /// `None` when there are errors.
    pub(super) config: Option<Config>,
    /// Errors and warnings.
    pub(super) problems: Problems,
    /// Name and endpoint of every model that could be read.
    pub(super) models: Vec<(String, String)>,
}

/// What a catalogue is as it is written, where nothing of it was ever in force. `more`: what else is wrong.
pub(super) fn strict(catalogue: &Catalogue, more: Vec<Problem>) -> Resolved {
    let problems = Problems::new(catalogue.problems().iter().cloned().chain(more).collect());
    let config = catalogue.config().filter(|_| !problems.has_errors()).cloned();
    Resolved { config, problems, models: catalogue.endpoints() }
}
