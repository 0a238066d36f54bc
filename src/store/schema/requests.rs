//! What requests with an `Idempotency-Key` were answered.

pub(super) const TABLES: &str = "
CREATE TABLE requests (
    id TEXT PRIMARY KEY NOT NULL,
    hash TEXT NOT NULL,
    created_ms {int} NOT NULL,
    owner TEXT,
    answer TEXT
) {strict};
CREATE INDEX requests_created ON requests (created_ms);
";
