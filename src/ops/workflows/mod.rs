//! Workflows: work of several steps, which the console shows while it runs and after its end.
//!
//! Use it for work whose steps an engineer on call asks about: a checkout, an import, a nightly job, the turns of an agent. Do not
//! use it for work of one step: that is an [`operation`](mod@crate::operation). It records what happens and decides nothing: a
//! workflow that is lost is not begun again.
//!
//! # What happens
//!
//! | when | a workflow |
//! |---|---|
//! | first poll | is `running`; gets an ID, and the correlation and trace ID of the current [`Context`](crate::Context), or of a new one |
//! | a step begins, says how far it is, ends | has the step with its time, text, progress and error |
//! | it returns | is `done`, or `failed` with its error, whose causes and step the console shows |
//! | it panics, or a step does | is `failed`; the panic goes on |
//! | its future is dropped | is `cancelled`, and all its steps that still run |
//! | the process ends while it runs | is `lost` at the next start, where what the console remembers is in a file; the journal says so |
//!
//! A workflow is an [`Operation`](crate::operation::Operation) of the kind `workflow`, and a step one of the kind `step`, whose name
//! is `workflow.step`: they have the spans, metrics and log lines of operations. An error that a step returns has no error record of
//! its own: the workflow that fails with it has one.
//!
//! They are recorded in the [`Ops`](crate::ops::Ops) of the process, the one that was
//! [installed](crate::ops::Ops::install) or else [spawned](crate::ops::Ops::spawn) first, or in a certain one, with
//! [`Ops::workflow`](crate::ops::Ops::workflow). Without one they run as well, as operations.
//!
//! # Nested workflows
//!
//! A workflow that is run inside of another one, or of a step of it, knows it as its parent, and the step knows the workflow. So
//! does one that is created there and spawned: `tokio::spawn(workflow("invoice").run(..))`. Steps in a task of their own need a clone
//! of the [`Flow`].
//!
//! # Limits
//!
//! 10,000 workflows that run and 1,000 that have ended (see [`OpsBuilder`](crate::ops::OpsBuilder)), those in 8 MiB: of what ended
//! well and of what did not, each has at least half. 1,000 steps per workflow, 16 attributes, 200 names with statistics. What is
//! beyond is counted, as `workflows` and `workflow_parts` in `dropped` of the status. What runs takes at most 32 MiB; then steps are counted
//! and no more.
//!
//! # Clones
//!
//! Clones of a [`Flow`] are the same workflow; clones of a [`StepProgress`] are of the same step.
//!
//! # Cancellation
//!
//! See above. A workflow that is dropped before its first poll has never begun.
//!
//! # Example
//!
//! ```
//! use tower_keep::ops::workflow;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! # async fn reserve(id: u32) -> std::io::Result<u32> { Ok(id) }
//! # async fn pay(id: u32) -> std::io::Result<u32> { Ok(id) }
//! let receipt = workflow("checkout").run(|flow| async move {
//!     flow.step("reserve").run(reserve(4711)).await?;
//!     flow.step("pay").run(pay(4711)).await
//! });
//! assert_eq!(receipt.await?, 4711);
//! # Ok(()) }
//! ```
//!
//! With what makes it easier to find, and steps at the same time:
//!
//! ```
//! use tower_keep::ops::workflow;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! # async fn load(file: &str) -> std::io::Result<u64> { Ok(file.len() as u64) }
//! let import = workflow("import").attribute("tenant", "acme").expected_steps(3).run(|flow| async move {
//!     let (orders, items) = (flow.step("orders").run(load("orders")), flow.step("items").run(load("items")));
//!     let (orders, items) = tokio::try_join!(orders, items)?;
//!     let mut write = flow.step("write").text(format_args!("{orders} orders"));
//!     let progress = write.progress();
//!     write.run_infallible(async { progress.set_count(orders, orders + items) }).await;
//!     Ok::<_, std::io::Error>(orders + items)
//! });
//! assert_eq!(import.await?, 11);
//! # Ok(()) }
//! ```

mod board;
mod error_text;
mod flow;
pub(crate) mod json;
mod live_run;
mod metrics;
mod output_error;
mod recorded;
mod run;
mod run_progress;
mod run_state;
mod scope;
mod shared;
mod statistics;
mod step;
mod step_progress;
mod workflow;
mod workflow_future;
mod workflow_id;

use std::fmt;

use self::{
    board::{Board, BoardLimits},
    error_text::RunError,
    run::StepRun,
    run_progress::RunProgress,
    shared::RunStart,
    statistics::Statistics,
};
pub use self::{
    flow::Flow, step::Step, step_progress::StepProgress, workflow::Workflow,
    workflow_future::WorkflowFuture, workflow_id::WorkflowId,
};
pub(crate) use self::{live_run::LiveRun, run::Run, run_state::RunState, shared::Workflows};
use super::{
    journal::{Event, EventKind, Journal, Severity},
    recorder::Recorder,
    redact::redacted,
};
use crate::{
    call::catch_hook,
    util::{
        credentials::{REDACTED, looks_like_credential},
        text::display_bounded,
    },
};

/// The longest value of an attribute that is read, in bytes.
const MAX_VALUE: usize = 1_024;

/// Returns the value of an attribute without what nobody may see; bounded, though longer than what is kept.
fn attribute_value(name: &str, value: impl fmt::Display) -> String {
    if looks_like_credential(name) {
        return REDACTED.to_owned();
    }
    let text = catch_hook(|| display_bounded(value, MAX_VALUE));
    redacted(&text.unwrap_or_default())
}

/// The lost runs with an event of their own: a process that dies may have thousands.
const MAX_LOST_EVENTS: usize = 20;

/// Records that workflows were lost, in the journal and in the metrics.
pub(super) fn record_lost(journal: &Journal, recorder: &Recorder, lost: &[Run]) {
    for run in lost {
        metrics::count_lost(recorder, run.name.as_str());
    }
    // The latest are the last.
    let (others, latest) = lost.split_at(lost.len().saturating_sub(MAX_LOST_EVENTS));
    if let Some(first) = others.first() {
        let text = format!(
            "{} more workflows are lost: the process ended while they ran",
            others.len()
        );
        let event = Event::new(
            EventKind::Workflow,
            Severity::Warning,
            first.name.as_str(),
            text,
        );
        journal.record(event);
    }
    for run in latest {
        let step = run
            .current_step()
            .map(|step| format!(" in step {}", step.name));
        let text = format!(
            "lost{}: the process ended while it ran",
            step.unwrap_or_default()
        );
        let event = Event::new(
            EventKind::Workflow,
            Severity::Warning,
            run.name.as_str(),
            text,
        )
        .with("id", run.id.to_string())
        .with("to", RunState::Lost.as_str());
        journal.record(event);
    }
}
