//! The guard at work: blocks of the caller's track, the path's state, what to search when.

use super::coupling::{self, Coupling};
use super::evidence::{Evidence, Onset, mean_square};
use super::filter::Filter;
use super::reference::Reference;
use super::search::{Found, SEARCH_HZ, Search, WINDOW};

/// Works in blocks of 16 ms on a grid of media positions, so that chunking does not matter: the agent's audio is known
/// ahead, the echo in a block is reckoned as it begins and learnt from as it ends.
pub(super) struct Canceller {
    /// Samples in a block.
    block: usize,
    /// Samples of the line to one of the search.
    decimation: usize,
    /// The caller's block as it came, and the agent's echo in it.
    near: Vec<f32>,
    echo: Vec<f32>,
    residual: Vec<f32>,
    /// Running power before and behind the filter.
    heard: f32,
    left: f32,
    /// The block under way: from its beginning or not at all, so that nothing is learnt from a part.
    stage: Stage,
    /// The last blocks as they came, oldest first from `oldest`.
    history: Vec<i16>,
    /// How many of them there are, and one past the position of the last.
    known: usize,
    until: u64,
    /// Made when a path is first believed in: a line without echo needs none.
    filter: Option<Box<Filter>>,
    search: Search,
    path: Path,
    evidence: Evidence,
    coupling: Coupling,
    /// The coupling has heard all blocks up to this position, by one reckoning.
    coupled: Option<u64>,
    /// Blocks of loud agent in which the known path brought nothing back.
    idle: u32,
    /// The filter has heard all blocks of the agent's up to this position.
    listened: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// The block passes: the agent cannot be heard, or its beginning was missed.
    Pass,
    /// The block is watched; its echo is subtracted or, while the filter is not to be trusted, left.
    Watch { subtract: bool },
}

/// What is known of the way from the agent to the caller's track.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Path {
    /// Nothing.
    Unknown,
    /// The echo's strongest part is this many samples late.
    Known { peak: i64 },
}

impl Canceller {
    pub(super) fn new(rate_hz: u32) -> Canceller {
        let (decimation, block) = (decimation(rate_hz), Canceller::block(rate_hz));
        Canceller {
            block,
            decimation,
            near: vec![0.0; block],
            echo: vec![0.0; block],
            residual: vec![0.0; block],
            stage: Stage::Pass,
            history: vec![0; HISTORY * block],
            known: 0,
            until: 0,
            filter: None,
            search: Search::new(((LATEST_MS - EARLIEST_MS) * i64::from(SEARCH_HZ) / 1_000) as usize),
            heard: 0.0,
            left: 0.0,
            path: Path::Unknown,
            evidence: Evidence::new(),
            coupling: Coupling::new(),
            coupled: None,
            idle: 0,
            listened: None,
        }
    }

    /// The line's reckoning of what the agent says may have moved.
    pub(super) fn reference_jumped(&mut self) {
        self.listened = None;
        self.coupled = None;
    }

    /// The next sample does not follow the last: nothing is learnt across the gap.
    pub(super) fn break_off(&mut self) {
        self.known = 0;
        self.listened = None;
        self.coupled = None;
        self.stage = Stage::Pass;
        self.evidence.break_off();
        self.coupling.break_off();
    }

    /// Samples in a block of a line of `rate_hz`.
    pub(super) fn block(rate_hz: u32) -> usize {
        BLOCK * decimation(rate_hz)
    }

    /// Goes on with caller audio at `position` that ends with its block or before.
    pub(super) fn process(&mut self, position: u64, near: &mut [i16], reference: &Reference, onset: &mut Onset) {
        let offset = (position % self.block as u64) as usize;
        if offset == 0 {
            self.begin(position, reference, onset);
        }
        let Stage::Watch { subtract } = self.stage else { return onset.hear(position, near, self.block) };
        let kept = &mut self.near[offset..offset + near.len()];
        for ((kept, sample), &echo) in kept.iter_mut().zip(near.iter_mut()).zip(&self.echo[offset..]) {
            *kept = f32::from(*sample);
            if subtract {
                let left = *kept - echo;
                self.heard = RUNNING * self.heard + *kept * *kept;
                self.left = RUNNING * self.left + left * left;
                // A path that has just changed must not put the agent where it is not. A quotient that is not a number
                // compares false; the cast saturates.
                if self.left < self.heard {
                    *sample = left.round() as i16;
                }
            }
        }
        if offset + near.len() == self.block {
            self.end(position + near.len() as u64, reference);
        }
    }

