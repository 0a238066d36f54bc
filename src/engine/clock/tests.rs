//! Lines whose clocks run apart from ours, with everything that hides it.

use super::*;

/// A line in virtual time: frames of 20 ms by a clock of `skew_ppm`, each late by what `delay_us` says of it.
struct Far {
    map: ClockMap,
    skew_ppm: i64,
    random: u64,
    frame: u64,
}

const START_US: u64 = 300_000;

impl Far {
    fn new(skew_ppm: i64) -> Far {
        let mut map = ClockMap::default();
        map.start(CallTime::from_us(START_US));
        Far { map, skew_ppm, random: 9, frame: 0 }
    }

    /// When the far clock reads this.
    fn call_of(&self, line_us: u64) -> u64 {
        START_US + (u128::from(line_us) * 1_000_000 / (1_000_000 + self.skew_ppm) as u128) as u64
    }

    fn line_of(&self, call_us: u64) -> i64 {
        let since = i128::from(call_us) - i128::from(START_US);
        (since * i128::from(1_000_000 + self.skew_ppm) / 1_000_000) as i64
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below.max(1)
    }

    /// Frames until the far clock reads `until_s`. Answers the most that the map was off, in µs, after `from_s`.
    fn run(&mut self, from_s: u64, until_s: u64, mut delay_us: impl FnMut(&mut Far, u64) -> Option<u64>) -> u64 {
        let (mut worst, mut last) = (0, 0);
        while self.frame * 20_000 < until_s * 1_000_000 {
            let frame = self.frame;
            self.frame += 1;
            let end_us = self.frame * 20_000;
            let Some(late_us) = delay_us(self, frame) else { continue };
            // Messages do not overtake each other.
            let at_us = (self.call_of(end_us) + late_us).max(last);
            last = at_us;
            self.map.heard(CallTime::from_us(at_us), LineTime::from_us(end_us));
            if end_us >= from_s * 1_000_000 {
                let off = self.map.line_at(CallTime::from_us(at_us)).as_us() as i64 - self.line_of(at_us);
                worst = worst.max(off.unsigned_abs());
            }
        }
        worst
    }
}

#[test]
fn clocks_that_agree_are_one_clock() {
    let mut far = Far::new(0);
    assert_eq!(far.run(0, 600, |_, _| Some(0)), 0);
    assert_eq!(far.map.knots.len(), 1);
    assert_eq!(far.map.skew_ppm(), Some(0));
}

#[test]
fn half_a_percent_for_ten_minutes() {
    for skew_ppm in [-20_000i64, -5_000, -1_000, 1_000, 5_000, 20_000] {
        let most = if skew_ppm.abs() > 5_000 { 25_000 } else { 8_000 };
        let worst = Far::new(skew_ppm).run(0, 600, |far, _| Some(far.random(2_000)));
        assert!(worst < most, "{skew_ppm} ppm: off by {worst} µs");
        let mut far = Far::new(skew_ppm);
        let settled = far.run(20, 600, |far, _| Some(far.random(2_000)));
        assert!(settled < 3_000, "{skew_ppm} ppm: off by {settled} µs once it is known");
        assert!(far.map.skew_ppm().is_some_and(|ppm| (ppm - skew_ppm).abs() <= 20), "{:?}", far.map.skew_ppm());
    }
}

#[test]
fn fifty_ppm_for_eight_hours() {
    for skew_ppm in [-50, 50] {
        let mut far = Far::new(skew_ppm);
        let worst = far.run(0, 8 * 3_600, |far, _| Some(far.random(3_000)));
        assert!(worst < 5_000, "off by {worst} µs");
        assert!(far.map.knots.len() <= KNOTS_MAX + 2);
        // What was, stays: an hour ago the map was right, too.
        let hour = far.call_of(7 * 3_600_000_000);
        let off = far.map.line_at(CallTime::from_us(hour)).as_us() as i64 - far.line_of(hour);
        assert!(off.abs() < 5_000, "off by {off} µs an hour ago");
    }
}

