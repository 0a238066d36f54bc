//! `offhook serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use offhook::config::{Config, LastGoodFolder, Opening, Problems, Source};
use offhook::house::review::rulings;
use offhook::output::log;
use offhook::serve::{Running, ServeOptions, Server, shutdown};
use offhook::web;

use super::{Failure, say};

/// Flags of `offhook serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory with offhook.toml, models.toml, agents/ and deployments/.
    #[arg(long, value_name = "DIR", default_value = "config")]
    config: PathBuf,
    /// Listen here instead of `listen` in offhook.toml; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Keep calls here instead of `data_dir` in offhook.toml.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Serves a load test by the configuration in a directory: says where it listens, and no more. It ends when it is killed.
pub(super) async fn run_for_load(config: &Path) -> Result<ExitCode, Failure> {
    offhook::serve::raise_file_limit();
    let source = Opening::new(config).rules(rulings).open().map_err(|problems| problems.to_string())?;
    log::start(&source.current().server.log)?;
    let running = Server::start(ServeOptions { source, listen: None, data: None, observer: None, web: None }).await;
    let running = running.map_err(|error| error.to_string())?;
    say(&format!("{}\n", running.addr()));
    std::future::pending().await
}

/// Answers calls until SIGTERM or Ctrl-C, drains, and ends; a second signal ends at once.
pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    offhook::serve::raise_file_limit();
    let source = opened(&args.config, args.data.as_deref()).map_err(|problems| problems.to_string())?;
    let config = source.current();
    log::start(&config.server.log)?;
    source.log_problems();
    let mut signal = shutdown::signals().map_err(|error| format!("signals cannot be caught: {error}"))?;
    let data = args.data.clone().unwrap_or_else(|| config.server.data_dir.clone());
    let options =
        ServeOptions { source, listen: args.listen, data: args.data, observer: None, web: Some(web::routes()) };
    let running = Server::start(options).await.map_err(|error| error.to_string())?;
    // What the store has came with the start.
    let first_owner = first_owner(&running).await;
    say(&banner(&running, &data, &first_owner));
    signal().await;
    tracing::info!("asked to end; once more ends all calls at once");
    let again = signal();
    let hurry = async {
        again.await;
        running.hurry();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = running.shutdown() => {}
        () = hurry => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// What is written in `config`, and where that cannot be, what was in force last.
fn opened(config: &Path, data: Option<&Path>) -> Result<Source, Problems> {
    let data = data.map_or_else(|| offhook::config::data_dir_of(config), Path::to_owned);
    let opening = Opening::new(config).watched().last_good(LastGoodFolder::new(&data)).rules(rulings);
    opening.stored(data.join("from-store")).open()
}

/// The link that makes the first owner, where there is no user yet (ROLE-07): to people, and to no log.
async fn first_owner(running: &Running) -> String {
    match running.store().people().first_link().await {
        Ok(Some(new)) => {
            let base = people(&running.config(), running.admin_addr().unwrap_or(running.addr()));
            format!("  first owner     {base}/welcome/{} (once, within a day)\n", new.secret.expose())
        }
        Ok(None) => String::new(),
        Err(error) => format!("  first owner     no link can be made: {error}; later: offhook users link\n"),
    }
}

fn scheme(config: &Config) -> &'static str {
    if config.server.tls.is_some() { "https" } else { "http" }
}

/// Where people find the API.
fn people(config: &Config, addr: SocketAddr) -> String {
    config.server.people_url().map_or_else(|| format!("{}://{addr}", scheme(config)), str::to_owned)
}

fn banner(running: &Running, data: &Path, first_owner: &str) -> String {
    let (config, addr) = (running.config(), running.addr());
    let scheme = scheme(&config);
    let public = config.server.public_url.clone().unwrap_or_else(|| format!("{scheme}://{addr}"));
    let mut text = format!("offhook listens on {scheme}://{addr}\n  voice webhook   {public}/twilio/voice\n");
    if let Some(admin) = running.admin_addr() {
        text += &format!("  API             {} (listens on {scheme}://{admin})\n", people(&config, admin));
    }
    text += first_owner;
    for deployment in config.deployments.values() {
        let active = if deployment.standing.active { "" } else { " (inactive)" };
        let number = deployment.number.as_deref().unwrap_or("No number");
        text += &format!("  {number:<15} {} by {}{active}\n", deployment.name, deployment.agent.name);
    }
    if config.deployments.is_empty() {
        text += "  no deployment: every call is refused\n";
    }
    text += &format!("  calls kept in   {}\n", data.join("calls").display());
    if !config.server.twilio.check_signatures {
        text += "  SIGNATURES ARE NOT CHECKED: fit for loopback only\n";
    }
    text
}
