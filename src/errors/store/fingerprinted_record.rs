use std::{sync::Arc, time::SystemTime};

use crate::errors::{
    fingerprint::Fingerprint, group::OVERFLOW_MESSAGE, normalize::normalize_message,
    record::ErrorRecord, sample::ErrorSample,
};

/// The message of records whose own message is [`OVERFLOW_MESSAGE`].
const ESCAPED_OVERFLOW_MESSAGE: &str = "<str>";

/// A record with its fingerprint, which is computed before the store is locked.
pub(crate) struct FingerprintedRecord {
    pub(super) fingerprint: Fingerprint,
    pub(super) message: Arc<str>,
    pub(super) cause: Option<Arc<str>>,
    pub(super) sample: Arc<ErrorSample>,
}

impl FingerprintedRecord {
    pub(crate) fn new(record: ErrorRecord, timestamp: SystemTime) -> Self {
        let cause = record.normalized_root_cause();
        let mut message = normalize_message(record.message());
        if message == OVERFLOW_MESSAGE {
            // A message from outside must not be taken for the overflow group.
            message = ESCAPED_OVERFLOW_MESSAGE.into();
        }
        FingerprintedRecord {
            fingerprint: record.fingerprint_with(&message, cause.as_deref()),
            message: message.into(),
            cause: cause.map(Arc::from),
            sample: Arc::new(ErrorSample { timestamp, record }),
        }
    }

    /// Moves the record to the overflow group of its kind and route.
    pub(super) fn into_overflow(self, overflow: Fingerprint) -> Self {
        FingerprintedRecord {
            fingerprint: overflow,
            message: OVERFLOW_MESSAGE.into(),
            cause: None,
            sample: self.sample,
        }
    }
}
