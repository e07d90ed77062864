//! Another answer where a call fails: a value, what a closure makes of the failure, or another service's.
//!
//! Use it where an old, empty or partial answer is better than none: recommendations, a price from this morning, a
//! second region. Not where the caller must know: a payment that was not made, a write that was lost. And not for
//! another try at the same peer, which is what [`retry`](crate::retry) is for. Count what is served, and alert on it: a
//! fallback that works hides that nothing else does.
//!
//! Place in the stack: on a client, inside of the tracking of the logical call (which then counts a success) and outside
//! of everything that refuses or retries; on a server, right round the handler, or round a layer that sheds load.
//!
//! # What happens
//!
//! | the call | then |
//! |---|---|
//! | succeeds | that is the answer; nothing was allocated, locked or timed |
//! | ends as [`when`](FallbackBuilder::when) says: `Failure`, `Overload`, `TimedOut`, `Rejected`, a panic that was answered | a closure makes the answer, and then the failed response is dropped; or the failed response is dropped, and then another service is called |
//! | ends by the caller's own fault, or otherwise | its answer or its error is the answer |
//! | panics and unwinds, or fails to become ready | so does the layered service |
//! | has a good head, and a body that fails later | the body fails: what has begun is not taken back |
//!
//! | the fallback | then |
//! |---|---|
//! | answers | that is the answer, marked with [`Served`] in its extensions, and in a [header](FallbackBuilder::header) if there is one |
//! | is a service, and fails or answers with a failure | its error or its answer is the answer: the failed one was let go of |
//! | is a closure, or a value's `clone`, and panics | the panic is [counted](crate::hook_panics), and the failure stands |
//! | is a service, and the request cannot be sent twice | the failure stands |
//!
//! | metric | labels |
//! |---|---|
//! | `tower_keep_fallbacks_total` | `fallback`: the name; `outcome`: what it is in place of |
//! | `tower_keep_fallbacks_failed_total` | `fallback`, `reason`: `failed`, `not_ready`, `panicked`, `not_repeatable` |
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
//!     .layer(FallbackLayer::any(Fallback::named("recommendations")).value(Vec::new()))
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
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_keep::{
//!     BoxError, CircuitBreaker, Outcome,
//!     fallback::{Fallback, FallbackLayer, Served},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//! # let client = |region: &'static str| service_fn(move |_: Request<Full<Bytes>>| async move {
//! #     Ok::<_, BoxError>(Response::new(Full::new(Bytes::from(region))))
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
//! let answer = client.oneshot(Request::new(Full::default())).await?;
//! assert_eq!(answer.headers()["x-served-by"], "second_region");
//! let served: &Served = answer.extensions().get().expect("served");
//! assert_eq!(served.outcome(), Outcome::Rejected);
//! # Ok(()) }
//! ```
//!
//! A server's answer while it is overloaded, in axum: `.layer(FallbackLayer::server(fallback).with(|failed| ..))`, where
//! the closure makes a response of any body: `"all is calm".into_response()` is one. Where gRPC is served as well,
//! [`Failed::is_grpc`] tells which answer is understood.

mod body;
mod failed;
mod future;
mod judge;
mod layer;
mod message;
mod service;
mod settings;
mod source;

pub use body::FallbackBody;
pub use failed::{Failed, Served};
pub use future::FallbackFuture;
pub use judge::{AtHead, Join, Judge, Read};
pub use layer::FallbackLayer;
pub use message::{GrpcMessage, grpc_message};
pub use service::WithFallback;
pub use settings::{Fallback, FallbackBuilder};
pub use source::{Other, OtherFuture, OtherHttp, Source, Value, With};
