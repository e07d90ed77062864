use std::{any::Any, error::Error, io};

use crate::util::error_chain::sources;

/// A boxed error of any type.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Finds an error type in the source chain of an error, itself included. The chain is followed for 16 errors.
///
/// An error that `io::Error` wraps is found, too:
///
/// ```
/// use std::io;
/// use tower_keep::{Rejection, call::find};
///
/// let error = io::Error::other(Rejection::overloaded("shed"));
/// assert!(find::<Rejection>(&error).is_some());
/// ```
pub fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    sources(error).find_map(|error| error.downcast_ref())
}

/// Returns an error of a type without an `Error` bound as a std error.
///
/// Only well-known types can be recognized.
pub(crate) fn as_std_error(error: &dyn Any) -> Option<&(dyn Error + 'static)> {
    if let Some(error) = error.downcast_ref::<BoxError>() {
        return Some(&**error);
    }
    #[cfg(feature = "tonic")]
    if let Some(status) = error.downcast_ref::<tonic::Status>() {
        return Some(status);
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return Some(error);
    }
    if let Some(elapsed) = error.downcast_ref::<super::Elapsed>() {
        return Some(elapsed);
    }
    error.downcast_ref::<super::Rejection>().map(|r| r as _)
}

/// Returns whether an error is a timeout.
pub(crate) fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    sources(error).any(|error| {
        is_elapsed(error)
            || error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    })
}

/// Returns whether it is the error of a time limit, this crate's or another's.
pub(crate) fn is_elapsed(error: &(dyn Error + 'static)) -> bool {
    error.is::<super::Elapsed>()
        || error.is::<tokio::time::error::Elapsed>()
        || is_tower_timeout(error)
        || is_tonic_timeout(error)
        || is_reqwest_timeout(error)
}

#[cfg(feature = "tower")]
fn is_tower_timeout(error: &(dyn Error + 'static)) -> bool {
    error.is::<tower::timeout::error::Elapsed>()
}
#[cfg(not(feature = "tower"))]
fn is_tower_timeout(_: &(dyn Error + 'static)) -> bool {
    false
}

#[cfg(feature = "tonic")]
fn is_tonic_timeout(error: &(dyn Error + 'static)) -> bool {
    error.is::<tonic::TimeoutExpired>()
}
#[cfg(not(feature = "tonic"))]
fn is_tonic_timeout(_: &(dyn Error + 'static)) -> bool {
    false
}

/// Returns whether it is reqwest's timeout, by its accessor: the type of the cause is not public.
#[cfg(feature = "reqwest")]
fn is_reqwest_timeout(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref::<reqwest::Error>()
        .is_some_and(reqwest::Error::is_timeout)
}
#[cfg(not(feature = "reqwest"))]
fn is_reqwest_timeout(_: &(dyn Error + 'static)) -> bool {
    false
}

/// Returns whether an error comes from tower's load shedding.
#[cfg(feature = "tower")]
pub(crate) fn is_overload(error: &(dyn Error + 'static)) -> bool {
    find::<tower::load_shed::error::Overloaded>(error).is_some()
}
#[cfg(not(feature = "tower"))]
pub(crate) fn is_overload(_: &(dyn Error + 'static)) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Rejection;

    #[test]
    fn error_inside_of_an_io_error_is_found() {
        let error = io::Error::other(Rejection::overloaded("shed"));
        assert_eq!(
            find::<Rejection>(&error).map(Rejection::guard),
            Some("shed")
        );
    }
}
