//! Bytes from and to the far ends, as engine types. No sockets, no decisions.

pub mod http;
pub mod openai;
pub mod twilio;
