//! The server as a process of its own, and its configuration.

use std::fs;
use std::io;
use std::path::Path;

use offhook::config::Source;
use offhook::serve::{ServeOptions, Server};

use super::Target;

/// Serves until killed.
pub(crate) async fn run(config: &Path) -> Result<(), String> {
    let source = Source::open(config).map_err(|problems| problems.to_string())?;
    // As `offhook serve` logs.
    let filter = tracing_subscriber::EnvFilter::new(&source.current().server.log.filter);
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(io::stderr).init();
    let options = ServeOptions { source, listen: None, data: Some(config.join("data")), observer: None };
    let running = Server::start(options).await.map_err(|e| e.to_string())?;
    println!("{}", running.addr());
    std::future::pending::<()>().await;
    Ok(())
}

/// The number that the `n`th call dials.
pub(crate) fn number(n: usize) -> String {
    format!("+1555{n:07}")
}

/// Writes a configuration in which each number reaches a model of its own.
pub(crate) fn configure(dir: &Path, models: &[String], target: Target) -> io::Result<()> {
    let keep = target.keeps();
    let calls = models.len() + 10;
    fs::write(
        dir.join("offhook.toml"),
        format!("listen = \"127.0.0.1:0\"\nmax_calls = {calls}\n[twilio]\ncheck_signatures = false\n"),
    )?;
    fs::create_dir_all(dir.join("agents"))?;
    fs::create_dir_all(dir.join("deployments"))?;
    let mut tables = String::new();
    let journal = if keep { "decisions" } else { "off" };
    for (n, url) in models.iter().enumerate() {
        tables += &format!("[m{n}]\nurl = \"{url}\"\n");
        let agent = format!(
            "model = \"m{n}\"\ninstructions = \"You answer the phone.\"\ntools = [\"note\", \"hang_up\"]\n{}",
            target.ears()
        );
        fs::write(dir.join(format!("agents/a{n}.toml")), agent)?;
        let deployment = format!(
            "agent = \"a{n}\"\nnumber = \"{}\"\n[keep]\nrecording = {keep}\njournal = \"{journal}\"\n",
            number(n)
        );
        fs::write(dir.join(format!("deployments/d{n}.toml")), deployment)?;
    }
    fs::write(dir.join("models.toml"), tables)
}
