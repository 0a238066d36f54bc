//! The load tester: many callers over real sockets in real time, and what they met.

pub mod report;
