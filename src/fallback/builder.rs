use std::fmt;

use http::{HeaderName, HeaderValue};

use super::{
    FailedCall, Fallback,
    shared::{FallbackShared, WhenFn},
};
use crate::call::{ConfigError, Label};

/// Builder of a [`Fallback`]; made by [`Fallback::builder`].
#[must_use]
pub struct FallbackBuilder {
    name: Label,
    when: Option<Box<WhenFn>>,
    header: Option<HeaderName>,
}

impl FallbackBuilder {
    pub(super) fn new(name: Label) -> Self {
        FallbackBuilder {
            name,
            when: None,
            header: None,
        }
    }

    /// Sets which failed calls the fallback responds to.
    ///
    /// The predicate is called for every outcome but `Success`. For a response that only looks like a success, set a
    /// classifier. If the predicate panics, it counts as `false`. Default: `Failure`, `Overload`, `TimedOut`, `Rejected`,
    /// and `Panicked` if the panic was caught; not `ClientError`, which is the caller's fault, nor `Cancelled`.
    ///
    /// ```
    /// use tower_keep::{RejectionKind, fallback::Fallback};
    ///
    /// let when_open = Fallback::builder("quotes")
    ///     .when(|failed| failed.rejection().is_some_and(|why| why.kind() == RejectionKind::CircuitOpen))
    ///     .build()?;
    /// # let _ = when_open;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn when(
        mut self,
        predicate: impl Fn(&FailedCall<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.when = Some(Box::new(predicate));
        self
    }

    /// Sets the header of HTTP responses that names the fallback. [`FallbackInfo`](super::FallbackInfo) is in their
    /// extensions in any case. Default: none, so that callers do not learn about the inside.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.header = Some(name);
        self
    }

    /// Builds the fallback, and adds it to the [registry](crate::registry).
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if there is a header that cannot hold the name.
    pub fn build(self) -> Result<Fallback, ConfigError> {
        let Some(header) = self.header.clone() else {
            return Ok(self.build_unchecked(None));
        };
        // Checked here, where an error can be returned: a name may have line breaks.
        match HeaderValue::from_str(self.name.as_str()) {
            Ok(value) => Ok(self.build_unchecked(Some((header, value)))),
            Err(_) => {
                let component = format!("fallback {:?}", self.name);
                let expected = "off, or the name one that a header can hold";
                Err(ConfigError::new(component, "header", header, expected))
            }
        }
    }

    pub(super) fn build_unchecked(self, header: Option<(HeaderName, HeaderValue)>) -> Fallback {
        Fallback {
            shared: FallbackShared::new(self.name, self.when, header),
        }
    }
}

impl fmt::Debug for FallbackBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackBuilder")
            .field("name", &self.name)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}
