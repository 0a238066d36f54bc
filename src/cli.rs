//! Subcommands and flags, nothing else: each subcommand is one variant here and one function in its module.

mod callers;
mod calls;
mod check;
mod copy;
mod dial;
mod ears;
mod erase;
mod hear;
mod knowledge;
mod load;
mod migrate;
mod push;
mod rehearse;
mod revisions;
mod serve;
mod tokens;
mod tune;
mod users;
mod webhooks;

use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use offhook::lab::{explain, replay, verify};
use offhook::output;
use offhook::output::{remark, say};
use offhook::stage::demo;

/// Real-time voice media server: answers phone calls and bridges them to realtime voice models.
#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer calls, by the configuration in a directory.
    Serve(serve::Args),
    /// Say what is wrong with a configuration, all of it, and what is in it.
    Check(check::Args),
    /// Put the documents of a folder into the store, all of them or none, for servers with [config] source = "store".
    Push(push::Args),
    /// Put documents from before there were channels and named secrets into today's form.
    Migrate(migrate::Args),
    /// Ring a number through a running server.
    Dial(dial::Args),
    /// Run the built-in model alone: a scripted stand-in for a realtime voice model.
    Rehearse(rehearse::Args),
    /// Place one call on this machine, from a recorded caller to the built-in model and back, and show it.
    Demo(demo::Args),
    /// Run a call's journal through the engine again and compare its decisions with those that were kept.
    Replay(replay::ReplayArgs),
    /// Say what was decided at a moment of a call, by which rule and on what evidence.
    Explain(explain::ExplainArgs),
    /// Hold a call's recording against its report and its journal.
    Verify(verify::VerifyArgs),
    /// Say what the server would hear in a WAV file: turn starts, pauses and ends, with time and reason.
    Hear(hear::Args),
    /// Find out how many calls a server holds, and how fast it is: recorded callers over real sockets.
    Load(Box<offhook::stage::load::args::Args>),
    /// What a load test starts itself as.
    #[command(subcommand, hide = true)]
    LoadTarget(load::Role),
    /// List the calls that are kept, show one, or say where its files are.
    Calls(calls::Args),
    /// Say by which numbers members are known when they call, and give them PINs.
    Callers(callers::Args),
    /// Erase all that calls with a person have left, by their number, with a receipt.
    Erase(erase::Args),
    /// Add, list, remove and try documents that agents look things up in.
    Knowledge(knowledge::Args),
    /// What a server starts itself as to read one document.
    #[command(hide = true)]
    ReadDocument(knowledge::ReadArgs),
    /// Receive webhooks on this machine, and see to those that were given up.
    Webhooks(webhooks::Args),
    /// Make, list, change and remove users, and print links by which they set their passwords.
    Users(users::Args),
    /// Make, list and end API keys.
    Tokens(tokens::Args),
    /// List every version of each document that was applied: which, when, by whom.
    Revisions(revisions::ListArgs),
    /// Show what is different between two versions of a document.
    Diff(revisions::DiffArgs),
    /// Put an old version of a document in force anew.
    Restore(revisions::RestoreArgs),
    /// Measure turn settings on labelled audio or recorded calls, and find better ones.
    Tune(tune::Args),
}

/// Runs what the command line asks for. Exit code 0: done; 1: it failed, as said on standard error; 2: not understood.
pub(crate) fn run() -> ExitCode {
    let code = run_command(Cli::parse().command);
    output::log::flush();
    code
}

fn run_command(command: Command) -> ExitCode {
    match command {
        Command::Serve(args) => run_async(serve::run(args)),
        Command::Check(args) => run_async(check::run(args)),
        Command::Push(args) => run_async(push::run(args)),
        Command::Migrate(args) => migrate::run(&args),
        Command::Dial(args) => run_async(dial::run(args)),
        Command::Rehearse(args) => run_async(rehearse::run(args)),
        Command::Demo(args) => run_async(async move { demo::run(&args).await.map(|()| ExitCode::SUCCESS) }),
        Command::Replay(args) => replay::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Hear(args) => hear::run(&args),
        Command::Load(args) => run_async(load::run(*args)),
        Command::LoadTarget(role) => run_async(load::play(role)),
        Command::Calls(args) => run_async(calls::run(args)),
        Command::Callers(args) => run_async(callers::run(args)),
        Command::Erase(args) => run_async(erase::run(args)),
        Command::Knowledge(args) => run_async(knowledge::run(args)),
        Command::ReadDocument(args) => knowledge::read(&args),
        Command::Webhooks(args) => run_async(webhooks::run(args)),
        Command::Users(args) => run_async(users::run(args)),
        Command::Tokens(args) => run_async(tokens::run(args)),
        Command::Revisions(args) => run_async(revisions::list(args)),
        Command::Diff(args) => run_async(revisions::diff(args)),
        Command::Restore(args) => run_async(revisions::restore(args)),
        Command::Tune(args) => tune::run(&args),
    }
}

/// Why a subcommand failed, in words for the person who called it.
type Failure = String;

fn run_async(work: impl Future<Output = Result<ExitCode, Failure>>) -> ExitCode {
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no async runtime: {error}"))
        .and_then(|runtime| {
            let done = runtime.block_on(work);
            // A thread that is stuck in a system call must not keep the process.
            runtime.shutdown_timeout(std::time::Duration::from_secs(1));
            done
        });
    done.unwrap_or_else(|failure| {
        remark(&failure);
        ExitCode::FAILURE
    })
}

/// Writes a file by a new one that takes its place.
fn write_file(path: &std::path::Path, content: &str) -> Result<(), Failure> {
    offhook::lab::tune::write(path, content).map_err(|error| format!("{}: cannot be written: {error}", path.display()))
}

/// Which data directory is meant.
#[derive(Debug, clap::Args)]
struct Kept {
    /// The directory with offhook.toml, which says where calls are kept.
    #[arg(long, value_name = "DIR", default_value = "config", global = true)]
    config: std::path::PathBuf,
    /// Look here instead of `data_dir` in offhook.toml.
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<std::path::PathBuf>,
}

impl Kept {
    /// PostgreSQL's URL, if the store is there. A data directory that is named alone needs no configuration.
    fn store_url(&self) -> Result<Option<offhook::config::Secret>, Failure> {
        if self.data.is_some() && !self.config.join("offhook.toml").exists() {
            return Ok(None);
        }
        offhook::config::store_url(&self.config).map_err(|problems| problems.to_string())
    }

    fn data(&self) -> Result<std::path::PathBuf, Failure> {
        let said = || offhook::config::data_dir(&self.config);
        let no_config = |problems| format!("{problems}\nname the directory in which calls are kept with --data");
        self.data.clone().map_or_else(|| said().map_err(no_config), Ok)
    }
}
