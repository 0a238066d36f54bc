//! Jobs that only whoever has a certain data directory can do.

pub(super) const TABLES: &str = "
ALTER TABLE jobs ADD COLUMN home TEXT;
";
