//! What servers of one store have to know of each other: what locks agents, and what one asks of another.

pub(super) const TABLES: &str = "
CREATE TABLE locks (
    id TEXT PRIMARY KEY NOT NULL,
    held_by TEXT NOT NULL,
    agent TEXT NOT NULL,
    deployment TEXT,
    since_ms {int} NOT NULL
) {strict};
CREATE TABLE commands (
    id TEXT PRIMARY KEY NOT NULL,
    server TEXT NOT NULL,
    command TEXT NOT NULL,
    due_ms {int} NOT NULL,
    taken {bool} NOT NULL DEFAULT {no},
    answer TEXT
) {strict};
CREATE INDEX commands_waiting ON commands (server) WHERE taken = {no};
CREATE INDEX commands_due ON commands (due_ms);
";
