use std::time::SystemTime;

use tokio::time::Instant;

#[cfg(feature = "ops-logs")]
use super::logs::LogsBuilder;
#[cfg(feature = "ops-logs")]
use super::traces::TracesBuilder;
use super::{
    Ops,
    alerts::{AlertSettings, Alerts, Rule},
    core::{About, Core, CoreOptions, CoreParts},
    health::{Check, Health, HealthBuilder},
    journal::Journal,
    log_level::{LogFilter, TemporaryFilter},
    notify::{Channel, ChannelBuilder, ErasedChannel, Notifications, Origin},
    push::Hub,
    recorder::{Recorder, RecorderBuilder},
    store::Store,
    workflows::{self, Workflows},
};
#[cfg(feature = "ops-sqlite")]
use super::{journal::RecordFile, metric_history::MetricHistory};
use crate::{
    call::{ConfigError, Label, check_range},
    errors::ErrorTracker,
};

/// The most viewers that `max_viewers` may allow.
const MAX_VIEWERS: usize = 10_000;
const MAX_EVENTS: usize = 1_000_000;
const MAX_WORKFLOWS: usize = 100_000;

/// A builder of an [`Ops`].
#[derive(Debug)]
pub struct OpsBuilder {
    service: Label,
    version: Option<Label>,
    instance: Option<Label>,
    environment: Option<Label>,
    health: HealthBuilder,
    recorder: RecorderBuilder,
    #[cfg(feature = "ops-logs")]
    traces: TracesBuilder,
    errors: Option<ErrorTracker>,
    #[cfg(feature = "ops-logs")]
    logs: LogsBuilder,
    options: CoreOptions,
    channels: Vec<ErasedChannel>,
    external_url: Option<String>,
    alerts: AlertSettings,
    rules: Vec<Rule>,
    max_viewers: usize,
    max_events: usize,
    #[cfg(feature = "ops-sqlite")]
    store_file: Option<super::StoreFile>,
    max_running_workflows: usize,
    max_finished_workflows: usize,
}

