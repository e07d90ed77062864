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
pub(crate) enum Listener {
    /// Nobody: no recorder is installed.
    Nobody,
    /// The recorder of the process. It is never dropped, so what was made for it holds for ever.
    Global,
    /// A recorder of this thread alone, or one that is not known yet.
    Local,
}

/// The address of the global recorder, once it is known; no recorder has the address 0.
static GLOBAL: AtomicUsize = AtomicUsize::new(0);
/// The address of what stands in for a recorder where there is none, once it is known.
static NOBODY: AtomicUsize = AtomicUsize::new(0);
/// Number of times that a recorder was met that was neither.
static UNKNOWN: AtomicUsize = AtomicUsize::new(0);

/// Holds all that can be seen of a recorder.
#[derive(Clone, Copy)]
struct Seen {
    address: usize,
    is_empty: bool,
}

impl Seen {
    fn now() -> Self {
        metrics::with_recorder(|recorder| Seen {
            address: address_of(recorder),
            is_empty: size_of_val(recorder) == 0,
        })
    }

    /// Values without a size may be anywhere: only what has one has an address of its own, and boxes of nothing are
    /// dangling pointers near 0.
    fn is_stand_in(self) -> bool {
        self.is_empty && self.address >= 4_096
    }
}

impl Listener {
    /// Returns who listens now. Takes no lock and allocates nothing, but for the first times that a recorder is met.
    #[inline]
    pub(crate) fn now() -> Self {
        if address() == GLOBAL.load(Ordering::Relaxed) {
            Listener::Global
        } else {
            Listener::unless_global()
        }
    }

    #[inline(never)]
    fn unless_global() -> Self {
        let seen = Seen::now();
        match known(seen) {
            Some(listener) => listener,
            // There is only one.
            None if GLOBAL.load(Ordering::Relaxed) != 0 => Listener::Local,
            None => identify(seen),
        }
    }
}

fn known(seen: Seen) -> Option<Listener> {
    if seen.address == GLOBAL.load(Ordering::Relaxed) {
        Some(Listener::Global)
    } else if seen.is_stand_in() && seen.address == NOBODY.load(Ordering::Relaxed) {
        Some(Listener::Nobody)
    } else {
        None
    }
}

/// Returns the address of the recorder of this moment: that of another one as soon as this one is gone.
#[inline]
pub(crate) fn address() -> usize {
    metrics::with_recorder(address_of)
}

#[inline]
fn address_of(recorder: &dyn metrics::Recorder) -> usize {
    ptr::from_ref(recorder).cast::<()>() as usize
}

/// A local recorder, or a global one that was installed just now: looks at the 1st, 2nd, 4th, 8th... such meeting, so
/// that neither many local recorders cost much nor a late global one stays unknown for long.
#[cold]
fn identify(seen: Seen) -> Listener {
    static FIRST: Once = Once::new();
    FIRST.call_once(look);
    if let Some(listener) = known(seen) {
        return listener;
    }
    let times = UNKNOWN.fetch_add(1, Ordering::Relaxed) + 1;
    if times.is_power_of_two() {
        look();
    }
    known(seen).unwrap_or(Listener::Local)
}

/// Looks what recorder there is where none is local: `metrics` tells nobody, but in a thread that has just begun it can
/// only be the global one. Where there are no threads nothing becomes known, and nothing is kept.
fn look() {
    let looks = thread::Builder::new()
        .name("tower-keep".to_owned())
        .stack_size(64 * 1024)
        .spawn(Seen::now);
    let Some(Ok(seen)) = looks.ok().map(thread::JoinHandle::join) else {
        return;
    };
    if !seen.is_empty {
        GLOBAL.store(seen.address, Ordering::Relaxed);
    } else if seen.is_stand_in() {
        NOBODY.store(seen.address, Ordering::Relaxed);
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
            assert_eq!(Listener::now(), Listener::Nobody);
            let recorder = PrometheusBuilder::new().build_recorder();
            let local = metrics::with_local_recorder(&recorder, Listener::now);
            assert_eq!(local, Listener::Local);
            let none = metrics::with_local_recorder(&metrics::NoopRecorder, Listener::now);
            assert_ne!(none, Listener::Global);
        }
    }
}
