//! What agents look things up in: documents with their bytes, and the passages that were found in them.

pub(super) const TABLES: &str = "
CREATE TABLE knowledge (
    id TEXT PRIMARY KEY NOT NULL,
    agent TEXT NOT NULL,
    title TEXT NOT NULL,
    titled {bool} NOT NULL,
    declared TEXT NOT NULL,
    url TEXT,
    size {int} NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'reading', 'ready', 'failed')),
    words TEXT,
    kind TEXT,
    pages {int},
    characters {int} NOT NULL,
    passages {int} NOT NULL,
    added_by TEXT NOT NULL,
    added_ms {int} NOT NULL,
    read_ms {int},
    tried_ms {int},
    etag TEXT,
    modified TEXT,
    asked {int} NOT NULL,
    reading {int} NOT NULL
) {strict};
CREATE INDEX knowledge_agent ON knowledge (agent, added_ms);
CREATE TABLE knowledge_bytes (
    document TEXT PRIMARY KEY NOT NULL,
    bytes {bytes} NOT NULL
) {strict};
CREATE TABLE passages (
    seq {serial},
    document TEXT NOT NULL,
    reading {int} NOT NULL,
    place {int} NOT NULL,
    agent TEXT NOT NULL,
    heading TEXT NOT NULL,
    page {int},
    {words}
    text TEXT NOT NULL
) {strict};
CREATE INDEX passages_document ON passages (document, reading);
{index_of_words}
";
