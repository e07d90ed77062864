#[cfg(all(test, tower_keep_loom))]
mod loom_tests;

use std::cell::Cell;

use super::recorder::RecorderKind;
use crate::util::sync::OnceLock;

/// Something made from metric handles when they are first needed.
///
/// A handle that was resolved before the recorder was installed stays dead for ever, and one of a recorder that is gone
/// counts for nobody. So what is made for the global recorder is kept, what is made for a local one is used once, and
/// where nobody listens nothing is made. Reading takes no lock.
#[derive(Debug)]
pub(crate) struct PerRecorder<T>(OnceLock<T>);

impl<T> PerRecorder<T> {
    pub(crate) fn new() -> Self {
        PerRecorder(OnceLock::new())
    }

    /// Uses the value that belongs to the recorder of this moment.
    #[inline]
    pub(crate) fn with(&self, make: impl FnOnce() -> T, then: impl FnOnce(&T)) {
        self.with_recorder(RecorderKind::current(), make, then);
    }

    /// Uses the value that belongs to that recorder, which is the one of this moment.
    #[inline]
    pub(crate) fn with_recorder(
        &self,
        listener: RecorderKind,
        make: impl FnOnce() -> T,
        then: impl FnOnce(&T),
    ) {
        match (listener, self.get_global()) {
            (RecorderKind::Global, Some(kept)) => then(kept),
            (RecorderKind::Global, None) => {
                if let Some(made) = self.init_global(make) {
                    then(made);
                }
            }
            (RecorderKind::Local, _) => {
                if let Some(made) = create_handles(make) {
                    then(&made);
                }
            }
            (RecorderKind::None, _) => {}
        }
    }

    /// Returns what was made for the global recorder.
    #[inline]
    pub(crate) fn get_global(&self) -> Option<&T> {
        self.0.get()
    }

    /// Threads that are here at once each make one, and use the same. Recorders are asked before the place is taken: one
    /// that makes a call of ours meanwhile would wait for itself.
    #[cold]
    fn init_global(&self, make: impl FnOnce() -> T) -> Option<&T> {
        let made = create_handles(make)?;
        Some(self.0.get_or_init(|| made))
    }
}

/// Asks the recorder for handles. A recorder that makes a call of ours whenever it is asked would never come to an end:
/// while this thread is asking, that call is counted only where its handles are there already.
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
    let _asking = ResetOnDrop;
    Some(make())
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    #[test]
    fn each_recorder_gets_handles_of_its_own() {
        let late = PerRecorder::new();
        let count = || late.with(|| metrics::counter!("calls"), |it| it.increment(1));
        count(); // nobody listens yet
        for _ in 0..10 {
            let recorder = PrometheusBuilder::new().build_recorder();
            metrics::with_local_recorder(&recorder, || {
                count();
                count();
            });
            assert!(recorder.handle().render().contains("calls 2"));
        }
        assert!(late.get_global().is_none());
    }

    #[test]
    fn value_for_the_global_recorder_is_made_once_and_none_for_nobody() {
        let late = PerRecorder::new();
        let mut seen = Vec::new();
        for n in 0..3 {
            late.with_recorder(RecorderKind::None, || n, |_| unreachable!("nobody listens"));
            late.with_recorder(RecorderKind::Global, || n, |value| seen.push(*value));
        }
        assert_eq!(seen, [0, 0, 0]);
    }

    #[test]
    fn value_that_is_needed_to_make_itself_is_done_without() {
        let late = PerRecorder::new();
        let mut seen = Vec::new();
        let make = || {
            late.with_recorder(
                RecorderKind::Global,
                || 1,
                |_| unreachable!("made in itself"),
            );
            late.with_recorder(
                RecorderKind::Local,
                || 1,
                |_| unreachable!("made in itself"),
            );
            2
        };
        late.with_recorder(RecorderKind::Global, make, |value| seen.push(*value));
        assert_eq!(seen, [2]);
    }

    #[test]
    fn value_whose_making_panics_is_made_by_the_next() {
        let late = PerRecorder::new();
        crate::call::catch_hook(|| {
            late.with_recorder(
                RecorderKind::Global,
                || -> u8 { panic!("scripted") },
                |_| (),
            );
        });
        assert_eq!(late.get_global(), None);
        let mut seen = 0;
        late.with_recorder(RecorderKind::Global, || 7, |value| seen = *value);
        assert_eq!(seen, 7);
    }
}
