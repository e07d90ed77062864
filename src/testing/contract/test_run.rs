use super::{
    call_under_test::CallPhase,
    cases::{Case, SCRIPTED_PANIC},
    runner::violation,
};
use crate::{
    call::{PanicPayload, panic_message},
    testing::{CountingWaker, ReadyChecked, Script},
};

/// The service and the case of a run.
pub(super) struct TestRun<'c> {
    pub(super) script: Script,
    pub(super) ready_checked: ReadyChecked<Script>,
    pub(super) case: &'c Case,
    pub(super) description: &'c str,
}

impl TestRun<'_> {
    /// Accepts a scripted panic, which ends the call. Any other is a violation.
    pub(super) fn expect_scripted_panic<F>(&self, payload: &PanicPayload) -> CallPhase<F> {
        let message = panic_message(&**payload);
        if !(self.case.panics && message == SCRIPTED_PANIC) {
            violation(self.description, format_args!("it panicked: {message}"));
        }
        CallPhase::Done
    }

    /// Checks that all wakes since the given counts are those of the script.
    pub(super) fn check_no_self_wake(
        &self,
        waker: &CountingWaker,
        wakes_before: usize,
        script_wakes_before: usize,
    ) {
        if waker.count() - wakes_before > self.script.wakes() - script_wakes_before {
            violation(self.description, "the layer has woken its own task");
        }
    }
}
