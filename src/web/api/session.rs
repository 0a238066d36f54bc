//! `log-in`, `log-out`, `session` and `welcome`: who somebody is, and how they prove it (ROLE-07).

use std::sync::PoisonError;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::members::MemberItem;
use crate::config::Secret;
use crate::house::people as rules;
use crate::house::principal::Principal;
use crate::store::people::{Session, User, factor_address};
use crate::store::{now_ms, written};
use crate::web::extract::{Json, Nothing, Path, Query};
use crate::web::page::{Page, Wanted};
use crate::web::problem::Problem;
use crate::web::who::From as Asking;
use crate::web::{Api, Who};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(log_in))
        .routes(routes!(log_out))
        .routes(routes!(show))
        .routes(routes!(list, end_all))
        .routes(routes!(end))
        .routes(routes!(change_password))
        .routes(routes!(begin_factor))
        .routes(routes!(confirm_factor))
        .routes(routes!(drop_factor))
        .routes(routes!(welcome, join))
        // As it is printed: where there are no pages, the link itself says what it is for.
        .route("/welcome/{token}", routing::get(welcome).post(join))
}

/// Characters of an address that are looked at: more than any has that is known, and few enough to be counted by.
const MAX_ACCOUNT: usize = 255;

/// Who wants to log in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LogIn {
    /// E-mail address.
    email: String,
    /// Password.
    password: String,
    /// A code of the second factor, or a recovery code; needed where the user has one.
    code: Option<String>,
}

/// Who has logged in.
#[derive(Serialize, ToSchema)]
struct Welcomed {
    /// Who it is.
    user: MemberItem,
    /// The session that has begun; its cookie comes with the answer.
    session: SessionItem,
    /// Until a second factor is set up, nothing else can be done: the organization asks for one.
    lacks_second_factor: bool,
}

/// A session.
#[derive(Serialize, ToSchema)]
struct SessionItem {
    /// Not what the cookie says.
    id: String,
    /// Whether it is the one that asks.
    current: bool,
    /// When it began.
    created: String,
    /// When it last asked for something, to the minute.
    seen: String,
    /// When it ends in any case.
    ends: String,
    /// Where it was begun from; of IPv6 the network.
    address: String,
    /// As the browser calls itself.
    browser: String,
}

/// Who asks.
#[derive(Serialize, ToSchema)]
struct Whoami {
    /// `user` or `key`.
    kind: &'static str,
    /// The user's or the key's id.
    id: String,
    /// E-mail address, or the key's name.
    name: String,
    /// member, builder, admin or owner.
    role: &'static str,
    /// What a key may do of that; `null`: all.
    scopes: Option<Vec<String>>,
    /// The only agents that a key may reach; `null`: all.
    agents: Option<Vec<String>>,
    /// Whether the organization asks for a second factor that this user has not set up yet.
    lacks_second_factor: bool,
}

/// The password of who asks.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordProof {
    /// The password.
    password: String,
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    /// The one that holds until now.
    password: String,
    /// The one that is to hold: 10 to 200 characters.
    new_password: String,
}

/// A second factor that is to be confirmed.
#[derive(Serialize, ToSchema)]
struct FactorItem {
    /// To be typed into a telephone.
    secret: String,
    /// To be shown to it as a picture.
    address: String,
}

/// A code of the second factor.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FactorCode {
    /// Six digits.
    code: String,
}

/// Codes that are good once each, where the telephone is lost.
#[derive(Serialize, ToSchema)]
struct RecoveryCodes {
    /// Shown this once.
    recovery_codes: Vec<String>,
}

/// What a one-time link is for.
#[derive(Serialize, ToSchema)]
struct LinkItem {
    /// `first`: the first owner; `invitation`: a member; `password`: a new password.
    kind: &'static str,
    /// Whose it is; `null`: who uses it says their own.
    email: Option<String>,
    /// What they may do.
    role: &'static str,
    /// When it ends.
    expires: String,
}

/// Who uses a one-time link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Join {
    /// E-mail address; of the first owner only.
    email: Option<String>,
    /// The password that is to hold: 10 to 200 characters.
    password: String,
}

