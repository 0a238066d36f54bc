//! Where the caller's audio belongs, by the stamps that the line gives it.
//!
//! A stamp is in milliseconds of a clock that may begin anywhere, and anew at any time. Audio that follows what came before
//! belongs behind it, however its stamps creep; one that leaps ahead leaves a gap, if there was time for one; one that falls
//! back was there before, unless what follows it goes on from there: then the clock has begun again. Stamps that make no
//! sense are not asked any more.

use crate::base::time::Samples;

/// Stamps may disagree by this much with the audio that came before without there being a gap: half a frame.
const TOLERANCE_MS: u64 = 10;
/// Audio may claim to be from after now by this much, as when audio was late at first; beyond it is a clock that leapt.
const AHEAD_MS: u64 = 500;
/// A first stamp from before now by more than this says nothing of when its stream began.
const FIRST_LATE_MS: u64 = 1_000;
/// Audio this far behind what came before is not late but a clock that began again.
const LONGEST_LATE_MS: u64 = 5_000;
/// So many messages that follow each other are not late either.
const LATE_RUN: u32 = 3;
/// Nobody sends so many messages that were there before, and none that was not.
const LATES: u32 = 16;
/// Of what stamps differ from the audio, this part is taken over with each message: they creep, or were rounded.
const CREEP_PARTS: i64 = 16;
/// A clock that leaps so often ...
const LEAPS: u32 = 4;
/// ... each time within this long after the last is none.
const LEAPS_WITHIN_MS: u64 = 10_000;
/// Where stamps are not asked, a pause in what comes that is longer than this is a gap.
const PAUSE_MS: u64 = 1_000;

/// What a stamp means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It belongs here: where the last audio ended, or behind a gap.
    At(Samples),
    /// It was there before. The number counts such messages that followed each other.
    Late(u32),
    /// The clock has begun anew: it belongs here.
    Anew(Samples),
    /// The same, and so do the late ones of its run.
    Again,
}

/// The stamps of one line.
#[derive(Debug)]
pub(super) struct Stamps {
    rate_hz: u32,
    /// A stamp and the position that it means.
    base: Option<(u64, i64)>,
    /// Where the run of late messages goes on, and how many they are.
    late: (u64, u32),
    /// Late messages since the last that was not.
    all_late: u32,
    leaps: u32,
    leapt_at: Samples,
    /// Stamps are not asked any more.
    pub(super) ignored: bool,
}

impl Stamps {
    pub(super) fn new(rate_hz: u32) -> Self {
        Stamps { rate_hz, base: None, late: (0, 0), all_late: 0, leaps: 0, leapt_at: Samples::ZERO, ignored: false }
    }

    /// Another stream: the next stamp is of a clock of its own.
    pub(super) fn restart(&mut self) {
        let rate_hz = self.rate_hz;
        *self = Stamps::new(rate_hz);
    }

    /// Where `len` of audio stamped `at_ms` belongs, which is here at line time `now`. `expected`: where the last audio
    /// ended; `None` before the first.
    pub(super) fn place(&mut self, now: Samples, expected: Option<Samples>, at_ms: u64, len: Samples) -> Place {
        let latest = now + self.samples(AHEAD_MS);
        let arrived = now.saturating_sub(len);
        let Some(expected) = expected else {
            let stamped = i128::from(at_ms) * i128::from(self.rate_hz) / 1_000;
            let end = stamped + i128::from(len.0);
            let told =
                end <= i128::from(latest.0) && end + i128::from(self.samples(FIRST_LATE_MS).0) >= i128::from(now.0);
            let at = if told { Samples(stamped as u64) } else { arrived };
            self.base = Some((at_ms, at.0 as i64));
            return if told { Place::At(at) } else { Place::Anew(at) };
        };
        if self.ignored {
            let paused = arrived > expected + self.samples(PAUSE_MS);
            return Place::At(if paused { arrived } else { expected });
        }
        let anew = arrived.max(expected);
        let Some(stamped) = self.stamped(at_ms) else { return self.leap(at_ms, anew) };
        let off = stamped.saturating_sub(expected.0 as i64);
        let tolerance = self.samples(TOLERANCE_MS).0 as i64;
        if off >= tolerance {
            if stamped.saturating_add_unsigned(len.0) > latest.0 as i64 {
                return self.leap(at_ms, anew);
            }
            self.base = Some((at_ms, stamped));
            (self.late.1, self.all_late) = (0, 0);
            return Place::At(Samples(stamped as u64));
        }
        if off.saturating_add_unsigned(len.0) > 0 {
            // It lies behind what came before, whatever its stamp says: audio comes whole or not at all.
            let creep = if off <= -tolerance { off } else { off / CREEP_PARTS };
            self.base = Some((at_ms, stamped - creep));
            (self.late.1, self.all_late) = (0, 0);
            return Place::At(expected);
        }
        if off < -(self.samples(LONGEST_LATE_MS).0 as i64) {
            return self.leap(at_ms, anew);
        }
        self.all_late += 1;
        if self.all_late > LATES {
            self.ignored = true;
            return Place::At(anew);
        }
        let (goes_on, run) = self.late;
        let run = if run > 0 && goes_on.abs_diff(at_ms) < TOLERANCE_MS { run + 1 } else { 1 };
        self.late = (at_ms.saturating_add(len.as_ms(self.rate_hz)), run);
        if run < LATE_RUN { Place::Late(run) } else { Place::Again }
    }

