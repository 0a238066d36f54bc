//! The pool, and whose numbers are (NUM-01, NUM-07 to NUM-10, NUM-14).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::config::{By, Channel, Config, DocId, Edit, Wanted as To};
use crate::house::Refusal;
use crate::house::locks::may_change;
use crate::house::numbers::reach::{Reach, Where, place};
use crate::house::numbers::{self as rules, Held};
use crate::house::zone::shown;
use crate::serve::{Shared, edit, locks};
use crate::store::{Entered, Locked, NewNumber, NumberChange, NumberOrigin, NumberRow, NumberState};

use super::buying::held_of;
use super::desk::Pool;
use super::hooks::{self, Urls};
use super::{NumberError, Numbers, country_of, is_carriers};

/// A number as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// What is kept of it; of one that only a document names, an id made of its digits.
    pub row: NumberRow,
    /// Only a deployment's document has it.
    pub in_document_only: bool,
    /// The deployment that has it.
    pub deployment: Option<String>,
    /// From when it may be given back.
    pub releasable: Option<Timestamp>,
    /// The same as people read it: in the organization's time zone, which is named.
    pub releasable_shown: Option<String>,
}

/// What the quota of numbers has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Numbers that count.
    pub used: u32,
    /// Numbers in the pool that no deployment has, whether they count or not.
    pub spare: u32,
}

/// What of a number is to be otherwise; `None` leaves what there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// What people call it; `Some(None)`: nothing.
    pub title: Option<Option<String>>,
    /// Countries from which calls are taken; `Some(None)`: as by default.
    pub calls_from: Option<Option<BTreeSet<String>>>,
    /// Countries to which calls may go; `Some(None)`: as by default.
    pub calls_to: Option<Option<BTreeSet<String>>>,
}

