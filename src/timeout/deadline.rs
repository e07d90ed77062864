use std::{sync::Arc, time::Duration};

use http::{HeaderName, Request};
use tokio::time::Instant;

use super::{TimeLimit, header::parse_millis};
use crate::{
    call::{CallClock, CallEnd, ConfigError, Label, Rejection},
    context::{Context, ContextScope},
    guard::{Admit, Guard},
    protocol::{WireFormat, parse_grpc_timeout},
};

/// The guard that knows until when the caller waits: reads the time that came with a request, keeps the deadline in
/// the call's [`Context`], and refuses work whose time is up already.
///
/// Ends nothing by itself. Everything further in knows the deadline: [timeouts](super::TimeoutLayer) give up at it, clients send on what
/// is left of it, [retries](crate::retry) do not wait beyond it, handlers ask [`context::deadline`].
///
/// Reads `grpc-timeout` of gRPC requests, and of others the [header](DeadlineBuilder::timeout_header) that it is told to.
/// What cannot be read is no deadline. Place it inside of [`Correlate`](crate::context::Correlate), whose context it
/// adds to. Where there is none, a request with a deadline begins one.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::{GuardLayer, Track, context::Correlate, timeout::{Deadline, TimeoutLayer}};
///
/// let deadline = Deadline::builder().max(Duration::from_secs(30)).build()?;
/// let guards = (Correlate::default(), (Track::new("orders"), deadline));
/// let layers = tower::ServiceBuilder::new()
///     .layer(GuardLayer::server(guards))
///     .layer(TimeoutLayer::server(Duration::from_secs(30)));
/// # let _ = layers;
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
///
/// Between services that speak plain HTTP, the client [says](super::TimeoutLayer::timeout_header) in a header what the next hop's
/// guard [reads](DeadlineBuilder::timeout_header):
///
/// ```
/// use std::time::Duration;
/// use http::HeaderName;
/// use tower_keep::timeout::{Deadline, TimeoutLayer};
///
/// const LEFT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
///
/// let client_of_one = TimeoutLayer::client(Duration::from_secs(10)).timeout_header(LEFT);
/// let server_of_the_next = Deadline::builder().timeout_header(LEFT).build()?;
/// # let _ = (client_of_one, server_of_the_next);
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
///
/// [`context::deadline`]: crate::context::deadline
#[derive(Clone, Debug)]
pub struct Deadline(Arc<DeadlineConfig>);

#[derive(Debug)]
struct DeadlineConfig {
    limit: TimeLimit,
    timeout_header: Option<HeaderName>,
}

/// Settings of a [`Deadline`].
#[derive(Clone, Debug)]
pub struct DeadlineBuilder {
    name: Label,
    max: Duration,
    timeout_header: Option<HeaderName>,
}

impl Default for Deadline {
    /// Believes every caller: a deadline is only what the caller has asked for.
    fn default() -> Self {
        Deadline::builder().build_unchecked()
    }
}

impl Deadline {
    /// Settings to start from.
    pub fn builder() -> DeadlineBuilder {
        DeadlineBuilder {
            name: "deadline".into(),
            max: Duration::MAX,
            timeout_header: None,
        }
    }

    /// The maximum, to be changed or looked at.
    pub fn limit(&self) -> &TimeLimit {
        &self.0.limit
    }
}

impl DeadlineBuilder {
    /// What metrics and refusals call it. Default: `deadline`.
    #[must_use]
    pub fn name(mut self, name: impl Into<Label>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the latest deadline of any call, from its admission on, also for callers that do not say how long they wait.
    /// Must not be zero. Default: no such limit.
    ///
    /// The guard refuses what comes too late and notes the deadline; it ends nothing that has begun. Time limits inside
    /// of it give up at the deadline, bodies included, and streams of events end with it: add a
    /// [`TimeoutLayer::server`](super::TimeoutLayer::server), as the example of [`Deadline`] does.
    #[must_use]
    pub fn max(mut self, time: Duration) -> Self {
        self.max = time;
        self
    }

    /// The header that says in whole milliseconds how long the caller waits, for requests that are no gRPC calls.
    /// Default: none, since no such header is standard. Envoy's is `x-envoy-expected-rq-timeout-ms`.
    #[must_use]
    pub fn timeout_header(mut self, header: HeaderName) -> Self {
        self.timeout_header = Some(header);
        self
    }

    /// Makes the guard.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if no call has any time.
    pub fn build(self) -> Result<Deadline, ConfigError> {
        if self.max.is_zero() {
            let owner = format!("deadline {:?}", self.name);
            let must = "longer than nothing";
            return Err(ConfigError::new(owner, "at_most", "0ns", must));
        }
        Ok(self.build_unchecked())
    }

    fn build_unchecked(self) -> Deadline {
        Deadline(Arc::new(DeadlineConfig {
            limit: TimeLimit::new(self.name, self.max),
            timeout_header: self.timeout_header,
        }))
    }
}

impl DeadlineConfig {
    /// How long the caller waits, as far as it says.
    fn requested_timeout<B>(&self, request: &Request<B>, wire: WireFormat) -> Option<Duration> {
        let headers = request.headers();
        if wire.is_grpc() {
            return headers.get("grpc-timeout").and_then(parse_grpc_timeout);
        }
        headers
            .get(self.timeout_header.as_ref()?)
            .and_then(parse_millis)
    }

    fn deadline_of<B>(&self, request: &Request<B>, now: &CallClock) -> Option<Instant> {
        let most = self.limit.get();
        let time = self
            .requested_timeout(request, now.wire())
            .map_or(most, |time| time.min(most));
        // Longer than this is no limit, and needs no clock.
        const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);
        (time < FOREVER).then(|| now.now() + time)
    }
}

impl Guard for Deadline {
    type Permit = Option<Context>;

    #[inline]
    fn enter(&self, permit: &mut Option<Context>) -> impl Sized {
        permit.is_some().then(|| ContextScope::enter(permit))
    }

    #[inline]
    fn on_end(&self, _: Option<Context>, _: &CallEnd<'_>) {}
}

impl<B> Admit<Request<B>> for Deadline {
    fn admit(
        &self,
        request: &mut Request<B>,
        now: &CallClock,
    ) -> Result<Option<Context>, Rejection> {
        let policy = &*self.0;
        let own = request.extensions().get::<Context>().cloned();
        let context = own.or_else(Context::current);
        let known = context.as_ref().and_then(Context::deadline);
        let Some(deadline) = policy.deadline_of(request, now).or(known) else {
            return Ok(None);
        };
        if known.map_or(deadline, |known| known.min(deadline)) <= now.now() {
            return Err(policy.limit.reject());
        }
        let context = context
            .unwrap_or_else(Context::new_root)
            .with_deadline(deadline);
        request.extensions_mut().insert(context.clone());
        Ok(Some(context))
    }
}
