//! One-time links: the first owner's, invitations, and new passwords.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, ExprTrait as _, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde_json::json;

use super::entity::links::{ActiveModel, Column, Entity, Model};
use super::secret::{self, SecretKind};
use super::{People, User, audit, role_of, users};
use crate::config::{Role, Secret};
use crate::house::people as rules;
use crate::house::principal::Principal;
use crate::store::{IdKind, StoreError, id, sql};

/// Links that can be open at once.
const MOST: u64 = 1_000;
/// Links for the first owner that are good at once, the newest.
const FIRST_LINKS: u64 = 10;
/// How long one is good: the first owner's and a new password's for a day, an invitation for a week.
const DAY_MS: i64 = 86_400_000;

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// Makes the first owner, who says their own address.
    First,
    /// Makes a member.
    Invitation,
    /// Gives a member a new password.
    Password,
}

impl LinkKind {
    const ALL: [LinkKind; 3] = [LinkKind::First, LinkKind::Invitation, LinkKind::Password];

    /// As in rows and answers.
    pub const fn name(self) -> &'static str {
        match self {
            LinkKind::First => "first",
            LinkKind::Invitation => "invitation",
            LinkKind::Password => "password",
        }
    }

    const fn life_ms(self) -> i64 {
        match self {
            LinkKind::First | LinkKind::Password => DAY_MS,
            LinkKind::Invitation => 7 * DAY_MS,
        }
    }
}

/// A link, without what makes it one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Sorts by when it was made.
    pub id: String,
    /// What it is for.
    pub kind: LinkKind,
    /// Whose it is; `None` of the first owner's.
    pub email: Option<String>,
    /// What its user may do.
    pub role: Role,
    /// Who made it.
    pub made_by: String,
    /// Milliseconds since 1970, as below.
    pub made_ms: i64,
    /// From then on it is good for nothing.
    pub expires_ms: i64,
}

impl From<Model> for Link {
    fn from(row: Model) -> Link {
        Link {
            kind: LinkKind::ALL.into_iter().find(|kind| kind.name() == row.kind).unwrap_or(LinkKind::Password),
            role: role_of(&row.role),
            id: row.id,
            email: row.email,
            made_by: row.made_by,
            made_ms: row.made_ms,
            expires_ms: row.expires_ms,
        }
    }
}

/// A link that was just made.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// What is kept of it.
    pub link: Link,
    /// What comes at the end of its address; shown once.
    pub secret: Secret,
}

