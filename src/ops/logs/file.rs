//! The records in the file of the store.
//!
//! One table has the records, and an FTS5 index without a copy of the text has their words. The index gets the words as
//! [`SearchText`](super::search_text::SearchText) has them, and is asked for candidates only, newest first: whether a record
//! is one that is looked for is decided as in memory. So a search finds the same in both, and whatever a user types is text.
//!
//! A block stands for up to 1,000 records that follow each other: their numbers, times and bytes. By it a search knows
//! which numbers a time has, and what is too old is deleted, without an index of the times.

use std::time::Duration;

/// The steps that make the tables. A step that was released never changes.
pub(super) const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE logs_records (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL, -- microseconds since 1970
        level INTEGER NOT NULL, -- 1 is trace, 5 error
        target TEXT NOT NULL,
        message TEXT NOT NULL,
        fields TEXT NOT NULL, -- an object, or nothing
        request_id ANY, -- a UUID has 16 bytes
        correlation_id ANY, -- 0 where it is the request ID
        trace_id BLOB,
        span_id BLOB
    ) STRICT;
    CREATE VIRTUAL TABLE logs_words USING fts5(
        words, marks, content = '', contentless_delete = 1, tokenize = 'ascii'
    );
    CREATE TABLE logs_blocks (
        first INTEGER PRIMARY KEY,
        last INTEGER NOT NULL,
        since INTEGER NOT NULL, -- the times of its records
        until INTEGER NOT NULL,
        records INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT;
"];

/// The bounds of the records in the file. What is beyond one of them is deleted, the oldest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogFileLimits {
    pub(super) keep_for: Duration,
    pub(super) max_records: u64,
    pub(super) max_bytes: u64,
}
