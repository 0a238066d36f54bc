//! `members` and `invitations`: who belongs to the organization (ROLE-01, ROLE-05).

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::session::with_cookie;
use crate::config::Role;
use crate::house::people as rules;
use crate::house::principal::Principal;
use crate::store::people::{Link, NewLink, User};
use crate::store::written;
use crate::web::extract::{Json, Nothing, Path, Query};
use crate::web::page::{Page, Wanted, cursor, limit, place};
use crate::web::problem::Problem;
use crate::web::who::From as Asking;
use crate::web::{Api, Who};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(show, change, remove))
        .routes(routes!(link))
        .routes(routes!(invitations, invite))
        .routes(routes!(uninvite))
}

/// A member of the organization.
#[derive(Serialize, ToSchema)]
pub(super) struct MemberItem {
    /// The user's id.
    id: String,
    /// E-mail address.
    email: String,
    /// member, builder, admin or owner.
    role: &'static str,
    /// Whether they have set up a second factor.
    second_factor: bool,
    /// When they became one.
    created: String,
    /// When they last logged in; `null`: never.
    logged_in: Option<String>,
}

impl MemberItem {
    pub(super) fn of(user: User) -> MemberItem {
        MemberItem {
            id: user.id,
            email: user.email,
            role: user.role.name(),
            second_factor: user.has_factor,
            created: written(user.created_ms),
            logged_in: user.logged_in_ms.map(written),
        }
    }
}

/// What a member is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MemberChange {
    /// member, builder, admin or owner.
    #[schema(value_type = String)]
    role: Role,
}

/// Who is invited.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewMember {
    /// E-mail address.
    email: String,
    /// member, builder, admin or owner.
    #[schema(value_type = String)]
    role: Role,
}

/// An invitation that is open.
#[derive(Serialize, ToSchema)]
struct InvitationItem {
    /// Its id; not what its link says.
    id: String,
    /// Who is invited.
    email: Option<String>,
    /// What they may do.
    role: &'static str,
    /// Who invited them.
    made_by: String,
    /// When.
    created: String,
    /// When it ends.
    expires: String,
    /// The link by which they set their password and log in, once; shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    link: Option<String>,
}

/// Members, the newest first
#[utoipa::path(
    get,
    path = "/api/v1/members",
    tag = "Members",
    params(Wanted),
    responses((status = 200, description = "Members", body = Page<MemberItem>))
)]
async fn list(State(api): State<Api>, uri: Uri, Query(wanted): Query<Wanted>) -> Result<Response, Problem> {
    let (limit, after) = (limit(wanted.limit)?, place(wanted.cursor.as_deref())?);
    let all = api.handle.store().people().users(after.as_deref(), u64::from(limit) + 1).await?;
    Ok(page(all, limit, |user| user.id.clone(), MemberItem::of).answer(&uri))
}

/// A member
#[utoipa::path(
    get,
    path = "/api/v1/members/{id}",
    tag = "Members",
    params(("id" = String, Path, description = "The user's id")),
    responses((status = 200, description = "The member", body = MemberItem))
)]
async fn show(State(api): State<Api>, Path(id): Path<String>, _: Query<Nothing>) -> Result<Json<MemberItem>, Problem> {
    Ok(Json(MemberItem::of(api.handle.store().people().user(&id).await?)))
}

/// Gives a member another role
///
/// Their sessions end. Owners are made and unmade by owners, and one always stays.
#[utoipa::path(
    patch,
    path = "/api/v1/members/{id}",
    tag = "Members",
    params(("id" = String, Path, description = "The user's id")),
    request_body = MemberChange,
    responses(
        (status = 200, description = "They have it", body = MemberItem),
        (status = 409, description = "They are the last owner")
    )
)]
async fn change(
    State(api): State<Api>,
    who: Who,
    from: Asking,
    Path(id): Path<String>,
    Json(body): Json<MemberChange>,
) -> Result<Response, Problem> {
    let people = api.handle.store().people();
    let user = people.set_role(&who.0, &id, body.role).await?;
    // Who changes their own role goes on by a new session of that role.
    let cookie = match who.0.as_ref() {
        Principal::User { id: own, role, .. } if *own == id && *role != user.role => {
            from.cookie(&people.log_in(&id, &from.address, &from.browser).await?)
        }
        _ => None,
    };
    Ok(with_cookie(Json(MemberItem::of(user)).into_response(), cookie))
}

