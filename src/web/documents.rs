//! Documents over the API: the same files, or rows of the store, that people edit, changed by the same function.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::extract::Json;
use super::once::{Upon, etag, stale};
use super::problem::{Problem, Wrong};
use super::{Api, Who};
use crate::config::{
    self, By, DocId, DocState, Edit, EditError, Edited, InForce, Revision, Source, Wanted, Written, keys_of, with_keys,
};
use crate::house::{Flag, locks, visibility};
use crate::store::{Locked, Version, written};

/// Whether it is only asked what would be.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Dry {
    /// `true`: checks everything, answers as it would, and changes nothing.
    pub(crate) dry_run: Option<bool>,
}

impl Dry {
    pub(crate) fn is(self) -> bool {
        self.dry_run == Some(true)
    }
}

/// A document after a change, or as it would be.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DocumentAnswer {
    /// Its name.
    id: String,
    /// Its revision, which is its ETag.
    revision: Option<String>,
    /// Its keys.
    #[schema(value_type = Object)]
    document: Map<String, Value>,
    /// Nothing was changed: it was only asked what would be.
    dry_run: bool,
    /// What somebody should know of the change, in amber: it stops nothing.
    notes: Vec<Flagged>,
}

/// How it is with a document.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Standing {
    /// Of what is written: its ETag.
    pub(crate) revision: Option<String>,
    /// `as_written`, `last_good` (an earlier version answers) or `nothing`.
    pub(crate) in_force: &'static str,
    /// Why it is not what is written.
    pub(crate) why: Option<String>,
    /// Names of the campaigns that lock it; empty: it may be changed.
    pub(crate) locked_by: Vec<String>,
    /// When it was last changed, as far as that is known.
    pub(crate) changed: Option<Changed>,
}

/// A change of a document.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Changed {
    /// When, RFC 3339 in UTC.
    at: String,
    /// Who.
    by: String,
    /// By which way: `folder`, `api`, `console`, `push`, `restore`.
    way: String,
}

impl From<&Version> for Changed {
    fn from(version: &Version) -> Self {
        Changed { at: written(version.applied_ms), by: version.applied_by.clone(), way: version.way.clone() }
    }
}

/// How it is with a document; `changed`: its newest version.
pub(crate) fn standing(api: &Api, doc: &DocId, state: Option<&DocState>, changed: Option<&Version>) -> Standing {
    let locks = api.handle.locks();
    Standing {
        revision: state.and_then(|state| state.written).map(|revision| revision.to_string()),
        in_force: match state.map(|state| state.in_force) {
            Some(InForce::AsWritten) => "as_written",
            Some(InForce::LastGood) => "last_good",
            Some(InForce::Nothing) | None => "nothing",
        },
        why: state.and_then(|state| state.why.clone()),
        locked_by: locks::holders(doc, &*locks).into_iter().map(str::to_owned).collect(),
        changed: changed.map(Changed::from),
    }
}

/// What is flagged of a document, in amber: it stops nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Flagged {
    /// Stable, in snake case.
    pub(crate) code: &'static str,
    /// The key, with dots; empty: the document itself.
    pub(crate) field: String,
    /// In words.
    pub(crate) message: String,
}

impl From<Flag> for Flagged {
    fn from(flag: Flag) -> Self {
        Flagged { code: flag.code, field: flag.field.unwrap_or_default().to_owned(), message: flag.message }
    }
}

/// A document as it is written, off the async threads.
///
/// # Errors
/// 404: there is none; 409 `unreadable`: what is written is no text, whatever is in force.
pub(crate) async fn read(api: &Api, doc: &DocId) -> Result<(Arc<str>, Revision), Problem> {
    match looked(api, doc, |source, doc| source.written(doc).ok_or_else(|| source.written_as(doc))).await? {
        Ok(written) => Ok(written),
        Err(Some((_, Some(why)))) => {
            let detail = format!("The {} {} is written, and cannot be read: {why}.", doc.kind(), doc.name());
            Err(Problem::new(StatusCode::CONFLICT, "unreadable", detail))
        }
        Err(_) => Err(Problem::absent(doc.kind(), doc.name())),
    }
}

/// The revision of a document as it is written, which may be one that nobody can read; `None`: there is none.
pub(crate) async fn found(api: &Api, doc: &DocId) -> Result<Option<Revision>, Problem> {
    // A name from outside must lead to no other file.
    if !is_id(doc.name()) {
        return Ok(None);
    }
    let written = looked(api, doc, Source::written_as).await?;
    Ok(written.map(|(revision, _)| revision))
}

