use super::metrics::operation_metrics;
use crate::{call::Outcome, track::SlowLevel, util::family::SeriesKey};

/// The name and the kind of an operation, by their IDs.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct OperationKey {
    pub(super) name: u16,
    pub(super) kind: u16,
}

impl OperationKey {
    // Both at once: a name without its kind would mislead.
    const OVERFLOW: OperationKey = OperationKey { name: 0, kind: 0 };

    pub(super) fn name(self) -> String {
        operation_metrics().resolve(self.name)
    }

    pub(super) fn kind(self) -> String {
        operation_metrics().resolve(self.kind)
    }
}

impl SeriesKey for OperationKey {
    const OVERFLOW_KEYS: usize = 1;

    fn overflow_key(&self) -> Self {
        OperationKey::OVERFLOW
    }
}

/// The key of runs by outcome.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct OperationOutcomeKey(pub(super) OperationKey, pub(super) Outcome);

impl SeriesKey for OperationOutcomeKey {
    const OVERFLOW_KEYS: usize = Outcome::ALL.len();

    fn overflow_key(&self) -> Self {
        OperationOutcomeKey(OperationKey::OVERFLOW, self.1)
    }
}

/// The key of slow runs.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct OperationSlowKey(pub(super) OperationKey, pub(super) SlowLevel);

impl SeriesKey for OperationSlowKey {
    const OVERFLOW_KEYS: usize = 2;

    fn overflow_key(&self) -> Self {
        OperationSlowKey(OperationKey::OVERFLOW, self.1)
    }
}
