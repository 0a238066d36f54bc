//! The tables as types.
#![allow(missing_docs, unreachable_pub)] // what the derives write

mod hooks;

pub use hooks::{bodies, deliveries, endpoint_states, endpoints, told};

/// `calls`: one row per call.
pub mod calls {
    use sea_orm::entity::prelude::*;

    /// Where a call is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "Text")]
    pub enum State {
        /// It goes on.
        #[sea_orm(string_value = "running")]
        Running,
        /// It is over, and there is a report.
        #[sea_orm(string_value = "ended")]
        Ended,
        /// Its server was gone before it ended.
        #[sea_orm(string_value = "lost")]
        Lost,
    }

    /// Who dialled.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "Text")]
    pub enum Direction {
        /// The caller.
        #[sea_orm(string_value = "inbound")]
        Inbound,
        /// We.
        #[sea_orm(string_value = "outbound")]
        Outbound,
    }

    impl Direction {
        /// As it stands in rows and events.
        pub const fn name(self) -> &'static str {
            match self {
                Direction::Inbound => "inbound",
                Direction::Outbound => "outbound",
            }
        }
    }

    impl State {
        /// As it stands in rows.
        pub const fn name(self) -> &'static str {
            match self {
                State::Running => "running",
                State::Ended => "ended",
                State::Lost => "lost",
            }
        }
    }

    /// A call, as the store keeps it.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "calls")]
    pub struct Model {
        /// Our id, and the name of its folder.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// The carrier's id.
        pub carrier_call: String,
        pub direction: Direction,
        pub deployment: String,
        pub agent: String,
        /// The configuration's revision.
        pub revision: String,
        /// E.164, or what the carrier gives for a withheld number.
        pub from_number: Option<String>,
        pub to_number: Option<String>,
        /// Milliseconds since 1970.
        pub started_ms: i64,
        /// Milliseconds since 1970; none while it goes on, and when nobody knows.
        pub ended_ms: Option<i64>,
        pub state: State,
        /// The `end.kind` of the report; `server_lost` for a lost call.
        pub end_kind: Option<String>,
        pub duration_ms: Option<i64>,
        pub turns: Option<i64>,
        pub interruptions: Option<i64>,
        /// Millionths of the currency's unit.
        pub cost_micros: i64,
        /// The report as JSON.
        #[sea_orm(column_type = "Text")]
        pub report: Option<String>,
        /// What the analysis found, as JSON.
        #[sea_orm(column_type = "Text")]
        pub analysis: Option<String>,
        /// Whether there is a recording.
        pub recording: bool,
        /// The server's process that has it, while it goes on.
        pub owner: Option<String>,
        /// The data directory that its folder is in; none of earlier versions.
        pub home: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `outbox`: events that have not been delivered, one row per event and endpoint.
pub mod outbox {
    use sea_orm::entity::prelude::*;

    /// What is to become of a row.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "Text")]
    pub enum State {
        /// It will be tried.
        #[sea_orm(string_value = "waiting")]
        Waiting,
        /// It was given up.
        #[sea_orm(string_value = "dead")]
        Dead,
    }

    /// An event for one endpoint.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "outbox")]
    pub struct Model {
        /// The order in which events happened.
        #[sea_orm(primary_key)]
        pub seq: i64,
        /// The event's id, the same for all endpoints.
        pub id: String,
        /// The call it is about.
        pub call: String,
        /// The endpoint's name.
        pub endpoint: String,
        /// The event's type.
        #[sea_orm(column_name = "type")]
        pub kind: String,
        /// The bytes to send.
        #[sea_orm(column_type = "Text")]
        pub body: String,
        /// Milliseconds since 1970, like all below.
        pub created_ms: i64,
        /// How often it was tried.
        pub attempts: i64,
        pub next_at_ms: i64,
        pub state: State,
        /// Why the last attempt failed.
        pub last_error: Option<String>,
        /// The server's process that sends it, while it does.
        pub owner: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `dials`: calls that were asked for, by their idempotency keys.
pub mod dials {
    use sea_orm::entity::prelude::*;

    /// A request to dial out.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "dials")]
    pub struct Model {
        /// The idempotency key.
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: String,
        /// Tells whether a repeated key comes with the same request.
        pub request_hash: String,
        /// Milliseconds since 1970.
        pub created_ms: i64,
        /// Where it is, in the words of whoever dials.
        pub state: String,
        /// The carrier's id, once it gave one.
        pub carrier_call: Option<String>,
        /// Our id, once there is a call.
        pub call: Option<String>,
        /// Why it failed.
        pub error: Option<String>,
        /// The server's process that places it.
        pub owner: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `servers`: processes that have rows. What one has is free for others once its row is gone.
pub mod servers {
    use sea_orm::entity::prelude::*;

    /// A server's process.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "servers")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// The machine's name.
        pub name: String,
        /// Where it listens.
        pub address: String,
        /// Its data directory.
        pub home: String,
        /// By the database's clock, in milliseconds since 1970, for people.
        pub started_ms: i64,
        pub seen_ms: i64,
        /// Counts on for as long as it is alive.
        pub beat: i64,
        /// For how long its beat may stand still before it is taken for gone, in milliseconds.
        pub lease_ms: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `holds`: what calls that are up, or ring, take of caps and budgets.
pub mod holds {
    use sea_orm::entity::prelude::*;

    /// What one call takes.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "holds")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub call: String,
        /// The server's process that has it.
        pub owner: String,
        pub deployment: String,
        pub agent: String,
        /// The other party's.
        pub number: Option<String>,
        /// Milliseconds since 1970, by the database's clock.
        pub since_ms: i64,
        /// 1 while it counts for caps; 0 once its line is over and only its last words are awaited.
        pub counts: i64,
        /// What it may cost, in millionths of the currency's unit.
        pub reserved_micros: i64,
        /// What it has cost when it last said so.
        pub spent_micros: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `jobs`: what is to be done once, by whichever server comes to it.
pub mod jobs {
    use sea_orm::entity::prelude::*;

    /// Where a job is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "Text")]
    pub enum State {
        /// It is to be done, or is being done by its owner.
        #[sea_orm(string_value = "waiting")]
        Waiting,
        /// It was done; kept for a while, so that it is not put in again.
        #[sea_orm(string_value = "done")]
        Done,
        /// It was given up.
        #[sea_orm(string_value = "dead")]
        Dead,
    }

    /// A job.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "jobs")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub seq: i64,
        /// What is to be done.
        pub kind: String,
        /// Of one kind, each key is there once.
        pub key: String,
        /// The call it is about: it waits until that is over.
        pub call: Option<String>,
        /// The revision of the documents that it is done by.
        pub revision: Option<String>,
        /// What it needs, as JSON.
        #[sea_orm(column_type = "Text")]
        pub payload: String,
        /// The higher, the sooner.
        pub priority: i64,
        /// Milliseconds since 1970 by the database's clock, like that below.
        pub created_ms: i64,
        pub due_ms: i64,
        /// How often it was begun.
        pub attempts: i64,
        pub state: State,
        /// The server's process that does it, while it does.
        pub owner: Option<String>,
        /// Why it was put off or given up.
        pub last_error: Option<String>,
        /// The data directory that it is about: whoever has that does it; none: anybody.
        pub home: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `documents`: each revision of each document that was ever in force.
pub mod documents {
    use sea_orm::entity::prelude::*;

    /// A revision of a document.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "documents")]
    pub struct Model {
        /// The order in which they came into force.
        #[sea_orm(primary_key)]
        pub seq: i64,
        /// `server`, `agent`, `deployment`, `model` and what else there is.
        pub kind: String,
        pub name: String,
        /// Of the text.
        pub revision: String,
        /// The document; none when it was taken away.
        #[sea_orm(column_type = "Text")]
        pub text: Option<String>,
        /// Who did it.
        pub applied_by: String,
        /// By which way: `folder`, `api`, `console`, `push`, `restore`.
        pub way: String,
        /// Milliseconds since 1970, by the database's clock.
        pub applied_ms: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `listed`: each call as lists show, filter and count it.
pub mod listed {
    use sea_orm::entity::prelude::*;

    /// A call in a list. It keeps its place: `began_ms` never changes.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "listed")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// When it was placed or came in, in milliseconds since 1970.
        pub began_ms: i64,
        pub ended_ms: Option<i64>,
        /// One of `house::calls::Status`.
        pub status: String,
        pub direction: super::calls::Direction,
        pub agent: String,
        pub deployment: String,
        pub from_number: Option<String>,
        pub to_number: Option<String>,
        /// The `end.kind` of its report; of a placed call without one `not_placed` or `unknown`.
        pub end_kind: Option<String>,
        /// One of `house::calls::CallResult`.
        pub result: String,
        pub duration_ms: Option<i64>,
        /// In millionths of the currency's unit; none when nobody knows.
        pub cost_micros: Option<i64>,
        pub turns: Option<i64>,
        pub interruptions: Option<i64>,
        /// Whether there is a recording.
        pub recording: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `usage_sums`: what calls used up, by the hour and by the day in which they ended.
pub mod usage_sums {
    use sea_orm::entity::prelude::*;

    /// The calls of an hour or a day that are alike in the next four.
    #[derive(Clone, Debug, Default, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "usage_sums")]
    pub struct Model {
        /// Of an hour or a day, in milliseconds.
        #[sea_orm(primary_key, auto_increment = false)]
        pub width_ms: i64,
        /// Its beginning, in milliseconds since 1970.
        #[sea_orm(primary_key, auto_increment = false)]
        pub begin_ms: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub agent: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub deployment: String,
        /// Its name in `models.toml`; empty: not known.
        #[sea_orm(primary_key, auto_increment = false)]
        pub model: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub direction: String,
        pub calls: i64,
        pub failed: i64,
        pub duration_ms: i64,
        /// How long sessions with the model were open.
        pub model_ms: i64,
        pub turns: i64,
        pub interruptions: i64,
        pub transfers: i64,
        /// Answers that callers waited for, of which it is known how long.
        pub waits: i64,
        pub waited_ms: i64,
        pub input_tokens: i64,
        /// Of those, the ones that were cached.
        pub cached_tokens: i64,
        pub output_tokens: i64,
        pub cost_micros: i64,
        /// Calls that had a model and no price: what they cost is not in the sum.
        pub unpriced: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
