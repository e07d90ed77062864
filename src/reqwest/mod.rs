//! reqwest's client under the layers of this crate, with reqwest's own requests and responses.
//!
//! Use it where the program has a `reqwest::Client`. [`service`] makes it the innermost service of a stack, like
//! hyper-util's client; [`LayeredClient`] around the stack takes a `RequestBuilder`, and returns a `reqwest::Response`.
//!
//! Place in the stack: [`service`] innermost, [`LayeredClient`] outermost.
//!
//! # What happens
//!
//! | reqwest's | in a stack |
//! |---|---|
//! | `RequestBuilder`: `.query()`, `.json()`, `.header()`, `.version()` | as without. What it cannot build is an error of [`send`](LayeredClient::send), and no layer sees it |
//! | default headers, cookies, proxies | those of the client in [`service`], whichever client began the request |
//! | redirects | are followed inside of one attempt: layers see the last response, and `url()` is where it came from. A body that is streamed, or longer than 64 KiB and wrapped by a layer, is not sent to another address: the caller gets the 307 or 308 |
//! | `.timeout()` of a request, `timeout` of the client | ends one attempt, its body included, and counts as a time limit of this process: retries repeat it. For a limit of the whole call use a [`TimeoutLayer`](crate::timeout::TimeoutLayer) |
//! | `reqwest::Error` | is found in the error: `call::find::<reqwest::Error>(&*error)`, for `is_connect()`, `is_timeout()`, `is_builder()` |
//! | `url()` of the response | is kept; that of a response which a fallback made is the URL of the request |
//! | `extensions()` of the response | has in addition what layers say: the last [`Attempt`](crate::retry::Attempt), the [`FallbackInfo`](crate::fallback::FallbackInfo) |
//! | retries of reqwest itself | go on inside of one attempt. By default it only repeats requests that a peer refused over HTTP/2; switch them off by `ClientBuilder::retry` |
//!
//! [`retry_unsent`](crate::retry::RetryLayer::retry_unsent) trusts that the service sends one request. A client that follows
//! redirects may send several: a `POST` that was answered by 303 is done, even if the next address refuses its connection.
//! Use it with a client that follows none (`redirect::Policy::none()`), or for peers that do not redirect.
//!
//! `reqwest::Client` itself does not fit under a layer for HTTP: its requests are reqwest's. The compiler then says that
//! `Service<http::Request<_>>` is not implemented for `reqwest::Client`; put it into [`service`].
//!
//! # Errors in logs
//!
//! reqwest's errors contain the URL of the request. They are logged, and are part of error groups, so [`service`] takes
//! user, password, query and fragment out of it: `error.url()` has scheme, host, port and path. The path stays; do not
//! put secrets into it.
//!
//! Not covered are the error of `error_for_status()`, which has the whole URL (`without_url()` takes it out), what a custom
//! redirect policy puts into its own error, and the errors of a client that is called without the service.
//!
//! # Clones
//!
//! Clones share the connections of the client, and the state of the layers.
//!
//! # Cancellation
//!
//! A future that is dropped ends its request, as reqwest's own.
//!
//! # Example
//!
//! ```no_run
//! use tower::ServiceBuilder;
//! use tower_keep::{BoxError, observe, reqwest::{LayeredClient, service}};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//! let http = reqwest::Client::new();
//! let stack = ServiceBuilder::new()
//!     .layer(observe("payments").client())
//!     .service(service(http.clone()));
//! let client = LayeredClient::new(stack);
//!
//! let response = client.send(http.get("http://payments.local/orders").query(&[("page", 1)])).await?;
//! let orders: Vec<String> = response.error_for_status()?.json().await?;
//! # let _ = orders;
//! # Ok(()) }
//! ```
//!
//! # Example, customized
//!
//! Time limits, retries within a budget, and a circuit for each host; in a type that fits into the state of an application:
//!
//! ```
//! use std::time::Duration;
//! use tower::{ServiceBuilder, util::BoxCloneSyncService};
//! use tower_keep::{
//!     BoxError, ConfigError,
//!     breaker::KeyedBreaker,
//!     reqwest::{LayeredClient, into_body, service},
//!     retry::{Retry, RetryLayer},
//!     timeout::{TimeoutLayer, Timeouts},
//! };
//!
//! type Stack = BoxCloneSyncService<http::Request<reqwest::Body>, http::Response<reqwest::Body>, BoxError>;
//!
//! #[derive(Clone)]
//! struct AppState {
//!     http: reqwest::Client,
//!     payments: LayeredClient<Stack>,
//! }
//!
//! fn state(http: reqwest::Client) -> Result<AppState, ConfigError> {
//!     let timeouts = Timeouts::builder("payments").attempt(Duration::from_secs(2)).build()?;
//!     let hosts: KeyedBreaker<String> = KeyedBreaker::new("payments");
//!     let stack = ServiceBuilder::new()
//!         .layer(BoxCloneSyncService::layer())
//!         .map_response(|response: http::Response<_>| response.map(into_body))
//!         .layer(TimeoutLayer::client(timeouts.total()))
//!         .layer(RetryLayer::client(Retry::new("payments")))
//!         .layer(hosts.layer().client())
//!         .layer(TimeoutLayer::client(timeouts.attempt()))
//!         .service(service(http.clone()));
//!     Ok(AppState { http, payments: LayeredClient::new(stack) })
//! }
//! # state(reqwest::Client::new())?;
//! # Ok::<_, ConfigError>(())
//! ```

mod body;
mod client_service;
mod future;
mod layered_client;

pub use body::into_body;
pub use client_service::{ClientService, service};
pub use future::ClientFuture;
pub use layered_client::LayeredClient;
