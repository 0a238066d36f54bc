//! A caller as Twilio shows one: the far end of the Twilio line, for the demo, the tests and the load tester.
//!
//! [`place`] rings in through the voice webhook, does what the TwiML says, opens the media WebSocket, speaks a script in
//! real time and hears what the server plays. It is strict where Twilio is strict ([`Violation`]) and knows what the
//! caller **heard**, sample by sample ([`Line`]), which a call's own account can be held against. [`Carrier`] stands in for
//! Twilio's REST API, really ends the calls that it is asked to end, and rings numbers at which a [`Callee`] is.

pub mod caller;
pub mod carrier;
pub mod dialled;
pub mod ears;
pub mod legs;
pub mod line;
pub mod measure;
pub mod meter;
pub mod metronome;
pub mod options;
pub mod report;
pub mod script;
pub(in crate::stage) mod stamps;
mod stream;
pub mod twiml;
pub(in crate::stage) mod webhook;

#[cfg(test)]
mod tests;

pub use caller::{place, place_metered};
pub use carrier::{Carrier, Fault, Order};
pub use dialled::{Callee, Dialled, Then};
pub use ears::Ears;
pub use legs::Stamp;
pub use line::{Line, Received};
pub use meter::{Meter, Unmetered};
pub use metronome::Metronome;
pub use options::{CallOptions, PutThrough};
pub use report::{Audio, Clear, EndedBy, Heard, MarkEcho, Outcome, PhoneEvent, PhoneReport, Violation, What};
pub use script::{Clip, Landmark, Step};
pub(crate) use webhook::client_for_webhooks;
