//! Credentials that nobody knows, bounded by address before the store is asked whose they are: who guesses at keys and sessions
//! costs the store nothing beyond that, and shuts nobody else out.
//!
//! A credential takes from its address's bucket before it is looked at, and gets it back when it is good. One that was good of late
//! takes nothing, so that whoever shares an address with somebody who guesses goes on.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ring::digest;

use super::limit::{Limits, Taken};
use crate::house::routes::Class;

/// Credentials that are remembered as good, by their hashes, and for how long.
const MOST: usize = 10_000;
const KEPT: Duration = Duration::from_secs(600);

/// What is known of addresses and credentials.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    limits: Limits,
    good: Mutex<HashMap<[u8; 32], Instant>>,
}

/// A credential that is being looked at.
#[derive(Debug)]
pub(super) struct Guess<'a> {
    guesses: &'a Guesses,
    hash: [u8; 32],
    address: &'a str,
    /// It was good of late.
    is_known: bool,
}

impl Guesses {
    /// A credential comes from an address.
    ///
    /// # Errors
    /// Too many from there were not good: it is not looked at.
    pub(super) fn begin<'a>(&'a self, shown: &[u8], address: &'a str, now: Instant) -> Result<Guess<'a>, Taken> {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, shown).as_ref());
        let is_known = self.good().get(&hash).is_some_and(|at| now.saturating_duration_since(*at) < KEPT);
        if !is_known {
            let taken = self.limits.take(address, Class::Guesses, 1, now);
            if taken.wait.is_some() {
                return Err(taken);
            }
        }
        Ok(Guess { guesses: self, hash, address, is_known })
    }

    fn good(&self) -> MutexGuard<'_, HashMap<[u8; 32], Instant>> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guess<'_> {
    /// What came of it; `None`: nobody could say.
    pub(super) fn over(self, is_good: Option<bool>, now: Instant) {
        let Guess { guesses, hash, address, is_known } = self;
        if is_good != Some(false) && !is_known {
            guesses.limits.give_back(address, Class::Guesses, 1, now);
        }
        let mut good = guesses.good();
        match is_good {
            Some(true) => {
                if good.len() >= MOST {
                    good.retain(|_, at| now.saturating_duration_since(*at) < KEPT);
                }
                // Who finds no room is looked at like a stranger.
                if good.len() < MOST || good.contains_key(&hash) {
                    good.insert(hash, now);
                }
            }
            // It was ended meanwhile.
            Some(false) => drop(good.remove(&hash)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::limit::quota;

    #[test]
    fn what_is_not_good_is_bounded_by_address_and_what_was_good_goes_on() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let most = quota(Class::Guesses).at_once;
        guesses.begin(b"key", "here", now).unwrap().over(Some(true), now);
        for n in 0..most {
            guesses.begin(format!("guess {n}").as_bytes(), "here", now).unwrap().over(Some(false), now);
        }
        let refused = guesses.begin(b"guess", "here", now).unwrap_err();
        assert!(refused.wait.is_some());
        assert!(guesses.begin(b"guess", "there", now).is_ok(), "another address");
        guesses.begin(b"key", "here", now).unwrap().over(None, now);
        // Ended meanwhile: from then on it is one of the guesses.
        guesses.begin(b"key", "here", now).unwrap().over(Some(false), now);
        assert!(guesses.begin(b"key", "here", now).is_err());
        // Good ones take nothing, and are strangers again after a while.
        for _ in 0..10 * most {
            guesses.begin(b"other", "there", now).unwrap().over(Some(true), now);
        }
        let later = now + KEPT;
        for n in 0..most {
            guesses.begin(format!("guess {n}").as_bytes(), "there", later).unwrap().over(Some(false), later);
        }
        assert!(guesses.begin(b"other", "there", later).is_err());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for n in 0..MOST + 10 {
            guesses.begin(n.to_string().as_bytes(), &n.to_string(), now).unwrap().over(Some(true), now);
        }
        assert_eq!(guesses.good().len(), MOST);
        guesses.begin(b"key", "here", now + KEPT).unwrap().over(Some(true), now + KEPT);
        assert_eq!(guesses.good().len(), 1);
    }
}
