//! The tables as types.
#![allow(missing_docs, unreachable_pub)] // what the derives write

/// `numbers`: phone numbers that are held, and purchases under way.
pub mod numbers {
    use sea_orm::entity::prelude::*;

    /// How a number came here.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "Text")]
    pub enum Origin {
        /// Bought here.
        #[sea_orm(string_value = "bought")]
        Bought,
        /// The carrier's list had it.
        #[sea_orm(string_value = "taken_over")]
        TakenOver,
        /// Entered by hand.
        #[sea_orm(string_value = "by_hand")]
        ByHand,
    }

    /// Where a number is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "Text")]
    pub enum State {
        /// The carrier was asked for it, or is about to be; whether it was bought is not known yet.
        #[sea_orm(string_value = "buying")]
        Buying,
        /// It is ours.
        #[sea_orm(string_value = "held")]
        Held,
        /// The carrier was asked to take it back, or is about to be.
        #[sea_orm(string_value = "releasing")]
        Releasing,
        /// It was not bought, as far as is known. Remembered, so that a late success is found.
        #[sea_orm(string_value = "failed")]
        Failed,
    }

    /// A number.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "numbers")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// Tells a repetition of the request that bought it.
        pub request: Option<String>,
        /// E.164.
        #[sea_orm(unique)]
        pub number: String,
        pub origin: Origin,
        pub state: State,
        /// The carrier's id of it.
        pub carrier_id: Option<String>,
        /// What it is called at the carrier, by which a purchase of ours is known again.
        pub tag: Option<String>,
        /// ISO 3166-1 alpha-2.
        pub country: Option<String>,
        /// `local`, `mobile`, `toll-free`.
        #[sea_orm(column_name = "type")]
        pub kind: Option<String>,
        /// What people call it.
        pub title: Option<String>,
        /// The carrier's ids of the papers that it was bought with.
        pub address: Option<String>,
        pub bundle: Option<String>,
        /// A month, in millionths of the currency.
        pub price_micros: Option<i64>,
        pub currency: Option<String>,
        /// Countries, with commas between them; none: as by default.
        pub calls_from: Option<String>,
        pub calls_to: Option<String>,
        /// Milliseconds since 1970, by the database's clock, like all below but `bought_ms`.
        pub created_ms: i64,
        /// By the carrier's clock, where it says so.
        pub bought_ms: Option<i64>,
        /// When the carrier was last asked for it, or to take it back.
        pub asked_ms: Option<i64>,
        /// Why it was not bought.
        pub error: Option<String>,
        /// The server's process that buys it or gives it back.
        pub owner: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `number_differences`: where the carrier's list and ours differ.
pub mod differences {
    use sea_orm::entity::prelude::*;

    /// What differs.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "Text")]
    pub enum Kind {
        /// The carrier lists it, and we do not.
        #[sea_orm(string_value = "unknown")]
        Unknown,
        /// We hold it, and the carrier does not list it.
        #[sea_orm(string_value = "gone")]
        Gone,
        /// Its webhooks point elsewhere.
        #[sea_orm(string_value = "elsewhere")]
        Elsewhere,
    }

    /// A difference.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "number_differences")]
    pub struct Model {
        /// E.164.
        #[sea_orm(primary_key, auto_increment = false)]
        pub number: String,
        pub kind: Kind,
        /// The carrier's id of it.
        pub carrier_id: Option<String>,
        /// In words.
        pub detail: String,
        /// Milliseconds since 1970, by the database's clock: when it was first seen.
        pub found_ms: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `number_sweeps`: when the carrier's list was last held against ours.
pub mod sweeps {
    use sea_orm::entity::prelude::*;

    /// The last look at an account.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "number_sweeps")]
    pub struct Model {
        /// The carrier's account.
        #[sea_orm(primary_key, auto_increment = false)]
        pub account: String,
        /// Milliseconds since 1970, by the database's clock: when the whole list was last read; 0: never.
        pub at_ms: i64,
        /// When it was last tried.
        pub tried_ms: i64,
        /// Why the last attempt failed.
        pub error: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
