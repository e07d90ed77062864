use metrics::Gauge;

use super::{Family, SeriesKey};
use crate::util::recorder::RecorderKind;

/// The gauge that counts a call in flight.
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

impl<K: SeriesKey> Family<K, Gauge> {
    /// Increments the gauge for a call that starts.
    #[inline]
    pub(crate) fn increment(&self, key: &K, make: impl FnOnce(&K) -> Gauge) -> InFlightGauge {
        let recorder = RecorderKind::current();
        let mut in_flight = InFlightGauge::NotCounted;
        self.with_handles(recorder, key, make, |gauge| {
            gauge.increment(1.0);
            in_flight = match recorder {
                RecorderKind::None => InFlightGauge::NotCounted,
                RecorderKind::Global => InFlightGauge::Global,
                RecorderKind::Local => InFlightGauge::Local(Box::new(gauge.clone())),
            };
        });
        in_flight
    }

    /// Decrements the gauge that [`increment`](Self::increment) returned for the call.
    #[inline]
    pub(crate) fn decrement(&self, key: &K, in_flight: InFlightGauge) {
        match in_flight {
            InFlightGauge::NotCounted => {}
            InFlightGauge::Global => {
                if let Some(gauge) = self.get(key).handles.get_global() {
                    gauge.decrement(1.0);
                }
            }
            InFlightGauge::Local(gauge) => gauge.decrement(1.0),
        }
    }
}
