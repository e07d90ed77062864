//! Earlier values of what changes while calls use it.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError},
};

use super::sync::{Mutex, MutexGuard};

/// Number of values that are kept: a call that outlives more changes takes the oldest one.
pub(crate) const MAX_VERSIONS: usize = 8;

/// The latest values of checked settings, each with a version, so that calls which began with one still find it.
///
/// Takes a lock: for calls that fail, or that began before a change. Versions start over after 255: a call that outlives
/// just so many changes takes one of the latest values instead of the oldest, which has no more to do with it either.
#[derive(Debug)]
pub(crate) struct History<T> {
    versions: Mutex<Versions<T>>,
}

/// The values of a [`History`], while it is locked.
#[derive(Debug)]
pub(crate) struct Versions<T> {
    /// Never empty; the latest comes last.
    values: VecDeque<Arc<T>>,
    latest: u8,
}

impl<T> History<T> {
    /// Creates a history whose first value has the version 0.
    pub(crate) fn new(first: T) -> Self {
        let versions = Versions {
            values: VecDeque::from([Arc::new(first)]),
            latest: 0,
        };
        History {
            versions: Mutex::new(versions),
        }
    }

    /// Locks the history, for a change that must not meet another.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Versions<T>> {
        // A value is added in one step, so a poisoned history is consistent.
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the latest value.
    pub(crate) fn latest(&self) -> Arc<T> {
        self.lock().latest().clone()
    }

    /// Returns the value of a version, or the oldest one if that is gone.
    pub(crate) fn find(&self, version: u8) -> Arc<T> {
        self.lock().find(version).clone()
    }
}

impl<T> Versions<T> {
    /// Returns the latest value.
    pub(crate) fn latest(&self) -> &Arc<T> {
        self.values.back().expect("a history is never empty")
    }

    /// Adds a value, and returns its version.
    pub(crate) fn push(&mut self, value: T) -> u8 {
        if self.values.len() == MAX_VERSIONS {
            self.values.pop_front();
        }
        self.values.push_back(Arc::new(value));
        self.latest = self.latest.wrapping_add(1);
        self.latest
    }

    fn find(&self, version: u8) -> &Arc<T> {
        let age = usize::from(self.latest.wrapping_sub(version));
        // From the end, since the latest has the age 0.
        let found = self.values.iter().rev().nth(age);
        found.unwrap_or_else(|| self.values.front().expect("a history is never empty"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_finds_the_last_eight_values_and_then_the_oldest() {
        let history = History::new(0);
        assert_eq!((*history.latest(), *history.find(0)), (0, 0));
        // Past the last version, after which they start over.
        for value in 1_usize..=600 {
            let version = history.lock().push(value);
            assert_eq!(usize::from(version), value % 256);
            assert_eq!(*history.latest(), value);
            for age in 0..=value.min(20) {
                let found = *history.find(version.wrapping_sub(age as u8));
                assert_eq!(found, value - age.min(MAX_VERSIONS - 1), "{value} {age}");
            }
        }
    }
}
