//! Attempts to deliver webhooks, and endpoints that were switched off.

pub(super) const TABLES: &str = "
";
