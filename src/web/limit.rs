//! How often one may ask: a bucket for each credential and class of requests, counted in items (RATE-01 to RATE-03).
//!
//! A bucket holds a second's worth and fills steadily (the generic cell rate algorithm). A bulk that is larger than the bucket
//! is taken when the bucket is full, and leaves a debt: nothing more is taken until that is paid. Libraries of this kind
//! refuse such a bulk for good.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::problem::Problem;
use crate::house::routes::Class;

/// Credentials whose buckets are kept; of more, those that are full are forgotten, which changes nothing for them.
const MOST: usize = 10_000;

/// What is asked of all buckets.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// When each bucket is full again, by credential and class.
    full_at: Mutex<HashMap<(String, Class), Instant>>,
}

/// Items in a second, and how many of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    /// The class's name.
    pub(crate) name: &'static str,
    pub(crate) per_second: u32,
    pub(crate) at_once: u32,
}

/// The quota of a class.
pub(crate) fn quota(class: Class) -> Quota {
    let quota = |name, per_second, at_once| Quota { name, per_second, at_once };
    match class {
        Class::Listing => quota("listing", 50, 50),
        Class::Placing => quota("placing", 100, 100),
        Class::Agents => quota("agents", 10, 10),
        // Wrong passwords are bounded by account and address elsewhere; a household, or an office, logs in from one address.
        Class::LogIn => quota("login", 10, 20),
        // A program whose key has ended, and an office with a few of those, hears for a while that it has.
        Class::Guesses => quota("guesses", 5, 50),
        Class::Other => quota("default", 50, 50),
    }
}

/// How it stands with a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) quota: Quota,
    /// Items that may still be taken at once.
    pub(crate) left: u32,
    /// Until the bucket is full again.
    pub(crate) full_in: Duration,
    /// `Some`: nothing was taken, and this long it is of no use to ask again.
    pub(crate) wait: Option<Duration>,
}

impl Limits {
    /// Takes `items` from a bucket at `now`, or tells how long to wait.
    pub(crate) fn take(&self, credential: &str, class: Class, items: u32, now: Instant) -> Taken {
        let quota = quota(class);
        let mut buckets = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST {
            buckets.retain(|_, full_at| *full_at > now);
        }
        let key = (credential.to_owned(), class);
        // Who finds no room among ten thousand that are busy shares one bucket with the like.
        let key = if buckets.len() < MOST || buckets.contains_key(&key) { key } else { (String::new(), class) };
        let full_at = buckets.get(&key).copied().unwrap_or(now).max(now);
        let each = Duration::from_secs(1) / quota.per_second;
        let deep = each * quota.at_once;
        let missing = full_at - now;
        // What must be there: all of the items, or a full bucket.
        let wanted = each * items.min(quota.at_once);
        let lacks = (missing + wanted).saturating_sub(deep);
        if !lacks.is_zero() {
            return Taken { quota, left: left(deep, missing, each), full_in: missing, wait: Some(lacks) };
        }
        let missing = missing + each * items;
        buckets.insert(key, now + missing);
        Taken { quota, left: left(deep, missing, each), full_in: missing, wait: None }
    }
}

impl Limits {
    /// Gives items back that were taken and not used.
    pub(crate) fn give_back(&self, credential: &str, class: Class, items: u32, now: Instant) {
        let each = Duration::from_secs(1) / quota(class).per_second;
        let mut buckets = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (credential.to_owned(), class);
        // One that found no room took from the shared bucket, which fills by itself.
        if let Some(full_at) = buckets.get_mut(&key) {
            *full_at = full_at.checked_sub(each * items).map_or(now, |full_at| full_at.max(now));
        }
    }
}

fn left(deep: Duration, missing: Duration, each: Duration) -> u32 {
    let left = deep.saturating_sub(missing).as_nanos() / each.as_nanos().max(1);
    u32::try_from(left).unwrap_or(u32::MAX)
}

