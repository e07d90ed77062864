use std::{fmt, sync::Arc};

use axum::Router;

use super::{
    Access, OpsBuilder, api, core::Core, driver, health::Health, journal::Journal,
    recorder::Recorder,
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
            // From now on, calls are in it.
            self.0.calls();
            self.0.health.spawn();
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

    /// Returns the journal, to record events of the application.
    pub fn journal(&self) -> &Journal {
        &self.0.journal
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
