use std::{error::Error, fmt, future::Future, time::Duration};

use tracing::{Level, Span, field::Empty, level_filters::LevelFilter};

use super::{OperationFuture, future::ClassifyOutputFn, run_guard::OperationGuard};
use crate::{
    call::{CallClock, Cause, Label, Outcome, as_std_error, catch_hook},
    context::Context,
    errors::ErrorTracker,
    protocol::error_outcome,
    track::{
        CallReport, CallSubject, CallTable, DEFAULT_SLOW, InFlightEntry, SlowThresholds,
        WatchedCall, export_span,
    },
    util::text::display_bounded,
};

/// Maximum length of a logged input or output in bytes.
const MAX_VALUE_LEN: usize = 1_024;

/// A tracked operation: see the [module](super). Made by [`operation`].
#[derive(Clone, Debug)]
pub struct Operation {
    pub(super) name: Label,
    pub(super) kind: Label,
    pub(super) thresholds: SlowThresholds,
    pub(super) errors: Option<ErrorTracker>,
    pub(super) input: Option<String>,
    /// `None` for the default, which depends on the kind.
    level: Option<Level>,
    /// True if its span is at `INFO`, so that it is in traces whatever the usual filter drops.
    is_in_traces: bool,
}

/// The kind of work that leaves a line at `INFO`: a job has no caller whose access log would show that it ran.
const KIND_JOB: &str = "job";

/// Returns an operation of this name; see the [module](super).
///
/// A function that reads a file:
///
/// ```
/// use tower_keep::operation;
///
/// # fn read_config() -> std::io::Result<String> { Ok(String::new()) }
/// let config = operation("read_config").kind("file").call(read_config)?;
/// # let _ = config;
/// # Ok::<_, std::io::Error>(())
/// ```
pub fn operation(name: impl Into<Label>) -> Operation {
    Operation::new(name)
}

impl Operation {
    /// Returns an operation of this name, as [`operation`] does.
    ///
    /// A future that cannot fail:
    ///
    /// ```
    /// use tower_keep::operation::Operation;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let answer = Operation::new("compute").run_infallible(async { 42 }).await;
    /// # assert_eq!(answer, 42); }
    /// ```
    pub fn new(name: impl Into<Label>) -> Self {
        Operation {
            name: name.into(),
            kind: Label::from("internal"),
            thresholds: SlowThresholds {
                // Only the application knows what is slow.
                warning: Duration::MAX,
                critical: Duration::MAX,
            },
            errors: Some(ErrorTracker::global().clone()),
            input: None,
            level: None,
            is_in_traces: false,
        }
    }

