//! Callers who are known, and receipts of people who were erased.

pub(super) const TABLES: &str = "
CREATE TABLE callers (
    number TEXT PRIMARY KEY NOT NULL,
    member TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    added_by TEXT NOT NULL,
    added_ms {int} NOT NULL
) {strict};
CREATE INDEX callers_member ON callers (member);
CREATE TABLE caller_pins (
    member TEXT PRIMARY KEY NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash TEXT NOT NULL,
    set_ms {int} NOT NULL,
    wrong {int} NOT NULL,
    free_ms {int} NOT NULL
) {strict};
CREATE TABLE erasure_keys (
    id {int} PRIMARY KEY NOT NULL CHECK (id = 1),
    key TEXT NOT NULL
) {strict};
CREATE TABLE erasures (
    id TEXT PRIMARY KEY NOT NULL,
    subject TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    asked_ms {int} NOT NULL,
    done_ms {int},
    calls {int} NOT NULL,
    recordings {int} NOT NULL,
    folders {int} NOT NULL,
    events {int} NOT NULL,
    attempts {int} NOT NULL,
    jobs {int} NOT NULL,
    dials {int} NOT NULL
) {strict};
CREATE INDEX erasures_open ON erasures (asked_ms) WHERE done_ms IS NULL;
CREATE TABLE erased (
    call TEXT PRIMARY KEY NOT NULL,
    erasure TEXT NOT NULL,
    home TEXT,
    state TEXT NOT NULL CHECK (state IN ('listed', 'folder', 'gone'))
) {strict};
CREATE INDEX erased_open ON erased (state) WHERE state <> 'gone';
CREATE INDEX erased_erasure ON erased (erasure);
ALTER TABLE calls ADD COLUMN sound_gone {bool} NOT NULL DEFAULT {no};
CREATE INDEX calls_sound ON calls (ended_ms) WHERE sound_gone = {no};
";