    pub(super) fn echo_share(&mut self) -> f32 {
        self.evidence.share()
    }

    fn begin(&mut self, position: u64, reference: &Reference, onset: &mut Onset) {
        if !reference.can_be_heard(position) {
            if self.stage != Stage::Pass {
                self.stage = Stage::Pass;
                self.listened = None;
                self.evidence.silent();
                self.search.forget();
                (self.heard, self.left) = (0.0, 0.0);
            }
            return;
        }
        let subtract = match self.path {
            Path::Unknown => false,
            Path::Known { peak } => {
                self.predict(position, peak, reference);
                self.evidence.trusts_filter()
            }
        };
        if self.stage == Stage::Pass {
            if onset.began().is_some_and(|began| !reference.can_be_heard(began)) {
                self.evidence.goes_on();
            }
            onset.break_off();
        }
        self.stage = Stage::Watch { subtract };
    }

    fn end(&mut self, until: u64, reference: &Reference) {
        if self.until != until - self.block as u64 {
            self.known = 0;
        }
        self.until = until;
        self.remember();
        self.evidence.hear(&self.near);
        self.couple(reference);
        let known = matches!(self.path, Path::Known { .. });
        if known {
            self.follow();
        }
        let drowns = self.coupling.drowns_in(self.evidence.heard_from());
        if self.evidence.wants_search(known, drowns) {
            let found = self.look(reference);
            self.settle(found, reference);
        }
        self.leave_what_brings_nothing(reference);
        let jumped = match self.path {
            Path::Known { peak } => reference.jumped_at().is_some_and(|at| {
                // Where the correction is heard, the path is still that of the old reckoning.
                let since = self.until as i64 - at as i64 - peak;
                (0..2 * self.block as i64).contains(&since)
            }),
            Path::Unknown => false,
        };
        self.evidence.conclude(matches!(self.path, Path::Known { .. }), jumped);
    }

    /// Bounds the echo by what the block holds, and tells whether the block is louder.
    fn couple(&mut self, reference: &Reference) {
        let (block, until) = (self.block as i64, self.until as i64);
        // What the last block left is not needed any more.
        let mut samples = std::mem::take(&mut self.residual);
        let mut far = |delay: usize| {
            reference.read(until - block * (delay as i64 + 1 - coupling::AHEAD as i64), &mut samples);
            mean_square(&samples)
        };
        let since = until - reference.jumped_at().map_or(0, |at| at as i64);
        let reckoned = usize::try_from(since.div_euclid(block) + coupling::AHEAD as i64).unwrap_or(0);
        let power = self.evidence.power();
        if self.coupled == Some(self.until - self.block as u64) {
            self.coupling.hear(power, far(0), reckoned);
        } else {
            self.coupling.hear_anew(power, far, reckoned);
        }
        self.residual = samples;
        self.coupled = Some(self.until);
        self.evidence.compare(self.coupling.exceeded_by(power));
    }

    /// Compares the block with what the known path foretold, and learns from it.
    fn follow(&mut self) {
        let Some(filter) = self.filter.as_mut() else { return };
        if !filter.hears_agent() {
            self.evidence.pause();
            return;
        }
        for ((residual, near), echo) in self.residual.iter_mut().zip(&self.near).zip(&self.echo) {
            *residual = near - echo;
        }
        filter.learn(&self.residual, self.evidence.may_learn());
        self.evidence.weigh(filter, &self.near, &self.echo, &self.residual);
        if self.evidence.filter_is_lost() {
            filter.restart(FIRST_GAIN);
        }
    }

    /// Forgets a path by which nothing comes while the agent is loud: it was chance, or is no more.
    fn leave_what_brings_nothing(&mut self, reference: &Reference) {
        let Path::Known { peak } = self.path else { return };
        let delay = self.delay(peak);
        if self.evidence.trial_failed() {
            self.idle = IDLE;
        } else if self.evidence.is_quiet() {
            self.idle += u32::from(self.coupling.agent_at(delay) > 0.1 * reference.loudness());
        } else if self.evidence.filter_explains() {
            self.idle = 0;
        }
        if self.idle >= IDLE {
            self.idle = 0;
            self.path = Path::Unknown;
            self.filter = None;
            self.evidence.forget_path();
        }
    }

