//! Whole calls over real loopback sockets: the server, a caller and a model, each at its own end.

#![allow(clippy::expect_used, clippy::panic)] // helpers of tests fail like tests

mod house;
mod model;
mod operations;
mod survival;
mod talk;
mod tls;
mod trust;
