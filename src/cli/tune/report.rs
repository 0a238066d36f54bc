//! What `offhook tune` prints.

use offhook::config::{FalseInterruptions, Prefer};
use offhook::lab::tune::measure::{Case, Measured, Numbers, Source, TURN_GAP_MS};
use offhook::lab::tune::sweep::Tried;
use offhook::lab::tune::table::{Align, Table, or_dash};
use offhook::lab::tune::words::{self, clock, length};
use serde_json::json;

use super::Outcome;
use crate::cli::ears::Chosen;

/// Mistakes that are listed; all of them are in the JSON.
const SHOWN: usize = 40;

/// One row per clip, and what all came to.
pub(super) fn clips(chosen: &Chosen, cases: &[Case], measured: &Measured) -> String {
    let mut out = head(chosen);
    let mut table = Table::new(&[
        ("clip", Align::Left),
        ("length", Align::Right),
        ("turns", Align::Right),
        ("delay ms", Align::Right),
        ("longest", Align::Right),
        ("cut-offs", Align::Right),
        ("missed", Align::Right),
        ("false starts", Align::Right),
        ("lost", Align::Right),
        ("", Align::Left),
    ]);
    for (case, score) in cases.iter().zip(&measured.scores) {
        let n = Numbers::from(score);
        let ends = n.turns > 0;
        table.row([
            case.name.clone(),
            length(case.duration_ms()),
            n.turns.to_string(),
            or_dash(n.delay_ms),
            or_dash(score.end_delays_ms.iter().max()),
            or_dash(ends.then_some(n.cut_offs)),
            or_dash(ends.then_some(n.missed)),
            n.false_starts.to_string(),
            or_dash((n.starts > 0).then_some(n.lost)),
            match case.source {
                Source::Labelled | Source::Hindsight => "",
                Source::TurnsAssumed => "turns assumed",
                Source::Coarse => "coarse labels",
            }
            .to_owned(),
        ]);
    }
    out += &table.text();
    out += &format!("\n{}", summary(cases, measured, chosen.unless));
    out + &mistakes(cases, measured)
}

/// Settings and where they are from.
pub(super) fn head(chosen: &Chosen) -> String {
    format!("{}\n  {}\n\n", chosen.from, words::settings(&chosen.settings))
}

/// All clips together.
pub(super) fn summary(cases: &[Case], measured: &Measured, unless: FalseInterruptions) -> String {
    let n = Numbers::from(&measured.total);
    let audio = length(cases.iter().map(Case::duration_ms).sum());
    let count = |source| cases.iter().filter(|case| case.source == source).count();
    let mut out = format!(
        "{} of audio, {}\n\
         turn ends   delay median {} ms, p90 {}, p99 {}; {} in {} of {} turns; {} missed\n\
         starts      after {} ms (median); {} of {} interruptions lost; {} false starts, {} of them on known other sounds\n",
        audio,
        plural(cases.len(), "clip"),
        or_dash(n.delay_ms),
        or_dash(n.delay_p90_ms),
        or_dash(n.delay_p99_ms),
        plural(n.cut_offs as usize, "cut-off"),
        n.turns_cut,
        n.turns,
        n.missed,
        or_dash(n.start_ms),
        n.lost,
        n.starts,
        n.false_starts,
        n.on_distractors
    );
    let [by_length, by_words, clicks] = measured.over_agent(unless);
    out += &format!(
        "over agent  {by_length} would interrupt by their length (min_interruption_ms = {}), {by_words} by their words, {clicks} by \
         neither: too short for one\n",
        unless.shorter_than_ms
    );
    let (assumed, coarse) = (count(Source::TurnsAssumed), count(Source::Coarse));
    if assumed > 0 {
        let clips = plural(assumed, "clip");
        out += &format!(
            "assumed     {clips} without labelled turns: speech apart by {TURN_GAP_MS} ms is a turn of its own\n"
        );
    }
    if coarse > 0 {
        let clips = plural(coarse, "clip");
        out += &format!("coarse      {clips} with coarse labels: they tell false starts only\n");
    }
    out
}

/// The mistakes with their places.
pub(super) fn mistakes(cases: &[Case], measured: &Measured) -> String {
    let all: Vec<[String; 3]> = cases
        .iter()
        .zip(&measured.scores)
        .flat_map(|(case, score)| {
            let words = |f| Some([case.name.clone(), clock(f_at(f)), words::mistake(f)?]);
            score.findings.iter().filter_map(words).collect::<Vec<_>>()
        })
        .collect();
    if all.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[("clip", Align::Left), ("at", Align::Right), ("mistake", Align::Left)]);
    let more = all.len().saturating_sub(SHOWN);
    all.into_iter().take(SHOWN).for_each(|row| table.row(row));
    let more = if more > 0 { format!("and {more} more: --json has them all\n") } else { String::new() };
    format!("\n{}{more}", table.text())
}

fn f_at(finding: &offhook::ears::turn::score::Finding) -> u64 {
    finding.at_ms
}

