//! The way out: drain, then end politely, then at once.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::engine::{Control, EndReason};

use super::Running;
use super::registry::Command;

/// How long calls that are ended politely may take over it: a last line, and the carrier's answer to the hang-up.
const POLITE: Duration = Duration::from_secs(5);
/// How long calls that are ended at once may take: closing the stream, and writing the report.
const AT_ONCE: Duration = Duration::from_secs(13);
/// How long HTTP connections may take to finish their answer.
const CONNECTIONS: Duration = Duration::from_secs(1);
/// How long the carrier may take to ask what to do with a caller whose stream we have closed: it is told to hang up. Asking in
/// vain, it would read an error to the caller.
const ASKED: Duration = Duration::from_secs(2);

/// Sent when a file reaches the process's limit for files, by its number on Linux and the BSDs; tokio has no name for it.
const SIGXFSZ: i32 = 25;

/// Ends all calls and stops listening; see [`Running::shutdown`].
pub(super) async fn run(running: &Running) {
    let shared = &running.shared;
    running.drain();
    let mut count = shared.registry.count();
    let mut hurried = running.hurried.subscribe();
    let up = *count.borrow();
    if up > 0 {
        let config = shared.config();
        tracing::info!(calls = up, drain_s = config.server.drain_s, "draining");
        let given = Duration::from_secs(config.server.drain_s);
        if !over(&mut count, &mut hurried, given).await {
            tracing::info!(calls = *count.borrow(), "ending calls politely");
            shared.registry.command_all(&Command::Control(Control::End(EndReason::Shutdown)));
            if !over(&mut count, &mut hurried, POLITE).await {
                tracing::warn!(calls = *count.borrow(), "ending calls at once");
                shared.registry.command_all(&Command::Kill);
                let ended = timeout(AT_ONCE, count.wait_for(|up| *up == 0)).await;
                if ended.is_err() {
                    tracing::error!("calls are left behind");
                }
            }
        }
    }
    // What is left undone is done after the next start.
    if timeout(AFTERWARDS, shared.after.idle()).await.is_err() {
        tracing::warn!("calls are left of which more is to be found out; that goes on after the next start");
    }
    shared.after.stop();
    if let Some(closed) = shared.registry.last_closed() {
        tokio::time::sleep(ASKED.saturating_sub(closed.elapsed())).await;
    }
    for front in &running.fronts {
        front.handle.graceful_shutdown(Some(CONNECTIONS));
    }
    let keeper = std::sync::Arc::clone(shared);
    // Fails only if a thread of the keeper's panicked, which it has said.
    let _ = tokio::task::spawn_blocking(move || keeper.keeper.stop()).await;
    // What the last calls had to tell is written, then told, as far as that goes; the outbox keeps the rest.
    shared.store.flush().await;
    if timeout(AFTERWARDS, running.pictures.finish()).await.is_err() {
        tracing::warn!("pictures of calls are left to be drawn; that goes on after the next start");
    }
    shared.sender.stop().await;
    shared.store.stop().await;
}

/// How long what follows calls may take when the server goes.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// Waits until no call is up, but no longer than `given`, and not at all once hurried.
async fn over(count: &mut watch::Receiver<usize>, hurried: &mut watch::Receiver<bool>, given: Duration) -> bool {
    tokio::select! {
        ended = timeout(given, count.wait_for(|up| *up == 0)) => ended.is_ok(),
        _ = hurried.wait_for(|hurried| *hurried) => false,
    }
}

/// Resolves at the first SIGTERM or Ctrl-C, with what resolves at the next.
///
/// # Errors
/// The system lets no signal be caught.
pub fn signals() -> std::io::Result<impl FnMut() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (sender, receiver) = watch::channel(0u32);
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // A file that may not grow further is the failure of one write, which whoever writes handles; left alone, the signal
    // would end the process and all calls with it. Where it has another number, the write's error is all there is anyway.
    let _ = signal(SignalKind::from_raw(SIGXFSZ));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            sender.send_modify(|n| *n += 1);
        }
    });
    let mut asked = 0;
    Ok(move || {
        asked += 1;
        let (mut receiver, wanted) = (receiver.clone(), asked);
        Box::pin(async move {
            // The sender lives as long as the runtime.
            let _ = receiver.wait_for(|n| *n >= wanted).await;
        }) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
    })
}
