use crate::{
    errors::{ErrorRecord, Fingerprint},
    ops::redact::redacted,
    util::text::truncated_box,
};

/// The longest message, in bytes.
const MAX_MESSAGE: usize = 512;
/// The longest cause, in bytes, and how many there are.
const MAX_CAUSE: usize = 256;
const MAX_CAUSES: usize = 4;

/// An error of a workflow or of a step: bounded, without credentials.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunError {
    pub(crate) kind: Box<str>,
    pub(crate) message: Box<str>,
    /// The outermost first.
    pub(crate) causes: Vec<Box<str>>,
    /// The fingerprint of its error group, if it may have one.
    pub(crate) fingerprint: Option<Fingerprint>,
}

impl RunError {
    pub(crate) fn new(record: &ErrorRecord) -> Self {
        let causes = record.causes().take(MAX_CAUSES);
        RunError {
            kind: record.kind().into(),
            message: truncated_box(redacted(record.message()), MAX_MESSAGE),
            causes: causes
                .map(|cause| truncated_box(redacted(cause), MAX_CAUSE))
                .collect(),
            fingerprint: None,
        }
    }

    /// Returns the memory that it takes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let causes = self.causes.iter();
        let causes: usize = causes
            .map(|cause| cause.len() + size_of::<Box<str>>())
            .sum();
        size_of::<Self>() + self.kind.len() + self.message.len() + causes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_text_is_bounded_and_without_credentials() {
        let record = ErrorRecord::new("Pay", "password=hunter2 ".repeat(100));
        let record = (0..9).fold(record, |record, n| {
            record.with_cause(format!("{n} ").repeat(300))
        });
        let text = RunError::new(&record);
        assert_eq!(&*text.kind, "Pay");
        assert!(text.message.len() <= 512 && !text.message.contains("hunter2"));
        assert_eq!(text.causes.len(), 4);
        assert!(text.causes.iter().all(|cause| cause.len() <= 256));
        assert!(text.bytes() > 1_024 + 512);
    }
}
