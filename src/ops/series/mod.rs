//! Numbers over time: histograms that merge, rings of several resolutions, and queries of both.
//!
//! All of it is pure: no clock, no lock, no log. The [recorder](super::recorder) feeds it once per second; the API, the push and
//! the rules of alerts ask it.
//!
//! | type | what it is |
//! |---|---|
//! | [`Histogram`] | counts of values in log-linear buckets: 32 per power of two, so that a percentile is at most 1.6 % off |
//! | [`TieredRing`] | points of 1 s for 5 min, of 10 s for 1 h, of 1 min for 24 h; seconds without a point stay gaps |
//! | [`SeriesHistory`] | the ring of one counter, gauge or histogram |
//! | [`Query`] | which series, over which time, in which steps, and how they become one line per group |
//!
//! Percentiles over several series or a longer time are those of the merged histograms. They are never averaged.
//!
//! # Clones
//!
//! A clone is a copy.
//!
//! # Cancellation
//!
//! Nothing here waits.
//!
//! # Examples
//!
//! ```
//! use tower_keep::ops::series::{Aggregation, Histogram, Query};
//!
//! let mut seconds = Histogram::new();
//! seconds.record(0.2);
//! seconds.record(0.4);
//! let p95 = seconds.quantile(0.95).expect("there are values");
//! assert!((p95 - 0.4).abs() < 0.4 * 0.016);
//!
//! // The same from text, as the API receives it.
//! let query = Query::parse([("name", "load_seconds"), ("agg", "p95"), ("range", "5m"), ("step", "10")])?;
//! assert_eq!(query.aggregation(), Some(Aggregation::Quantile(0.95)));
//! # Ok::<_, tower_keep::ops::series::QueryError>(())
//! ```

mod aggregation;
#[cfg(feature = "ops-sqlite")]
mod block;
mod evaluate;
#[cfg(test)]
mod evaluate_tests;
mod failed_call;
mod filter;
mod histogram;
mod line;
mod merged_buckets;
mod packed;
mod parse;
mod point;
mod query;
mod query_error;
mod query_result;
mod rank;
mod ring;
mod series_history;
mod steps;
mod tiered_ring;

pub use aggregation::{Aggregation, SeriesKind};
#[cfg(all(test, feature = "ops-sqlite"))]
pub(in crate::ops) use block::PointValue;
#[cfg(feature = "ops-sqlite")]
pub(in crate::ops) use block::{OldPoint, pack_block, pack_value, unpack_block, unpack_value};
#[cfg(feature = "ops-sqlite")]
pub(in crate::ops) use evaluate::{OldTier, evaluate_old, old_points_of};
pub use evaluate::{SeriesView, evaluate};
pub use filter::Filter;
pub use histogram::Histogram;
pub use packed::PackedHistogram;
#[cfg(feature = "ops-sqlite")]
pub(in crate::ops) use packed::{pop_checked as pop_number, push as push_number};
pub(in crate::ops) use parse::duration as duration_of;
pub use point::{Added, GaugePoint, Point};
pub use query::Query;
pub use query_error::QueryError;
pub use query_result::{QueryResult, QuerySeries};
pub use ring::Ring;
pub use series_history::SeriesHistory;
pub use tiered_ring::{TIERS, TieredRing};
