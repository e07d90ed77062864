//! Another answer where a call fails: a value, what a closure makes of the failure, or another service's.
//!
//! Use it where an old, empty or partial answer is better than none: recommendations, a price from this morning, a
//! second region. Not where the caller must know: a payment that was not made, a write that was lost. And not for
//! another try at the same peer, which is what [`retry`](crate::retry) is for. Count what is served, and alert on it: a
//! fallback that works hides that nothing else does.
//!
//! Place in the stack: on a client, inside of the tracking of the logical call (which then counts a success) and outside
//! of everything that refuses or retries; on a server, right around the handler, or around a layer that sheds load.
//!
//! # What happens
//!
//! | the call | then |
//! |---|---|
//! | succeeds | that is the answer; where a value or a closure stands by, nothing was allocated, locked or timed for it |
//! | ends as [`when`](FallbackBuilder::when) says: `Failure`, `Overload`, `TimedOut`, `Rejected`, a panic that was answered | a closure makes the answer, and then the failed response is dropped; or the failed response is dropped, and then another service is called |
//! | ends by the caller's own fault, or otherwise | its answer or its error is the answer |
//! | panics and unwinds, or fails to become ready | so does the layered service |
//! | has a good head, and a body that fails later | the body fails: what has begun is not taken back |
//!
//! | the fallback | then |
//! |---|---|
//! | answers | that is the answer, marked with [`FallbackInfo`] in its extensions, and in a [header](FallbackBuilder::header) if there is one |
//! | is a closure, or a value's `clone`, and panics | the panic is [counted](crate::hook_panics), and the failure stands |
//! | is a service, and fails or answers with a failure | its error or its answer is the answer: the failed one was let go of |
//! | is a service, and the request [cannot be sent to it](#another-service) | the failure stands |
//! | is a service, and the caller's deadline has passed | it is not begun, and the failure stands |
//! | is a service, and the caller's deadline comes while it answers | it is dropped, and the call ends with an [`Elapsed`](crate::call::Elapsed): an error, or 504 or `DEADLINE_EXCEEDED` from a server and over gRPC |
//!
//! The deadline is the earliest of [`context::deadline`](crate::context::deadline), that of the
//! [`Context`](crate::Context) in the request's extensions, and a gRPC request's `grpc-timeout`, which goes on with what is
//! left of it. Values and closures take no time, and answer after it as well.
//!
//! # Another service
//!
//! Over HTTP, it is sent a request that
//!
//! | was not begun, or may be done twice | with its body | why |
//! |---|---|---|
//! | was refused by a guard of this process: an open circuit, a limit; by tower's load shedding too | of any length, as long as nothing was read of it | it was never sent, so any method will do |
//! | never reached the peer, by what the error proves: see [retries](crate::retry#what-was-never-sent) | likewise | likewise |
//! | is of an idempotent method, or has an `Idempotency-FingerprintInput` that is not empty | if it is not longer than 64 KiB, or nothing was read of it | it may be done twice |
//!
//! and no other. On a server, the first row holds for requests with a body only, and the second for none: a handler that has
//! done half of its work can fail with a [`Rejection`](crate::Rejection), too, and what never reached a peer of its own was
//! begun all the same. Services of any other kind are sent a clone of every request.
//!
//! The request is copied before the call, and a [`ReplayBody`](crate::retry::ReplayBody) made of its body: this costs some
//! allocations for the head, one for a body, and a lock for each of its frames. Once the call has succeeded, nothing is kept
//! of what is still being sent.
//!
//! # Breakers
//!
//! Place them inside. One outside of a fallback sees the fallback's answers, counts them as the peer's, and never opens. The
//! fallback's own service may have one of its own, around it alone.
//!
//! # Metrics
//!
//! | metric | labels |
//! |---|---|
//! | `tower_keep_fallbacks_total` | `fallback`: the name; `outcome`: what it is in place of |
//! | `tower_keep_fallbacks_failed_total` | `fallback`, `reason`: `failed`, `not_ready`, `panicked`, `not_repeatable`, `deadline` |
//!
//! # Clones
//!
//! Clones of a [`Fallback`], of its layers and of their services are one fallback. Another service is cloned for each
//! call that it is asked to answer, and that very clone is polled until it is ready, and called.
//!
//! # Cancellation
//!
//! Dropped while another service answers, a call drops that one's future with it, and counts nothing.
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
//! # Example, customised
//!
//! A client whose calls go to a second region while the circuit to the first one is open, and nowhere else:
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
//! #     let said = format!("{} in the {region}", std::str::from_utf8(&order)?);
//! #     Ok::<_, BoxError>(Response::new(Full::new(Bytes::from(said))))
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
//! // Never sent to the first region, and so sent to the second.
//! let order = Request::post("/orders").body(Full::from("an order"))?;
//! let answer = client.oneshot(order).await?;
//! assert_eq!(answer.headers()["x-served-by"], "second_region");
//! let served: &FallbackInfo = answer.extensions().get().expect("served");
//! assert_eq!(served.outcome(), Outcome::Rejected);
//! assert_eq!(answer.into_body().collect().await?.to_bytes(), "an order in the second");
//! # Ok(()) }
//! ```
//!
//! A server's answer while it is overloaded, in axum: `.layer(FallbackLayer::server(fallback).with(|failed| ..))`, where
//! the closure makes a response of any body: `"all is calm".into_response()` is one. Where gRPC is served as well,
//! [`FailedCall::is_grpc`] tells which answer is understood.

mod alternative;
mod body;
mod classify;
mod failed_call;
mod from_http_service;
mod from_service;
mod future;
mod grpc_message;
mod layer;
mod merge;
mod retained_request;
mod service;
mod settings;
mod until_deadline;

pub use alternative::{Alternative, FromFn, FromValue};
pub use body::FallbackBody;
pub use failed_call::{FailedCall, FallbackInfo};
pub use from_http_service::FromHttpService;
pub use from_service::{FromService, FromServiceFuture};
pub use future::FallbackFuture;
pub use grpc_message::{GrpcMessage, grpc_message};
pub use layer::FallbackLayer;
pub use merge::Merge;
pub use service::FallbackService;
pub use settings::{Fallback, FallbackBuilder};
