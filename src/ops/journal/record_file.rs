//! The events in the file of the store: how they get there, and how they are read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use rusqlite::{Connection, Row, Transaction};

use super::{Event, EventKind, EventPage, Journal, PageStart, Severity};
use crate::ops::{
    StoreFile,
    store::{MAX_ROWS, ReadError, Store, WriteError, WriteSource},
    time::{from_millis, to_millis},
};

/// The events of earlier processes that a journal has in memory: as many as a page of the API.
const FIRST: usize = 1_000;

const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY,
        at INTEGER NOT NULL, -- milliseconds since 1970
        kind TEXT NOT NULL,
        severity TEXT NOT NULL,
        subject TEXT NOT NULL,
        text TEXT NOT NULL,
        who TEXT,
        data TEXT NOT NULL
    );
"];
const COLUMNS: &str = "seq, at, kind, severity, subject, text, who, data";

/// The source of events. What waits is in the journal anyway: the source only knows how far it has come.
pub(in crate::ops) struct RecordFile {
    journal: Journal,
    max_events: usize,
    keep: std::time::Duration,
    /// The number of the last event of the batch that is being written.
    taken: AtomicU64,
}

impl RecordFile {
    /// Has a journal go on where the one in the file ended, and writes it into the file from now on. Blocks; for a journal that
    /// is new, and has so many events in memory at most.
    pub(in crate::ops) fn attach(
        journal: &Journal,
        store: &Store,
        file: &StoreFile,
        max_events: usize,
    ) {
        // Makes the tables. Nothing is written yet, since there is no event.
        store.add_source(Arc::new(RecordFile {
            journal: journal.clone(),
            max_events: file.max_events,
            keep: file.keep_events,
            taken: AtomicU64::new(0),
        }));
        let page = EventPage {
            from: PageStart::Before(u64::MAX),
            limit: FIRST.min(max_events),
            kind: None,
        };
        let read = store.read(|file| Ok((read_page(file, &page)?, ends(file)?)));
        match read {
            Ok((events, (_, last))) => journal.go_on(events, last),
            // Above whatever is in the file, since it may be there later: its numbers begin at 1.
            Err(_) => journal.go_on(Vec::new(), to_millis(SystemTime::now()) as u64),
        }
    }
}

impl WriteSource for RecordFile {
    fn name(&self) -> &'static str {
        "events"
    }

    fn migrations(&self) -> &'static [&'static str] {
        &MIGRATIONS
    }

    fn opened(&self, connection: &Connection) -> rusqlite::Result<()> {
        // What is in memory goes into a file that is new.
        let (first, last) = ends(connection)?;
        self.journal.set_written(first, last);
        Ok(())
    }

    fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<usize> {
        let events = self
            .journal
            .after(self.journal.written(), MAX_ROWS, |_| true);
        let Some(last) = events.last() else {
            return Ok(0);
        };
        self.taken.store(last.seq(), Ordering::Relaxed);
        let sql = format!(
            "INSERT OR REPLACE INTO events ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
        );
        let mut insert = transaction.prepare(&sql)?;
        for event in &events {
            let data = serde_json::Value::from(event.data().clone()).to_string();
            insert.execute((
                event.seq() as i64,
                to_millis(event.at()),
                event.kind().as_str(),
                event.severity().as_str(),
                event.subject(),
                event.text(),
                event.who(),
                data,
            ))?;
        }
        Ok(events.len())
    }

    fn finished(&self, result: Result<(), WriteError>) {
        let taken = self.taken.swap(0, Ordering::Relaxed);
        let is_over = taken > 0 && result != Err(WriteError::Later);
        if is_over {
            let first = match self.journal.first_written() {
                0 => self.journal.written() + 1,
                first => first,
            };
            self.journal.set_written(first, taken);
        }
    }

    fn trim(&self, connection: &Connection, now: SystemTime) -> rusqlite::Result<bool> {
        let (_, last) = ends(connection)?;
        let events: i64 =
            connection.query_row("SELECT count(*) FROM events", [], |row| row.get(0))?;
        let many = (events - self.max_events as i64).clamp(0, MAX_ROWS as i64);
        let oldest = to_millis(now.checked_sub(self.keep).unwrap_or(SystemTime::UNIX_EPOCH));
        // The last one stays: numbers go on after it.
        let sql = "DELETE FROM events WHERE seq < ?1 AND seq IN (
                SELECT seq FROM (SELECT seq, at, row_number() OVER (ORDER BY seq) AS place FROM events ORDER BY seq LIMIT ?2)
                WHERE at < ?3 OR place <= ?4)";
        let rows = connection.execute(sql, (last as i64, MAX_ROWS as i64, oldest, many))?;
        if rows > 0 {
            let (first, last) = ends(connection)?;
            self.journal.set_written(first, last);
        }
        Ok(rows == MAX_ROWS)
    }
}

/// Returns the numbers of the first and of the last event in the file; 0 and 0 without any.
fn ends(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let sql = "SELECT coalesce((SELECT min(seq) FROM events), 0), coalesce((SELECT max(seq) FROM events), 0)";
    connection.query_row(sql, [], |row| {
        let number = |at| row.get::<_, i64>(at).map(|number| number.max(0) as u64);
        Ok((number(0)?, number(1)?))
    })
}

/// Reads a page, the oldest events first.
pub(super) fn read(store: &Store, page: &EventPage) -> Result<Vec<Event>, ReadError> {
    store.read(|file| read_page(file, page))
}

fn read_page(connection: &Connection, page: &EventPage) -> rusqlite::Result<Vec<Event>> {
    let (seq, condition) = match page.from {
        PageStart::After(seq) => (seq, "seq > ?1 AND (?2 IS NULL OR kind = ?2) ORDER BY seq"),
        PageStart::Before(seq) => (
            seq,
            "seq < ?1 AND (?2 IS NULL OR kind = ?2) ORDER BY seq DESC",
        ),
    };
    let sql = format!("SELECT {COLUMNS} FROM events WHERE {condition} LIMIT ?3");
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query((seq, page.kind.map(EventKind::as_str), limit))?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        // What a later program has written may be of a kind that this one does not know.
        events.extend(event(row)?);
    }
    if let PageStart::Before(_) = page.from {
        events.reverse();
    }
    Ok(events)
}

fn event(row: &Row<'_>) -> rusqlite::Result<Option<Event>> {
    let text = |at| row.get_ref(at)?.as_str().map_err(rusqlite::Error::from);
    let (Some(kind), Some(severity)) = (EventKind::parse(text(2)?), Severity::parse(text(3)?))
    else {
        return Ok(None);
    };
    let data = serde_json::from_str(text(7)?).unwrap_or_default();
    let mut event = Event::new(kind, severity, text(4)?, text(5)?)
        .with_who(row.get::<_, Option<String>>(6)?)
        .with_data(data);
    event.seq = row.get::<_, i64>(0)?.max(0) as u64;
    event.at = from_millis(row.get(1)?);
    Ok(Some(event))
}
