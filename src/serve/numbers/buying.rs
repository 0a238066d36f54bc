//! Buying a number, once, and giving it back (NUM-05, NUM-06, NUM-11).

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ring::digest;

use crate::base::hex::hex;
use crate::house::Refusal;
use crate::house::numbers::market::{self, Search};
use crate::house::numbers::{self as rules, Held};
use crate::link::twilio::rest::numbers::{Digits, Offer, Owned, Purchase};
use crate::serve::Shared;
use crate::store::{Entered, NewNumber, NumberChange, NumberRow, NumberState};

use super::carrier::{Carrier, Failed};
use super::desk::Busy;
use super::{NumberError, Numbers, carrier_of, kind, origin};

/// Pauses before each look for a number whose purchase was not confirmed: the carrier may need a moment to list it.
const LOOKS: [Duration; 4] =
    [Duration::from_millis(300), Duration::from_secs(2), Duration::from_secs(8), Duration::from_secs(20)];
/// The pause before the carrier is asked again that did not answer.
const LATER: Duration = Duration::from_secs(15);
/// How long whoever buys waits; it goes on without them.
const PATIENCE: Duration = Duration::from_secs(8);

/// A number that somebody wants to buy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Country and type, as they were searched for.
    pub search: Search,
    /// E.164.
    pub number: String,
    /// What people are to call it.
    pub title: Option<String>,
    /// The carrier's id of a bundle on file.
    pub bundle: Option<String>,
    /// The carrier's id of an address on file.
    pub address: Option<String>,
    /// The most that it may cost a month, in millionths of the currency that the search named.
    pub most_micros: Option<u64>,
    /// The request's idempotency key, with whose it is.
    pub key: String,
}

/// What came of a purchase.
#[derive(Clone, Debug, PartialEq)]
pub enum Bought {
    /// It is ours.
    Held(NumberRow),
    /// The carrier takes its time; the row says what comes of it.
    Buying(NumberRow),
}

impl Numbers {
    /// Buys a number. The same request again finds what the first has come to.
    ///
    /// # Errors
    /// A rule, the carrier or the store says no. `carrier_silent`: nobody knows yet; it is looked up from now on.
    pub async fn buy(&self, wanted: Wanted) -> Result<Bought, NumberError> {
        let shared = Arc::clone(&self.0);
        // Whoever asked may hang up: it is brought to its end all the same.
        let buying = tokio::spawn(async move { Numbers(shared).purchase(wanted).await });
        match tokio::time::timeout(PATIENCE, buying).await {
            Ok(done) => done.unwrap_or_else(|_| Err(rules::unanswered().into())),
            Err(_) => Err(rules::unanswered().into()),
        }
    }

    async fn purchase(&self, wanted: Wanted) -> Result<Bought, NumberError> {
        let shared = &self.0;
        let request = request(&wanted);
        if let Some(row) = shared.store.number_of_request(&request).await? {
            return again(row, &wanted);
        }
        let (carrier, urls) = (self.carrier()?, self.urls()?);
        market::sold(carrier.profile(), wanted.search.country, wanted.search.kind)?;
        // What is full is told before what is missing.
        let plan = shared.config().server.plan;
        rules::may_buy(shared.store.numbers_used().await?, &plan)?;
        let offer = self.offer(&carrier, &wanted).await?;
        let what = (wanted.search.country, wanted.search.kind);
        let papers = (wanted.bundle.as_deref(), wanted.address.as_deref());
        self.suffice(&carrier, what, &offer, papers).await?;
        let price = self.price(&carrier, what.0, what.1).await;
        if let (Some(most), Some(price)) = (wanted.most_micros, &price)
            && price.micros > most
        {
            return Err(rules::dearer().into());
        }
        let new = NewNumber {
            request: Some(request),
            number: wanted.number.clone(),
            country: Some(what.0.code().to_owned()),
            kind: Some(what.1.name().to_owned()),
            title: wanted.title.clone(),
            address: wanted.address.clone(),
            bundle: wanted.bundle.clone(),
            price_micros: price.as_ref().map(|price| price.micros as i64),
            currency: price.map(|price| price.currency),
            ..NewNumber::default()
        };
        let row = match shared.store.reserve_number(new, &plan).await? {
            Entered::New(row) => row,
            Entered::Same(row) => return again(row, &wanted),
            Entered::No(refusal) => return Err(refusal.into()),
        };
        let Some(busy) = shared.numbers.begin(&row.id) else { return Ok(Bought::Buying(row)) };
        self.ask(&carrier, row, &urls.hooks(), busy).await
    }

    /// The number as it is for sale at this moment.
    async fn offer(&self, carrier: &Carrier, wanted: &Wanted) -> Result<Offer, NumberError> {
        let (country, of) = (wanted.search.country, wanted.search.kind);
        if !wanted.number.starts_with(country.prefix()) {
            return Err(rules::elsewhere(country).into());
        }
        let digits = Some(Digits::Contains(&wanted.number));
        let offers = carrier.offers(country.code(), kind(of), digits, true).await?.unwrap_or_default();
        let found = offers.into_iter().find(|offer| offer.number == wanted.number && offer.voice);
        found.ok_or_else(|| rules::gone().into())
    }

