//! Sources of the priority of a request.

use std::fmt;

use http::{Extensions, HeaderName, Request};

use super::InvalidPriority;
use crate::{
    context::{Context, Priority, Trust, count_malformed},
    util::headers::{find_header, remove_rare_header},
};

/// A source of priorities for requests of this type. Not meant to be implemented: any priority is a closure's,
/// [`Prioritizer::by`](super::Prioritizer::by).
pub trait PrioritySource<Req> {
    /// Returns the priority of the request, if it has one, and removes what must not be sent on.
    #[doc(hidden)]
    fn find(&self, request: &mut Req) -> Option<Priority>;

    /// Returns the context that the request carries, for its priority.
    #[doc(hidden)]
    fn context(request: &mut Req) -> Option<&mut Context>;
}

/// The extension of a request as its priority; see [`Prioritizer::by_extension`](super::Prioritizer::by_extension).
#[derive(Clone, Copy, Debug)]
pub struct ExtensionPriority(pub(super) ());

impl<B> PrioritySource<Request<B>> for ExtensionPriority {
    #[inline]
    fn find(&self, request: &mut Request<B>) -> Option<Priority> {
        extension_priority(request.extensions())
    }

    #[inline]
    fn context(request: &mut Request<B>) -> Option<&mut Context> {
        request.extensions_mut().get_mut()
    }
}

/// A header of trusted callers as the priority; see [`Prioritizer::by_header`](super::Prioritizer::by_header).
#[derive(Clone, Debug)]
pub struct HeaderPriority {
    pub(super) name: HeaderName,
    pub(super) trust: Trust,
}

impl<B> PrioritySource<Request<B>> for HeaderPriority {
    #[inline]
    fn find(&self, request: &mut Request<B>) -> Option<Priority> {
        // Whatever is known already: what is not accepted is removed.
        let requested = match find_header(request.headers(), &self.name) {
            Some(_) => self.read_header(request),
            None => None,
        };
        extension_priority(request.extensions()).or(requested)
    }

    #[inline]
    fn context(request: &mut Request<B>) -> Option<&mut Context> {
        request.extensions_mut().get_mut()
    }
}

impl HeaderPriority {
    /// Returns what a trusted caller asks for. A header that is malformed or comes twice, or of another caller, is removed, so
    /// that nobody further in takes it for the priority of the call, or sends it on.
    fn read_header<B>(&self, request: &mut Request<B>) -> Option<Priority> {
        let is_trusted = self.trust.matches(request);
        let mut values = request.headers().get_all(&self.name).iter();
        // Of several, one may be what the caller of a proxy has asked for, to which the proxy has added its own.
        let value = values.next().filter(|_| values.next().is_none());
        let priority = is_trusted.then(|| {
            let value = value.ok_or(InvalidPriority)?;
            Priority::from_header(value)
        });
        match priority {
            Some(Ok(priority)) => return Some(priority),
            Some(Err(_)) => count_malformed("priority"),
            None => {}
        }
        remove_rare_header(request.headers_mut(), &self.name);
        None
    }
}

/// The priority that a closure finds; see [`Prioritizer::by`](super::Prioritizer::by).
#[derive(Clone)]
pub struct ClosurePriority<F>(pub(super) F);

impl<Req, F, P> PrioritySource<Req> for ClosurePriority<F>
where
    F: Fn(&Req) -> Option<P>,
    P: Into<Priority>,
{
    #[inline]
    fn find(&self, request: &mut Req) -> Option<Priority> {
        (self.0)(request).map(Into::into)
    }

    /// Returns `None`: a request of any type carries no context that is known.
    #[inline]
    fn context(_: &mut Req) -> Option<&mut Context> {
        None
    }
}

impl<F> fmt::Debug for ClosurePriority<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClosurePriority")
    }
}

/// Returns what the application has put into the extensions of a request, be it with its context.
#[inline]
fn extension_priority(extensions: &Extensions) -> Option<Priority> {
    let own = extensions.get::<Priority>().copied();
    own.or_else(|| extensions.get::<Context>()?.priority())
}
