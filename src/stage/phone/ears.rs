//! Whether the agent is audible, judged by the energy of what is played, not by the messages that carry it.

use crate::base::audio::g711::ulaw_to_linear;
use crate::base::time::Samples;

const RATE_HZ: u32 = 8_000;
/// Energy is taken over 10 ms.
const WINDOW: u64 = 80;
/// Louder than this (RMS, about -44 dBFS) is speech; line noise is below.
const LOUD: u64 = 200;
/// Pauses up to this long, between words, are part of the same speech.
const HANGOVER_MS: u64 = 400;

/// Listens to what the line plays.
#[derive(Clone, Debug, Default)]
pub struct Ears {
    energy: u64,
    filled: u64,
    /// Where the window being filled would go on.
    next: Samples,
    speech_began: Option<Samples>,
    last_loud: Option<Samples>,
    first_loud: Option<Samples>,
}

impl Ears {
    /// Takes in μ-law audio that was played from `at` on.
    pub fn hear(&mut self, at: Samples, audio: &[u8]) {
        if at != self.next {
            (self.energy, self.filled) = (0, 0);
        }
        for (i, &code) in audio.iter().enumerate() {
            let sample = i64::from(ulaw_to_linear(code));
            self.energy += (sample * sample) as u64;
            self.filled += 1;
            if self.filled == WINDOW {
                if self.energy > LOUD * LOUD * WINDOW {
                    self.loud(at + Samples(i as u64 + 1));
                }
                (self.energy, self.filled) = (0, 0);
            }
        }
        self.next = at + Samples(audio.len() as u64);
    }

    /// What was about to be heard was cleared: the agent is silent from here on.
    pub fn cut(&mut self) {
        self.speech_began = None;
    }

    /// How long the agent has been speaking at `now`; `None`: it is silent.
    pub fn speaking_ms(&self, now: Samples) -> Option<u64> {
        let silent = now.saturating_sub(self.last_loud?).as_ms(RATE_HZ);
        (silent <= HANGOVER_MS).then_some(now.saturating_sub(self.speech_began?).as_ms(RATE_HZ))
    }

    /// How long nothing was audible at `now`, counted from `since` at the earliest.
    pub fn silent_ms(&self, now: Samples, since: Samples) -> u64 {
        now.saturating_sub(self.last_loud.map_or(since, |at| at.max(since))).as_ms(RATE_HZ)
    }

    /// Where speech was heard for the first time.
    pub fn first_loud(&self) -> Option<Samples> {
        self.first_loud
    }

    fn loud(&mut self, end: Samples) {
        let begin = end.saturating_sub(Samples(WINDOW));
        let pause = self.last_loud.map_or(u64::MAX, |last| begin.saturating_sub(last).as_ms(RATE_HZ));
        if pause > HANGOVER_MS || self.speech_began.is_none() {
            self.speech_began = Some(begin);
        }
        self.last_loud = Some(end);
        self.first_loud.get_or_insert(begin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_is_what_is_loud_and_lasts_over_short_pauses() {
        let (loud, quiet) = ([0x00u8; 1_600], [0xFFu8; 1_600]);
        let mut ears = Ears::default();
        ears.hear(Samples(0), &quiet);
        assert_eq!((ears.speaking_ms(Samples(1_600)), ears.first_loud()), (None, None));
        ears.hear(Samples(1_600), &loud);
        assert_eq!(ears.speaking_ms(Samples(3_200)), Some(200));
        ears.hear(Samples(3_200), &quiet);
        ears.hear(Samples(4_800), &loud);
        assert_eq!(ears.speaking_ms(Samples(6_400)), Some(600), "a pause of 200 ms does not end it");
        assert_eq!(ears.speaking_ms(Samples(6_400 + 3_208)), None);
        assert_eq!(ears.silent_ms(Samples(6_400 + 3_200), Samples(0)), 400);
        assert_eq!(ears.silent_ms(Samples(6_400 + 3_200), Samples(8_000)), 200);
        ears.hear(Samples(20_000), &loud);
        assert_eq!(ears.speaking_ms(Samples(21_600)), Some(200));
        ears.cut();
        assert_eq!(ears.speaking_ms(Samples(21_600)), None, "cleared");
        assert_eq!(ears.first_loud(), Some(Samples(1_600)));
    }
}
