//! Tower layers that make any service observable and hard to bring down.
//!
//! [`observe`](observe()) is the way in: one layer that correlates, tracks, times and logs every call, groups its
//! errors and records its panics; a server answers them.
//!
//! ```
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_keep::{Context, observe};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
//! let service = ServiceBuilder::new()
//!     .layer(observe("greeter").any())
//!     .service(service_fn(|name: String| async move {
//!         assert!(Context::current().is_some());
//!         Ok::<_, std::io::Error>(format!("hello {name}"))
//!     }));
//! assert_eq!(service.oneshot("you".to_owned()).await?, "hello you");
//! # Ok(()) }
//! ```
//!
//! # What is here
//!
//! | module | what |
//! |---|---|
//! | [`context`] | request and correlation IDs, trace context (W3C, B3, X-Ray), baggage, and sending them on |
//! | [`track`] | in flight, spans, times, metrics, the access log |
//! | [`errors`] | error groups |
//! | [`operation`](mod@operation) | the same for code that is no service |
//! | [`retry`] | another attempt after a failure, within a budget |
//! | [`breaker`](mod@breaker) | circuit breakers |
//! | [`timeout`] | time limits and deadlines |
//! | [`fallback`] | another answer where a call fails |
//! | [`registry`] | state and figures of every breaker, retry, fallback and time limit of the process |
//! | [`guard`] | guards, and the one service that serves them all |
//! | [`protocol`] | how calls are read, judged and refused: any, server, client, gRPC client |
//! | [`call`] | shared types: outcome and evidence, rejections, the end of a call |
//!
//! # Which order layers go in
//!
//! Outermost first.
//!
//! * On a server: context, tracking, [deadline](timeout::Deadline), then whatever refuses, the time limit, the service.
//! * On a client: tracking of the logical call, fallback, total time limit, retry, breaker, tracking of the attempt and
//!   context out, the attempt's time limit, transport.
//!
//! In axum, `Router::layer` puts the *last* call outermost. One [`GuardLayer`] over a tuple of guards is cheaper than a
//! layer each, and its later guards speak in the context of the earlier.
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | adds |
//! |---|---|
//! | `axum` | `MatchedPath` as the route label, the [`Context`] extractor, `RouteLayer::matched_path`, `IntoResponse` for `Rejection`; uploads of axum's body type are watched |
//! | `tonic` | a `tonic::Status` is judged by its code wherever it is an error, also by [`CircuitBreaker::call`] and [`Retry::run`]; its hints are read; it is in error records. `GrpcMethod` is the client's method label |
//! | `hyper` | retries and breakers know by hyper's errors which requests were never sent, and whose fault an error is; uploads of hyper's own body type are watched inside of a `RequestBodyLayer` |
//! | `tower` | tower's own timeouts are told from failures, its load shedding is a refusal of this process |
//! | `logging` | one call to set up `tracing`, and the layer to build one's own subscriber with |
//! | `serde` | `Serialize` for error groups and guards |
//! | `testing` | a strict probe, scripted services and bodies, the contract that layers sign |
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod breaker;
pub mod call;
pub mod context;
pub mod errors;
pub mod fallback;
pub mod guard;
#[cfg(feature = "logging")]
pub mod logging;
mod observe;
pub mod operation;
pub mod protocol;
pub mod registry;
pub mod retry;
mod retry_after;
#[cfg(feature = "testing")]
pub mod testing;
pub mod timeout;
pub mod track;
mod util;

#[doc(inline)]
pub use breaker::{CallError, CircuitBreaker, breaker};
#[doc(inline)]
pub use call::{BoxError, ConfigError, Outcome, Rejection, RejectionKind, hook_panics};
#[doc(inline)]
pub use context::Context;
#[doc(inline)]
pub use errors::ErrorTracker;
#[doc(inline)]
pub use fallback::FallbackLayer;
#[doc(inline)]
pub use guard::{Guard, GuardLayer, Guarded};
#[doc(inline)]
pub use observe::{Observe, observe};
#[doc(inline)]
pub use operation::operation;
#[doc(inline)]
pub use retry::Retry;
#[doc(inline)]
pub use track::Track;

/// The snippets of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
