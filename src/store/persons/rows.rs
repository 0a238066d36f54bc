//! The tables of persons as types.
#![allow(missing_docs, unreachable_pub)] // what the derives write

/// `callers`: numbers by which members are known when they call.
pub mod callers {
    use sea_orm::entity::prelude::*;

    /// A member's number.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "callers")]
    pub struct Model {
        /// E.164.
        #[sea_orm(primary_key, auto_increment = false)]
        pub number: String,
        /// The user's id.
        pub member: String,
        /// Who said so, as in the audit log.
        pub added_by: String,
        /// Milliseconds since 1970, by the database's clock.
        pub added_ms: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `caller_pins`: what members key in where the carrier does not vouch for their number.
pub mod pins {
    use sea_orm::entity::prelude::*;

    /// A member's PIN.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "caller_pins")]
    pub struct Model {
        /// The user's id.
        #[sea_orm(primary_key, auto_increment = false)]
        pub member: String,
        /// Argon2's own text.
        pub hash: String,
        /// Milliseconds since 1970, by the database's clock, like that below.
        pub set_ms: i64,
        /// Tries since the last right one.
        pub wrong: i64,
        /// None is looked at before.
        pub free_ms: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `erasures`: that somebody was erased, without who it was.
pub mod erasures {
    use sea_orm::entity::prelude::*;

    /// The receipt of an erasure.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "erasures")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// A keyed hash of the number: the same number has the same on one store, and it leads back to none.
        pub subject: String,
        /// Who asked, as in the audit log.
        pub asked_by: String,
        /// Milliseconds since 1970, by the database's clock, like that below.
        pub asked_ms: i64,
        /// When all was gone; none while some of it is left.
        pub done_ms: Option<i64>,
        /// Rows of calls, with reports and analyses.
        pub calls: i64,
        /// Those of them that had a recording.
        pub recordings: i64,
        /// Folders of calls.
        pub folders: i64,
        /// Events on their way to webhooks, or given up.
        pub events: i64,
        /// Attempts at webhooks that were kept.
        pub attempts: i64,
        /// Jobs about the calls.
        pub jobs: i64,
        /// Requests to place them, which only keep their key.
        pub dials: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `erased`: calls that are to be gone, and stay gone when a folder of theirs turns up again.
pub mod erased {
    use sea_orm::entity::prelude::*;

    /// What is left of a call.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "Text")]
    pub enum State {
        /// All of it, perhaps it even goes on.
        #[sea_orm(string_value = "listed")]
        Listed,
        /// Its folder.
        #[sea_orm(string_value = "folder")]
        Folder,
        /// Nothing.
        #[sea_orm(string_value = "gone")]
        Gone,
    }

    /// A call that is to be gone.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "erased")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub call: String,
        /// The first erasure that listed it.
        pub erasure: String,
        /// The data directory that its folder is in; none: not known.
        pub home: Option<String>,
        pub state: State,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
