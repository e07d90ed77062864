//! Tracking of code that is not a service: a query, a tool call, a job.
//!
//! Use it to get a name, a duration and an outcome for work inside or outside of a request. Do not use it for HTTP or gRPC
//! calls: [`Track`](crate::Track) reports more of those.
//!
//! # What happens
//!
//! | when | what an [`Operation`] does |
//! |---|---|
//! | first poll | counts the run as in flight, reads the clock, opens a span at `DEBUG` |
//! | end | records `operation_duration_seconds{operation, kind, outcome}`, `operations_in_flight{operation, kind}` and `operation_slow_total{operation, kind, level}`; adds an error record if the run failed; emits one event of the target `tower_keep::operation` |
//!
//! The event is at `DEBUG` for successful runs, at `INFO` for those of the kind `job` (see [`Operation::level`]), and at
//! `WARN` for slow ones. A failure is at `ERROR`, but at `WARN` inside of a guarded call, since the handler may handle the
//! error. (A panic in there is at `DEBUG`: the call, or whoever catches the panic, reports it.) Which errors are failures is
//! set by [`OperationFuture::failure_if`] and [`OperationFuture::classify_error`]: a row that was not found need not be one.
//! Names and kinds must not contain data: beyond 1,000 of them, the rest shares `_OTHER` in all
//! three metrics.
//!
//! Outside of a call there are no IDs, neither in the event nor in the lines of the work. A job that is to have them runs in a
//! [context of its own](#jobs).
//!
//! # Clones
//!
//! A clone is the same operation. Each run is counted by itself.
//!
//! # Cancellation
//!
//! A future that is dropped ends as `cancelled`. One that panics ends as `panicked`, and the panic is re-raised (`resume_unwind`).
//!
//! # Example
//!
//! ```
//! use tower_keep::operation;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! # let load = async |id: u32| Ok::<_, std::io::Error>(vec![id]);
//! let rows = operation("load_orders").run(load(7)).await?;
//! # assert_eq!(rows, [7]); Ok(()) }
//! ```
//!
//! With settings:
//!
//! ```
//! use std::time::Duration;
//! use tower_keep::operation;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! # let load = async |id: u32| Ok::<_, std::io::Error>(vec![id]);
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
//!
//! # Jobs
//!
//! A nightly job, each run of which begins a request chain. The event of the run, all lines of the work and the requests that
//! it sends have the same correlation ID and trace:
//!
//! ```
//! use tower_keep::{Context, operation};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! async fn clean_up() -> std::io::Result<u32> {
//!     assert!(Context::current().is_some());
//!     Ok(7)
//! }
//!
//! let job = operation("nightly_cleanup").kind("job").run(clean_up());
//! let removed = Context::new_root().scope(job).await?;
//! # assert_eq!(removed, 7); Ok(()) }
//! ```

mod future;
mod guard;
mod handle;
mod key;
mod metrics;
mod permit;
mod run_guard;

pub use future::OperationFuture;
pub use handle::{Operation, operation};
#[doc(hidden)]
pub use permit::OperationPermit;
