//! Both wires, held against the vendors' own packages and over real sockets.

mod openai;
//! What we write and read, judged by the vendors' own packages.
//!
//! The packages live in a Python environment at `target/judges`. Without it these tests say so and pass, unless
//! `OFFHOOK_JUDGES=1` demands it.

#![allow(clippy::unwrap_used)] // a panic here is the failure report

mod twilio;
