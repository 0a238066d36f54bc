//! The organization's phone numbers, and what was asked of carriers about them.

pub(super) const TABLES: &str = "
";
