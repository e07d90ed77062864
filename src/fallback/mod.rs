//! Responses in place of failed calls: a value, what a closure makes of the failure, or another service's response.
//!
//! Use it if an old, empty or partial response is better than none: recommendations, this morning's price, a second region.
//! Do not use it where the caller must know of the failure: a payment that was not made, a write that was lost. Nor for
//! another attempt at the same peer, which is what [`retry`](crate::retry) is for. Alert on the number of served fallbacks: a
//! working fallback hides that everything else fails.
//!
//! For code that is no service, see the fallbacks of a [pipeline](crate::pipeline#fallbacks).
//!
//! Place in the stack: on a client, inside of the tracking of the logical call (which then counts a success) and outside of
//! everything that rejects or retries; on a server, right around the handler, or around a layer that sheds load.
//!
//! # What happens
//!
//! | the call | then |
//! |---|---|
//! | succeeds | its response is returned; with a value or a closure, nothing was allocated, locked or timed for it |
//! | fails in a way that [`when`](FallbackBuilder::when) chooses: `Failure`, `Overload`, `TimedOut`, `Rejected`, a caught panic | a closure produces the response, then the failed one is dropped; or the failed response is dropped, then another service is called |
//! | ends with the caller's error, or otherwise | its response or its error is returned |
//! | panics and unwinds, or fails to become ready | so does the layered service |
//! | has a good head, and a body that fails later | the body fails: a response that has begun is not taken back |
//!
//! | the fallback | then |
//! |---|---|
//! | responds | its response is returned, marked with [`FallbackInfo`] in its extensions, and in a [header](FallbackBuilder::header) if there is one |
//! | is a closure, or a value's `clone`, and panics | the panic is [counted](crate::hook_panics), and the call keeps its failure |
//! | is a service that fails or responds with a failure | its error or response is returned, since the failed one was dropped |
//! | is a service, and the request [cannot be sent to it](#another-service) | the call keeps its failure |
//! | is a service, and the caller's deadline has passed | it is not called, and the call keeps its failure |
//! | is a service, and the caller's deadline passes before it responds | it is dropped, and the call ends with an [`Elapsed`](crate::call::Elapsed): an error, or 504 or `DEADLINE_EXCEEDED` from a server and over gRPC |
//!
//! The deadline is the earliest of [`context::deadline`](crate::context::deadline), that of the
//! [`Context`](crate::Context) in the request's extensions, and a gRPC request's `grpc-timeout`, which is sent on with the
//! time left. Values and closures take no time, and respond after it as well.
//!
//! # Another service
//!
//! Over HTTP, the fallback service is sent a request that
//!
//! | was not begun, or may be repeated | with its body | because |
//! |---|---|---|
//! | was rejected by a guard of this process (an open circuit, a limit) or by tower's load shedding | of any length, if nothing was read of it | it was never sent, so any method is safe |
//! | was not sent to the peer, as the error proves: see [retries](crate::retry#what-was-never-sent) | likewise | likewise |
//! | has an idempotent method, or an `Idempotency-Key` that is not empty | of at most 64 KiB, or if nothing was read of it | it may be repeated |
//!
//! and no other. On a server, the first row only applies to requests with a body, and the second to none: a handler that has
//! done half of its work can fail with a [`Rejection`](crate::Rejection), too, or because a request of its own was not sent.
//! Services of any other kind are sent a clone of every request.
//!
//! The request is copied before the call, with a [`ReplayBody`](crate::retry::ReplayBody) in place of its body. This costs
//! some allocations for the head, one for a body, and a lock for each of its frames. Once the call has succeeded, nothing is
//! retained of what is still being sent.
//!
//! # Breakers
//!
//! Place them inside. A breaker outside of a fallback counts the fallback's responses as the peer's, and never opens. The
//! fallback service may have a breaker of its own.
//!
//! # Metrics
//!
//! | metric | labels |
//! |---|---|
//! | `tower_keep_fallbacks_total` | `fallback`: the name; `outcome`: that of the failed call |
//! | `tower_keep_fallbacks_failed_total` | `fallback`, `reason`: `failed`, `not_ready`, `panicked`, `not_repeatable`, `deadline` |
//!
//! Each is an event of the target `tower_keep::fallback` at `DEBUG`, too.
//!
//! # Clones
//!
//! Clones of a [`Fallback`], of its layers and of their services are one fallback. A fallback service is cloned for each call
//! that it responds to; that clone is polled until it is ready, and called.
//!
//! # Cancellation
//!
//! A call that is dropped while another service responds drops that service's future with it, and counts nothing.
//!
//! # Example
//!
//! ```
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_keep::{BoxError, fallback::{Fallback, FallbackLayer}};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//! let service = ServiceBuilder::new()
//!     .layer(FallbackLayer::any(Fallback::new("recommendations")).value(Vec::new()))
//!     .service(service_fn(|_user: u32| async {
//!         Err::<Vec<String>, _>(std::io::Error::other("reset"))
//!     }));
//! assert!(service.oneshot(7).await?.is_empty());
//! # Ok(()) }
//! ```
//!
//! # Example, customized
//!
//! A client whose calls go to a second region while the circuit to the first one is open, and only then:
//!
//! ```
//! use bytes::Bytes;
//! use http::{HeaderName, Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_keep::{
//!     BoxError, CircuitBreaker, Outcome,
//!     fallback::{Fallback, FallbackLayer, FallbackInfo},
//!     retry::ReplayBody,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//! # let client = |region: &'static str| service_fn(move |request: Request<ReplayBody<Full<Bytes>>>| async move {
//! #     let order = request.into_body().collect().await?.to_bytes();
//! #     let response = format!("{} in the {region}", std::str::from_utf8(&order)?);
//! #     Ok::<_, BoxError>(Response::new(Full::new(Bytes::from(response))))
//! # });
//! # let (first_region, second_region) = (client("first"), client("second"));
//! let breaker = CircuitBreaker::builder("first_region").build()?;
//! let fallback = Fallback::builder("second_region")
//!     .when(|failed| failed.outcome() == Outcome::Rejected)
//!     .header(HeaderName::from_static("x-served-by"))
//!     .build()?;
//! let client = ServiceBuilder::new()
//!     .layer(FallbackLayer::client(fallback).service(second_region))
//!     .layer(breaker.layer().client())
//!     .service(first_region);
//!
//! breaker.force_open();
//! // The first region never saw the order, so the second one gets it.
//! let order = Request::post("/orders").body(Full::from("an order"))?;
//! let response = client.oneshot(order).await?;
//! assert_eq!(response.headers()["x-served-by"], "second_region");
//! let info: &FallbackInfo = response.extensions().get().expect("a fallback responded");
//! assert_eq!(info.outcome(), Outcome::Rejected);
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "an order in the second");
//! # Ok(()) }
//! ```
//!
//! A server that responds while it is overloaded, in axum: `.layer(FallbackLayer::server(fallback).with(|failed| ..))`,
//! where the closure returns a response with any body, such as `"back soon".into_response()`. If the server speaks gRPC as
//! well, [`FailedCall::is_grpc`] tells which response the caller expects.

mod alternative;
mod body;
mod builder;
mod classify;
mod error;
mod failed_call;
mod from_fn;
mod from_http_service;
mod from_service;
mod from_service_future;
mod from_value;
mod future;
mod grpc_message;
mod handle;
mod info;
mod inspect;
mod layer;
mod layer_error;
mod layer_shared;
mod merge;
mod metrics;
mod produced;
mod retained_request;
mod service;
mod shared;
mod until_deadline;
mod wrap_body;

pub use body::FallbackBody;
pub use builder::FallbackBuilder;
pub(crate) use error::FallbackError;
pub use failed_call::FailedCall;
pub use from_fn::FromFn;
pub use from_http_service::FromHttpService;
pub use from_service::FromService;
pub use from_value::FromValue;
pub use future::FallbackFuture;
pub use grpc_message::{GrpcMessage, grpc_message};
pub use handle::Fallback;
pub use info::FallbackInfo;
pub use layer::FallbackLayer;
pub(crate) use produced::remaining_deadline;
pub use service::FallbackService;
pub(crate) use shared::is_failure_by_default;
pub(crate) use until_deadline::{DeadlineElapsed, UntilDeadline};