impl Taken {
    /// Writes what every answer says of it (RATE-03; draft-ietf-httpapi-ratelimit-headers).
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let Quota { name, per_second, at_once } = self.quota;
        let seconds = whole(self.full_in);
        let window = (at_once / per_second).max(1);
        let policy = format!("\"{name}\";q={at_once};w={window}");
        let limit = format!("\"{name}\";r={};t={seconds}", self.left);
        for (header, value) in [("ratelimit-policy", policy), ("ratelimit", limit)] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(header), value);
            }
        }
    }

    /// The refusal, when it is one.
    pub(crate) fn refused(&self) -> Option<Problem> {
        let wait = whole(self.wait?).max(1);
        let Quota { per_second, .. } = self.quota;
        let detail = format!("More than {per_second} of these in a second. Try again in {wait} s.");
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate", detail);
        Some(problem.header(header::RETRY_AFTER, wait.to_string()))
    }
}

/// In whole seconds, the one that has begun too.
fn whole(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_01_a_bucket_holds_a_seconds_worth_and_fills_steadily() {
        let (limits, now) = (Limits::default(), Instant::now());
        for class in [Class::Listing, Class::Placing, Class::Agents, Class::Other] {
            let n = quota(class).per_second;
            for i in 0..n {
                let taken = limits.take("ann", class, 1, now);
                assert_eq!((taken.wait, taken.left), (None, n - i - 1), "{class:?}");
            }
            let refused = limits.take("ann", class, 1, now);
            assert_eq!((refused.wait, refused.left), (Some(Duration::from_secs(1) / n), 0), "{class:?}");
            // Another's is another; and one more is there after its share of a second.
            assert_eq!(limits.take("ben", class, 1, now).wait, None);
            let later = now + Duration::from_secs(1) / n;
            assert_eq!(limits.take("ann", class, 1, later).wait, None);
            assert!(limits.take("ann", class, 1, later).wait.is_some());
        }
    }

    #[test]
    fn rate_02_a_bulk_counts_its_items_and_leaves_a_debt() {
        let (limits, now) = (Limits::default(), Instant::now());
        let at = |ms: u64| now + Duration::from_millis(ms);
        assert_eq!(limits.take("ann", Class::Placing, 100, now).wait, None);
        let refused = limits.take("ann", Class::Placing, 100, at(400));
        assert_eq!(refused.wait, Some(Duration::from_millis(600)));
        // A thousand are taken only by a full bucket, and are paid for in ten seconds; the last fills the bucket.
        assert!(limits.take("ann", Class::Placing, 1_000, at(900)).wait.is_some());
        assert_eq!(limits.take("ann", Class::Placing, 1_000, at(1_000)).wait, None);
        let refused = limits.take("ann", Class::Placing, 1, at(1_000));
        assert_eq!(refused.wait, Some(Duration::from_millis(9_010)));
        assert_eq!(limits.take("ann", Class::Placing, 1, at(10_010)).wait, None);
    }

    #[test]
    fn rate_03_answers_say_what_is_left_and_when_to_come_again() {
        let (limits, now) = (Limits::default(), Instant::now());
        let told = |taken: Taken| {
            let mut headers = HeaderMap::new();
            taken.tell(&mut headers);
            let of = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
            (of("ratelimit-policy"), of("ratelimit"))
        };
        let first = limits.take("ann", Class::Agents, 1, now);
        assert_eq!(told(first), ("\"agents\";q=10;w=1".to_owned(), "\"agents\";r=9;t=1".to_owned()));
        assert!(first.refused().is_none());
        limits.take("ann", Class::Agents, 9, now);
        let refused = limits.take("ann", Class::Agents, 1, now);
        let problem = refused.refused().expect("refused");
        assert_eq!((problem.status().as_u16(), &*problem.code), (429, "rate"));
    }

    #[test]
    fn strangers_without_number_take_no_memory_without_end() {
        let (limits, now) = (Limits::default(), Instant::now());
        for i in 0..MOST + 50 {
            limits.take(&i.to_string(), Class::Other, 1, now);
        }
        assert!(limits.full_at.lock().unwrap().len() <= MOST + 1);
        // Those that are full again make room.
        limits.take("ann", Class::Other, 1, now + Duration::from_secs(2));
        assert_eq!(limits.full_at.lock().unwrap().len(), 1);
    }
}
