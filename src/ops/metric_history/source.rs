use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::SystemTime,
};

use rusqlite::{Connection, Transaction};

use super::{
    HOUR, HOURS_PER_BLOCK, MINUTE, MINUTES_PER_BLOCK, MetricRetention, minute_row,
    packing::{Packing, minutes},
    stored_series::Numbers,
};
use crate::ops::{
    recorder::{Recorder, SeriesRef},
    store::{MAX_ROWS, WriteError, WriteSource},
};

/// The minutes in one batch: more wait only where the file could not be written.
const MINUTES_PER_BATCH: usize = 5;

const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE metric_series (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        kind INTEGER NOT NULL,
        labels TEXT NOT NULL,
        last_hour INTEGER NOT NULL,
        UNIQUE (name, kind, labels)
    );
    -- All points of a minute, until its hour is packed.
    CREATE TABLE metric_minutes (minute INTEGER PRIMARY KEY, points BLOB NOT NULL);
    -- The points of a series: an hour of minutes (tier 60), a day of hours (tier 3600).
    CREATE TABLE metric_blocks (
        tier INTEGER NOT NULL,
        block INTEGER NOT NULL,
        series INTEGER NOT NULL,
        points BLOB NOT NULL,
        PRIMARY KEY (tier, block, series)
    ) WITHOUT ROWID;
    CREATE TABLE metric_sizes (
        tier INTEGER NOT NULL,
        block INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (tier, block)
    ) WITHOUT ROWID;
"];

/// The source of points. What waits is in the recorder anyway: the source only knows how far it has come.
pub(super) struct MetricSource {
    recorder: Recorder,
    retention: MetricRetention,
    /// Held by the writer only.
    state: Mutex<State>,
    is_begun_wanted: AtomicBool,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// The next minute to write, once there was a tick.
    next: Option<u64>,
    batch: Batch,
    numbers: Numbers,
    packing: Option<Packing>,
    /// True if an hour may be over that is not packed.
    may_pack: bool,
}

/// The changes of a batch, if it gets into the file.
#[derive(Debug, Default)]
struct Batch {
    next: Option<u64>,
    has_begun_minute: bool,
    dropped: u64,
}

impl MetricSource {
    pub(super) fn new(recorder: Recorder, retention: MetricRetention) -> Self {
        MetricSource {
            recorder,
            retention,
            state: Mutex::default(),
            is_begun_wanted: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
        }
    }

