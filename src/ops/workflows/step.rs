use std::{error::Error, fmt, future::Future};

use super::{
    Flow, StepProgress, output_error,
    recorded::{Recorded, Start, StepStart},
    workflow_future::WorkflowFuture,
};
use crate::{
    call::{Label, catch_hook},
    operation::{Operation, operation},
    util::text::display_bounded,
};

/// The kind of the operation that a step is.
const KIND: &str = "step";
/// The longest text that is read, in bytes.
const MAX_TEXT: usize = 1_024;

/// A step of a workflow that has not begun; made by [`Flow::step`].
#[must_use = "a step does nothing before it is run"]
pub struct Step(StepStart);

impl Step {
    pub(super) fn new(flow: Flow, name: Label, parent: Option<u32>) -> Self {
        Step(StepStart {
            flow,
            name,
            parent,
            text: None,
            progress: None,
        })
    }

    /// Sets a text for people, such as what the step works on; at most 256 bytes, without credentials.
    pub fn text(mut self, text: impl fmt::Display) -> Self {
        if self.0.flow.live().is_some() {
            self.0.text = step_text(text);
        }
        self
    }

    /// Returns a handle by which the work says how far it is. Before the step has begun, and after its end, it does nothing.
    ///
    /// ```
    /// use tower_keep::ops::workflow;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let import = workflow("import").run_infallible(|flow| async move {
    ///     let mut load = flow.step("load");
    ///     let progress = load.progress();
    ///     load.run_infallible(async move {
    ///         for row in 1..=10 {
    ///             progress.set_count(row, 10);
    ///         }
    ///     })
    ///     .await;
    /// });
    /// import.await;
    /// # }
    /// ```
    pub fn progress(&mut self) -> StepProgress {
        let progress = self.0.progress.get_or_insert_with(StepProgress::new);
        progress.clone()
    }

    /// Runs a future whose error implements [`Error`].
    pub fn run<F, T, E>(self, future: F) -> WorkflowFuture<F>
    where
        F: Future<Output = Result<T, E>>,
        E: Error + 'static,
    {
        let operation = self.operation();
        let work = Recorded::new(future, Start::Step(self.0), output_error::of_error);
        WorkflowFuture::new(operation.run(work))
    }

    /// Runs a future whose error only implements `Display`: anyhow's, a boxed error, a `String`.
    pub fn run_display<F, T, E>(self, future: F) -> WorkflowFuture<F>
    where
        F: Future<Output = Result<T, E>>,
        E: fmt::Display + 'static,
    {
        let operation = self.operation();
        let work = Recorded::new(future, Start::Step(self.0), output_error::of_display);
        WorkflowFuture::new(operation.run_display(work))
    }

    /// Runs a future that cannot fail.
    pub fn run_infallible<F: Future>(self, future: F) -> WorkflowFuture<F> {
        let operation = self.operation();
        let work = Recorded::new(future, Start::Step(self.0), output_error::none);
        WorkflowFuture::new(operation.run_infallible(work))
    }

    fn operation(&self) -> Operation {
        let name = format!("{}.{}", self.0.flow.name(), self.0.name);
        // Its error is that of the workflow, which may also handle it: one failure is one error record.
        operation(name).kind(KIND).errors(None).in_traces()
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("name", &self.0.name)
            .finish_non_exhaustive()
    }
}

/// Returns a text for people, bounded; `None` if its `Display` panics.
pub(super) fn step_text(text: impl fmt::Display) -> Option<Box<str>> {
    catch_hook(|| display_bounded(text, MAX_TEXT))
}