/// Log in
///
/// Wrong attempts are bounded by account and address: after ten, one has to wait for some minutes.
#[utoipa::path(
    post,
    path = "/api/v1/log-in",
    tag = "Session",
    request_body = LogIn,
    responses((status = 200, description = "A session has begun; its cookie comes with this answer", body = Welcomed))
)]
async fn log_in(State(api): State<Api>, from: Asking, Json(body): Json<LogIn>) -> Result<Response, Problem> {
    let email: String = body.email.trim().to_lowercase().chars().take(MAX_ACCOUNT).collect();
    let user = known(&api, &from, &email, body.password, Some(body.code.as_deref().unwrap_or_default())).await?;
    begun(&api, &from, user, StatusCode::OK).await
}

/// Log out
#[utoipa::path(
    post,
    path = "/api/v1/log-out",
    tag = "Session",
    responses((status = 204, description = "The session is over"))
)]
async fn log_out(State(api): State<Api>, who: Who, from: Asking) -> Result<Response, Problem> {
    let (id, _, session) = user(&who)?;
    api.handle.store().people().log_out(&who.0.name(), id, session).await?;
    Ok(with_cookie(StatusCode::NO_CONTENT.into_response(), from.no_cookie()))
}

/// Who asks
#[utoipa::path(
    get,
    path = "/api/v1/session",
    tag = "Session",
    responses((status = 200, description = "Who asks", body = Whoami))
)]
async fn show(who: Who, _: Query<Nothing>) -> Result<Json<Whoami>, Problem> {
    let role = who.0.role().ok_or_else(crate::house::Refusal::unauthenticated)?.name();
    Ok(Json(match who.0.as_ref() {
        Principal::Key { id, name, scopes, agents, .. } => Whoami {
            kind: "key",
            id: id.clone(),
            name: name.clone(),
            role,
            scopes: Some(scopes.names()),
            agents: agents.clone(),
            lacks_second_factor: false,
        },
        other => {
            let (id, lacks) = match other {
                Principal::User { id, lacks_factor, .. } => (id.clone(), *lacks_factor),
                _ => (String::new(), false),
            };
            let name = match other {
                Principal::User { email, .. } => email.clone(),
                _ => other.name(),
            };
            Whoami { kind: "user", id, name, role, scopes: None, agents: None, lacks_second_factor: lacks }
        }
    }))
}

/// Sessions of who asks, the newest first
#[utoipa::path(
    get,
    path = "/api/v1/session/all",
    tag = "Session",
    params(Wanted),
    responses((status = 200, description = "Sessions that are not over", body = Page<SessionItem>))
)]
async fn list(State(api): State<Api>, who: Who, uri: Uri, Query(wanted): Query<Wanted>) -> Result<Response, Problem> {
    let (id, _, session) = user(&who)?;
    let all = api.handle.store().people().sessions(id).await?;
    let page = Page::of(all, &wanted, |one| one.id.clone(), |one| item(one, Some(session)))?;
    Ok(page.answer(&uri))
}

/// Ends all other sessions of who asks
#[utoipa::path(
    delete,
    path = "/api/v1/session/all",
    tag = "Session",
    responses((status = 204, description = "They are over"))
)]
async fn end_all(State(api): State<Api>, who: Who) -> Result<StatusCode, Problem> {
    let (id, _, session) = user(&who)?;
    api.handle.store().people().log_out_everywhere(&who.0.name(), id, Some(session)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a session of who asks
#[utoipa::path(
    delete,
    path = "/api/v1/session/all/{id}",
    tag = "Session",
    params(("id" = String, Path, description = "The session's id")),
    responses((status = 204, description = "It is over"))
)]
async fn end(State(api): State<Api>, who: Who, Path(session): Path<String>) -> Result<StatusCode, Problem> {
    let (id, ..) = user(&who)?;
    api.handle.store().people().log_out(&who.0.name(), id, &session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets a new password
///
/// All sessions of who asks end; a new one begins with the answer.
#[utoipa::path(
    post,
    path = "/api/v1/session/password",
    tag = "Session",
    request_body = NewPassword,
    responses((status = 200, description = "It holds from now on", body = Welcomed))
)]
async fn change_password(
    State(api): State<Api>,
    who: Who,
    from: Asking,
    Json(body): Json<NewPassword>,
) -> Result<Response, Problem> {
    let (id, email, _) = user(&who)?;
    rules::password(&body.new_password, Some(email)).map_err(|no| renamed(no, "new_password"))?;
    let user = known(&api, &from, email, body.password, None).await?;
    let people = api.handle.store().people();
    let hash = people.hasher().hash(Secret::new(body.new_password)).await?;
    people.set_password(&who.0.name(), id, hash).await?;
    begun(&api, &from, user, StatusCode::OK).await
}

