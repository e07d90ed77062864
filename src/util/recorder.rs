//! Finds out which kind of recorder receives metrics on the current thread.

use std::{
    ptr,
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// The kind of recorder that metrics of the current thread go to.
///
/// A recorder can only be identified by its address. The address of a local recorder is reused after it is dropped, so
/// handles cached by that address would record into a dropped recorder. Handles of local recorders are therefore never
/// cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecorderKind {
    /// The process has no recorder.
    None,
    /// The recorder of the process. It is never dropped, so its handles stay valid forever.
    Global,
    /// A recorder of this thread only, or one that has not been identified yet.
    Local,
}

/// The address of the global recorder; 0 until it is identified, since no recorder has that address.
static GLOBAL_ADDRESS: AtomicUsize = AtomicUsize::new(0);
/// The address of the no-op recorder that `metrics` uses when none is installed; 0 until it is identified.
static NOOP_ADDRESS: AtomicUsize = AtomicUsize::new(0);
/// Number of times that a recorder was found that is neither of the two.
static UNKNOWN_RECORDERS: AtomicUsize = AtomicUsize::new(0);

/// The address and size of a recorder, which identify it.
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

    /// Returns whether this can be the no-op recorder, which is zero-sized.
    ///
    /// Zero-sized values have no unique address, and a box of one is a dangling pointer close to 0.
    fn is_noop(self) -> bool {
        self.is_zero_sized && self.address >= 4_096
    }
}

impl RecorderKind {
    /// Returns the kind of the current recorder.
    ///
    /// Takes no lock and does not allocate, except the first times that a new recorder is found.
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
        let recorder = RecorderIdentity::current();
        match find_known(recorder) {
            Some(kind) => kind,
            // A process has one global recorder, and that one is identified already.
            None if GLOBAL_ADDRESS.load(Ordering::Relaxed) != 0 => RecorderKind::Local,
            None => identify(recorder),
        }
    }
}

fn find_known(recorder: RecorderIdentity) -> Option<RecorderKind> {
    if recorder.address == GLOBAL_ADDRESS.load(Ordering::Relaxed) {
        Some(RecorderKind::Global)
    } else if recorder.is_noop() && recorder.address == NOOP_ADDRESS.load(Ordering::Relaxed) {
        Some(RecorderKind::None)
    } else {
        None
    }
}

/// Returns the address of the current recorder. Another recorder may have it once this one is dropped.
#[inline]
pub(crate) fn current_address() -> usize {
    metrics::with_recorder(address_of)
}

#[inline]
fn address_of(recorder: &dyn metrics::Recorder) -> usize {
    ptr::from_ref(recorder).cast::<()>() as usize
}

/// Identifies a recorder that is either local, or global and just installed.
///
/// Runs the detection for the 1st, 2nd, 4th, 8th... unknown recorder, so that many local recorders cost little and a
/// global one that is installed late is found soon.
#[cold]
fn identify(recorder: RecorderIdentity) -> RecorderKind {
    static FIRST_DETECTION: Once = Once::new();
    // Threads that come at the same time wait here, and then find what was detected.
    FIRST_DETECTION.call_once(detect_global);
    if let Some(kind) = find_known(recorder) {
        return kind;
    }
    let unknown = UNKNOWN_RECORDERS.fetch_add(1, Ordering::Relaxed) + 1;
    if unknown.is_power_of_two() {
        detect_global();
    }
    find_known(recorder).unwrap_or(RecorderKind::Local)
}

/// Stores the address of the global or no-op recorder.
///
/// `metrics` has no function for this, but a thread that has just started cannot have a local recorder. On platforms
/// without threads no recorder is identified, and no handle is cached.
fn detect_global() {
    let thread = thread::Builder::new()
        .name("tower-keep".to_owned())
        // It reads one address.
        .stack_size(64 * 1024)
        .spawn(RecorderIdentity::current);
    // Without a thread nothing is known, and a later detection tries again.
    let Some(Ok(recorder)) = thread.ok().map(thread::JoinHandle::join) else {
        return;
    };
    if !recorder.is_zero_sized {
        GLOBAL_ADDRESS.store(recorder.address, Ordering::Relaxed);
    } else if recorder.is_noop() {
        NOOP_ADDRESS.store(recorder.address, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    /// Relies on no unit test of this process installing a global recorder.
    #[test]
    fn recorder_kind_is_none_or_local_in_tests() {
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
