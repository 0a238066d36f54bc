//! Many configurations on many clips.
//!
//! What a clip sounds like to an engine is computed once; each configuration then decides on those steps. Both parts
//! run on as many threads as are given, and give the same result on any number of them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::measure::{Case, Measured, Numbers};
use crate::config::{TurnSettings, VadEngine};
use crate::ears::turn::score::{Summary, percentile};
use crate::ears::vad::Step;

/// One configuration and how it did.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The configuration.
    pub settings: TurnSettings,
    /// How it did.
    pub numbers: Numbers,
    /// The median delay with missed turns counted as the longest of all; `None`: more than half are missed, or there
    /// are none.
    pub delay_ms: Option<i64>,
}

impl Tried {
    fn new(settings: &TurnSettings, total: &Summary) -> Tried {
        let mut delays = total.end_delays_ms.clone();
        delays.resize(delays.len() + total.missed as usize, i64::MAX);
        let delay_ms = percentile(&delays, 50.0).filter(|&ms| ms < i64::MAX);
        Tried { settings: settings.clone(), numbers: Numbers::from(total), delay_ms }
    }
}

/// Every clip's steps, by engine and in the order of the clips.
#[derive(Clone, Debug, Default)]
pub struct Listened {
    by_engine: BTreeMap<&'static str, Vec<Vec<Step>>>,
}

impl Listened {
    /// The steps of all clips; empty for an engine that was not listened with.
    pub fn steps(&self, engine: VadEngine) -> Vec<&[Step]> {
        self.by_engine.get(engine.name()).into_iter().flatten().map(Vec::as_slice).collect()
    }
}

/// What took how long.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Seconds of audio, each counted once.
    pub audio: Duration,
    /// Threads.
    pub threads: usize,
    /// Listening, on a core, summed over threads.
    pub listening: Duration,
    /// Trying settings, on a core, summed over threads.
    pub trying: Duration,
    /// By the clock on the wall.
    pub wall: Duration,
}

impl Spent {
    /// How much faster than real time one core does the whole sweep.
    pub fn times_real_time(&self) -> f64 {
        self.audio.as_secs_f64() / (self.listening + self.trying).as_secs_f64().max(1e-9)
    }
}

/// Told of progress: what is being done, how much of it is done, and of how much.
pub type Progress<'a> = &'a (dyn Fn(&'static str, usize, usize) + Sync);

/// Listens to all clips with these engines.
pub fn listen_all(
    cases: &[Case],
    engines: &[VadEngine],
    threads: usize,
    progress: Progress<'_>,
    spent: &mut Spent,
) -> Listened {
    let began = Instant::now();
    let tasks: Vec<(VadEngine, &Case)> =
        engines.iter().flat_map(|&e| cases.iter().map(move |case| (e, case))).collect();
    let listen = |&(engine, case): &(VadEngine, &Case)| case.listen(engine);
    let (steps, busy) = spread(&tasks, threads, &listen, &|done| progress("listening", done, tasks.len()));
    let mut steps = steps.into_iter();
    let mut listened = Listened::default();
    for &engine in engines {
        listened.by_engine.insert(engine.name(), steps.by_ref().take(cases.len()).collect());
    }
    spent.audio = Duration::from_millis(cases.iter().map(Case::duration_ms).sum());
    spent.threads = threads;
    spent.listening += busy;
    spent.wall += began.elapsed();
    listened
}

/// Tries all settings on what was listened to, in their order.
pub fn try_all(
    cases: &[Case],
    listened: &Listened,
    settings: &[TurnSettings],
    threads: usize,
    progress: Progress<'_>,
    spent: &mut Spent,
) -> Vec<Tried> {
    let began = Instant::now();
    let attempt = |settings: &TurnSettings| {
        let measured = Measured::new(cases, &listened.steps(settings.engine), settings);
        Tried::new(settings, &measured.total)
    };
    let (tried, busy) = spread(settings, threads, &attempt, &|done| progress("trying", done, settings.len()));
    spent.trying += busy;
    spent.wall += began.elapsed();
    tried
}

/// The engines that settings ask for, each once.
pub fn engines<'a>(settings: impl IntoIterator<Item = &'a TurnSettings>) -> Vec<VadEngine> {
    let mut engines = Vec::new();
    for settings in settings {
        if !engines.contains(&settings.engine) {
            engines.push(settings.engine);
        }
    }
    engines
}

/// Does the work of every task on `threads` threads; the results in the tasks' order, and the time spent on all.
fn spread<T: Sync, R: Send>(
    tasks: &[T],
    threads: usize,
    work: &(dyn Fn(&T) -> R + Sync),
    told: &(dyn Fn(usize) + Sync),
) -> (Vec<R>, Duration) {
    let next = AtomicUsize::new(0);
    let finished = AtomicUsize::new(0);
    let results = Mutex::new((Vec::with_capacity(tasks.len()), Duration::ZERO));
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, tasks.len().max(1)) {
            scope.spawn(|| {
                let mut own = Vec::new();
                let began = Instant::now();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(task) = tasks.get(index) else { break };
                    own.push((index, work(task)));
                    told(finished.fetch_add(1, Ordering::Relaxed) + 1);
                }
                // A thread is new here: all its time went into this.
                let busy = cpu_time().unwrap_or_else(|| began.elapsed());
                let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                results.0.append(&mut own);
                results.1 += busy;
            });
        }
    });
    let (mut done, busy) = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    (done.into_iter().map(|(_, result)| result).collect(), busy)
}

