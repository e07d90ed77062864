//! The same tracking for code that is no service: a query, a tool call, a job.
//!
//! Use it where a name, a duration and an outcome are wanted below or outside of a request. Not for HTTP or gRPC
//! calls: [`Track`](crate::Track) knows more of those.
//!
//! # What happens
//!
//! | moment | what is kept |
//! |---|---|
//! | first poll | in flight, the clock, a span at `DEBUG` |
//! | end | `operation_duration_seconds{operation, kind, outcome}`, `operations_in_flight{operation, kind}`, `operation_slow_total{operation, kind, level}`, an error record if it failed, one event of the target `tower_keep::operation` |
//!
//! The event is at `DEBUG` when all is well and `WARN` when it was slow. A failure is `ERROR`. Inside of a guarded call,
//! whose own line says how that ends, it is `WARN`: the handler may deal with it. (A panic there is told by the line of
//! the call, or of whoever catches it, and is `DEBUG`.) Names and kinds are for code, not for data: of more
//! than 1,000 the rest shares `_OTHER`, in all three metrics.
//!
//! # Clones
//!
//! A clone is the same operation; each run is counted by itself.
//!
//! # Cancellation
//!
//! A future that is dropped ends as `cancelled`; one that panics ends as `panicked`, and the panic goes on.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use tower_keep::operation;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! # let load = async |id: u32| Ok::<_, std::io::Error>(vec![id]);
//! let rows = operation("load_orders").run(load(7)).await?;
//!
//! let rows = operation("load_orders")
//!     .kind("db")
//!     .slow(Duration::from_millis(200))
//!     .critical(Duration::from_secs(2))
//!     .input(7)
//!     .run(load(7))
//!     .output(|rows| format!("{} rows", rows.as_ref().map_or(0, Vec::len)))
//!     .await?;
//! # assert_eq!(rows, [7]); Ok(()) }
//! ```

mod future;
mod guard;

use std::{error::Error, fmt, future::Future, time::Duration};

use crate::{
    call::{Cause, Label, Outcome, as_std_error, catch_hook},
    errors::ErrorTracker,
    protocol::error_outcome,
    util::text::display_bounded,
};

pub use future::OperationFuture;
use future::{ClassifyFn, OperationGuard};
pub use guard::OperationPermit;

/// How much of an input or an output is kept, in bytes.
const MAX_VALUE_LEN: usize = 1_024;

/// Code that is tracked by name: see the [module](self). Made by [`operation`].
#[derive(Clone, Debug)]
pub struct Operation {
    name: Label,
    kind: Label,
    warning: Duration,
    critical: Duration,
    errors: Option<ErrorTracker>,
    input: Option<String>,
}

/// Names a piece of work that is to be tracked; see the [module](self).
pub fn operation(name: impl Into<Label>) -> Operation {
    Operation {
        name: name.into(),
        kind: Label::from("internal"),
        warning: Duration::MAX,
        critical: Duration::MAX,
        errors: Some(ErrorTracker::global().clone()),
        input: None,
    }
}

impl Operation {
    /// What kind of work it is: `db`, `tool`, `job`... Default: `internal`.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<Label>) -> Self {
        self.kind = kind.into();
        self
    }

    /// From which duration on a run is slow. Default: never.
    #[must_use]
    pub fn slow(mut self, warning: Duration) -> Self {
        self.warning = warning;
        self
    }

    /// From which duration on a run is critically slow. Default: never.
    #[must_use]
    pub fn critical(mut self, critical: Duration) -> Self {
        self.critical = critical;
        self
    }

    /// Where failures are grouped. Default: [`ErrorTracker::global`].
    #[must_use]
    pub fn errors(mut self, tracker: impl Into<Option<ErrorTracker>>) -> Self {
        self.errors = tracker.into();
        self
    }

    /// Shows what it works on in the event; at most 1 KiB. Default: nothing, since data may be private.
    #[must_use]
    pub fn input(mut self, input: impl fmt::Display) -> Self {
        self.input = display_caught(input);
        self
    }

    /// Runs a future whose error is an `Error`, and tracks how it ends.
    pub fn run<F, T, E>(self, future: F) -> OperationFuture<F>
    where
        F: Future<Output = Result<T, E>>,
        E: Error + 'static,
    {
        self.new_future(future, |output, tell| match output {
            Ok(_) => tell(Outcome::Success, None),
            Err(error) => tell(error_outcome(error), Some(Cause::from_error(error))),
        })
    }

    /// Runs a future whose error is only text to us: anyhow's, a boxed one, a `String`.
    pub fn run_display<F, T, E>(self, future: F) -> OperationFuture<F>
    where
        F: Future<Output = Result<T, E>>,
        E: fmt::Display + 'static,
    {
        self.new_future(future, |output, tell| match output {
            Ok(_) => tell(Outcome::Success, None),
            Err(error) => match as_std_error(error) {
                Some(error) => tell(error_outcome(error), Some(Cause::from_error(error))),
                None => {
                    let type_name = std::any::type_name::<E>();
                    // With its causes, where the type has them to show, as anyhow's has.
                    let message = display_caught(format_args!("{error:#}"));
                    let message = message.as_deref();
                    tell(Outcome::Failure, Some(Cause::Opaque { type_name, message }));
                }
            },
        })
    }

    /// Runs a future that cannot fail.
    pub fn run_infallible<F: Future>(self, future: F) -> OperationFuture<F> {
        self.new_future(future, |_, tell| tell(Outcome::Success, None))
    }

    /// Runs a closure that does not wait.
    ///
    /// # Errors
    ///
    /// The closure's own.
    pub fn call<T, E: Error + 'static>(self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut ticket = OperationGuard::new(self);
        let result = ticket.poll(work);
        match &result {
            Ok(_) => ticket.complete(Outcome::Success, None),
            Err(error) => ticket.complete(error_outcome(error), Some(Cause::from_error(error))),
        }
        result
    }

    fn new_future<F: Future>(self, future: F, look: ClassifyFn<F::Output>) -> OperationFuture<F> {
        OperationFuture::new(self, future, look)
    }
}

/// A text of bounded length; none if the value panics.
fn display_caught(value: impl fmt::Display) -> Option<String> {
    catch_hook(|| display_bounded(value, MAX_VALUE_LEN).into())
}
