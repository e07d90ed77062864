use super::{BucketBudget, BudgetKind, ThrottleBudget, WindowBudget};
use crate::call::ConfigError;

/// Settings of a [`Budget`](super::Budget) of any kind, as a file may have them.
///
/// In a file (feature `serde`) it is a table with its `kind`, which is `"window"` if it is absent, and the settings of
/// that kind; those that are absent have their defaults.
///
/// ```
/// use tower_keep::retry::{Budget, BudgetSettings};
///
/// # #[cfg(feature = "serde")] {
/// let budget: BudgetSettings = toml::from_str("ratio = 0.1").unwrap();
/// assert_eq!(budget, Budget::window().ratio(0.1).into());
/// let budget: BudgetSettings = toml::from_str("kind = 'throttle'\nmax_tokens = 20.0").unwrap();
/// assert_eq!(budget, Budget::throttle().max_tokens(20.0).into());
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(
        into = "crate::retry::serde_forms::BudgetForm",
        try_from = "crate::retry::serde_forms::BudgetForm"
    )
)]
pub enum BudgetSettings {
    /// A fraction of the calls of the last seconds: [`Budget::window`](super::Budget::window).
    Window(WindowBudget),
    /// The throttle of gRPC: [`Budget::throttle`](super::Budget::throttle).
    Throttle(ThrottleBudget),
    /// The bucket of AWS' SDKs: [`Budget::bucket`](super::Budget::bucket).
    Bucket(BucketBudget),
}

impl BudgetSettings {
    pub(super) fn kind(&self) -> BudgetKind {
        match self {
            BudgetSettings::Window(_) => BudgetKind::Window,
            BudgetSettings::Throttle(_) => BudgetKind::Throttle,
            BudgetSettings::Bucket(_) => BudgetKind::Bucket,
        }
    }

    pub(crate) fn validate(&self, component: &str) -> Result<(), ConfigError> {
        let component = format!("{component}, budget");
        match self {
            BudgetSettings::Window(window) => window.validate(&component),
            BudgetSettings::Throttle(throttle) => throttle.validate(&component),
            BudgetSettings::Bucket(bucket) => bucket.validate(&component),
        }
    }
}

/// A window: retries for 20 % of the calls of the last 10 s, and 10 a second.
impl Default for BudgetSettings {
    fn default() -> Self {
        BudgetSettings::Window(WindowBudget::default())
    }
}

impl From<WindowBudget> for BudgetSettings {
    fn from(window: WindowBudget) -> Self {
        BudgetSettings::Window(window)
    }
}

impl From<ThrottleBudget> for BudgetSettings {
    fn from(throttle: ThrottleBudget) -> Self {
        BudgetSettings::Throttle(throttle)
    }
}

impl From<BucketBudget> for BudgetSettings {
    fn from(bucket: BucketBudget) -> Self {
        BudgetSettings::Bucket(bucket)
    }
}
