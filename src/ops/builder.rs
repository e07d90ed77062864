use std::time::SystemTime;

use tokio::time::Instant;

use super::{
    Ops,
    core::{About, Core, CoreOptions},
    health::{Check, Health, HealthBuilder},
    journal::Journal,
    log_level::{LogFilter, TemporaryFilter},
    push::Hub,
    recorder::{Recorder, RecorderBuilder},
};
use crate::{
    call::{ConfigError, Label},
    errors::ErrorTracker,
};

/// The most viewers that `max_viewers` may allow.
const MAX_VIEWERS: usize = 10_000;
const MAX_EVENTS: usize = 1_000_000;

/// A builder of an [`Ops`].
#[derive(Debug)]
pub struct OpsBuilder {
    service: Label,
    version: Option<Label>,
    instance: Option<Label>,
    environment: Option<Label>,
    health: HealthBuilder,
    recorder: RecorderBuilder,
    errors: Option<ErrorTracker>,
    options: CoreOptions,
    max_viewers: usize,
    max_events: usize,
}

impl OpsBuilder {
    pub(super) fn new(service: Label) -> Self {
        OpsBuilder {
            health: Health::builder(service.clone()),
            recorder: Recorder::builder(),
            service,
            version: None,
            instance: None,
            environment: None,
            errors: None,
            options: CoreOptions {
                allow_control: false,
                watch_calls: true,
                log_filter: None,
            },
            max_viewers: 200,
            max_events: 10_000,
        }
    }

    /// Sets the version of the service, such as `env!("CARGO_PKG_VERSION")`.
    #[must_use]
    pub fn version(mut self, version: impl Into<Label>) -> Self {
        let version = version.into();
        self.health = self.health.version(version.clone());
        self.version = Some(version);
        self
    }

    /// Sets the name of this instance, such as that of its pod. Default: the environment variable `HOSTNAME`.
    #[must_use]
    pub fn instance(mut self, instance: impl Into<Label>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// Sets the name of the environment, such as `production`.
    #[must_use]
    pub fn environment(mut self, environment: impl Into<Label>) -> Self {
        self.environment = Some(environment.into());
        self
    }

    /// Adds a check of a component.
    #[must_use]
    pub fn check(mut self, check: Check) -> Self {
        self.health = self.health.check(check);
        self
    }

    /// Changes other settings of the health.
    ///
    /// ```
    /// use tower_keep::ops::Ops;
    ///
    /// let ops = Ops::builder("orders").health(|health| health.wait_for_started()).build()?;
    /// assert!(!ops.health().snapshot().is_started());
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn health(mut self, change: impl FnOnce(HealthBuilder) -> HealthBuilder) -> Self {
        self.health = change(self.health);
        self
    }

    /// Changes the bounds of the recorder.
    ///
    /// ```
    /// use tower_keep::ops::Ops;
    ///
    /// let ops = Ops::builder("orders").recorder(|recorder| recorder.max_series(50_000)).build()?;
    /// # let _ = ops;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn recorder(mut self, change: impl FnOnce(RecorderBuilder) -> RecorderBuilder) -> Self {
        self.recorder = change(self.recorder);
        self
    }

    /// Sets the error tracker to show. Default: [`ErrorTracker::global`], where all layers record.
    #[must_use]
    pub fn errors(mut self, errors: ErrorTracker) -> Self {
        self.errors = Some(errors);
        self
    }

    /// Allows operators to change the state of guards and of error groups. Default: no, so that a console that should only show
    /// can only show.
    #[must_use]
    pub fn allow_control(mut self, allowed: bool) -> Self {
        self.options.allow_control = allowed;
        self
    }

    /// Sets whether the console shows the calls in flight and the slow ones, of
    /// [`CallTable::global`](crate::track::CallTable::global), which is then made if there is none. Default: yes; each call then takes about 50 ns more.
    #[must_use]
    pub fn watch_calls(mut self, watched: bool) -> Self {
        self.options.watch_calls = watched;
        self
    }

    /// Sets the filter of the log, which operators can change for a time, if they are [allowed](Self::allow_control) to
    /// change something. Default: none, so that the console does not know it.
    ///
    #[cfg_attr(feature = "logging", doc = "```no_run")]
    #[cfg_attr(not(feature = "logging"), doc = "```ignore")]
    /// use tower_keep::{logging, ops::Ops};
    ///
    /// # fn main() -> Result<(), tower_keep::BoxError> {
    /// let filter = logging::builder().install_reloadable()?;
    /// let ops = Ops::builder("orders").log_filter(filter).allow_control(true).build()?;
    /// # let _ = ops;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn log_filter(mut self, filter: impl LogFilter) -> Self {
        self.options.log_filter = Some(TemporaryFilter::new(filter));
        self
    }

    /// Sets how many viewers can be connected at once, 1 to 10,000. Default: 200.
    #[must_use]
    pub fn max_viewers(mut self, viewers: usize) -> Self {
        self.max_viewers = viewers;
        self
    }

    /// Sets how many events the journal keeps, 1 to 1,000,000; of those that operators caused, a tenth more. Default: 10,000, which
    /// take about 5 MB.
    #[must_use]
    pub fn max_events(mut self, events: usize) -> Self {
        self.max_events = events;
        self
    }

    /// Builds the operations side. It does nothing before [`Ops::install`] or [`Ops::spawn`].
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid, those of health and recorder included.
    pub fn build(self) -> Result<Ops, ConfigError> {
        let component = format!("ops \"{}\"", self.service);
        for (field, value, max) in [
            ("max_viewers", self.max_viewers, MAX_VIEWERS),
            ("max_events", self.max_events, MAX_EVENTS),
        ] {
            if !(1..=max).contains(&value) {
                let allowed = format!("1 to {max}");
                return Err(ConfigError::new(component, field, value, allowed));
            }
        }
        let hostname = || {
            std::env::var("HOSTNAME")
                .ok()
                .filter(|name| !name.is_empty())
        };
        let about = About {
            service: self.service,
            version: self.version,
            instance: self.instance.or_else(|| hostname().map(Into::into)),
            environment: self.environment,
            started_at: SystemTime::now(),
            started: Instant::now(),
        };
        Ok(Ops::new(Core::new(
            about,
            self.recorder.build()?,
            self.health.build()?,
            self.errors
                .unwrap_or_else(|| ErrorTracker::global().clone()),
            Journal::new(self.max_events),
            Hub::new(self.max_viewers),
            self.options,
        )))
    }
}
