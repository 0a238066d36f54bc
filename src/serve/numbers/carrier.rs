//! Asking the carrier about numbers. What matters is whether it was asked at all, and its words when it says no.

use std::collections::HashSet;
use std::time::Duration;

use crate::config::{CarrierProfile, Twilio};
use crate::house::Refusal;
use crate::house::numbers::{refused, unanswered};
use crate::link::twilio::manner::Manner;
use crate::link::twilio::rest::numbers::{
    self as asked, AddressOnFile, BundleOnFile, Digits, Hooks, Kind, Offer, Owned, Page, Price, Purchase, Regulation,
};
use crate::link::twilio::rest::{Host, RestError, RestErrorKind, RestRequest};
use crate::serve::lines::twilio::rest::{Answer, Rest};

/// How long a purchase may take: the carrier may have to ask others.
const PURCHASE: Duration = Duration::from_secs(30);
/// How long before the same is asked once more of a carrier that has too much to do.
const AGAIN: Duration = Duration::from_millis(700);
/// Pages of one list: ten thousand numbers, a hundred a page.
const MOST_PAGES: usize = 100;
/// Pages of papers.
const MOST_PAPERS: usize = 10;

/// The carrier's REST API as far as it is about numbers.
#[derive(Clone, Debug)]
pub(super) struct Carrier {
    rest: Rest,
    account: String,
}

/// Why the carrier does not do it, and whether it may have done so.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    /// For people.
    pub(super) refusal: Refusal,
    /// For logs: without the carrier's own words.
    pub(super) brief: String,
    /// Nobody knows whether it was carried out.
    pub(super) unknown: bool,
    /// There is no such thing at the carrier.
    pub(super) absent: bool,
}

impl Carrier {
    /// # Errors
    /// Account or token are not set.
    pub(super) fn new(client: reqwest::Client, twilio: Twilio) -> Result<Carrier, Failed> {
        let rest = Rest::new(client, twilio);
        let account = rest.account().map(str::to_owned);
        match account {
            Ok(account) => Ok(Carrier { rest, account }),
            Err(why) => Err(Failed::ours(refused("no_carrier", 409, why.clone()), why)),
        }
    }

    pub(super) fn account(&self) -> &str {
        &self.account
    }

    /// Whose it is.
    pub(super) fn profile(&self) -> CarrierProfile {
        self.rest.profile()
    }

    /// All types where the carrier has no list of them: the rules know what it sells.
    pub(super) async fn types(&self, country: &str) -> Result<Vec<Kind>, Failed> {
        if !self.manner().tells_of_countries {
            return Ok(Kind::ALL.to_vec());
        }
        self.ask(&asked::of_country(&self.account, country), asked::types).await
    }

