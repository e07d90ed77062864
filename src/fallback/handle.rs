use std::{fmt, sync::Arc};

use super::{FallbackBuilder, shared::FallbackShared};
use crate::call::Label;

/// A named fallback: which failed calls it responds to, and how its responses are marked. See the [module](super).
///
/// # Clones
///
/// Clones are the same fallback: one name, one entry in the [registry](crate::registry), one count.
#[derive(Clone)]
pub struct Fallback {
    pub(crate) shared: Arc<FallbackShared>,
}

impl Fallback {
    /// Creates a fallback with the defaults.
    ///
    /// ```
    /// use tower_keep::fallback::{Fallback, FallbackLayer};
    ///
    /// let layer = FallbackLayer::any(Fallback::new("quotes")).value("no quotes today");
    /// # let _ = layer;
    /// ```
    pub fn new(name: impl Into<Label>) -> Self {
        Fallback::builder(name).build_unchecked(None)
    }

    /// Returns a builder with the defaults; the name is what metrics, logs and
    /// [`FallbackInfo`](super::FallbackInfo) show.
    ///
    /// ```
    /// use tower_keep::{Outcome, fallback::Fallback};
    ///
    /// let fallback = Fallback::builder("quotes")
    ///     .when(|failed| failed.outcome() == Outcome::TimedOut)
    ///     .build()?;
    /// # let _ = fallback;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(name: impl Into<Label>) -> FallbackBuilder {
        FallbackBuilder::new(name.into())
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.shared.name.as_str()
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("name", &self.shared.name)
            .field("header", &self.shared.header)
            .finish_non_exhaustive()
    }
}