/// Begins to set up a second factor
///
/// It holds once a code of it was shown. One that holds already goes on until then.
#[utoipa::path(
    post,
    path = "/api/v1/session/factor",
    tag = "Session",
    request_body = PasswordProof,
    responses(
        (status = 200, description = "What to tell the telephone", body = FactorItem),
        (status = 409, description = "`no_seal_key`: this server has no key to seal its secret with")
    )
)]
async fn begin_factor(
    State(api): State<Api>,
    who: Who,
    from: Asking,
    Json(body): Json<PasswordProof>,
) -> Result<Json<FactorItem>, Problem> {
    let (id, email, _) = user(&who)?;
    known(&api, &from, email, body.password, None).await?;
    let factor = api.handle.store().people().begin_factor(id).await?;
    let address = factor_address(&factor.secret, email, "offhook").expose().to_owned();
    Ok(Json(FactorItem { secret: factor.secret.expose().to_owned(), address }))
}

/// Confirms a second factor by a code of it
#[utoipa::path(
    post,
    path = "/api/v1/session/factor/confirm",
    tag = "Session",
    request_body = FactorCode,
    responses((status = 200, description = "It holds from now on", body = RecoveryCodes))
)]
async fn confirm_factor(
    State(api): State<Api>,
    who: Who,
    from: Asking,
    Json(body): Json<FactorCode>,
) -> Result<Json<RecoveryCodes>, Problem> {
    let (id, email, _) = user(&who)?;
    let attempt = Attempt::begin(&api, &from, email)?;
    let recovery_codes = api.handle.store().people().confirm_factor(&who.0.name(), id, &body.code).await?;
    attempt.right();
    Ok(Json(RecoveryCodes { recovery_codes }))
}

/// Gives the second factor up
#[utoipa::path(
    post,
    path = "/api/v1/session/factor/drop",
    tag = "Session",
    request_body = PasswordProof,
    responses((status = 204, description = "There is none any more"))
)]
async fn drop_factor(
    State(api): State<Api>,
    who: Who,
    from: Asking,
    Json(body): Json<PasswordProof>,
) -> Result<StatusCode, Problem> {
    let (id, email, _) = user(&who)?;
    known(&api, &from, email, body.password, None).await?;
    let people = api.handle.store().people();
    if people.settings().await?.second_factor {
        return Err(rules::factor_demanded().into());
    }
    people.drop_factor(&who.0.name(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a one-time link is for
#[utoipa::path(
    get,
    path = "/api/v1/welcome/{token}",
    tag = "Session",
    params(("token" = String, Path, description = "What comes at the end of the link")),
    responses(
        (status = 200, description = "It is good", body = LinkItem),
        (status = 410, description = "It was used, or its time is over")
    )
)]
async fn welcome(
    State(api): State<Api>,
    Path(token): Path<String>,
    _: Query<Nothing>,
) -> Result<Json<LinkItem>, Problem> {
    let link = api.handle.store().people().link(&token).await?;
    let (kind, role, expires) = (link.kind.name(), link.role.name(), written(link.expires_ms));
    Ok(Json(LinkItem { kind, email: link.email, role, expires }))
}

/// Uses a one-time link
///
/// Makes the first owner or a member, or sets a new password; and logs in.
#[utoipa::path(
    post,
    path = "/api/v1/welcome/{token}",
    tag = "Session",
    params(("token" = String, Path, description = "What comes at the end of the link")),
    request_body = Join,
    responses(
        (status = 201, description = "A session has begun; its cookie comes with this answer", body = Welcomed),
        (status = 410, description = "It was used, or its time is over")
    )
)]
async fn join(
    State(api): State<Api>,
    from: Asking,
    Path(token): Path<String>,
    Json(body): Json<Join>,
) -> Result<Response, Problem> {
    let people = api.handle.store().people();
    let link = people.link(&token).await?;
    let email = match link.email {
        Some(email) => email,
        None => rules::email(body.email.as_deref().unwrap_or_default())?,
    };
    rules::password(&body.password, Some(&email))?;
    let hash = people.hasher().hash(Secret::new(body.password)).await?;
    let user = people.use_link(&token, Some(&email), hash).await?;
    begun(&api, &from, user, StatusCode::CREATED).await
}