    /// Asks the carrier for a number that is written down.
    async fn ask(
        &self,
        carrier: &Carrier,
        row: NumberRow,
        hooks: &crate::link::twilio::rest::numbers::Hooks,
        busy: Busy,
    ) -> Result<Bought, NumberError> {
        let shared = &self.0;
        // One that the account has already would be changed by the purchase, under whoever has it.
        match carrier.find(&row.number).await {
            Ok(None) => {}
            Ok(Some(_)) => {
                shared.store.remove_number(&row.id, &[NumberState::Buying]).await?;
                return Err(rules::in_account().into());
            }
            Err(failed) => {
                shared.store.remove_number(&row.id, &[NumberState::Buying]).await?;
                return Err(failed.into());
            }
        }
        let purchase = Purchase {
            number: &row.number,
            tag: row.tag.as_deref().unwrap_or_default(),
            hooks,
            address: row.address.as_deref(),
            bundle: row.bundle.as_deref(),
        };
        match carrier.buy(&purchase).await {
            Ok(owned) => {
                shared.metrics.numbers.add("bought", 1);
                tracing::info!(id = row.id, "a phone number was bought");
                let held = hold(shared, &row.id, &owned).await?;
                drop(busy);
                Ok(held.map_or(Bought::Buying(row), Bought::Held))
            }
            Err(failed) if failed.unknown => {
                shared.metrics.numbers.add("unknown", 1);
                tracing::warn!(
                    id = row.id,
                    why = failed.brief,
                    "it is not known whether a phone number was bought; it is looked for"
                );
                // Whoever drops it wakes up who looks.
                drop(busy);
                Err(rules::unanswered().into())
            }
            Err(failed) => {
                shared.metrics.numbers.add("refused", 1);
                tracing::warn!(id = row.id, why = failed.brief, "the carrier sells no phone number");
                fail(shared, &row.id, &failed).await?;
                Err(failed.into())
            }
        }
    }

    /// Gives a number back to its carrier.
    ///
    /// # Errors
    /// A rule, the carrier or the store says no. `carrier_silent`: nobody knows yet; it is asked again.
    pub async fn release(&self, id: &str) -> Result<(), NumberError> {
        let shared = Arc::clone(&self.0);
        let id = id.to_owned();
        let releasing = tokio::spawn(async move { Numbers(shared).give_back(&id).await });
        match tokio::time::timeout(PATIENCE, releasing).await {
            Ok(done) => done.unwrap_or_else(|_| Err(rules::unreleased().into())),
            Err(_) => Err(rules::unreleased().into()),
        }
    }

    async fn give_back(&self, id: &str) -> Result<(), NumberError> {
        let shared = &self.0;
        let _changing = shared.numbers.changing.lock().await;
        let row = shared.store.number(id).await?.filter(|row| row.state == NumberState::Held);
        let row = row.ok_or_else(rules::absent)?;
        let config = shared.config();
        let holder = config.deployment_for(&row.number).map(|deployment| deployment.name.as_str());
        let calls = shared.store.calls_on(&row.number).await?;
        let held = Held { deployment: holder, calls, ..held_of(&row) };
        rules::may_release(&held, Timestamp::now(), &config.server.organization.zone())?;
        let carrier = self.carrier()?;
        let change = NumberChange { state: Some(NumberState::Releasing), ..NumberChange::default() };
        let row = shared.store.change_number(id, &[NumberState::Held], change).await?.ok_or_else(rules::absent)?;
        let Some(_busy) = shared.numbers.begin(id) else { return Err(rules::unreleased().into()) };
        match released(shared, &carrier, &row).await {
            Ok(()) => Ok(()),
            Err(NumberError::Refused(refusal)) if refusal.code == rules::unanswered().code => {
                Err(rules::unreleased().into())
            }
            Err(error) => Err(error),
        }
    }
}

/// A row as the rules see it, without what only the documents and calls know.
pub(super) fn held_of(row: &NumberRow) -> Held<'_> {
    let bought = row.bought_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    Held { origin: origin(row.origin), bought, deployment: None, calls: 0 }
}

/// What a request is, whoever repeats it.
fn request(wanted: &Wanted) -> String {
    hex(digest::digest(&digest::SHA256, wanted.key.as_bytes()).as_ref())
}

/// The same request was here before.
fn again(row: NumberRow, wanted: &Wanted) -> Result<Bought, NumberError> {
    if row.number != wanted.number {
        return Err(rules::key_reused().into());
    }
    Ok(match row.state {
        NumberState::Held | NumberState::Releasing => Bought::Held(row),
        NumberState::Buying | NumberState::Failed => Bought::Buying(row),
    })
}

