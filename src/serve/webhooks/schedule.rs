//! When an event that could not be delivered is tried again.

/// Attempts before an event is given up.
pub const ATTEMPTS: u64 = 12;
/// How much longer each pause is than the one before.
const FACTOR: u64 = 3;
/// The longest pause, in milliseconds, also when an endpoint asks for a longer one.
const LONGEST_MS: u64 = 6 * 3_600 * 1_000;
/// How far chance moves a pause, either way, so that what failed together is not tried together.
const JITTER: f64 = 0.2;

/// Milliseconds until the next attempt after `attempts` that failed (1 or more); `None`: there is no further one.
///
/// `first_ms` is the first pause. `asked_s` is the endpoint's `Retry-After`, which is never undercut but for
/// six hours. `chance` is 0–1.
pub fn pause_ms(first_ms: u64, attempts: u64, asked_s: Option<u64>, chance: f64) -> Option<u64> {
    if attempts >= ATTEMPTS {
        return None;
    }
    let factor = FACTOR.saturating_pow(attempts.saturating_sub(1) as u32);
    let pause = first_ms.saturating_mul(factor).min(LONGEST_MS) as f64;
    let moved = pause * (1.0 + JITTER * (2.0 * chance.clamp(0.0, 1.0) - 1.0));
    let asked_ms = asked_s.unwrap_or(0).saturating_mul(1_000).min(LONGEST_MS);
    Some((moved as u64).max(asked_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_six_hours_and_take_about_a_day() {
        let pauses: Vec<u64> = (1..).map_while(|attempts| pause_ms(5_000, attempts, None, 0.5)).collect();
        assert_eq!(pauses.len() as u64, ATTEMPTS - 1);
        assert_eq!(pauses[..4], [5_000, 15_000, 45_000, 135_000]);
        assert_eq!(pauses[8..], [LONGEST_MS; 3]);
        let hours = pauses.iter().sum::<u64>() / 3_600_000;
        assert_eq!(hours, 22);
    }

    #[test]
    fn chance_moves_a_pause_by_a_fifth() {
        assert_eq!(pause_ms(1_000, 2, None, 0.0), Some(2_400));
        assert_eq!(pause_ms(1_000, 2, None, 1.0), Some(3_600));
    }

    #[test]
    fn an_endpoint_that_asks_for_time_gets_it_within_bounds() {
        assert_eq!(pause_ms(1_000, 1, Some(60), 0.5), Some(60_000));
        assert_eq!(pause_ms(1_000, 4, Some(3), 0.5), Some(27_000), "it is no way to be tried sooner");
        assert_eq!(pause_ms(1_000, 1, Some(u64::MAX), 0.5), Some(LONGEST_MS));
        assert_eq!(pause_ms(1_000, ATTEMPTS, Some(1), 0.5), None);
    }
}
