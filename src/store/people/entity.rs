//! The tables of people as types.
#![allow(missing_docs, unreachable_pub)] // what the derives write

/// `users`: members of the organization.
pub mod users {
    use sea_orm::entity::prelude::*;

    /// A member.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "users")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// In lower case.
        pub email: String,
        pub role: String,
        /// Argon2id, as a PHC string; none until the first one is set.
        pub password: Option<String>,
        /// The secret of the second factor, in base 32.
        pub factor: Option<String>,
        /// The last time step whose code was used: none is used twice.
        pub factor_step: i64,
        /// A secret that is not confirmed yet.
        pub factor_pending: Option<String>,
        /// SHA-256 of the recovery codes that are left, as a JSON list.
        pub recovery: Option<String>,
        /// Milliseconds since 1970 by the database's clock, like all below.
        pub created_ms: i64,
        pub logged_in_ms: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `links`: one-time links.
pub mod links {
    use sea_orm::entity::prelude::*;

    /// A one-time link.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "links")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// SHA-256 of the secret.
        pub hash: String,
        /// `first`, `invitation` or `password`.
        pub kind: String,
        /// Whose it is; of the first one nobody's yet.
        pub email: Option<String>,
        pub role: String,
        pub made_by: String,
        pub made_ms: i64,
        pub expires_ms: i64,
        pub used_ms: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `sessions`: who is logged in where.
pub mod sessions {
    use sea_orm::entity::prelude::*;

    /// A session.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "sessions")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// SHA-256 of what the cookie says.
        pub hash: String,
        pub user_id: String,
        /// When it began: with another one it is over.
        pub role: String,
        pub made_ms: i64,
        /// To the minute.
        pub seen_ms: i64,
        pub ends_ms: i64,
        /// Where it was begun from.
        pub address: String,
        /// As the browser calls itself.
        pub browser: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `api_keys`: what programs show.
pub mod api_keys {
    use sea_orm::entity::prelude::*;

    /// An API key.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "api_keys")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub name: String,
        /// SHA-256 of the secret.
        pub hash: String,
        /// Its last four characters.
        pub hint: String,
        pub role: String,
        /// With spaces between.
        pub scopes: String,
        /// A JSON list of the only agents it reaches.
        pub agents: Option<String>,
        pub made_by: String,
        pub made_ms: i64,
        pub expires_ms: Option<i64>,
        /// To the minute.
        pub used_ms: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `access_tokens`: what lets somebody without an account in to an internal agent.
pub mod access_tokens {
    use sea_orm::entity::prelude::*;

    /// An access token.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "access_tokens")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub agent: String,
        pub name: String,
        /// SHA-256 of the secret.
        pub hash: String,
        /// Its last four characters.
        pub hint: String,
        pub made_by: String,
        pub made_ms: i64,
        pub expires_ms: Option<i64>,
        pub used_ms: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `access_uses`: from where access tokens are used.
pub mod access_uses {
    use sea_orm::entity::prelude::*;

    /// Uses of a token from one origin.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "access_uses")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub token: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub origin: String,
        pub uses: i64,
        pub used_ms: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `agent_passwords`: passwords of internal agents.
pub mod agent_passwords {
    use sea_orm::entity::prelude::*;

    /// An agent's password.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "agent_passwords")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub agent: String,
        /// Argon2id, as a PHC string.
        pub hash: String,
        pub made_by: String,
        pub made_ms: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `org_settings`: what the organization has chosen.
pub mod org_settings {
    use sea_orm::entity::prelude::*;

    /// A setting.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "org_settings")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub value: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `audit`: who did what.
pub mod audit {
    use sea_orm::entity::prelude::*;

    /// Something that somebody did.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit")]
    pub struct Model {
        /// The order in which it happened.
        #[sea_orm(primary_key)]
        pub seq: i64,
        /// Milliseconds since 1970, by the database's clock.
        pub at_ms: i64,
        /// As [`Principal::name`](crate::house::principal::Principal::name).
        pub who: String,
        /// `thing.verb`.
        pub action: String,
        /// The id or the name of what it was done to.
        pub object: String,
        /// What there is to say beside, as JSON; no secret.
        #[sea_orm(column_type = "Text")]
        pub detail: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
