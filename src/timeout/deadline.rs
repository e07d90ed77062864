use std::sync::Arc;

use http::Request;

use super::{DeadlineBuilder, TimeLimit, deadline_config::DeadlineConfig};
use crate::{
    call::{CallClock, CallEnd, Label, Rejection},
    context::{Context, ContextScope},
    guard::{Admit, Guard},
};

/// A guard that reads the deadline of the caller: it adds the time that came with a request to the call's [`Context`], and
/// rejects calls whose time is up already.
///
/// It ends no call by itself. Everything further in knows the deadline: [timeouts](super::TimeoutLayer) end calls at it,
/// clients send on what is left of it, [retries](crate::retry) do not wait beyond it, handlers read
/// [`context::deadline`].
///
/// Reads `grpc-timeout` of gRPC requests, and of others the configured [header](DeadlineBuilder::timeout_header). A
/// malformed value is ignored. Place it inside of [`Correlate`](crate::context::Correlate), whose context it adds to.
/// Without one, a request with a deadline gets a new context.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::{GuardLayer, Track, context::Correlate, timeout::{Deadline, TimeoutLayer}};
///
/// let deadline = Deadline::builder("orders").max(Duration::from_secs(30)).build()?;
/// let guards = (Correlate::default(), (Track::new("orders"), deadline));
/// let layers = tower::ServiceBuilder::new()
///     .layer(GuardLayer::server(guards))
///     .layer(TimeoutLayer::server(Duration::from_secs(30)));
/// # let _ = layers;
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
///
/// Between services that speak plain HTTP, the client [sends](super::TimeoutLayer::timeout_header) the time left in a header
/// that the guard of the next hop [reads](DeadlineBuilder::timeout_header):
///
/// ```
/// use std::time::Duration;
/// use http::HeaderName;
/// use tower_keep::timeout::{Deadline, TimeLimit, TimeoutLayer};
///
/// const TIME_LEFT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
///
/// let limit = TimeLimit::new("orders.attempt", Duration::from_secs(10));
/// let client = TimeoutLayer::client(limit).timeout_header(TIME_LEFT);
/// let next_server = Deadline::builder("orders").timeout_header(TIME_LEFT).build()?;
/// # let _ = (client, next_server);
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
///
/// [`context::deadline`]: crate::context::deadline
#[derive(Clone, Debug)]
pub struct Deadline(pub(super) Arc<DeadlineConfig>);

impl Default for Deadline {
    /// Creates a guard with the name `deadline`, which trusts every caller: a deadline is only what the caller has asked
    /// for.
    fn default() -> Self {
        Deadline::new("deadline")
    }
}

impl Deadline {
    /// Creates a guard that trusts the deadline of every caller.
    ///
    /// ```
    /// use tower_keep::{GuardLayer, timeout::Deadline};
    ///
    /// let layer = GuardLayer::server(Deadline::new("orders"));
    /// # let _ = layer;
    /// ```
    pub fn new(name: impl Into<Label>) -> Self {
        Deadline::builder(name).build_unchecked()
    }

    /// Returns a builder with the defaults; the name is what metrics and rejections show.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::timeout::Deadline;
    ///
    /// let deadline = Deadline::builder("orders").max(Duration::from_secs(30)).build()?;
    /// # let _ = deadline;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(name: impl Into<Label>) -> DeadlineBuilder {
        DeadlineBuilder::new(name.into())
    }

    /// Returns the longest deadline as a limit, which can be changed.
    pub fn limit(&self) -> &TimeLimit {
        &self.0.limit
    }
}

impl Guard for Deadline {
    type Permit = Option<Context>;

    #[inline]
    fn enter(&self, permit: &mut Option<Context>) -> impl Sized {
        // Without a deadline the call stays in the context that it is in.
        permit.is_some().then(|| ContextScope::enter(permit))
    }

    #[inline]
    fn on_end(&self, _: Option<Context>, _: &CallEnd<'_>) {}
}

impl<B> Admit<Request<B>> for Deadline {
    fn admit(
        &self,
        request: &mut Request<B>,
        clock: &CallClock,
    ) -> Result<Option<Context>, Rejection> {
        let config = &*self.0;
        // The request's own first: a buffer may have moved the request to another task than its context.
        let own = request.extensions().get::<Context>().cloned();
        let context = own.or_else(Context::current);
        let known = context.as_ref().and_then(Context::deadline);
        let Some(deadline) = config.deadline_of(request, clock).or(known) else {
            return Ok(None);
        };
        // An earlier deadline of the context still counts, and `with_deadline` below keeps it.
        if known.map_or(deadline, |known| known.min(deadline)) <= clock.now() {
            return Err(config.limit.reject());
        }
        let context = context
            .unwrap_or_else(Context::new_root)
            .with_deadline(deadline);
        // For handlers, and for layers further in that look into the request instead of the thread.
        request.extensions_mut().insert(context.clone());
        Ok(Some(context))
    }
}
