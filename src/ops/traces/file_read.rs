use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, types::Type};

use super::{
    callsite::Callsite,
    file_decode::{decode, decode_callsite},
    kept_trace::KeptTrace,
    query::TraceQuery,
    segment::Segment,
    span_record::SpanKind,
    summary::TraceSummary,
    trace_state::Reason,
};
use crate::{call::Outcome, context::TraceId};

/// The columns of what the list shows.
const COLUMNS: &str = "seq, trace_id, start, nanos, name, route, kind, outcome, status, reason, correlation_id, request_id, \
    error_groups, spans, errors, open, truncated";

/// Returns the number of the last trace.
pub(super) fn last_seq(connection: &Connection) -> rusqlite::Result<u64> {
    let last = connection.query_row("SELECT max(seq) FROM traces_kept", [], |row| row.get(0));
    last.map(|last: Option<i64>| last.unwrap_or(0) as u64)
}

/// Returns a trace with its spans.
pub(super) fn get(
    connection: &Connection,
    trace_id: TraceId,
) -> rusqlite::Result<Option<KeptTrace>> {
    let sql = format!("SELECT {COLUMNS}, segments FROM traces_kept WHERE trace_id = ?1");
    let id = trace_id.to_bytes();
    let mut callsites = CallsiteReader::new(connection);
    let found = connection.query_row(&sql, params![&id[..]], |row| whole(row, &mut callsites));
    found.optional()
}

/// Returns the conditions of a query that the file can decide, and their values.
fn conditions(query: &TraceQuery, before: u64) -> (String, Vec<Box<dyn ToSql>>) {
    let mut conditions = vec!["seq < ?1", "nanos >= ?2"];
    let mut values: Vec<Box<dyn ToSql>> = vec![
        Box::new(i64::try_from(before).unwrap_or(i64::MAX)),
        Box::new(i64::try_from(query.min.as_nanos()).unwrap_or(i64::MAX)),
    ];
    let time = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
    for (condition, value) in [
        ("start >= ?", query.from.map(time)),
        ("start <= ?", query.to.map(time)),
        (
            "outcome = ?",
            query.outcome.map(|outcome| outcome.index() as i64),
        ),
        ("errors > ?", query.errors_only.then_some(0)),
    ] {
        if let Some(value) = value {
            conditions.push(condition);
            values.push(Box::new(value));
        }
    }
    if let Some(id) = &query.correlation_id {
        conditions.push("correlation_id = ?");
        values.push(Box::new(id.clone()));
    }
    (conditions.join(" AND "), values)
}

/// Returns traces that fulfill the conditions, with lower numbers than `before`, newest first; without their spans.
pub(super) fn search(
    connection: &Connection,
    query: &TraceQuery,
    before: u64,
    limit: usize,
) -> rusqlite::Result<Vec<KeptTrace>> {
    // Attributes are in what is packed.
    let needs_spans = !query.attributes.is_empty();
    let columns = if needs_spans { ", segments" } else { "" };
    let (conditions, values) = conditions(query, before);
    let sql =
        format!("SELECT {COLUMNS}{columns} FROM traces_kept WHERE {conditions} ORDER BY seq DESC");
    let values = rusqlite::params_from_iter(values);
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(values)?;
    let mut callsites = CallsiteReader::new(connection);
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let mut trace = match needs_spans {
            true => whole(row, &mut callsites)?,
            false => listed(row)?,
        };
        // What is the same as in memory is decided there.
        if query.matches(&trace) {
            trace.segments.clear();
            found.push(trace);
            if found.len() == limit {
                break;
            }
        }
    }
    Ok(found)
}

/// Reads a row without its spans.
fn listed(row: &Row<'_>) -> rusqlite::Result<KeptTrace> {
    let damaged = |column: usize| {
        let error = "it is damaged".into();
        rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, error)
    };
    let number = |column: usize| row.get::<_, i64>(column).map(|number| number as u64);
    let text = |column: usize| row.get::<_, Option<Box<str>>>(column);
    let index = |column: usize| {
        row.get::<_, Option<i64>>(column)
            .map(|index| index.map(|index| index as usize))
    };
    let trace_id = TraceId::from_bytes(row.get(1)?).ok_or_else(|| damaged(1))?;
    let groups = text(12)?.unwrap_or_default();
    let at = |index: Option<usize>| index.unwrap_or(usize::MAX);
    Ok(KeptTrace {
        seq: number(0)?,
        trace_id,
        reason: Reason::ALL
            .get(at(index(9)?))
            .copied()
            .unwrap_or(Reason::Sampled),
        summary: TraceSummary {
            start: number(2)?,
            nanos: number(3)?,
            name: text(4)?.unwrap_or_default(),
            route: text(5)?,
            kind: SpanKind::ALL
                .get(at(index(6)?))
                .copied()
                .unwrap_or_default(),
            outcome: Outcome::ALL.get(at(index(7)?)).copied(),
            status: row.get(8)?,
            correlation_id: text(10)?,
            request_id: text(11)?,
            error_groups: groups.split_whitespace().map(Box::from).collect(),
            spans: number(13)? as usize,
            errors: number(14)? as usize,
            open: number(15)? as usize,
            truncated: number(16)?,
        },
        segments: Vec::new(),
    })
}

/// Reads a row with its spans; without, if they are damaged.
fn whole(row: &Row<'_>, callsites: &mut CallsiteReader<'_>) -> rusqlite::Result<KeptTrace> {
    let mut trace = listed(row)?;
    let packed: Vec<u8> = row.get(17)?;
    let segments: Option<Vec<Arc<Segment>>> = decode(&packed, |id| callsites.get(id));
    trace.segments = segments.unwrap_or_default();
    Ok(trace)
}

/// Callsites by their numbers, each read once.
struct CallsiteReader<'a> {
    connection: &'a Connection,
    known: HashMap<u64, Option<Arc<Callsite>>>,
}

impl<'a> CallsiteReader<'a> {
    fn new(connection: &'a Connection) -> Self {
        CallsiteReader {
            connection,
            known: HashMap::new(),
        }
    }

    fn get(&mut self, id: u64) -> Option<Arc<Callsite>> {
        let connection = self.connection;
        let known = self.known.entry(id).or_insert_with(|| {
            let sql = "SELECT callsite FROM traces_callsites WHERE id = ?1";
            let packed = connection.query_row(sql, [id as i64], |row| row.get::<_, Vec<u8>>(0));
            decode_callsite(&packed.ok()?).map(Arc::new)
        });
        known.clone()
    }
}