impl Numbers {
    /// All numbers, the newest first, and how many of them count for the quota.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn list(&self) -> Result<(Vec<Listed>, u32), NumberError> {
        let rows = self.0.store.numbers().await?;
        let config = self.0.config();
        let used = rows.iter().filter(|row| rules::counts(super::origin(row.origin))).count();
        let known: BTreeSet<&str> = rows.iter().map(|row| row.number.as_str()).collect();
        let named = config.deployments.values().filter_map(|deployment| deployment.number.as_deref());
        let named: BTreeSet<&str> = named.filter(|number| !known.contains(number)).collect();
        let named: Vec<Listed> = named.into_iter().map(|number| listed(&config, of_document(number), true)).collect();
        let all = rows.into_iter().map(|row| listed(&config, row, false)).chain(named);
        Ok((all.collect(), u32::try_from(used).unwrap_or(u32::MAX)))
    }

    /// How many numbers there are, and how many are to be had at once (DEP-07).
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn quota(&self) -> Result<Quota, NumberError> {
        let (all, used) = self.list().await?;
        let is_spare = |listed: &&Listed| {
            listed.row.state == NumberState::Held && listed.deployment.is_none() && !listed.in_document_only
        };
        Ok(Quota { used, spare: u32::try_from(all.iter().filter(is_spare).count()).unwrap_or(u32::MAX) })
    }

    /// One of them, also when it was not bought.
    ///
    /// # Errors
    /// The store cannot be read, or there is none.
    pub async fn one(&self, id: &str) -> Result<Listed, NumberError> {
        let config = self.0.config();
        if let Some(number) = number_of(id).filter(|number| config.deployment_for(number).is_some())
            && self.0.store.number_called(&number).await?.is_none()
        {
            return Ok(listed(&config, of_document(&number), true));
        }
        let row = self.0.store.number(id).await?.ok_or_else(rules::absent)?;
        Ok(listed(&config, row, false))
    }

    /// Where calls of our numbers are to go.
    ///
    /// # Errors
    /// `public_url` is not set.
    pub fn urls(&self) -> Result<Urls, NumberError> {
        Ok(hooks::urls(&self.0.config(), self.0.numbers.own.get().map(String::as_str))?)
    }

    /// Takes a number in that is entered by hand (NUM-14).
    ///
    /// # Errors
    /// A rule or the store says no.
    pub async fn enter(&self, number: &str, title: Option<String>) -> Result<Listed, NumberError> {
        let number = rules::entered(number)?;
        let country = match place(&number) {
            Where::Country(code) => Some(code.to_owned()),
            _ => None,
        };
        let plan = self.0.config().server.plan;
        let new = NewNumber { number, title, country, ..NewNumber::default() };
        match self.0.store.add_number(new, NumberOrigin::ByHand, &plan).await? {
            Entered::New(row) | Entered::Same(row) => {
                refresh(&self.0).await;
                Ok(listed(&self.0.config(), row, false))
            }
            Entered::No(refusal) => Err(refusal.into()),
        }
    }

    /// Changes what is kept of a number.
    ///
    /// # Errors
    /// A rule or the store says no.
    pub async fn change(&self, id: &str, change: Change) -> Result<Listed, NumberError> {
        let written =
            |chosen: Option<BTreeSet<String>>| chosen.map(|set| set.into_iter().collect::<Vec<_>>().join(","));
        let change = NumberChange {
            title: change.title,
            calls_from: change.calls_from.map(written),
            calls_to: change.calls_to.map(written),
            ..NumberChange::default()
        };
        let row = match change == NumberChange::default() {
            true => self.0.store.number(id).await?,
            false => self.0.store.change_number(id, &[NumberState::Held], change).await?,
        };
        let row = row.ok_or_else(rules::absent)?;
        refresh(&self.0).await;
        Ok(listed(&self.0.config(), row, false))
    }

    /// Takes a number off the list that was entered by hand.
    ///
    /// # Errors
    /// A rule or the store says no.
    pub async fn remove(&self, id: &str) -> Result<NumberRow, NumberError> {
        let _changing = self.0.numbers.changing.lock().await;
        let row = self.0.store.number(id).await?.ok_or_else(rules::absent)?;
        let config = self.0.config();
        let deployment = config.deployment_for(&row.number).map(|deployment| deployment.name.as_str());
        rules::may_remove(&Held { deployment, ..held_of(&row) })?;
        if !self.0.store.remove_number(id, &[NumberState::Held]).await? {
            return Err(rules::absent().into());
        }
        refresh(&self.0).await;
        Ok(row)
    }

    /// Gives a number in the pool to a phone deployment: its webhooks first, then the deployment's document. `who` does it.
    ///
    /// # Errors
    /// A rule, the carrier (then nothing is assigned), the document or the store says no.
    pub async fn assign(&self, id: &str, deployment: &str, who: &str, by: By) -> Result<Listed, NumberError> {
        let shared = &self.0;
        let _changing = shared.numbers.changing.lock().await;
        let row = shared.store.number(id).await?.filter(|row| row.state == NumberState::Held);
        let row = row.ok_or_else(rules::absent)?;
        let config = shared.config();
        let holder = config.deployment_for(&row.number).map(|holder| holder.name.as_str());
        let phone = config.deployments.get(deployment);
        let channel = match phone {
            Some(_) => Channel::Phone,
            None => config.chats.get(deployment).ok_or_else(rules::no_deployment)?.standing.channel,
        };
        rules::may_assign(holder, channel, phone.and_then(|phone| phone.number.as_deref()))?;
        unlocked(shared, deployment).await?;
        if is_carriers(&row) {
            let (carrier, urls) = (self.carrier()?, self.urls()?);
            hooks::set(&carrier, row.carrier_id.as_deref().unwrap_or_default(), Some(&urls)).await?;
        }
        if let Err(error) = name(shared, deployment, Some(&row.number), who, by).await {
            // Nothing is assigned: its calls go nowhere, as before.
            if is_carriers(&row)
                && let Ok(carrier) = self.carrier()
                && let Err(failed) = hooks::set(&carrier, row.carrier_id.as_deref().unwrap_or_default(), None).await
            {
                tracing::warn!(id = row.id, why = failed.brief, "a number leads here that is not assigned");
            }
            return Err(error);
        }
        follow(shared);
        shared.metrics.numbers.add("assigned", 1);
        self.settled(&row.number).await;
        Ok(listed(&shared.config(), row, false))
    }

    /// Takes a number from its deployment, back to the pool. Calls that run go on. With a warning when the carrier has not been reached:
    /// its calls hear then that it is not in service.
    ///
    /// # Errors
    /// A rule, the document or the store says no.
    pub async fn unassign(&self, id: &str, who: &str, by: By) -> Result<(Listed, Option<String>), NumberError> {
        let shared = &self.0;
        let _changing = shared.numbers.changing.lock().await;
        let row = shared.store.number(id).await?.filter(|row| row.state == NumberState::Held);
        let row = row.ok_or_else(rules::absent)?;
        let config = shared.config();
        if let Some(holder) = config.deployment_for(&row.number) {
            name(shared, &holder.name, None, who, by).await?;
            follow(shared);
            shared.metrics.numbers.add("unassigned", 1);
        }
        let warning = match is_carriers(&row) {
            true => self.clear(&row).await,
            false => None,
        };
        self.settled(&row.number).await;
        Ok((listed(&shared.config(), row, false), warning))
    }

    /// Has the carrier send a number's calls nowhere; what it says when it does not.
    async fn clear(&self, row: &NumberRow) -> Option<String> {
        let set = match self.carrier() {
            Ok(carrier) => hooks::set(&carrier, row.carrier_id.as_deref().unwrap_or_default(), None).await.map(drop),
            Err(failed) => Err(failed),
        };
        let failed = set.err()?;
        tracing::warn!(id = row.id, why = failed.brief, "a number's webhook could not be cleared");
        Some(failed.refusal.message)
    }

    async fn settled(&self, number: &str) {
        if let Err(error) = self.0.store.difference_settled(number).await {
            tracing::warn!(%error, "a difference that is settled is still shown");
        }
    }
}

