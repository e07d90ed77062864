#[cfg(all(test, tower_keep_loom))]
mod loom_tests;

use std::cell::Cell;

use super::recorder::RecorderKind;
use crate::util::sync::OnceLock;

/// A value made of metric handles, created when it is first needed.
///
/// A handle that is created before the recorder is installed never records, nor does one of a dropped recorder. The value
/// for the global recorder is therefore cached, the value for a local recorder is used once, and without a recorder no
/// value is created. Reading takes no lock.
#[derive(Debug)]
pub(crate) struct PerRecorder<T>(OnceLock<T>);

impl<T> PerRecorder<T> {
    pub(crate) fn new() -> Self {
        PerRecorder(OnceLock::new())
    }

    /// Runs `f` with the value for the current recorder, if there is a recorder.
    #[inline]
    pub(crate) fn with(&self, make: impl FnOnce() -> T, f: impl FnOnce(&T)) {
        self.with_recorder(RecorderKind::current(), make, f);
    }

    /// Runs `f` with the value for the current recorder, which is of the kind `recorder`.
    #[inline]
    pub(crate) fn with_recorder(
        &self,
        recorder: RecorderKind,
        make: impl FnOnce() -> T,
        f: impl FnOnce(&T),
    ) {
        match (recorder, self.get_global()) {
            (RecorderKind::Global, Some(value)) => f(value),
            (RecorderKind::Global, None) => {
                if let Some(value) = self.init_global(make) {
                    f(value);
                }
            }
            // Not kept: another recorder may get the address of this one.
            (RecorderKind::Local, _) => {
                if let Some(value) = create_handles(make) {
                    f(&value);
                }
            }
            (RecorderKind::None, _) => {}
        }
    }

    /// Returns the value for the global recorder, if it has been created.
    #[inline]
    pub(crate) fn get_global(&self) -> Option<&T> {
        self.0.get()
    }

    #[cold]
    fn init_global(&self, make: impl FnOnce() -> T) -> Option<&T> {
        // Outside of `get_or_init`: a recorder that makes a tracked call in here would deadlock. Threads that race each
        // create a value, and all use the first one that is stored.
        let value = create_handles(make)?;
        Some(self.0.get_or_init(|| value))
    }
}

/// Creates handles with the current recorder, unless this thread is already creating some.
///
/// A recorder that makes a tracked call whenever it creates a handle would recurse forever. Such a call is recorded only
/// by handles that exist already.
pub(crate) fn create_handles<T>(make: impl FnOnce() -> T) -> Option<T> {
    thread_local! {
        static CREATING: Cell<bool> = const { Cell::new(false) };
    }
    struct ResetOnDrop;
    impl Drop for ResetOnDrop {
        fn drop(&mut self) {
            CREATING.set(false);
        }
    }
    if CREATING.replace(true) {
        return None;
    }
    let _reset = ResetOnDrop;
    Some(make())
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    #[test]
    fn per_recorder_creates_handles_for_each_local_recorder() {
        let counters = PerRecorder::new();
        let count = || counters.with(|| metrics::counter!("calls"), |it| it.increment(1));
        count(); // no recorder yet
        for _ in 0..10 {
            let recorder = PrometheusBuilder::new().build_recorder();
            metrics::with_local_recorder(&recorder, || {
                count();
                count();
            });
            assert!(recorder.handle().render().contains("calls 2"));
        }
        assert!(counters.get_global().is_none());
    }

    #[test]
    fn per_recorder_value_is_created_once_for_global_and_never_without_recorder() {
        let values = PerRecorder::new();
        let mut seen = Vec::new();
        for n in 0..3 {
            values.with_recorder(RecorderKind::None, || n, |_| unreachable!("no recorder"));
            values.with_recorder(RecorderKind::Global, || n, |value| seen.push(*value));
        }
        assert_eq!(seen, [0, 0, 0]);
    }

    #[test]
    fn per_recorder_skips_values_needed_while_creating_one() {
        let values = PerRecorder::new();
        let mut seen = Vec::new();
        let make = || {
            values.with_recorder(
                RecorderKind::Global,
                || 1,
                |_| unreachable!("created while creating"),
            );
            values.with_recorder(
                RecorderKind::Local,
                || 1,
                |_| unreachable!("created while creating"),
            );
            2
        };
        values.with_recorder(RecorderKind::Global, make, |value| seen.push(*value));
        assert_eq!(seen, [2]);
    }

    #[test]
    fn per_recorder_value_is_created_again_after_a_panic() {
        let values = PerRecorder::new();
        crate::util::hook::catch_hook(|| {
            values.with_recorder(
                RecorderKind::Global,
                || -> u8 { panic!("scripted") },
                |_| (),
            );
        });
        assert_eq!(values.get_global(), None);
        let mut seen = 0;
        values.with_recorder(RecorderKind::Global, || 7, |value| seen = *value);
        assert_eq!(seen, 7);
    }
}
