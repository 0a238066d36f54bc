//! Phone numbers of the organization: searched for, bought, assigned, given back, and held against the carrier's list.
//!
//! ```text
//!   search, papers ─► carrier                                     every hour, and when asked
//!   buy ─► row (store) ─► carrier ─► held                          carrier's list ◄─► rows ◄─► documents
//!            │             │ lost                                        │ differs
//!            └── looked up ◄┘   by exact number and tag                  ▼
//!   assign ─► carrier (webhooks) ─► document (`number`)              take over, repair
//! ```
//!
//! **A number is never bought twice** (NUM-06): it is a row before the carrier is asked, and an answer that was lost, or a server
//! that was killed, is made up for by looking for that very number under the name that the purchase gave it. **Whose a number
//! is, its deployment's document says** and nothing else; a number that no document names is in the pool.
//!
//! Rules are [`house::numbers`](crate::house::numbers)'s. [`carrier`] asks, [`desk`] is what is at hand, [`buying`] buys and gives back,
//! [`hooks`] says where calls go, [`pool`] assigns, [`papers`] looks up what purchases need, [`sweep`] compares, [`worker`] does
//! what nobody waits for.

mod buying;
mod carrier;
pub(in crate::serve) mod desk;
mod hooks;
mod papers;
mod pool;
mod search;
mod sweep;
pub(in crate::serve) mod worker;

use std::fmt;
use std::sync::Arc;

use crate::config::EditError;
use crate::house::Refusal;
use crate::house::numbers::market::{Country, Type};
use crate::link::twilio::rest::numbers::Kind;
use crate::store::{NumberOrigin, NumberRow, StoreError};

use super::Shared;
use carrier::{Carrier, Failed};

pub use buying::{Bought, Wanted};
pub use hooks::Urls;
pub use papers::{AddressItem, BundleItem, Papers};
pub use pool::{Change, Listed, Quota};
pub use search::{Found, Nothing, OfferItem, PriceItem};
pub use sweep::Differences;

/// Phone numbers, as the web side may change them. It has been asked before who may.
#[derive(Clone)]
pub struct Numbers(pub(super) Arc<Shared>);

/// Why something was not done with a number.
#[derive(Debug)]
pub enum NumberError {
    /// A rule or the carrier says no.
    Refused(Refusal),
    /// The store cannot be used.
    Store(StoreError),
    /// The document of this deployment cannot be changed.
    Edit(String, EditError),
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NumberError::Refused(refusal) => refusal.fmt(f),
            NumberError::Store(error) => error.fmt(f),
            NumberError::Edit(_, error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NumberError {}

impl From<Refusal> for NumberError {
    fn from(refusal: Refusal) -> Self {
        NumberError::Refused(refusal)
    }
}

impl From<StoreError> for NumberError {
    fn from(error: StoreError) -> Self {
        NumberError::Store(error)
    }
}

impl From<Failed> for NumberError {
    fn from(failed: Failed) -> Self {
        NumberError::Refused(failed.refusal)
    }
}

impl Numbers {
    /// The carrier as it is configured now.
    fn carrier(&self) -> Result<Carrier, Failed> {
        carrier_of(&self.0)
    }
}

fn carrier_of(shared: &Shared) -> Result<Carrier, Failed> {
    Carrier::new(shared.client.clone(), shared.config().server.twilio.clone())
}

/// A type of number as the carrier knows it.
fn kind(kind: Type) -> Kind {
    match kind {
        Type::Local => Kind::Local,
        Type::Mobile => Kind::Mobile,
        Type::TollFree => Kind::TollFree,
    }
}

/// The same the other way round.
fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Local => Type::Local,
        Kind::Mobile => Type::Mobile,
        Kind::TollFree => Type::TollFree,
    }
}

/// The country of a number, of those in which numbers are sold.
fn country_of(number: &str) -> Option<Country> {
    use crate::house::numbers::reach::{Where, place};
    match place(number) {
        Where::Country(code) => Country::of(code).ok(),
        _ => None,
    }
}

/// How a number came here, as the rules call it.
fn origin(origin: NumberOrigin) -> crate::house::numbers::Origin {
    match origin {
        NumberOrigin::Bought => crate::house::numbers::Origin::Bought,
        NumberOrigin::TakenOver => crate::house::numbers::Origin::TakenOver,
        NumberOrigin::ByHand => crate::house::numbers::Origin::ByHand,
    }
}

/// Whether the carrier of `[twilio]` has it, as far as we know.
fn is_carriers(row: &NumberRow) -> bool {
    row.origin != NumberOrigin::ByHand && row.carrier_id.is_some()
}
