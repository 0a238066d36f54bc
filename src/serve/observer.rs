//! Who embeds a server and is told of its calls.

use std::path::Path;

use crate::base::time::CallTime;
use crate::engine::CallEvent;
use crate::report::Report;

use super::about::About;

/// Sees what happens in calls. Called from the calls' own tasks: it must not block.
pub trait Observer: Send + Sync {
    /// A line of a call's trace.
    fn event(&self, call: &str, at: CallTime, event: &CallEvent) {
        let _ = (call, at, event);
    }

    /// A call was answered, or was placed and answered.
    fn began(&self, call: &str, about: &About) {
        let _ = (call, about);
    }

    /// A call is over; its folder is written, apart from the pictures and what is found out about it afterwards.
    fn ended(&self, report: &Report, folder: &Path) {
        let _ = (report, folder);
    }

    /// What was found out about a call once it was over: the content of its `analysis.json`.
    fn analysed(&self, call: &str, analysis: &serde_json::Value) {
        let _ = (call, analysis);
    }
}
