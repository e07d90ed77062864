//! The traces in the file of the store.
//!
//! One row has a trace: what the list shows of it in columns, and its segments packed. A part that comes later replaces the row.
//! Callsites, whose names would be most of the bytes, are in a table of their own, each once.

use std::time::Duration;

/// The steps that make the tables. A step that was released never changes.
pub(super) const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE traces_kept (
        seq INTEGER PRIMARY KEY,
        trace_id BLOB NOT NULL UNIQUE,
        start INTEGER NOT NULL, -- nanoseconds since 1970
        nanos INTEGER NOT NULL,
        name TEXT NOT NULL,
        route TEXT,
        kind INTEGER NOT NULL,
        outcome INTEGER,
        status INTEGER,
        reason INTEGER NOT NULL,
        correlation_id TEXT,
        request_id TEXT,
        error_groups TEXT NOT NULL, -- with a space around each
        spans INTEGER NOT NULL,
        errors INTEGER NOT NULL,
        open INTEGER NOT NULL,
        truncated INTEGER NOT NULL,
        bytes INTEGER NOT NULL, -- of the segments
        segments BLOB NOT NULL
    ) STRICT;
    CREATE TABLE traces_callsites (
        id INTEGER PRIMARY KEY,
        callsite BLOB NOT NULL UNIQUE
    ) STRICT;
"];

/// The bounds of the traces in the file. What is beyond one of them is deleted, the oldest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct TraceFileLimits {
    pub(super) keep_for: Duration,
    pub(super) max_bytes: u64,
}

impl Default for TraceFileLimits {
    fn default() -> Self {
        TraceFileLimits {
            keep_for: Duration::from_secs(7 * 86_400),
            max_bytes: 256 * 1_024 * 1_024,
        }
    }
}
