//! Who may do what here: users, their sessions, keys and tokens, and what they did.

pub(super) const TABLES: &str = "
CREATE TABLE users (
    id TEXT PRIMARY KEY NOT NULL,
    email TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('member', 'builder', 'admin', 'owner')),
    password TEXT,
    factor TEXT,
    factor_step {int} NOT NULL DEFAULT 0,
    factor_pending TEXT,
    recovery TEXT,
    created_ms {int} NOT NULL,
    logged_in_ms {int}
) {strict};
CREATE INDEX users_role ON users (role);
CREATE TABLE links (
    id TEXT PRIMARY KEY NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('first', 'invitation', 'password')),
    email TEXT,
    role TEXT NOT NULL,
    made_by TEXT NOT NULL,
    made_ms {int} NOT NULL,
    expires_ms {int} NOT NULL,
    used_ms {int}
) {strict};
CREATE INDEX links_expires ON links (expires_ms);
CREATE TABLE sessions (
    id TEXT PRIMARY KEY NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    made_ms {int} NOT NULL,
    seen_ms {int} NOT NULL,
    ends_ms {int} NOT NULL,
    address TEXT NOT NULL,
    browser TEXT NOT NULL
) {strict};
CREATE INDEX sessions_user ON sessions (user_id);
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    hint TEXT NOT NULL,
    role TEXT NOT NULL,
    scopes TEXT NOT NULL,
    agents TEXT,
    made_by TEXT NOT NULL,
    made_ms {int} NOT NULL,
    expires_ms {int},
    used_ms {int}
) {strict};
CREATE TABLE access_tokens (
    id TEXT PRIMARY KEY NOT NULL,
    agent TEXT NOT NULL,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    hint TEXT NOT NULL,
    made_by TEXT NOT NULL,
    made_ms {int} NOT NULL,
    expires_ms {int},
    used_ms {int}
) {strict};
CREATE INDEX access_tokens_agent ON access_tokens (agent);
CREATE TABLE access_uses (
    token TEXT NOT NULL REFERENCES access_tokens (id) ON DELETE CASCADE,
    origin TEXT NOT NULL,
    uses {int} NOT NULL,
    used_ms {int} NOT NULL,
    PRIMARY KEY (token, origin)
) {strict};
CREATE TABLE agent_passwords (
    agent TEXT PRIMARY KEY NOT NULL,
    hash TEXT NOT NULL,
    made_by TEXT NOT NULL,
    made_ms {int} NOT NULL
) {strict};
CREATE TABLE org_settings (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) {strict};
CREATE TABLE audit (
    seq {serial},
    at_ms {int} NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    detail TEXT
) {strict};
CREATE INDEX audit_object ON audit (object, seq);
CREATE INDEX audit_who ON audit (who, seq);
CREATE INDEX audit_at ON audit (at_ms);
";
