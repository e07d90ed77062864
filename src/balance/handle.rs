use std::{fmt, hash::Hash, sync::Arc};

use super::{
    BalanceBuilder, BalanceSettings, BalanceStats, Balancer, pool::Pool, shared::BalanceShared,
};
use crate::{
    call::{ConfigError, Label},
    protocol::{AnyService, Client, GrpcClient},
    registry,
};

/// The handle of a balancer: its settings, and how its endpoints do; see the [module](super).
///
/// Make one [`Balancer`] of a handle: where there are several, their endpoints count together.
///
/// # Clones
///
/// Clones are the same handle.
#[derive(Clone)]
pub struct Balance {
    pub(super) shared: Arc<BalanceShared>,
}

impl Balance {
    /// Creates a handle with the default settings: a tenth of the endpoints, and one at least, may be ejected.
    ///
    /// ```
    /// use tower_keep::balance::Balance;
    ///
    /// let balance = Balance::new("ledger");
    /// assert_eq!(balance.stats().endpoints, []);
    /// ```
    pub fn new(name: impl Into<Label>) -> Self {
        Balance::from_settings(name.into(), BalanceSettings::default(), None)
    }

    /// Returns a builder with the default settings.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::balance::Balance;
    ///
    /// let balance = Balance::builder("ledger")
    ///     .max_ejected(0.3)
    ///     .slow_start(Duration::from_secs(30))
    ///     .build()?;
    /// # let _ = balance;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(name: impl Into<Label>) -> BalanceBuilder {
        BalanceBuilder::new(name.into())
    }

    pub(super) fn from_settings(name: Label, settings: BalanceSettings, seed: Option<u64>) -> Self {
        let shared = Arc::new(BalanceShared::new(name, settings, seed));
        registry::register(&shared);
        Balance { shared }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.shared.name().as_str()
    }

    /// Returns the settings as they are now, [shadow mode](Self::set_shadow) included.
    pub fn settings(&self) -> BalanceSettings {
        self.shared.settings()
    }

    /// Applies settings to the live balancer. Endpoints keep what was learned of them, and what was ejected stays so as far as the
    /// new share allows. The same settings again change nothing. A change is logged once, with the fields that have changed.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid. Then all settings are as they were.
    ///
    /// ```
    /// use tower_keep::balance::{Balance, BalanceSettings};
    ///
    /// let balance = Balance::new("ledger");
    /// let mut settings = BalanceSettings::default();
    /// settings.max_ejected = 10.0;
    /// let error = balance.apply(&settings).unwrap_err();
    /// assert_eq!(error.to_string(), r#"balance "ledger": max_ejected is 10, must be 0 to 1 (a fraction)"#);
    /// ```
    pub fn apply(&self, settings: &BalanceSettings) -> Result<(), ConfigError> {
        self.shared.apply(settings)
    }

    /// Returns the numbers of all endpoints as they are now.
    pub fn stats(&self) -> BalanceStats {
        self.shared.stats()
    }

    /// Returns all endpoints to rotation, forgets what was learned of them, and takes [`disable`](Self::disable) back.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Sends calls to endpoints that are ejected as well, until [`reset`](Self::reset). Results still count.
    pub fn disable(&self) {
        self.shared.config.set_disabled(true);
    }

    /// Sets shadow mode: endpoints are ejected in what is reported only.
    pub fn set_shadow(&self, on: bool) {
        self.shared.set_shadow(on);
    }

    /// Returns whether shadow mode is on.
    pub fn is_shadow(&self) -> bool {
        self.settings().breaker.shadow
    }

    /// Returns a balancer of services of any kind, which `make` makes for each endpoint. It has none at first: see
    /// [`Balancer::endpoints`]. Errors become a `BoxError`.
    ///
    /// ```
    /// use tower::{ServiceExt, service_fn};
    /// use tower_keep::Balance;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let printers = Balance::new("printers").any(|floor: &u32| {
    ///     let floor = *floor;
    ///     service_fn(move |page: String| async move { Ok::<_, std::io::Error>(format!("{page} on floor {floor}")) })
    /// });
    /// printers.endpoints().set([3]);
    /// assert_eq!(printers.oneshot("page 1".to_owned()).await?, "page 1 on floor 3");
    /// # Ok(()) }
    /// ```
    pub fn any<K, S>(
        &self,
        make: impl Fn(&K) -> S + Send + Sync + 'static,
    ) -> Balancer<K, S, AnyService>
    where
        K: Hash + Eq,
    {
        self.balancer(make, AnyService::new())
    }

    /// Returns a balancer of HTTP clients, which `make` makes for each endpoint. Without an endpoint, the error of a call is a
    /// [`Rejection`](crate::Rejection). Errors become a `BoxError`.
    ///
    /// ```
    /// use http::{Request, Response};
    /// use http_body_util::Full;
    /// use tower::{ServiceExt, service_fn};
    /// use tower_keep::Balance;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let orders = Balance::new("orders").client(|address: &String| {
    ///     let address = address.clone();
    ///     // In place of a client that sends requests to this address.
    ///     service_fn(move |_: Request<String>| {
    ///         let body = Full::<bytes::Bytes>::from(address.clone());
    ///         async move { Ok::<_, std::io::Error>(Response::new(body)) }
    ///     })
    /// });
    /// orders.endpoints().set(["10.0.0.1:8080".to_owned()]);
    /// let response = orders.oneshot(Request::new(String::new())).await?;
    /// assert_eq!(response.status(), 200);
    /// # Ok(()) }
    /// ```
    pub fn client<K, S>(
        &self,
        make: impl Fn(&K) -> S + Send + Sync + 'static,
    ) -> Balancer<K, S, Client>
    where
        K: Hash + Eq,
    {
        self.balancer(make, Client::new())
    }

    /// Returns a balancer of gRPC clients such as tonic's `Channel`, which `make` makes for each endpoint. Without an endpoint, a call
    /// has the status `UNAVAILABLE`.
    ///
    /// ```
    /// # #[cfg(feature = "tonic")] #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use tonic::transport::{Endpoint, Uri};
    /// use tower_keep::Balance;
    ///
    /// let orders = Balance::new("orders").grpc_client(|address: &Uri| Endpoint::from(address.clone()).connect_lazy());
    /// orders.endpoints().set([Uri::from_static("http://10.0.0.1:50051"), Uri::from_static("http://10.0.0.2:50051")]);
    /// assert_eq!(orders.endpoints().keys().len(), 2);
    /// # }
    /// # #[cfg(not(feature = "tonic"))] fn main() {}
    /// ```
    pub fn grpc_client<K, S>(
        &self,
        make: impl Fn(&K) -> S + Send + Sync + 'static,
    ) -> Balancer<K, S, GrpcClient>
    where
        K: Hash + Eq,
    {
        self.balancer(make, GrpcClient::new())
    }

    fn balancer<K, S, P: Clone>(
        &self,
        make: impl Fn(&K) -> S + Send + Sync + 'static,
        protocol: P,
    ) -> Balancer<K, S, P> {
        Balancer::new(Pool::new(self.shared.clone(), Box::new(make), protocol))
    }
}

impl fmt::Debug for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balance")
            .field("name", self.shared.name())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
