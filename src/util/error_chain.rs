//! The chain of an error and its sources.

use std::{error::Error, io, iter};

use super::hook::catch_hook;

/// The maximum length of a source chain; a longer one is most likely a cycle.
const MAX_CHAIN: usize = 16;

/// Iterates over the error and its sources, outermost first.
pub(crate) fn sources<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| next_source(error)).take(MAX_CHAIN)
}

/// Returns the source of an error; `None` if its `source` panics. `io::Error::source` skips the error that it wraps, so that one
/// is returned here.
fn next_source<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(inner) => Some(inner),
        None => catch_hook(|| error.source()).flatten(),
    }
}
