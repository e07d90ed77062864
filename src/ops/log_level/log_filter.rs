use crate::call::BoxError;

/// The filter of the log, which operators read and change: see
/// [`OpsBuilder::log_filter`](crate::ops::OpsBuilder::log_filter).
///
#[cfg_attr(
    feature = "logging",
    doc = "[`logging::FilterHandle`](crate::logging::FilterHandle) implements it,"
)]
#[cfg_attr(
    not(feature = "logging"),
    doc = "The handle of the feature `logging` implements it,"
)]
/// and so does a pair of closures, for another subscriber: one returns the directives, the other sets them.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use tower_keep::{BoxError, ops::Ops};
///
/// let level = Arc::new(Mutex::new(tracing::Level::INFO)); // what the subscriber asks
/// let read = { let level = level.clone(); move || level.lock().unwrap().to_string() };
/// let set = move |directives: &str| -> Result<(), BoxError> {
///     *level.lock().unwrap() = directives.parse()?;
///     Ok(())
/// };
/// let ops = Ops::builder("orders").log_filter((read, set)).build()?;
/// # let _ = ops;
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
pub trait LogFilter: Send + Sync + 'static {
    /// Returns the directives in force, such as `info,sqlx=debug`.
    fn directives(&self) -> String;

    /// Sets the directives. Of what is asked for, at most 1,000 bytes arrive here.
    ///
    /// # Errors
    ///
    /// Returns an error that says what is wrong, which the operator sees. Nothing is changed then.
    fn set_directives(&self, directives: &str) -> Result<(), BoxError>;
}

impl<R, S> LogFilter for (R, S)
where
    R: Fn() -> String + Send + Sync + 'static,
    S: Fn(&str) -> Result<(), BoxError> + Send + Sync + 'static,
{
    fn directives(&self) -> String {
        (self.0)()
    }

    fn set_directives(&self, directives: &str) -> Result<(), BoxError> {
        (self.1)(directives)
    }
}

#[cfg(feature = "logging")]
impl LogFilter for crate::logging::FilterHandle {
    fn directives(&self) -> String {
        crate::logging::FilterHandle::directives(self)
    }

    fn set_directives(&self, directives: &str) -> Result<(), BoxError> {
        Ok(self.set(directives)?)
    }
}
