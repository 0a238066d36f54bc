//! The organization's phone numbers, and what was asked of carriers about them.

pub(super) const TABLES: &str = "
CREATE TABLE numbers (
    id TEXT PRIMARY KEY NOT NULL,
    request TEXT UNIQUE,
    number TEXT NOT NULL UNIQUE,
    origin TEXT NOT NULL CHECK (origin IN ('bought', 'taken_over', 'by_hand')),
    state TEXT NOT NULL CHECK (state IN ('buying', 'held', 'releasing', 'failed')),
    carrier_id TEXT,
    tag TEXT,
    country TEXT,
    type TEXT,
    title TEXT,
    address TEXT,
    bundle TEXT,
    price_micros {int},
    currency TEXT,
    calls_from TEXT,
    calls_to TEXT,
    created_ms {int} NOT NULL,
    bought_ms {int},
    asked_ms {int},
    error TEXT,
    owner TEXT
) {strict};
CREATE INDEX numbers_created ON numbers (created_ms);
CREATE INDEX numbers_open ON numbers (state) WHERE state IN ('buying', 'releasing');
CREATE TABLE number_differences (
    number TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('unknown', 'gone', 'elsewhere')),
    carrier_id TEXT,
    detail TEXT NOT NULL,
    found_ms {int} NOT NULL
) {strict};
CREATE TABLE number_sweeps (
    account TEXT PRIMARY KEY NOT NULL,
    at_ms {int} NOT NULL,
    tried_ms {int} NOT NULL,
    error TEXT
) {strict};
";