/// Whether a deployment's document may be changed at all.
async fn unlocked(shared: &Arc<Shared>, deployment: &str) -> Result<(), Refusal> {
    may_change(&DocId::Deployment(deployment.into()), &*locks::now(shared).await)
}

/// Writes a deployment's number into its document.
pub(super) async fn name(
    shared: &Arc<Shared>,
    deployment: &str,
    number: Option<&str>,
    who: &str,
    by: By,
) -> Result<(), NumberError> {
    unlocked(shared, deployment).await?;
    let doc = DocId::Deployment(deployment.into());
    let upon = shared.source.written(&doc).map(|(_, revision)| revision);
    let change: Map<String, Value> = [("number".to_owned(), json!(number))].into_iter().collect();
    let edit = Edit { doc, upon, to: To::Patched(change) };
    let edited = edit::edit(shared, vec![edit], who, by, Locked::Refused, false).await;
    edited.map(drop).map_err(|error| NumberError::Edit(deployment.to_owned(), error))
}

/// Deployments and their numbers, as the documents are now.
pub(super) fn holders(config: &Config) -> BTreeMap<String, String> {
    let named = config
        .deployments
        .values()
        .filter_map(|deployment| Some((deployment.number.clone()?, deployment.name.clone())));
    named.collect()
}

/// What the documents say by now was done by us: nobody need act upon it.
fn follow(shared: &Shared) {
    let now = holders(&shared.config());
    *shared.numbers.holders.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
}

