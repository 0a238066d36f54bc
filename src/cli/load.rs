//! `offhook load`.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use offhook::serve::shutdown;
use offhook::stage::load::args::{Args, Listener, Outcome, load};
use offhook::stage::load::report::{LoadShape, Second, Trial};
use offhook::stage::load::{floor, page, simulate, table};
use tokio::sync::watch;

use super::{Failure, remark, say, serve, write_file};

/// Tests, tells, and leaves the reports. Exit code 1: an objective did not hold.
pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    offhook::serve::raise_file_limit();
    if args.simulate {
        return simulated(&args);
    }
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let (stop, stopped) = watch::channel(false);
    let mut signal = shutdown::signals().map_err(|error| format!("signals cannot be caught: {error}"))?;
    tokio::spawn(async move {
        signal().await;
        stop.send_replace(true);
        // A second one does not wait for anybody.
        signal().await;
        std::process::exit(130);
    });
    let mut progress = Progress::new();
    let outcome = load(&args, format!("offhook {command}"), stopped, &mut progress).await;
    progress.done();
    let (text, html, json, held) = match outcome? {
        Outcome::Load(report) => {
            let held = report.objectives.iter().all(|objective| objective.held);
            (table::load(&report), page::load(&report), serde_json::to_string_pretty(&report), held)
        }
        Outcome::Capacity(report) => {
            let held = report.calls > 0;
            (table::capacity(&report), page::capacity(&report), serde_json::to_string_pretty(&report), held)
        }
    };
    let json = json.map_err(|error| format!("the report cannot be written as JSON: {error}"))? + "\n";
    std::fs::create_dir_all(&args.out).map_err(|error| format!("{}: {error}", args.out.display()))?;
    write_file(&args.out.join("report.json"), &json)?;
    write_file(&args.out.join("report.html"), &html)?;
    if args.json {
        say(&json);
    } else {
        say(&text);
        say(&format!("\n{0}/report.html  {0}/report.json\n", args.out.display()));
    }
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Exit code 1: a promise was broken, or memory grew.
fn simulated(args: &Args) -> Result<ExitCode, Failure> {
    std::fs::create_dir_all(&args.out).map_err(|error| format!("{}: {error}", args.out.display()))?;
    let path = args.out.join("simulation.json");
    let outcome = simulate::run(&args.simulation(path.clone()))?;
    if args.json {
        say(&std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?);
    } else {
        say(&outcome.text());
    }
    Ok(if outcome.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a load test starts itself as.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Role {
    /// The minimal bridge.
    Floor,
    /// The server.
    Serve {
        /// Its configuration.
        config: std::path::PathBuf,
    },
}

/// Plays a role until standard input ends, which it does with the load test, however that ends.
pub(super) async fn play(role: Role) -> Result<ExitCode, Failure> {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    match role {
        Role::Floor => {
            offhook::serve::raise_file_limit();
            floor::run().await.map(|()| ExitCode::SUCCESS)
        }
        Role::Serve { config } => serve::run_for_load(&config).await,
    }
}

/// Tells of progress on standard error.
struct Progress {
    bar: Option<indicatif::ProgressBar>,
    /// Seconds since a plain line was written.
    since: u32,
}

/// Between two plain lines, in seconds.
const EVERY: u32 = 5;

impl Progress {
    fn new() -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = indicatif::ProgressBar::new(1);
            let style = indicatif::ProgressStyle::with_template("{wide_bar} {percent}%\n{msg}");
            bar.set_style(style.unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()));
            bar
        });
        Progress { bar, since: EVERY }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => remark(text),
        }
    }

    fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Listener for Progress {
    fn second(&mut self, second: &Second, shape: &LoadShape) {
        let text = table::live(second, shape);
        match &self.bar {
            Some(bar) => {
                bar.set_length((shape.ramp_s + shape.steady_s + shape.ramp_down_s).ceil() as u64);
                bar.set_position(second.at_s as u64);
                bar.set_message(text);
            }
            None => {
                self.since += 1;
                if self.since >= EVERY {
                    self.since = 0;
                    self.line(&text);
                }
            }
        }
    }

    fn trial(&mut self, trial: &Trial) {
        self.since = EVERY;
        self.line(&table::trial(trial));
    }
}