#[test]
fn jitter_bursts_and_gaps_hide_nothing() {
    for skew_ppm in [-5_000, 0, 5_000] {
        let mut far = Far::new(skew_ppm);
        let worst = far.run(10, 600, |far, frame| {
            let second = frame / 50;
            match second % 60 {
                // Messages in bursts of 200 ms, a second of them, a lost second, a stall of three.
                10..=19 => Some(180_000 - frame % 10 * 20_000 + far.random(4_000)),
                30 => None,
                40..=42 => Some(3_000_000u64.saturating_sub((frame - (second - second % 60 + 40) * 50) * 20_000)),
                _ => Some(far.random(40_000)),
            }
        });
        assert!(worst < 12_000, "{skew_ppm} ppm: off by {worst} µs");
    }
}

#[test]
fn a_way_that_changes_its_length_is_no_skew() {
    for skew_ppm in [-200, 0, 200] {
        let mut far = Far::new(skew_ppm);
        // Longer by 100 ms for a minute: followed, and followed back.
        let delay = |far: &mut Far, frame: u64| {
            Some(far.random(2_000) + if (3_000..6_000).contains(&frame) { 100_000 } else { 0 })
        };
        far.run(0, 115, delay);
        let off = far.line_of(far.call_of(115_000_000))
            - far.map.line_at(CallTime::from_us(far.call_of(115_000_000))).as_us() as i64;
        assert!((off - 100_000).abs() < 8_000, "{off}");
        assert!(far.run(121, 400, delay) < 8_000);
        assert!(far.map.skew_ppm().is_some_and(|ppm| (ppm - skew_ppm).abs() < 150), "{:?}", far.map.skew_ppm());
    }
}

#[test]
fn a_beginning_that_was_read_late_moves() {
    let mut map = ClockMap::default();
    map.start(CallTime::from_ms(1_300));
    assert_eq!(map.heard(CallTime::from_ms(1_310), LineTime::from_us(310_000)), 300_000);
    assert_eq!(map.started_at(), Some(CallTime::from_ms(1_000)));
    assert_eq!(map.line_at(CallTime::from_ms(1_200)), LineTime::from_us(200_000));
}

/// A connection that stalls around the stream's beginning: `start` is read late, and all that was said since in one go.
#[test]
fn a_beginning_that_is_read_late_together_with_its_audio_moves_by_all_of_it() {
    for (late_ms, heard_at_ms) in [(300, 2_000), (1_500, 2_000), (2_400, 3_000), (8_000, 9_000), (3_000, 1_000)] {
        let mut map = ClockMap::default();
        let start_us = heard_at_ms * 1_000;
        map.start(CallTime::from_us(start_us));
        let mut moved = 0;
        for n in 1..=late_ms / 20 {
            // Some microseconds each.
            moved += map.heard(CallTime::from_us(start_us + n * 30), LineTime::from_us(n * 20_000));
        }
        assert!(moved.abs_diff(late_ms * 1_000) < 20_000, "{late_ms}: moved by {moved} µs");
        for n in late_ms / 20 + 1..6_000 {
            let at = CallTime::from_us(start_us + n * 20_000 - late_ms * 1_000);
            map.heard(at, LineTime::from_us(n * 20_000));
            let off_us = map.line_at(at).as_us().abs_diff(n * 20_000);
            assert!(off_us < 20_000, "{late_ms}, frame {n}: off by {off_us} µs");
        }
        if late_ms <= heard_at_ms {
            let began = map.started_at().expect("a beginning").as_ms();
            assert!(began.abs_diff(heard_at_ms - late_ms) < 20, "{late_ms}: began at {began} ms");
        }
        assert!(map.knots.len() <= KNOTS_MAX + 2);
    }
}

