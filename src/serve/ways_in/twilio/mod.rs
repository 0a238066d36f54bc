//! The carrier's webhooks and its media socket.
//!
//! | file | what comes in |
//! |---|---|
//! | [`webhook`] | a call, who picked up one that was placed, and what became of them |
//! | [`gate`] | who calls a deployment that is not for everybody |
//! | [`media`] | a stream, until it is known whose it is |
//! | [`back`] | a stream that is over, a transfer that is: what is to be done with the caller? |
//! | [`trust`] | all of them, held against the carrier's signature |

pub(in crate::serve) mod back;
pub(in crate::serve) mod gate;
pub(in crate::serve) mod media;
mod trust;
pub(in crate::serve) mod webhook;
