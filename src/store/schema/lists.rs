//! What lists of calls are ordered, filtered and counted by.
//!
//! `listed` has one narrow row per call, those included that were placed and that nobody answered: a list never reads a report.
//! `usage_hours` has what calls used up, by the hour in which they ended: no sum scans calls.

pub(super) const TABLES: &str = "
CREATE TABLE listed (
    id TEXT NOT NULL,
    began_ms {int} NOT NULL,
    ended_ms {int},
    status TEXT NOT NULL CHECK (status IN ('Scheduled', 'Queued', 'Dialing', 'InProgress', 'Completed', 'NoAnswer', 'Busy',
        'Failed', 'Canceled', 'Expired')),
    direction TEXT NOT NULL,
    agent TEXT NOT NULL,
    deployment TEXT NOT NULL,
    from_number TEXT,
    to_number TEXT,
    end_kind TEXT,
    result TEXT NOT NULL,
    duration_ms {int},
    cost_micros {int},
    turns {int},
    interruptions {int},
    recording {bool} NOT NULL,
    PRIMARY KEY (began_ms, id)
) {clustered};
INSERT INTO listed (id, began_ms, ended_ms, status, direction, agent, deployment, from_number, to_number, end_kind, result,
    duration_ms, cost_micros, turns, interruptions, recording)
SELECT id, started_ms, ended_ms,
    CASE
        WHEN state = 'running' THEN 'InProgress'
        WHEN end_kind = 'not_answered' AND report LIKE '%\"kind\":\"not_answered\",\"how\":\"busy\"%' THEN 'Busy'
        WHEN end_kind = 'not_answered' AND report LIKE '%\"kind\":\"not_answered\",\"how\":\"no_answer\"%' THEN 'NoAnswer'
        WHEN end_kind = 'not_answered' AND report LIKE '%\"kind\":\"not_answered\",\"how\":\"canceled\"%' THEN 'Canceled'
        WHEN end_kind IN ('not_answered', 'internal', 'model_unavailable', 'model_silent', 'never_connected',
            'server_lost', 'not_admitted') THEN 'Failed'
        ELSE 'Completed'
    END,
    direction, agent, deployment, from_number, to_number, end_kind, 'unknown', duration_ms, nullif(cost_micros, 0), turns,
    interruptions, recording
FROM calls;
CREATE UNIQUE INDEX listed_id ON listed (id);
CREATE INDEX listed_agent ON listed (agent, began_ms, id);
CREATE INDEX listed_deployment ON listed (deployment, began_ms, id);
CREATE INDEX listed_from ON listed (from_number, began_ms, id);
CREATE INDEX listed_to ON listed (to_number, began_ms, id);
CREATE INDEX listed_status ON listed (status, began_ms, id);
CREATE INDEX listed_end ON listed (end_kind, began_ms, id);
CREATE INDEX listed_counts ON listed (agent, status);
CREATE INDEX dials_call ON dials (call);
CREATE TABLE usage_hours (
    hour_ms {int} NOT NULL,
    agent TEXT NOT NULL,
    deployment TEXT NOT NULL,
    model TEXT NOT NULL,
    direction TEXT NOT NULL,
    calls {int} NOT NULL,
    failed {int} NOT NULL,
    duration_ms {int} NOT NULL,
    model_ms {int} NOT NULL,
    turns {int} NOT NULL,
    interruptions {int} NOT NULL,
    transfers {int} NOT NULL,
    waits {int} NOT NULL,
    waited_ms {int} NOT NULL,
    input_tokens {int} NOT NULL,
    cached_tokens {int} NOT NULL,
    output_tokens {int} NOT NULL,
    cost_micros {int} NOT NULL,
    unpriced {int} NOT NULL,
    PRIMARY KEY (hour_ms, agent, deployment, model, direction)
) {strict};
";
