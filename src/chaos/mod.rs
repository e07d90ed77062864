//! Injects faults into calls on purpose: errors, responses, latency, hangs, panics, and bodies that break off or come slowly.
//!
//! Use it to test what guards against faults, and to rehearse an outage where the service runs: [how to do that
//! safely](crate::guide::game_day). It is off until it is switched on, and a call costs one atomic load until then. It is no
//! load test, and injects nothing into the network: what a service does of itself, beside the calls that pass the layer, has no
//! faults.
//!
//! Place in the stack: the innermost layer of a client, right around the transport, so that everything around it sees what it
//! would see of a real fault; on a server right around the handler.
//!
//! # What happens
//!
//! Each call draws whether it is late, what comes in the service's place, and what becomes of its body.
//!
//! | setting | what happens | what layers around it learn |
//! |---|---|---|
//! | [`latency_rate`](ChaosBuilder::latency_rate) | the service is called, and its response is held back for the [time](ChaosBuilder::latency), or the [range](ChaosBuilder::latency_range); a fault in the service's place as well | that the peer is slow: time limits elapse |
//! | [`error_rate`](ChaosBuilder::error_rate) | the service is not called. Clients get an [`InjectedFault`], or [what a closure makes of it](ChaosLayer::error_with); a gRPC client with the feature `tonic` a status `UNAVAILABLE`; callers of a server 500 or `INTERNAL` | a failure, unhealthy |
//! | [`response_rate`](ChaosBuilder::response_rate) | the service is not called; a response has the [status](ChaosBuilder::status) or the [gRPC code](ChaosBuilder::grpc_code). A plain service, which has neither, fails as by `error_rate` | what the status means |
//! | [`hang_rate`](ChaosBuilder::hang_rate) | the service is not called, and nothing comes | that their time limit elapsed while the peer had the request |
//! | [`panic_rate`](ChaosBuilder::panic_rate) | the service is not called, and the call panics | a panic |
//! | [`cut_rate`](ChaosBuilder::cut_rate) | the body of the response fails after [so many bytes](ChaosBuilder::cut_after); HTTP and gRPC | a failure, unhealthy |
//! | [`slow_rate`](ChaosBuilder::slow_rate) | the body of the response comes at a [speed](ChaosBuilder::slow_speed); HTTP and gRPC | that the peer is slow |
//!
//! All of it is classified as the real fault would be: breakers open, retries repeat, fallbacks respond. The cause that logs and
//! error groups show names the chaos: `fault injected by chaos "payments": error`.
//!
//! # Which calls
//!
//! * The rates are fractions of the calls that match. The faults in the service's place share the calls between them.
//! * `only` leaves all requests alone but those that a closure chooses.
//! * With [`request_header`](ChaosLayer::request_header) a caller may ask for the faults of its own request.
//! * With a [seed](ChaosBuilder::seed) the same calls in the same order get the same faults, from each time that the chaos is
//!   switched on. Numbers are drawn for each call that matches, whatever the rates are: a higher rate adds faults to those of a
//!   lower one.
//! * At most [`max_delayed`](ChaosBuilder::max_delayed) calls are delayed at once. What does not fit is skipped, and counted.
//!
//! # Switching
//!
//! [`Chaos::enable_for`] switches it on for a time, [`Chaos::enable`] for good, [`Chaos::disable`] off. Operators who may
//! [control guards](crate::registry::act) override that, in the [console](crate::guide::operations) for a limited time. When it is
//! off, the outage is over at once: late responses and slow bodies come, and calls that hang fail. What it injects can be
//! [changed](Chaos::apply) at any time.
//!
//! The [registry](crate::registry) has it as `chaos`, in the state `on` or `off`, with its rates and counts.
//! [`registry::subscribe`](crate::registry::subscribe) reports each switch.
//!
//! # Metrics
//!
//! | metric | labels |
//! |---|---|
//! | `tower_keep_chaos_faults_total` | `chaos`: its name, `fault`: a [`FaultKind`] |
//! | `tower_keep_chaos_skipped_total` | `chaos` |
//! | `tower_keep_chaos_enabled` | `chaos`; 1 while it is on |
//!
//! # Clones
//!
//! Layers, services and their clones share a [`Chaos`]. One chaos may be in several layers: they share its sequence of faults.
//!
//! # Cancellation
//!
//! A call that is dropped while it is delayed frees all that it had, and so does its body.
//!
//! # Example
//!
//! ```
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_keep::{BoxError, chaos::{Chaos, ChaosLayer}};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), BoxError> {
//! let chaos = Chaos::builder("payments").error_rate(1.0).build()?;
//! let service = ServiceBuilder::new()
//!     .layer(ChaosLayer::any(&chaos))
//!     .service(service_fn(async |order: u32| Ok::<_, BoxError>(order)));
//! assert_eq!(service.clone().oneshot(7).await?, 7);
//!
//! chaos.enable();
//! assert!(service.oneshot(7).await.is_err());
//! # Ok(()) }
//! ```
//!
//! # Example, customized
//!
//! A test that a stack gets through a bad day, with the same faults each time:
//!
//! ```
//! use std::time::Duration;
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_keep::{
//!     BoxError, Retry, chaos::{Chaos, ChaosLayer, FaultKind}, retry::{ReplayBody, RetryLayer}, timeout::TimeoutLayer,
//! };
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), BoxError> {
//! let chaos = Chaos::builder("payments")
//!     .response_rate(0.1)
//!     .hang_rate(0.1)
//!     .latency_rate(0.5)
//!     .latency_range(Duration::from_millis(10)..=Duration::from_millis(200))
//!     .seed(7)
//!     .build()?;
//! let client = ServiceBuilder::new()
//!     .layer(RetryLayer::client(Retry::new("payments")))
//!     .layer(TimeoutLayer::client(Duration::from_secs(1)))
//!     .layer(ChaosLayer::client(&chaos).only(|head| head.uri.path() != "/healthz"))
//!     .service(service_fn(async |_: Request<ReplayBody<String>>| Ok::<_, BoxError>(Response::new("paid".to_owned()))));
//!
//! chaos.enable_for(Duration::from_secs(600));
//! for _ in 0..20 {
//!     let response = client.clone().oneshot(Request::new(String::new())).await?;
//!     assert_eq!(response.status(), 200);
//! }
//! assert!(chaos.injected_count(FaultKind::Hang) > 0);
//! # Ok(()) }
//! ```

mod body;
mod body_injection;
mod builder;
mod config;
mod delayed_call;
mod draw;
mod fault_kind;
mod future;
mod handle;
mod injected_fault;
mod injection;
mod inspect;
mod layer;
mod metrics;
mod plan;
mod request_match;
mod requested;
mod run;
mod service;
mod settings;
mod shared;
mod switch_word;
mod wait;

pub use body::ChaosBody;
pub use builder::ChaosBuilder;
pub use fault_kind::FaultKind;
pub use future::ChaosFuture;
pub use handle::Chaos;
pub use injected_fault::InjectedFault;
pub use layer::ChaosLayer;
pub use request_match::{AllRequests, HttpRequests, RequestsIf};
pub use run::ChaosRunFuture;
pub use service::ChaosService;
pub use settings::ChaosSettings;