/// Who this is, by password and, where there is a second factor and `code` is asked for, by that too. Whoever is not known
/// and whose password is wrong hear the same, after the same time.
async fn known(api: &Api, from: &Asking, email: &str, password: String, code: Option<&str>) -> Result<User, Problem> {
    let attempt = Attempt::begin(api, from, email)?;
    let people = api.handle.store().people();
    let found = people.credentials(email).await?;
    let hash = found.as_ref().and_then(|found| found.password.clone());
    let is_right = people.hasher().verify(Secret::new(password), hash).await?;
    let user = found.filter(|_| is_right).map(|found| found.user).ok_or_else(rules::not_known)?;
    if let Some(code) = code.filter(|_| user.has_factor) {
        if code.is_empty() {
            // Not a guess: the page asks for the code now.
            attempt.right();
            return Err(rules::factor_needed().into());
        }
        if !people.use_code(&user.id, code).await? {
            return Err(rules::wrong_code().into());
        }
    }
    attempt.right();
    Ok(user)
}

/// Begins a session, and tells it.
async fn begun(api: &Api, from: &Asking, user: User, status: StatusCode) -> Result<Response, Problem> {
    let people = api.handle.store().people();
    let new = people.log_in(&user.id, &from.address, &from.browser).await?;
    let lacks = !user.has_factor && people.settings().await?.second_factor;
    let cookie = from.cookie(&new);
    let id = new.session.id.clone();
    let session = item(new.session, Some(&id));
    let body = Welcomed { user: MemberItem::of(user), session, lacks_second_factor: lacks };
    Ok(with_cookie((status, Json(body)).into_response(), cookie))
}

pub(super) fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Id, address and session of a user.
fn user(who: &Who) -> Result<(&str, &str, &str), Problem> {
    match who.0.as_ref() {
        Principal::User { id, email, session, .. } => Ok((id, email, session)),
        _ => Err(crate::house::routes::personal().into()),
    }
}

fn item(session: Session, current: Option<&str>) -> SessionItem {
    SessionItem {
        current: current == Some(session.id.as_str()),
        id: session.id,
        created: written(session.made_ms),
        seen: written(session.seen_ms),
        ends: written(session.ends_ms),
        address: session.address,
        browser: session.browser,
    }
}

fn renamed(no: crate::house::Refusal, field: &'static str) -> crate::house::Refusal {
    crate::house::Refusal { field: Some(field), ..no }
}

/// An attempt to say who one is: wrong, unless it turns out to be right.
struct Attempt<'a> {
    api: &'a Api,
    from: &'a Asking,
    account: &'a str,
}

impl<'a> Attempt<'a> {
    fn begin(api: &'a Api, from: &'a Asking, account: &'a str) -> Result<Attempt<'a>, Problem> {
        let mut attempts = api.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.begin(now_ms(), &from.address, account).map_err(|wait_ms| {
            api.handle.store().people().hasher().count_unheard();
            let retry_s = (wait_ms.unsigned_abs()).div_ceil(1_000).max(1);
            let no = rules::too_many_attempts(retry_s);
            Problem::new(StatusCode::TOO_MANY_REQUESTS, no.code, no.message)
                .header(header::RETRY_AFTER, retry_s.to_string())
        })?;
        Ok(Attempt { api, from, account })
    }

    fn right(&self) {
        let mut attempts = self.api.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.right(now_ms(), &self.from.address, self.account);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut attempts = self.api.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.over(now_ms(), &self.from.address);
    }
}
