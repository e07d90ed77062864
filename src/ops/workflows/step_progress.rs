use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use super::{LiveRun, Run, RunProgress, step::step_text};

/// The progress of a step, which its work tells; made by [`Step::progress`](super::Step::progress).
///
/// Clones are of the same step. What is set is shown with the next tick of the console; the last value of a second counts.
#[derive(Clone, Debug)]
pub struct StepProgress(Arc<OnceLock<(Arc<LiveRun>, u32)>>);

impl StepProgress {
    pub(super) fn new() -> Self {
        StepProgress(Arc::default())
    }

    /// Connects it to the step that begins.
    pub(super) fn attach(&self, live: Arc<LiveRun>, index: u32) {
        let _ = self.0.set((live, index));
    }

    /// Sets the part that is done, from 0 to 1. What is outside of that is 0 or 1; what is no number changes nothing.
    pub fn set_fraction(&self, fraction: f64) {
        if !fraction.is_nan() {
            let progress = RunProgress::Fraction(fraction.clamp(0.0, 1.0));
            self.change(|run, index, _| run.set_progress(index, progress));
        }
    }

    /// Sets how many of how many are done.
    pub fn set_count(&self, done: u64, total: u64) {
        let progress = RunProgress::Count { done, total };
        self.change(|run, index, _| run.set_progress(index, progress));
    }

    /// Sets the text of the step, as [`Step::text`](super::Step::text) does.
    pub fn set_text(&self, text: impl fmt::Display) {
        // Not formatted where nothing is recorded.
        if self.0.get().is_none() {
            return;
        }
        if let Some(text) = step_text(text) {
            self.change(|run, index, has_room| run.set_text(index, &text, has_room));
        }
    }

    fn change(&self, change: impl FnOnce(&mut Run, u32, bool)) {
        if let Some((live, index)) = self.0.get() {
            live.change(|run, _, has_room| change(run, *index, has_room));
        }
    }
}
