//! Callers who are known, and receipts of people who were erased.

pub(super) const TABLES: &str = "
";
