//! Configuration: documents as written (TOML) are read into values as meant ([`types`]); the rest of the program sees
//! only the second.

pub mod types;

pub use types::*;
