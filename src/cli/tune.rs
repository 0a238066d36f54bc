//! `offhook tune`.

mod calls;
mod progress;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use offhook::config::{self, Sweep, TurnSettings};
use offhook::lab::tune::corpus::Severity;
use offhook::lab::tune::measure::{Case, Measured};
use offhook::lab::tune::pareto::{self, Limits};
use offhook::lab::tune::picture::{self, Scene};
use offhook::lab::tune::run::{Heard, decide};
use offhook::lab::tune::sweep::{self, Listened, Spent, Tried};
use offhook::lab::tune::{diff, from_call, input, words};

use super::ears::{Chosen, Ears};
use super::{Failure, remark, say, write_file};
use calls::Calls;
use progress::Told;

/// Where the project keeps its own clips.
const FIXTURES: &str = "fixtures/audio";

/// Flags of `offhook tune`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folders of WAV files with labels beside them (NAME.toml, or NAME.json: [{"start_ms":100,"end_ms":900}]), folders
    /// with an index.json, or single WAV files. Default: fixtures/audio where it is.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Tune on recorded calls: their folders, or their journals. There are no labels: what is true is estimated with hindsight.
    #[arg(long, value_name = "CALL", num_args = 1.., conflicts_with = "paths")]
    from: Vec<PathBuf>,
    /// With --from: speech that goes on within this after its end belongs to the same turn.
    #[arg(long, value_name = "MS", default_value_t = from_call::RESUME_WITHIN_MS, requires = "from",
          value_parser = clap::value_parser!(u64).range(200..=10_000))]
    resume_within: u64,
    #[command(flatten)]
    ears: Ears,
    /// Try all settings of a grid (config/tune.toml), show those that nothing beats, and the one that its rule takes as
    /// a change to the agent's document.
    #[arg(long, value_name = "FILE")]
    sweep: Option<PathBuf>,
    /// With --sweep: write the change into the agent's document.
    #[arg(long, requires = "sweep")]
    write: bool,
    /// With --sweep: work on so many threads. Default: one per core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Draw each clip: a folder for NAME.svg and NAME.html, or for a single clip FILE.svg or FILE.html.
    #[arg(long, value_name = "FILE|DIR")]
    picture: Option<PathBuf>,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

/// Exit code 0: done with all that was named; 1: something was skipped, or no setting is within the limits; 2: nothing
/// could be done.
pub(super) fn run(args: &Args) -> ExitCode {
    match tune(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(failure) => {
            remark(&failure);
            ExitCode::from(2)
        }
    }
}

/// Whether all went as it was asked.
fn tune(args: &Args) -> Result<bool, Failure> {
    let sweep = args.sweep.as_deref().map(read_sweep).transpose()?;
    let (material, skipped) = if args.from.is_empty() { clips(args)? } else { calls(args)? };
    let chosen = match &material {
        Material::Clips(_) => args.ears.choose(None, None)?,
        Material::Calls(calls) => calls.ears(&args.ears)?,
    };
    for note in &chosen.notes {
        remark(note);
    }
    let cases = material.cases();
    let threads = args.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()), usize::from);
    let mut settings = sweep.as_ref().map_or_else(Vec::new, |s| s.grid.settings(&chosen.settings));
    let now = settings.iter().position(|s| *s == chosen.settings).unwrap_or_else(|| {
        settings.push(chosen.settings.clone());
        settings.len() - 1
    });
    let engines = sweep::engines(&settings);
    if let Some(case) = cases.iter().find(|case| !engines.iter().all(|&e| case.can_hear(e))) {
        return Err(format!("{}: no audio was kept: only the engine of that call can be tried", case.name));
    }
    let told = Told::new(sweep.is_some());
    let mut spent = Spent::default();
    let listened = sweep::listen_all(cases, &engines, threads, &told.progress(), &mut spent);
    let measure = |settings: &TurnSettings| Measured::new(cases, &listened.steps(settings.engine), settings);
    let measured = measure(&chosen.settings);
    let Some(sweep) = sweep else {
        told.done();
        say(&match (args.json, &material) {
            (true, _) => report::json(&chosen, cases, &measured, None),
            (false, Material::Clips(_)) => report::clips(&chosen, cases, &measured),
            (false, Material::Calls(calls)) => {
                calls.text(&chosen, args.resume_within, &[("these settings", &measured)])
            }
        });
        draw(args, cases, &listened, &measured)?;
        return Ok(!skipped);
    };
    let tried = sweep::try_all(cases, &listened, &settings, threads, &told.progress(), &mut spent);
    told.done();
    let limits = Limits::new(&sweep.choose, &tried[now].numbers);
    let outcome = Outcome {
        front: pareto::front(&tried, &limits, &chosen.settings),
        best: pareto::choose(&tried, &limits, sweep.choose.prefer, &chosen.settings),
        tried: &tried,
        now,
        limits,
        prefer: sweep.choose.prefer,
        spent,
    };
    let best = outcome.best.map(|best| measure(&tried[best].settings));
    let change = outcome.best.map(|best| change(args, &chosen, &tried[best].settings)).transpose()?;
    if args.json {
        say(&report::json(&chosen, cases, &measured, Some((&outcome, change.as_deref()))));
    } else {
        if let Material::Calls(calls) = &material {
            let mut columns = vec![("now", &measured)];
            columns.extend(best.as_ref().map(|best| ("chosen", best)));
            say(&(calls.text(&chosen, args.resume_within, &columns) + "\n"));
        }
        say(&report::sweep(&chosen, cases.len(), &outcome));
        say(change.as_deref().unwrap_or_default());
    }
    draw(args, cases, &listened, best.as_ref().unwrap_or(&measured))?;
    Ok(!skipped && outcome.best.is_some())
}

