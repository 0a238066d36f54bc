//! Documents over the API: the same files, or rows of the store, that people edit, changed by the same function.

use axum::http::StatusCode;

use super::once::stale;
use super::problem::Problem;
use crate::config::EditError;

/// Why a change of a document was refused, as the API says it.
pub(super) fn refused(error: EditError, _file: &str) -> Problem {
    match error {
        EditError::Changed { revision, .. } => stale(revision.map(|revision| revision.to_string()).as_deref()),
        EditError::Absent(_) => Problem::new(StatusCode::NOT_FOUND, "not_found", "There is no such document."),
        EditError::Invalid(problems) => {
            let said = problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join(" ");
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "document", said)
        }
        EditError::Patch(why) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "patch", why),
        error @ EditError::Io(..) => Problem::internal(&error),
        EditError::Unavailable(why) => Problem::unavailable("documents", why, 1),
        error @ (EditError::Fixed | EditError::Stored | EditError::Mixed) => {
            Problem::new(StatusCode::CONFLICT, "fixed", error.to_string())
        }
    }
}
