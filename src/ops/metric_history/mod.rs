//! The history of metrics beyond memory: points of a minute for a week, of an hour for 90 days, in the file of the store.
//!
//! Each minute, the points of all series that have a history become one row. When an hour is over, its rows are packed into one
//! block per series, and each series gets one more point of an hour, which is merged from its minutes: histograms as they are, so
//! that a percentile is that of all values. A process that starts gives its series what the file knows of the last 24 hours; so
//! history goes on without a gap but that of the restart, and the minute of the restart has what both processes have seen.
//!
//! A process that is killed loses the minute that has begun.
//!
//! # Clones
//!
//! Clones of a [`MetricHistory`] share what they know of the file. They do not keep it open.
//!
//! # Cancellation
//!
//! Nothing here is async. Reading blocks, and is ended after 2 s.

mod minute_row;
mod old_query;
mod packing;
mod read;
mod retention;
mod source;
mod stored_series;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use super::{
    recorder::Recorder,
    series::{Query, QueryError, QueryResult},
    store::Store,
};
use source::MetricSource;

pub(super) use retention::MetricRetention;

/// The history of a recorder's metrics in a store.
#[derive(Clone)]
pub(super) struct MetricHistory {
    store: Store,
    recorder: Recorder,
    source: Arc<MetricSource>,
}

/// Seconds and spans of the resolutions.
const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
/// The minutes of a block, and the hours of a block.
const MINUTES_PER_BLOCK: u64 = 60;
const HOURS_PER_BLOCK: u64 = 24;
/// The minutes that a recorder has in memory.
const MINUTES_IN_MEMORY: u64 = 24 * 60;

impl MetricHistory {
    /// Lets the store keep the history of a recorder.
    pub(super) fn new(store: &Store, recorder: &Recorder, retention: MetricRetention) -> Self {
        let source = Arc::new(MetricSource::new(recorder.clone(), retention));
        store.add_source(source.clone());
        MetricHistory {
            store: store.clone(),
            recorder: recorder.clone(),
            source,
        }
    }

    /// Gives series that are new in this process what the file knows of them. Blocks.
    pub(super) fn restore(&self) {
        read::restore(&self.store, &self.recorder);
    }

    /// Lets the next batch have the minute that is not over: the process may end before it is.
    pub(super) fn write_begun_minute(&self) {
        self.source.write_begun_minute();
    }

    /// Returns how many points of a minute were dropped: the file has too many series.
    pub(super) fn dropped(&self) -> u64 {
        self.source.dropped()
    }

    /// Answers a query from memory, or also from the file where memory does not reach. Blocks.
    pub(super) fn query(&self, query: &Query) -> Result<QueryResult, QueryError> {
        match old_query::reaches_back(query, &self.recorder) {
            true => old_query::query(query, &self.recorder, &self.store),
            false => self.recorder.query(query),
        }
    }
}

impl fmt::Debug for MetricHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricHistory").finish_non_exhaustive()
    }
}
