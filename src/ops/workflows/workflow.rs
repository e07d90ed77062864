use std::{error::Error, fmt, future::Future, sync::Arc};

use super::{
    Flow, RunStart, Workflows, attribute_value, output_error,
    recorded::{Recorded, Start},
    scope,
    workflow_future::WorkflowFuture,
};
use crate::{
    call::Label,
    operation::{Operation, operation},
};

/// The kind of the operation that a workflow is.
const KIND: &str = "workflow";

/// A workflow that has not begun; see the [module](super). Made by [`workflow`](crate::ops::workflow) and
/// [`Ops::workflow`](crate::ops::Ops::workflow).
#[derive(Debug)]
#[must_use = "a workflow does nothing before it is run"]
pub struct Workflow {
    workflows: Option<Arc<Workflows>>,
    beginning: RunStart,
}

impl Workflow {
    /// Creates one that is recorded there, or where the workflow is that it is created in, or where the process records all.
    pub(crate) fn new(name: Label, workflows: Option<Arc<Workflows>>) -> Self {
        let position = scope::current();
        let parent =
            position.and_then(|position| Some((position.flow.live()?.clone(), position.step)));
        let same = || parent.as_ref().and_then(|(live, _)| live.workflows());
        let workflows = workflows.or_else(same).or_else(Workflows::installed);
        Workflow {
            workflows,
            beginning: RunStart {
                name,
                parent,
                attributes: Vec::new(),
                expected_steps: None,
            },
        }
    }

    /// Adds an attribute by which it is found, such as the number of an order: at most 16, names of 64 and values of 256 bytes.
    /// The values of names that belong to credentials are redacted.
    ///
    /// ```
    /// use tower_keep::ops::workflow;
    ///
    /// let checkout = workflow("checkout").attribute("order", 4711);
    /// # let _ = checkout;
    /// ```
    pub fn attribute(mut self, name: impl Into<Label>, value: impl fmt::Display) -> Self {
        // Nobody looks at them where nothing is recorded.
        if self.workflows.is_some() {
            let name = name.into();
            let value = attribute_value(name.as_str(), value);
            self.beginning.attributes.push((name, value));
        }
        self
    }

    /// Sets how many steps there will be, those inside of other steps not counted, so that the console shows how far it is.
    /// Default: unknown.
    pub fn expected_steps(mut self, steps: u32) -> Self {
        self.beginning.expected_steps = Some(steps);
        self
    }

    /// Runs work whose error implements [`Error`]. The closure gets the [`Flow`], and is called at the first poll.
    ///
    /// ```
    /// use tower_keep::ops::workflow;
    ///
    /// # async fn reserve() -> std::io::Result<u32> { Ok(7) }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// let checkout = workflow("checkout").run(|flow| async move {
    ///     let item = flow.step("reserve").run(reserve()).await?;
    ///     Ok::<_, std::io::Error>(item)
    /// });
    /// assert_eq!(checkout.await?, 7);
    /// # Ok(()) }
    /// ```
    pub fn run<M, F, T, E>(self, work: M) -> WorkflowFuture<impl Future<Output = Result<T, E>>>
    where
        M: FnOnce(Flow) -> F,
        F: Future<Output = Result<T, E>>,
        E: Error + 'static,
    {
        let (operation, name, start) = self.into_parts();
        let work = Recorded::new(in_flow(name, work), start, output_error::of_error);
        WorkflowFuture::new(operation.run(work))
    }

    /// Runs work whose error only implements `Display`: anyhow's, a boxed error, a `String`.
    ///
    /// ```
    /// use tower_keep::{BoxError, ops::workflow};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let import = workflow("import").run_display(|flow| async move {
    ///     flow.step("parse").run(async { "7x".parse::<u32>() }).await?;
    ///     Ok::<_, BoxError>(())
    /// });
    /// assert!(import.await.is_err());
    /// # }
    /// ```
    pub fn run_display<M, F, T, E>(
        self,
        work: M,
    ) -> WorkflowFuture<impl Future<Output = Result<T, E>>>
    where
        M: FnOnce(Flow) -> F,
        F: Future<Output = Result<T, E>>,
        E: fmt::Display + 'static,
    {
        let (operation, name, start) = self.into_parts();
        let work = Recorded::new(in_flow(name, work), start, output_error::of_display);
        WorkflowFuture::new(operation.run_display(work))
    }

    /// Runs work that cannot fail.
    ///
    /// ```
    /// use tower_keep::ops::workflow;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let greeting = workflow("greet").run_infallible(|_| async { "hello" });
    /// assert_eq!(greeting.await, "hello");
    /// # }
    /// ```
    pub fn run_infallible<M, F>(self, work: M) -> WorkflowFuture<impl Future<Output = F::Output>>
    where
        M: FnOnce(Flow) -> F,
        F: Future,
    {
        let (operation, name, start) = self.into_parts();
        let work = Recorded::new(in_flow(name, work), start, output_error::none);
        WorkflowFuture::new(operation.run_infallible(work))
    }

    fn into_parts(self) -> (Operation, Label, Start) {
        let name = self.beginning.name.clone();
        let operation = operation(name.clone()).kind(KIND).in_traces();
        let start = Start::Workflow(self.workflows, Box::new(self.beginning));
        (operation, name, start)
    }
}

/// Calls the closure in the scope of the workflow.
async fn in_flow<M, F>(name: Label, work: M) -> F::Output
where
    M: FnOnce(Flow) -> F,
    F: Future,
{
    // Without one, the thread ends.
    let flow = Flow::current().unwrap_or_else(|| Flow::new(name, None));
    work(flow).await
}