    /// The coupling's delay of a path whose strongest part is `peak` samples late.
    fn delay(&self, peak: i64) -> usize {
        let delay = peak.div_euclid(self.block as i64) + coupling::AHEAD as i64;
        usize::try_from(delay).unwrap_or(0).min(coupling::DELAYS - 1)
    }

    /// Searches the last [`WINDOW`] for the agent.
    fn look(&mut self, reference: &Reference) -> Option<Found> {
        let step = self.decimation;
        let window = (WINDOW * step) as u64;
        let begin = self.until as i64 - window as i64;
        let blocks = (WINDOW / BLOCK).min(self.known);
        let (history, block) = (&self.history, self.block);
        let lags = |ms: i64| ms * i64::from(SEARCH_HZ) / 1_000;
        self.search.find(
            lags(EARLIEST_MS)..lags(LATEST_MS),
            |out| {
                for (i, out) in out.chunks_exact_mut(BLOCK).rev().take(blocks).enumerate() {
                    let at = history.len() - (i + 1) * block;
                    decimate(history[at..at + block].iter().map(|&s| f32::from(s)), step, out);
                }
            },
            |lag, out| {
                let mut wide = [0.0; 16 * MAX_DECIMATION];
                let mut from = begin - lag * step as i64;
                for out in out.chunks_exact_mut(16) {
                    let wide = &mut wide[..16 * step];
                    reference.read(from, wide);
                    decimate(wide.iter().copied(), step, out);
                    from += wide.len() as i64;
                }
            },
        )
    }

    /// Draws the conclusion from a search.
    fn settle(&mut self, found: Option<Found>, reference: &Reference) {
        let long_heard = reference
            .audible_since()
            .is_some_and(|since| self.until > since + (LATEST_MS as usize * self.block / 16) as u64);
        let delay = found.map(|found| self.delay(found.lag * self.decimation as i64));
        let ruled_out = delay.is_some_and(|delay| self.coupling.rules_out(delay, self.evidence.power()));
        let Some(lag) = self.evidence.judge(found, ruled_out, long_heard) else { return };
        let peak = lag * self.decimation as i64;
        let Path::Known { peak: before } = self.path else {
            self.begin_path(peak, reference);
            return;
        };
        let moved = peak - before;
        if moved.unsigned_abs() < 4 * self.decimation as u64 {
            return;
        }
        // The same path under another reckoning, the path as it was, or another path: what explains the most.
        let heard = self.trial(None, reference);
        let (stays, moves) = (self.trial(Some(before), reference), self.trial(Some(peak), reference));
        if moves < 0.6 * stays && moves < 0.7 * heard {
            self.doubt_again(0.1 * FIRST_GAIN);
            self.path = Path::Known { peak };
            self.rehearse(peak, 1, reference);
        } else if stays > 0.7 * heard && !self.evidence.awaits_jump() {
            let reach = -(LEAD * self.decimation as i64)..(48 * self.block / 16) as i64;
            if !reach.contains(&moved) {
                self.begin_path(peak, reference);
            } else if self.evidence.filter_is_poor() {
                self.doubt_again(FIRST_GAIN);
                self.rehearse(before, 1, reference);
            }
        }
    }

    fn doubt_again(&mut self, gain: f32) {
        if let Some(filter) = self.filter.as_mut() {
            filter.doubt_again(gain);
        }
    }

    /// A path of which only the delay is known.
    fn begin_path(&mut self, peak: i64, reference: &Reference) {
        self.filter.get_or_insert_with(|| Box::new(Filter::new(self.block))).restart(FIRST_GAIN);
        self.rehearse(peak, 2, reference);
        self.evidence.await_proof();
        self.idle = 0;
        if self.evidence.filter_explains() {
            self.path = Path::Known { peak };
            self.evidence.begin_trial();
        } else {
            self.path = Path::Unknown;
            self.filter = None;
        }
    }

