//! What layers and guards are checked with: a strict probe, scripted services and bodies, a spy, the contract.
//!
//! Use it in tests, of guards and layers of your own as well: behind the feature `testing`, which belongs into
//! `[dev-dependencies]`. It is no mock of a server: a [`Script`] never looks at a request.
//!
//! | | |
//! |---|---|
//! | [`contract`] | everything a layer must stand, in one call |
//! | [`ReadyChecked`] | a service that panics when it is called on a handle that was not itself polled ready |
//! | [`Script`], [`Reply`], [`ScriptedBody`] | a service that does what it is told: answer, wait, fail, hang, panic |
//! | [`RecordingGuard`] | a guard that writes down what guards are told |
//! | [`CountingWaker`] | polls by hand, and counts who wakes the task |
//!
//! # Place in the stack
//!
//! A script is innermost, a strict probe round it, the layer in question round that. A spy stands in a tuple,
//! before the guard in question (it sees what callers see) or behind it (it sees what the service does).
//!
//! # What happens
//!
//! | the script | does |
//! |---|---|
//! | `pending` | is pending for that many polls, and wakes the task at each |
//! | `after` | sleeps on tokio's clock: have it [paused](tokio::time::pause) |
//! | `hang` | is pending for ever, and wakes nobody |
//! | `panic` | unwinds without a word from the panic hook, so that the output of tests stays readable |
//!
//! | what may happen | is |
//! |---|---|
//! | a status and headers | `Reply::status(503).header("retry-after", "1")` |
//! | a gRPC status, in trailers or in the head | `Reply::grpc(14)`, `Reply::ok().header("grpc-status", "14")`: the request must have gRPC's content type |
//! | trailers of any kind | `Reply::ok().data("hello").trailers([("checksum", "7")])` |
//! | a delay of the head, or in the body | `Reply::ok().after(delay)`, `ScriptedBody::from("one").after(delay).data("two")` |
//! | no answer, or a body without an end | `Reply::hang()`, `ScriptedBody::from("half").without_size().hang()` |
//! | an error instead of an answer | `Reply::error("connection refused")` |
//! | a body that is cut, or ends short of its size | `ScriptedBody::from("half").error("reset")`, `ScriptedBody::from("half").promise(8)` |
//! | a panic | `Reply::panic_in_call`, `panic_in_poll`, `panic_in_drop`, [`ScriptedBody::panic`], `panic_in_drop` |
//! | a service that is not ready | [`Script::ready_after`], [`never_ready`](Script::never_ready), [`violation`](Script::fails_ready) |
//!
//! # Clones
//!
//! Clones of a script go on in the same script, clones of a spy write into the same book. A clone of a strict
//! probe is not ready.
//!
//! # Cancellation
//!
//! [`Script::in_flight`] and [`RecordingGuard::in_flight`] go down when a call is over in whatever way: a test that drops
//! something asserts that both are zero.
//!
//! # Example
//!
//! A guard of one's own. Whatever it counts up in `admit` it must count down in `settle`:
//!
//! ```
//! use std::sync::{Arc, atomic::{AtomicUsize, Ordering::Relaxed}};
//! use tower_keep::{Guard, Rejection, call::{End, CallClock}, guard::Admit, testing::contract};
//!
//! /// Lets a few calls in at once.
//! #[derive(Clone)]
//! struct AtMost { most: usize, inside: Arc<AtomicUsize> }
//!
//! impl Guard for AtMost {
//!     type Permit = ();
//!     fn settle(&self, _: (), _: &End<'_>) {
//!         self.inside.fetch_sub(1, Relaxed);
//!     }
//! }
//! impl<Req> Admit<Req> for AtMost {
//!     fn admit(&self, _: &mut Req, _: &CallClock) -> Result<(), Rejection> {
//!         if self.inside.fetch_add(1, Relaxed) < self.most {
//!             return Ok(());
//!         }
//!         self.inside.fetch_sub(1, Relaxed);
//!         Err(Rejection::overloaded("at_most"))
//!     }
//! }
//!
//! // One for all runs, so that whatever leaks in one of them is missed in the next.
//! let at_most = AtMost { most: 2, inside: Arc::default() };
//! contract::guard(|| at_most.clone());
//! assert_eq!(at_most.inside.load(Relaxed), 0);
//! ```
//!
//! # Everything that may happen
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
//!     let (spy, script): (_, Script) = (RecordingGuard::new(), Script::new([reply]));
//!     let service = GuardLayer::server(spy.clone()).layer(script);
//!     let call = async {
//!         let response = service.oneshot(http::Request::new(ScriptedBody::new())).await?;
//!         response.into_body().collect().await
//!     };
//!     let _ = tokio::time::timeout(10 * second, call).await;
//!     assert_eq!(spy.single().outcome, outcome);
//! }
//! # }
//! ```
//!
//! # Example by hand
//!
//! ```
//! use std::task::Poll;
//! use http::Request;
//! use tower::Layer;
//! use tower_keep::{GuardLayer, Outcome, testing::{Reply, Script, ScriptedBody, RecordingGuard, CountingWaker}};
//!
//! let (spy, wakes) = (RecordingGuard::new(), CountingWaker::new());
//! let script: Script = Script::new([Reply::ok().data("hel").data("lo")]);
//! let mut service = GuardLayer::server(spy.clone()).layer(script.clone());
//!
//! let mut call = wakes.call(&mut service, Request::new(ScriptedBody::new()));
//! let Poll::Ready(Ok(response)) = wakes.poll(call.as_mut()) else { panic!("no answer") };
//!
//! // The client goes away in the middle of the body.
//! let mut body = Box::pin(response.into_body());
//! assert!(wakes.poll_frame(body.as_mut()).is_ready());
//! drop(body);
//! assert_eq!(spy.single().outcome, Outcome::Cancelled);
//! assert_eq!(spy.single().response_bytes, 3);
//! assert_eq!((spy.in_flight(), script.in_flight()), (0, 0));
//! ```

mod body;
pub mod contract;
mod counters;
mod counting_waker;
mod ready_checked;
mod recording_guard;
mod reply;
mod script;

pub use body::ScriptedBody;
pub use counting_waker::{CountingWaker, PolledFrame};
pub use ready_checked::ReadyChecked;
pub use recording_guard::{RecordedEnd, RecordedHead, RecordingGuard, RecordingPermit};
pub use reply::Reply;
pub use script::{Script, ScriptFuture};
