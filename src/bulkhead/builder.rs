use super::{Bulkhead, BulkheadSettings};
use crate::call::{ConfigError, Label};

/// Builder of a [`Bulkhead`]; made by [`Bulkhead::builder`].
#[derive(Clone, Debug)]
pub struct BulkheadBuilder {
    name: Label,
    settings: BulkheadSettings,
}

impl BulkheadBuilder {
    pub(super) fn new(name: Label) -> Self {
        BulkheadBuilder {
            name,
            settings: BulkheadSettings::default(),
        }
    }

    /// Sets the number of calls that may be in flight at once.
    ///
    /// The product of the calls per second that the peer can take and the time that one of them takes is a good start:
    /// 100 a second of 200 ms each are 20 in flight. Must be 1 to 1,000,000. Default: 25, as in resilience4j: enough for a
    /// peer that answers in milliseconds, few enough that one that hangs does not take the whole process.
    ///
    /// ```
    /// use tower_keep::bulkhead::Bulkhead;
    ///
    /// let error = Bulkhead::builder("reports").limit(0).build().unwrap_err();
    /// assert_eq!(error.to_string(), r#"bulkhead "reports": limit is 0, must be 1 to 1000000"#);
    /// ```
    #[must_use]
    pub fn limit(mut self, calls: u32) -> Self {
        self.settings.limit = calls;
        self
    }

    /// Gives the slot back at the head of the response, instead of at the end of its body. For streams that may last for
    /// hours, such as server-sent events, whose number something else limits. Default: off, since a body that is still
    /// coming costs a connection, memory and the peer's time.
    #[must_use]
    pub fn until_head(mut self, on: bool) -> Self {
        self.settings.until_head = on;
        self
    }

    /// Sets all settings that a file may have.
    #[must_use]
    pub fn settings(mut self, settings: &BulkheadSettings) -> Self {
        self.settings = settings.clone();
        self
    }

    /// Builds the bulkhead, and registers it.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid.
    pub fn build(self) -> Result<Bulkhead, ConfigError> {
        self.settings.check(self.name.as_str())?;
        Ok(Bulkhead::from_settings(self.name, self.settings))
    }
}