    /// Sets the kind of work, such as `db`, `tool` or `job`. Successful jobs are logged at `INFO`. Default: `internal`.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<Label>) -> Self {
        self.kind = kind.into();
        self
    }

    /// Sets the duration from which a run is slow. Default: never.
    #[must_use]
    pub fn slow(mut self, warning: Duration) -> Self {
        self.thresholds.warning = warning;
        self
    }

    /// Sets the duration from which a run is critically slow. Default: never.
    #[must_use]
    pub fn critical(mut self, critical: Duration) -> Self {
        self.thresholds.critical = critical;
        self
    }

    /// Sets the level of the event of a run that is neither slow nor failed. Default: `INFO` for the kind `job`, since the
    /// line of a nightly job tells that it ran; `DEBUG` for every other kind.
    ///
    /// ```
    /// use tower_keep::operation;
    /// use tracing::Level;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let migrated = operation("migrate").level(Level::INFO).run_infallible(async { 3 }).await;
    /// # assert_eq!(migrated, 3); }
    /// ```
    #[must_use]
    pub fn level(mut self, level: Level) -> Self {
        self.level = Some(level);
        self
    }

    /// Sets the tracker that groups the errors of failed runs, or `None`. Default: [`ErrorTracker::global`].
    #[must_use]
    pub fn errors(mut self, tracker: impl Into<Option<ErrorTracker>>) -> Self {
        self.errors = tracker.into();
        self
    }

    /// Adds the input to the event, truncated to 1 KiB. Default: none, since data may be private.
    #[must_use]
    pub fn input(mut self, input: impl fmt::Display) -> Self {
        self.input = display_caught(input);
        self
    }

    /// Runs a future whose error implements [`Error`].
    pub fn run<F, T, E>(self, future: F) -> OperationFuture<F>
    where
        F: Future<Output = Result<T, E>>,
        E: Error + 'static,
    {
        self.new_future(future, |output, complete| match output {
            Ok(_) => complete(Outcome::Success, None),
            Err(error) => complete(error_outcome(error), Some(Cause::from_error(error))),
        })
    }

    /// Runs a future whose error only implements `Display`: anyhow's, a boxed error, a `String`.
    ///
    /// An error that is only a text:
    ///
    /// ```
    /// use tower_keep::operation;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let failing = async { Err::<(), _>("no disk".to_owned()) };
    /// let result = operation("save").run_display(failing).await;
    /// assert_eq!(result, Err("no disk".to_owned()));
    /// # }
    /// ```
    pub fn run_display<F, T, E>(self, future: F) -> OperationFuture<F>
    where
        F: Future<Output = Result<T, E>>,
        E: fmt::Display + 'static,
    {
        self.new_future(future, classify_display)
    }

    /// Runs a future that cannot fail.
    pub fn run_infallible<F: Future>(self, future: F) -> OperationFuture<F> {
        self.new_future(future, |_, complete| complete(Outcome::Success, None))
    }

    /// Runs a future whose output is classified already.
    pub(crate) fn run_classified<F: Future>(
        self,
        future: F,
        classify: ClassifyOutputFn<F::Output>,
    ) -> OperationFuture<F> {
        self.new_future(future, classify)
    }

    /// Runs a synchronous closure.
    ///
    /// # Errors
    ///
    /// Returns the error of the closure.
    ///
    /// A closure that parses a number:
    ///
    /// ```
    /// use tower_keep::operation;
    ///
    /// let number = operation("parse").call(|| "7".parse::<u32>())?;
    /// assert_eq!(number, 7);
    /// # Ok::<_, std::num::ParseIntError>(())
    /// ```
    pub fn call<T, E: Error + 'static>(self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut run = OperationGuard::new(self);
        let result = run.poll(work);
        match &result {
            Ok(_) => run.complete(Outcome::Success, None),
            Err(error) => run.complete(error_outcome(error), Some(Cause::from_error(error))),
        }
        result
    }

    /// Runs a synchronous closure whose result another one classifies: an error of any type, or a result that is a failure
    /// although it is `Ok`.
    ///
    /// A closure that panics counts as a failure. A rejection by a guard of this process stays one.
    ///
    /// # Errors
    ///
    /// Returns the error of the work.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use tower_keep::{Outcome, operation};
    ///
    /// let read = || Err::<String, _>(Error::from(ErrorKind::NotFound));
    /// let config = operation("read_config").call_classified(read, |result| match result {
    ///     Err(error) if error.kind() != ErrorKind::NotFound => Outcome::Failure,
    ///     _ => Outcome::Success,
    /// });
    /// assert!(config.is_err());
    /// ```
    pub fn call_classified<T, E: fmt::Display + 'static>(
        self,
        work: impl FnOnce() -> Result<T, E>,
        classify: impl FnOnce(&Result<T, E>) -> Outcome,
    ) -> Result<T, E> {
        let mut run = OperationGuard::new(self);
        let result = run.poll(work);
        let custom = Some(outcome_or_failure(|| classify(&result)));
        classify_display(&result, &mut |outcome, cause| {
            run.complete(custom_outcome(outcome, custom), cause);
        });
        result
    }

    fn new_future<F: Future>(
        self,
        future: F,
        classify: ClassifyOutputFn<F::Output>,
    ) -> OperationFuture<F> {
        OperationFuture::new(self, future, classify)
    }

    /// Returns the level of a run to which nothing happened.
    pub(super) fn success_level(&self) -> Level {
        let is_job = self.kind.as_str() == KIND_JOB;
        let default = if is_job { Level::INFO } else { Level::DEBUG };
        self.level.unwrap_or(default)
    }

    /// Puts a run that begins into the table of the process, if there is one.
    #[inline]
    pub(super) fn watch(&self, clock: &CallClock) -> WatchedCall {
        WatchedCall::enter(|table| self.watch_in(table, clock))
    }

    #[inline(never)]
    fn watch_in(&self, table: &CallTable, clock: &CallClock) -> WatchedCall {
        let entry = InFlightEntry {
            started_at: clock.now(),
            context: Context::current(),
            subject: CallSubject::Operation {
                name: self.name.clone(),
                kind: self.kind.clone(),
            },
        };
        WatchedCall::in_table(table, entry)
    }

    /// Returns whether the table of the process shows the run as slow: by its thresholds, or else by those of all calls.
    pub(super) fn is_slow(&self, report: &CallReport<'_>) -> bool {
        let thresholds = self.thresholds;
        let has_none = thresholds.warning == Duration::MAX && thresholds.critical == Duration::MAX;
        report.slow.is_some() || has_none && report.elapsed >= DEFAULT_SLOW
    }

    /// Puts the span at `INFO`.
    #[cfg(feature = "ops")]
    pub(crate) fn in_traces(mut self) -> Self {
        self.is_in_traces = true;
        self
    }

    pub(super) fn open_span(&self) -> Span {
        // A level is part of the code.
        macro_rules! span {
            ($level:expr) => {
                tracing::span!(
                    target: "tower_keep::operation",
                    $level,
                    "operation",
                    otel.name = self.name.as_str(),
                    otel.status_code = Empty,
                    otel.status_description = Empty,
                    error.type = Empty,
                    error.group = Empty,
                    kind = self.kind.as_str(),
                    outcome = Empty,
                )
            };
        }
        // The level is checked here as well: with tracing's feature `log`, the macro would look up all fields for it.
        let span = match (self.is_in_traces, Level::DEBUG <= LevelFilter::current()) {
            (true, _) => span!(Level::INFO),
            (false, true) => span!(Level::DEBUG),
            (false, false) => Span::none(),
        };
        export_span(&span);
        span
    }
}