/// How long this thread has been on a core. A machine that is busy with other things does not make us slower by it.
/// `None` where the system does not tell.
fn cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let ns = text.split(' ').next()?.parse().ok()?;
    (ns > 0).then(|| Duration::from_nanos(ns))
}

#[cfg(test)]
mod tests {
    use super::super::measure::Source;
    use super::*;
    use crate::base::audio::clip::Span;
    use crate::ears::turn::score::{Spoken, Truth};

    /// Bursts of sound; those within 1 s of each other are one turn.
    fn case(bursts: &[(u64, u64)], length_ms: u64) -> Case {
        let mut samples = vec![0i16; length_ms as usize * 8];
        let mut truth = Truth::default();
        for &(start_ms, end_ms) in bursts {
            for (i, sample) in samples[start_ms as usize * 8..end_ms as usize * 8].iter_mut().enumerate() {
                *sample = if i % 40 < 20 { 6_000 } else { -6_000 };
            }
            let span = Span { start_ms, end_ms };
            truth.speech.push(Spoken { span, audible: span });
        }
        truth.assume_turns(1_000);
        Case {
            name: "c".into(),
            samples,
            agent: None,
            floor: Vec::new(),
            kept: None,
            truth,
            source: Source::TurnsAssumed,
        }
    }

    #[test]
    fn a_longer_silence_costs_delay_and_saves_cut_offs_on_any_number_of_threads() {
        let cases = [case(&[(500, 1_500), (1_900, 2_500)], 4_000), case(&[(800, 1_800)], 3_000)];
        let base = TurnSettings { engine: VadEngine::Energy, ..TurnSettings::default() };
        let settings: Vec<_> = [200, 700].map(|ms| TurnSettings { silence_duration_ms: ms, ..base.clone() }).into();
        let run = |threads| {
            let mut spent = Spent::default();
            let told = AtomicUsize::new(0);
            let tell = |_: &str, _: usize, _: usize| {
                told.fetch_add(1, Ordering::Relaxed);
            };
            let listened = listen_all(&cases, &engines(&settings), threads, &tell, &mut spent);
            let tried = try_all(&cases, &listened, &settings, threads, &tell, &mut spent);
            assert_eq!((told.into_inner(), spent.audio.as_millis(), spent.threads), (4, 7_000, threads));
            tried
        };
        let tried = run(1);
        assert_eq!((tried[0].numbers.cut_offs, tried[1].numbers.cut_offs), (1, 0));
        let (short, long) = (tried[0].delay_ms.unwrap(), tried[1].delay_ms.unwrap());
        assert!((190..300).contains(&short) && (690..800).contains(&long), "{short} {long}");
        for (one, three) in tried.iter().zip(run(3)) {
            assert_eq!((&one.settings, &one.numbers), (&three.settings, &three.numbers));
        }
    }

    #[test]
    fn what_is_missed_is_no_quick_end() {
        let mut total = Summary { end_delays_ms: vec![200], missed: 2, ..Summary::default() };
        assert_eq!(Tried::new(&TurnSettings::default(), &total).delay_ms, None);
        total.missed = 0;
        assert_eq!(Tried::new(&TurnSettings::default(), &total).delay_ms, Some(200));
    }
}
