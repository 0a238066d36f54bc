//! Guesses are bounded, and lock nobody else out (ROLE-07, VIS-04).
//!
//! Wrong attempts are counted for ten minutes by who guesses *what from where*, by *where*, and by *what*. Ten of the first kind
//! are heard. Once an address has guessed a lot, or an account was guessed at a lot, only pairs of the two that never went wrong
//! are heard, and from a busy address no more than one of them a second: so whoever has the password gets in from any address
//! that did not guess at it, whatever others do from theirs. All three tables are bounded; what went wrong longest ago is
//! forgotten first.

use std::collections::HashMap;
use std::hash::Hash;

/// For how long an attempt counts.
const WINDOW_MS: i64 = 600_000;
/// Attempts of one address at one account.
const PAIR: u32 = 10;
/// Attempts of one address at all accounts, before it is heard only where it never went wrong.
const ADDRESS: u32 = 30;
/// Attempts at one account from all addresses, before only addresses are heard that never went wrong there.
const ACCOUNT: u32 = 100;
/// From a busy address one new account is heard in this time.
const PAUSE_MS: i64 = 1_000;
/// Attempts of one address whose passwords are being looked at: it can fill no queue.
const AT_ONCE: u32 = 4;
/// Rows of each table.
const MOST: usize = 20_000;

/// Attempts of the last minutes.
#[derive(Debug, Default)]
pub struct Attempts {
    pairs: Table<(String, String)>,
    addresses: Table<String>,
    accounts: Table<String>,
}

impl Attempts {
    /// An attempt at `account` from `address` begins, and counts as wrong until it is said to be [right](Self::right). In any
    /// case it has to be [over](Self::over) some time.
    ///
    /// # Errors
    /// Not now; the milliseconds until it may be heard.
    pub fn begin(&mut self, now_ms: i64, address: &str, account: &str) -> Result<(), i64> {
        let pair = (address.to_owned(), account.to_owned());
        let here = self.pairs.get(&pair, now_ms);
        if here.wrong >= PAIR {
            return Err(here.left_ms(now_ms));
        }
        let from = self.addresses.get(&pair.0, now_ms);
        if from.running >= AT_ONCE {
            return Err(PAUSE_MS);
        }
        if here.wrong > 0 {
            let busy = if from.wrong >= ADDRESS { Some(from) } else { None };
            let at = self.accounts.get(&pair.1, now_ms);
            if let Some(full) = busy.or((at.wrong >= ACCOUNT).then_some(at)) {
                return Err(full.left_ms(now_ms).min(here.left_ms(now_ms)).max(1));
            }
        } else if from.wrong >= ADDRESS && now_ms < from.last_ms + PAUSE_MS {
            return Err(from.last_ms + PAUSE_MS - now_ms);
        }
        self.pairs.change(pair, now_ms, |row| row.wrong += 1);
        self.accounts.change(account.to_owned(), now_ms, |row| row.wrong += 1);
        self.addresses.change(address.to_owned(), now_ms, |row| {
            row.wrong += 1;
            row.running += 1;
        });
        Ok(())
    }

    /// What began was right: nothing of it is held against anybody, and what this address did wrong at this account before is
    /// forgiven.
    pub fn right(&mut self, now_ms: i64, address: &str, account: &str) {
        self.pairs.remove(&(address.to_owned(), account.to_owned()));
        for (table, key) in [(&mut self.addresses, address), (&mut self.accounts, account)] {
            table.change(key.to_owned(), now_ms, |row| row.wrong = row.wrong.saturating_sub(1));
        }
    }

    /// What began is over, right or wrong.
    pub fn over(&mut self, now_ms: i64, address: &str) {
        self.addresses.change(address.to_owned(), now_ms, |row| row.running = row.running.saturating_sub(1));
    }
}

/// What went wrong.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    since_ms: i64,
    last_ms: i64,
    wrong: u32,
    running: u32,
}

impl Row {
    fn left_ms(self, now_ms: i64) -> i64 {
        (self.since_ms + WINDOW_MS - now_ms).max(1)
    }
}

#[derive(Debug)]
struct Table<K>(HashMap<K, Row>);

impl<K> Default for Table<K> {
    fn default() -> Self {
        Table(HashMap::new())
    }
}

impl<K: Hash + Eq + Clone> Table<K> {
    fn get(&self, key: &K, now_ms: i64) -> Row {
        match self.0.get(key) {
            Some(row) if now_ms - row.since_ms < WINDOW_MS => *row,
            // What runs is not over because its time is.
            Some(row) => Row { running: row.running, ..Row::default() },
            None => Row::default(),
        }
    }

