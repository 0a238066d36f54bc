//! The tables of webhooks beside the outbox.

/// `endpoints`: those that were made by the API.
pub mod endpoints {
    use sea_orm::entity::prelude::*;

    /// An endpoint.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "endpoints")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub name: String,
        pub url: String,
        /// Names of types, as a JSON list; none: all.
        pub events: Option<String>,
        /// Names of agents, as a JSON list; empty: all.
        pub agents: String,
        pub plain_signature: bool,
        pub per_second: i64,
        pub timeout_ms: i64,
        pub retry_first_ms: i64,
        /// Sealed.
        pub secret: String,
        /// Sealed.
        pub previous: Option<String>,
        pub previous_until_ms: Option<i64>,
        /// Counts its changes.
        pub version: i64,
        pub created_ms: i64,
        pub changed_ms: i64,
        pub changed_by: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `endpoint_states`: how endpoints fare, those of files too. One that never failed has no row.
pub mod endpoint_states {
    use sea_orm::entity::prelude::*;

    /// How one fares. All moments are milliseconds since 1970, by the database's clock.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "endpoint_states")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub endpoint: String,
        /// Since when no attempt succeeded; none: the last one did.
        pub failing_since_ms: Option<i64>,
        pub last_failed_ms: Option<i64>,
        /// Why the last attempt failed.
        pub last_error: Option<String>,
        /// When an event was given up since.
        pub gave_up_ms: Option<i64>,
        /// When it was told that it will be switched off.
        pub noticed_ms: Option<i64>,
        /// When it was switched off; none: it is on.
        pub disabled_ms: Option<i64>,
        pub disabled_by: Option<String>,
        pub reason: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `deliveries`: every attempt.
pub mod deliveries {
    use sea_orm::entity::prelude::*;

    /// What came of an attempt.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "Text")]
    pub enum Outcome {
        /// The endpoint took the event.
        #[sea_orm(string_value = "delivered")]
        Delivered,
        /// It did not, and is asked again.
        #[sea_orm(string_value = "failed")]
        Failed,
        /// It did not, for the last time.
        #[sea_orm(string_value = "given_up")]
        GivenUp,
    }

    impl Outcome {
        /// As it stands in rows and answers.
        pub const fn name(self) -> &'static str {
            match self {
                Outcome::Delivered => "delivered",
                Outcome::Failed => "failed",
                Outcome::GivenUp => "given_up",
            }
        }
    }

    /// An attempt.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "deliveries")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub seq: i64,
        pub event: String,
        pub endpoint: String,
        #[sea_orm(column_name = "type")]
        pub kind: String,
        /// What it is about: a call's id, or of what else there is `kind/name`.
        pub call: String,
        /// Milliseconds since 1970, by the database's clock.
        pub at_ms: i64,
        /// The first is 1; of an event that is sent again, too.
        pub attempt: i64,
        pub outcome: Outcome,
        /// The answer's status; none: there was no answer.
        pub status: Option<i64>,
        pub took_ms: i64,
        /// The first of the answer's body.
        #[sea_orm(column_type = "Text")]
        pub answer: String,
        /// Why it failed.
        pub error: Option<String>,
        /// It was a sample that somebody had sent.
        pub test: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `bodies`: what delivered events said, each once, however many endpoints took it.
pub mod bodies {
    use sea_orm::entity::prelude::*;

    /// An event's body.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "bodies")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub event: String,
        /// The order in which events happened.
        pub seq: i64,
        pub call: String,
        #[sea_orm(column_name = "type")]
        pub kind: String,
        pub created_ms: i64,
        pub bytes: i64,
        #[sea_orm(column_type = "Text")]
        pub body: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `told`: how far others have been told of what is in other tables.
pub mod told {
    use sea_orm::entity::prelude::*;

    /// How far, of one of them.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "told")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub what: String,
        pub seq: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
