use std::sync::OnceLock;

/// How many recorders one value is kept for. A process has two in its life: none, then one. Tests have more.
const RECORDERS: usize = 4;

/// Something made from metric handles, made anew for each recorder.
///
/// A handle resolved before the recorder was installed stays dead for ever, so what was made is kept together
/// with the recorder it was made for. Reading takes no lock.
#[derive(Debug)]
pub(crate) struct Late<T>([OnceLock<(usize, T)>; RECORDERS]);

impl<T> Late<T> {
    pub(crate) const fn new() -> Self {
        Late([const { OnceLock::new() }; RECORDERS])
    }

    /// Whether there is a value for the recorder of this moment already. Cheap enough to be asked at every call.
    #[inline]
    pub(crate) fn is_made(&self) -> bool {
        let recorder = recorder();
        let mut made = self.0.iter().filter_map(OnceLock::get);
        made.any(|(owner, _)| *owner == recorder)
    }

    /// Uses the value that belongs to the recorder of this moment.
    #[inline]
    pub(crate) fn with<R>(&self, make: impl Fn() -> T, then: impl FnOnce(&T) -> R) -> R {
        let recorder = recorder();
        for slot in &self.0 {
            let (owner, value) = slot.get_or_init(|| (recorder, make()));
            if *owner == recorder {
                return then(value);
            }
        }
        // More recorders than anybody has: right, but slow.
        then(&make())
    }
}

/// Tells one recorder from another, the one that does nothing included: by its address. A global recorder lives
/// for ever; only a local one that is dropped could pass its address on.
#[inline]
pub(crate) fn recorder() -> usize {
    metrics::with_recorder(|recorder| std::ptr::from_ref(recorder).cast::<()>() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    #[test]
    fn each_recorder_gets_handles_of_its_own() {
        let late = Late::new();
        let count = || {
            late.with(
                || metrics::counter!("calls"),
                |counter| counter.increment(1),
            )
        };
        count(); // nobody listens yet
        let recorders: Vec<_> = (0..RECORDERS + 1)
            .map(|_| Box::new(PrometheusBuilder::new().build_recorder()))
            .collect();
        for recorder in &recorders {
            metrics::with_local_recorder(&**recorder, || {
                count();
                count();
            });
            assert!(recorder.handle().render().contains("calls 2"));
        }
    }
}
