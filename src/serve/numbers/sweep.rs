//! The carrier's list held against ours (NUM-13): what differs is shown, and settled by who says so.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::By;
use crate::house::numbers as rules;
use crate::link::twilio::rest::numbers::Owned;
use crate::serve::Shared;
use crate::store::{
    Difference, DifferenceKind, Entered, Found, NewNumber, NumberOrigin, NumberRow, NumberState, Sweep,
};

use super::carrier::Carrier;
use super::hooks;
use super::pool::{name, refresh};
use super::{NumberError, Numbers, carrier_of, country_of, is_carriers, type_of};

/// A number that was bought a moment ago may not be in the list yet.
const FRESH_MS: i64 = 5 * 60_000;
/// How long a purchase that came to nothing is remembered: the list is read twice in between.
const FORGOTTEN: Duration = Duration::from_secs(3 * 3_600);

/// Where the carrier's list and ours differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Differences {
    /// All of them.
    pub items: Vec<Difference>,
    /// When that was found out.
    pub sweep: Sweep,
}

impl Numbers {
    /// What the last look has found.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn differences(&self) -> Result<Differences, NumberError> {
        let twilio = self.0.config().server.twilio.account_sid.clone().unwrap_or_default();
        let (items, sweep) = self.0.store.differences(&twilio).await?;
        Ok(Differences { items, sweep })
    }

    /// Looks now.
    ///
    /// # Errors
    /// The carrier does not say, or the store cannot be used. What was known stays.
    pub async fn sweep(&self) -> Result<Differences, NumberError> {
        run(&self.0).await?;
        self.differences().await
    }

    /// Takes a number over that the carrier lists and we do not. It is the organization's from now on, and counts.
    ///
    /// # Errors
    /// A rule, the carrier or the store says no.
    pub async fn take_over(&self, number: &str, title: Option<String>) -> Result<NumberRow, NumberError> {
        let carrier = self.carrier()?;
        let owned = carrier.find(number).await?.ok_or_else(rules::absent)?;
        let plan = self.0.config().server.plan;
        let new = NewNumber {
            title,
            kind: owned.kind.map(|kind| type_of(kind).name().to_owned()),
            country: country_of(&owned.number).map(|country| country.code().to_owned()),
            carrier_id: Some(owned.sid.clone()),
            bought_ms: owned.created_s.map(|s| s as i64 * 1_000),
            number: owned.number.clone(),
            ..NewNumber::default()
        };
        let row = match self.0.store.add_number(new, NumberOrigin::TakenOver, &plan).await? {
            Entered::New(row) | Entered::Same(row) => row,
            Entered::No(refusal) => return Err(refusal.into()),
        };
        self.0.metrics.numbers.add("taken_over", 1);
        // A document may have it already: then its calls come here.
        if self.0.config().deployment_for(&row.number).is_some() {
            let urls = self.urls()?;
            hooks::set(&carrier, &owned.sid, Some(&urls)).await?;
        }
        self.0.store.difference_settled(&row.number).await?;
        refresh(&self.0).await;
        Ok(row)
    }

    /// Sets right what differs: webhooks are set as they should be, and what is gone is taken off, from its deployment too.
    ///
    /// # Errors
    /// A rule, the carrier, the document or the store says no.
    pub async fn repair(&self, number: &str, who: &str, by: By) -> Result<(), NumberError> {
        let shared = &self.0;
        let _changing = shared.numbers.changing.lock().await;
        let differences = self.differences().await?;
        let found = differences.items.into_iter().find(|found| found.number == number);
        let found = found.ok_or_else(rules::no_difference)?;
        let row = shared.store.number_called(number).await?.filter(|row| row.state == NumberState::Held);
        let holder = shared.config().deployment_for(number).map(|holder| holder.name.clone());
        match found.kind {
            DifferenceKind::Unknown => return Err(rules::take_over_instead().into()),
            DifferenceKind::Elsewhere => {
                let row = row.ok_or_else(rules::absent)?;
                let carrier = self.carrier()?;
                let urls = if holder.is_some() { Some(self.urls()?) } else { None };
                hooks::set(&carrier, row.carrier_id.as_deref().unwrap_or_default(), urls.as_ref()).await?;
            }
            DifferenceKind::Gone => {
                if let Some(row) = row {
                    if still_there(&self.carrier()?, &row).await? {
                        return Err(rules::no_difference().into());
                    }
                    if let Some(holder) = &holder {
                        name(shared, holder, None, who, by).await?;
                    }
                    shared.store.remove_number(&row.id, &[NumberState::Held]).await?;
                }
                refresh(shared).await;
            }
        }
        shared.metrics.numbers.add("repaired", 1);
        shared.store.difference_settled(number).await?;
        Ok(())
    }
}

