//! Queries that reach further back than memory.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::Range,
    sync::Arc,
};

use rusqlite::Connection;

use super::{
    HOUR, MINUTE, MINUTES_IN_MEMORY, MINUTES_PER_BLOCK,
    packing::Tier,
    read::{MinuteRows, ReadBudget, blocks},
    stored_series::of_name,
};
use crate::ops::{
    recorder::{Recorder, SeriesRef},
    series::{
        OldPoint, OldTier, Query, QueryError, QueryResult, SeriesHistory, SeriesKind, SeriesView,
        evaluate_old, old_points_of,
    },
    store::{ReadError, Store},
};

/// The longest range that needs nothing but this process, even where it has just started: it is asked for each second.
const PRESENT: u64 = 300;

type Labels = Vec<(Arc<str>, Arc<str>)>;

/// A series that is asked for, with what is known of it from the file and from memory.
#[derive(Default)]
struct Asked {
    number: Option<i64>,
    in_memory: Option<SeriesRef>,
    minutes: BTreeMap<u64, OldPoint>,
    hours: BTreeMap<u64, OldPoint>,
}

/// The series that are asked for, by name and labels.
type AllAsked = BTreeMap<(String, Labels), Asked>;

/// Returns whether a query asks for a time before what is in memory, or before this process. For the latter, its points must be of
/// whole minutes: the file has none of less.
pub(super) fn reaches_back(query: &Query, recorder: &Recorder) -> bool {
    let Some((first_tick, now)) = recorder.ticked() else {
        return false;
    };
    let first = first_second(query, now);
    let in_memory = now.saturating_sub(MINUTES_IN_MEMORY * MINUTE);
    let is_of_minutes =
        query.range_seconds() > PRESENT && query.step_seconds().is_multiple_of(MINUTE);
    first < in_memory || (first < first_tick && is_of_minutes)
}

fn first_second(query: &Query, now: u64) -> u64 {
    let end = query.end_second().unwrap_or(now).min(now);
    (end + 1).saturating_sub(query.range_seconds())
}

/// Answers a query from the file and from memory; from memory alone where the file cannot be read, which makes it truncated.
pub(super) fn query(
    query: &Query,
    recorder: &Recorder,
    store: &Store,
) -> Result<QueryResult, QueryError> {
    query.check()?;
    let now = recorder.ticked().map_or(0, |(_, now)| now);
    let (tier, seconds) = old_points_of(query, now);
    let mut budget = ReadBudget::default();
    let read = store.read(|file| read(file, query, tier, seconds.clone(), &mut budget));
    let is_cut = read.is_err() || budget.is_spent();
    let (kind, mut all) = read.unwrap_or_else(|_: ReadError| (None, AllAsked::new()));
    let kind = add_memory(query, recorder, kind, &mut all);
    let minutes = seconds.start / MINUTE..seconds.end.div_ceil(MINUTE);
    let histories: Vec<_> = all
        .into_iter()
        .map(|((_, labels), asked)| (labels, asked.history(kind, tier, minutes.clone())))
        .collect();
    let views = histories.iter().map(|(labels, history)| SeriesView {
        labels,
        history: history.as_ref(),
    });
    let mut result = evaluate_old(query, kind, now, views)?;
    result.truncated |= is_cut;
    Ok(result)
}

/// Reads the series of the first kind that a name of the query has, with their points.
fn read(
    file: &Connection,
    query: &Query,
    tier: OldTier,
    seconds: Range<u64>,
    budget: &mut ReadBudget,
) -> rusqlite::Result<(Option<SeriesKind>, AllAsked)> {
    let mut all = AllAsked::new();
    let mut kind = None;
    for name in query.names() {
        for series in of_name(file, name)? {
            let is_wanted = query
                .filters()
                .iter()
                .all(|filter| filter.matches(&series.labels));
            if is_wanted && *kind.get_or_insert(series.kind) == series.kind {
                let asked = all.entry((name.to_owned(), series.labels)).or_default();
                asked.number = Some(series.number);
            }
        }
    }
    let Some(of_kind) = kind else {
        return Ok((None, all));
    };
    let spans = |of: u64| seconds.start / of..seconds.end.div_ceil(of);
    let numbers = all.values().filter_map(|asked| asked.number);
    let mut rows = MinuteRows::read(file, numbers, spans(MINUTE))?;
    for asked in all.values_mut() {
        let Some(number) = asked.number else { continue };
        match tier {
            OldTier::Minutes => {
                let wanted = spans(MINUTE);
                asked.minutes = blocks(file, Tier::Minutes, number, of_kind, wanted, budget)?;
            }
            OldTier::Hours => {
                asked.hours = blocks(file, Tier::Hours, number, of_kind, spans(HOUR), budget)?;
            }
        }
        asked.minutes.extend(rows.take(number));
    }
    Ok((kind, all))
}

/// Adds the series of this process, and returns the kind of all.
fn add_memory(
    query: &Query,
    recorder: &Recorder,
    mut kind: Option<SeriesKind>,
    all: &mut AllAsked,
) -> SeriesKind {
    for name in query.names() {
        for series in SeriesRef::of_name(recorder, name) {
            let is_wanted = query
                .filters()
                .iter()
                .all(|filter| filter.matches(series.labels()));
            if is_wanted && *kind.get_or_insert(series.kind()) == series.kind() {
                let key = (name.to_owned(), series.labels().to_vec());
                all.entry(key).or_default().in_memory = Some(series);
            }
        }
    }
    // Without any series, one is as good as another.
    kind.unwrap_or(SeriesKind::Histogram)
}

impl Asked {
    /// Returns the points of the file and of memory; none if neither has any.
    fn history(self, kind: SeriesKind, tier: OldTier, wanted: Range<u64>) -> Option<SeriesHistory> {
        let Asked {
            mut minutes,
            mut hours,
            in_memory,
            number,
        } = self;
        let live = in_memory.and_then(|series| series.minutes_from(wanted.start));
        if live.is_none() && number.is_none() {
            return None;
        }
        // The same minute is in the file as it was when it was written.
        let live = live.into_iter().flatten();
        let live = live.filter(|point| point.span < wanted.end);
        minutes.extend(live.map(|point| (point.span, point)));
        if tier == OldTier::Minutes {
            return Some(SeriesHistory::of_old(kind, minutes.into_values(), []));
        }
        let mut begun = BTreeMap::<u64, Vec<OldPoint>>::new();
        for (minute, point) in minutes {
            begun
                .entry(minute / MINUTES_PER_BLOCK)
                .or_default()
                .push(point);
        }
        for (hour, points) in begun {
            // An hour that is packed has all of it; this process may not.
            if let Entry::Vacant(entry) = hours.entry(hour)
                && let Some(point) = OldPoint::merged(hour, &points)
            {
                entry.insert(point);
            }
        }
        Some(SeriesHistory::of_old(kind, [], hours.into_values()))
    }
}