impl People {
    /// A link for the first owner; `None`: there are users.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn first_link(&self) -> Result<Option<NewLink>, StoreError> {
        self.change(async |txn| {
            if users::any(txn).await? {
                return Ok(None);
            }
            // A server that is started again and again prints one each time.
            let first = Column::Kind.eq(LinkKind::First.name());
            let newest = Entity::find().select_only().column(Column::Id).filter(first.clone());
            let newest =
                newest.order_by_desc(Column::Id).limit(FIRST_LINKS - 1).into_tuple::<String>().all(txn).await?;
            Entity::delete_many().filter(first.and(Column::Id.is_not_in(newest))).exec(txn).await?;
            let who = Principal::Operator.name();
            Ok(Some(add(txn, &who, LinkKind::First, None, Role::Owner).await?))
        })
        .await
    }

    /// Invites somebody. An invitation of the same address that is open already is good for nothing any more.
    ///
    /// # Errors
    /// `role`, `email_taken`, `too_many`; or the store cannot be written.
    pub async fn invite(&self, who: &Principal, email: &str, role: Role) -> Result<NewLink, StoreError> {
        rules::may_change(who, None, Some(role))?;
        self.change(async |txn| {
            rules::email_free(users::of(txn, email).await?.is_some())?;
            end_all(txn, email).await?;
            let new = add(txn, &who.name(), LinkKind::Invitation, Some(email), role).await?;
            audit::add(txn, &who.name(), "user.invite", email, Some(json!({ "role": role.name() }))).await?;
            Ok(new)
        })
        .await
    }

    /// A link by which somebody sets a new password, for who has forgotten it.
    ///
    /// # Errors
    /// `not_found`, `role`; or the store cannot be written.
    pub async fn password_link(&self, who: &Principal, email: &str) -> Result<NewLink, StoreError> {
        self.change(async |txn| {
            let user = users::of(txn, email).await?.ok_or_else(|| rules::not_found("user"))?;
            let role = role_of(&user.role);
            rules::may_change(who, Some(role), Some(role))?;
            end_all(txn, email).await?;
            let new = add(txn, &who.name(), LinkKind::Password, Some(email), role).await?;
            audit::add(txn, &who.name(), "user.link", email, None).await?;
            Ok(new)
        })
        .await
    }

    /// Invitations that are open, the newest first, those that were made before the link `after`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn invitations(&self, after: Option<&str>, limit: u64) -> Result<Vec<Link>, StoreError> {
        let clock = sql::clock_text(self.0.db());
        let mut all = Entity::find()
            .filter(Column::Kind.eq(LinkKind::Invitation.name()))
            .filter(Column::UsedMs.is_null())
            .filter(Expr::cust(format!("expires_ms > {clock}")))
            .order_by_desc(Column::Id)
            .limit(limit);
        if let Some(after) = after {
            all = all.filter(Column::Id.lt(after));
        }
        self.0.in_time(async { Ok(all.all(self.0.db()).await?.into_iter().map(Link::from).collect()) }).await
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// `not_found`, `role`; or the store cannot be written.
    pub async fn uninvite(&self, who: &Principal, id: &str) -> Result<(), StoreError> {
        self.change(async |txn| {
            let row = Entity::find_by_id(id).one(txn).await?;
            let open = row.filter(|row| row.kind == LinkKind::Invitation.name() && row.used_ms.is_none());
            let link = Link::from(open.ok_or_else(|| rules::not_found("invitation"))?);
            rules::may_change(who, None, Some(link.role))?;
            Entity::delete_by_id(link.id).exec(txn).await?;
            audit::add(txn, &who.name(), "user.uninvite", link.email.as_deref().unwrap_or_default(), None).await
        })
        .await
    }

    /// What a link is for, if it is good.
    ///
    /// # Errors
    /// `not_found`, `link_over`; or the store cannot be read.
    pub async fn link(&self, secret: &str) -> Result<Link, StoreError> {
        self.0.in_time(async { good(self.0.db(), secret).await }).await
    }

    /// Uses a link up: its user is there afterwards, with that password, a hash. `email` is what the first owner says.
    ///
    /// # Errors
    /// `not_found`, `link_over`, `email`, `email_taken`, `too_many`; or the store cannot be written.
    pub async fn use_link(&self, secret: &str, email: Option<&str>, password: String) -> Result<User, StoreError> {
        self.change_standing(async |txn| {
            let link = good(txn, secret).await?;
            let used = Entity::update_many().col_expr(Column::UsedMs, Expr::cust(sql::clock_text(txn)));
            used.filter(Column::Id.eq(link.id.as_str())).exec(txn).await?;
            let email = match &link.email {
                Some(email) => email.clone(),
                None => rules::email(email.unwrap_or_default())?,
            };
            let who = format!("user {email}");
            match link.kind {
                LinkKind::First if users::any(txn).await? => Err(rules::link_over().into()),
                LinkKind::First | LinkKind::Invitation => {
                    users::add(txn, &who, &email, link.role, Some(password)).await
                }
                LinkKind::Password => {
                    let user = users::of(txn, &email).await?.ok_or_else(rules::link_over)?;
                    users::set_password(txn, &user.id, password).await?;
                    audit::add(txn, &who, "user.password", &email, Some(json!({ "by": "link" }))).await?;
                    Ok(user.into())
                }
            }
        })
        .await
    }
}

/// Links that somebody has not used are good for nothing any more.
pub(super) async fn end_all<C: ConnectionTrait>(db: &C, email: &str) -> Result<(), StoreError> {
    let open = Entity::delete_many().filter(Column::Email.eq(email)).filter(Column::UsedMs.is_null());
    open.exec(db).await?;
    Ok(())
}

async fn add<C: ConnectionTrait>(
    db: &C,
    who: &str,
    kind: LinkKind,
    email: Option<&str>,
    role: Role,
) -> Result<NewLink, StoreError> {
    let now_ms = sql::clock_ms(db).await?;
    let open = Column::UsedMs.is_null().and(Column::ExpiresMs.gt(now_ms));
    rules::room(Entity::find().filter(open).count(db).await?, MOST, "open links")?;
    let secret = secret::new(SecretKind::Link)?;
    let row = Model {
        id: id::new_at_any_rate(IdKind::Link),
        hash: secret::hash(&secret),
        kind: kind.name().to_owned(),
        email: email.map(str::to_owned),
        role: role.name().to_owned(),
        made_by: who.to_owned(),
        made_ms: now_ms,
        expires_ms: now_ms + kind.life_ms(),
        used_ms: None,
    };
    Entity::insert(ActiveModel::from(row.clone()).reset_all()).exec_without_returning(db).await?;
    Ok(NewLink { link: row.into(), secret: Secret::new(secret) })
}

async fn good<C: ConnectionTrait>(db: &C, secret: &str) -> Result<Link, StoreError> {
    let none = || rules::not_found("link");
    if SecretKind::of(secret) != Some(SecretKind::Link) {
        return Err(none().into());
    }
    let row = Entity::find().filter(Column::Hash.eq(secret::hash(secret))).one(db).await?.ok_or_else(none)?;
    if row.used_ms.is_some() || row.expires_ms <= sql::clock_ms(db).await? {
        return Err(rules::link_over().into());
    }
    Ok(row.into())
}
