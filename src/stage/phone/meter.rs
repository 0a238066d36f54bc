//! Who measures a call from the caller's end, while it happens.

use std::time::Instant;

use crate::stage::phone::script::SLOT_BYTES;

/// Sees a call's media pass. Called from the call's own task: nothing here may block.
pub trait Meter: Send {
    /// The voice webhook is about to be asked, or, where there is none, the media socket to be opened.
    fn placed(&mut self, at: Instant) {
        let _ = at;
    }

    /// The media stream is open: `start` was sent.
    fn started(&mut self, at: Instant) {
        let _ = at;
    }

    /// A frame that was due at `due` is about to be sent; it may be marked.
    fn sends(&mut self, due: Instant, at: Instant, audio: &mut [u8; SLOT_BYTES]) {
        let _ = (due, at, audio);
    }

    /// The frame just told of was not taken by the server's socket, and is lost.
    fn refused(&mut self) {}

    /// The next frame is the first with speech of something that the caller says.
    fn speech_begins(&mut self, due: Instant) {
        let _ = due;
    }

    /// The next frame has the last speech of a turn.
    fn turn_ends(&mut self, due: Instant) {
        let _ = due;
    }

    /// Agent audio arrived.
    fn receives(&mut self, at: Instant, audio: &[u8]) {
        let _ = (at, audio);
    }

    /// The line was told to drop what it had not played.
    fn cleared(&mut self, at: Instant) {
        let _ = at;
    }
}

/// Nobody measures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unmetered;

impl Meter for Unmetered {}
