//! Test utilities for layers and guards: a contract that checks them, scripted services and bodies, and a guard that
//! records calls.
//!
//! Use it in tests of your services, layers and guards. It needs the feature `testing`: enable that in
//! `[dev-dependencies]` only. It is not a mock of a server: a [`Script`] never reads a request.
//!
//! | item | purpose |
//! |---|---|
//! | [`contract`] | checks all that a layer or a guard must do, in one call |
//! | [`ReadyChecked`] | a service that panics if it is called on a handle that was not itself polled ready |
//! | [`Script`], [`Reply`], [`ScriptedBody`] | a service with scripted replies: respond, wait, fail, hang, panic |
//! | [`RecordingGuard`] | a guard that records admissions, response heads and ends of calls |
//! | [`CountingWaker`] | polls manually, and counts wakes of the task |
//! | [`simulator`] | clients that call a peer through real guards and retries, hours of it in seconds |
//!
//! # Place in the stack
//!
//! A script is innermost, [`ReadyChecked`] wraps it, and the layer under test wraps that. A recording guard is in a pair
//! with the guard under test: before it to record what callers see, or after it to record what the service does.
//!
//! # What happens
//!
//! | step | effect |
//! |---|---|
//! | `pending` | is pending for a number of polls, and wakes the task at each |
//! | `after` | sleeps on tokio's clock, which should be [paused](tokio::time::pause) |
//! | `hang` | is pending forever, and never wakes the task |
//! | `panic` | unwinds without calling the panic hook, so that the output of tests stays readable |
//!
//! | to simulate | write |
//! |---|---|
//! | a status and headers | `Reply::status(503).header("retry-after", "1")` |
//! | a gRPC status, in trailers or in the head | `Reply::grpc(14)`, `Reply::ok().header("grpc-status", "14")`; the request must have the gRPC content type |
//! | trailers of any kind | `Reply::ok().data("hello").trailers([("checksum", "7")])` |
//! | a delay of the head, or in the body | `Reply::ok().after(delay)`, `ScriptedBody::from("one").after(delay).data("two")` |
//! | no response, or a body without an end | `Reply::hang()`, `ScriptedBody::from("half").without_size_hint().hang()` |
//! | an error instead of a response | `Reply::error("connection refused")` |
//! | a body that fails, or is shorter than its size | `ScriptedBody::from("half").error("reset")`, `ScriptedBody::from("half").declared_size(8)` |
//! | a panic | `Reply::panic_in_call`, `panic_in_poll`, `panic_in_drop`, [`ScriptedBody::panic`], `panic_in_drop` |
//! | a service that is not ready | [`Script::ready_after`], [`never_ready`](Script::never_ready), [`fails_ready`](Script::fails_ready) |
//!
//! # Clones
//!
//! Clones of a script share its replies, and clones of a recording guard share its records. A clone of a [`ReadyChecked`]
//! is not ready.
//!
//! # Cancellation
//!
//! [`Script::in_flight`] and [`RecordingGuard::in_flight`] decrease when a call ends, also when it is dropped. A test that
//! drops a future or a body asserts that both are zero.
//!
//! # Example
//!
//! Checks a custom guard, which decrements in `on_end` what it increments in `admit`:
//!
//! ```
//! use std::sync::{Arc, atomic::{AtomicUsize, Ordering::Relaxed}};
//! use tower_keep::{Guard, Rejection, call::{CallClock, CallEnd}, guard::Admit, testing::contract};
//!
//! /// Limits the number of concurrent calls.
//! #[derive(Clone)]
//! struct MaxInFlight { max: usize, in_flight: Arc<AtomicUsize> }
//!
//! impl Guard for MaxInFlight {
//!     type Permit = ();
//!     fn on_end(&self, _: (), _: &CallEnd<'_>) {
//!         self.in_flight.fetch_sub(1, Relaxed);
//!     }
//! }
//! impl<Req> Admit<Req> for MaxInFlight {
//!     fn admit(&self, _: &mut Req, _: &CallClock) -> Result<(), Rejection> {
//!         if self.in_flight.fetch_add(1, Relaxed) < self.max {
//!             return Ok(());
//!         }
//!         self.in_flight.fetch_sub(1, Relaxed);
//!         Err(Rejection::overloaded("max_in_flight"))
//!     }
//! }
//!
//! // All cases share the counter, so that a leak in one of them fails a later one.
//! let max_in_flight = MaxInFlight { max: 2, in_flight: Arc::default() };
//! contract::check_guard(|| max_in_flight.clone());
//! assert_eq!(max_in_flight.in_flight.load(Relaxed), 0);
//! ```
//!
//! # Example: scripted replies
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! use std::time::Duration;
//! use http_body_util::BodyExt;
//! use tower::{Layer, ServiceExt};
//! use tower_keep::{GuardLayer, Outcome, testing::{Reply, Script, ScriptedBody, RecordingGuard}};
//!
//! let second = Duration::from_secs(1);
//! let half = || ScriptedBody::from("half").without_size_hint();
//! let replies = [
//!     (Reply::status(503).header("retry-after", "1"), Outcome::Overload),
//!     (Reply::ok().data("hello").trailers([("checksum", "7")]), Outcome::Success),
//!     (Reply::ok().after(second).body(half().after(second).data("whole")), Outcome::Success),
//!     (Reply::error("connection refused"), Outcome::Failure),
//!     (Reply::ok().body(half().error("connection reset")), Outcome::Failure),
//!     (Reply::hang(), Outcome::Cancelled),
//!     (Reply::ok().body(half().hang()), Outcome::Cancelled),
//!     (Reply::panic_in_poll("a bug"), Outcome::Panicked),
//! ];
//! for (reply, outcome) in replies {
//!     let (guard, script): (_, Script) = (RecordingGuard::new(), Script::new([reply]));
//!     let service = GuardLayer::server(guard.clone()).layer(script);
//!     let call = async {
//!         let response = service.oneshot(http::Request::new(ScriptedBody::new())).await?;
//!         response.into_body().collect().await
//!     };
//!     let _ = tokio::time::timeout(10 * second, call).await;
//!     assert_eq!(guard.single().outcome, outcome);
//! }
//! # }
//! ```
//!
//! # Example: manual polling
//!
//! ```
//! use std::task::Poll;
//! use http::Request;
//! use tower::Layer;
//! use tower_keep::{GuardLayer, Outcome, testing::{Reply, Script, ScriptedBody, RecordingGuard, CountingWaker}};
//!
//! let (guard, wakes) = (RecordingGuard::new(), CountingWaker::new());
//! let script: Script = Script::new([Reply::ok().data("hel").data("lo")]);
//! let mut service = GuardLayer::server(guard.clone()).layer(script.clone());
//!
//! let mut call = wakes.call(&mut service, Request::new(ScriptedBody::new()));
//! let Poll::Ready(Ok(response)) = wakes.poll(call.as_mut()) else { panic!("no response") };
//!
//! // The client disconnects in the middle of the body.
//! let mut body = Box::pin(response.into_body());
//! assert!(wakes.poll_frame(body.as_mut()).is_ready());
//! drop(body);
//! assert_eq!(guard.single().outcome, Outcome::Cancelled);
//! assert_eq!(guard.single().response_bytes, 3);
//! assert_eq!((guard.in_flight(), script.in_flight()), (0, 0));
//! ```

mod body;
pub mod contract;
mod counters;
mod counting_waker;
mod in_flight_token;
mod ready_checked;
mod recorded_end;
mod recorded_head;
mod recording_guard;
mod reply;
mod script;
mod script_future;
mod silent_panic;
pub mod simulator;

#[doc(hidden)]
pub use self::recording_guard::RecordingPermit;
pub use self::{
    body::ScriptedBody,
    counting_waker::{CountingWaker, PolledFrame},
    ready_checked::ReadyChecked,
    recorded_end::RecordedEnd,
    recorded_head::RecordedHead,
    recording_guard::RecordingGuard,
    reply::Reply,
    script::Script,
    script_future::ScriptFuture,
};
