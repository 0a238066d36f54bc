//! Who may do what here: users, their sessions, keys and tokens, and what they did.

pub(super) const TABLES: &str = "
";