impl OpsBuilder {
    pub(super) fn new(service: Label) -> Self {
        OpsBuilder {
            health: Health::builder(service.clone()),
            recorder: Recorder::builder(),
            #[cfg(feature = "ops-logs")]
            traces: TracesBuilder::new(service.clone()),
            service,
            version: None,
            instance: None,
            environment: None,
            errors: None,
            #[cfg(feature = "ops-logs")]
            logs: LogsBuilder::default(),
            options: CoreOptions {
                allow_control: false,
                watch_calls: true,
                log_filter: None,
                store: Store::default(),
                notifications: Notifications::default(),
                alerts: Alerts::default(),
                #[cfg(feature = "ops-sqlite")]
                metric_history: None,
            },
            alerts: AlertSettings::default(),
            rules: Vec::new(),
            channels: Vec::new(),
            external_url: None,
            max_viewers: 200,
            max_events: 10_000,
            #[cfg(feature = "ops-sqlite")]
            store_file: None,
            max_running_workflows: 10_000,
            max_finished_workflows: 1_000,
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

    /// Changes what is kept of the log.
    ///
    /// ```
    /// use tower_keep::ops::Ops;
    ///
    /// let ops = Ops::builder("orders").logs(|logs| logs.max_records(50_000)).build()?;
    /// # let _ = ops;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[cfg(feature = "ops-logs")]
    #[must_use]
    pub fn logs(mut self, change: impl FnOnce(LogsBuilder) -> LogsBuilder) -> Self {
        self.logs = change(self.logs);
        self
    }

    /// Changes which traces are kept by [`Ops::layer`], and their bounds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::ops::Ops;
    ///
    /// let slow = Some(Duration::from_millis(250));
    /// let ops = Ops::builder("orders").traces(|traces| traces.sample_rate(0.01).keep_slow(slow)).build()?;
    /// # let _ = ops;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[cfg(feature = "ops-logs")]
    #[must_use]
    pub fn traces(mut self, change: impl FnOnce(TracesBuilder) -> TracesBuilder) -> Self {
        self.traces = change(self.traces);
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

    /// Adds a channel that is told of alerts, of deployments, and of what else [`Ops::notify`] gets. Up to 64.
    ///
    /// [`notify`](super::notify) has the channels.
    #[must_use]
    pub fn notify<C: Channel>(mut self, channel: ChannelBuilder<C>) -> Self {
        self.channels.push(channel.erase());
        self
    }

    /// Sets where people find the console, such as `https://host/ops`, for the links in notifications. Default: none, so that
    /// they have no links.
    #[must_use]
    pub fn external_url(mut self, url: impl Into<String>) -> Self {
        self.external_url = Some(url.into());
        self
    }

    /// Adds a rule of alerts. At most 2,000.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::ops::{Ops, alerts::Rule};
    ///
    /// let rule = Rule::new("payments_errors")
    ///     .when("error_ratio{route=\"POST /pay\"} > 5%")
    ///     .for_(Duration::from_secs(120))
    ///     .critical();
    /// let ops = Ops::builder("orders").rule(rule).build()?;
    /// # let _ = ops;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Adds rules of alerts, such as those that [most services](Rule#implementations) want.
    #[must_use]
    pub fn rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.rules.extend(rules);
        self
    }

    /// Sets the settings of all alerts, such as those of a file. Its rules are added to those of [`rule`](Self::rule). Default:
    /// [`AlertSettings::default`].
    #[must_use]
    pub fn alerts(mut self, settings: AlertSettings) -> Self {
        self.alerts = settings;
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

    /// Keeps what the console remembers in an SQLite file, so that it survives a restart: the path of a file, or a [`StoreFile`]
    /// with its limits. Each process needs a file of its own. Default: none, so that it is in memory.
    ///
    /// The file is opened by [`build`](Self::build), and made if there is none. One that cannot be used is no reason for a service
    /// not to start: what would be in it is kept in memory, the component `ops_store` of the health says why, and it is tried again
    /// until it works.
    ///
    /// [`StoreFile`]: super::StoreFile
    ///
    /// ```
    /// use tower_keep::ops::Ops;
    ///
    /// # let folder = std::env::temp_dir().join(format!("tower-keep-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let path = folder.join("ops.db");
    /// let ops = Ops::builder("orders").sqlite(path).build()?;
    /// # drop(ops);
    /// # std::fs::remove_dir_all(folder)?;
    /// # Ok::<_, tower_keep::BoxError>(())
    /// ```
    #[cfg(feature = "ops-sqlite")]
    #[cfg_attr(docsrs, doc(cfg(feature = "ops-sqlite")))]
    #[must_use]
    pub fn sqlite(mut self, file: impl Into<super::StoreFile>) -> Self {
        self.store_file = Some(file.into());
        self
    }

    /// Sets how many workflows that run are recorded, 1 to 100,000. Default: 10,000.
    #[must_use]
    pub fn max_running_workflows(mut self, workflows: usize) -> Self {
        self.max_running_workflows = workflows;
        self
    }

    /// Sets how many workflows that have ended are kept in memory, 1 to 100,000, and in 8 MiB. Default: 1,000.
    #[must_use]
    pub fn max_finished_workflows(mut self, workflows: usize) -> Self {
        self.max_finished_workflows = workflows;
        self
    }

    /// Builds the operations side. It opens its file, if there is to be one, and does nothing else before [`Ops::install`] or
    /// [`Ops::spawn`].
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid, those of health, recorder and alerts included.
    #[cfg_attr(not(feature = "ops-logs"), allow(unused_mut))]
    pub fn build(mut self) -> Result<Ops, ConfigError> {
        let component = format!("ops \"{}\"", self.service);
        self.check_maximums(&component)?;
        let recorder = std::mem::take(&mut self.recorder).build()?;
        let journal = Journal::new(self.max_events);
        #[cfg(feature = "ops-sqlite")]
        self.open_file(&component, &recorder, &journal)?;
        if let Some(trouble) = self.options.store.trouble() {
            self.health = self.health.check(Check::store(trouble.clone()));
        }
        #[cfg(feature = "ops-logs")]
        let logs = self.logs.build(&component, &self.options.store)?;
        #[cfg(feature = "ops-logs")]
        let traces = self.traces.build(&self.options.store)?;
        self.options.alerts = Alerts::new(self.service.as_str(), &self.alerts, self.rules)?;
        let about = About {
            service: self.service,
            version: self.version,
            instance: self.instance.or_else(|| hostname().map(Into::into)),
            environment: self.environment,
            started_at: SystemTime::now(),
            started: Instant::now(),
        };
        let origin = Origin::new(&about, self.external_url.as_deref())?;
        self.options.notifications =
            Notifications::new(self.channels, origin, &self.options.store)?;
        for check in self.options.notifications.checks() {
            self.health = self.health.check(check);
        }
        let (running, finished) = (self.max_running_workflows, self.max_finished_workflows);
        let (workflows, lost) = Workflows::open(running, finished, self.options.store.clone());
        workflows::record_lost(&journal, &recorder, &lost);
        let parts = CoreParts {
            recorder,
            health: self.health.build()?,
            errors: self
                .errors
                .unwrap_or_else(|| ErrorTracker::global().clone()),
            journal,
            hub: Hub::new(self.max_viewers),
            workflows,
            #[cfg(feature = "ops-logs")]
            logs,
            #[cfg(feature = "ops-logs")]
            traces,
        };
        Ok(Ops::new(Core::new(about, parts, self.options)))
    }

    fn check_maximums(&self, component: &str) -> Result<(), ConfigError> {
        let (running, finished) = (self.max_running_workflows, self.max_finished_workflows);
        for (field, value, max) in [
            ("max_viewers", self.max_viewers, MAX_VIEWERS),
            ("max_events", self.max_events, MAX_EVENTS),
            ("max_running_workflows", running, MAX_WORKFLOWS),
            ("max_finished_workflows", finished, MAX_WORKFLOWS),
        ] {
            check_range(component, field, value, 1..=max)?;
        }
        Ok(())
    }

    /// Opens the file, if there is to be one, and has the journal and the history of metrics go on in it.
    #[cfg(feature = "ops-sqlite")]
    fn open_file(
        &mut self,
        component: &str,
        recorder: &Recorder,
        journal: &Journal,
    ) -> Result<(), ConfigError> {
        let Some(file) = self.store_file.take() else {
            return Ok(());
        };
        file.validate(component)?;
        self.options.store = Store::open(file.clone());
        let store = &self.options.store;
        RecordFile::attach(journal, store, &file, self.max_events);
        let history = MetricHistory::new(store, recorder, file.metric_retention());
        self.options.metric_history = Some(history);
        Ok(())
    }
}

fn hostname() -> Option<String> {
    let name = std::env::var("HOSTNAME").ok();
    name.filter(|name| !name.is_empty())
}
