//! A recorder of the `metrics` facade with bounded memory, which renders for Prometheus and keeps history.
//!
//! It records *all* that the application and this crate send through the facade: as text for Prometheus or OpenMetrics, as
//! history in memory that can be queried, and as a snapshot. Use it in place of another recorder, or beside one with
//! [`Recorder::fanout`].
//!
//! # What happens
//!
//! | when | what |
//! |---|---|
//! | a value is recorded | two or three atomic additions; no lock, and no allocation but for the first value of a power of two |
//! | [`tick`](Recorder::tick), once per second | what was added moves into the history of the series that have one; busy series get one number per thread |
//! | every 60 ticks | series without a history that have more than twice the traffic get that of the quietest |
//! | [`render`](Recorder::render) | the exposed buckets have exact counts; OpenMetrics also has units and exemplars |
//! | [`query`](Recorder::query) | histories are merged; percentiles are those of merged histograms |
//! | nobody ticks, scrapes or asks | nothing grows |
//!
//! # Histograms
//!
//! Each has log-linear buckets, 32 per power of two from 1e-9 to 1e12, from which percentiles are at most 1.6 % off, and beside
//! them exact counts for the [bounds](RecorderBuilder::buckets) that are exposed. `NaN` is ignored and counted. A bucket keeps
//! one exemplar per tick: a value with the trace ID of its call, if that is sampled.
//!
//! # Bounds
//!
//! | what | default | beyond |
//! |---|---|---|
//! | series in all | 10,000 | the overflow series of the family; a family that would be new is not recorded |
//! | series of one name | 2,000 | the overflow series of the family, whose one label is `otel_metric_overflow="true"` |
//! | labels of a series | 32 | left out |
//! | the value of a label | 256 bytes | truncated |
//! | counters and gauges with a history | 1,000 | those with the most traffic |
//! | histograms with a history | 300 | durations (`_seconds`) first, then those with the most traffic |
//! | names and labels | 200 bytes | truncated; characters that Prometheus does not allow become `_` |
//!
//! A name belongs to one kind: a gauge with the name of a counter is not recorded, nor is a counter `load_count` beside a
//! histogram `load`. `tower_keep_ops_series_dropped_total`, `tower_keep_ops_labels_cut_total` and
//! `tower_keep_ops_values_ignored_total` say how often.
//!
//! # The process
//!
//! `process_start_time_seconds`, of which dashboards make how long a process is up, is when the first recorder was made: std does
//! not know when the process started. An application that knows better sets the gauge. There is nothing else about the process,
//! since each system tells memory, processor time and open files in another way: crates such as `metrics-process` read them, and
//! record them here.
//!
//! # Clones
//!
//! Clones of a [`Recorder`] share everything.
//!
//! # Cancellation
//!
//! Nothing here waits.
//!
//! # Examples
//!
//! ```
//! use tower_keep::ops::recorder::{Format, Recorder};
//!
//! let recorder = Recorder::new();
//! recorder.install()?;
//! metrics::histogram!("order_seconds").record(0.2);
//! let text = recorder.render(Format::Text);
//! assert!(text.contains("order_seconds_bucket{le=\"0.25\"} 1\n"));
//! # Ok::<_, tower_keep::InstallError>(())
//! ```
//!
//! With the history, in a runtime of tokio:
//!
//! ```
//! use std::time::{Duration, SystemTime, UNIX_EPOCH};
//! use tower_keep::ops::recorder::Recorder;
//!
//! async fn tick(recorder: Recorder) {
//!     let mut second = tokio::time::interval(Duration::from_secs(1));
//!     loop {
//!         second.tick().await;
//!         let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
//!         recorder.tick(now.as_secs());
//!     }
//! }
//! # let _ = tick;
//! ```

mod bounds;
mod bucket_table;
mod builder;
mod counter_cell;
mod exemplars;
mod exposed;
mod facade;
mod fanout;
mod format;
mod gauge_cell;
mod histogram_cell;
mod histogram_lines;
mod limits;
mod lookup;
mod metrics_facade;
mod name;
mod number;
mod own_metrics;
mod pulse;
// The type that the module is named after, as `breaker` has it.
#[allow(clippy::module_inception)]
mod recorder;
mod registry;
mod render;
mod series;
#[cfg(feature = "ops-sqlite")]
mod series_ref;
mod shared;
mod text;
mod ticker;
mod tracked;
mod value;

pub use builder::RecorderBuilder;
pub use exposed::{ExposedExemplar, ExposedFamily, ExposedHistogram, ExposedSeries, ExposedValue};
pub use fanout::Fanout;
pub use format::Format;
pub use metrics_facade::Metrics;
pub use recorder::Recorder;
#[cfg(feature = "ops-sqlite")]
pub(in crate::ops) use series_ref::SeriesRef;
pub use value::{FamilyInfo, SeriesSnapshot, Value};
