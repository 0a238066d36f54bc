//! Bytes from and to the far ends, as engine types. No sockets, no decisions.

pub mod openai;
pub mod twilio;
