use std::{any::Any, error::Error};

use http::{Extensions, HeaderMap, StatusCode};

use super::{GrpcCode, Outcome};

/// What there is to judge a call by, and what the protocol would say.
#[derive(Debug)]
pub struct Ending<'a> {
    pub(crate) verdict: Outcome,
    pub(crate) status: Option<StatusCode>,
    pub(crate) grpc_code: Option<GrpcCode>,
    pub(crate) headers: Option<&'a HeaderMap>,
    pub(crate) extensions: Option<&'a Extensions>,
    pub(crate) error: Option<&'a (dyn Error + 'static)>,
    pub(crate) response: Option<&'a dyn Any>,
}

impl<'a> Ending<'a> {
    pub(crate) fn of(verdict: Outcome) -> Self {
        Ending {
            verdict,
            status: None,
            grpc_code: None,
            headers: None,
            extensions: None,
            error: None,
            response: None,
        }
    }

    /// Returns the protocol's own outcome.
    pub fn outcome(&self) -> Outcome {
        self.verdict
    }

    /// The HTTP status.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// The gRPC code, from headers or trailers.
    pub fn grpc_code(&self) -> Option<GrpcCode> {
        self.grpc_code
    }

    /// The headers, or for a gRPC code in trailers the trailers.
    pub fn headers(&self) -> Option<&'a HeaderMap> {
        self.headers
    }

    /// What the service left in the response's extensions.
    pub fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<&'a T> {
        self.extensions?.get()
    }

    /// The error, where there was no response or its body failed.
    pub fn error(&self) -> Option<&'a (dyn Error + 'static)> {
        self.error
    }

    /// The response of a plain service, if it is of this type.
    pub fn response<T: 'static>(&self) -> Option<&'a T> {
        self.response?.downcast_ref()
    }
}

/// Judges how a call ended. Closures implement it; `()` leaves it to the protocol.
///
/// Asked once per call, when there is something final to judge: the head of an HTTP response, the status of
/// a gRPC call wherever it comes, an error, the value of a plain service. One that panics makes that call a
/// [`Failure`](Outcome::Failure).
///
/// ```
/// use tower_keep::{Outcome, call::Ending};
///
/// // This peer says 404 when it has lost its index.
/// let classify = |end: &Ending<'_>| match end.status() {
///     Some(status) if status == 404 => Outcome::Failure,
///     _ => end.outcome(),
/// };
/// # fn check(_: impl tower_keep::call::Classify) {}
/// # check(classify);
/// ```
pub trait Classify {
    /// The outcome of a call that ended so.
    fn classify(&self, end: &Ending<'_>) -> Outcome;
}

impl Classify for () {
    #[inline]
    fn classify(&self, end: &Ending<'_>) -> Outcome {
        end.verdict
    }
}

impl<F: Fn(&Ending<'_>) -> Outcome> Classify for F {
    #[inline]
    fn classify(&self, end: &Ending<'_>) -> Outcome {
        self(end)
    }
}

/// Asks a classifier that may panic.
#[inline]
pub(crate) fn judged(classify: &impl Classify, end: &Ending<'_>) -> Outcome {
    super::quietly(|| classify.classify(end)).unwrap_or(Outcome::Failure)
}
