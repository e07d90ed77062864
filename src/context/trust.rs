use http::Request;

use super::{RequestHead, RequestPredicate};

/// The callers that are trusted: their request and correlation IDs are kept, and their baggage is read.
///
/// Traces are governed by [`TracePolicy`](super::TracePolicy); only [`Trust::when`] affects them as well.
#[derive(Clone, Debug, Default)]
pub struct Trust(TrustRule);

#[derive(Clone, Debug, Default)]
enum TrustRule {
    #[default]
    Always,
    Never,
    If(RequestPredicate),
}

impl Trust {
    /// Trusts every caller: valid IDs are kept. The default, since services behind a proxy are meant to continue what it
    /// started.
    ///
    /// Said explicitly, for a service behind a gateway:
    ///
    /// ```
    /// use tower_keep::context::{Correlate, Trust};
    ///
    /// let correlate = Correlate::builder().trust(Trust::always()).build()?;
    /// # let _ = correlate;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn always() -> Self {
        Trust(TrustRule::Always)
    }

    /// Trusts no caller: IDs are generated. For services that are open to the public.
    ///
    /// The edge of a system, which also starts traces anew:
    ///
    /// ```
    /// use tower_keep::context::{Correlate, TracePolicy, Trust};
    ///
    /// let correlate = Correlate::builder().trust(Trust::never()).trace_policy(TracePolicy::Restart).build()?;
    /// # let _ = correlate;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn never() -> Self {
        Trust(TrustRule::Never)
    }

    /// Trusts callers that match the predicate, say by their peer address; their traces are continued whatever
    /// [`TracePolicy`](super::TracePolicy) says. Check what an untrusted caller cannot send: a header proves nothing.
    ///
    /// If the predicate panics, it counts as `false`.
    ///
    /// Callers on the same machine are trusted:
    ///
    /// ```
    /// use std::net::SocketAddr;
    /// use tower_keep::context::Trust;
    ///
    /// let is_local = |peer: &SocketAddr| peer.ip().is_loopback();
    /// let trust = Trust::when(move |head| head.extensions.get().is_some_and(is_local));
    /// # let _ = trust;
    /// ```
    pub fn when(predicate: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        Trust(TrustRule::If(RequestPredicate::new(predicate)))
    }

    /// Returns whether some callers are trusted and others are not.
    pub(super) fn is_conditional(&self) -> bool {
        matches!(self.0, TrustRule::If(_))
    }

    pub(super) fn matches<B>(&self, request: &Request<B>) -> bool {
        match &self.0 {
            TrustRule::Always => true,
            TrustRule::Never => false,
            TrustRule::If(predicate) => predicate.matches(request),
        }
    }
}
