//! The locks and atomics of what has loom tests: std's, or loom's where `.ci/models` builds the tests.
//!
//! A loom test is a few threads with a few steps each; loom plays every order of them that the memory model allows,
//! stale reads included. Only what is made at run time can be imported from here: a `static` is no part of a loom test.
//!
//! There is a loom test wherever a step depends on what others have done: a compare-and-swap, an atomic beside a lock or
//! beside another atomic, a value that whoever comes first decides. What uses std's needs none:
//!
//! | what | since |
//! |---|---|
//! | hook panics, lost lines of the log, the stats of retries, fallbacks and bulkheads, the counters of `testing` | each is one number that is only added to, and nothing is decided by it |
//! | the arrivals of a prioritizer by level | each number is added to, and taken by one `swap` |
//! | the distribution of a prioritizer, whether it may shed, the settings that calls read | one number each, which a call reads once; a part of an older distribution is as good |
//! | the priority of a context | one number that says all |
//! | the mean of the latest runs of a bulkhead | an estimate, to which an update that is lost does no harm |
//! | whether calls of a bulkhead give their slot back at the head, and whether its limit adapts itself | one flag each that a call reads once |
//! | the latency of an endpoint of a balancer, its calls in flight, whether it is ejected | one word each that a call reads once; the first is changed by `fetch_update` alone, and a call that reads it late is no worse than one that came earlier |
//! | what a bulkhead's limit has learned | one lock, and all of it under that |
//! | the bytes of a request body | set to 0 before the body is handed on, and then the same |
//! | whether a breaker has been shown to the global recorder, and which recorder that is | set once, and only saves doing it again |
//! | the calls that the table of calls had no room for | one number that is only added to |
//! | a shard of the table of calls, its slow calls, its trackers | one lock each, and all of it under that |
//! | the gauges of local recorders | one lock, for a list of handles |
//! | whether a call that waits for its service has been made | set once, by the task that asks for it |
//! | the seeds of the jitter of retries, the versions of applied settings, the slots of threads | one `fetch_add` gives each a number of its own |
//! | whether a panic has been reported | one `swap`, and only the first gets `false` |
//! | whether the writer of a log has failed | set after the failure; one `swap` takes it, and only puts a line break before a line |
//! | problem bodies, route slots, the metrics of a tracker, the global tables | std's `OnceLock` alone: whoever is first fills it, and all see the same |
//! | the callers of a shared call, the calls in flight of a coalescing handle | one lock each, and all of it under that |
//! | whether something was removed from a cache since a call began | set before the removal, and read again after the insertion: whichever comes last removes |
//! | the times of a cache, its counts | one number each: read once by a look-up, for which a part of the settings of before is as good; only added to |
//! | the store of a cache, in its lanes | one lock each, which are taken under that of its settings to replace it |
//! | the bytes of the bodies that a cache records | one number that is added to and taken from, by what `fetch_add` returns |
//! | the registry, the error tracker, the names of breakers, the partial lines of stdout and stderr, the progress of an upload | one lock, and all of it under that |

#[cfg(all(test, tower_keep_loom))]
pub(crate) use self::once::OnceLock;
#[cfg(all(test, tower_keep_loom))]
pub(crate) use loom::{
    sync::{Mutex, MutexGuard, atomic},
    thread,
};
#[cfg(not(all(test, tower_keep_loom)))]
pub(crate) use std::{
    sync::{Mutex, MutexGuard, OnceLock, atomic},
    thread,
};

/// The keys of hash maps. A loom test has to be the same each time it is played.
#[cfg(not(all(test, tower_keep_loom)))]
pub(crate) type HashKeys = std::hash::RandomState;
#[cfg(all(test, tower_keep_loom))]
pub(crate) type HashKeys = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

#[cfg(all(test, tower_keep_loom))]
mod once {
    use std::panic::resume_unwind;

    use loom::sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    };

    use crate::util::panics::catch;

    /// loom has none. This one keeps std's promises and no more: who sees the value sees all that came before it;
    /// who sees none may be behind the times, and knows nothing of whoever is filling it.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        turn: Mutex<()>,
        full: AtomicBool,
        value: std::sync::OnceLock<T>,
    }

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> Self {
            OnceLock {
                turn: Mutex::new(()),
                full: AtomicBool::new(false),
                value: std::sync::OnceLock::new(),
            }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            let full = self.full.load(Ordering::Acquire);
            full.then(|| self.value.get().expect("full"))
        }

        pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            self.get().unwrap_or_else(|| {
                let turn = self.turn.lock();
                let value = catch(|| self.value.get_or_init(make));
                self.full.store(value.is_ok(), Ordering::Release);
                // Before a panic goes on, or the lock would be poisoned.
                drop(turn);
                value.unwrap_or_else(|thrown| resume_unwind(thrown))
            })
        }
    }
}
