//! The packing of an hour that is over: from one row per minute to one block per series.

use std::collections::{BTreeMap, VecDeque};

use rusqlite::{Connection, OptionalExtension};

use super::{HOUR, HOURS_PER_BLOCK, MINUTE, MINUTES_PER_BLOCK, minute_row};
use crate::ops::series::{OldPoint, SeriesKind, pack_block, unpack_block};

/// The series that are packed in one batch, so that other sources do not wait long.
const SERIES_PER_BATCH: usize = 250;

/// An hour that is being packed. It may begin again at any time: what is written twice is the same.
#[derive(Debug)]
pub(super) struct Packing {
    hour: u64,
    waiting: VecDeque<(i64, Vec<OldPoint>)>,
}

impl Packing {
    /// Begins with the first hour that has rows and is over: before the hour of this minute.
    pub(super) fn begin(connection: &Connection, now: u64) -> rusqlite::Result<Option<Packing>> {
        let first = "SELECT min(minute) FROM metric_minutes";
        let first: Option<i64> = connection.query_row(first, [], |row| row.get(0))?;
        let hour = first.map(|minute| minute.max(0) as u64 / MINUTES_PER_BLOCK);
        let Some(hour) = hour.filter(|hour| *hour < now / MINUTES_PER_BLOCK) else {
            return Ok(None);
        };
        let mut series = BTreeMap::<i64, Vec<OldPoint>>::new();
        for (number, point) in minutes(connection, minutes_of(hour))? {
            series.entry(number).or_default().push(point);
        }
        let waiting = series.into_iter().collect();
        Ok(Some(Packing { hour, waiting }))
    }

    /// Packs some series, and returns whether all are.
    pub(super) fn step(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        let mut bytes = [0; 2];
        for _ in 0..SERIES_PER_BATCH {
            let Some((number, points)) = self.waiting.pop_front() else {
                break;
            };
            let [minutes, hours] = pack_series(connection, number, self.hour, &points)?;
            bytes[0] += minutes;
            bytes[1] += hours;
        }
        let day = self.hour / HOURS_PER_BLOCK;
        add_size(connection, MINUTE, self.hour, bytes[0])?;
        add_size(connection, HOUR, day, bytes[1])?;
        if self.waiting.is_empty() {
            let minutes = minutes_of(self.hour);
            let sql = "DELETE FROM metric_minutes WHERE minute >= ?1 AND minute < ?2";
            connection.execute(sql, (minutes.start as i64, minutes.end as i64))?;
        }
        Ok(self.waiting.is_empty())
    }
}

/// Returns the points in the rows of some minutes, ascending by minute.
pub(super) fn minutes(
    connection: &Connection,
    minutes: std::ops::Range<u64>,
) -> rusqlite::Result<Vec<(i64, OldPoint)>> {
    let sql = "SELECT minute, points FROM metric_minutes WHERE minute >= ?1 AND minute < ?2 ORDER BY minute";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query((minutes.start as i64, minutes.end as i64))?;
    let mut points = Vec::new();
    while let Some(row) = rows.next()? {
        let minute = row.get::<_, i64>(0)?.max(0) as u64;
        points.extend(minute_row::unpack(minute, row.get_ref(1)?.as_blob()?));
    }
    Ok(points)
}

fn minutes_of(hour: u64) -> std::ops::Range<u64> {
    hour * MINUTES_PER_BLOCK..(hour + 1) * MINUTES_PER_BLOCK
}

/// Writes the minutes of an hour and its point, and returns by how many bytes minutes and hours have grown.
fn pack_series(
    connection: &Connection,
    number: i64,
    hour: u64,
    points: &[OldPoint],
) -> rusqlite::Result<[i64; 2]> {
    let Some(first) = points.first() else {
        return Ok([0; 2]);
    };
    let kind = first.value.kind();
    let (minutes, grown) = put(connection, Tier::Minutes, number, kind, hour, points)?;
    let hours = OldPoint::merged(hour, &minutes);
    let day = hour / HOURS_PER_BLOCK;
    let (_, hours) = put(connection, Tier::Hours, number, kind, day, hours.as_slice())?;
    let sql = "UPDATE metric_series SET last_hour = ?2 WHERE number = ?1";
    connection.execute(sql, (number, hour as i64))?;
    Ok([grown, hours])
}

/// A resolution in the file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tier {
    Minutes,
    Hours,
}

impl Tier {
    /// Returns the seconds of a span, by which the file names the resolution.
    pub(super) fn seconds(self) -> u64 {
        match self {
            Tier::Minutes => MINUTE,
            Tier::Hours => HOUR,
        }
    }

    /// Returns the spans of a block.
    pub(super) fn spans(self) -> u64 {
        match self {
            Tier::Minutes => MINUTES_PER_BLOCK,
            Tier::Hours => HOURS_PER_BLOCK,
        }
    }

    pub(super) fn unpack(self, kind: SeriesKind, block: u64, bytes: &[u8]) -> Vec<OldPoint> {
        let first = block.saturating_mul(self.spans());
        unpack_block(kind, first, self.spans(), self.seconds() as u32, bytes)
    }
}

/// Puts points into a block, in place of those of the same spans. Returns all of it, and by how many bytes it has grown.
fn put(
    connection: &Connection,
    tier: Tier,
    number: i64,
    kind: SeriesKind,
    block: u64,
    points: &[OldPoint],
) -> rusqlite::Result<(Vec<OldPoint>, i64)> {
    let key = (tier.seconds() as i64, block as i64, number);
    let before = "SELECT points FROM metric_blocks WHERE tier = ?1 AND block = ?2 AND series = ?3";
    let before: Option<Vec<u8>> = connection
        .query_row(before, key, |row| row.get(0))
        .optional()?;
    let known = before.as_deref().unwrap_or_default();
    let all = tier.unpack(kind, block, known).into_iter();
    let all = all.chain(points.iter().cloned());
    let all: BTreeMap<u64, OldPoint> = all.map(|point| (point.span, point)).collect();
    let all: Vec<_> = all.into_values().collect();
    let bytes = pack_block(block * tier.spans(), tier.seconds() as u32, &all);
    let grown = bytes.len() as i64 - known.len() as i64;
    let sql = "INSERT INTO metric_blocks (tier, block, series, points) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO UPDATE SET points = excluded.points";
    connection.execute(sql, (key.0, key.1, key.2, bytes))?;
    Ok((all, grown))
}

fn add_size(connection: &Connection, tier: u64, block: u64, bytes: i64) -> rusqlite::Result<usize> {
    let sql = "INSERT INTO metric_sizes (tier, block, bytes) VALUES (?1, ?2, ?3)
               ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes";
    connection.execute(sql, (tier as i64, block as i64, bytes))
}
