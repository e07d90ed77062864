use metrics::Gauge;

use super::{Family, SeriesKey};
use crate::util::recorder::RecorderKind;

/// Remembers the gauge that counts a call in flight: the call is counted out of the same gauge, whichever recorder there is
/// by then.
#[derive(Debug, Default)]
pub(crate) enum InFlightGauge {
    /// Nobody listened.
    #[default]
    NotCounted,
    Global,
    /// The handle of a local recorder, which may be gone by then.
    Local(Box<Gauge>),
}

impl<K: SeriesKey> Family<K, Gauge> {
    /// Counts a call in.
    #[inline]
    pub(crate) fn increment(&self, key: &K, make: impl FnOnce(&K) -> Gauge) -> InFlightGauge {
        let listener = RecorderKind::current();
        let mut counted = InFlightGauge::NotCounted;
        self.with_handles(listener, key, make, |gauge| {
            gauge.increment(1.0);
            counted = match listener {
                RecorderKind::None => InFlightGauge::NotCounted,
                RecorderKind::Global => InFlightGauge::Global,
                RecorderKind::Local => InFlightGauge::Local(Box::new(gauge.clone())),
            };
        });
        counted
    }

    /// Counts that call out.
    #[inline]
    pub(crate) fn decrement(&self, key: &K, counted: InFlightGauge) {
        match counted {
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
