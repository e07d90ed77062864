use std::{fmt, sync::Arc, time::Duration};

use super::{Backoff, Budget, JitterRng, counts::RetryMetrics, policy::RetryConfig};
use crate::{
    call::{CallClock, ConfigError, Label},
    registry::{self, Inspect, Stats},
};

const MAX_ATTEMPTS: u32 = 100;
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// When and how often failed work is tried again: see the [module](super).
///
/// # Clones
///
/// Clones share the budget, the metrics and the source of chance.
#[derive(Clone)]
pub struct Retry {
    pub(super) shared: Arc<RetryShared>,
}

pub(super) struct RetryShared {
    pub(super) config: RetryConfig,
    pub(super) budget: Option<Budget>,
    pub(super) jitter_rng: JitterRng,
    pub(super) metrics: RetryMetrics,
}

impl Retry {
    /// All defaults, under a name of one's own.
    pub fn new(name: impl Into<Label>) -> Self {
        Retry::builder(name).build_unchecked()
    }

    /// Begins with the defaults; the name is what metrics and logs show.
    pub fn builder(name: impl Into<Label>) -> RetryBuilder {
        RetryBuilder {
            name: name.into(),
            config: RetryConfig {
                max_attempts: 3,
                backoff: Backoff::default(),
                max_retry_after: Duration::from_secs(30),
                max_elapsed: None,
                retry_rejections: false,
            },
            budget: BudgetSetting::PerRetry,
            jitter_rng: None,
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.shared.metrics.name()
    }

    /// The budget, to share with others who talk to the same peer.
    pub fn budget(&self) -> Option<&Budget> {
        self.shared.budget.as_ref()
    }
}

impl Default for Retry {
    /// All defaults, under the name `retry`. Each has a budget of its own; clones share it.
    fn default() -> Self {
        Retry::new("retry")
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("name", &self.name())
            .field("policy", &self.shared.config)
            .field("budget", &self.shared.budget)
            .finish_non_exhaustive()
    }
}

impl Inspect for RetryShared {
    fn kind(&self) -> &'static str {
        "retry"
    }

    fn name(&self) -> &str {
        self.metrics.name()
    }

    fn state(&self) -> &'static str {
        "on"
    }

    fn stats(&self, stats: &mut Stats) {
        self.metrics.write_stats(stats);
        let available = |budget: &Budget| budget.available(&CallClock::default());
        if let Some(available) = self.budget.as_ref().and_then(available) {
            stats.count("budget_available", available);
        }
    }
}

/// Settings of a [`Retry`]; made by [`Retry::builder`].
#[derive(Clone, Debug)]
pub struct RetryBuilder {
    name: Label,
    config: RetryConfig,
    budget: BudgetSetting,
    jitter_rng: Option<JitterRng>,
}

/// Clones of a builder share what they were given, but no default: one is made for each retry.
#[derive(Clone, Debug)]
enum BudgetSetting {
    PerRetry,
    Configured(Option<Budget>),
}

impl RetryBuilder {
    /// For a peer that is near: 4 attempts, 25 ms doubled up to 250 ms, full jitter.
    #[must_use]
    pub fn preset_internal(self) -> Self {
        let backoff = Backoff::exponential(Duration::from_millis(25));
        self.max_attempts(4)
            .backoff(backoff.max(Duration::from_millis(250)))
    }

    /// For somebody else's API, where nobody waits on the line: 4 attempts, 500 ms doubled up to 20 s, full jitter,
    /// hints up to a minute.
    #[must_use]
    pub fn preset_external(self) -> Self {
        let backoff = Backoff::exponential(Duration::from_millis(500));
        self.max_attempts(4)
            .backoff(backoff.max(Duration::from_secs(20)))
            .max_retry_after(Duration::from_secs(60))
    }

    /// How many attempts there are, the first included.
    ///
    /// Retries in several layers multiply: keep it low. Must be 1 to 100. Default: 3.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.config.max_attempts = attempts;
        self
    }

    /// How long to wait before each retry. Default: 50 ms doubled up to 1 s, full jitter.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.config.backoff = backoff;
        self
    }

    /// What all retries together may take; `None` for no bound. Default: one of its own, 20 % of the calls of the
    /// last 10 s and 10 a second; each retry that is built, from a clone of this builder too, has another.
    #[must_use]
    pub fn budget(mut self, budget: impl Into<Option<Budget>>) -> Self {
        self.budget = BudgetSetting::Configured(budget.into());
        self
    }

    /// How long a wait that the peer asks for is heeded. Who asks for more is not tried again: sooner would be
    /// against its will.
    ///
    /// Must be at most a day. Default: 30 s.
    #[must_use]
    pub fn max_retry_after(mut self, wait: Duration) -> Self {
        self.config.max_retry_after = wait;
        self
    }

    /// How long after its start a call may still begin attempts. Cuts none off: that is a timeout's work.
    ///
    /// Must not be zero. Default: as long as there are attempts.
    #[must_use]
    pub fn max_elapsed(mut self, time: Duration) -> Self {
        self.config.max_elapsed = Some(time);
        self
    }

    /// Whether refusals by guards of this process are tried again, too. Default: no, since they are meant.
    #[must_use]
    pub fn retry_rejections(mut self, again: bool) -> Self {
        self.config.retry_rejections = again;
        self
    }

    /// Where jitter comes from. Default: the operating system's seed.
    #[must_use]
    pub fn chance(mut self, chance: JitterRng) -> Self {
        self.jitter_rng = Some(chance);
        self
    }

    /// Makes it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first setting that makes no sense.
    pub fn build(self) -> Result<Retry, ConfigError> {
        let owner = format!("retry {:?}", self.name);
        let policy = &self.config;
        if !(1..=MAX_ATTEMPTS).contains(&policy.max_attempts) {
            let got = policy.max_attempts;
            return Err(ConfigError::new(owner, "attempts", got, "1 to 100"));
        }
        policy.backoff.validate(&owner)?;
        if policy.max_retry_after > MAX_RETRY_AFTER {
            let got = format!("{:?}", policy.max_retry_after);
            let must = "at most a day";
            return Err(ConfigError::new(owner, "max_hint", got, must));
        }
        if policy.max_elapsed.is_some_and(|time| time.is_zero()) {
            let must = "longer than nothing";
            return Err(ConfigError::new(owner, "within", "0ns", must));
        }
        Ok(self.build_unchecked())
    }

    fn build_unchecked(self) -> Retry {
        let shared = Arc::new(RetryShared {
            config: self.config,
            budget: match self.budget {
                BudgetSetting::PerRetry => Some(Budget::default()),
                BudgetSetting::Configured(budget) => budget,
            },
            jitter_rng: self.jitter_rng.unwrap_or_default(),
            metrics: RetryMetrics::new(self.name),
        });
        registry::register(&shared);
        Retry { shared }
    }
}
