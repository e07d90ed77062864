use std::fmt;

use super::{Aimd, Correlation, Gradient2, Limit, Vegas};

/// The settings of a limit that adapts itself; for [`BulkheadBuilder::adaptive`](crate::bulkhead::BulkheadBuilder::adaptive), and
/// as `adaptive` of [`BulkheadSettings`](crate::bulkhead::BulkheadSettings) in a file.
///
/// ```
/// use tower_keep::{Bulkhead, adaptive::{Algorithm, AdaptiveSettings}};
///
/// let mut settings = AdaptiveSettings::default();
/// (settings.algorithm, settings.max) = (Algorithm::Aimd, 500);
/// let ledger = Bulkhead::builder("ledger").limit(20).adaptive(settings).build()?;
/// assert_eq!(ledger.limit(), 20);
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct AdaptiveSettings {
    /// The algorithm. Default: [`Correlation`].
    pub algorithm: Algorithm,
    /// The least calls in flight. Must be 1 to `max`. Default: 1, so that a peer that can take next to nothing gets no more.
    pub min: u32,
    /// The most calls in flight. Must be `min` to 1,000,000. Default: 200, as in Netflix's and failsafe-go's limiters.
    pub max: u32,
}

impl Default for AdaptiveSettings {
    fn default() -> Self {
        AdaptiveSettings {
            algorithm: Algorithm::Correlation,
            min: 1,
            max: 200,
        }
    }
}

/// An algorithm by name; see the [module](super) for when to use which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Algorithm {
    /// [`Aimd`]: overloads alone.
    Aimd,
    /// [`Vegas`]: the shortest time.
    Vegas,
    /// [`Gradient2`]: the usual time.
    Gradient2,
    /// [`Correlation`]: the usual time, guarded against slow drift.
    #[default]
    Correlation,
}

impl Algorithm {
    pub(crate) fn start(self) -> Box<dyn Limit> {
        match self {
            Algorithm::Aimd => Box::new(Aimd::default()),
            Algorithm::Vegas => Box::new(Vegas::default()),
            Algorithm::Gradient2 => Box::new(Gradient2::default()),
            Algorithm::Correlation => Box::new(Correlation::default()),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Algorithm::Aimd => "aimd",
            Algorithm::Vegas => "vegas",
            Algorithm::Gradient2 => "gradient2",
            Algorithm::Correlation => "correlation",
        })
    }
}
