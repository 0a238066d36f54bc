//! The line of a call: what comes of its stream, how that is closed, and what is left once it is gone.

use axum::extract::ws::{CloseFrame, Message as LineMessage, Utf8Bytes, close_code};

use super::*;
use crate::output::words;

impl Call<'_> {
    pub(super) fn take_line(
        &mut self,
        read: Option<Result<LineMessage, axum::Error>>,
        now: Instant,
        files: &mut Files,
    ) {
        match read {
            Some(Ok(LineMessage::Text(text))) => {
                tracing::trace!(parent: self.span, bytes = text.len(), "from the line");
                let at = call_time(self.began, now);
                let mut stopped = false;
                if let twilio::Decoded::Event(event) = self.stream.decode(text.as_str())
                    && self.ended.is_none()
                {
                    stopped = event == CallerEvent::StreamEnded;
                    let input = Input::Caller(event);
                    self.pen.input(at, &input);
                    self.engine.handle(at, input);
                }
                self.carry_out(at, Origin::Line(now), files);
                if stopped && self.back.is_some() && self.ended.is_none() {
                    // The stream that comes back must not wait for this socket to be closed at its other end.
                    if let Line::Up(leg) = std::mem::replace(&mut self.line, Line::Gone) {
                        self.stopped = Some(leg);
                    }
                    self.line_is_gone(true, now, files);
                }
            }
            Some(Ok(LineMessage::Binary(_))) => self.stream.binary(),
            Some(Ok(LineMessage::Ping(_) | LineMessage::Pong(_))) => {}
            ending => {
                let closed = matches!(ending, Some(Ok(LineMessage::Close(_))));
                if let Some(Err(error)) = &ending
                    && self.closing.is_none()
                {
                    tracing::warn!(parent: self.span, why = words::of(error), "the media stream's socket has failed");
                }
                self.line_is_gone(closed, now, files);
            }
        }
    }

    /// The line's socket is done for. `closed`: by the rules, rather than without a word.
    pub(super) fn line_is_gone(&mut self, closed: bool, now: Instant, files: &mut Files) {
        self.line = Line::Gone;
        match self.closing.take() {
            Some((_, Some(effect))) => {
                self.shared.metrics.effects.add("done", 1);
                self.input(now, Input::Effect(effect, EffectResult::Done), Origin::Other, files);
            }
            Some((_, None)) => {}
            None => {
                let event = if closed { CallerEvent::StreamEnded } else { CallerEvent::Lost };
                self.input(now, Input::Caller(event), Origin::Other, files);
            }
        }
        if let Some(back) = self.back.take().filter(|_| self.ended.is_none()) {
            self.line = Line::Awaited(back);
            self.asked.line = false;
        }
    }

    /// Closes the stream once everything before is written. `false`: there is none.
    pub(super) fn hang_up_by_closing(&mut self, effect: Option<EffectId>, now: Instant) -> bool {
        let Line::Up(leg) = &mut self.line else { return false };
        if self.closing.is_none() {
            let frame = CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::from_static("") };
            leg.push(Kind::Other, 2, LineMessage::Close(Some(frame)), None);
            self.shared.registry.stream_closed();
        }
        self.closing = Some((now + GOODBYE, effect));
        true
    }

    /// The line is done with, and the call's place is free; the model's session goes on. A stream that we do not close yet
    /// rests: whoever sees its end knows that the report is next.
    pub(super) fn line_over(&mut self) {
        self.shared.registry.shut(self.id);
        self.slot.end();
        self.shared.store.hang_up(self.id);
        self.phase.set(Phase::Closing);
        self.line_rests = true;
        self.back = None;
        if let Line::Awaited(claimed) = &mut self.line {
            claimed.close();
            self.line = Line::Gone;
        }
    }

    pub(super) fn let_line_go(&mut self) {
        if self.closing.is_none() {
            self.hang_up_by_closing(None, Instant::now());
        }
        self.back = None;
        if let Line::Awaited(claimed) = &mut self.line {
            claimed.close();
            self.line = Line::Gone;
        }
    }
}
