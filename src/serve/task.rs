//! A call's task from admission to report: what is around the loop of [`call`](super::call).

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use crate::config::{CallSettings, Deployment, Twilio};
use crate::engine::EndReason;
use crate::report::Report;
use crate::template::Variables;

use super::call::Call;
use super::effects::Carrier;
use super::keeper::{Files, Folder};
use super::lend::Way;
use super::media::Claim;
use super::registry::{Command, Slot};
use super::{Shared, wall};

/// What is known of a call before it begins.
#[derive(Clone, Debug, Default)]
pub(super) struct About {
    /// Who calls whom.
    pub(super) direction: Direction,
    /// The caller's number, or ours when we call; empty when it is withheld.
    pub(super) from: String,
    /// The number that is called.
    pub(super) to: String,
    /// `call.*` variables by full name, over the agent's defaults.
    pub(super) variables: Variables,
}

/// Who calls whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Direction {
    /// Somebody calls us.
    #[default]
    Inbound,
    /// We call somebody.
    #[allow(dead_code, reason = "for whoever places calls")]
    Outbound,
}

impl Direction {
    /// A short stable name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        }
    }
}

/// A call that was admitted.
pub(super) struct Setup {
    pub(super) shared: Arc<Shared>,
    pub(super) slot: Slot<Claim>,
    pub(super) id: String,
    pub(super) carrier_call: String,
    pub(super) about: About,
    /// When the webhook arrived, by the clock of waiting and by the wall's.
    pub(super) began: Instant,
    pub(super) started: SystemTime,
    pub(super) twilio: Twilio,
    /// Where calls' folders are.
    pub(super) data: PathBuf,
    pub(super) deployment: Arc<Deployment>,
    pub(super) settings: Arc<CallSettings>,
    /// How the carrier reaches us.
    pub(super) way: Way,
    pub(super) claimed: oneshot::Receiver<Claim>,
    pub(super) commanded: mpsc::Receiver<Command>,
}

/// Runs the call and keeps its report. A failure of ours ends this call only.
pub(super) async fn answer(setup: Setup) {
    let Setup {
        shared,
        slot,
        id,
        carrier_call,
        about,
        began,
        started,
        twilio,
        data,
        deployment,
        settings,
        way,
        claimed,
        commanded,
    } = setup;
    let span = tracing::info_span!("call", id);
    let direction = about.direction.name();
    tracing::info!(parent: &span, deployment = deployment.name, agent = deployment.agent.name, direction, "call begins");
    // The files outlive the call's own state, so that a call that fails still leaves what it had, and a report.
    let mut files = shared.keeper.files(Folder {
        path: data.join("calls").join(&id),
        call: id.clone(),
        format: settings.format,
        keep: deployment.keep.clone(),
    });
    let carrier = Carrier::new(shared.client.clone(), twilio, carrier_call.clone());
    let call = Call::new(&shared, &id, &span, began, &deployment, &settings, carrier, way, claimed, commanded);
    let ran = AssertUnwindSafe(call.run(&mut files)).catch_unwind().await;
    let (mut report, journal, variables) = ran.unwrap_or_else(|panic| {
        shared.metrics.panics.add(1);
        let why = panic_text(panic.as_ref());
        tracing::error!(parent: &span, why, "the call failed; this is a bug of the server");
        (failed(&settings, began.elapsed(), why), Vec::new(), Arc::new(settings.variables.clone()))
    });
    report.call = id.clone();
    report.carrier_call = carrier_call;
    report.started = wall::rfc3339(started);
    finish(&shared, files, journal, report).instrument(span).await;
    shared.after.add(&id, &deployment.agent, &variables).await;
    drop(slot);
}

async fn finish(shared: &Shared, files: Files, journal: Vec<u8>, report: Report) {
    let path = files.path().to_owned();
    let report = files.finish(journal, report).await;
    shared.metrics.ended.add(report.end.kind(), 1);
    for (name, n) in &report.counters {
        shared.metrics.call_counters.add(name, *n);
    }
    for tally in &report.shadows {
        shared.metrics.shadows.add(&report.deployment, tally);
    }
    for turn in &report.turns {
        if let (Some(end), Some(sent)) = (turn.speech_end_at_ms, turn.first_audio_sent_at_ms) {
            shared.metrics.turn.observe(Duration::from_millis(sent.saturating_sub(end)));
        }
    }
    tracing::info!(
        reason = report.end.kind(),
        duration_ms = report.duration_ms,
        turns = report.turns.len(),
        interruptions = report.interruptions.len(),
        "call is over"
    );
    if let Some(observer) = &shared.observer {
        observer.ended(&report, &path);
    }
}

/// The report of a call whose engine can no longer be asked.
fn failed(settings: &CallSettings, lasted: Duration, why: String) -> Report {
    Report {
        schema: crate::report::SCHEMA,
        call: String::new(),
        carrier_call: String::new(),
        started: String::new(),
        deployment: settings.deployment.clone(),
        agent: settings.agent.clone(),
        revision: settings.revision.clone(),
        rate_hz: settings.format.rate_hz,
        duration_ms: lasted.as_millis() as u64,
        media_start_at_ms: None,
        model_ready_at_ms: None,
        end: EndReason::Internal { why },
        lines: Vec::new(),
        turns: Vec::new(),
        interruptions: Vec::new(),
        shadows: Vec::new(),
        notes: Vec::new(),
        keys: Vec::new(),
        tools: Vec::new(),
        gaps: Vec::new(),
        counters: Default::default(),
        usage: Default::default(),
        model_ms: 0,
        cost_micros: 0,
        recording: None,
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("panic").to_owned()
}
