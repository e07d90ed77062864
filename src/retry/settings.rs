use std::{fmt, sync::Arc, time::Duration};

use super::{Backoff, Budget, Chance, counts::Counts, policy::Policy};
use crate::{
    call::{InvalidSetting, Moment, Name},
    registry::{self, Inspect, Stats},
};

const MAX_ATTEMPTS: u32 = 100;
const MAX_HINT: Duration = Duration::from_secs(24 * 3_600);

/// When and how often failed work is tried again: see the [module](super).
///
/// # Clones
///
/// Clones share the budget, the metrics and the source of chance.
#[derive(Clone)]
pub struct Retry {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) policy: Policy,
    pub(super) budget: Option<Budget>,
    pub(super) chance: Chance,
    pub(super) counts: Counts,
}

impl Retry {
    /// All defaults, under a name of one's own.
    pub fn named(name: impl Into<Name>) -> Self {
        Retry::builder(name).unchecked()
    }

    /// Begins with the defaults; the name is what metrics and logs show.
    pub fn builder(name: impl Into<Name>) -> RetryBuilder {
        RetryBuilder {
            name: name.into(),
            policy: Policy {
                attempts: 3,
                backoff: Backoff::default(),
                max_hint: Duration::from_secs(30),
                within: None,
                rejections: false,
            },
            budget: BudgetSetting::Own,
            chance: None,
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.shared.counts.name()
    }

    /// The budget, to share with others who talk to the same peer.
    pub fn budget(&self) -> Option<&Budget> {
        self.shared.budget.as_ref()
    }
}

impl Default for Retry {
    /// All defaults, under the name `retry`. Each has a budget of its own; clones share it.
    fn default() -> Self {
        Retry::named("retry")
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("name", &self.name())
            .field("policy", &self.shared.policy)
            .field("budget", &self.shared.budget)
            .finish_non_exhaustive()
    }
}

impl Inspect for Shared {
    fn kind(&self) -> &'static str {
        "retry"
    }

    fn name(&self) -> &str {
        self.counts.name()
    }

    fn state(&self) -> &'static str {
        "on"
    }

    fn stats(&self, stats: &mut Stats) {
        self.counts.show(stats);
        let available = |budget: &Budget| budget.available(&Moment::default());
        if let Some(available) = self.budget.as_ref().and_then(available) {
            stats.count("budget_available", available);
        }
    }
}

/// Settings of a [`Retry`]; made by [`Retry::builder`].
#[derive(Clone, Debug)]
pub struct RetryBuilder {
    name: Name,
    policy: Policy,
    budget: BudgetSetting,
    chance: Option<Chance>,
}

/// Clones of a builder share what they were given, but no default: one is made for each retry.
#[derive(Clone, Debug)]
enum BudgetSetting {
    Own,
    Given(Option<Budget>),
}

impl RetryBuilder {
    /// For a peer that is near: 4 attempts, 25 ms doubled up to 250 ms, full jitter.
    #[must_use]
    pub fn network(self) -> Self {
        let backoff = Backoff::exponential(Duration::from_millis(25));
        self.attempts(4)
            .backoff(backoff.max(Duration::from_millis(250)))
    }

    /// For somebody else's API, where nobody waits on the line: 4 attempts, 500 ms doubled up to 20 s, full jitter,
    /// hints up to a minute.
    #[must_use]
    pub fn api(self) -> Self {
        let backoff = Backoff::exponential(Duration::from_millis(500));
        self.attempts(4)
            .backoff(backoff.max(Duration::from_secs(20)))
            .max_hint(Duration::from_secs(60))
    }

    /// How many attempts there are, the first included.
    ///
    /// Retries in several layers multiply: keep it low. Must be 1 to 100. Default: 3.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.policy.attempts = attempts;
        self
    }

    /// How long to wait before each retry. Default: 50 ms doubled up to 1 s, full jitter.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.policy.backoff = backoff;
        self
    }

    /// What all retries together may take; `None` for no bound. Default: one of its own, 20 % of the calls of the
    /// last 10 s and 10 a second; each retry that is built, from a clone of this builder too, has another.
    #[must_use]
    pub fn budget(mut self, budget: impl Into<Option<Budget>>) -> Self {
        self.budget = BudgetSetting::Given(budget.into());
        self
    }

    /// How long a wait that the peer asks for is heeded. Who asks for more is not tried again: sooner would be
    /// against its will.
    ///
    /// Must be at most a day. Default: 30 s.
    #[must_use]
    pub fn max_hint(mut self, wait: Duration) -> Self {
        self.policy.max_hint = wait;
        self
    }

    /// How long after its start a call may still begin attempts. Cuts none off: that is a timeout's work.
    ///
    /// Must not be zero. Default: as long as there are attempts.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.policy.within = Some(time);
        self
    }

    /// Whether refusals by guards of this process are tried again, too. Default: no, since they are meant.
    #[must_use]
    pub fn rejections(mut self, again: bool) -> Self {
        self.policy.rejections = again;
        self
    }

    /// Where jitter comes from. Default: the operating system's seed.
    #[must_use]
    pub fn chance(mut self, chance: Chance) -> Self {
        self.chance = Some(chance);
        self
    }

    /// Makes it.
    ///
    /// # Errors
    ///
    /// [`InvalidSetting`] names the first setting that makes no sense.
    pub fn build(self) -> Result<Retry, InvalidSetting> {
        let owner = format!("retry {:?}", self.name);
        let policy = &self.policy;
        if !(1..=MAX_ATTEMPTS).contains(&policy.attempts) {
            let got = policy.attempts;
            return Err(InvalidSetting::new(owner, "attempts", got, "1 to 100"));
        }
        policy.backoff.check(&owner)?;
        if policy.max_hint > MAX_HINT {
            let got = format!("{:?}", policy.max_hint);
            let must = "at most a day";
            return Err(InvalidSetting::new(owner, "max_hint", got, must));
        }
        if policy.within.is_some_and(|time| time.is_zero()) {
            let must = "longer than nothing";
            return Err(InvalidSetting::new(owner, "within", "0ns", must));
        }
        Ok(self.unchecked())
    }

    fn unchecked(self) -> Retry {
        let shared = Arc::new(Shared {
            policy: self.policy,
            budget: match self.budget {
                BudgetSetting::Own => Some(Budget::default()),
                BudgetSetting::Given(budget) => budget,
            },
            chance: self.chance.unwrap_or_default(),
            counts: Counts::new(self.name),
        });
        registry::enter(&shared);
        Retry { shared }
    }
}
