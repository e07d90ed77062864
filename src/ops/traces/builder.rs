use std::{sync::Arc, time::Duration};

use tracing::level_filters::LevelFilter;

#[cfg(feature = "ops-sqlite")]
use super::file::TraceFileLimits;
use super::{
    Traces,
    buffer::BufferLimits,
    sampling::TraceSampling,
    shared::{Options, Shared},
    span_filter::SpanFilter,
};
use crate::{
    call::{ConfigError, Label},
    ops::store::Store,
};

/// Default: what a page can show within a second.
const MAX_SPANS: usize = 10_000;
/// Default: enough for what a handler logs.
const MAX_EVENTS: usize = 64;
const MAX_IN_FLIGHT: usize = 4_096;
/// Default: some 60,000 calls with three spans each.
const MAX_BYTES: usize = 32 * 1_024 * 1_024;

/// Settings of the traces that are kept; see the [module](super).
#[derive(Debug)]
#[must_use]
pub struct TracesBuilder {
    service: Label,
    sampling: TraceSampling,
    level: LevelFilter,
    max_spans: usize,
    max_events: usize,
    max_in_flight: usize,
    max_bytes: usize,
    #[cfg(feature = "ops-sqlite")]
    file: TraceFileLimits,
}

impl TracesBuilder {
    pub(in crate::ops) fn new(service: Label) -> Self {
        TracesBuilder {
            service,
            sampling: TraceSampling::default(),
            level: LevelFilter::INFO,
            max_spans: MAX_SPANS,
            max_events: MAX_EVENTS,
            max_in_flight: MAX_IN_FLIGHT,
            max_bytes: MAX_BYTES,
            #[cfg(feature = "ops-sqlite")]
            file: TraceFileLimits::default(),
        }
    }

    /// Sets the share of traces that are kept whatever happens in them, from 0 to 1. All parts of a trace are decided alike, in
    /// each process, since its ID decides. Default: 1 in debug builds, or else 0.1.
    ///
    /// ```
    /// use tower_keep::ops::Ops;
    ///
    /// let ops = Ops::builder("orders").traces(|traces| traces.sample_rate(0.01)).build()?;
    /// # let _ = ops;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn sample_rate(mut self, rate: f64) -> Self {
        self.sampling.rate = rate;
        self
    }

    /// Sets whether traces are kept in which a call or an operation failed, or an event is at the level `ERROR`, although they are
    /// not sampled. Default: yes, since these are the ones that are looked for.
    pub fn keep_errors(mut self, keep: bool) -> Self {
        self.sampling.keeps_errors = keep;
        self
    }

    /// Sets the time from which on a trace is kept as slow, although it is not sampled; `None` for no such time. Default: 1 s.
    ///
    /// Without this and without [`keep_errors`](Self::keep_errors), traces that are not sampled cost next to nothing.
    pub fn keep_slow(mut self, time: Option<Duration>) -> Self {
        self.sampling.slow = time;
        self
    }

    /// Sets the level of spans and events that are kept, those of this crate apart, whose calls and operations always are.
    /// Default: `INFO`.
    pub fn level(mut self, level: LevelFilter) -> Self {
        self.level = level;
        self
    }

    /// Sets how many spans of a trace are kept, 1 to 100,000; later ones are counted. Default: 10,000.
    pub fn max_spans(mut self, spans: usize) -> Self {
        self.max_spans = spans;
        self
    }

    /// Sets how many events of a span are kept, 0 to 255; later ones are counted. Default: 64.
    pub fn max_events(mut self, events: usize) -> Self {
        self.max_events = events;
        self
    }

    /// Sets how many traces are in flight before the oldest is decided by what there is of it, 16 to 1,000,000. Default: 4,096.
    pub fn max_in_flight(mut self, traces: usize) -> Self {
        self.max_in_flight = traces;
        self
    }

    /// Sets the bytes that all traces may take, those in flight included, at least 65,536. Default: 32 MiB.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets for how long traces are in the file, an hour to 10 years. Default: 7 days, in which most incidents are looked into.
    #[cfg(feature = "ops-sqlite")]
    pub fn keep_for(mut self, time: Duration) -> Self {
        self.file.keep_for = time;
        self
    }

    /// Sets how many bytes of the file traces take, about, 1 MiB to 1 TiB; the oldest are deleted. Default: 256 MiB.
    #[cfg(feature = "ops-sqlite")]
    pub fn max_file_bytes(mut self, bytes: u64) -> Self {
        self.file.max_bytes = bytes;
        self
    }

    pub(in crate::ops) fn build(self, store: &Store) -> Result<Traces, ConfigError> {
        let invalid = |field, value: &dyn std::fmt::Display, allowed: &str| {
            let component = format!("traces of \"{}\"", self.service);
            Err(ConfigError::new(component, field, value, allowed))
        };
        if !(0.0..=1.0).contains(&self.sampling.rate) {
            return invalid("sample_rate", &self.sampling.rate, "from 0 to 1");
        }
        if !(1..=100_000).contains(&self.max_spans) {
            return invalid("max_spans", &self.max_spans, "1 to 100000");
        }
        let Ok(events) = u8::try_from(self.max_events) else {
            return invalid("max_events", &self.max_events, "0 to 255");
        };
        if !(16..=1_000_000).contains(&self.max_in_flight) {
            return invalid("max_in_flight", &self.max_in_flight, "16 to 1000000");
        }
        if self.max_bytes < 65_536 {
            return invalid("max_bytes", &self.max_bytes, "at least 65536");
        }
        #[cfg(feature = "ops-sqlite")]
        {
            let hour = Duration::from_secs(3_600);
            let years = 10 * 365 * 24 * hour;
            if !(hour..=years).contains(&self.file.keep_for) {
                let time = format!("{:?}", self.file.keep_for);
                return invalid("keep_for", &time, "1 hour to 10 years");
            }
            if !(1 << 20..=1 << 40).contains(&self.file.max_bytes) {
                return invalid("max_file_bytes", &self.file.max_bytes, "1 MiB to 1 TiB");
            }
        }
        let shared = Shared::new(Options {
            sampling: self.sampling,
            limits: BufferLimits {
                spans: self.max_spans,
                events,
            },
            max_in_flight: self.max_in_flight,
            max_bytes: self.max_bytes,
        });
        let filter = SpanFilter { level: self.level };
        let traces = Traces::new(Arc::new(shared), filter);
        #[cfg(feature = "ops-sqlite")]
        let traces = traces.keep_in(store, self.file);
        #[cfg(not(feature = "ops-sqlite"))]
        let _ = store;
        Ok(traces)
    }
}
