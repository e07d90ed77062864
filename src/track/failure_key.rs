//! The keys of the series that count slow calls and errors.

use super::{series_key::OVERFLOW_TARGET, slow::SlowLevel};
use crate::util::family::SeriesKey;

/// The key of slow calls.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct SlowKey {
    pub(super) target: Option<u16>,
    pub(super) level: SlowLevel,
}

impl SeriesKey for SlowKey {
    const OVERFLOW_KEYS: usize = 2;

    fn overflow_key(&self) -> Self {
        SlowKey {
            target: OVERFLOW_TARGET,
            ..*self
        }
    }
}

/// The key of errors, by the ID of their type.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct ErrorTypeKey(pub(super) u16);

impl SeriesKey for ErrorTypeKey {
    const OVERFLOW_KEYS: usize = 1;

    fn overflow_key(&self) -> Self {
        ErrorTypeKey(0)
    }
}
