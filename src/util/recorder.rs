//! Tells which recorder receives metrics at this moment.

use std::{
    ptr,
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// The recorder that metrics go to at this moment.
///
/// Recorders have no name but their address, and a local one that is dropped passes its own on to the next: handles that
/// were kept for it would go on counting for the dead. So nothing is kept for local ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecorderKind {
    /// Nobody: no recorder is installed.
    None,
    /// The recorder of the process. It is never dropped, so what was made for it holds for ever.
    Global,
    /// A recorder of this thread alone, or one that is not known yet.
    Local,
}

/// The address of the global recorder, once it is known; no recorder has the address 0.
static GLOBAL_ADDRESS: AtomicUsize = AtomicUsize::new(0);
/// The address of what stands in for a recorder where there is none, once it is known.
static NOOP_ADDRESS: AtomicUsize = AtomicUsize::new(0);
/// Number of times that a recorder was met that was neither.
static UNKNOWN_RECORDERS: AtomicUsize = AtomicUsize::new(0);

/// Holds all that can be seen of a recorder.
#[derive(Clone, Copy)]
struct RecorderIdentity {
    address: usize,
    is_zero_sized: bool,
}

impl RecorderIdentity {
    fn current() -> Self {
        metrics::with_recorder(|recorder| RecorderIdentity {
            address: address_of(recorder),
            is_zero_sized: size_of_val(recorder) == 0,
        })
    }

    /// Values without a size may be anywhere: only what has one has an address of its own, and boxes of nothing are
    /// dangling pointers near 0.
    fn is_noop(self) -> bool {
        self.is_zero_sized && self.address >= 4_096
    }
}

impl RecorderKind {
    /// Returns who listens now. Takes no lock and allocates nothing, but for the first times that a recorder is met.
    #[inline]
    pub(crate) fn current() -> Self {
        if current_address() == GLOBAL_ADDRESS.load(Ordering::Relaxed) {
            RecorderKind::Global
        } else {
            RecorderKind::current_unless_global()
        }
    }

    #[inline(never)]
    fn current_unless_global() -> Self {
        let seen = RecorderIdentity::current();
        match find_known(seen) {
            Some(listener) => listener,
            // There is only one.
            None if GLOBAL_ADDRESS.load(Ordering::Relaxed) != 0 => RecorderKind::Local,
            None => identify(seen),
        }
    }
}

fn find_known(seen: RecorderIdentity) -> Option<RecorderKind> {
    if seen.address == GLOBAL_ADDRESS.load(Ordering::Relaxed) {
        Some(RecorderKind::Global)
    } else if seen.is_noop() && seen.address == NOOP_ADDRESS.load(Ordering::Relaxed) {
        Some(RecorderKind::None)
    } else {
        None
    }
}

/// Returns the address of the recorder of this moment: that of another one as soon as this one is gone.
#[inline]
pub(crate) fn current_address() -> usize {
    metrics::with_recorder(address_of)
}

#[inline]
fn address_of(recorder: &dyn metrics::Recorder) -> usize {
    ptr::from_ref(recorder).cast::<()>() as usize
}

/// A local recorder, or a global one that was installed just now: looks at the 1st, 2nd, 4th, 8th... such meeting, so
/// that neither many local recorders cost much nor a late global one stays unknown for long.
#[cold]
fn identify(seen: RecorderIdentity) -> RecorderKind {
    static FIRST: Once = Once::new();
    FIRST.call_once(detect_global);
    if let Some(listener) = find_known(seen) {
        return listener;
    }
    let times = UNKNOWN_RECORDERS.fetch_add(1, Ordering::Relaxed) + 1;
    if times.is_power_of_two() {
        detect_global();
    }
    find_known(seen).unwrap_or(RecorderKind::Local)
}

/// Looks what recorder there is where none is local: `metrics` tells nobody, but in a thread that has just begun it can
/// only be the global one. Where there are no threads nothing becomes known, and nothing is kept.
fn detect_global() {
    let looks = thread::Builder::new()
        .name("tower-keep".to_owned())
        .stack_size(64 * 1024)
        .spawn(RecorderIdentity::current);
    let Some(Ok(seen)) = looks.ok().map(thread::JoinHandle::join) else {
        return;
    };
    if !seen.is_zero_sized {
        GLOBAL_ADDRESS.store(seen.address, Ordering::Relaxed);
    } else if seen.is_noop() {
        NOOP_ADDRESS.store(seen.address, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    /// No unit test installs a global recorder, so that there is none in this process.
    #[test]
    fn listener_is_nobody_without_a_recorder_and_local_with_one_of_the_thread() {
        for _ in 0..10 {
            assert_eq!(RecorderKind::current(), RecorderKind::None);
            let recorder = PrometheusBuilder::new().build_recorder();
            let local = metrics::with_local_recorder(&recorder, RecorderKind::current);
            assert_eq!(local, RecorderKind::Local);
            let none = metrics::with_local_recorder(&metrics::NoopRecorder, RecorderKind::current);
            assert_ne!(none, RecorderKind::Global);
        }
    }
}
