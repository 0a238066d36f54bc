//! Whole calls over real loopback sockets: the server, a caller and a model, each at its own end.

mod house;
mod operations;
mod talk;
mod trust;