/// Reads the whole list and keeps what differs.
pub(super) async fn run(shared: &Arc<Shared>) -> Result<(), NumberError> {
    let _sweeping = shared.numbers.sweeping.lock().await;
    let carrier = carrier_of(shared)?;
    let listed = match carrier.all().await {
        Ok(listed) => listed,
        Err(failed) => {
            // Nothing is gone because the carrier does not let us look.
            shared.metrics.numbers.add("sweep_failed", 1);
            shared.store.sweep_failed(carrier.account(), &failed.refusal.message).await?;
            return Err(failed.into());
        }
    };
    let found = compare(shared, &carrier, listed).await?;
    shared.metrics.numbers.add("swept", 1);
    shared.metrics.number_differences.set(found.len() as u64);
    shared.store.set_differences(carrier.account(), found).await?;
    shared.store.forget_failed_numbers(FORGOTTEN).await?;
    refresh(shared).await;
    Ok(())
}

async fn compare(shared: &Arc<Shared>, carrier: &Carrier, listed: Vec<Owned>) -> Result<Vec<Found>, NumberError> {
    let mut found = Vec::new();
    let rows = shared.store.numbers().await?;
    let rows: HashMap<&str, &NumberRow> = rows.iter().map(|row| (row.number.as_str(), row)).collect();
    let config = shared.config();
    let urls = hooks::urls(&config, shared.numbers.own.get().map(String::as_str)).ok();
    let mut there = HashSet::new();
    for owned in &listed {
        there.insert(owned.number.as_str());
        let difference = |kind, detail: String| Found {
            number: owned.number.clone(),
            kind,
            carrier_id: Some(owned.sid.clone()),
            detail,
        };
        let holder = config.deployment_for(&owned.number).map(|holder| holder.name.as_str());
        match rows.get(owned.number.as_str()) {
            // Being bought or given back: whoever is at it says what it comes to.
            Some(row) if row.state != NumberState::Held => {}
            Some(row) if row.origin == NumberOrigin::ByHand => {}
            Some(_) => {
                let detail = hooks::differs(owned, urls.as_ref(), holder.is_some());
                found.extend(detail.map(|detail| difference(DifferenceKind::Elsewhere, detail)));
            }
            None if late(shared, owned).await? => {}
            None => {
                let detail = match holder {
                    Some(name) => format!("the carrier lists it, and only the document of {name} has it here"),
                    None => "the carrier lists it, and it is not in the list here".to_owned(),
                };
                found.push(difference(DifferenceKind::Unknown, detail));
            }
        }
    }
    let now_ms = Timestamp::now().as_millisecond();
    for row in rows.values() {
        let old = now_ms - row.created_ms > FRESH_MS || row.origin == NumberOrigin::TakenOver;
        let held = row.state == NumberState::Held && is_carriers(row) && old;
        // Not on a page is not gone: rows move while others buy.
        if held && !there.contains(row.number.as_str()) && !still_there(carrier, row).await? {
            found.push(Found {
                number: row.number.clone(),
                kind: DifferenceKind::Gone,
                carrier_id: row.carrier_id.clone(),
                detail: "the carrier has it no more".to_owned(),
            });
        }
    }
    Ok(found)
}

async fn still_there(carrier: &Carrier, row: &NumberRow) -> Result<bool, NumberError> {
    match &row.carrier_id {
        Some(sid) => Ok(carrier.fetch(sid).await?.is_some()),
        None => Ok(false),
    }
}

/// A purchase that seemed to have come to nothing, and was carried out after all.
async fn late(shared: &Arc<Shared>, owned: &Owned) -> Result<bool, NumberError> {
    let row = shared.store.number_called(&owned.number).await?;
    let row = row.filter(|row| row.state == NumberState::Failed && row.tag.as_ref() == Some(&owned.tag));
    let Some(row) = row else { return Ok(false) };
    tracing::info!(id = row.id, "a phone number was bought after all");
    shared.metrics.numbers.add("bought", 1);
    Ok(super::buying::hold(shared, &row.id, owned).await?.is_some())
}
