//! The traces in the file of the store.
//!
//! One row has a trace: what the list shows of it in columns, and its segments packed. A part that comes later replaces the row.
//! Callsites, whose names would be most of the bytes, are in a table of their own, each once.

mod decode;
mod encode;
mod limits;
pub(super) mod read;
mod source;
#[cfg(test)]
mod tests;

pub(super) use self::{limits::FileLimits, source::TraceFile};

/// The steps that make the tables. A step that was released never changes.
const MIGRATIONS: [&str; 1] = ["
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
