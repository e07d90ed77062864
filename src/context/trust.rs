use std::sync::Arc;

use http::Request;

use super::{
    RequestHead, RequestPredicate,
    network::{Network, any_contains},
    trusted_proxies::peer_address,
};
use crate::call::ConfigError;

/// The callers that are trusted: their request and correlation IDs are kept, and their baggage is read.
///
/// Traces are governed by [`TracePolicy`](super::TracePolicy); only [`Trust::networks`] and [`Trust::when`] affect them as well.
#[derive(Clone, Debug, Default)]
pub struct Trust(TrustRule);

#[derive(Clone, Debug, Default)]
enum TrustRule {
    #[default]
    Always,
    Never,
    Networks(Arc<[Network]>),
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

    /// Trusts callers whose own connection comes from one of these networks; their traces are continued whatever
    /// [`TracePolicy`](super::TracePolicy) says. No header is read: a caller behind a trusted proxy is trusted as the proxy is. A
    /// peer without a known address is not trusted; see [`TrustedProxies`](super::TrustedProxies) for where it is found, and for
    /// how networks are written. On a tonic server it is not found, so that nobody is trusted:
    /// [copy it](crate::guide::trust#on-a-tonic-server), or use [`when`](Trust::when).
    ///
    /// Callers of the own network:
    ///
    /// ```
    /// use tower_keep::context::{Correlate, Trust};
    ///
    /// let trust = Trust::networks(["10.0.0.0/8", "fd00::/8"])?;
    /// let correlate = Correlate::builder().trust(trust).build()?;
    /// # let _ = correlate;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Names the network that is malformed.
    pub fn networks<N: AsRef<str>>(
        networks: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        let networks = Network::parse_all("trust", networks)?;
        Ok(Trust(TrustRule::Networks(networks.into())))
    }

    /// Trusts callers that match the predicate; their traces are continued whatever
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
        matches!(self.0, TrustRule::Networks(_) | TrustRule::If(_))
    }

    pub(crate) fn matches<B>(&self, request: &Request<B>) -> bool {
        match &self.0 {
            TrustRule::Always => true,
            TrustRule::Never => false,
            TrustRule::Networks(networks) => {
                peer_address(request.extensions()).is_some_and(|peer| any_contains(networks, peer))
            }
            TrustRule::If(predicate) => predicate.matches(request),
        }
    }
}
