//! Catches panics of hooks, recorders, subscribers and sinks, which must not harm a call.

use std::{
    any::Any,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    captured_panic::CapturedPanic,
    panics::{CatchScope, PanicPayload, catch},
};

static HOOK_PANICS: AtomicU64 = AtomicU64::new(0);

/// Returns how many times a hook, subscriber, recorder, error sink or classifier has panicked in this process.
///
/// Such a panic does not fail a call, except that a classifier's makes that one call a failure. Also recorded as the counter
/// `tower_keep_hook_panics_total`.
///
/// A test of hooks of the application:
///
/// ```
/// assert_eq!(tower_keep::hook_panics(), 0);
/// ```
pub fn hook_panics() -> u64 {
    HOOK_PANICS.load(Ordering::Relaxed)
}

/// Runs a hook; a panic is counted and gives `None`.
#[inline(always)]
pub(crate) fn catch_hook<R>(hook: impl FnOnce() -> R) -> Option<R> {
    let _scope = CatchScope::enter();
    catch_nested_hook(hook)
}

/// Runs a hook where a [`CatchScope`] is open already; a panic is counted and gives `None`.
///
/// Elsewhere the panic hook would report the panic at once, and a subscriber that panics in there aborts the process.
#[inline(always)]
pub(crate) fn catch_nested_hook<R>(hook: impl FnOnce() -> R) -> Option<R> {
    match catch(hook) {
        Ok(value) => Some(value),
        Err(payload) => {
            report_hook_panic(payload);
            None
        }
    }
}

#[cold]
pub(crate) fn report_hook_panic(thrown: PanicPayload) {
    let payload = CapturedPanic::new(thrown);
    HOOK_PANICS.fetch_add(1, Ordering::Relaxed);
    // The recorder may be the one that panics, and so may the payload when it is dropped.
    let _ = catch(|| {
        const NAME: &str = "tower_keep_hook_panics_total";
        let help = "Hooks, subscribers, recorders and classifiers that panicked.";
        metrics::describe_counter!(NAME, metrics::Unit::Count, help);
        metrics::counter!(NAME).increment(1);
    });
    payload.report_hook();
    let _ = catch(|| drop(payload));
}

/// Returns the message of a panic, if it is a text.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "a panic without a message"
    }
}
