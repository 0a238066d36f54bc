//! Endpoints that were made by the API, how all of them fare, the log of attempts, and the bodies of what was delivered.

pub(super) const TABLES: &str = "
CREATE TABLE endpoints (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE,
    url TEXT NOT NULL,
    events TEXT,
    agents TEXT NOT NULL,
    plain_signature {bool} NOT NULL,
    per_second {int} NOT NULL,
    timeout_ms {int} NOT NULL,
    retry_first_ms {int} NOT NULL,
    secret TEXT NOT NULL,
    previous TEXT,
    previous_until_ms {int},
    version {int} NOT NULL,
    created_ms {int} NOT NULL,
    changed_ms {int} NOT NULL,
    changed_by TEXT NOT NULL
) {strict};
CREATE TABLE endpoint_states (
    endpoint TEXT PRIMARY KEY NOT NULL,
    failing_since_ms {int},
    last_failed_ms {int},
    last_error TEXT,
    gave_up_ms {int},
    noticed_ms {int},
    disabled_ms {int},
    disabled_by TEXT,
    reason TEXT
) {strict};
CREATE TABLE deliveries (
    seq {serial},
    event TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    type TEXT NOT NULL,
    call TEXT NOT NULL,
    at_ms {int} NOT NULL,
    attempt {int} NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('delivered', 'failed', 'given_up')),
    status {int},
    took_ms {int} NOT NULL,
    answer TEXT NOT NULL,
    error TEXT,
    test {bool} NOT NULL
) {strict};
CREATE INDEX deliveries_endpoint ON deliveries (endpoint, seq);
CREATE INDEX deliveries_wrong ON deliveries (endpoint, seq) WHERE outcome <> 'delivered';
CREATE INDEX deliveries_call ON deliveries (call);
CREATE INDEX deliveries_event ON deliveries (event);
CREATE INDEX deliveries_at ON deliveries (at_ms);
CREATE TABLE bodies (
    event TEXT PRIMARY KEY NOT NULL,
    seq {int} NOT NULL,
    call TEXT NOT NULL,
    type TEXT NOT NULL,
    created_ms {int} NOT NULL,
    bytes {int} NOT NULL,
    body TEXT NOT NULL
) {strict};
CREATE INDEX bodies_call ON bodies (call);
CREATE INDEX bodies_created ON bodies (created_ms, bytes);
CREATE TABLE told (
    what TEXT PRIMARY KEY NOT NULL,
    seq {int} NOT NULL
) {strict};
INSERT INTO told (what, seq) SELECT 'documents', max(seq) FROM documents HAVING max(seq) IS NOT NULL;
";
