use std::{fmt, marker::PhantomData};

use http::{HeaderName, Request};

use super::{plan::Plan, requested::take_requested};
use crate::{call::catch_hook, context::RequestPredicate};

/// The answer whether faults are injected into a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RequestMatched {
    /// A request that is left alone, and takes no place in the sequence of faults.
    No,
    /// A request about which the rates decide.
    Yes,
    /// A request whose caller has asked for faults, and may.
    Requested(Plan),
}

/// The requests that faults are injected into. Implemented by the types of this module, and by no other.
pub trait RequestMatch<Req> {
    #[doc(hidden)]
    fn find(&self, request: &mut Req) -> RequestMatched;
}

/// All requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllRequests;

impl<Req> RequestMatch<Req> for AllRequests {
    fn find(&self, _: &mut Req) -> RequestMatched {
        RequestMatched::Yes
    }
}

/// The requests that a closure chooses. One that panics counts as `false`.
pub struct RequestsIf<Req, F> {
    pub(super) predicate: F,
    pub(super) request: PhantomData<fn(&Req)>,
}

impl<Req, F: Fn(&Req) -> bool> RequestMatch<Req> for RequestsIf<Req, F> {
    fn find(&self, request: &mut Req) -> RequestMatched {
        match catch_hook(|| (self.predicate)(request)) {
            Some(true) => RequestMatched::Yes,
            _ => RequestMatched::No,
        }
    }
}

impl<Req, F: Clone> Clone for RequestsIf<Req, F> {
    fn clone(&self) -> Self {
        RequestsIf {
            predicate: self.predicate.clone(),
            request: PhantomData,
        }
    }
}

impl<Req, F> fmt::Debug for RequestsIf<Req, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestsIf")
    }
}

/// The HTTP requests that a closure chooses by their head; all without one. Callers may ask for faults in a header, if there is
/// one.
#[derive(Clone, Debug, Default)]
pub struct HttpRequests {
    pub(super) predicate: Option<RequestPredicate>,
    pub(super) header: Option<HeaderName>,
}

impl<B> RequestMatch<Request<B>> for HttpRequests {
    fn find(&self, request: &mut Request<B>) -> RequestMatched {
        let predicate = self.predicate.as_ref();
        if predicate.is_some_and(|predicate| !predicate.matches(request)) {
            return RequestMatched::No;
        }
        let header = self.header.as_ref();
        let requested = header.and_then(|name| take_requested(request.headers_mut(), name));
        requested.map_or(RequestMatched::Yes, RequestMatched::Requested)
    }
}
