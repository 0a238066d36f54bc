//! Who may do what: pure rules over documents and facts.
//!
//! Each rule takes values and answers *yes*, or *no* with a code and the message that people get, the same whichever way
//! they came: console, REST, command line or files. May use [`base`](crate::base) and [`config`](crate::config). Not here:
//! a clock, a store, a principal's password; what is known of the world is handed in.
//!
//! A rule that depends on what was there before takes it, mostly as `was`: what somebody chose already is not checked again,
//! goes on and is flagged. Only what is new is refused.

pub mod access;
pub mod attempts;
pub mod budgets;
pub mod callers;
pub mod calls;
pub mod caps;
pub mod deployments;
mod facts;
pub mod force;
pub mod hours;
pub mod integration;
pub mod knowledge;
pub mod locks;
pub mod models;
pub mod numbers;
pub mod panel;
pub mod people;
pub mod phone;
pub mod principal;
pub mod rates;
mod refusal;
pub mod residency;
pub mod retention;
pub mod review;
pub mod routes;
pub mod settings;
pub mod switches;
#[cfg(test)]
mod tests;
pub mod visibility;
pub mod webhooks;
pub mod zone;

pub use refusal::{Flag, Refusal};
pub use review::review;
