//! The carrier's webhooks and its media socket.

pub(in crate::serve) mod back;
pub(in crate::serve) mod media;
pub(in crate::serve) mod trust;
pub(in crate::serve) mod webhook;
