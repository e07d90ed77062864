use std::{error::Error, fmt, sync::Arc};

use crate::call::BoxError;

/// The error of a call that several callers share, each of which gets a clone.
///
/// Displays the error, which is its [source](Error::source): [`find`](crate::call::find) finds it by its type, and
/// [`Rejection::find`](crate::Rejection::find) a rejection.
///
/// ```
/// use std::io;
/// use tower_keep::{call::find, coalesce::Coalesce};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let quotes = Coalesce::new("quotes");
/// let failed = quotes.run("ACME", async { Err::<u32, _>(io::Error::other("no quote")) }).await;
/// let error = failed.unwrap_err();
/// assert_eq!(error.to_string(), "no quote");
/// assert!(find::<io::Error>(&error).is_some());
/// # }
/// ```
#[derive(Clone)]
pub struct SharedError(Arc<dyn Error + Send + Sync>);

impl SharedError {
    pub(crate) fn new(error: impl Into<BoxError>) -> Self {
        SharedError(Arc::from(error.into()))
    }
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for SharedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
