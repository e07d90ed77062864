//! Coalescing: identical calls in flight are one call, whose result all of them get.
//!
//! Use it where many ask for the same at once and the answer is the same for all: a price that a thousand pages show, a key that has
//! just left a cache, the configuration that each worker loads at its start. Do not use it for calls that change something, nor where
//! the result belongs to one caller. It keeps nothing once a call is over; for that, see a cache. Other names for it: single flight
//! (Go), request collapsing (Hystrix, Envoy).
//!
//! Place in the stack: on a client outside of the retry, so that a shared call is retried once for all; on a server inside of
//! authentication and rate limits, which are about each caller.
//!
//! # What happens
//!
//! The first call with a key is made; it *leads*. Calls with an equal key that come while it is in flight *join* it and wait.
//!
//! | the shared call | all of its callers get |
//! |---|---|
//! | returns a response | the response: a clone; over HTTP the head is cloned and the bytes of the body are shared |
//! | fails | the error: a [`SharedError`], whose source it is; on servers a clone |
//! | has a body that breaks off | the head, the same bytes, and the error |
//! | panics | the panic goes on in the caller that drove it; the others get 500 or `INTERNAL` on servers, the message as an error on clients. They do not call in their turn, since the next call would most likely panic as well |
//! | has a response that cannot be shared | the response, in one caller; the others make the call for themselves |
//!
//! | a caller | gets |
//! |---|---|
//! | whose deadline passes while it waits | an [`Elapsed`](crate::call::Elapsed): an error, or 504 or `DEADLINE_EXCEEDED` on servers and over gRPC. The call goes on for the others |
//!
//! | a call | is |
//! |---|---|
//! | without a key, or of a handle that is [disabled](Coalesce::disable) | made for itself, as without the layer |
//! | that would be one in flight more than [`max_keys`](CoalesceBuilder::max_keys) | made for itself |
//! | whose key has a call in flight that has reached the [`max_join_age`](CoalesceBuilder::max_join_age) | made anew, and leads from then on. The old one goes on for its callers |
//! | that would be one waiter of that call more than [`max_waiters`](CoalesceBuilder::max_waiters) | rejected as [`Full`](crate::RejectionKind::Full): the peer is what the layer protects |
//! | with a key, whose deadline has passed when it comes | rejected as [`DeadlineExceeded`](crate::RejectionKind::DeadlineExceeded) |
//!
//! # Which requests are identical
//!
//! For plain services and closures: those with equal keys. Over HTTP by default: `GET` and `HEAD` requests without a body whose method,
//! URI and **all headers** are equal, but for the IDs of calls (`traceparent`, `tracestate`, B3, `x-request-id`, `x-correlation-id`,
//! X-Ray's and Google's) and `date`. So requests with another `Authorization`, `Cookie` or `Accept` share nothing, and no caller gets
//! what was meant for another. [`ignore_headers`](CoalesceLayer::ignore_headers) leaves out more; [`keyed_by`](CoalesceLayer::keyed_by)
//! replaces the rule. A head of more than 16 KiB has no key, nor has a request with `Upgrade`.
//!
//! gRPC calls have their message in the body, so a [closure](CoalesceLayer::grpc_client) has to say the key. Only unary calls can be
//! shared.
//!
//! # Bodies
//!
//! A response is handed on when its body has been read to the end, trailers included. One that is longer than
//! [`max_body_bytes`](CoalesceBuilder::max_body_bytes) cannot be shared, nor can an event stream or a response of status 101: where the
//! head says so, nothing is read; otherwise what was read precedes the rest. Bodies without a length that come slowly are handed on
//! late, so give such routes no key.
//!
//! [`max_bytes_in_flight`](CoalesceBuilder::max_bytes_in_flight) bounds the memory of all bodies together. A response that does not
//! fit is handed on as one that is too long: nothing is lost, it goes to one caller, and the others make the call for themselves. A
//! body counts from its first byte, or from the head if that gives its length, until the last of its callers has dropped it; what was
//! read of one that is too long counts until its caller has read it. So callers that read slowly keep bodies counted, and while they
//! fill the bound, no call of the handle is shared: `bytes_in_flight` and `bytes_exceeded` of the [statistics](CoalesceStats) show it,
//! and so does the result `bytes_exceeded` of the metric.
//!
//! # Responses for one caller
//!
//! A response with `Set-Cookie` is not shared: two visitors would have one session. A server may know its callers by more than their
//! headers, such as by a client certificate, so one with the default key does not share a response either that says `private`,
//! `no-store` or `Vary: *`, as RFC 9111 asks of collapsed requests. With [`keyed_by`](CoalesceLayer::keyed_by) the key says whom a
//! response is for.
//!
//! # Reads after writes
//!
//! A read that joins a call gets what that returns, which may have been read before a write that its caller knows of; a cache
//! outside of this layer keeps it. Give no key to reads that must see such a write.
//!
//! # Settings
//!
//! [`Coalesce::apply`] changes all settings while the handle is in use, for calls that come then.
//!
//! # Metrics
//!
//! | metric | labels |
//! |---|---|
//! | `tower_keep_coalesce_calls_total` | `coalesce`: its name; `result`: `led`, `joined`, `alone`, `handed_over`, `rejected`, `timed_out`, `bytes_exceeded` |
//!
//! The [registry](crate::registry) has the kind `coalesce`, with the same counts, the number of shared calls in flight, and the
//! bytes of their bodies.
//!
//! # Clones
//!
//! Clones of a handle, and all layers and services made from it, share the calls in flight, also where a layer is applied again for each
//! connection. Calls of different types never meet; calls of one type do, so use a handle for each peer.
//!
//! # Cancellation
//!
//! A caller that is dropped leaves the others as they are. If it drove the call, the next one drives it on, where it stands: the peer
//! is not called again. Nobody waits in a loop; a call that waits is woken for the result, or to drive. The last caller that is dropped,
//! or whose deadline passes, drops the call. The [`Context`](crate::Context) of the call, with its IDs, is that of the caller that led.
//!
//! A caller that has begun to drive must go on to be polled or be dropped, as with a lock: one that is kept unpolled holds up the
//! others.
//!
//! # Deadlines
//!
//! A shared call belongs to no caller, so it has no deadline of one. Each caller ends at its own
//! [deadline](crate::context::deadline), the leader included, and the call ends with the last of them: it lasts as long as somebody
//! waits for it. A caller that comes late so never fails for the haste of the one that led, and its own haste fails nobody else. Go's
//! `singleflight` is commonly used in the same way, with `context.WithoutCancel` around the work and `DoChan` for each caller; proxies
//! that collapse requests have timeouts of their own for the shared one as well.
//!
//! | inside of a shared call | |
//! |---|---|
//! | deadlines of the callers, and time limits around this layer | are unknown: to [`context::deadline`](crate::context::deadline), to time limits, to retries and hedges |
//! | `grpc-timeout`, and the [header](CoalesceLayer::timeout_header) that is set for other requests | are removed, since the peer would end the call for all at the time of one. It learns from the connection that the last caller has gone |
//! | [time limits](crate::timeout) | bound the call as always, and its body by [`body_total`](crate::timeout::TimeoutLayer::body_total) or [`body_idle`](crate::timeout::TimeoutLayer::body_idle), and are sent to the peer by [option](crate::timeout::TimeoutLayer::send_limit) |
//! | a [`RequestLimit`](crate::timeout::RequestLimit) | is that of the request that led. Make it a part of the key if requests have several |
//!
//! So put time limits inside of this layer, over HTTP one for the body as well: without them, a call whose peer hangs lasts until the
//! deadline of the last caller that has joined it, or forever if one has none. A call that is made for itself
//! keeps its deadline; a response that is handed to one caller since it cannot be shared has the time limits of the shared call.
//!
//! Callers that have to wait until a deadline panic outside of a tokio runtime that has a timer.
//!
//! # Calls that take long
//!
//! A call that has been in flight for [`max_join_age`](CoalesceBuilder::max_join_age), by default 5 s, is not joined any more: it may be
//! the one that hangs, on a connection or an instance of the peer that is gone, and what it has read grows older. The next caller leads
//! another one, which later ones join; those that wait stay with theirs. So a key has one call more in flight for each such time that a
//! call takes, and not one for each caller. nginx has the same as `proxy_cache_lock_age`, with the same default; Go's `singleflight`
//! leaves it to its users, who call `Forget`.
//!
//! Set it to more than what your slowest calls take that are worth to be waited for, such as reports, or to `None`. The age counts from
//! the beginning of the call, retries and the reading of its body included.
//!
//! # Priorities
//!
//! A shared call has the [priority](crate::priority) of the caller that led it, whoever drives it on, and however important those are that
//! join: that of its context, or that of the [prioritizer](crate::Prioritizer) around this layer. One that drives a call on has it polled
//! with that priority, not with its own. So put a prioritizer outside of this layer, where it decides about each caller; one
//! inside decides once for all of them.
//!
//! # Example
//!
//! ```
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_keep::coalesce::{Coalesce, CoalesceLayer};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
//! let coalesce = Coalesce::new("quotes");
//! let quotes = service_fn(async |id: u32| {
//!     tokio::task::yield_now().await;
//!     Ok::<_, std::io::Error>(id * 2)
//! });
//! let quotes = CoalesceLayer::any(coalesce.clone(), |id: &u32| Some(*id)).layer(quotes);
//! let (one, same, other) = tokio::join!(quotes.clone().oneshot(7), quotes.clone().oneshot(7), quotes.oneshot(8));
//! assert_eq!((one?, same?, other?), (14, 14, 16));
//! assert_eq!((coalesce.stats().led, coalesce.stats().joined), (2, 1));
//! # Ok(()) }
//! ```
//!
//! # Customized
//!
//! A client whose retries, breaker and time limits work for all callers at once:
//!
//! ```
//! use std::time::Duration;
//! use tower::ServiceBuilder;
//! use tower_keep::{CircuitBreaker, Retry, coalesce::{Coalesce, CoalesceLayer}, retry::RetryLayer, timeout::TimeoutLayer};
//!
//! let coalesce = Coalesce::builder("prices").max_waiters(1_000).max_body_bytes(64 * 1024).build()?;
//! let stack = ServiceBuilder::new()
//!     .layer(CoalesceLayer::client(coalesce))
//!     .layer(RetryLayer::client(Retry::new("prices")))
//!     .layer(CircuitBreaker::new("prices").layer().client())
//!     .layer(TimeoutLayer::client(Duration::from_secs(2)).body_total(Duration::from_secs(5)));
//! # let _ = stack;
//! # Ok::<_, tower_keep::ConfigError>(())
//! ```
//!
//! Around a [pipeline](crate::pipeline), which has no keys: `coalesce.run(id, async move { pipeline.run(..).await })`.

mod body;
mod body_buffer;
mod builder;
mod caller_deadline;
mod common_request;
mod flight;
mod flight_table;
mod future;
mod handle;
mod http_share;
mod inspect;
mod key_source;
mod layer;
mod metrics;
mod operator_settings;
mod reserved_bytes;
mod run;
mod seat;
mod service;
mod settings;
mod share;
mod share_rules;
mod shared;
mod shared_bytes;
mod shared_error;
mod shared_response;
mod stats;
mod wrap_body;

pub use body::CoalescedBody;
pub use builder::CoalesceBuilder;
pub use future::CoalesceFuture;
pub use handle::Coalesce;
pub use key_source::{HeadKey, KeyFn, WholeHead};
pub use layer::CoalesceLayer;
pub use run::CoalesceRun;
pub use service::CoalesceService;
pub use settings::CoalesceSettings;
pub use shared_error::SharedError;
pub use stats::CoalesceStats;

#[cfg(feature = "cache")]
pub(crate) use {
    body_buffer::BodyBuffer,
    key_source::KeySource,
    shared_bytes::{SharedBytes, SharedCursor},
};