/// Acts upon what documents say by another way than ours: a deployment that is deleted gives its number to the pool (NUM-10), and
/// one that names a number of the pool has it.
pub(super) async fn catch_up(shared: &Arc<Shared>) {
    let now = holders(&shared.config());
    let before = shared.numbers.holders.lock().unwrap_or_else(PoisonError::into_inner).replace(now.clone());
    // What was so before this server began is compared by the sweep.
    let Some(before) = before.filter(|before| *before != now) else { return };
    let changed = before.keys().chain(now.keys()).filter(|number| before.get(*number) != now.get(*number));
    let changed: BTreeSet<&String> = changed.collect();
    for number in changed {
        let _changing = shared.numbers.changing.lock().await;
        let Ok(Some(row)) = shared.store.number_called(number).await else { continue };
        if row.state != NumberState::Held || !is_carriers(&row) {
            continue;
        }
        let numbers = Numbers(Arc::clone(shared));
        let sid = row.carrier_id.as_deref().unwrap_or_default();
        // Whoever changed it once more meanwhile is right.
        let assigned = shared.config().deployment_for(number).is_some();
        let set = async {
            let carrier = numbers.carrier()?;
            let urls = if assigned { Some(numbers.urls()?) } else { None };
            hooks::set(&carrier, sid, urls.as_ref()).await?;
            Ok::<_, NumberError>(())
        };
        match set.await {
            Ok(()) => {
                shared.metrics.numbers.add(if assigned { "assigned" } else { "unassigned" }, 1);
                numbers.settled(number).await;
            }
            Err(error) => {
                tracing::warn!(id = row.id, %error, "a number's webhook could not be set as its deployment wants it; the next look at the carrier's list shows it")
            }
        }
    }
}

/// Reads the pool again, for who takes calls.
pub(super) async fn refresh(shared: &Shared) {
    let Ok(rows) = shared.store.numbers().await else { return };
    let mut pool = Pool { reach: HashMap::new(), countries: BTreeSet::new() };
    let set = |text: Option<String>| text.map(|text| text.split(',').map(str::to_owned).collect::<BTreeSet<String>>());
    for row in rows {
        if let Where::Country(code) = place(&row.number) {
            pool.countries.insert(code.to_owned());
        }
        // One that another carrier may have, or a document alone, goes on as before.
        if row.origin != NumberOrigin::ByHand || row.calls_from.is_some() || row.calls_to.is_some() {
            let open = row.origin == NumberOrigin::ByHand;
            let from = set(row.calls_from).or_else(|| open.then(everywhere));
            let to = set(row.calls_to).or_else(|| open.then(everywhere));
            pool.reach.insert(row.number, Reach { from, to });
        }
    }
    shared.numbers.set_pool(pool);
}

fn everywhere() -> BTreeSet<String> {
    crate::house::numbers::reach::countries().map(str::to_owned).collect()
}

fn listed(config: &Config, row: NumberRow, in_document_only: bool) -> Listed {
    let deployment = config.deployment_for(&row.number).map(|deployment| deployment.name.clone());
    let releasable = rules::releasable(&held_of(&row));
    let zone = config.server.organization.zone();
    let releasable_shown = releasable.map(|from| shown(from, &zone));
    Listed { deployment, releasable, releasable_shown, in_document_only, row }
}

/// A number that only a document has, as if it had been entered by hand.
fn of_document(number: &str) -> NumberRow {
    NumberRow {
        id: format!("num_{}", number.trim_start_matches('+')),
        request: None,
        number: number.to_owned(),
        origin: NumberOrigin::ByHand,
        state: NumberState::Held,
        carrier_id: None,
        tag: None,
        country: country_of(number).map(|country| country.code().to_owned()),
        kind: None,
        title: None,
        address: None,
        bundle: None,
        price_micros: None,
        currency: None,
        calls_from: None,
        calls_to: None,
        created_ms: 0,
        bought_ms: None,
        asked_ms: None,
        error: None,
        owner: None,
    }
}

/// The number of such an id.
fn number_of(id: &str) -> Option<String> {
    let digits = id.strip_prefix("num_").filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    Some(format!("+{digits}"))
}
