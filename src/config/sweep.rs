//! `tune.toml`: which settings `offhook tune --sweep` tries, and which of them it chooses.

use std::ops::RangeInclusive;

use super::problem::{Place, Problem, Problems};
use super::reader::{self, Field, Table};
use super::turns::{ENGINES, HYSTERESIS, MIN_SPEECH_MS, SILENCE_DURATION_MS, THRESHOLD, level_margin_db};
use super::types::{TurnSettings, VadEngine};

/// A sweep as meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// What is tried.
    pub grid: Grid,
    /// What is chosen.
    pub choose: Choose,
}

/// Every combination of these is tried; a setting whose list is empty stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid {
    /// See [`TurnSettings::engine`].
    pub engine: Vec<VadEngine>,
    /// See [`TurnSettings::threshold`].
    pub threshold: Vec<f32>,
    /// See [`TurnSettings::hysteresis`].
    pub hysteresis: Vec<f32>,
    /// See [`TurnSettings::silence_duration_ms`].
    pub silence_duration_ms: Vec<u32>,
    /// See [`TurnSettings::min_speech_ms`].
    pub min_speech_ms: Vec<u32>,
    /// See [`TurnSettings::level_margin_db`].
    pub level_margin_db: Vec<u32>,
}

/// Which setting is chosen: the one that is best by `prefer` among those within all limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choose {
    /// Turns that were ended while the caller was still in them.
    pub max_cut_offs: Option<u64>,
    /// Turns whose end was never found. `None`: no more than the current setting has.
    pub max_missed: Option<u64>,
    /// Starts where nobody spoke. `None`: no more than the current setting has.
    pub max_false_starts: Option<u64>,
    /// Interruptions that did not stop the agent. `None`: no more than the current setting has.
    pub max_lost: Option<u64>,
    /// Median delay of a turn's end.
    pub max_delay_ms: Option<u64>,
    /// What decides among the settings within the limits.
    pub prefer: Prefer,
}

/// What decides among settings within the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefer {
    /// The lowest median delay, then the fewest cut-offs.
    #[default]
    Delay,
    /// The fewest cut-offs, then the lowest median delay.
    CutOffs,
}

/// The most settings that one sweep tries.
const MAX_SETTINGS: usize = 100_000;

impl Grid {
    /// Every combination, `current` where a list is empty.
    pub fn settings(&self, current: &TurnSettings) -> Vec<TurnSettings> {
        fn or<T: Copy>(list: &[T], current: T) -> Vec<T> {
            if list.is_empty() { vec![current] } else { list.to_vec() }
        }
        let mut all = Vec::with_capacity(self.len());
        for &engine in &or(&self.engine, current.engine) {
            for &threshold in &or(&self.threshold, current.threshold) {
                for &hysteresis in &or(&self.hysteresis, current.hysteresis) {
                    for &silence_duration_ms in &or(&self.silence_duration_ms, current.silence_duration_ms) {
                        for &min_speech_ms in &or(&self.min_speech_ms, current.min_speech_ms) {
                            for &level_margin_db in &or(&self.level_margin_db, current.level_margin_db) {
                                all.push(TurnSettings {
                                    engine,
                                    threshold,
                                    hysteresis,
                                    silence_duration_ms,
                                    min_speech_ms,
                                    level_margin_db,
                                    ..current.clone()
                                });
                            }
                        }
                    }
                }
            }
        }
        all
    }

    /// How many combinations there are.
    pub fn len(&self) -> usize {
        let lists = [
            self.engine.len(),
            self.threshold.len(),
            self.hysteresis.len(),
            self.silence_duration_ms.len(),
            self.min_speech_ms.len(),
            self.level_margin_db.len(),
        ];
        lists.into_iter().fold(1, |product: usize, n| product.saturating_mul(n.max(1)))
    }

    /// Whether nothing but the current setting is tried.
    pub fn is_empty(&self) -> bool {
        self.len() == 1
    }
}

/// Reads `tune.toml`; `file` is its name in messages.
///
/// # Errors
/// Every problem of the document, when one of them is an error.
pub fn parse_sweep(file: &str, text: &str) -> Result<Sweep, Problems> {
    let (sweep, noted) = reader::read(file, text, |_, mut table| {
        let grid = grid(table.table("grid"));
        if grid.len() > MAX_SETTINGS {
            let message = format!("the grid has {} settings", grid.len());
            table.note(Problem::error(&Place::file(file), message).allowed(format!("at most {MAX_SETTINGS}")));
        }
        let choose = choose(table.table("choose"));
        table.finish();
        Sweep { grid, choose }
    });
    let problems = Problems::new(noted.problems);
    sweep.filter(|_| !problems.has_errors()).ok_or(problems)
}

