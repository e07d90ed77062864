use crate::call::{CapturedPanic, Cause, Rejection};

/// The reason for which a call completes.
pub(super) enum Completion<'a> {
    /// The response ended, or its head was all of it. The exchange has classified it.
    Response,
    /// The response is missing, or its body broke off. The exchange has classified the error.
    Error(Cause<'a>),
    /// A guard of this very call has rejected it.
    Rejected(&'a Rejection),
    /// The service panicked.
    Panicked(&'a CapturedPanic),
    /// The future or the body was dropped before its end.
    Dropped,
}
