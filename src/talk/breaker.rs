//! A primary that fails again and again is left alone for a while (BEYOND-12).

use std::collections::VecDeque;

use super::time::TalkTime;

/// When a model is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// So many failures open it; at least 1.
    pub failures: u32,
    /// Milliseconds in which they must lie.
    pub window_ms: u64,
    /// Milliseconds for which it stays open; then one request probes.
    pub open_ms: u64,
    /// Milliseconds after which a probe that was not heard of again counts as none.
    pub probe_ms: u64,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        // Five failures in a minute are no accident; after half a minute a vendor's hiccup is mostly over, and one visitor's
        // wait is the price of finding out.
        BreakerSettings { failures: 5, window_ms: 60_000, open_ms: 30_000, probe_ms: 30_000 }
    }
}

/// What is known of one model's health.
///
/// ```text
///           n failures in the window               open time is over: the next request
///  Closed ──────────────────────────► Open ────────────────────────────────────────► Probing
///    ▲                                 ▲                                             │    │
///    │                                 └──── it failed; or it was let go (the next ──┘    │
///    │                                       request is the probe then)                   │
///    └────────────────────────────────────── its first token ─────────────────────────────┘
/// ```
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    state: State,
    /// When the latest failures were, oldest first; never more than open it.
    failures: VecDeque<TalkTime>,
    probes: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    Open {
        until: TalkTime,
    },
    Probing {
        probe: u32,
        until: TalkTime,
    },
}

/// Whether a model is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// As ever.
    Ask,
    /// This one request decides; its number says so when its end is told.
    Probe(u32),
    /// It is left alone.
    Skip,
}

/// What a request's end changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// The model is left alone from now on.
    Opened,
    /// It is asked again.
    Closed,
}

impl Breaker {
    /// Whether the model is asked now. [`Gate::Probe`] is given to one request at a time.
    pub fn gate(&mut self, at: TalkTime, settings: &BreakerSettings) -> Gate {
        match self.state {
            State::Closed => Gate::Ask,
            State::Open { until } | State::Probing { until, .. } if at < until => Gate::Skip,
            _ => {
                self.probes = self.probes.wrapping_add(1);
                self.state = State::Probing { probe: self.probes, until: at.plus_ms(settings.probe_ms) };
                Gate::Probe(self.probes)
            }
        }
    }

    /// A request got its first token. `probe`: which one it was, if any.
    pub fn succeeded(&mut self, probe: Option<u32>) -> Change {
        match self.state {
            State::Probing { probe: awaited, .. } if probe == Some(awaited) => {
                *self = Breaker { probes: self.probes, ..Breaker::default() };
                Change::Closed
            }
            _ => Change::None,
        }
    }

    /// A request failed by the model's own fault.
    pub fn failed(&mut self, at: TalkTime, probe: Option<u32>, settings: &BreakerSettings) -> Change {
        match self.state {
            State::Probing { probe: awaited, .. } if probe == Some(awaited) => {
                self.state = State::Open { until: at.plus_ms(settings.open_ms) };
                Change::None
            }
            State::Closed => {
                let from = at.as_us().saturating_sub(settings.window_ms.saturating_mul(1_000));
                while self.failures.front().is_some_and(|failed| failed.as_us() < from) {
                    self.failures.pop_front();
                }
                self.failures.push_back(at);
                if self.failures.len() < settings.failures.max(1) as usize {
                    return Change::None;
                }
                self.failures.clear();
                self.state = State::Open { until: at.plus_ms(settings.open_ms) };
                Change::Opened
            }
            // Of a request that began before.
            _ => Change::None,
        }
    }

    /// A probe was let go before it could tell: the next request is one.
    pub fn let_go(&mut self, at: TalkTime, probe: u32) {
        if matches!(self.state, State::Probing { probe: awaited, .. } if awaited == probe) {
            self.state = State::Open { until: at };
        }
    }