fn grid(mut table: Table<'_, '_>) -> Grid {
    let grid = Grid {
        engine: list(&mut table, "engine", |f| f.choice(&ENGINES)),
        threshold: list(&mut table, "threshold", |f| f.number(THRESHOLD)),
        hysteresis: list(&mut table, "hysteresis", |f| f.number(HYSTERESIS)),
        silence_duration_ms: list(&mut table, "silence_duration_ms", |f| ms(f, SILENCE_DURATION_MS)),
        min_speech_ms: list(&mut table, "min_speech_ms", |f| ms(f, MIN_SPEECH_MS)),
        level_margin_db: list(&mut table, "level_margin_db", level_margin_db),
    };
    table.finish();
    grid
}

/// A list, or one value. A value that stands there twice is tried once.
fn list<T: PartialEq>(
    table: &mut Table<'_, '_>,
    key: &'static str,
    read: impl Fn(&Field<'_, '_>) -> Option<T>,
) -> Vec<T> {
    let Some(field) = table.take(key) else { return Vec::new() };
    if !field.is_list() {
        return read(&field).into_iter().collect();
    }
    let mut values = Vec::new();
    for value in field.list(MAX_VALUES).iter().filter_map(read) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

fn ms(field: &Field<'_, '_>, range: RangeInclusive<u64>) -> Option<u32> {
    field.integer(range).map(|n| n as u32)
}

fn choose(mut table: Table<'_, '_>) -> Choose {
    let mut limit = |key| table.take(key).and_then(|f| f.integer(0..=1_000_000));
    let mut choose = Choose {
        max_cut_offs: limit("max_cut_offs"),
        max_missed: limit("max_missed"),
        max_false_starts: limit("max_false_starts"),
        max_lost: limit("max_lost"),
        max_delay_ms: limit("max_delay_ms"),
        prefer: Prefer::default(),
    };
    choose.prefer = table.choice("prefer", Prefer::Delay, &[("delay", Prefer::Delay), ("cut_offs", Prefer::CutOffs)]);
    table.finish();
    choose
}

/// Values of one setting.
const MAX_VALUES: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_is_every_combination_and_keeps_what_it_does_not_name() {
        let text = "[grid]\nthreshold = [0.4, 0.5, 0.5]\nsilence_duration_ms = [200, 300]\nengine = \"energy\"\n\
                    [choose]\nmax_cut_offs = 0\nprefer = \"cut_offs\"\n";
        let sweep = parse_sweep("tune.toml", text).unwrap();
        let current = TurnSettings { min_speech_ms: 90, ..TurnSettings::default() };
        let all = sweep.grid.settings(&current);
        assert_eq!((all.len(), sweep.grid.len()), (4, 4));
        assert!(all.iter().all(|s| s.min_speech_ms == 90 && s.engine == VadEngine::Energy));
        assert_eq!((all[3].threshold, all[3].silence_duration_ms), (0.5, 300));
        assert_eq!((sweep.choose.max_cut_offs, sweep.choose.prefer), (Some(0), Prefer::CutOffs));
        assert_eq!(Grid::default().settings(&current), [current]);
    }

    #[test]
    fn what_is_wrong_with_a_sweep_is_said_with_its_place() {
        for (text, expected) in [
            ("[grid]\nthreshold = [0.5, 1.5]", "t:2:19: 1.5: out of range; allowed: 0-1"),
            ("[grid]\nsilence = [200]", "unknown key"),
            ("[grid]\nengine = [\"silerro\"]", "did you mean silero?"),
            ("[choose]\nmax_cutoffs = 1", "did you mean max_cut_offs?"),
            ("[grid\n", "t:1"),
        ] {
            let problems = parse_sweep("t", text).unwrap_err().to_string();
            assert!(problems.contains(expected), "{problems}");
        }
        let many: Vec<String> = (50..250).map(|n| n.to_string()).collect();
        let many = many.join(",");
        let text =
            format!("[grid]\nsilence_duration_ms = [{many}]\nmin_speech_ms = [{many}]\nthreshold = [0.1, 0.2, 0.3]");
        assert!(parse_sweep("t", &text).unwrap_err().to_string().contains("120000 settings; allowed: at most 100000"));
    }
}