    fn change(&mut self, key: K, now_ms: i64, change: impl FnOnce(&mut Row)) {
        let mut row = self.get(&key, now_ms);
        if row.wrong == 0 {
            row.since_ms = now_ms;
        }
        change(&mut row);
        row.last_ms = now_ms;
        if row.wrong == 0 && row.running == 0 {
            self.0.remove(&key);
            return;
        }
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            self.forget(now_ms);
        }
        self.0.insert(key, row);
    }

    fn remove(&mut self, key: &K) {
        self.0.remove(key);
    }

    /// Makes room: of what is over, or else of the older half.
    fn forget(&mut self, now_ms: i64) {
        self.0.retain(|_, row| row.running > 0 || now_ms - row.since_ms < WINDOW_MS);
        if self.0.len() < MOST {
            return;
        }
        let mut times: Vec<_> = self.0.values().map(|row| row.last_ms).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        self.0.retain(|_, row| row.last_ms > median);
        // All of one moment: then none is older than another.
        if self.0.len() >= MOST {
            self.0.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether an attempt was heard; wrong ones only.
    fn guess(attempts: &mut Attempts, now_ms: i64, address: &str, account: &str) -> bool {
        let heard = attempts.begin(now_ms, address, account).is_ok();
        if heard {
            attempts.over(now_ms, address);
        }
        heard
    }

    #[test]
    fn role_07_ten_thousand_guesses_lock_nobody_else_out() {
        let mut attempts = Attempts::default();
        let heard = (0..10_000).filter(|n| guess(&mut attempts, *n, "203.0.113.1", "ann")).count();
        assert_eq!(heard, 10);
        // Ann from where she is, and Ben from where the guesses come from.
        assert!(attempts.begin(10_000, "198.51.100.1", "ann").is_ok());
        assert!(attempts.begin(10_000, "203.0.113.1", "ben").is_ok());
        // It is over some time.
        assert!(guess(&mut attempts, WINDOW_MS + 1, "203.0.113.1", "ann"));
    }

    #[test]
    fn guesses_from_everywhere_leave_a_door_for_who_has_not_guessed() {
        let mut attempts = Attempts::default();
        let heard = (0..5_000).filter(|n| guess(&mut attempts, *n, &format!("203.0.113.{}", n % 50), "ann")).count();
        assert!(heard <= ACCOUNT as usize + 50, "{heard}");
        assert!(attempts.begin(5_000, "198.51.100.1", "ann").is_ok());
    }

    #[test]
    fn one_address_that_tries_everybody_is_heard_once_a_second() {
        let mut attempts = Attempts::default();
        let heard = (0..100_000).filter(|n| guess(&mut attempts, *n, "203.0.113.1", &format!("user{n}"))).count();
        assert!((100..=140).contains(&heard), "{heard} in 100 s");
        assert!(guess(&mut attempts, 100_000, "198.51.100.1", "user1"));
    }

    #[test]
    fn one_address_fills_no_queue_and_what_is_over_makes_room() {
        let mut attempts = Attempts::default();
        let begun = (0..100).filter(|n| attempts.begin(0, "203.0.113.1", &format!("user{n}")).is_ok()).count();
        assert_eq!(begun, AT_ONCE as usize);
        assert!(attempts.begin(WINDOW_MS + 1, "203.0.113.1", "ann").is_err(), "they still run");
        attempts.over(WINDOW_MS + 1, "203.0.113.1");
        assert!(attempts.begin(WINDOW_MS + 1, "203.0.113.1", "ann").is_ok());
    }

    #[test]
    fn who_was_right_begins_anew_and_others_guesses_stay() {
        let mut attempts = Attempts::default();
        for _ in 0..9 {
            assert!(guess(&mut attempts, 0, "a", "ann"));
        }
        assert!(attempts.begin(1, "a", "ann").is_ok());
        attempts.right(1, "a", "ann");
        attempts.over(1, "a");
        assert_eq!((0..20).filter(|_| guess(&mut attempts, 2, "a", "ann")).count(), 10);
        let before = attempts.addresses.get(&"a".to_owned(), 2).wrong;
        assert_eq!(before, 19, "the right one is not counted");
    }

    #[test]
    fn tables_are_bounded() {
        let mut attempts = Attempts::default();
        for n in 0..3 * MOST as i64 {
            guess(&mut attempts, n / 100, &format!("address{n}"), &format!("account{n}"));
        }
        for len in [attempts.pairs.0.len(), attempts.addresses.0.len(), attempts.accounts.0.len()] {
            assert!(len <= MOST, "{len}");
        }
    }
}
