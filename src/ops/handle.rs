use std::{fmt, sync::Arc};

use axum::Router;

use super::{
    Access, OpsBuilder, alerting, api, core::Core, driver, health::Health, journal::Journal,
    notify::Notification, recorder::Recorder, workflows::Workflow,
};
use crate::call::{InstallError, Label};

/// The operations side of a process; see the [module](super).
#[derive(Clone)]
pub struct Ops(Arc<Core>);

impl Ops {
    /// Returns a builder for a service of this name.
    ///
    /// ```
    /// use tower_keep::ops::{Ops, health::Check};
    ///
    /// let ops = Ops::builder("orders")
    ///     .version(env!("CARGO_PKG_VERSION"))
    ///     .check(Check::tcp("broker", "broker:5672").critical())
    ///     .build()?;
    /// # let _ = ops;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(service: impl Into<Label>) -> OpsBuilder {
        OpsBuilder::new(service.into())
    }

    pub(super) fn new(core: Core) -> Self {
        Ops(Arc::new(core))
    }

    #[cfg(test)]
    pub(super) fn into_core(self) -> Arc<Core> {
        self.0
    }

    /// Installs the recorder for the whole process, and starts the rest as [`spawn`](Self::spawn) does.
    ///
    /// With the features `ops-logs` and `logging`, what is logged is kept as well, if `logging::install` sets the subscriber up,
    /// before or after. A program with another subscriber adds the layer of `Ops::layer` to it.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has a recorder already. Then nothing is started; see
    /// [`Recorder::fanout`] for two recorders.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn install(&self) -> Result<(), InstallError> {
        self.0.recorder.install()?;
        self.0.workflows.install();
        #[cfg(all(feature = "logging", feature = "ops-logs"))]
        crate::logging::add_layer(self.unfiltered_layer());
        self.spawn();
        Ok(())
    }

    /// Starts checks, history and push in tasks on the runtime of the caller. They end when the last clone is dropped, and all
    /// that was made of it. Further calls do nothing.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn(&self) {
        if self.0.claim_driver() {
            self.0.workflows.install_if_none();
            // From now on, calls are in it.
            self.0.calls();
            self.0.health.spawn();
            self.0.notifications.spawn(&self.0.journal);
            tokio::spawn(driver::run(&self.0));
        }
    }

    /// Returns the recorder.
    pub fn recorder(&self) -> &Recorder {
        &self.0.recorder
    }

    /// Returns the health, to say when the process has started and when it shuts down.
    pub fn health(&self) -> &Health {
        &self.0.health
    }

    /// Returns the layer that keeps [logs](super::logs) and [traces](super::traces) for the console, for a program with a registry of
    /// its own; [`install`](Self::install) adds it to the subscriber of `logging::install`. It has a filter of its own, so that it goes
    /// beside others, whatever they filter.
    ///
    /// ```
    /// use tower_keep::ops::Ops;
    /// use tracing_subscriber::{layer::SubscriberExt, registry};
    ///
    /// let ops = Ops::builder("orders").build()?;
    /// let subscriber = registry().with(ops.layer());
    /// # let _ = subscriber;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[cfg(feature = "ops-logs")]
    pub fn layer<S>(&self) -> impl tracing_subscriber::Layer<S> + Send + Sync + use<S>
    where
        S: tracing::Subscriber + for<'lookup> tracing_subscriber::registry::LookupSpan<'lookup>,
    {
        let layer = self.unfiltered_layer();
        let filter = layer.filter();
        tracing_subscriber::Layer::with_filter(layer, filter)
    }

    #[cfg(feature = "ops-logs")]
    fn unfiltered_layer(&self) -> super::layer::OpsLayer {
        super::layer::OpsLayer::new(self.0.logs.layer(), self.0.traces.layer())
    }

    /// Returns the journal, to record events of the application.
    pub fn journal(&self) -> &Journal {
        &self.0.journal
    }

    /// Tells the [channels](super::notify) of an event that has no end, such as a deployment, or of alerts of the application
    /// itself. Returns at once.
    ///
    /// ```
    /// use tower_keep::ops::{Ops, notify::EventNotice};
    ///
    /// let ops = Ops::builder("orders").build()?;
    /// ops.notify(EventNotice::deployment_started("2.14.0"));
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn notify(&self, notification: impl Into<Notification>) {
        self.0.notifications.send(notification.into());
    }

    /// Waits until each message that was there has been tried at least once: before a process exits, within a limit of the
    /// caller. What was not delivered stays in the store, if there is one.
    ///
    /// It never ends if [`spawn`](Self::spawn) was not called and something is to be sent.
    ///
    /// ```no_run
    /// # use tower_keep::ops::{Ops, notify::EventNotice};
    /// # async fn failed(ops: &Ops) {
    /// ops.notify(EventNotice::deployment_failed("2.14.0", "migration 31 has failed"));
    /// let limit = std::time::Duration::from_secs(5);
    /// let _ = tokio::time::timeout(limit, ops.notifications_tried()).await;
    /// # }
    /// ```
    pub async fn notifications_tried(&self) {
        self.0.notifications.tried().await;
    }

    /// Returns a workflow that is recorded here; see [`workflows`](super::workflows).
    ///
    /// ```
    /// use tower_keep::ops::Ops;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let ops = Ops::builder("orders").build()?;
    /// let id = ops.workflow("checkout").run_infallible(|flow| async move { flow.id() });
    /// assert!(id.await.is_some());
    /// # Ok(()) }
    /// ```
    pub fn workflow(&self, name: impl Into<Label>) -> Workflow {
        Workflow::new(name.into(), Some(self.0.workflows.clone()))
    }

    /// Evaluates all rules of alerts now, whether they are due or not, and returns how many alerts are active: for tests of rules,
    /// and after a change that should be seen at once. Takes some milliseconds with a thousand rules.
    ///
    /// ```
    /// use tower_keep::ops::{Ops, alerts::Rule};
    ///
    /// let ops = Ops::builder("orders").rule(Rule::new("backlog").when("queue_length > 100")).build()?;
    /// ops.recorder().metrics().set("queue_length", 99.0, &[]);
    /// ops.recorder().tick(1_700_000_000);
    /// assert_eq!(ops.evaluate_rules(), 0);
    /// ops.recorder().metrics().set("queue_length", 101.0, &[]);
    /// ops.recorder().tick(1_700_000_001);
    /// assert_eq!(ops.evaluate_rules(), 1);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn evaluate_rules(&self) -> usize {
        alerting::evaluate_all(&self.0)
    }

    /// Returns the routes `/livez`, `/readyz` and `/startupz`, which are open to everybody and say no more than the status.
    pub fn probes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        self.0.health.probes()
    }

    /// Returns the console with its API, to be put behind `nest_service` under any path; see the [module](super#what-is-mounted)
    /// for other ways. Put it outside of the layers that observe the application: what it is asked is no call of the application.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use tower_keep::{observe, ops::{Access, Ops}};
    ///
    /// # fn main() -> Result<(), tower_keep::BoxError> {
    /// let ops = Ops::builder("orders").build()?;
    /// let access = Access::login_links();
    /// println!("http://127.0.0.1:3000/ops/{}", access.login_link()?);
    /// let app: Router = Router::new()
    ///     .route("/orders/{id}", get(async || "an order"))
    ///     .layer(observe("orders").server())
    ///     .merge(ops.probes())
    ///     .nest_service("/ops", ops.console::<()>(access));
    /// # let _ = app;
    /// # Ok(()) }
    /// ```
    pub fn console<S: Clone + Send + Sync + 'static>(&self, access: Access) -> Router<S> {
        api::router(self.0.clone(), access)
    }
}

impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Ops");
        debug.field("about", &self.0.about).finish_non_exhaustive()
    }
}