/// A document as it is written; `None`: there is none that can be read.
pub(crate) async fn text(api: &Api, doc: &DocId) -> Result<Option<Arc<str>>, Problem> {
    // A name from outside must lead to no other file.
    if !is_id(doc.name()) {
        return Ok(None);
    }
    let written = looked(api, doc, Source::written).await?;
    Ok(written.map(|(text, _)| text))
}

/// The revision of one that must be there.
///
/// # Errors
/// 404.
pub(crate) async fn revision(api: &Api, doc: &DocId) -> Result<Revision, Problem> {
    found(api, doc).await?.ok_or_else(|| Problem::absent(doc.kind(), doc.name()))
}

async fn looked<T: Send + 'static>(
    api: &Api,
    doc: &DocId,
    look: impl FnOnce(&Source, &DocId) -> T + Send + 'static,
) -> Result<T, Problem> {
    // A name from outside must lead to no other file.
    if !is_id(doc.name()) {
        return Err(Problem::absent(doc.kind(), doc.name()));
    }
    let (handle, doc) = (api.handle.clone(), doc.clone());
    let read = tokio::task::spawn_blocking(move || look(handle.source(), &doc)).await;
    read.map_err(|error| Problem::internal(&error))
}

/// Whether it can be a document's name.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// A change of one document, made upon what the request says, or upon what there is.
pub(crate) struct Change<'a> {
    pub(crate) api: &'a Api,
    pub(crate) who: &'a Who,
    pub(crate) doc: DocId,
    pub(crate) dry: Dry,
    /// What it is called in the audit log, such as `agent.change`.
    pub(crate) action: &'static str,
}