    /// `None`: there is no such type in the country.
    pub(super) async fn offers(
        &self,
        country: &str,
        kind: Kind,
        digits: Option<Digits<'_>>,
        voice: bool,
    ) -> Result<Option<Vec<Offer>>, Failed> {
        let digits = match digits {
            // What it finds elsewhere in a number whoever asked leaves out.
            Some(Digits::Contains(digits)) if !self.manner().anchors_digits => {
                Some(Digits::Contains(digits.trim_start_matches('+')))
            }
            digits => digits,
        };
        let request = asked::search(&self.account, country, kind, digits, voice);
        match self.ask(&request, asked::offers).await {
            Ok(offers) => Ok(Some(offers)),
            Err(failed) if failed.absent => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    /// `None`: it does not say.
    pub(super) async fn price(&self, country: &str, kind: Kind) -> Result<Option<Price>, Failed> {
        if !self.manner().tells_of_countries {
            return Ok(None);
        }
        self.ask(&asked::ask_price(country), |status, body| asked::price(status, body, kind)).await
    }

    pub(super) async fn regulations(&self, country: &str, kind: Kind) -> Result<Vec<Regulation>, Failed> {
        if !self.manner().tells_of_countries {
            return Ok(Vec::new());
        }
        self.ask(&asked::ask_regulations(country, kind), asked::regulations).await
    }

    pub(super) async fn bundles(&self, country: &str, kind: Kind) -> Result<Vec<BundleOnFile>, Failed> {
        if !self.manner().tells_of_countries {
            return Ok(Vec::new());
        }
        self.pages(asked::ask_bundles(country, kind), asked::bundles, MOST_PAPERS).await
    }

    pub(super) async fn addresses(&self) -> Result<Vec<AddressOnFile>, Failed> {
        if !self.manner().tells_of_countries {
            return Ok(Vec::new());
        }
        self.pages(asked::ask_addresses(&self.account), asked::addresses, MOST_PAPERS).await
    }

    /// Buys it. Asked for once: what is not known afterwards is looked up, not asked again.
    pub(super) async fn buy(&self, purchase: &Purchase<'_>) -> Result<Owned, Failed> {
        let request = asked::buy(&self.account, purchase);
        let mut again = true;
        loop {
            let failed = match self.once(&request, asked::owned, PURCHASE).await {
                Ok(owned) => return Ok(owned),
                Err(failed) => failed,
            };
            // Too many at once is the one answer after which it was certainly not carried out and may be.
            if !(again && failed.refusal.status == 503 && !failed.unknown) {
                return Err(failed);
            }
            again = false;
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Sets where its calls go; to do so twice is to do so.
    pub(super) async fn set_hooks(&self, sid: &str, hooks: &Hooks) -> Result<Owned, Failed> {
        self.ask(&asked::set_hooks(&self.account, sid, hooks), asked::owned).await
    }

    /// `None`: it is not the account's any more.
    pub(super) async fn fetch(&self, sid: &str) -> Result<Option<Owned>, Failed> {
        match self.ask(&asked::fetch(&self.account, sid), asked::owned).await {
            Ok(owned) => Ok(Some(owned)),
            Err(failed) if failed.absent => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    /// Gives it back; to do so twice is to do so.
    pub(super) async fn release(&self, sid: &str) -> Result<(), Failed> {
        self.once(&asked::release(&self.account, sid), asked::released, PURCHASE).await
    }

    /// The number if the account has it.
    pub(super) async fn find(&self, number: &str) -> Result<Option<Owned>, Failed> {
        let like = self.pages(asked::list(&self.account, Some(number)), asked::page_of_owned, MOST_PAGES).await?;
        // The filter is no promise: `*` and parts match too.
        Ok(like.into_iter().find(|owned| owned.number == number))
    }

    /// All numbers of the account, each once.
    pub(super) async fn all(&self) -> Result<Vec<Owned>, Failed> {
        let mut all = self.pages(asked::list(&self.account, None), asked::page_of_owned, MOST_PAGES).await?;
        let mut seen = HashSet::new();
        // Rows move between pages while others buy.
        all.retain(|owned| seen.insert(owned.sid.clone()));
        Ok(all)
    }

    fn manner(&self) -> &'static Manner {
        self.rest.manner()
    }

    async fn pages<T>(
        &self,
        first: RestRequest,
        read: impl Fn(u16, &[u8]) -> Result<Page<T>, RestError>,
        most: usize,
    ) -> Result<Vec<T>, Failed> {
        let host = first.host;
        let (mut request, mut all) = (first, Vec::new());
        for _ in 0..most {
            let page = self.ask(&request, &read).await?;
            all.extend(page.items);
            let Some(next) = page.next else { return Ok(all) };
            let strange = || format!("the carrier's list of {} goes on somewhere else", what(host));
            request = asked::next(host, &self.account, &next)
                .ok_or_else(|| Failed::ours(refused("carrier_failed", 502, strange()), strange()))?;
        }
        // Half a list is none: what is not in it would seem to be gone.
        let long = format!("the carrier's list of {} has more than {most} pages", what(host));
        Err(Failed::ours(refused("carrier_failed", 502, long.clone()), long))
    }

    /// Asks what may be asked twice, and once more if that can help.
    async fn ask<T>(
        &self,
        request: &RestRequest,
        read: impl Fn(u16, &[u8]) -> Result<T, RestError>,
    ) -> Result<T, Failed> {
        match self.once(request, &read, self.rest.limit()).await {
            Err(failed)
                if matches!(failed.refusal.status, 502 | 503) && failed.refusal.code != "carrier_credentials" =>
            {
                tokio::time::sleep(AGAIN).await;
                self.once(request, &read, self.rest.limit()).await
            }
            done => done,
        }
    }

    async fn once<T>(
        &self,
        request: &RestRequest,
        read: impl Fn(u16, &[u8]) -> Result<T, RestError>,
        limit: Duration,
    ) -> Result<T, Failed> {
        match self.rest.send_within(request, limit).await {
            Answer::Here(status, body) => read(status, &body).map_err(|error| Failed::said(error, self.manner())),
            Answer::Unsent(why) => Err(Failed::ours(refused("carrier_unreachable", 503, why.clone()), why)),
            Answer::Lost(why) => Err(Failed { refusal: unanswered(), brief: why, unknown: true, absent: false }),
        }
    }
}

fn what(host: Host) -> &'static str {
    if host == Host::Numbers { "papers" } else { "numbers" }
}

impl Failed {
    fn ours(refusal: Refusal, brief: String) -> Failed {
        Failed { refusal, brief, unknown: false, absent: false }
    }

    /// What the carrier said.
    fn said(error: RestError, manner: &Manner) -> Failed {
        let brief = error.brief();
        let words = error.to_string();
        let absent = error.status == 404 || error.code == Some(20_404);
        let (refusal, unknown) = match error.kind {
            RestErrorKind::Credentials => (refused("carrier_credentials", 502, words), false),
            RestErrorKind::Busy => (refused("carrier_busy", 503, words), false),
            // It may have failed after it was done.
            RestErrorKind::Carrier => (Refusal { message: unanswered().message, ..unanswered() }, true),
            RestErrorKind::Refused => {
                let (code, status) = class(error.code, manner);
                (refused(code, status, words), false)
            }
        };
        Failed { refusal, brief, unknown, absent }
    }
}

/// What a code of the carrier's means to people: a stable code of ours, and a status.
fn class(code: Option<u32>, manner: &Manner) -> (&'static str, u16) {
    match code {
        Some(code) if manner.too_early == Some(code) => ("too_early", 409),
        Some(code) if manner.no_money == Some(code) => ("account_limit", 409),
        Some(21_421) => ("number_form", 422),
        Some(21_422) => ("number_gone", 409),
        Some(21_613 | 21_615 | 21_628..=21_631 | 21_649..=21_651 | 21_238) => ("papers_refused", 409),
        Some(21_404 | 10_002) => ("account_limit", 409),
        Some(10_001 | 20_003) => ("carrier_credentials", 502),
        _ => ("carrier_refused", 409),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, code: Option<u32>, kind: RestErrorKind) -> Failed {
        said_by(CarrierProfile::Twilio, status, code, kind)
    }

    fn said_by(profile: CarrierProfile, status: u16, code: Option<u32>, kind: RestErrorKind) -> Failed {
        let error = RestError { kind, status, code, message: "+4930555010 is not available.".to_owned() };
        Failed::said(error, crate::link::twilio::manner::of(profile))
    }

    #[test]
    fn what_a_carrier_says_in_codes_of_its_own_is_understood_of_that_one() {
        for (code, wanted) in [(22_121, "too_early"), (4_001, "account_limit"), (21_401, "carrier_refused")] {
            let of = |profile| said_by(profile, 400, Some(code), RestErrorKind::Refused).refusal.code;
            assert_eq!((of(CarrierProfile::SignalWire), of(CarrierProfile::Twilio)), (wanted, "carrier_refused"));
        }
    }

    #[test]
    fn num_07_a_refusal_has_a_stable_code_and_the_carriers_words() {
        for (code, wanted, status) in [
            (21_422, "number_gone", 409),
            (21_649, "papers_refused", 409),
            (21_631, "papers_refused", 409),
            (21_613, "papers_refused", 409),
            (21_404, "account_limit", 409),
            (21_402, "carrier_refused", 409),
            (99_999, "carrier_refused", 409),
        ] {
            let failed = said(400, Some(code), RestErrorKind::Refused);
            assert_eq!((failed.refusal.code, failed.refusal.status, failed.unknown), (wanted, status, false));
            assert!(failed.refusal.message.contains("is not available.") && !failed.brief.contains("+4930"));
        }
    }

    #[test]
    fn num_06_only_what_may_have_been_done_is_unknown() {
        assert!(said(503, None, RestErrorKind::Carrier).unknown);
        assert!(!said(429, Some(20_429), RestErrorKind::Busy).unknown);
        assert!(!said(401, Some(20_003), RestErrorKind::Credentials).unknown);
        assert_eq!(said(401, Some(20_003), RestErrorKind::Credentials).refusal.code, "carrier_credentials");
    }
}
