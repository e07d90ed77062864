//! Reads from the file: the points of series.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use rusqlite::{Connection, OptionalExtension};

use super::{
    MINUTE, MINUTES_IN_MEMORY,
    packing::{Tier, minutes},
    stored_series::{find, labels_text},
};
use crate::ops::{
    recorder::{Recorder, SeriesRef},
    series::{OldPoint, SeriesKind},
    store::Store,
};

/// The series that are restored in one read, which may take 2 s.
const SERIES_PER_READ: usize = 100;

/// Gives series of a recorder that are new in this process what the file knows of the time that a recorder has in memory.
pub(super) fn restore(store: &Store, recorder: &Recorder) {
    let fresh = SeriesRef::take_fresh(recorder);
    let Some((_, last)) = recorder.ticked() else {
        return;
    };
    let now = last / MINUTE;
    let known = now.saturating_sub(MINUTES_IN_MEMORY)..now + 1;
    for some in fresh.chunks(SERIES_PER_READ) {
        // Without the file, they begin anew.
        let Ok(points) = store.read(|file| points_of(file, some, known.clone())) else {
            return;
        };
        for (series, points) in some.iter().zip(points) {
            if let Some(first) = points.first() {
                recorder.restored(first.span * MINUTE);
                series.restore(points);
            }
        }
    }
}

/// Reads minutes of some series.
fn points_of(
    file: &Connection,
    series: &[SeriesRef],
    wanted: Range<u64>,
) -> rusqlite::Result<Vec<Vec<OldPoint>>> {
    let number = |series: &SeriesRef| {
        let labels = labels_text(series.labels());
        find(file, series.name(), series.kind(), &labels)
    };
    let numbers: Vec<_> = series.iter().map(number).collect::<rusqlite::Result<_>>()?;
    let mut rows = MinuteRows::read(file, numbers.iter().flatten().copied(), wanted.clone())?;
    let mut budget = ReadBudget::default();
    let points = numbers.iter().zip(series).map(|(number, series)| {
        let Some(number) = *number else {
            return Ok(Vec::new());
        };
        let mut points = blocks(
            file,
            Tier::Minutes,
            number,
            series.kind(),
            wanted.clone(),
            &mut budget,
        )?;
        points.extend(rows.take(number));
        Ok(points.into_values().collect())
    });
    points.collect()
}

/// The points of minutes whose hour is not packed, by series.
pub(super) struct MinuteRows(HashMap<i64, Vec<(u64, OldPoint)>>);

impl MinuteRows {
    /// Reads those of some series.
    pub(super) fn read(
        file: &Connection,
        series: impl Iterator<Item = i64>,
        wanted: Range<u64>,
    ) -> rusqlite::Result<Self> {
        let mut all: HashMap<i64, Vec<_>> = series.map(|series| (series, Vec::new())).collect();
        if !all.is_empty() {
            for (series, point) in minutes(file, wanted)? {
                if let Some(points) = all.get_mut(&series) {
                    points.push((point.span, point));
                }
            }
        }
        Ok(MinuteRows(all))
    }

    /// Takes those of a series, with their minutes.
    pub(super) fn take(&mut self, series: i64) -> Vec<(u64, OldPoint)> {
        self.0.remove(&series).unwrap_or_default()
    }
}

/// The points of blocks that may still be read.
#[derive(Debug)]
pub(super) struct ReadBudget(usize);

impl Default for ReadBudget {
    fn default() -> Self {
        // Some 100 MB for the time of a query: a week of minutes of 100 series, 90 days of hours of 460.
        ReadBudget(1_000_000)
    }
}

impl ReadBudget {
    /// Returns whether something was left out.
    pub(super) fn is_spent(&self) -> bool {
        self.0 == 0
    }
}

/// Reads the points of a series in some spans from its blocks, by span.
pub(super) fn blocks(
    file: &Connection,
    tier: Tier,
    number: i64,
    kind: SeriesKind,
    wanted: Range<u64>,
    budget: &mut ReadBudget,
) -> rusqlite::Result<BTreeMap<u64, OldPoint>> {
    let sql = "SELECT points FROM metric_blocks WHERE tier = ?1 AND block = ?2 AND series = ?3";
    let mut statement = file.prepare(sql)?;
    let mut points = BTreeMap::new();
    for block in wanted.start / tier.spans()..wanted.end.div_ceil(tier.spans()) {
        if budget.is_spent() {
            break;
        }
        let key = (tier.seconds() as i64, block as i64, number);
        let read = statement.query_row(key, |row| {
            Ok(tier.unpack(kind, block, row.get_ref(0)?.as_blob()?))
        });
        let read = read.optional()?.unwrap_or_default();
        budget.0 = budget.0.saturating_sub(read.len());
        let read = read.into_iter().map(|point| (point.span, point));
        points.extend(read.filter(|(span, _)| wanted.contains(span)));
    }
    Ok(points)
}
