//! What a call costs, beside the least that a bridge can cost.
//!
//! `cargo run --release --example budget -- [--calls N] [--seconds S] [--rounds R] [--json]`
//!
//! Five targets take the same calls in turns, each in a process of its own: the **floor** (a bridge that passes audio
//! through and decides nothing); the server by the model's turn detection, with nothing kept and with recording and
//! journal; the same, hearing for itself (the default detection and the echo guard); and with noise reduced here as well.
//! The callers and the model are in this process, so that both ends' stamps are of one clock and no target pays for them.
//! Each call has a built-in model of its own, so that a call's audio is told apart at the model's end. Callers are
//! recorded voices that speak in turns; some two thirds of the time one of the two sides is heard.
//!
//! The machine drifts, so what counts is the ratio to the floor of the same round; of the rounds the median is shown.

mod calls;
mod floor;
mod process;
mod server;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

/// Measures CPU, latency and memory per call.
#[derive(Debug, Parser)]
struct Args {
    /// Calls at once.
    #[arg(long, default_value_t = 60)]
    calls: usize,
    /// Seconds measured in each round, once all calls are up.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Rounds; each has every target once.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these targets; the ratio needs the floor.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Target::ALL)]
    targets: Vec<Target>,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this program starts itself as.
#[derive(Debug, clap::Subcommand)]
enum Role {
    /// The bridge that does nothing else.
    Floor,
    /// The server, by the configuration in a directory.
    Serve { config: PathBuf },
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    /// The bridge that does nothing else.
    Floor,
    /// The server with nothing kept.
    Plain,
    /// The server with recording and journal.
    Kept,
    /// The same, with turn detection of its own.
    Local,
    /// The same, with noise reduction of its own.
    Denoised,
}

impl Target {
    const ALL: [Target; 5] = [Target::Floor, Target::Plain, Target::Kept, Target::Local, Target::Denoised];

    fn name(self) -> &'static str {
        match self {
            Target::Floor => "floor",
            Target::Plain => "offhook",
            Target::Kept => "offhook, all kept",
            Target::Local => "  and own ears",
            Target::Denoised => "  and RNNoise",
        }
    }

    /// Whether recording and journal are kept.
    fn keeps(self) -> bool {
        !matches!(self, Target::Floor | Target::Plain)
    }

    /// What the agents' documents say of hearing: keys, then tables.
    fn ears(self) -> &'static str {
        match self {
            Target::Floor | Target::Plain | Target::Kept => "[turn_detection]\nmode = \"provider\"\n",
            Target::Local => "[turn_detection]\nmode = \"local\"\n",
            Target::Denoised => "noise_reduction_engine = \"local\"\n[turn_detection]\nmode = \"local\"\n",
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| e.to_string()).and_then(
        |runtime| {
            runtime.block_on(async {
                match &args.role {
                    Some(Role::Floor) => floor::run().await,
                    Some(Role::Serve { config }) => server::run(config).await,
                    None => measure(&args).await,
                }
            })
        },
    );
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("budget: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(args: &Args) -> Result<(), String> {
    let load = calls::Load::new(args.calls, Duration::from_secs(args.seconds))?;
    let mut results = Vec::new();
    for round in 1..=args.rounds {
        for &target in &args.targets {
            let result = load.run(target).await?;
            if !args.json {
                table::progress(round, &result);
            }
            results.push(result);
        }
    }
    if args.json {
        println!("{:#}", table::json(args.calls, args.seconds, &results));
    } else {
        table::print(args.calls, args.seconds, &results);
    }
    Ok(())
}
