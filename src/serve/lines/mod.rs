//! The two far ends of a call, in whatever state their sockets are.

pub(in crate::serve) mod twilio;

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::extract::ws::Message as LineMessage;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message as ModelMessage;

use crate::engine::{CallerCommand, EffectId, ModelEvent};
use crate::link::twilio::Stream;

use crate::serve::lines::twilio::carrier::Outcome;
use crate::serve::metrics::Metrics;
use crate::serve::models::openai::{self as model, Dial, ModelLeg};
use crate::serve::outlet::{Kind, Pushed};
use crate::serve::registry::Command;
use crate::serve::ways_in::twilio::media::{Claim, LineLeg};

/// The line's socket.
pub(in crate::serve) enum Line {
    /// The carrier has not connected yet.
    Awaited(oneshot::Receiver<Claim>),
    Up(Box<LineLeg>),
    Gone,
}

/// The model's socket.
pub(in crate::serve) enum Model {
    Off,
    Dialling(Dial),
    Up(Box<ModelLeg>),
}

/// What the loop was woken by.
pub(in crate::serve) enum Wake {
    Claimed(Option<Claim>),
    Line(Option<Result<LineMessage, axum::Error>>),
    Dialled(Result<Box<ModelLeg>, ModelEvent<'static>>),
    Model(Option<Result<ModelMessage, tokio_tungstenite::tungstenite::Error>>),
    Effect(EffectId, Outcome),
    Command(Command),
    Alarm,
}

impl Line {
    /// What happens there next; what waits to be written is written meanwhile.
    pub(in crate::serve) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        match self {
            Line::Awaited(claimed) => Pin::new(claimed).poll(cx).map(|claim| Wake::Claimed(claim.ok())),
            Line::Up(leg) => leg.poll_read(cx).map(Wake::Line),
            Line::Gone => Poll::Pending,
        }
    }

    /// Queues a message; while there is no socket it is dropped.
    pub(in crate::serve) fn send(
        &mut self,
        stream: &mut Stream,
        command: &CallerCommand<'_>,
        read_at: Option<Instant>,
        metrics: &Metrics,
    ) {
        let Line::Up(leg) = self else { return };
        let kind = match command {
            CallerCommand::Audio(_) => Kind::Audio,
            CallerCommand::Mark(_) => Kind::Mark,
            CallerCommand::Clear => {
                // What the line does not have yet needs no clearing there.
                leg.clear_audio();
                Kind::Other
            }
        };
        let mut text = String::with_capacity(512);
        stream.encode(command, &mut text);
        if text.is_empty() {
            return;
        }
        let bytes = text.len();
        if let Pushed::Dropped(bytes) = leg.push(kind, bytes, LineMessage::Text(text.into()), read_at) {
            metrics.line_dropped_bytes.add(bytes as u64);
        }
    }
}

impl Model {
    /// What happens there next; what waits to be written is written meanwhile.
    pub(in crate::serve) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        match self {
            Model::Off => Poll::Pending,
            Model::Dialling(dial) => dial.as_mut().poll(cx).map(Wake::Dialled),
            Model::Up(leg) => leg.poll_read(cx).map(Wake::Model),
        }
    }

    /// Queues a message; while there is no socket it is dropped.
    pub(in crate::serve) fn send(&mut self, kind: Kind, text: String, read_at: Option<Instant>, metrics: &Metrics) {
        let Model::Up(leg) = self else { return };
        if text.is_empty() {
            return;
        }
        let bytes = text.len();
        if let Pushed::Dropped(bytes) = leg.push(kind, bytes, ModelMessage::Text(text.into()), read_at) {
            metrics.model_dropped_bytes.add(bytes as u64);
        }
    }

    /// Lets go of the socket there may be.
    pub(in crate::serve) fn replace(&mut self, with: Model) {
        if let Model::Up(leg) = std::mem::replace(self, with) {
            model::let_go(leg);
        }
    }
}
