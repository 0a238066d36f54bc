//! How calls, and what is told of them, come in: one folder for each kind of line.

pub(in crate::serve) mod twilio;