/// What nothing beats, what there is now, and what the rule takes.
pub(super) fn sweep(chosen: &Chosen, clips: usize, outcome: &Outcome<'_>) -> String {
    let mut out = head(chosen);
    let spent = &outcome.spent;
    out += &format!(
        "{} on {}, {} of audio, in {:.1} s on {}: {:.0} x real time per core\n\n",
        plural(outcome.tried.len(), "setting"),
        plural(clips, "clip"),
        length(spent.audio.as_millis() as u64),
        spent.wall.as_secs_f64(),
        plural(spent.threads, "thread"),
        spent.times_real_time(),
    );
    let mut rows = outcome.front.clone();
    for extra in [Some(outcome.now), outcome.best].into_iter().flatten() {
        if !rows.contains(&extra) {
            rows.push(extra);
        }
    }
    rows.sort_by_key(|&i| (outcome.tried[i].numbers.cut_offs, outcome.tried[i].delay_ms.unwrap_or(i64::MAX)));
    let right = |name| (name, Align::Right);
    let mut table = Table::new(&[
        ("", Align::Left),
        ("engine", Align::Left),
        right("threshold"),
        right("hysteresis"),
        right("silence"),
        right("min speech"),
        right("margin"),
        right("cut-offs"),
        right("delay ms"),
        right("p90"),
        right("p99"),
        right("missed"),
        right("false starts"),
        right("lost"),
    ]);
    for i in rows {
        table.row(row(outcome, i));
    }
    out += &table.text();
    out += &format!("\nrule    {}\n", rule(outcome));
    out + &match outcome.best {
        Some(best) if best == outcome.now => "chosen  what there is now\n".to_owned(),
        Some(best) => format!("chosen  {}\n", words::settings(&outcome.tried[best].settings)),
        None => {
            format!("chosen  nothing: no setting is within the limits; widen them or the grid{}\n", nearest(outcome))
        }
    }
}

/// What could be had with other limits.
fn nearest(outcome: &Outcome<'_>) -> String {
    let at = |i: &usize| {
        let tried = &outcome.tried[*i];
        format!("{} at {} ms", plural(tried.numbers.cut_offs as usize, "cut-off"), or_dash(tried.delay_ms))
    };
    match (outcome.front.first(), outcome.front.last()) {
        (Some(careful), Some(quick)) if careful != quick => {
            format!("\n        to be had: from {} to {}", at(careful), at(quick))
        }
        (Some(only), _) => format!("\n        to be had: {}", at(only)),
        (None, _) => String::new(),
    }
}

fn row(outcome: &Outcome<'_>, i: usize) -> Vec<String> {
    let Tried { settings: s, numbers: n, .. } = &outcome.tried[i];
    let mark = match (i == outcome.now, Some(i) == outcome.best, outcome.front.contains(&i)) {
        (true, true, _) => "now, chosen",
        (false, true, _) => "chosen",
        (true, false, true) => "now",
        (true, false, false) => "now (beaten)",
        (false, false, _) => "",
    };
    vec![
        mark.to_owned(),
        s.engine.name().to_owned(),
        words::number(s.threshold),
        words::number(s.hysteresis),
        s.silence_duration_ms.to_string(),
        s.min_speech_ms.to_string(),
        s.level_margin_db.to_string(),
        n.cut_offs.to_string(),
        or_dash(n.delay_ms),
        or_dash(n.delay_p90_ms),
        or_dash(n.delay_p99_ms),
        n.missed.to_string(),
        n.false_starts.to_string(),
        n.lost.to_string(),
    ]
}

fn rule(outcome: &Outcome<'_>) -> String {
    let l = &outcome.limits;
    let mut limits = Vec::new();
    limits.extend(l.cut_offs.map(|n| plural(n as usize, "cut-off")));
    limits.extend(l.delay_ms.map(|ms| format!("{ms} ms of median delay")));
    limits.push(format!("{} missed", l.missed));
    limits.push(plural(l.false_starts as usize, "false start"));
    limits.push(format!("{} lost", l.lost));
    let prefer = match outcome.prefer {
        Prefer::Delay => "the lowest median delay",
        Prefer::CutOffs => "the fewest cut-offs",
    };
    format!("{prefer} with at most {}", limits.join(", "))
}

/// Everything, for programs.
pub(super) fn json(
    chosen: &Chosen,
    cases: &[Case],
    measured: &Measured,
    sweep: Option<(&Outcome<'_>, Option<&str>)>,
) -> String {
    let mut all = json!({
        "settings": chosen.settings,
        "settings_from": chosen.from,
        "clips": measured.views(cases),
        "total": Numbers::from(&measured.total),
    });
    if let Some((outcome, change)) = sweep {
        let one = |i: usize| json!({ "settings": outcome.tried[i].settings, "score": outcome.tried[i].numbers });
        all["sweep"] = json!({
            "tried": outcome.tried.len(),
            "front": outcome.front.iter().map(|&i| one(i)).collect::<Vec<_>>(),
            "chosen": outcome.best.map(one),
            "change": change,
            "rule": rule(outcome),
            "audio_ms": outcome.spent.audio.as_millis() as u64,
            "wall_ms": outcome.spent.wall.as_millis() as u64,
            "times_real_time_per_core": outcome.spent.times_real_time().round(),
        });
    }
    format!("{all:#}\n")
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
