/// The panic message of a future that is polled again after it has returned its output.
pub(crate) const POLLED_AFTER_COMPLETION: &str = "polled after completion";
