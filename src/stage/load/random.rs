//! Chance from a seed.

/// Numbers that look random and follow from a seed (xorshift64*). Whoever draws from one of his own draws the same,
/// whatever else is drawn elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Numbers for one purpose: another `stream`, other numbers.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut random = Random(mix(seed ^ mix(stream.wrapping_add(1))) | 1);
        random.next();
        random
    }

    /// A number of 53 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    /// From `low` to `high`, both included.
    pub(crate) fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high.saturating_sub(low) + 1)
    }

    /// Less than `n`; 0 where that is impossible.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// From the first to the second, which is not the smaller one.
    pub(crate) fn between(&mut self, [from, to]: [f64; 2]) -> f64 {
        from + (to - from).max(0.0) * self.fraction()
    }

    /// As [`range`](Self::range), but small numbers are as likely as large ones: half lie below the geometric mean.
    pub(crate) fn skewed(&mut self, low: u64, high: u64) -> u64 {
        let (low, high) = (low.max(1) as f64, high.max(1) as f64);
        (low * (high / low).powf(self.fraction())) as u64
    }

    /// Whether something happens that happens `per_mille` times in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.next() % 1_000 < per_mille
    }

    /// Whether something happens that happens in so many cases of a hundred.
    pub(crate) fn percent(&mut self, percent: u32) -> bool {
        self.chance(u64::from(percent) * 10)
    }

    /// One of several, which must not be none.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.next() as usize % of.len()]
    }

    /// 0 up to 1, 1 not included.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
    }
}

/// Seeds and streams are small numbers in a row; what is made of them must not be.
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 29)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    x ^ (x >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_stream_draw_the_same_and_others_do_not() {
        let draw = |seed, stream| {
            let mut random = Random::new(seed, stream);
            (0..8).map(|_| random.range(0, 1_000_000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }

    #[test]
    fn ranges_are_reached_at_both_ends_and_chances_are_what_they_say() {
        let mut random = Random::new(7, 7);
        let drawn: Vec<u64> = (0..1_000).map(|_| random.range(3, 5)).collect();
        assert!([3, 4, 5].iter().all(|n| drawn.contains(n)) && drawn.iter().all(|n| (3..=5).contains(n)));
        let often = (0..10_000).filter(|_| random.chance(250)).count();
        assert!((2_300..2_700).contains(&often), "{often}");
        assert!((0..1_000).all(|_| (10..=1_000).contains(&random.skewed(10, 1_000))));
    }
}
