//! Panics that do not call the panic hook.

use std::panic::resume_unwind;

/// Panics without calling the panic hook, which would fill the output of tests with expected panics.
pub(super) fn panic_silently(message: &'static str) -> ! {
    resume_unwind(Box::new(message))
}

/// Panics in a drop, unless the thread is already panicking: a second panic would abort the process.
pub(super) fn panic_silently_in_drop(message: Option<&'static str>) {
    if let Some(message) = message
        && !std::thread::panicking()
    {
        panic_silently(message);
    }
}