/// What a sweep came to.
struct Outcome<'a> {
    tried: &'a [Tried],
    /// Index of the current setting.
    now: usize,
    /// Indexes of what nothing beats.
    front: Vec<usize>,
    /// Index of what the rule takes.
    best: Option<usize>,
    limits: Limits,
    prefer: config::Prefer,
    spent: Spent,
}

/// What is tuned on.
enum Material {
    Clips(Vec<Case>),
    Calls(Calls),
}

impl Material {
    fn cases(&self) -> &[Case] {
        match self {
            Material::Clips(cases) => cases,
            Material::Calls(calls) => calls.cases(),
        }
    }
}

/// The labelled clips, and whether any was skipped.
fn clips(args: &Args) -> Result<(Material, bool), Failure> {
    let fixtures = [PathBuf::from(FIXTURES)];
    let paths = match &args.paths[..] {
        [] if fixtures[0].is_dir() => &fixtures[..],
        [] => {
            return Err(format!(
                "no clips: name a folder of WAV files with labels beside them, or a call with --from ({FIXTURES} is not here)"
            ));
        }
        paths => paths,
    };
    let corpus = input::corpus(paths);
    for problem in &corpus.problems {
        let skipped = if problem.severity == Severity::Refused { "skipped: " } else { "" };
        remark(format_args!("{skipped}{problem}"));
    }
    let skipped = corpus.refused();
    if corpus.clips.is_empty() {
        return Err("no clip can be used".to_owned());
    }
    Ok((Material::Clips(corpus.clips.into_iter().map(Case::new).collect()), skipped))
}

/// The recorded calls, and whether any was skipped.
fn calls(args: &Args) -> Result<(Material, bool), Failure> {
    let mut calls = Vec::new();
    let mut skipped = false;
    for path in &args.from {
        match from_call::load(path, args.resume_within) {
            Ok(call) => calls.push(call),
            Err(why) => {
                remark(format_args!("skipped: {why}"));
                skipped = true;
            }
        }
    }
    if calls.is_empty() {
        return Err("no call can be used".to_owned());
    }
    Ok((Material::Calls(Calls::new(calls)), skipped))
}

fn read_sweep(path: &Path) -> Result<Sweep, Failure> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: cannot be read: {error}"))?;
    config::parse_sweep(&name, &text).map_err(|problems| problems.to_string())
}

/// The chosen settings as a change to the agent's document, which is made when it is asked for.
fn change(args: &Args, chosen: &Chosen, best: &TurnSettings) -> Result<String, Failure> {
    let document = chosen.document.as_ref().and_then(|d| Some((&d.path, d.settings.as_ref()?)));
    let Some((path, written)) = document else {
        if args.write {
            return Err("nothing was written: these settings are no agent's own; name one with --agent".to_owned());
        }
        let changes = diff::changes(&TurnSettings::default(), best);
        return Ok(format!(
            "\nfor an agent's document, where it differs from the defaults:\n{}",
            diff::as_toml(&changes)
        ));
    };
    let name = path.display().to_string();
    let changes = diff::changes(written, best);
    if changes.is_empty() {
        return Ok(format!("\n{name} has the chosen setting already\n"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: cannot be read: {error}"))?;
    let edited = diff::edit(&text, &changes).map_err(|why| format!("{name}: {why}"))?;
    let mut out = format!("\n{}", diff::unified(&name, &text, &edited));
    if args.write {
        // Through a link, so that the file is changed and not the link.
        let path = path.canonicalize().map_err(|error| format!("{name}: {error}"))?;
        write_file(&path, &edited)?;
        out += &format!("written to {name}; it applies to the next call\n");
    } else {
        out += "not written; --write does it\n";
    }
    Ok(out)
}

fn draw(args: &Args, cases: &[Case], listened: &Listened, measured: &Measured) -> Result<(), Failure> {
    let Some(target) = &args.picture else { return Ok(()) };
    let kind = target.extension().and_then(|e| e.to_str()).filter(|e| matches!(*e, "svg" | "html"));
    if kind.is_some() && cases.len() != 1 {
        let count = cases.len();
        return Err(format!("{}: there are {count} clips; name a folder for their pictures", target.display()));
    }
    if kind.is_none() {
        std::fs::create_dir_all(target).map_err(|error| format!("{}: {error}", target.display()))?;
    }
    let steps = listened.steps(measured.settings.engine);
    for ((case, score), steps) in cases.iter().zip(&measured.scores).zip(steps) {
        let events = decide(steps, &measured.settings, &case.floor);
        let heard = Heard { length: case.length(), steps: steps.to_vec(), events };
        let scene = Scene {
            title: &case.name,
            samples: &case.samples,
            settings: &measured.settings,
            heard: &heard,
            truth: Some((&case.truth, score)),
            estimated: case.source == offhook::lab::tune::measure::Source::Hindsight,
        };
        match kind {
            Some("svg") => write_file(target, &picture::svg(&scene))?,
            Some(_) => write_file(target, &picture::html(&scene))?,
            None => {
                let plain = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' };
                let name: String = case.name.chars().map(plain).collect();
                write_file(&target.join(format!("{name}.svg")), &picture::svg(&scene))?;
                write_file(&target.join(format!("{name}.html")), &picture::html(&scene))?;
            }
        }
    }
    remark(format_args!("pictures: {} ({})", target.display(), words::settings(&measured.settings)));
    Ok(())
}
