//! Lines of a journal that found no room on their way to the file: counted, and said in the journal itself.

use crate::base::time::CallTime;
use crate::lab::journal;
use crate::report::JournalKept;

/// What of a call's journal is missing, as the call sees it.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// The journal's first line while it has found no room: nobody could read the rest without it.
    head: Option<Vec<u8>>,
    begun: bool,
    /// What the journal does not say yet.
    unsaid: Option<Lost>,
    /// All that is missing.
    all: Option<Lost>,
}

/// Lines that are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    /// When the first of them was made.
    pub(super) from: CallTime,
    pub(super) lines: u64,
    pub(super) why: String,
}

impl Gaps {
    /// What stands before the next lines: the first line if it is not there yet, and how many are missing.
    pub(super) fn before(&self) -> Vec<u8> {
        let mut bytes = self.head.clone().unwrap_or_default();
        if let Some(lost) = &self.unsaid {
            bytes.extend_from_slice(journal::lost_line(lost.from, lost.lines).as_bytes());
        }
        bytes
    }

    /// What stood before, and lines behind it, have found room.
    pub(super) fn handed_over(&mut self, lines: &[u8]) {
        self.begun |= self.head.take().is_some() || !lines.is_empty();
        self.unsaid = None;
    }

    /// `lines` have found none, and what stood before them neither.
    pub(super) fn lose(&mut self, mut lines: &[u8], why: &str) {
        if !self.begun && self.head.is_none() {
            let end = lines.iter().position(|&byte| byte == b'\n').map_or(lines.len(), |at| at + 1);
            let (head, rest) = lines.split_at(end);
            self.head = (!head.is_empty()).then(|| head.to_vec());
            lines = rest;
        }
        if let Some(lost) = Lost::of(lines, why) {
            add(&mut self.unsaid, lost.clone());
            add(&mut self.all, lost);
        }
    }

    /// The journal's account at the end of a call; `file`: what the file itself did not take.
    pub(super) fn account(self, file: Option<Lost>) -> JournalKept {
        let mut all = self.all;
        if let Some(lost) = file {
            add(&mut all, lost);
        }
        let Some(lost) = all else { return JournalKept::default() };
        JournalKept { missing_from_ms: Some(lost.from.as_ms()), lines_lost: lost.lines, error: Some(lost.why) }
    }
}

impl Lost {
    /// Lines that are lost; `None`: there is none.
    pub(super) fn of(lines: &[u8], why: &str) -> Option<Lost> {
        let count = lines.iter().filter(|&&byte| byte == b'\n').count() as u64;
        (count > 0).then(|| Lost { from: made_at(lines), lines: count, why: why.to_owned() })
    }
}

pub(super) fn add(to: &mut Option<Lost>, more: Lost) {
    match to {
        Some(lost) => {
            lost.from = lost.from.min(more.from);
            lost.lines += more.lines;
        }
        None => *to = Some(more),
    }
}

/// When the first of these lines was made: all but the journal's first one begin with it.
fn made_at(lines: &[u8]) -> CallTime {
    let digits = lines.strip_prefix(br#"{"at_us":"#).unwrap_or_default();
    let digits = digits.iter().take(19).take_while(|byte| byte.is_ascii_digit());
    CallTime::from_us(digits.fold(0, |us, byte| 10 * us + u64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"{\"offhook_journal\":1}\n";
    const ONE: &[u8] = b"{\"at_us\":1500,\"in\":\"tick\"}\n{\"at_us\":1700,\"in\":\"tick\"}\n";
    const TWO: &[u8] = b"{\"at_us\":2500,\"in\":\"tick\"}\n";

    #[test]
    fn what_is_lost_is_said_once_before_the_next_lines() {
        let mut gaps = Gaps::default();
        assert!(gaps.before().is_empty());
        gaps.handed_over(HEAD);
        gaps.lose(ONE, "slow");
        gaps.lose(TWO, "slow");
        assert_eq!(gaps.before(), b"{\"at_us\":1500,\"lost\":3}\n");
        gaps.handed_over(TWO);
        assert!(gaps.before().is_empty());
        gaps.lose(TWO, "slow");
        let account = gaps.account(Lost::of(TWO, "full"));
        let expected = JournalKept { missing_from_ms: Some(1), lines_lost: 5, error: Some("slow".to_owned()) };
        assert_eq!(account, expected);
    }

    #[test]
    fn the_first_line_is_never_lost() {
        let mut gaps = Gaps::default();
        gaps.lose(&[HEAD, ONE].concat(), "slow");
        gaps.lose(TWO, "slow");
        let said = b"{\"at_us\":1500,\"lost\":3}\n";
        assert_eq!(gaps.before(), [HEAD, said].concat());
        gaps.handed_over(TWO);
        gaps.lose(ONE, "slow");
        assert_eq!(gaps.before(), b"{\"at_us\":1500,\"lost\":2}\n");
    }

    #[test]
    fn a_journal_that_lacks_nothing_says_so() {
        let mut gaps = Gaps::default();
        gaps.handed_over(ONE);
        gaps.lose(b"", "slow");
        assert_eq!(gaps.account(None), JournalKept::default());
    }
}
