//! A call's task from admission to report: what is around the loop of [`call`](super::call).

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use crate::base::time::date::rfc3339;
use crate::config::{CallSettings, Deployment, JournalKeep, Keep};
use crate::engine::EndReason;
use crate::report::Report;
use crate::store::{self, Direction, EndedCall, NewCall};

use super::Shared;
use super::about::About;
use super::call::Call;
use super::keeper::{Files, Folder};
use super::knowledge::lookup;
use super::lines::{Carrier, Slot, Socket};
use super::registry::Command;

/// A call that was admitted.
pub(super) struct Setup {
    pub(super) shared: Arc<Shared>,
    pub(super) slot: Slot,
    pub(super) id: String,
    pub(super) carrier_call: String,
    pub(super) about: About,
    /// When the webhook arrived, by the clock of waiting and by the wall's.
    pub(super) began: Instant,
    pub(super) started: SystemTime,
    /// Where calls' folders are.
    pub(super) data: PathBuf,
    pub(super) deployment: Arc<Deployment>,
    pub(super) settings: Arc<CallSettings>,
    /// Who has the far end of its line.
    pub(super) carrier: Carrier,
    pub(super) claimed: oneshot::Receiver<Socket>,
    pub(super) commanded: mpsc::Receiver<Command>,
}

/// Runs the call and keeps its report; answers how it ended. A failure of ours ends this call only.
pub(super) async fn answer(setup: Setup) -> EndReason {
    let Setup {
        shared,
        slot,
        id,
        carrier_call,
        about,
        began,
        started,
        data,
        deployment,
        settings,
        carrier,
        claimed,
        commanded,
    } = setup;
    let span = tracing::info_span!("call", id);
    tracing::info!(parent: &span, deployment = deployment.name, agent = deployment.agent.name, direction = about.direction.name(), "a call begins");
    if let Some(observer) = &shared.observer {
        observer.began(&id, &about);
    }
    let new = about.new_call(&id, &carrier_call, &deployment, &settings.revision, started);
    shared.feed.began(&new);
    if about.direction == Direction::Outbound {
        // Of one that came in the store knows since before the carrier was answered.
        shared.store.begin_call(new);
    }
    // The files outlive the call's own state, so that a call that fails still leaves what it had, and a report.
    let mut files = shared.keeper.files(Folder {
        path: data.join("calls").join(store::folder_name(&id)),
        call: id.clone(),
        format: settings.format,
        keep: deployment.keep.clone(),
    });
    let equipped = lookup::equipped(&deployment, &settings);
    let call = Call::new(&shared, &id, &span, began, &equipped, &settings, &slot, carrier, claimed, commanded);
    let ran = AssertUnwindSafe(call.run(&mut files)).catch_unwind().await;
    let (mut report, journal, variables) = ran.unwrap_or_else(|panic| {
        shared.metrics.panics.add(1);
        let why = panic_text(panic.as_ref());
        tracing::error!(parent: &span, why, "the call failed; this is a bug of the server");
        let report = bare(&settings, began.elapsed(), EndReason::Internal { why });
        (report, Vec::new(), Arc::new(settings.variables.clone()))
    });
    report.call = id.clone();
    report.carrier_call = carrier_call;
    report.started = rfc3339(started);
    report.model = Some(deployment.agent.model.name.clone());
    (report.direction, report.from, report.to) = (Some(about.direction.name().to_owned()), about.from, about.to);
    let end = report.end.clone();
    // Waits for no look at the files that is under way.
    let pinned = tokio::task::spawn_blocking({
        let (shared, deployment) = (Arc::clone(&shared), Arc::clone(&deployment));
        move || if deployment.agent.after.is_empty() { None } else { shared.source.pin(&deployment) }
    });
    let pinned = pinned.await.ok().flatten();
    shared.after.add(&shared.store, &id, &deployment, &settings.revision, pinned, &variables).await;
    let ended = started + Duration::from_millis(report.duration_ms);
    finish(&shared, files, journal, report, ended, deployment.keep.pictures).instrument(span).await;
    drop(slot);
    shared.after.ready();
    end
}

/// Keeps the report of a call that was placed and never answered. `times`: how long it was tried, and since when.
pub(super) async fn keep_unanswered(
    shared: &Shared,
    id: &str,
    carrier_call: &str,
    about: &About,
    settings: &CallSettings,
    times: (Duration, SystemTime),
    end: EndReason,
) {
    let (lasted, started) = times;
    shared.store.begin_call(NewCall {
        id: id.to_owned(),
        carrier_call: carrier_call.to_owned(),
        direction: about.direction,
        deployment: settings.deployment.clone(),
        agent: settings.agent.clone(),
        revision: settings.revision.clone(),
        from: about.from.clone(),
        to: about.to.clone(),
        started,
        answered: false,
    });
    let files = shared.keeper.files(Folder {
        path: shared.data.join("calls").join(store::folder_name(id)),
        call: id.to_owned(),
        format: settings.format,
        keep: Keep { recording: false, journal: JournalKeep::Off, pictures: false },
    });
    let mut report = bare(settings, lasted, end);
    report.call = id.to_owned();
    report.carrier_call = carrier_call.to_owned();
    report.started = rfc3339(started);
    report.direction = Some(about.direction.name().to_owned());
    (report.from, report.to) = (about.from.clone(), about.to.clone());
    finish(shared, files, Vec::new(), report, SystemTime::now(), false).await;
}

/// `ended`: when the line was over, which is before its last words were there.
async fn finish(shared: &Shared, files: Files, journal: Vec<u8>, report: Report, ended: SystemTime, pictures: bool) {
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
    shared.feed.ended(&report, ended);
    shared.store.end_call(EndedCall { report, ended, pictures });
}

/// The report of a call whose engine cannot be asked: it failed, or there was none.
fn bare(settings: &CallSettings, lasted: Duration, end: EndReason) -> Report {
    Report {
        schema: crate::report::SCHEMA,
        call: String::new(),
        carrier_call: String::new(),
        started: String::new(),
        direction: None,
        from: None,
        to: None,
        deployment: settings.deployment.clone(),
        agent: settings.agent.clone(),
        revision: settings.revision.clone(),
        model: None,
        rate_hz: settings.format.rate_hz,
        duration_ms: lasted.as_millis() as u64,
        media_start_at_ms: None,
        media_ms: None,
        line_clock_ppm: None,
        model_ready_at_ms: None,
        end,
        lines: Vec::new(),
        turns: Vec::new(),
        interruptions: Vec::new(),
        shadows: Vec::new(),
        notes: Vec::new(),
        answered_by: None,
        keys: Vec::new(),
        tools: Vec::new(),
        complaints: Vec::new(),
        gaps: Vec::new(),
        counters: Default::default(),
        usage: Default::default(),
        model_ms: 0,
        cost_micros: 0,
        cost: None,
        recording: None,
        journal: None,
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("panic").to_owned()
}
