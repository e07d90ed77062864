use std::{future::Future, io, net::SocketAddr};

/// A resolver of names, for [`Endpoints::follow_dns`](super::Endpoints::follow_dns): that of the system, or one that asks a service
/// registry.
///
/// ```
/// use std::{io, net::SocketAddr};
/// use tower_keep::balance::Resolve;
///
/// /// Knows two addresses of everything.
/// struct Fixed;
///
/// impl Resolve for Fixed {
///     async fn resolve(&self, _: &str) -> io::Result<Vec<SocketAddr>> {
///         Ok(vec![([10, 0, 0, 1], 80).into(), ([10, 0, 0, 2], 80).into()])
///     }
/// }
/// ```
pub trait Resolve: Send + Sync {
    /// Returns the addresses of `host:port`.
    ///
    /// # Errors
    ///
    /// Returns an error if they cannot be found out now.
    fn resolve(&self, name: &str) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}
