use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{Check, Health, heartbeat::Heartbeat, model::HealthModel, shared::Shared};
use crate::call::{ConfigError, Label};

/// The maximum number of components: a page lists them, and each is a series.
const MAX_CHECKS: usize = 256;
/// Default: 10 s without a single task that ran. Shorter would restart processes for a busy moment of their machine.
const DEFAULT_LIVENESS_LIMIT: Duration = Duration::from_secs(10);
const MIN_LIVENESS_LIMIT: Duration = Duration::from_secs(2);

/// Settings of a [`Health`].
#[derive(Debug)]
#[must_use]
pub struct HealthBuilder {
    service: Label,
    release: Option<Label>,
    checks: Vec<Check>,
    waits_for_application: bool,
    liveness_limit: Duration,
    has_verbose_probes: bool,
    seed: Option<u64>,
}

impl HealthBuilder {
    pub(super) fn new(service: Label) -> Self {
        HealthBuilder {
            service,
            release: None,
            checks: Vec::new(),
            waits_for_application: false,
            liveness_limit: DEFAULT_LIVENESS_LIMIT,
            has_verbose_probes: false,
            seed: None,
        }
    }

    /// Sets the version of the service, which documents show. Default: none.
    pub fn version(mut self, version: impl Into<Label>) -> Self {
        self.release = Some(version.into());
        self
    }

    /// Adds a component. At most 256, with different names. Default: none.
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// Makes the process count as started only once the application has called [`Health::started`].
    ///
    /// For what no check knows: caches that are filled, migrations. Default: it counts as started when its components have
    /// worked once.
    pub fn wait_for_started(mut self) -> Self {
        self.waits_for_application = true;
        self
    }

    /// Sets the time after which a runtime that runs no task is not alive.
    ///
    /// Must be at least 2 s. Default: 10 s, so that a busy moment of the machine restarts nothing.
    pub fn liveness_limit(mut self, limit: Duration) -> Self {
        self.liveness_limit = limit;
        self
    }

    /// Sets whether probes with `?verbose` list the components: names and statuses, no reasons.
    ///
    /// Anybody who can reach a probe can read it. Default: `false`.
    pub fn verbose_probes(mut self, verbose: bool) -> Self {
        self.has_verbose_probes = verbose;
        self
    }

    /// Sets the seed of the jitter, for tests. Default: random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Builds the handle. No check runs before [`Health::spawn`].
    ///
    /// # Errors
    ///
    /// If a setting is out of range, or two checks have the same name.
    pub fn build(self) -> Result<Health, ConfigError> {
        let component = || format!("health {:?}", self.service.as_str());
        if self.checks.len() > MAX_CHECKS {
            let (count, expected) = (self.checks.len(), "at most 256 checks");
            return Err(ConfigError::new(component(), "check", count, expected));
        }
        if self.liveness_limit < MIN_LIVENESS_LIMIT {
            let limit = format_args!("{:?}", self.liveness_limit);
            return Err(ConfigError::new(
                component(),
                "liveness_limit",
                limit,
                "at least 2s",
            ));
        }
        let mut names = HashSet::new();
        for check in &self.checks {
            check.validate()?;
            let name = check.config().name.as_str();
            if !names.insert(name) {
                let name = format_args!("{name:?}");
                return Err(ConfigError::new(
                    component(),
                    "check",
                    name,
                    "a name that no other check has",
                ));
            }
        }
        let model = HealthModel::new(
            self.service,
            self.release,
            self.checks
                .iter()
                .map(|check| check.config().clone())
                .collect(),
            self.waits_for_application,
            SystemTime::now(),
        );
        let heartbeat = Heartbeat::new(Instant::now(), self.liveness_limit);
        let shared = Shared::new(model, self.checks, heartbeat, self.has_verbose_probes);
        Ok(Health::new(
            shared,
            self.seed.unwrap_or_else(|| fastrand::u64(..)),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: String) -> Check {
        Check::new(name, || async {})
    }

    fn error(builder: HealthBuilder) -> String {
        builder.build().expect_err("invalid").to_string()
    }

    #[test]
    fn build_names_what_is_out_of_range() {
        let health = || HealthBuilder::new("orders".into());
        let with =
            |count: usize| (0..count).fold(health(), |to, n| to.check(check(format!("c{n}"))));
        assert!(with(256).build().is_ok());
        assert_eq!(
            error(with(257)),
            "health \"orders\": check is 257, must be at most 256 checks"
        );
        let limit = |ms| health().liveness_limit(Duration::from_millis(ms));
        assert!(limit(2_000).build().is_ok());
        assert_eq!(
            error(limit(1_999)),
            "health \"orders\": liveness_limit is 1.999s, must be at least 2s"
        );
        let twice = health().check(check("db".into())).check(check("db".into()));
        assert_eq!(
            error(twice),
            "health \"orders\": check is \"db\", must be a name that no other check has"
        );
        assert!(error(health().check(check(String::new()))).starts_with("check: name is"));
    }
}
