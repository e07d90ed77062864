#[cfg(all(test, tower_keep_loom))]
mod models;

use crate::sync::OnceLock;

/// How many recorders one value is kept for. A process has two in its life: none, then one. Tests have more.
const RECORDERS: usize = 4;

/// Something made from metric handles, made anew for each recorder.
///
/// A handle resolved before the recorder was installed stays dead for ever, so what was made is kept together
/// with the recorder it was made for. Reading takes no lock.
#[derive(Debug)]
pub(crate) struct Late<T>([OnceLock<(usize, T)>; RECORDERS]);

impl<T> Late<T> {
    pub(crate) fn new() -> Self {
        Late(std::array::from_fn(|_| OnceLock::new()))
    }

    /// Whether there is a value for the recorder of this moment already. Cheap enough to be asked at every call.
    #[inline]
    pub(crate) fn is_made(&self) -> bool {
        self.made_for(recorder()).is_some()
    }

    /// Uses the value that belongs to the recorder of this moment.
    #[inline]
    pub(crate) fn with<R>(&self, make: impl Fn() -> T, then: impl FnOnce(&T) -> R) -> R {
        match self.get_or_make(recorder(), &make) {
            Some(value) => then(value),
            // More recorders than anybody has: right, but slow.
            None => then(&make()),
        }
    }

    /// Uses the value that belongs to a recorder of this moment or of an earlier one. Another may be installed at any
    /// time, and what was counted in with one must not be counted out with the next.
    #[inline]
    pub(crate) fn with_that_of(&self, owner: usize, make: impl Fn() -> T, then: impl FnOnce(&T)) {
        match self.get_or_make(owner, &make) {
            Some(value) => then(value),
            None if owner == recorder() => then(&make()),
            None => {}
        }
    }

    /// Uses all values there are, those of earlier recorders too.
    pub(crate) fn each(&self, then: impl FnMut(&T)) {
        let made = self.0.iter().filter_map(OnceLock::get);
        made.map(|made| &made.1).for_each(then);
    }

    #[inline]
    fn made_for(&self, owner: usize) -> Option<&T> {
        let mut made = self.0.iter().filter_map(OnceLock::get);
        made.find(|made| made.0 == owner).map(|made| &made.1)
    }

    #[inline]
    fn get_or_make(&self, owner: usize, make: impl Fn() -> T) -> Option<&T> {
        let slots = self.0.iter();
        let mut made = slots.map(|slot| slot.get_or_init(|| (owner, make())));
        made.find(|made| made.0 == owner).map(|made| &made.1)
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
