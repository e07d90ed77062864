use std::fmt;

use metrics_exporter_prometheus::PrometheusHandle;

/// A handle of the recorder of this process: renders all metrics as text.
///
/// See the [module](super) for an example.
#[derive(Clone)]
pub struct Prometheus(PrometheusHandle);

impl Prometheus {
    /// The content type of the rendered text.
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

    pub(super) fn new(handle: PrometheusHandle) -> Self {
        Prometheus(handle)
    }

    /// Renders all metrics in the text format of Prometheus, version 0.0.4.
    ///
    /// ```
    /// let prometheus = tower_keep::prometheus::install()?;
    /// metrics::gauge!("lamps_on").set(2.0);
    /// assert!(prometheus.render().contains("lamps_on 2"));
    /// # Ok::<_, tower_keep::InstallError>(())
    /// ```
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Returns the route that Prometheus scrapes: it answers `GET` with all metrics as text.
    ///
    /// Add it after the layers of the application, or on a router and a port of its own, so that scrapes are not counted as
    /// calls. Keep it from the public: names of services and routes are in it.
    ///
    /// ```
    /// let prometheus = tower_keep::prometheus::install()?;
    /// let app: axum::Router = axum::Router::new().route("/metrics", prometheus.route());
    /// # let _ = app;
    /// # Ok::<_, tower_keep::InstallError>(())
    /// ```
    #[cfg(feature = "axum")]
    #[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
    pub fn route<S>(&self) -> axum::routing::MethodRouter<S>
    where
        // The state of the router, as axum has it.
        S: Clone + Send + Sync + 'static,
    {
        let prometheus = self.clone();
        let content_type = [(http::header::CONTENT_TYPE, Prometheus::CONTENT_TYPE)];
        axum::routing::get(move || std::future::ready((content_type, prometheus.render())))
    }
}

impl fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The handle would print all series.
        f.debug_struct("Prometheus").finish_non_exhaustive()
    }
}