    /// Whether the model is left alone at `at`, but for a probe.
    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_idle(&self, at: TalkTime, settings: &BreakerSettings) -> bool {
        self.state == State::Closed
            && self.failures.back().is_none_or(|failed| at.ms_since(*failed) > settings.window_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BreakerSettings =
        BreakerSettings { failures: 3, window_ms: 10_000, open_ms: 5_000, probe_ms: 2_000 };

    fn at(ms: u64) -> TalkTime {
        TalkTime::from_ms(ms)
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        for ms in [0, 1, 2] {
            breaker.failed(at(ms), None, &SETTINGS);
        }
        breaker
    }

    #[test]
    fn beyond_12_so_many_failures_in_the_window_open_it() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.failed(at(0), None, &SETTINGS), Change::None);
        assert_eq!(breaker.failed(at(5_000), None, &SETTINGS), Change::None);
        // The first is out of the window by now.
        assert_eq!(breaker.failed(at(10_001), None, &SETTINGS), Change::None);
        assert_eq!(breaker.gate(at(10_002), &SETTINGS), Gate::Ask);
        assert_eq!(breaker.failed(at(15_000), None, &SETTINGS), Change::Opened);
        assert_eq!(breaker.gate(at(15_001), &SETTINGS), Gate::Skip);
    }

    #[test]
    fn beyond_12_one_probe_decides() {
        let mut breaker = opened();
        assert_eq!(breaker.gate(at(5_001), &SETTINGS), Gate::Skip);
        assert_eq!(breaker.gate(at(5_002), &SETTINGS), Gate::Probe(1));
        assert_eq!(breaker.gate(at(5_003), &SETTINGS), Gate::Skip, "one at a time");
        assert_eq!(breaker.succeeded(None), Change::None, "of a request that began before");
        assert_eq!(breaker.failed(at(6_000), Some(1), &SETTINGS), Change::None);
        assert_eq!(breaker.gate(at(10_999), &SETTINGS), Gate::Skip, "open as long again");
        assert_eq!(breaker.gate(at(11_000), &SETTINGS), Gate::Probe(2));
        assert_eq!(breaker.succeeded(Some(1)), Change::None, "of the probe before");
        assert_eq!(breaker.succeeded(Some(2)), Change::Closed);
        assert_eq!(breaker.gate(at(11_001), &SETTINGS), Gate::Ask);
        assert_eq!(breaker.failed(at(11_002), None, &SETTINGS), Change::None, "counted anew");
    }

    #[test]
    fn beyond_12_a_probe_that_is_let_go_or_lost_leaves_the_place_to_the_next() {
        let mut breaker = opened();
        assert_eq!(breaker.gate(at(6_000), &SETTINGS), Gate::Probe(1));
        breaker.let_go(at(6_100), 1);
        assert_eq!(breaker.gate(at(6_100), &SETTINGS), Gate::Probe(2));
        assert_eq!(breaker.gate(at(8_099), &SETTINGS), Gate::Skip);
        assert_eq!(breaker.gate(at(8_100), &SETTINGS), Gate::Probe(3), "not heard of again");
        breaker.let_go(at(8_200), 2);
        assert_eq!(breaker.gate(at(8_200), &SETTINGS), Gate::Skip, "of the probe before");
    }

    #[test]
    fn beyond_12_any_order_of_ends_keeps_one_probe_and_a_bounded_memory() {
        let mut breaker = Breaker::default();
        let (mut random, mut now, mut running) = (7u64, 0, Vec::new());
        let mut probing: Option<(u32, u64)> = None;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            now += random >> 40 & 0x3ff;
            match random >> 60 {
                0..6 => match breaker.gate(at(now), &SETTINGS) {
                    Gate::Ask => running.push(None),
                    Gate::Probe(n) => {
                        assert!(probing.is_none_or(|(_, until)| now >= until), "two probes at once");
                        probing = Some((n, now + SETTINGS.probe_ms));
                        running.push(Some(n));
                    }
                    Gate::Skip => assert!(breaker.is_open()),
                },
                6..11 if !running.is_empty() => {
                    let probe = running.swap_remove(random as usize % running.len());
                    breaker.failed(at(now), probe, &SETTINGS);
                    probing = probing.filter(|(n, _)| Some(*n) != probe);
                }
                11..15 if !running.is_empty() => {
                    let probe = running.swap_remove(random as usize % running.len());
                    if breaker.succeeded(probe) == Change::Closed {
                        probing = None;
                    }
                }
                _ => {}
            }
            assert!(breaker.failures.len() < SETTINGS.failures as usize);
        }
    }
}