    /// The clock has begun anew: the stamp means this position.
    pub(super) fn begin_anew(&mut self, at_ms: u64, at: Samples) {
        self.base = Some((at_ms, at.0 as i64));
        (self.late.1, self.all_late) = (0, 0);
        let often = at.saturating_sub(self.leapt_at) <= self.samples(LEAPS_WITHIN_MS);
        self.leaps = if often { self.leaps + 1 } else { 1 };
        self.leapt_at = at;
        self.ignored |= self.leaps >= LEAPS;
    }

    fn leap(&mut self, at_ms: u64, at: Samples) -> Place {
        self.begin_anew(at_ms, at);
        Place::Anew(at)
    }

    /// The position that a stamp means; `None` where there is none.
    fn stamped(&self, at_ms: u64) -> Option<i64> {
        let (ms, at) = self.base?;
        let since = (i128::from(at_ms) - i128::from(ms)) * i128::from(self.rate_hz) / 1_000;
        i64::try_from(i128::from(at) + since).ok()
    }

    fn samples(&self, ms: u64) -> Samples {
        Samples::from_ms(ms, self.rate_hz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: Samples = Samples(160);

    /// Frames of 20 ms, each here as it ends, with these stamps: where each is put, and what was lost.
    fn placed(stamps: impl IntoIterator<Item = u64>) -> (Vec<Samples>, u64, Stamps) {
        let mut clock = Stamps::new(8_000);
        let (mut at, mut expected, mut held, mut lost) = (Vec::new(), None, 0, 0);
        for (n, stamp) in (1..).zip(stamps) {
            let now = Samples(n * 160);
            match clock.place(now, expected, stamp, LEN) {
                Place::At(place) | Place::Anew(place) => {
                    lost += std::mem::take(&mut held);
                    at.push(place);
                    expected = Some(place + LEN);
                }
                Place::Late(run) => {
                    lost += if run == 1 { std::mem::take(&mut held) } else { 0 };
                    held += 1;
                }
                Place::Again => {
                    for _ in 0..=std::mem::take(&mut held) {
                        let place = expected.unwrap();
                        at.push(place);
                        expected = Some(place + LEN);
                    }
                    clock.begin_anew(stamp, *at.last().unwrap());
                }
            }
        }
        (at, lost, clock)
    }

    fn is_whole(at: &[Samples], frames: usize) -> bool {
        at.len() == frames && at.windows(2).all(|pair| pair[1] == pair[0] + LEN)
    }

    #[test]
    fn a_clock_may_begin_anywhere() {
        for first in [0, 7, 4_294_967_000, 1_790_000_000_000, u64::MAX - 3_000] {
            let (at, lost, clock) = placed((0..100).map(|n| first.saturating_add(n * 20)));
            assert!(is_whole(&at, 100) && lost == 0 && !clock.ignored, "{first}: {lost} lost, {at:?}");
        }
    }

    #[test]
    fn a_clock_may_begin_again_at_any_time() {
        // After a fraction of a second, seconds and minutes, at zero and elsewhere, and around 2³² as RTP does.
        for (before, then) in [(10, 0), (100, 0), (100, 40), (1_000, 0), (1_000, 15_000), (6_000, 90_000_000), (50, 0)]
        {
            let stamps = (0..before).map(|n| n * 20).chain((0..200).map(|n| then + n * 20));
            let (at, lost, _) = placed(stamps);
            assert!(is_whole(&at, before as usize + 200) && lost == 0, "{before} {then}: {lost} lost of {}", at.len());
        }
        let (at, lost, _) = placed((0..300u64).map(|n| (4_294_965_000 + n * 20) % (1 << 32)));
        assert!(is_whole(&at, 300) && lost == 0);
    }

    #[test]
    fn what_was_there_before_is_late_and_what_is_missing_is_a_gap() {
        let (at, lost, _) = placed([0, 20, 20, 40, 40, 60, 140, 100, 160]);
        assert_eq!(lost, 3);
        assert_eq!(at.iter().map(|at| at.0 / 160).collect::<Vec<_>>(), [0, 1, 2, 3, 7, 8]);
    }

    #[test]
    fn stamps_that_creep_lose_nothing() {
        for per_mille in [980, 995, 999, 1_001, 1_005, 1_020] {
            let (at, lost, clock) = placed((0..30_000).map(|n| n * 20 * per_mille / 1_000));
            assert!(is_whole(&at, 30_000) && lost == 0 && !clock.ignored, "{per_mille}");
        }
    }

    #[test]
    fn stamps_that_are_none_are_not_asked_any_more() {
        // Ticks of the samples, and always the same.
        for step in [160, 1_000, 0] {
            let (at, lost, clock) = placed((0..1_000).map(|n| n * step));
            assert!(clock.ignored || step == 0, "{step}");
            let beyond = at.last().unwrap().0.saturating_sub(999 * 160);
            assert!(at.len() as u64 + lost == 1_000 && lost <= 16 && beyond <= 4_800, "{step}: {lost} lost, {beyond}");
        }
    }
}