/// It was bought: it is ours from now on. `None`: it was noted before.
pub(super) async fn hold(shared: &Shared, id: &str, owned: &Owned) -> Result<Option<NumberRow>, NumberError> {
    let now_ms = Timestamp::now().as_millisecond();
    let change = NumberChange {
        state: Some(NumberState::Held),
        carrier_id: Some(owned.sid.clone()),
        bought_ms: Some(owned.created_s.map_or(now_ms, |s| s as i64 * 1_000)),
        error: Some(None),
        ..NumberChange::default()
    };
    let from = [NumberState::Buying, NumberState::Failed];
    let held = shared.store.change_number(id, &from, change).await?;
    shared.numbers.more.notify_one();
    Ok(held)
}

async fn fail(shared: &Shared, id: &str, failed: &Failed) -> Result<(), NumberError> {
    let change = NumberChange {
        state: Some(NumberState::Failed),
        error: Some(Some(failed.refusal.message.clone())),
        ..NumberChange::default()
    };
    shared.store.change_number(id, &[NumberState::Buying], change).await?;
    Ok(())
}

/// Has the carrier take back what is to be released, and notes what came of it.
async fn released(shared: &Shared, carrier: &Carrier, row: &NumberRow) -> Result<(), NumberError> {
    let Some(sid) = &row.carrier_id else { return Err(rules::absent().into()) };
    match carrier.release(sid).await {
        Ok(()) => {
            shared.metrics.numbers.add("released", 1);
            tracing::info!(id = row.id, "a phone number was given back");
            shared.store.remove_number(&row.id, &[NumberState::Releasing]).await?;
            Ok(())
        }
        Err(failed) if failed.unknown => {
            tracing::warn!(
                id = row.id,
                why = failed.brief,
                "it is not known whether a phone number was given back; it is tried again"
            );
            Err(failed.into())
        }
        Err(failed) => {
            tracing::warn!(id = row.id, why = failed.brief, "the carrier takes a phone number not back");
            let change = NumberChange { state: Some(NumberState::Held), ..NumberChange::default() };
            shared.store.change_number(&row.id, &[NumberState::Releasing], change).await?;
            Err(failed.into())
        }
    }
}

/// Looks up what a purchase or a release has come to that nobody is at any more, until it is known.
pub(super) async fn settle(shared: &Arc<Shared>, row: NumberRow, _busy: Busy) {
    let outcome = match row.state {
        NumberState::Buying => look(shared, &row).await,
        NumberState::Releasing => give_back_again(shared, &row).await,
        NumberState::Held | NumberState::Failed => Ok(()),
    };
    match outcome {
        Ok(()) => shared.metrics.numbers.add("settled", 1),
        Err(error) => {
            tracing::error!(id = row.id, %error, "what a phone number has come to cannot be noted; it is looked up again")
        }
    }
}

/// Whether it was bought: by that very number, under the name that its purchase gave it.
async fn look(shared: &Arc<Shared>, row: &NumberRow) -> Result<(), NumberError> {
    for pause in LOOKS {
        tokio::time::sleep(pause).await;
        let found = loop {
            let found = match carrier_of(shared) {
                Ok(carrier) => carrier.find(&row.number).await,
                Err(failed) => Err(failed),
            };
            match found {
                Ok(found) => break found,
                Err(failed) => {
                    tracing::warn!(
                        id = row.id,
                        why = failed.brief,
                        "the carrier does not say whether a phone number was bought"
                    );
                    tokio::time::sleep(LATER).await;
                }
            }
        };
        match found {
            Some(owned) if Some(&owned.tag) == row.tag.as_ref() => {
                tracing::info!(id = row.id, "a phone number was bought after all");
                shared.metrics.numbers.add("bought", 1);
                return hold(shared, &row.id, &owned).await.map(drop);
            }
            Some(_) => return not_bought(shared, row, rules::in_account()).await,
            None => {}
        }
    }
    not_bought(shared, row, rules::not_bought()).await
}

async fn not_bought(shared: &Shared, row: &NumberRow, why: Refusal) -> Result<(), NumberError> {
    tracing::warn!(id = row.id, code = why.code, "a phone number was not bought");
    let change =
        NumberChange { state: Some(NumberState::Failed), error: Some(Some(why.message)), ..NumberChange::default() };
    shared.store.change_number(&row.id, &[NumberState::Buying], change).await?;
    Ok(())
}

/// To give back what is gone is to give it back: it is asked until the carrier has said something.
async fn give_back_again(shared: &Arc<Shared>, row: &NumberRow) -> Result<(), NumberError> {
    loop {
        let done = match carrier_of(shared) {
            Ok(carrier) => released(shared, &carrier, row).await,
            Err(failed) => Err(failed.into()),
        };
        match done {
            Ok(()) => return Ok(()),
            // It said no, and the number is ours again.
            Err(NumberError::Refused(refusal)) if refusal.status != 502 && refusal.status != 503 => return Ok(()),
            Err(NumberError::Refused(_)) => tokio::time::sleep(LATER).await,
            Err(error) => return Err(error),
        }
    }
}