impl Change<'_> {
    /// Changes it upon the version that `If-Match` names.
    ///
    /// # Errors
    /// 428 without `If-Match`, 412 when it is another version, 404, 409 `locked`, 422.
    pub(crate) async fn upon(&self, headers: &HeaderMap, to: Wanted) -> Result<Response, Problem> {
        let upon = Upon::of(headers)?;
        let now = found(self.api, &self.doc).await?;
        // What is not there was perhaps never there: that is worth saying before versions are spoken of.
        if now.is_none() && upon != Upon::None {
            return Err(Problem::absent(self.doc.kind(), self.doc.name()));
        }
        let before = text(self.api, &self.doc).await?;
        if let Err(stale) = upon.check(now.map(|revision| revision.to_string()).as_deref()) {
            return Err(self.by_whom(stale, now).await);
        }
        let edited = match upon {
            Upon::Any => self.whatever(&to).await?,
            Upon::None | Upon::Versions(_) => self.make(vec![Edit { doc: self.doc.clone(), upon: now, to }]).await?,
        };
        let status = if now.is_none() && !self.dry.is() { StatusCode::CREATED } else { StatusCode::OK };
        self.answer_after(status, &edited, before.as_deref())
    }

    /// The same with who was faster, and where it says what they did (EDIT-05), as far as that is known.
    async fn by_whom(&self, mut stale: Problem, revision: Option<Revision>) -> Problem {
        let newest = self.api.handle.store().newest_versions(self.doc.kind(), &[self.doc.name()]).await;
        let newest = newest.unwrap_or_default().into_iter().next();
        let known = newest.filter(|version| revision.is_some_and(|revision| revision.to_string() == version.revision));
        if let Some(version) = known {
            let (who, at) = (&version.applied_by, written(version.applied_ms));
            let detail = format!(
                "It was changed by {who} at {at}: GET /api/v1/revisions/{}/diff has what is different. Read it again, or send the \
                 ETag of this answer to change it all the same.",
                version.seq
            );
            stale.detail = detail.into();
        }
        stale
    }

    /// Changes its keys, whatever version there is: what is meant is one switch, and not the document. But where `If-Match`
    /// is said it counts.
    ///
    /// # Errors
    /// 404, 409 `locked`, 412 when `If-Match` names another version, 422.
    pub(crate) async fn keys(&self, headers: &HeaderMap, keys: Map<String, Value>) -> Result<Edited, Problem> {
        let to = Wanted::Patched(keys);
        if !headers.contains_key(header::IF_MATCH) {
            return self.whatever(&to).await;
        }
        let upon = Upon::of(headers)?;
        let now = revision(self.api, &self.doc).await?;
        upon.check(Some(&now.to_string()))?;
        match upon {
            Upon::Any => self.whatever(&to).await,
            _ => self.make(vec![Edit { doc: self.doc.clone(), upon: Some(now), to }]).await,
        }
    }

    /// The same in an emergency: locked or not, and whatever is wrong with what is written, or if nothing is. Where the keys
    /// cannot be laid into that, they are laid into what is in force, which takes its place.
    ///
    /// # Errors
    /// 404, 503.
    pub(crate) async fn keys_at_any_rate(&self, keys: Map<String, Value>) -> Result<Edited, Problem> {
        for _ in 1..TRIES {
            match self.laid(&keys).await {
                Err(problem) if problem.status() == StatusCode::PRECONDITION_FAILED => {}
                done => return done,
            }
        }
        self.laid(&keys).await
    }

    async fn laid(&self, keys: &Map<String, Value>) -> Result<Edited, Problem> {
        let upon = found(self.api, &self.doc).await?;
        let edit = |to: Wanted| vec![Edit { doc: self.doc.clone(), upon, to }];
        let mut refused = Problem::absent(self.doc.kind(), self.doc.name());
        if upon.is_some() {
            match self.write(edit(Wanted::Patched(keys.clone())), Locked::Passed).await {
                Err(problem) if problem.status() == StatusCode::UNPROCESSABLE_ENTITY => refused = problem,
                done => return done,
            }
        }
        let in_force = self.api.handle.source().text(&self.doc);
        let text = in_force.and_then(|text| with_keys(&text, keys).ok()).ok_or(refused)?;
        tracing::warn!(document = %self.doc, "what is written is replaced by what was in force, with a switch moved");
        self.write(edit(Wanted::Text(text)), Locked::Passed).await
    }

    /// Makes a change that is meant for whatever there is: when somebody else comes in between, it is made upon what they
    /// wrote.
    async fn whatever(&self, to: &Wanted) -> Result<Edited, Problem> {
        let mut tries = 0;
        loop {
            let upon = Some(revision(self.api, &self.doc).await?);
            tries += 1;
            let edits = vec![Edit { doc: self.doc.clone(), upon, to: to.clone() }];
            match self.try_write(edits, Locked::Refused).await {
                Err(EditError::Changed { .. }) if tries < TRIES => {}
                done => return done.map_err(|error| refused(error, &self.doc)),
            }
        }
    }

    /// Makes edits, unless one is of a locked document: all of them or none.
    ///
    /// # Errors
    /// 409 `locked`, 412, 422.
    pub(crate) async fn make(&self, edits: Vec<Edit>) -> Result<Edited, Problem> {
        if let Some(edit) = edits.iter().find(|edit| !is_id(edit.doc.name())) {
            return Err(Problem::absent(edit.doc.kind(), edit.doc.name()));
        }
        self.write(edits, Locked::Refused).await
    }

    async fn write(&self, edits: Vec<Edit>, locked: Locked) -> Result<Edited, Problem> {
        self.try_write(edits, locked).await.map_err(|error| refused(error, &self.doc))
    }

    async fn try_write(&self, edits: Vec<Edit>, locked: Locked) -> Result<Edited, EditError> {
        let name = self.who.0.name();
        let edited = self.api.handle.edit(edits, &name, By::Api, locked, self.dry.is()).await?;
        if !self.dry.is() {
            for written in edited.documents.iter().filter(|written| written.is_different()) {
                self.api.audit(self.who, self.action, &written.doc.to_string(), Some(versions(written))).await;
            }
        }
        Ok(edited)
    }

    /// What is answered to a change.
    pub(crate) fn answer(&self, status: StatusCode, edited: &Edited) -> Result<Response, Problem> {
        self.answer_after(status, edited, None)
    }

    /// The same where it is known what there was before.
    fn answer_after(&self, status: StatusCode, edited: &Edited, before: Option<&str>) -> Result<Response, Problem> {
        let written = edited.documents.iter().find(|written| written.doc == self.doc);
        let written = written.ok_or_else(|| Problem::internal(&"an edit without its document"))?;
        let document = written.text.as_deref().and_then(keys_of).unwrap_or_default();
        let before = before.and_then(keys_of).unwrap_or_default();
        let notes = match visibility::becomes_public(&before, &document) {
            true => visibility::against_public(&document),
            false => Vec::new(),
        };
        let answer = DocumentAnswer {
            id: self.doc.name().to_owned(),
            revision: written.revision.map(|revision| revision.to_string()),
            document,
            dry_run: self.dry.is(),
            notes: notes.into_iter().map(Flagged::from).collect(),
        };
        let mut response = (status, Json(answer)).into_response();
        if let Some(revision) = written.revision {
            let (name, value) = etag(revision);
            super::problem::set(&mut response, name, &value);
        }
        if status == StatusCode::CREATED {
            let place = format!("/api/v1/{}s/{}", self.doc.kind(), self.doc.name());
            super::problem::set(&mut response, header::LOCATION, &place);
        }
        Ok(response)
    }
}

/// How often something is made anew because somebody else came in between.
pub(crate) const TRIES: u32 = 16;