    pub(super) fn write_begun_minute(&self) {
        self.is_begun_wanted.store(true, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes the row of a minute.
    fn write_minute(
        &self,
        state: &mut State,
        connection: &Connection,
        minute: u64,
    ) -> rusqlite::Result<()> {
        // What an earlier process has seen of series that this one does not know.
        let known = minutes(connection, minute..minute + 1)?;
        let mut points: BTreeMap<i64, _> = known.into_iter().collect();
        for series in SeriesRef::tracked(&self.recorder) {
            let Some(point) = series.minute(minute) else {
                continue;
            };
            let (name, kind, labels) = (series.name(), series.kind(), series.labels());
            let hour = minute / MINUTES_PER_BLOCK;
            match state.numbers.number(connection, name, kind, labels, hour)? {
                Some(number) => _ = points.insert(number, point),
                None => state.batch.dropped += 1,
            }
        }
        let points: Vec<_> = points.into_iter().collect();
        let sql = "INSERT OR REPLACE INTO metric_minutes (minute, points) VALUES (?1, ?2)";
        connection.execute(sql, (minute as i64, minute_row::pack(&points)))?;
        Ok(())
    }

    /// Packs a part of an hour that is over, and returns whether there is more to pack.
    fn pack(&self, state: &mut State, connection: &Connection) -> rusqlite::Result<bool> {
        let now = state.batch.next.or(state.next);
        if let (None, true, Some(now)) = (&state.packing, state.may_pack, now) {
            state.packing = Packing::begin(connection, now)?;
            state.may_pack = state.packing.is_some();
        }
        if let Some(packing) = &mut state.packing
            && packing.step(connection)?
        {
            state.packing = None;
        }
        Ok(state.may_pack)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WriteSource for MetricSource {
    fn name(&self) -> &'static str {
        "metrics"
    }

    fn migrations(&self) -> &'static [&'static str] {
        &MIGRATIONS
    }

    fn opened(&self, _connection: &Connection) -> rusqlite::Result<()> {
        let mut state = self.lock();
        state.numbers = Numbers::default();
        (state.packing, state.may_pack) = (None, true);
        Ok(())
    }

    fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<usize> {
        let Some((first, last)) = self.recorder.ticked() else {
            return Ok(0);
        };
        let mut state = self.lock();
        let now = last / MINUTE;
        // Not after now: a clock may be set back.
        let next = state.next.unwrap_or(first / MINUTE).min(now);
        let minutes: Vec<_> = (next..now).take(MINUTES_PER_BATCH).collect();
        for minute in &minutes {
            self.write_minute(&mut state, transaction, *minute)?;
            state.may_pack = true;
        }
        let after = minutes.last().map_or(next, |last| last + 1);
        state.batch.next = Some(after);
        let mut rows = minutes.len();
        if after == now && self.is_begun_wanted.swap(false, Ordering::Relaxed) {
            state.batch.has_begun_minute = true;
            self.write_minute(&mut state, transaction, now)?;
            rows += 1;
        }
        let has_more = self.pack(&mut state, transaction)? || after < now;
        Ok(if has_more { MAX_ROWS } else { rows })
    }

    fn finished(&self, result: Result<(), WriteError>) {
        let mut state = self.lock();
        let batch = std::mem::take(&mut state.batch);
        let is_later = result == Err(WriteError::Later);
        if !is_later {
            state.next = batch.next.or(state.next);
            self.dropped.fetch_add(batch.dropped, Ordering::Relaxed);
        }
        if result.is_err() {
            // Numbers and blocks may be gone with the batch.
            state.numbers = Numbers::default();
            (state.packing, state.may_pack) = (None, is_later);
        }
        if is_later && batch.has_begun_minute {
            self.write_begun_minute();
        }
    }

    fn trim(&self, connection: &Connection, now: SystemTime) -> rusqlite::Result<bool> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let oldest = |age: u64, block: u64| now.saturating_sub(age) / block;
        let minutes = oldest(self.retention.minutes.as_secs(), HOUR);
        let hours = oldest(self.retention.hours.as_secs(), HOUR * HOURS_PER_BLOCK);
        let sizes = "SELECT coalesce(sum(bytes), 0) FROM metric_sizes";
        let bytes: i64 = connection.query_row(sizes, [], |row| row.get(0))?;
        let is_too_much = bytes.max(0) as u64 > self.retention.max_bytes;
        // The oldest block that goes: minutes first, since hours say more in less.
        let sql = "SELECT tier, block FROM metric_sizes
            WHERE ?1 OR (tier = 60 AND block < ?2) OR (tier = 3600 AND block < ?3) ORDER BY tier, block LIMIT 1";
        let mut oldest = connection.prepare(sql)?;
        let mut oldest = oldest.query((is_too_much, minutes as i64, hours as i64))?;
        let Some(row) = oldest.next()? else {
            return self.forget_series(connection, now);
        };
        let key: (i64, i64) = (row.get(0)?, row.get(1)?);
        drop(oldest);
        let sql = "DELETE FROM metric_blocks WHERE tier = ?1 AND block = ?2 AND series IN
            (SELECT series FROM metric_blocks WHERE tier = ?1 AND block = ?2 LIMIT ?3)";
        let rows = connection.execute(sql, (key.0, key.1, MAX_ROWS as i64))?;
        if rows < MAX_ROWS {
            let sql = "DELETE FROM metric_sizes WHERE tier = ?1 AND block = ?2";
            connection.execute(sql, key)?;
        }
        Ok(true)
    }
}

impl MetricSource {
    /// Deletes series of which there are no points any more.
    fn forget_series(&self, connection: &Connection, now: u64) -> rusqlite::Result<bool> {
        let oldest = now.saturating_sub(self.retention.hours.as_secs()) / HOUR;
        // A day later than their last block.
        let sql = "DELETE FROM metric_series WHERE number IN
            (SELECT number FROM metric_series WHERE last_hour < ?1 LIMIT ?2)";
        let oldest = oldest.saturating_sub(HOURS_PER_BLOCK) as i64;
        let rows = connection.execute(sql, (oldest, MAX_ROWS as i64))?;
        if rows > 0 {
            self.lock().numbers = Numbers::default();
        }
        Ok(rows == MAX_ROWS)
    }
}
