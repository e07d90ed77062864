//! The locks and atomics of what is checked by models: std's, or loom's where `.ci/models` builds the tests.
//!
//! A model is a few threads with a few steps each; loom plays every order of them that the memory model allows,
//! stale reads included. Only what is made at run time can be imported from here: a `static` is no part of a model.

#[cfg(all(test, tower_keep_loom))]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(all(test, tower_keep_loom)))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
