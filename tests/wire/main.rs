//! Both wires over real sockets, and what we write and read there, judged by the vendors' own packages.
//!
//! The packages live in a Python environment at `target/judges`. Without it the judged tests say so and pass, unless
//! `OFFHOOK_JUDGES=1` demands it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)] // a panic here is the failure report

mod completions;
mod numbers;
mod openai;
mod twilio;
mod webhooks;
