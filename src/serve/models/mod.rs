//! The realtime models that calls talk to.

pub(in crate::serve) mod openai;
