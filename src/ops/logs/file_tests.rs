//! The file finds what memory finds.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proptest::{collection::vec, option, prelude::*, sample::select};
use rusqlite::Connection;

use super::{
    file::{LogFileLimits, MIGRATIONS},
    file_read::{last_id, read},
    file_trim::trim,
    file_write::write,
    level::LogLevel,
    memory::Memory,
    page::{FoundLogs, LogPage, PageFill},
    query::LogQuery,
    record::{LogIds, LogRecord},
    waiting::WaitingRecords,
};
use crate::context::{SpanId, TraceId};

fn connection() -> Connection {
    let connection = Connection::open_in_memory().expect("memory");
    connection.execute_batch(MIGRATIONS[0]).expect("valid");
    connection
}

fn everything(limit: usize) -> LogPage {
    LogPage {
        before: None,
        after: None,
        limit,
    }
}

fn find(connection: &Connection, query: &LogQuery, page: LogPage) -> FoundLogs {
    let mut fill = PageFill::new(query, page);
    read(connection, &mut fill, None).expect("no text is an error");
    fill.into_found()
}

fn record(id: u64, message: &str) -> Arc<LogRecord> {
    Arc::new(LogRecord {
        id,
        at: id * 1_000,
        level: LogLevel::Info,
        target: "orders".into(),
        message: message.into(),
        fields: "".into(),
        ids: LogIds::default(),
    })
}

/// Words that meet often, with what is between them, and what means something to FTS5.
const PIECES: &[&str] = &[
    "timeout",
    "Timeout",
    "time",
    "pay",
    "PAY",
    "payments",
    "a",
    "b",
    "é",
    "É",
    "e\u{301}",
    "東京",
    "İ",
    "ß",
    "order_id=7",
    "7",
    " ",
    "  ",
    "-",
    "\"",
    "*",
    "(",
    ")",
    ":",
    "^",
    "+",
    "{",
    "}",
    "'",
    ";",
    "\\",
    "\n",
    "\0",
    "NEAR",
    "AND",
    "OR",
    "NOT",
    "words:",
    "marks:",
    "w",
    "e",
    "torders",
    "rowid",
    "→",
    "%",
    "_",
    "🦀",
];

fn text() -> impl Strategy<Value = String> {
    let pieces = vec(select(PIECES), 0..8).prop_map(|pieces| pieces.concat());
    prop_oneof![4 => pieces, 1 => any::<String>()]
}

const REQUESTS: &[&str] = &[
    "7f1c",
    "0192f3a1-7c5e-7d3b-8a4e-2f6b1c9d0e8f",
    "0192F3A1-7C5E-7D3B-8A4E-2F6B1C9D0E8F",
];
const TARGETS: &[&str] = &[
    "orders",
    "orders::pay",
    "orders_pay::x",
    "ord",
    "my-app::Y",
    "",
    "::",
    "東京::x",
];

fn ids() -> impl Strategy<Value = LogIds> {
    let id = || option::of(select(REQUESTS).prop_map(Box::from));
    (id(), id(), option::of(1..3_u8), option::of(1..3_u8)).prop_map(
        |(request_id, correlation_id, trace, span)| LogIds {
            request_id,
            correlation_id,
            trace_id: trace.and_then(|n| TraceId::from_bytes([n; 16])),
            span_id: span.and_then(|n| SpanId::from_bytes([n; 8])),
        },
    )
}

prop_compose! {
    fn any_record()(
        at in 0..50_u64,
        level in select(&LogLevel::ALL[..]),
        target in select(TARGETS),
        message in text(),
        fields in vec((text(), text()), 0..3),
        ids in ids(),
    ) -> LogRecord {
        let fields: serde_json::Map<String, serde_json::Value> =
            fields.into_iter().map(|(name, value)| (name, value.into())).collect();
        let fields = if fields.is_empty() { String::new() } else { serde_json::Value::from(fields).to_string() };
        LogRecord { id: 0, at, level, target: target.into(), message: message.into(), fields: fields.into(), ids }
    }
}

