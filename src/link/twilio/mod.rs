//! The Twilio line: Media Streams messages, signatures, TwiML and REST, as bytes and strings. No socket, no HTTP client.

pub mod rest;
pub mod signature;
pub mod stream;
pub mod twiml;

pub use stream::{Counters, Decoded, MediaFormat, Start, Stream};
