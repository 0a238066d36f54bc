//! The far ends of a call, and what drives them: a realtime model that follows a script, a caller, many callers.
//!
//! May use all other rooms. Not here: anything that the call of a customer passes through.

pub mod carrier;
pub mod demo;
pub mod load;
pub mod phone;
pub mod rehearsal;