/// Returns the text of a value, truncated; `None` if its `Display` panics.
pub(super) fn display_caught(value: impl fmt::Display) -> Option<String> {
    catch_hook(|| display_bounded(value, MAX_VALUE_LEN).into())
}

/// Returns what a closure says, or failure if it panics.
pub(super) fn outcome_or_failure(classify: impl FnOnce() -> Outcome) -> Outcome {
    catch_hook(classify).unwrap_or(Outcome::Failure)
}

/// Returns the outcome that the application decided. A rejection by a guard of this process stays one.
pub(super) fn custom_outcome(outcome: Outcome, custom: Option<Outcome>) -> Outcome {
    match custom {
        Some(custom) if outcome != Outcome::Rejected => custom,
        _ => outcome,
    }
}

/// Classifies a result whose error only implements `Display`.
fn classify_display<T, E: fmt::Display + 'static>(
    result: &Result<T, E>,
    complete: &mut dyn FnMut(Outcome, Option<Cause<'_>>),
) {
    match result {
        Ok(_) => complete(Outcome::Success, None),
        // Some of these implement `Error` after all, and are then classified by their sources.
        Err(error) => match as_std_error(error) {
            Some(error) => complete(error_outcome(error), Some(Cause::from_error(error))),
            None => {
                let type_name = std::any::type_name::<E>();
                // The alternate form contains the causes of errors such as anyhow's.
                let message = display_caught(format_args!("{error:#}"));
                let message = message.as_deref();
                complete(Outcome::Failure, Some(Cause::Opaque { type_name, message }));
            }
        },
    }
}
