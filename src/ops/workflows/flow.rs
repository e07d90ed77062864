use std::{fmt, sync::Arc};

use super::{LiveRun, Step, WorkflowId, attribute_value, scope};
use crate::call::Label;

/// A workflow that runs: what its steps are made of.
///
/// Clones are the same workflow. One that has ended takes no more steps: they run, and nobody sees them.
#[derive(Clone, Debug)]
pub struct Flow {
    name: Label,
    /// `None` where nothing is recorded.
    live: Option<Arc<LiveRun>>,
}

impl Flow {
    pub(super) fn new(name: Label, live: Option<Arc<LiveRun>>) -> Self {
        Flow { name, live }
    }

    /// Returns the workflow that this thread works on, so that code which is called by a step can have steps too. A task that
    /// was spawned works on none: move a clone into it.
    ///
    /// ```
    /// use tower_keep::ops::{workflow, workflows::Flow};
    ///
    /// async fn pack() -> u32 {
    ///     let step = Flow::current().expect("in a workflow").step("pack");
    ///     step.run_infallible(async { 7 }).await
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let packed = workflow("ship").run_infallible(|_| pack());
    /// assert_eq!(packed.await, 7);
    /// # }
    /// ```
    pub fn current() -> Option<Flow> {
        scope::current().map(|position| position.flow)
    }

    /// Returns a step, which begins when it is run. Steps may run at the same time, and several may have one name.
    pub fn step(&self, name: impl Into<Label>) -> Step {
        let position = scope::current().filter(|position| self.is_same(&position.flow));
        Step::new(self.clone(), name.into(), position.and_then(|at| at.step))
    }

    /// Sets an attribute, as [`Workflow::attribute`](super::Workflow::attribute) does; one of the same name is replaced.
    pub fn attribute(&self, name: impl AsRef<str>, value: impl fmt::Display) {
        if let Some(live) = &self.live {
            let name = name.as_ref();
            let value = attribute_value(name, value);
            live.change(|run, _, _| run.set_attribute(name, &value));
        }
    }

    /// Returns the name of the workflow.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Returns the ID by which the console knows it; `None` where it is not recorded.
    pub fn id(&self) -> Option<WorkflowId> {
        self.live.as_ref().map(|live| live.id)
    }

    pub(super) fn live(&self) -> Option<&Arc<LiveRun>> {
        self.live.as_ref()
    }

    fn is_same(&self, other: &Flow) -> bool {
        match (&self.live, &other.live) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            _ => false,
        }
    }
}
