use http::{Extensions, HeaderMap};

use super::Protocol;

/// A protocol that can read this kind of request.
pub trait ReadRequest<Req>: Protocol {
    /// Reads the state by which the call is classified.
    fn read(&self, request: &mut Req) -> Self::Call;

    /// Returns the request's extensions, if it is an HTTP request.
    #[doc(hidden)]
    #[inline]
    fn extensions(request: &Req) -> Option<&Extensions> {
        let _ = request;
        None
    }

    /// Returns the request's extensions for changes, if it is an HTTP request.
    #[doc(hidden)]
    #[inline]
    fn extensions_mut(request: &mut Req) -> Option<&mut Extensions> {
        let _ = request;
        None
    }

    /// Returns the request's headers, if it is an HTTP request.
    #[doc(hidden)]
    #[inline]
    fn headers_mut(request: &mut Req) -> Option<&mut HeaderMap> {
        let _ = request;
        None
    }
}
