//! offhook: a real-time voice media server.

pub mod audio;
pub mod config;
pub mod engine;
pub mod link;
pub mod phone;
pub mod report;
pub mod time;
