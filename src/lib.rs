//! offhook: a real-time voice media server.

pub mod audio;
pub mod config;
pub mod demo;
pub mod engine;
pub mod explain;
pub mod journal;
pub mod link;
pub mod phone;
pub mod picture;
pub mod recording;
pub mod rehearsal;
pub mod replay;
pub mod report;
pub mod serve;
pub mod sim;
pub mod time;
pub mod verify;
