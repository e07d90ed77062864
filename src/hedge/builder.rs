use std::time::Duration;

use super::{Hedge, HedgeSettings};
use crate::{
    call::{ConfigError, GrpcCode, Label},
    retry::{Budget, GrpcCodes, Retry},
};

/// A builder of hedges; made by [`Hedge::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct HedgeBuilder {
    name: Label,
    settings: HedgeSettings,
    budget: BudgetSource,
}

/// The budget that is charged.
#[derive(Clone, Debug)]
enum BudgetSource {
    /// A new one, made of the settings.
    New,
    /// A budget that others may share, in which the hedge counts its calls.
    Given(Budget),
    /// The budget of a retry around the hedge, which counts the calls. `None` if it has none.
    OfRetry(Option<Budget>),
}

impl HedgeBuilder {
    pub(super) fn new(name: Label) -> Self {
        HedgeBuilder {
            name,
            settings: HedgeSettings::default(),
            budget: BudgetSource::New,
        }
    }

    /// Sets all [settings](HedgeSettings) at once. Setters that follow override them. The budget is a new one.
    ///
    /// ```
    /// use tower_keep::hedge::{Hedge, HedgeSettings};
    ///
    /// let mut settings = HedgeSettings::default();
    /// settings.percentile = 0.99;
    /// let hedge = Hedge::builder("quotes").settings(&settings).max_hedges(2).build()?;
    /// assert_eq!((hedge.settings().percentile, hedge.settings().max_hedges), (0.99, 2));
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn settings(mut self, settings: &HedgeSettings) -> Self {
        self.settings = settings.clone();
        self.budget = BudgetSource::New;
        self
    }

    /// Sets a fixed time after which a hedge is sent, instead of a percentile.
    ///
    /// Attempts are not timed then. Must be 1 ms to 1 h. Default: the percentile, which follows the peer.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.settings.delay = Some(delay);
        self
    }

    /// Sets the fraction of attempts that are answered before a hedge is sent.
    ///
    /// The rest is what hedges add to the load: 5 % at 0.95. Must be 0.5 to 0.999. Default: 0.95, as in "The Tail at Scale".
    pub fn percentile(mut self, fraction: f64) -> Self {
        self.settings.percentile = fraction;
        self
    }

    /// Sets the number of samples below which the percentile counts as unknown, so that nothing is hedged because of the time.
    ///
    /// Must be 10 to 100,000. Default: 50, since of fewer a 95th percentile says little.
    pub fn min_samples(mut self, samples: u32) -> Self {
        self.settings.min_samples = samples;
        self
    }

    /// Sets for how long samples count. They are forgotten by halves.
    ///
    /// Shorter follows a change of the peer sooner, and needs more calls. Must be 1 s to 1 h. Default: 60 s.
    pub fn window(mut self, window: Duration) -> Self {
        self.settings.window = window;
        self
    }

    /// Sets the largest number of hedges of one call, each a delay after the one before. 0 sends none.
    ///
    /// Must be at most 10. Default: 1, since the second gains little.
    pub fn max_hedges(mut self, hedges: u32) -> Self {
        self.settings.max_hedges = hedges;
        self
    }

    /// Sets the gRPC codes after which the next attempt is sent at once; other codes are the result of the call (*fatal* in gRPC's
    /// proposal A6). Replaces the default.
    ///
    /// Must not contain `OK`. Default: `UNAVAILABLE`.
    pub fn grpc_codes(mut self, codes: impl IntoIterator<Item = GrpcCode>) -> Self {
        self.settings.grpc_codes = GrpcCodes::new(codes);
        self
    }

    /// Sets the budget that all hedges share, in which each call counts; `None` for no limit. For a hedge inside of a retry use
    /// [`retry_budget`](Self::retry_budget).
    ///
    /// Default: hedges for 20 % of the calls of the last 10 s and 10 a second; each hedge that is built gets its own.
    ///
    /// ```
    /// use tower_keep::{hedge::Hedge, retry::Budget};
    ///
    /// let budget = Budget::window().ratio(0.05).build()?;
    /// let hedge = Hedge::builder("quotes").budget(budget.clone()).build()?;
    /// # let _ = hedge;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn budget(mut self, budget: impl Into<Option<Budget>>) -> Self {
        let budget = budget.into();
        self.settings.budget = budget.as_ref().map(Budget::settings);
        // A new one is unused while the settings have none.
        self.budget = budget.map_or(BudgetSource::New, BudgetSource::Given);
        self
    }

    /// Charges the budget of a retry that the same calls go through, and which counts them there: one allowance for retries and
    /// hedges.
    ///
    /// ```
    /// use tower_keep::{hedge::Hedge, retry::Retry};
    ///
    /// let retry = Retry::new("quotes");
    /// let hedge = Hedge::builder("quotes").retry_budget(&retry).build()?;
    /// assert_eq!(hedge.settings().budget, retry.settings().budget);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn retry_budget(mut self, retry: &Retry) -> Self {
        let budget = retry.budget();
        self.settings.budget = budget.map(Budget::settings);
        self.budget = BudgetSource::OfRetry(budget.cloned());
        self
    }

    /// Charges the budget of a retry, unless another was chosen.
    pub(crate) fn or_retry_budget(self, retry: Option<&Retry>) -> Self {
        let is_default = self.settings.budget == HedgeSettings::default().budget;
        match (&self.budget, retry) {
            (BudgetSource::New, Some(retry)) if is_default => self.retry_budget(retry),
            _ => self,
        }
    }

    /// Checks the settings, and creates the hedge.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid.
    pub fn build(self) -> Result<Hedge, ConfigError> {
        self.settings.check(self.name.as_str())?;
        // Here, and not in a setter: clones of a builder must not share a budget that nobody chose.
        let new_budget = || Budget::from_settings(self.settings.budget.unwrap_or_default());
        let (budget, counts_calls) = match self.budget {
            BudgetSource::New => (new_budget(), true),
            BudgetSource::Given(budget) => (budget, true),
            BudgetSource::OfRetry(budget) => (budget.unwrap_or_else(new_budget), false),
        };
        Ok(Hedge::from_parts(
            self.name,
            self.settings,
            budget,
            counts_calls,
        ))
    }
}
