use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use pin_project_lite::pin_project;

use super::{
    Flow, LiveRun, RunError, RunStart, RunState, StepProgress, Workflows,
    scope::{Position, Scope},
};
use crate::{call::Label, errors::ErrorRecord, util::poll::POLLED_AFTER_COMPLETION};

pin_project! {
    /// The work of a workflow or of a step, which records how it ends.
    pub struct Recorded<F>
    where
        F: Future,
    {
        // None once it has completed.
        #[pin]
        future: Option<F>,
        start: Option<Start>,
        position: Option<Position>,
        // Dropped after the future: what that does when it is dropped belongs to the run.
        running: Running,
        error_of: ErrorOf<F::Output>,
    }

    impl<F: Future> PinnedDrop for Recorded<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _scope = Scope::enter(this.position);
            this.future.set(None);
        }
    }
}

/// A function that returns the error of an output, if it has failed.
pub(super) type ErrorOf<T> = fn(&T) -> Option<ErrorRecord>;

/// The start of a run, which is its first poll.
pub(super) enum Start {
    Workflow(Option<Arc<Workflows>>, Box<RunStart>),
    Step(StepStart),
}

/// The start of a step.
pub(super) struct StepStart {
    pub(super) flow: Flow,
    pub(super) name: Label,
    /// The step that it is a part of.
    pub(super) parent: Option<u32>,
    pub(super) text: Option<Box<str>>,
    pub(super) progress: Option<StepProgress>,
}

impl StepStart {
    /// Returns the run with the index of the step; `None` where it is not recorded.
    fn begin(&self) -> Option<(Arc<LiveRun>, u32)> {
        let live = self.flow.live()?;
        let index = live.change(|run, elapsed, has_room| {
            let index = run.begin_step(self.name.clone(), self.parent, elapsed, has_room)?;
            if let Some(text) = &self.text {
                run.set_text(index, text, has_room);
            }
            Some(index)
        })?;
        if let Some(progress) = &self.progress {
            progress.attach(live.clone(), index);
        }
        live.notify();
        Some((live.clone(), index))
    }
}

/// A run in progress, which is cancelled if it is dropped.
struct Running(Option<InProgress>);

/// A run in progress; the index is that of the step.
enum InProgress {
    Workflow(Arc<LiveRun>),
    Step(Arc<LiveRun>, u32),
}

impl Start {
    fn begin(self) -> (Running, Position) {
        match self {
            Start::Workflow(workflows, beginning) => {
                let name = beginning.name.clone();
                let live = workflows.and_then(|all| all.begin(*beginning));
                let running = Running(live.clone().map(InProgress::Workflow));
                let flow = Flow::new(name, live);
                (running, Position { flow, step: None })
            }
            Start::Step(start) => {
                let begun = start.begin();
                let step = begun.as_ref().map(|(_, index)| *index);
                let running = begun.map(|(live, index)| InProgress::Step(live, index));
                let flow = start.flow;
                (Running(running), Position { flow, step })
            }
        }
    }
}

impl Running {
    /// Ends it, once.
    fn end(&mut self, state: RunState, error: Option<ErrorRecord>) {
        match self.0.take() {
            None => {}
            Some(InProgress::Workflow(live)) => end_workflow(&live, state, error),
            Some(InProgress::Step(live, index)) => {
                let error = error.as_ref().map(RunError::new);
                live.change(|run, elapsed, has_room| {
                    run.end_step(index, state, elapsed, error, has_room);
                });
                live.notify();
            }
        }
    }
}

fn end_workflow(live: &LiveRun, state: RunState, error: Option<ErrorRecord>) {
    let Some(workflows) = live.workflows() else {
        return;
    };
    let error = error.map(|record| {
        let mut text = RunError::new(&record);
        // As its operation groups it.
        let name = live.look(|run| run.name.clone());
        text.fingerprint = Some(record.with_route(name.as_str()).fingerprint());
        text
    });
    workflows.end(live, state, error);
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end(RunState::Cancelled, None);
    }
}

impl<F: Future> Recorded<F> {
    pub(super) fn new(future: F, start: Start, error_of: ErrorOf<F::Output>) -> Self {
        Recorded {
            future: Some(future),
            start: Some(start),
            position: None,
            running: Running(None),
            error_of,
        }
    }
}

impl<F: Future> Future for Recorded<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if let Some(start) = this.start.take() {
            let (running, position) = start.begin();
            (*this.running, *this.position) = (running, Some(position));
        }
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let _scope = Scope::enter(this.position);
            let future = this.future.as_mut().as_pin_mut();
            let polled = future.expect(POLLED_AFTER_COMPLETION).poll(cx);
            // Dropped in the scope, so that its drop belongs to the run.
            if polled.is_ready() {
                this.future.set(None);
            }
            polled
        }));
        match polled {
            Ok(Poll::Ready(output)) => {
                // Nobody describes an error that is not recorded.
                let is_recorded = this.running.0.is_some();
                let error = is_recorded.then(|| (this.error_of)(&output)).flatten();
                let state = match error {
                    Some(_) => RunState::Failed,
                    None => RunState::Done,
                };
                this.running.end(state, error);
                Poll::Ready(output)
            }
            Ok(Poll::Pending) => Poll::Pending,
            Err(payload) => {
                let error = ErrorRecord::from_panic(&*payload);
                this.running.end(RunState::Failed, Some(error));
                resume_unwind(payload)
            }
        }
    }
}
