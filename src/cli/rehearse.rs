//! `offhook rehearse`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use offhook::serve::shutdown;
use offhook::stage::rehearsal::{Script, Server};

use super::{Failure, say};

/// Flags of `offhook rehearse`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Listen here.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8765")]
    listen: SocketAddr,
    /// What to say on which turn, how fast, and what to do wrong (TOML). Without it: the conversation of the demo.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
}

/// Answers sessions until SIGTERM or Ctrl-C.
pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let script = match &args.script {
        None => Script::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Script::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?
        }
    };
    let mut signal = shutdown::signals().map_err(|error| format!("signals cannot be caught: {error}"))?;
    let server = Server::bind(args.listen, script)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    say(&format!("the built-in model answers at {}, and as a text model at {}\n", server.url(), server.base_url()));
    say("it follows a script and hears only how loud a caller is; it is no AI\n");
    signal().await;
    server.shutdown();
    Ok(ExitCode::SUCCESS)
}
