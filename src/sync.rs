//! The locks and atomics of what is checked by models: std's, or loom's where `.ci/models` builds the tests.
//!
//! A model is a few threads with a few steps each; loom plays every order of them that the memory model allows,
//! stale reads included. Only what is made at run time can be imported from here: a `static` is no part of a model.

#[cfg(all(test, tower_keep_loom))]
pub(crate) use self::once::OnceLock;
#[cfg(all(test, tower_keep_loom))]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(all(test, tower_keep_loom)))]
pub(crate) use std::sync::{Mutex, MutexGuard, OnceLock, atomic};

#[cfg(all(test, tower_keep_loom))]
mod once {
    /// loom has none. This one is std's with a lock of loom's around it, so that others may come before and after.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        turn: loom::sync::Mutex<()>,
        value: std::sync::OnceLock<T>,
    }

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> Self {
            OnceLock {
                turn: loom::sync::Mutex::new(()),
                value: std::sync::OnceLock::new(),
            }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            let _turn = self.turn.lock();
            self.value.get()
        }

        pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            let _turn = self.turn.lock();
            self.value.get_or_init(make)
        }
    }
}
