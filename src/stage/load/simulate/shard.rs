//! A share of all calls, over one virtual clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::again;
use super::arrivals::Arrivals;
use super::call::{Call, Diary, Stock};
use super::tally::{Tally, Violation};
use crate::base::time::CallTime;
use crate::config::JournalKeep;

/// A call goes on alone for so long before others do: calls know nothing of each other, and memory is slow.
const SLICE_US: u64 = 500_000;
/// Whoever waits is told how far it is this often.
const TELL_US: u64 = 60_000_000;
/// One call in so many is run a second time.
pub(super) const AGAIN_EVERY: u64 = 50;

/// One shard. A call's share is given by its number, and what happens in it by the seed: how many shards there are
/// decides nothing but who does the work.
#[derive(Debug)]
pub(super) struct Shard {
    stock: Stock,
    arrivals: Arrivals,
    index: u64,
    shards: u64,
    arriving: Option<(u64, u64)>,
    /// When each live call goes on, its number, and its place.
    due: BinaryHeap<Reverse<(u64, u64, usize)>>,
    live: Vec<Option<Box<Live>>>,
    free: Vec<usize>,
    told_us: u64,
    /// Calls that are over and wait to be run a second time.
    again: Vec<Again>,
    pub(super) tally: Tally,
}

#[derive(Clone, Copy, Debug)]
struct Again {
    number: u64,
    /// Of its decisions.
    digest: u64,
    lasted_ms: u64,
}

#[derive(Debug)]
struct Live {
    began_us: u64,
    call: Call,
}

impl Shard {
    /// The share `index` of `shards`.
    pub(super) fn new(stock: Stock, arrivals: Arrivals, index: u64, shards: u64) -> Self {
        let mut shard = Shard {
            stock,
            arrivals,
            index,
            shards,
            arriving: None,
            due: BinaryHeap::new(),
            live: Vec::new(),
            free: Vec::new(),
            told_us: 0,
            again: Vec::new(),
            tally: Tally::default(),
        };
        shard.arrive();
        shard
    }

    /// Calls that have begun and not ended.
    pub(super) fn live(&self) -> u64 {
        (self.live.len() - self.free.len()) as u64
    }

    /// Lets time pass until `until_us`, or, without one, until all calls are over. `tell` is told from time to time how far
    /// it is and how many promises are broken, and answers whether to go on.
    pub(super) fn run_until(&mut self, until_us: Option<u64>, tell: &(dyn Fn(u64, usize) -> bool + Sync)) {
        let until_us = until_us.unwrap_or(u64::MAX);
        loop {
            let going = self.due.peek().map(|Reverse((at, ..))| *at);
            let arriving = self.arriving.map(|(_, at)| at);
            let Some(now_us) = going.into_iter().chain(arriving).min().filter(|at| *at <= until_us) else { break };
            if now_us >= self.told_us + TELL_US {
                self.told_us = now_us;
                if !tell(now_us, self.tally.violations.len()) {
                    return;
                }
            }
            match self.arriving {
                Some((number, at_us)) if at_us == now_us => self.begin(number, at_us),
                _ => self.go_on(now_us, until_us),
            }
        }
    }

    /// Runs those a second time that wait for it, as long as `go_on` says so. They keep whole journals: run while no call
    /// of the day goes on, they leave nothing among the memory of calls that live on.
    pub(super) fn run_again(&mut self, go_on: &(dyn Fn() -> bool + Sync)) {
        for Again { number, digest, lasted_ms: at_ms } in std::mem::take(&mut self.again) {
            if !go_on() {
                return;
            }
            self.tally.again += 1;
            if let Some(what) = again::differs(number, &self.stock, digest) {
                self.tally.breaks(Violation { seed: self.stock.seed, call: number, at_ms, what });
            }
        }
    }

    fn begin(&mut self, number: u64, at_us: u64) {
        self.arrive();
        let diary = if number.is_multiple_of(AGAIN_EVERY) { Diary::Digest(again::EMPTY) } else { Diary::Off };
        let call = Call::new(number, &self.stock, diary, JournalKeep::Off);
        let live = Some(Box::new(Live { began_us: at_us, call }));
        let place = match self.free.pop() {
            Some(place) => {
                self.live[place] = live;
                place
            }
            None => {
                self.live.push(live);
                self.live.len() - 1
            }
        };
        self.due.push(Reverse((at_us, number, place)));
    }

    fn go_on(&mut self, now_us: u64, until_us: u64) {
        let Some(Reverse((_, number, place))) = self.due.pop() else { return };
        let Some(live) = self.live[place].as_mut() else { return };
        let to_us = now_us.saturating_add(SLICE_US).min(until_us);
        let began_us = live.began_us;
        let at_us = |at: CallTime| began_us + at.as_us();
        while let Some(next_us) = live.call.next().map(at_us) {
            if next_us > to_us {
                self.due.push(Reverse((next_us, number, place)));
                return;
            }
            live.call.step();
        }
        if let Some(live) = self.live[place].take() {
            self.free.push(place);
            self.end(number, live.call);
        }
    }

    fn end(&mut self, number: u64, call: Call) {
        let (ended, _) = call.ended();
        self.tally.count(self.stock.seed, number, &ended);
        if let (Diary::Digest(digest), None) = (&ended.diary, &ended.broken) {
            self.again.push(Again { number, digest: *digest, lasted_ms: ended.lasted.as_ms() });
        }
    }

    fn arrive(&mut self) {
        let (index, shards) = (self.index, self.shards);
        self.arriving = self.arrivals.find(|(number, _)| number % shards == index);
    }
}
