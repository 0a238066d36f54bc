//! The Twilio line: Media Streams messages, signatures, TwiML and REST, as bytes and strings. No socket, no HTTP client.
//!
//! Other carriers speak it too, with differences: [`manner`] has them.

pub mod manner;
pub mod rest;
pub mod signature;
pub mod stream;
pub mod twiml;

pub use stream::{Counters, Decoded, MediaFormat, Start, Stream};
