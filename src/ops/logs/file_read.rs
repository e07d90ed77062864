use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, Row, ToSql, params};

use super::{
    file_id::IdValue,
    file_marks::match_of,
    level::LogLevel,
    page::PageFill,
    record::{LogIds, LogRecord},
};
use crate::context::{SpanId, TraceId};

/// Returns the highest number in the file.
pub(super) fn last_id(connection: &Connection) -> rusqlite::Result<Option<u64>> {
    connection.query_row("SELECT max(id) FROM logs_records", [], |row| {
        let last: Option<i64> = row.get(0)?;
        Ok(last.map(|id| id as u64))
    })
}

/// Offers the records of the file to a page, the newest first, those with lower numbers than `before` only. One that takes too
/// long ends with what it has.
pub(super) fn read(
    connection: &Connection,
    page: &mut PageFill<'_>,
    before: Option<u64>,
) -> rusqlite::Result<()> {
    let (kept, oldest) = connection.query_row(
        "SELECT coalesce(sum(records), 0), min(since) FROM logs_blocks",
        [],
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?)),
    )?;
    page.add_kept(kept as u64, oldest.map(|at| at as u64));
    let Some((first, last)) = range(connection, page, before)? else {
        return Ok(());
    };
    match read_range(connection, page, first, last) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            page.cut();
            Ok(())
        }
        read => read,
    }
}

/// Returns the first and the last number that the page may have.
fn range(
    connection: &Connection,
    page: &PageFill<'_>,
    before: Option<u64>,
) -> rusqlite::Result<Option<(i64, i64)>> {
    let query = page.query();
    let number = |micros: Option<u64>, default| {
        micros.map_or(default, |micros| i64::try_from(micros).unwrap_or(i64::MAX))
    };
    let blocks = connection.query_row(
        "SELECT min(first), max(last) FROM logs_blocks WHERE until >= ?1 AND since <= ?2",
        params![number(query.since, 0), number(query.until, i64::MAX)],
        |row| Ok((row.get(0)?, row.get(1)?)),
    );
    let (Some(first), Some(last)) = blocks? else {
        return Ok(None);
    };
    let paging = page.page();
    let above = number(paging.after, -1).saturating_add(1);
    let below = [before, paging.before].into_iter().flatten().min();
    let below = number(below, i64::MAX).saturating_sub(1);
    let (first, last): (i64, i64) = (above.max(first), below.min(last));
    Ok((first <= last).then_some((first, last)))
}

/// The latest records, which are looked at one by one before the index has to look at all of them. Few in tests, so that they
/// cover both.
const LATEST: i64 = if cfg!(test) { 5 } else { 2_000 };

fn read_range(
    connection: &Connection,
    page: &mut PageFill<'_>,
    first: i64,
    last: i64,
) -> rusqlite::Result<()> {
    let Some(candidates) = match_of(page.query()) else {
        return read_rows(connection, page, ALL, params![first, last]).map(drop);
    };
    let mut last = last;
    if candidates.has_beginnings {
        let latest = first.max(last.saturating_sub(LATEST - 1));
        if !read_rows(connection, page, ALL, params![latest, last])? {
            return Ok(());
        }
        last = latest - 1;
    }
    let params = params![first, last, candidates.expression];
    read_rows(connection, page, CANDIDATES, params).map(drop)
}

const ALL: &str =
    "SELECT id, at, level, target, message, fields, request_id, correlation_id, trace_id, span_id
    FROM logs_records WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC";

// The index gives the newest first by itself: nothing is sorted.
const CANDIDATES: &str =
    "SELECT id, at, level, target, message, fields, request_id, correlation_id, trace_id, span_id
    FROM logs_words CROSS JOIN logs_records ON id = logs_words.rowid
    WHERE logs_words MATCH ?3 AND logs_words.rowid BETWEEN ?1 AND ?2
    ORDER BY logs_words.rowid DESC";

/// Offers rows to a page, and returns whether more are wanted.
fn read_rows(
    connection: &Connection,
    page: &mut PageFill<'_>,
    sql: &str,
    params: &[&dyn ToSql],
) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(params)?;
    while let Some(row) = rows.next()? {
        if !page.offer(&Arc::new(record(row)?)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn record(row: &Row<'_>) -> rusqlite::Result<LogRecord> {
    let id = |column, same| Ok::<_, rusqlite::Error>(IdValue::text(row.get_ref(column)?, same));
    let request_id: Option<Box<str>> = id(6, None)?;
    let correlation_id = id(7, request_id.as_deref())?;
    let level: u8 = row.get(2)?;
    let level = LogLevel::ALL.into_iter().find(|each| *each as u8 == level);
    let trace_id: Option<[u8; 16]> = row.get(8)?;
    let span_id: Option<[u8; 8]> = row.get(9)?;
    Ok(LogRecord {
        id: row.get::<_, i64>(0)? as u64,
        at: row.get::<_, i64>(1)? as u64,
        level: level.unwrap_or(LogLevel::Info),
        target: row.get::<_, String>(3)?.into(),
        message: row.get(4)?,
        fields: row.get(5)?,
        ids: LogIds {
            request_id,
            correlation_id,
            trace_id: trace_id.and_then(TraceId::from_bytes),
            span_id: span_id.and_then(SpanId::from_bytes),
        },
    })
}
