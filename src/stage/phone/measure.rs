//! What can be measured of a known, looped sound in what the caller heard: where it is, how loud, and how it comes and goes.

/// A looped sound in what was heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Where in the loop the first sample heard lies.
    pub phase: usize,
    /// How much louder it is than the loop: 1 is as loud.
    pub gain: f32,
    /// How much of what was heard is the sound: 1 all, 0 nothing.
    pub similarity: f32,
}

/// Looks for the loop `sound` in `heard`, at every phase. Costs the product of their lengths: a tenth of a second of what
/// was heard is enough. `None` when either is empty or silent.
pub fn find(heard: &[i16], sound: &[i16]) -> Option<Found> {
    let heard_energy = energy(heard);
    let phases = (0..sound.len()).filter_map(|phase| {
        let (cross, of_sound) = products(heard, sound, phase);
        let similarity = cross / (heard_energy * of_sound).sqrt();
        (heard_energy > 0.0 && of_sound > 0.0).then_some(Found {
            phase,
            gain: (cross / of_sound) as f32,
            similarity: similarity as f32,
        })
    });
    phases.max_by(|a, b| a.similarity.total_cmp(&b.similarity))
}

/// How much louder than the loop each `window` samples of what was heard are, where its first sample lies at `phase` of the
/// loop: the envelope. Windows in which the loop is silent have `None`.
pub fn gains(heard: &[i16], sound: &[i16], phase: usize, window: usize) -> Vec<Option<f32>> {
    let of = |(n, part): (usize, &[i16])| {
        let (cross, of_sound) = products(part, sound, phase + n * window);
        (of_sound > 0.0).then_some((cross / of_sound) as f32)
    };
    heard.chunks(window.max(1)).enumerate().map(of).collect()
}

/// A gain in dB; silence is −∞.
pub fn db(gain: f32) -> f32 {
    20.0 * gain.max(0.0).log10()
}

/// The largest step from one sample to the next: a click is one that is larger than any of the sound's own.
pub fn largest_step(samples: &[i16]) -> u32 {
    samples.windows(2).map(|pair| i32::from(pair[1]).abs_diff(i32::from(pair[0]))).max().unwrap_or(0)
}

fn energy(samples: &[i16]) -> f64 {
    samples.iter().map(|&s| f64::from(s) * f64::from(s)).sum()
}

/// What was heard times the loop, and the loop times itself.
fn products(heard: &[i16], sound: &[i16], phase: usize) -> (f64, f64) {
    let looped = sound.iter().cycle().skip(phase % sound.len().max(1));
    heard.iter().zip(looped).fold((0.0, 0.0), |(cross, of_sound), (&h, &s)| {
        (cross + f64::from(h) * f64::from(s), of_sound + f64::from(s) * f64::from(s))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, mut seed: u32) -> Vec<i16> {
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as i16 / 4
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn a_loop_is_found_with_its_phase_and_loudness() {
        let sound = noise(700, 1);
        let heard: Vec<i16> = sound.iter().cycle().skip(600).take(400).map(|s| s / 4).collect();
        let found = find(&heard, &sound).unwrap();
        assert_eq!(found.phase, 600);
        assert!(found.similarity > 0.999 && (db(found.gain) + 12.04).abs() < 0.05, "{found:?}");
        assert!(gains(&heard, &sound, 600, 40).iter().flatten().all(|g| (db(*g) + 12.04).abs() < 0.1));
        let other = find(&noise(400, 99), &sound).unwrap();
        assert!(other.similarity < 0.3, "{other:?}");
        assert_eq!((find(&[0; 10], &sound), find(&heard, &[])), (None, None));
    }

    #[test]
    fn a_click_is_a_large_step() {
        assert_eq!(largest_step(&[0, 5, -5, 3]), 10);
        assert_eq!(largest_step(&[i16::MIN, i16::MAX]), 65_535);
        assert_eq!(largest_step(&[1]), 0);
    }
}
