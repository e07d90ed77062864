use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::{
    file_id::IdValue, file_marks::write_marks, record::LogRecord, search_text::SearchText,
};
use crate::ops::store::MAX_ROWS;

/// The bytes that a record takes beside its texts and words, in all tables.
const OVERHEAD: usize = 90;

/// Writes records. Those with a number that is there already are left out, and counted in what it returns.
pub(super) fn write(connection: &Connection, records: &[Arc<LogRecord>]) -> rusqlite::Result<u64> {
    let mut insert = connection.prepare(
        "INSERT OR IGNORE INTO logs_records VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    let mut index =
        connection.prepare("INSERT INTO logs_words (rowid, words, marks) VALUES (?1, ?2, ?3)")?;
    let (mut words, mut marks) = (SearchText::default(), String::new());
    let mut block = None;
    let mut left_out = 0;
    for record in records {
        let ids = &record.ids;
        let correlation_id = match &ids.correlation_id {
            Some(_) if ids.correlation_id == ids.request_id => IdValue::Same,
            other => IdValue::of(other.as_deref()),
        };
        let inserted = insert.execute(params![
            record.id as i64,
            record.at as i64,
            record.level as u8,
            record.target,
            record.message,
            record.fields,
            IdValue::of(ids.request_id.as_deref()),
            correlation_id,
            ids.trace_id.map(|id| id.to_bytes()),
            ids.span_id.map(|id| id.to_bytes()),
        ])?;
        if inserted == 0 {
            left_out += 1;
            continue;
        }
        words.set(record);
        write_marks(&mut marks, record);
        index.execute(params![record.id as i64, words.as_str(), marks])?;
        let text = record.target.len() + record.message.len() + record.fields.len();
        let bytes = text + words.as_str().len() / 2 + OVERHEAD;
        Block::add(&mut block, record, bytes);
    }
    if let Some(block) = block {
        block.write(connection)?;
    }
    Ok(left_out)
}

/// Records that follow each other.
struct Block {
    first: u64,
    last: u64,
    since: u64,
    until: u64,
    records: usize,
    bytes: usize,
}

impl Block {
    fn add(block: &mut Option<Self>, record: &LogRecord, bytes: usize) {
        let block = block.get_or_insert(Block {
            first: record.id,
            last: record.id,
            since: record.at,
            until: record.at,
            records: 0,
            bytes: 0,
        });
        block.last = record.id;
        block.since = block.since.min(record.at);
        block.until = block.until.max(record.at);
        block.records += 1;
        block.bytes += bytes;
    }

    /// Writes it, as a part of the last one if that has room.
    fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut last = connection
            .prepare("SELECT first, records FROM logs_blocks ORDER BY first DESC LIMIT 1")?;
        let last: Option<(i64, i64)> = last
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let has_room = |(_, records): &(i64, i64)| *records as usize + self.records <= MAX_ROWS;
        let first = last
            .filter(has_room)
            .map_or(self.first as i64, |(first, _)| first);
        let mut write = connection.prepare(
            "INSERT INTO logs_blocks VALUES (:first, :last, :since, :until, :records, :bytes)
             ON CONFLICT (first) DO UPDATE SET
                last = max(last, excluded.last), since = min(since, excluded.since),
                until = max(until, excluded.until), records = records + excluded.records,
                bytes = bytes + excluded.bytes",
        )?;
        write.execute(named_params! {
            ":first": first, ":last": self.last as i64, ":since": self.since as i64,
            ":until": self.until as i64, ":records": self.records as i64, ":bytes": self.bytes as i64,
        })?;
        Ok(())
    }
}
