use metrics::Gauge;

use super::{Family, Labels};
use crate::util::listener::Listener;

/// Remembers the gauge that counts a call in flight: the call is counted out of the same gauge, whichever recorder there is
/// by then.
#[derive(Debug, Default)]
pub(crate) enum InFlight {
    /// Nobody listened.
    #[default]
    Nowhere,
    Global,
    /// The handle of a local recorder, which may be gone by then.
    Local(Box<Gauge>),
}

impl<K: Labels> Family<K, Gauge> {
    /// Counts a call in.
    #[inline]
    pub(crate) fn count_in(&self, key: &K, make: impl FnOnce(&K) -> Gauge) -> InFlight {
        let listener = Listener::now();
        let mut counted = InFlight::Nowhere;
        self.with(listener, key, make, |gauge| {
            gauge.increment(1.0);
            counted = match listener {
                Listener::Nobody => InFlight::Nowhere,
                Listener::Global => InFlight::Global,
                Listener::Local => InFlight::Local(Box::new(gauge.clone())),
            };
        });
        counted
    }

    /// Counts that call out.
    #[inline]
    pub(crate) fn count_out(&self, key: &K, counted: InFlight) {
        match counted {
            InFlight::Nowhere => {}
            InFlight::Global => {
                if let Some(gauge) = self.get(key).handles.kept() {
                    gauge.decrement(1.0);
                }
            }
            InFlight::Local(gauge) => gauge.decrement(1.0),
        }
    }
}
