//! The line above all points, which touches those that lie highest: points are few, the best of each window.

use super::MOST_SKEW_PPB;

/// Windows kept; when there are more, neighbours become one until they are [`LONGEST_US`] long, then the oldest goes.
const WINDOWS_MAX: usize = 64;
/// The first windows are this long.
const SHORTEST_US: u64 = 500_000;
/// None is longer: together they look back nine minutes.
const LONGEST_US: u64 = 8_000_000;

/// Of so many windows, or ...
const LATE_WINDOWS: usize = 3;
/// ... of this long, the best says where the line lies.
const OF_LATE_US: u64 = 10_000_000;

/// How far the line's clock was ahead of ours, by the audio that came fastest in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Point {
    at_us: u64,
    ahead_us: i64,
}

impl Point {
    /// Where the line of this slope through the point crosses time zero: the higher, the better the point.
    fn height(&self, skew_ppb: i64) -> i128 {
        i128::from(self.ahead_us) * 1_000_000_000 - i128::from(self.at_us) * i128::from(skew_ppb)
    }
}

/// The upper envelope of how far the line's clock was ahead.
#[derive(Debug)]
pub(super) struct Envelope {
    points: [Point; WINDOWS_MAX],
    count: usize,
    window_us: u64,
    /// Where the last window began.
    since_us: u64,
    first_us: Option<u64>,
    last_us: u64,
}

impl Default for Envelope {
    fn default() -> Self {
        Envelope {
            points: [Point::default(); WINDOWS_MAX],
            count: 0,
            window_us: SHORTEST_US,
            since_us: 0,
            first_us: None,
            last_us: 0,
        }
    }
}

impl Envelope {
    /// How long it was watched.
    pub(super) fn span_us(&self) -> u64 {
        self.first_us.map_or(0, |first| self.last_us - first)
    }

    /// One more observation, later than all before; `skew_ppb` is what is believed by now.
    pub(super) fn add(&mut self, at_us: u64, ahead_us: i64, skew_ppb: i64) {
        self.first_us.get_or_insert(at_us);
        self.last_us = at_us;
        let point = Point { at_us, ahead_us };
        match self.points[..self.count].last_mut().filter(|_| at_us < self.since_us + self.window_us) {
            Some(best) => {
                if point.height(skew_ppb) > best.height(skew_ppb) {
                    *best = point;
                }
            }
            None => {
                self.since_us = at_us;
                self.make_room(skew_ppb);
                self.points[self.count] = point;
                self.count += 1;
            }
        }
    }

    fn make_room(&mut self, skew_ppb: i64) {
        if self.count < WINDOWS_MAX {
            return;
        }
        if self.window_us >= LONGEST_US {
            self.points.copy_within(1.., 0);
            self.count -= 1;
            return;
        }
        self.window_us *= 2;
        self.count /= 2;
        for i in 0..self.count {
            let (a, b) = (self.points[2 * i], self.points[2 * i + 1]);
            self.points[i] = if b.height(skew_ppb) > a.height(skew_ppb) { b } else { a };
        }
    }

    /// How far the line's clock is ahead at `now_us`, and its slope in parts per 10⁹. `skew_ppb` counts until there are two
    /// points.
    pub(super) fn at(&self, now_us: u64, skew_ppb: i64) -> Option<(i64, i64)> {
        let points = &self.points[..self.count];
        let mut hull = [Point::default(); WINDOWS_MAX];
        let mut edges = 0;
        for point in points {
            while edges >= 2 && !bends_down(&hull[edges - 2], &hull[edges - 1], point) {
                edges -= 1;
            }
            hull[edges] = *point;
            edges += 1;
        }
        let hull = &hull[..edges];
        let count = points.len() as u128;
        let mean_us = (points.iter().map(|point| u128::from(point.at_us)).sum::<u128>()).checked_div(count)? as u64;
        // Of all lines above the points, the edge over their middle is nearest to them.
        let edge = hull.windows(2).find(|edge| mean_us <= edge[1].at_us);
        let skew_ppb = edge.map_or(skew_ppb, |edge| {
            let rise = i128::from(edge[1].ahead_us - edge[0].ahead_us) * 1_000_000_000;
            let most = i128::from(MOST_SKEW_PPB);
            (rise / i128::from((edge[1].at_us - edge[0].at_us).max(1))).clamp(-most, most) as i64
        });
        // How long audio is on its way may change for good, so only what came of late says where the line lies.
        let first_of_late = points.len().saturating_sub(LATE_WINDOWS);
        let of_late = |(i, point): &(usize, &Point)| *i >= first_of_late || point.at_us + OF_LATE_US >= now_us;
        let ahead = |point: &Point| {
            let since = i128::from(now_us) - i128::from(point.at_us);
            point.ahead_us + (since * i128::from(skew_ppb) / 1_000_000_000) as i64
        };
        let ahead_us = points.iter().enumerate().filter(of_late).map(|(_, point)| ahead(point)).max()?;
        Some((ahead_us, skew_ppb))
    }

    /// Audio is suddenly on its way for a shorter time than before, by `by_us`, as `ahead_us` at `at_us` shows: that is no
    /// skew. What was seen before counts as if it had been on its way as shortly.
    pub(super) fn raise(&mut self, by_us: u64, at_us: u64, ahead_us: i64, skew_ppb: i64) {
        for point in &mut self.points[..self.count] {
            let since = i128::from(at_us) - i128::from(point.at_us);
            // A line that falls may only look so, because audio was long on its way.
            let level = ahead_us - (since * i128::from(skew_ppb.max(0)) / 1_000_000_000) as i64;
            point.ahead_us = point.ahead_us.max(point.ahead_us.saturating_add_unsigned(by_us).min(level));
        }
    }
}

/// Whether `b` lies above the line from `a` to `c`.
fn bends_down(a: &Point, b: &Point, c: &Point) -> bool {
    let run = |p: &Point| i128::from(p.at_us - a.at_us);
    let rise = |p: &Point| i128::from(p.ahead_us - a.ahead_us);
    rise(b) * run(c) > rise(c) * run(b)
}
