//! The line of Twilio: media streams, and what the carrier can be asked to do with a call.

pub(in crate::serve) mod carrier;
pub(in crate::serve) mod placing;
pub(in crate::serve) mod rest;
pub(in crate::serve) mod way;
