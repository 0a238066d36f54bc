//! Whether the hot path is still as fast as the committed baseline says, `benches/baseline.toml`.
//!
//! `./dev guard` runs the benchmarks and then `guard times`; `./dev count` counts instructions and then runs
//! `guard counts`. `docs/speed.md` says what is measured, how to read it and how to set the baseline anew.

#![allow(clippy::print_stderr, clippy::print_stdout)] // at a terminal, by hand

mod baseline;
mod callgrind;
mod criterion;
mod table;
mod verdict;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

use baseline::{Baseline, Section};
use verdict::{Row, Verdict};

/// Compares measurements with the committed baseline.
#[derive(Debug, Parser)]
struct Args {
    /// The baseline.
    #[arg(long, global = true, default_value = "benches/baseline.toml")]
    baseline: PathBuf,
    /// Writes what was measured into the baseline instead of judging it.
    #[arg(long, global = true)]
    update: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Times of the benchmarks, as ratios to their references.
    Times {
        /// Criterion's folder, one per pass; of the passes the least time counts.
        #[arg(required = true)]
        passes: Vec<PathBuf>,
    },
    /// Instructions per step.
    Counts {
        /// The folder with callgrind's files, STEP.TIMES.out, two per step.
        folder: PathBuf,
        /// Shows where the instructions of each step go.
        #[arg(long)]
        top: bool,
    },
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("guard: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode, String> {
    let mut baseline = Baseline::load(&args.baseline)?;
    match &args.what {
        What::Times { passes } => {
            let times = criterion::best(passes)?;
            let rows = verdict::times(&baseline.entries(Section::Times)?, &times)?;
            conclude(args, &mut baseline, Section::Times, &rows)
        }
        What::Counts { folder, top } => {
            let steps = callgrind::per_step(folder)?;
            let counts: BTreeMap<String, f64> = steps.iter().map(|(step, cost)| (step.clone(), cost.total())).collect();
            let rows = verdict::counts(&baseline.entries(Section::Counts)?, &counts);
            if *top {
                steps.iter().for_each(|(step, cost)| table::print_top(step, cost));
            }
            conclude(args, &mut baseline, Section::Counts, &rows)
        }
    }
}

/// Judges, or takes over, what was measured.
fn conclude(args: &Args, baseline: &mut Baseline, section: Section, rows: &[Row]) -> Result<ExitCode, String> {
    table::print(section, rows);
    let here = made_on();
    if args.update {
        baseline.update(section, rows, &here)?;
        baseline.save(&args.baseline)?;
        println!("\n{} has these figures now.", args.baseline.display());
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(there) = baseline.made_on(section).filter(|there| *there != here) {
        println!(
            "\nThe baseline is of another machine or compiler ({there}; this is {here}): a difference may be theirs."
        );
    }
    let is = |wanted: fn(Verdict) -> bool| rows.iter().filter(|row| wanted(row.verdict())).count();
    let failed = is(Verdict::fails);
    let better = is(|verdict| verdict == Verdict::Better);
    let new = is(|verdict| verdict == Verdict::New);
    if better + new > 0 {
        println!("\n{better} better than allowed for, {new} new: with --update the baseline takes them over.");
    }
    if failed > 0 {
        println!("\n{failed} of {} are worse than the baseline allows, or were not measured.", rows.len());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// What decides about speed and is no matter of the code: the processor's name and the compiler.
fn made_on() -> String {
    let cpu = std::fs::read_to_string(Path::new("/proc/cpuinfo")).unwrap_or_default();
    let cpu =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("", |(_, name)| name);
    let rustc = Command::new("rustc").arg("--version").output().map(|out| out.stdout).unwrap_or_default();
    let rustc = String::from_utf8_lossy(&rustc);
    let rustc = rustc.split_whitespace().nth(1).unwrap_or("of an unknown version");
    format!("{}, rustc {rustc}", if cpu.is_empty() { "an unknown processor" } else { cpu })
}
