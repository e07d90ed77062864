use metrics::Gauge;

use super::{Family, Labels};
use crate::observe::listener::Listener;

/// Where a call in flight is counted: it is counted out of the same gauge, whichever recorder there is by then.
///
/// Counted nowhere if neither: nobody listened.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    /// In the gauge of the global recorder.
    pub(crate) global: bool,
    /// The handle of a local recorder, which may be gone by then.
    pub(crate) local: Option<Box<Gauge>>,
}

impl<K: Labels> Family<K, Gauge> {
    /// Counts a call in.
    #[inline]
    pub(crate) fn count_in(&self, key: &K, make: impl FnOnce(&K) -> Gauge) -> InFlight {
        let listener = Listener::now();
        let mut counted = InFlight::default();
        self.with(listener, key, make, |gauge| {
            gauge.increment(1.0);
            counted.global = listener == Listener::Global;
            counted.local = (listener == Listener::Local).then(|| Box::new(gauge.clone()));
        });
        counted
    }

    /// Counts that call out.
    #[inline]
    pub(crate) fn count_out(&self, key: &K, counted: InFlight) {
        if counted.global
            && let Some(gauge) = self.get(key).handles.kept()
        {
            gauge.decrement(1.0);
        }
        if let Some(gauge) = counted.local {
            gauge.decrement(1.0);
        }
    }
}
