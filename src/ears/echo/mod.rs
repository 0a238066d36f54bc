//! The agent's own voice on the caller's track: taken out where its path is known, and recognised where it is not.
//!
//! The guard knows what the agent says and roughly when the line plays it. It searches the caller's track for it
//! ([`search`]), learns the path ([`filter`]), subtracts the echo, and says how much of what came is the agent's own
//! ([`EchoGuard::echo_share`]); [`discount`] turns that into a speech probability of the caller.

mod canceller;
mod coupling;
mod evidence;
mod fft;
mod filter;
mod reference;
mod search;
#[cfg(test)]
mod tests;

use crate::base::time::Samples;

use canceller::Canceller;
use evidence::Onset;
use reference::Reference;

/// Keeps the agent's echo from being taken for the caller.
pub struct EchoGuard {
    reference: Reference,
    /// Where the next caller sample is due.
    now: Option<u64>,
    /// Made when the agent is first heard: most of the memory.
    canceller: Option<Box<Canceller>>,
    /// The caller's sound while the agent cannot be heard.
    onset: Onset,
    rate_hz: u32,
}

impl EchoGuard {
    /// For a line of `rate_hz`, 8 000 to 48 000; other rates are treated as the nearest of these.
    pub fn new(rate_hz: u32) -> EchoGuard {
        let rate_hz = rate_hz.clamp(8_000, 48_000);
        EchoGuard { reference: Reference::new(rate_hz), now: None, canceller: None, onset: Onset::default(), rate_hz }
    }

    /// Agent audio that will be audible at the line from media position `at` on, told in order and up to a second
    /// ahead; what lies further ahead is dropped. `at` may be wrong by 100 ms and may jump when a mark corrects it.
    pub fn played(&mut self, at: Samples, samples: &[i16]) {
        if at.0 > LAST {
            return;
        }
        let anew = self.reference.tell(at.0, samples, self.now);
        if self.canceller.is_none() && self.reference.audible_since().is_some() {
            self.canceller = Some(Box::new(Canceller::new(self.rate_hz)));
        }
        if let Some(canceller) = self.canceller.as_mut().filter(|_| anew) {
            canceller.reference_jumped();
        }
    }

    /// Forgets agent audio from `from` on: it was cleared and will not be heard.
    pub fn cleared(&mut self, from: Samples) {
        self.reference.forget_from(from.0);
        if let Some(canceller) = self.canceller.as_mut() {
            canceller.reference_jumped();
        }
    }

    /// Takes the agent's echo out of caller audio that begins at `at`, in place and without delay. Any chunking gives the
    /// same audio. Changes nothing when the agent has not been heard for a second.
    pub fn process(&mut self, at: Samples, near: &mut [i16]) {
        let mut position = at.0;
        if self.now != Some(position) {
            self.onset.break_off();
            if let Some(canceller) = self.canceller.as_mut() {
                canceller.break_off();
            }
        }
        let block = Canceller::block(self.rate_hz);
        let mut rest = near;
        while !rest.is_empty() && position <= LAST {
            let room = block - (position % block as u64) as usize;
            let (now, later) = rest.split_at_mut(room.min(rest.len()));
            match self.canceller.as_mut() {
                Some(canceller) => canceller.process(position, now, &self.reference, &mut self.onset),
                None => self.onset.hear(position, now, block),
            }
            position += now.len() as u64;
            rest = later;
        }
        self.now = Some(position.saturating_add(rest.len() as u64));
    }

    /// How much of what came since this was last asked is explained by the agent's own voice: 0 nothing, 1 all.
    pub fn echo_share(&mut self) -> f32 {
        self.canceller.as_mut().map_or(0.0, |canceller| canceller.echo_share())
    }

    /// Bytes that this guard holds; all of them are allocated when the agent is first heard.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.reference.heap_bytes() + self.canceller.as_ref().map_or(0, |c| c.bytes())
    }
}

/// The probability that the caller speaks, of the `probability` of speech in audio of which `echo_share` is echo.
pub fn discount(probability: f32, echo_share: f32) -> f32 {
    probability * ((ALL_ECHO - echo_share) / (ALL_ECHO - SOME_ECHO)).clamp(0.0, 1.0)
}

/// Positions beyond are not of a call: 18 million years at 8 kHz. Sums of positions below do not overflow.
const LAST: u64 = 1 << 62;

/// Up to this share of echo, speech is the caller's: one who is 6 dB weaker than the echo leaves a share of 0.8.
const SOME_ECHO: f32 = 0.75;

/// From this share on nothing is the caller's.
const ALL_ECHO: f32 = 0.88;
