//! Persons: members who are known when they call, and people who are to be forgotten.

pub(super) mod callers;
pub(super) mod erase;
pub(super) mod rows;
