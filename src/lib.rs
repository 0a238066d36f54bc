//! offhook: a real-time voice media server.

pub mod audio;
pub mod config;
pub mod engine;
pub mod journal;
pub mod link;
pub mod recording;
pub mod replay;
pub mod report;
pub mod serve;
pub mod time;