/// Takes a member out of the organization
#[utoipa::path(
    delete,
    path = "/api/v1/members/{id}",
    tag = "Members",
    params(("id" = String, Path, description = "The user's id")),
    responses(
        (status = 204, description = "They are out, and their sessions over"),
        (status = 409, description = "They are the last owner")
    )
)]
async fn remove(State(api): State<Api>, who: Who, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    api.handle.store().people().remove_user(&who.0, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A link by which a member sets a new password
///
/// For who has forgotten theirs. It is good for a day, once; their password and their sessions go on until then.
#[utoipa::path(
    post,
    path = "/api/v1/members/{id}/link",
    tag = "Members",
    params(("id" = String, Path, description = "The user's id")),
    responses((status = 201, description = "The link", body = InvitationItem))
)]
async fn link(State(api): State<Api>, who: Who, Path(id): Path<String>) -> Result<Response, Problem> {
    let people = api.handle.store().people();
    let user = people.user(&id).await?;
    let new = people.password_link(&who.0, &user.email).await?;
    Ok((StatusCode::CREATED, Json(made(&api, new))).into_response())
}

/// Invitations that are open, the newest first
#[utoipa::path(
    get,
    path = "/api/v1/invitations",
    tag = "Members",
    params(Wanted),
    responses((status = 200, description = "Invitations", body = Page<InvitationItem>))
)]
async fn invitations(State(api): State<Api>, uri: Uri, Query(wanted): Query<Wanted>) -> Result<Response, Problem> {
    let (limit, after) = (limit(wanted.limit)?, place(wanted.cursor.as_deref())?);
    let all = api.handle.store().people().invitations(after.as_deref(), u64::from(limit) + 1).await?;
    Ok(page(all, limit, |link| link.id.clone(), |link| invitation(link, None)).answer(&uri))
}

/// Invites somebody
///
/// The answer has a link, which is shown this once; send it to them. It is good for seven days, once.
#[utoipa::path(
    post,
    path = "/api/v1/invitations",
    tag = "Members",
    request_body = NewMember,
    responses(
        (status = 201, description = "They are invited", body = InvitationItem),
        (status = 409, description = "They are a member already")
    )
)]
async fn invite(State(api): State<Api>, who: Who, Json(body): Json<NewMember>) -> Result<Response, Problem> {
    let email = rules::email(&body.email)?;
    let new = api.handle.store().people().invite(&who.0, &email, body.role).await?;
    let place = format!("/api/v1/invitations/{}", new.link.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(made(&api, new))).into_response())
}

/// Takes an invitation back
#[utoipa::path(
    delete,
    path = "/api/v1/invitations/{id}",
    tag = "Members",
    params(("id" = String, Path, description = "The invitation's id")),
    responses((status = 204, description = "Its link is good for nothing any more"))
)]
async fn uninvite(State(api): State<Api>, who: Who, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    api.handle.store().people().uninvite(&who.0, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn made(api: &Api, new: NewLink) -> InvitationItem {
    let config = api.handle.config();
    let base = config.server.people_url().unwrap_or_default();
    let link = format!("{base}/welcome/{}", new.secret.expose());
    invitation(new.link, Some(link))
}

fn invitation(link: Link, address: Option<String>) -> InvitationItem {
    InvitationItem {
        id: link.id,
        email: link.email,
        role: link.role.name(),
        made_by: link.made_by,
        created: written(link.made_ms),
        expires: written(link.expires_ms),
        link: address,
    }
}

/// A page of what the store gave: one more than it has tells that there is another.
pub(super) fn page<T, U>(mut all: Vec<U>, limit: u32, key: impl Fn(&U) -> String, show: impl Fn(U) -> T) -> Page<T> {
    let more = all.len() > limit as usize;
    all.truncate(limit as usize);
    let next = all.last().filter(|_| more).map(|last| cursor(&key(last)));
    Page { items: all.into_iter().map(show).collect(), next }
}
