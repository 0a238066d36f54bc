//! Which of many configurations are worth a look, and which one is taken.

use super::measure::Numbers;
use super::sweep::Tried;
use crate::config::{Choose, Prefer, TurnSettings};

/// What a configuration may cost to be considered; see [`Choose`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Cut-offs.
    pub cut_offs: Option<u64>,
    /// Missed turns.
    pub missed: u64,
    /// False starts.
    pub false_starts: u64,
    /// Lost starts.
    pub lost: u64,
    /// Median delay.
    pub delay_ms: Option<u64>,
}

impl Limits {
    /// What is not limited by the rule must be no worse than it is now.
    pub fn new(rule: &Choose, now: &Numbers) -> Limits {
        Limits {
            cut_offs: rule.max_cut_offs,
            missed: rule.max_missed.unwrap_or(now.missed),
            false_starts: rule.max_false_starts.unwrap_or(now.false_starts),
            lost: rule.max_lost.unwrap_or(now.lost),
            delay_ms: rule.max_delay_ms,
        }
    }

    /// Whether a configuration may be looked at: all limits but those on cut-offs and delay, which are what is weighed.
    pub fn eligible(&self, tried: &Tried) -> bool {
        let n = &tried.numbers;
        tried.delay_ms.is_some()
            && n.missed <= self.missed
            && n.false_starts <= self.false_starts
            && n.lost <= self.lost
    }

    /// Whether a configuration may be chosen.
    pub fn allow(&self, tried: &Tried) -> bool {
        self.eligible(tried)
            && self.cut_offs.is_none_or(|most| tried.numbers.cut_offs <= most)
            && self.delay_ms.is_none_or(|most| tried.delay_ms.is_some_and(|ms| ms <= most as i64))
    }
}

/// The eligible configurations that no other beats in cut-offs and median delay both, from the fewest cut-offs on. Of
/// equals, the one with the fewest other mistakes, then the one nearest to `current`.
pub fn front(tried: &[Tried], limits: &Limits, current: &TurnSettings) -> Vec<usize> {
    let mut order: Vec<usize> = (0..tried.len()).filter(|&i| limits.eligible(&tried[i])).collect();
    order.sort_by_key(|&i| (tried[i].numbers.cut_offs, tried[i].delay_ms, rest(&tried[i], current)));
    let mut best = None;
    order.retain(|&i| {
        let delay = tried[i].delay_ms;
        let better = best.is_none_or(|best| delay < best);
        if better {
            best = Some(delay);
        }
        better
    });
    order
}

/// The configuration that the rule takes; `None`: none is within the limits.
pub fn choose(tried: &[Tried], limits: &Limits, prefer: Prefer, current: &TurnSettings) -> Option<usize> {
    let allowed = (0..tried.len()).filter(|&i| limits.allow(&tried[i]));
    allowed.min_by_key(|&i| {
        let t = &tried[i];
        let (delay, cut_offs) = (t.delay_ms.unwrap_or(i64::MAX), t.numbers.cut_offs as i64);
        let first = if prefer == Prefer::Delay { (delay, cut_offs) } else { (cut_offs, delay) };
        (first, rest(t, current))
    })
}

/// How settings that are alike in what is weighed are told apart; less is better.
fn rest(tried: &Tried, current: &TurnSettings) -> (u64, Option<i64>, u32, u64) {
    let n = &tried.numbers;
    let (s, c) = (&tried.settings, current);
    let changed = [
        s.engine != c.engine,
        s.threshold != c.threshold,
        s.hysteresis != c.hysteresis,
        s.silence_duration_ms != c.silence_duration_ms,
        s.min_speech_ms != c.min_speech_ms,
        s.level_margin_db != c.level_margin_db,
    ];
    let distance = (s.threshold - c.threshold).abs() * 1_000.0
        + (s.hysteresis - c.hysteresis).abs() * 1_000.0
        + s.silence_duration_ms.abs_diff(c.silence_duration_ms) as f32
        + s.min_speech_ms.abs_diff(c.min_speech_ms) as f32
        + s.level_margin_db.abs_diff(c.level_margin_db) as f32;
    let changes = changed.into_iter().map(u32::from).sum();
    (n.missed + n.false_starts + n.lost, n.delay_p99_ms, changes, distance.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ears::turn::score::Summary;

    fn tried(silence_duration_ms: u32, cut_offs: u64, delay_ms: i64, false_starts: u64) -> Tried {
        let summary = Summary { turns: 9, cut_offs, false_starts, end_delays_ms: vec![delay_ms], ..Summary::default() };
        let settings = TurnSettings { silence_duration_ms, ..TurnSettings::default() };
        Tried { settings, numbers: Numbers::from(&summary), delay_ms: Some(delay_ms) }
    }

    fn all() -> Vec<Tried> {
        vec![
            tried(200, 5, 210, 0), // the current one
            tried(150, 9, 160, 0),
            tried(400, 1, 410, 0),
            tried(500, 1, 510, 0),
            tried(600, 0, 610, 0),
            tried(100, 2, 110, 7), // quick and jumpy
            tried(210, 5, 210, 0), // as good as the current one
        ]
    }

    fn limits(rule: &Choose) -> Limits {
        Limits::new(rule, &all()[0].numbers)
    }

    #[test]
    fn the_front_holds_what_nothing_beats_and_no_new_mistakes() {
        let current = TurnSettings::default();
        let limits = limits(&Choose::default());
        assert_eq!(front(&all(), &limits, &current), [4, 2, 0, 1]);
        let limits = Limits { false_starts: 7, ..limits };
        assert_eq!(front(&all(), &limits, &current), [4, 2, 5]);
    }

    #[test]
    fn the_rule_takes_the_quickest_within_its_limits() {
        let current = TurnSettings::default();
        let choose = |rule: Choose| choose(&all(), &limits(&rule), rule.prefer, &current);
        assert_eq!(choose(Choose { max_cut_offs: Some(0), ..Choose::default() }), Some(4));
        assert_eq!(choose(Choose { max_cut_offs: Some(1), ..Choose::default() }), Some(2));
        assert_eq!(choose(Choose::default()), Some(1));
        let careful = Choose { max_delay_ms: Some(450), prefer: Prefer::CutOffs, ..Choose::default() };
        assert_eq!(choose(careful), Some(2));
        assert_eq!(choose(Choose { max_cut_offs: Some(0), max_delay_ms: Some(300), ..Choose::default() }), None);
        // Of two equals, the one that changes nothing.
        assert_eq!(choose(Choose { max_cut_offs: Some(5), max_delay_ms: Some(210), ..Choose::default() }), Some(0));
    }
}
