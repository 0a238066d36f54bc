//! The line of Twilio: media streams, and what the carrier can be asked to do with a call.
//!
//! [`socket`] is a stream that has shown its token, [`way`] how streams come to us, [`carrier`] what is asked of a call that is
//! up and [`placing`] of one that is to be, both by [`rest`], which
//! also asks about numbers; [`documents`] are for carriers that take only the URL of one. The webhooks are in
//! [`ways_in::twilio`](crate::serve::ways_in::twilio).

mod carrier;
pub(in crate::serve) mod documents;
pub(in crate::serve) mod placing;
pub(in crate::serve) mod rest;
mod socket;
mod way;

pub(in crate::serve) use carrier::Carrier;
pub(in crate::serve) use socket::Socket;
pub(in crate::serve) use way::Way;

/// The `<Parameter>` that carries a stream's token.
pub(in crate::serve) const TOKEN: &str = "token";

/// A document that tells the carrier what to do with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serve) struct Twiml(pub(in crate::serve) String);