    /// The power left of the last blocks if the path is as learnt and `peak` late; without `peak`, the power heard.
    fn trial(&mut self, peak: Option<i64>, reference: &Reference) -> f32 {
        self.listened = None;
        let mut power = 0.0;
        for back in (0..self.known.min(TRIAL)).rev() {
            let at = self.history.len() - (back + 1) * self.block;
            match peak {
                Some(peak) => self.predict(self.until - ((back + 1) * self.block) as u64, peak, reference),
                None => self.echo.fill(0.0),
            }
            let left = self.history[at..].iter().zip(&self.echo).map(|(&near, echo)| f32::from(near) - echo);
            power += left.map(|left| left * left).sum::<f32>();
        }
        self.listened = None;
        power
    }

    /// Learns the path from the blocks kept, so that the next is predicted at once.
    fn rehearse(&mut self, peak: i64, rounds: usize, reference: &Reference) {
        for _ in 0..rounds {
            self.listened = None;
            self.evidence.rehearse();
            for back in (0..self.known).rev() {
                let at = self.history.len() - (back + 1) * self.block;
                let until = self.until - (back * self.block) as u64;
                self.predict(until - self.block as u64, peak, reference);
                for (i, near) in self.near.iter_mut().enumerate() {
                    *near = f32::from(self.history[at + i]);
                    self.residual[i] = *near - self.echo[i];
                }
                if let Some(filter) = self.filter.as_mut().filter(|filter| filter.hears_agent()) {
                    filter.learn(&self.residual, true);
                    self.evidence.weigh(filter, &self.near, &self.echo, &self.residual);
                }
            }
        }
    }

    /// Fills `echo` with what the block at `position` holds of the agent.
    fn predict(&mut self, position: u64, peak: i64, reference: &Reference) {
        let Some(filter) = self.filter.as_mut() else { return self.echo.fill(0.0) };
        let (block, first) = (self.block as i64, peak - LEAD * self.decimation as i64);
        let anew = self.listened != Some(position);
        filter.listen(anew, |back, out| reference.read(position as i64 - first - block * (back as i64 + 1), out));
        self.listened = Some(position + self.block as u64);
        filter.predict(&mut self.echo);
    }

    /// Appends the block to the history.
    fn remember(&mut self) {
        self.history.copy_within(self.block.., 0);
        let at = self.history.len() - self.block;
        self.history[at..].iter_mut().zip(&self.near).for_each(|(to, &sample)| *to = sample as i16);
        self.known = (self.known + 1).min(HISTORY);
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + (self.near.len() + self.echo.len() + self.residual.len()) * size_of::<f32>()
            + self.history.len() * size_of::<i16>()
            + self.filter.as_ref().map_or(0, |filter| size_of::<Filter>() + filter.heap_bytes())
            + self.search.heap_bytes()
    }
}

/// Samples of a block at the search's rate: 16 ms.
const BLOCK: usize = 128;

/// How much of the running power a sample later remains: 4 ms at 8 kHz.
const RUNNING: f32 = 0.97;

/// Blocks on which two delays are compared.
const TRIAL: usize = 8;

/// Blocks kept for searching and learning: 384 ms.
const HISTORY: usize = 24;

/// Blocks of loud agent and quiet caller after which a path is forgotten: two seconds.
const IDLE: u32 = 125;

/// Lines of up to 48 kHz.
const MAX_DECIMATION: usize = 6;

/// Samples of the search before the strongest part that still belong to the path: 6 ms.
const LEAD: i64 = 48;

/// Delays that are searched: an echo comes 20 to 600 ms late, and the reckoning may be off by 100 ms.
const EARLIEST_MS: i64 = -90;
const LATEST_MS: i64 = 710;

/// How loud the echo may be against the agent, in power, before anything is known.
const FIRST_GAIN: f32 = 0.25;

fn decimation(rate_hz: u32) -> usize {
    ((rate_hz / SEARCH_HZ) as usize).clamp(1, MAX_DECIMATION)
}

/// The mean of every `step` samples.
fn decimate(samples: impl Iterator<Item = f32>, step: usize, out: &mut [f32]) {
    out.fill(0.0);
    for (i, sample) in samples.enumerate() {
        if let Some(out) = out.get_mut(i / step) {
            *out += sample / step as f32;
        }
    }
}
