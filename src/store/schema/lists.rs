//! What lists of calls are ordered, filtered and counted by.

pub(super) const TABLES: &str = "
";