#[test]
fn a_stream_that_comes_back_late_together_with_its_audio_goes_on_from_there() {
    let mut far = Far::new(0);
    far.run(0, 60, |_, _| Some(0));
    let back_us = START_US + 65_000_000;
    far.map.restart(CallTime::from_us(back_us));
    // 2.4 s at once, the first of them put where the stream seems to begin, then in time.
    for n in 1..=120 + 500 {
        let at = CallTime::from_us(back_us + if n <= 120 { n * 30 } else { (n - 120) * 20_000 });
        let end_us = 65_000_000 + n * 20_000;
        far.map.heard(at, LineTime::from_us(end_us));
        let off_us = far.map.line_at(at).as_us().abs_diff(end_us);
        assert!(off_us < 20_000, "frame {n}: off by {off_us} µs");
    }
    // What was before the break stays.
    let minute = CallTime::from_us(START_US + 30_000_000);
    assert!(far.map.line_at(minute).as_us().abs_diff(30_000_000) < 5_000);
}

#[test]
fn what_no_clock_explains_is_not_believed() {
    let mut map = ClockMap::default();
    map.start(CallTime::from_ms(0));
    for n in 1..=100 {
        map.heard(CallTime::from_ms(n * 20), LineTime::from_us(n * 20_000));
    }
    map.heard(CallTime::from_ms(2_020), LineTime::from_us(9_000_000));
    assert_eq!(map.line_at(CallTime::from_ms(2_020)), LineTime::from_us(2_020_000));
    map.heard(CallTime::from_ms(2_040), LineTime::from_us(u64::MAX));
    assert_eq!(map.line_at(CallTime::from_ms(2_040)), LineTime::from_us(2_040_000));
}

#[test]
fn another_stream_goes_on_with_what_is_known() {
    let mut far = Far::new(5_000);
    far.run(0, 60, |_, _| Some(0));
    let away = far.call_of(70_000_000);
    assert!((far.map.line_at(CallTime::from_us(away)).as_us() as i64 - 70_000_000).abs() < 2_000);
    far.map.restart(CallTime::from_us(away));
    far.frame = 3_500;
    assert!(far.run(70, 130, |_, _| Some(0)) < 3_000);
}

#[test]
fn the_map_is_its_own_inverse_and_never_runs_backwards() {
    for skew_ppm in [-20_000, 0, 300, 20_000] {
        let mut far = Far::new(skew_ppm);
        far.run(0, 90, |far, frame| Some(far.random(if frame % 500 < 250 { 1_000 } else { 60_000 })));
        let (mut before, mut call_before) = (LineTime::ZERO, CallTime::ZERO);
        for ms in (0..120_000).step_by(7) {
            let call = CallTime::from_ms(ms);
            let line = far.map.line_at(call);
            assert!(line >= before, "backwards at {call}");
            before = line;
            let back = far.map.call_at(LineTime::from_us(ms * 1_000));
            assert!(back >= call_before, "backwards at line time {ms} ms");
            call_before = back;
            if ms > 300 {
                let there = far.map.line_at(back).as_us();
                assert!(there >= ms * 1_000 && there < ms * 1_000 + 70_000, "{ms}: {there}");
            }
        }
    }
}

#[test]
fn a_line_that_plays_at_another_pace_is_found_out_and_jitter_is_not() {
    let mut pace = Pace::default();
    let mut random = 3u64;
    let mut moved = 0i64;
    for n in 0..36_000u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let jitter = (random >> 33) % 30_000;
        let drift = n as i64 * 500;
        let late = 60_000 + jitter as i64 + drift - moved;
        moved += pace.mark(LineTime::from_us(n * 100_000), late as u64).unwrap_or(0);
        assert!((drift - moved).abs() < 60_000, "mark {n}: {drift} and {moved}");
    }
    let mut pace = Pace::default();
    for n in 0..36_000u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        assert_eq!(pace.mark(LineTime::from_us(n * 100_000), 60_000 + (random >> 33) % 30_000), None);
    }
}
