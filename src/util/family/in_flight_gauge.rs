use metrics::Gauge;

/// The gauge that counts a call in flight; see [`Family::increment`](super::Family::increment).
///
/// A call must decrement the gauge that it has incremented, even if the recorder has changed since.
#[derive(Debug, Default)]
pub(crate) enum InFlightGauge {
    /// The process had no recorder.
    #[default]
    NotCounted,
    Global,
    /// The handle of a local recorder, which may not be the current one at the end of the call.
    Local(Box<Gauge>),
}