/// Whether something was not made only because another took in the meantime what it was to be called, which whoever asked had
/// not chosen: those keys are in `said`.
pub(crate) fn is_overtaken(problem: &Problem, said: &[&str]) -> bool {
    let ours = |wrong: &Wrong| match wrong.code.as_str() {
        "id_taken" => !said.contains(&"id"),
        "title_taken" => !said.contains(&"title"),
        _ => false,
    };
    !problem.errors.is_empty() && problem.errors.iter().all(ours)
}

/// From which version to which.
fn versions(written: &Written) -> Value {
    let of = |revision: Option<Revision>| revision.map(|revision| revision.to_string());
    serde_json::json!({ "from": of(written.from), "to": of(written.revision) })
}

/// Why a change of a document was refused, as the API says it: all that is wrong at once.
pub(crate) fn refused(error: EditError, doc: &DocId) -> Problem {
    match error {
        EditError::Changed { revision, .. } => stale(revision.map(|revision| revision.to_string()).as_deref()),
        EditError::Absent(doc) => Problem::absent(doc.kind(), doc.name()),
        EditError::Invalid(problems) => {
            let errors = problems.iter().filter(|problem| problem.is_error());
            invalid(errors.map(|problem| wrong(problem, doc)).collect())
        }
        EditError::Locked(why) => Problem::new(StatusCode::CONFLICT, "locked", why),
        EditError::Patch(why) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "patch", why),
        EditError::Io(path, error) => {
            // Where it lies is for who has the machine.
            tracing::error!(path = %path.display(), %error, "a document cannot be written");
            let why = error.kind();
            let detail = format!("Nothing is changed: the document cannot be written ({why}). The log says where.");
            Problem::unavailable("unwritable", detail, 10)
        }
        EditError::Unavailable(why) => Problem::unavailable("documents", format!("{}.", capital(&why)), 1),
        error @ (EditError::Fixed | EditError::Stored | EditError::Mixed) => {
            Problem::new(StatusCode::CONFLICT, "fixed", format!("{}.", capital(&error.to_string())))
        }
    }
}

/// Fields that are wrong. What forbids it whatever is said is told as such.
pub(crate) fn invalid(errors: Vec<Wrong>) -> Problem {
    match errors.iter().find(|wrong| CONFLICTS.contains(&wrong.code.as_str())) {
        Some(conflict) if errors.len() == 1 => {
            let problem = Problem::new(StatusCode::CONFLICT, conflict.code.as_str(), conflict.message.as_str());
            problem.with(errors)
        }
        _ => Problem::wrong(errors),
    }
}

/// A problem of a document as a wrong field. Places in files are nothing to whoever has none.
pub(crate) fn wrong(problem: &config::Problem, doc: &DocId) -> Wrong {
    let mut message = problem.message.clone();
    if let Some(allowed) = &problem.allowed
        && code_of(&problem.message).is_none()
    {
        message = format!("{message}; allowed: {allowed}");
    }
    if let Some((_, place)) = message.split_once(" too: ")
        && let Some(other) = place.split(".toml").next().and_then(|path| path.rsplit('/').next())
    {
        message = match code_of(&problem.message) {
            Some("key_taken") => format!("The deployment {other} has the same key. Each needs its own."),
            _ => format!("The deployment {other} answers this number."),
        };
    }
    if !problem.file.ends_with(&doc.to_string()) {
        let file = problem.file.rsplit('/').take(2).collect::<Vec<_>>();
        let file = file.into_iter().rev().collect::<Vec<_>>().join("/");
        return Wrong::field("", problem.code.unwrap_or("document"), format!("{file}: {message}"));
    }
    let code = problem.code.or_else(|| code_of(&problem.message)).unwrap_or("document");
    Wrong::field(&problem.key, code, message)
}

/// The code that the house has for words that a document by itself, or what it names, is refused in when it is read.
fn code_of(message: &str) -> Option<&'static str> {
    let known = CODES.iter().find(|(words, _)| message.starts_with(words));
    known.map(|(_, code)| *code)
}

const CODES: [(&str, &str); 13] = [
    ("Choose a model.", "model_required"),
    ("Phone deployments require a voice model", "model_not_voice"),
    ("Voice models can only be used for phone deployments", "model_not_text"),
    ("The backup must be a text model.", "backup_not_text"),
    ("Phone deployments cannot have a backup model.", "backup_on_phone"),
    ("Website deployments have no access mode.", "access_on_website"),
    ("Public is not available for internal chat.", "access_public"),
    ("Select at least one member.", "access_nobody"),
    ("there is no model", "model_unknown"),
    ("there is no agent", "agent_unknown"),
    ("another deployment answers this number", "number_taken"),
    ("another deployment has this key", "key_taken"),
    ("must be a", "type"),
];

/// Codes of what the state of things forbids, whatever the field says.
const CONFLICTS: [&str; 5] = ["already_configured", "deployment_limit", "no_number_quota", "key_taken", "number_taken"];

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
