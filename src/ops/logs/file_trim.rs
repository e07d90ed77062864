use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, params};

use super::file::LogFileLimits;

/// Deletes the oldest block, if it is too old or there is too much, and returns whether it was.
pub(super) fn trim(
    connection: &Connection,
    limits: &LogFileLimits,
    now: SystemTime,
) -> rusqlite::Result<bool> {
    let mut oldest =
        connection.prepare("SELECT first, last, until FROM logs_blocks ORDER BY first LIMIT 1")?;
    let oldest: Option<(i64, i64, i64)> = oldest
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((first, last, until)) = oldest else {
        return Ok(false);
    };
    let since_1970 = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let end = since_1970.saturating_sub(limits.keep_for).as_micros() as i64;
    if until >= end {
        let mut sums = connection.prepare("SELECT sum(records), sum(bytes) FROM logs_blocks")?;
        let (records, bytes): (i64, i64) =
            sums.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if records as u64 <= limits.max_records && bytes as u64 <= limits.max_bytes {
            return Ok(false);
        }
    }
    for delete in [
        "DELETE FROM logs_words WHERE rowid BETWEEN ?1 AND ?2",
        "DELETE FROM logs_records WHERE id BETWEEN ?1 AND ?2",
        "DELETE FROM logs_blocks WHERE first BETWEEN ?1 AND ?2",
    ] {
        connection.prepare(delete)?.execute(params![first, last])?;
    }
    Ok(true)
}
