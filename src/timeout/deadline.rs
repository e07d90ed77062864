use std::{sync::Arc, time::Duration};

use http::{HeaderName, Request};
use tokio::time::Instant;

use super::{TimeLimit, send::parse_millis};
use crate::{
    call::{End, InvalidSetting, Moment, Name, Rejection},
    context::{Context, entered},
    guard::{Admit, Guard},
    protocol::{Wire, parse_grpc_timeout},
};

/// The guard that knows until when the caller waits: reads the time that came with a request, keeps the deadline in
/// the call's [`Context`], and refuses work whose time is up already.
///
/// Ends nothing by itself. Everything further in knows the deadline: [timeouts](super::TimeoutLayer) give up at it, clients send on what
/// is left of it, [retries](crate::retry) do not wait beyond it, handlers ask [`context::deadline`].
///
/// Reads `grpc-timeout` of gRPC requests, and of others the [header](DeadlineBuilder::header) that it is told to.
/// What cannot be read is no deadline. Place it inside of [`Correlate`](crate::context::Correlate), whose context it
/// adds to. Where there is none, a request with a deadline begins one.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::{GuardLayer, Track, context::Correlate, timeout::{Deadline, TimeoutLayer}};
///
/// let deadline = Deadline::builder().at_most(Duration::from_secs(30)).build()?;
/// let guards = (Correlate::default(), Track::named("orders"), deadline);
/// let layers = tower::ServiceBuilder::new()
///     .layer(GuardLayer::server(guards))
///     .layer(TimeoutLayer::server(Duration::from_secs(30)));
/// # let _ = layers;
/// # Ok::<_, tower_keep::InvalidSetting>(())
/// ```
///
/// Between services that speak plain HTTP, the client [says](super::TimeoutLayer::send_as) in a header what the next hop's
/// guard [reads](DeadlineBuilder::header):
///
/// ```
/// use std::time::Duration;
/// use http::HeaderName;
/// use tower_keep::timeout::{Deadline, TimeoutLayer};
///
/// const LEFT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
///
/// let client_of_one = TimeoutLayer::client(Duration::from_secs(10)).send_as(LEFT);
/// let server_of_the_next = Deadline::builder().header(LEFT).build()?;
/// # let _ = (client_of_one, server_of_the_next);
/// # Ok::<_, tower_keep::InvalidSetting>(())
/// ```
///
/// [`context::deadline`]: crate::context::deadline
#[derive(Clone, Debug)]
pub struct Deadline(Arc<Policy>);

#[derive(Debug)]
struct Policy {
    limit: TimeLimit,
    header: Option<HeaderName>,
}

/// Settings of a [`Deadline`].
#[derive(Clone, Debug)]
pub struct DeadlineBuilder {
    name: Name,
    most: Duration,
    header: Option<HeaderName>,
}

impl Default for Deadline {
    /// Believes every caller: a deadline is only what the caller has asked for.
    fn default() -> Self {
        Deadline::builder().unchecked()
    }
}

impl Deadline {
    /// Settings to start from.
    pub fn builder() -> DeadlineBuilder {
        DeadlineBuilder {
            name: "deadline".into(),
            most: Duration::MAX,
            header: None,
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
    pub fn name(mut self, name: impl Into<Name>) -> Self {
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
    pub fn at_most(mut self, time: Duration) -> Self {
        self.most = time;
        self
    }

    /// The header that says in whole milliseconds how long the caller waits, for requests that are no gRPC calls.
    /// Default: none, since no such header is standard. Envoy's is `x-envoy-expected-rq-timeout-ms`.
    #[must_use]
    pub fn header(mut self, header: HeaderName) -> Self {
        self.header = Some(header);
        self
    }

    /// Makes the guard.
    ///
    /// # Errors
    ///
    /// [`InvalidSetting`] if no call has any time.
    pub fn build(self) -> Result<Deadline, InvalidSetting> {
        if self.most.is_zero() {
            let owner = format!("deadline {:?}", self.name);
            let must = "longer than nothing";
            return Err(InvalidSetting::new(owner, "at_most", "0ns", must));
        }
        Ok(self.unchecked())
    }

    fn unchecked(self) -> Deadline {
        Deadline(Arc::new(Policy {
            limit: TimeLimit::new(self.name, self.most),
            header: self.header,
        }))
    }
}

impl Policy {
    /// How long the caller waits, as far as it says.
    fn told<B>(&self, request: &Request<B>, wire: Wire) -> Option<Duration> {
        let headers = request.headers();
        if wire.is_grpc() {
            return headers.get("grpc-timeout").and_then(parse_grpc_timeout);
        }
        headers.get(self.header.as_ref()?).and_then(parse_millis)
    }

    fn deadline<B>(&self, request: &Request<B>, now: &Moment) -> Option<Instant> {
        let most = self.limit.get();
        let time = self
            .told(request, now.wire())
            .map_or(most, |time| time.min(most));
        // Longer than this is no limit, and needs no clock.
        const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);
        (time < FOREVER).then(|| now.now() + time)
    }
}

impl Guard for Deadline {
    type Permit = Option<Context>;

    #[inline]
    fn enter<R>(&self, permit: &mut Option<Context>, poll: impl FnOnce() -> R) -> R {
        match permit {
            Some(_) => entered(permit, poll),
            None => poll(),
        }
    }

    #[inline]
    fn settle(&self, _: Option<Context>, _: &End<'_>) {}
}

impl<B> Admit<Request<B>> for Deadline {
    fn admit(&self, request: &mut Request<B>, now: &Moment) -> Result<Option<Context>, Rejection> {
        let policy = &*self.0;
        let own = request.extensions().get::<Context>().cloned();
        let context = own.or_else(Context::current);
        let known = context.as_ref().and_then(Context::deadline);
        let Some(deadline) = policy.deadline(request, now).or(known) else {
            return Ok(None);
        };
        if known.map_or(deadline, |known| known.min(deadline)) <= now.now() {
            return Err(policy.limit.refuse());
        }
        let context = context
            .unwrap_or_else(Context::root)
            .with_deadline(deadline);
        request.extensions_mut().insert(context.clone());
        Ok(Some(context))
    }
}