/// Returns records with numbers, of which some are left out.
fn records() -> impl Strategy<Value = Vec<Arc<LogRecord>>> {
    vec((any_record(), 1..3_u64), 0..40).prop_map(|records| {
        let mut id = 0;
        let numbered = records.into_iter().map(|(record, step)| {
            id += step;
            Arc::new(LogRecord { id, ..record })
        });
        numbered.collect()
    })
}

fn query() -> impl Strategy<Value = LogQuery> {
    let filters = (
        text(),
        option::of(select(&LogLevel::ALL[..])),
        option::of(select(
            &[
                "orders",
                "ord",
                "orders::",
                "orders::p",
                "orders_",
                "my-",
                "東",
                "::",
                "x",
            ][..],
        )),
        (
            option::weighted(0.2, select(REQUESTS)),
            option::weighted(0.2, select(REQUESTS)),
            option::weighted(0.2, select(REQUESTS)),
        ),
        (
            option::weighted(0.2, 1..3_u8),
            option::weighted(0.2, 1..3_u8),
        ),
        (option::of(0..50_u64), option::of(0..50_u64)),
    );
    filters.prop_map(
        |(q, level, target, (request, correlation, id), (trace, span), (since, until))| {
            let parsed = LogQuery::parse(|name| (name == "q").then_some(&*q)).expect("any text");
            LogQuery {
                level,
                target: target.map(Into::into),
                request_id: request.map(Into::into),
                correlation_id: correlation.map(Into::into),
                id: id.map(Into::into),
                trace_id: trace.and_then(|n| TraceId::from_bytes([n; 16])),
                span_id: span.and_then(|n| SpanId::from_bytes([n; 8])),
                since,
                until,
                ..parsed
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn file_finds_what_memory_finds(
        records in records(),
        batch in 1..20_usize,
        queries in vec((query(), option::of(0..60_u64), option::of(0..60_u64), 1..10_usize), 1..6),
    ) {
        let connection = connection();
        let mut memory = Memory::new(1_000, usize::MAX);
        for batch in records.chunks(batch) {
            prop_assert_eq!(write(&connection, batch).expect("written"), 0);
        }
        records.iter().for_each(|record| memory.push(record.clone()));
        for (query, before, after, limit) in queries {
            let page = LogPage { before, after, limit };
            let mut expected = PageFill::new(&query, page);
            expected.add_kept(records.len() as u64, records.iter().map(|record| record.at).min());
            memory.fill(&mut expected);
            prop_assert_eq!(find(&connection, &query, page), expected.into_found());
        }
    }

    #[test]
    fn search_for_any_text_is_no_error(message: String, q: String) {
        let connection = connection();
        write(&connection, &[record(1, &message)]).expect("written");
        let query = LogQuery::parse(|name| (name == "q").then_some(&*q)).expect("any text");
        find(&connection, &query, everything(10));
        // What is in a record is found by it, if it has words.
        let quoted = format!("\"{}\"", message.replace('"', " "));
        let query = LogQuery::parse(|name| (name == "q").then_some(&*quoted)).expect("any text");
        prop_assert_eq!(find(&connection, &query, everything(10)).records.len(), 1);
    }
}

#[test]
fn record_comes_back_as_it_was() {
    let connection = connection();
    let mut all = Vec::new();
    for (id, request) in (1..).zip(REQUESTS) {
        for (n, correlation) in [None, Some(*request), Some("other")]
            .into_iter()
            .enumerate()
        {
            let ids = LogIds {
                request_id: Some((*request).into()),
                correlation_id: correlation.map(Into::into),
                trace_id: TraceId::from_bytes([id as u8; 16]),
                span_id: None,
            };
            let record = record(id * 10 + n as u64, "x");
            all.push(Arc::new(LogRecord {
                ids,
                fields: r#"{"a":1}"#.into(),
                ..(*record).clone()
            }));
        }
    }
    write(&connection, &all).expect("written");
    all.reverse();
    assert_eq!(
        find(&connection, &LogQuery::default(), everything(100)).records,
        all
    );
    assert_eq!(last_id(&connection).expect("read"), Some(32));
}

#[test]
fn record_with_a_number_that_is_there_is_left_out_and_counted() {
    let connection = connection();
    write(&connection, &[record(1, "first")]).expect("written");
    let again = [record(1, "second"), record(2, "third")];
    assert_eq!(write(&connection, &again).expect("written"), 1);
    let found = find(&connection, &LogQuery::default(), everything(10));
    let messages: Vec<_> = found
        .records
        .iter()
        .map(|record| &*record.message)
        .collect();
    assert_eq!((messages, found.kept), (vec!["third", "first"], 2));
}

#[test]
fn file_deletes_what_is_too_old_or_too_much_in_blocks() {
    let connection = connection();
    let all: Vec<_> = (1..=4_500).map(|id| record(id, "word")).collect();
    for batch in all.chunks(700) {
        write(&connection, batch).expect("written");
    }
    let limits = |seconds, max_records, max_bytes| LogFileLimits {
        keep_for: Duration::from_secs(seconds),
        max_records,
        max_bytes,
    };
    let now = |millis| UNIX_EPOCH + Duration::from_millis(millis);
    let trimmed = |limits: LogFileLimits, now: SystemTime| {
        while trim(&connection, &limits, now).expect("trimmed") {}
        let query = LogQuery::parse(|name| (name == "q").then_some("word")).expect("any text");
        let found = find(&connection, &query, everything(10_000));
        assert_eq!(found.kept as usize, found.records.len());
        found.records.len()
    };
    let (many, much) = (1_000_000, u64::MAX >> 1);
    assert_eq!(trimmed(limits(10, many, much), now(10_000)), 4_500);
    // Records are a millisecond apart, and blocks have 700 of them.
    assert_eq!(trimmed(limits(1, many, much), now(1_800)), 3_800);
    assert_eq!(trimmed(limits(100, 3_000, much), now(1_800)), 2_400);
    let bytes = 100 * 1_800;
    let left = trimmed(limits(100, many, bytes), now(1_800));
    assert!((500..2_400).contains(&left), "{left}");
    assert_eq!(trimmed(limits(1, many, much), now(1_000_000)), 0);
}

#[test]
fn small_batches_share_a_block() {
    let connection = connection();
    for id in 1..=1_500 {
        write(&connection, &[record(id, "x")]).expect("written");
    }
    let blocks = connection.query_row("SELECT count(*) FROM logs_blocks", [], |row| {
        row.get::<_, i64>(0)
    });
    assert_eq!(blocks.expect("a number"), 2);
}

#[test]
fn waiting_records_are_bounded_and_go_back_if_they_are_not_written() {
    let mut waiting = WaitingRecords::default();
    (1..=10).for_each(|id| assert_eq!(waiting.push(record(id, "x")), 0));
    let batch: Vec<_> = waiting.take(4).iter().map(|record| record.id).collect();
    assert_eq!(batch, [1, 2, 3, 4]);
    let all: Vec<_> = waiting.newest_first().map(|record| record.id).collect();
    assert_eq!(all, (1..=10).rev().collect::<Vec<_>>());
    assert_eq!(waiting.finish(Err(crate::ops::store::WriteError::Later)), 0);
    assert_eq!(
        (waiting.len(), waiting.oldest().map(|record| record.id)),
        (10, Some(1))
    );
    waiting.take(4);
    assert_eq!(waiting.finish(Err(crate::ops::store::WriteError::Never)), 4);
    waiting.take(1_000);
    assert_eq!(waiting.finish(Ok(())), 0);
    assert_eq!(waiting.len(), 0);
    let lost: u64 = (0..100_010).map(|id| waiting.push(record(id, ""))).sum();
    assert_eq!(
        (lost, waiting.oldest().map(|record| record.id)),
        (10, Some(10))
    );
}
