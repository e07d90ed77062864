//! Where a call goes: a route, a server or a gRPC method, each by its number.

use std::borrow::Cow;

use http::{Extensions, Request, uri::PathAndQuery};

use super::route::{Passage, RouteSlot, Slot, TrackerId};
use crate::util::table::Interner;

/// Where a call goes, as far as it is known.
#[derive(Debug)]
pub(super) enum Place {
    Known(u16),
    /// Known when somebody further in has said it.
    Slot(Slot),
    /// A gRPC method that is new, and that anybody can make up. Boxed for its size; it is new only once.
    Method(Box<PathAndQuery>),
    Unknown,
    /// A tracker of the same name is around this one, and does it all.
    Repeated,
}

impl Place {
    /// Returns the server that a client calls: the authority of the request, else what it was told.
    pub(super) fn of_server<B>(
        request: &Request<B>,
        told: Option<&str>,
        places: &Interner,
    ) -> Self {
        let authority = request.uri().authority();
        let server = authority.map(|authority| authority.as_str()).or(told);
        // Credentials before an `@` are nobody's to see.
        let server = server.map(|server| server.rsplit('@').next().unwrap_or(server));
        server.map_or(Place::Unknown, |server| {
            Place::Known(places.number(&spelled(server)))
        })
    }

    pub(super) fn of_grpc<B>(request: &Request<B>, places: &Interner) -> Self {
        #[cfg(feature = "tonic")]
        if let Some(method) = request.extensions().get::<tonic::GrpcMethod<'static>>() {
            let method = format!("{}/{}", method.service(), method.method());
            return Place::Known(places.number(&method));
        }
        let Some(path) = request.uri().path_and_query() else {
            return Place::Unknown;
        };
        match places.known(method_of(path)) {
            Some(number) => Place::Known(number),
            None => Place::Method(Box::new(path.clone())),
        }
    }

    /// Returns the route that a server has matched, or will.
    pub(super) fn of_route<B>(
        request: &mut Request<B>,
        tracker: TrackerId,
        places: &Interner,
    ) -> Self {
        let known = matched(request.extensions()).map(|path| places.number(path));
        let passage = RouteSlot::pass(request.extensions_mut(), tracker, known.is_none());
        // Nobody waits for the route further out, unless there is a tracker.
        if !matches!(passage, Passage::First(_))
            && let Some(path) = matched(request.extensions())
        {
            RouteSlot::fill(request.extensions(), path);
        }
        match (passage, known) {
            (Passage::Again, _) => Place::Repeated,
            (_, Some(number)) => Place::Known(number),
            (Passage::First(slot) | Passage::Next(slot), None) => {
                slot.map_or(Place::Unknown, Place::Slot)
            }
        }
    }

    /// Its number, now that the call is over; `is_real` says whether it has shown that there is such a method.
    pub(super) fn number(&self, places: &Interner, is_real: impl FnOnce() -> bool) -> Option<u16> {
        match self {
            Place::Known(number) => Some(*number),
            Place::Slot(slot) => slot.get().map(|route| places.number(route)),
            Place::Method(path) => {
                let method = method_of(path);
                Some(match is_real() {
                    true => places.number(method),
                    false => places.known(method).unwrap_or(0),
                })
            }
            Place::Unknown | Place::Repeated => None,
        }
    }
}

/// A server as it is written: in lower case, and without the colon of a port that is not there.
fn spelled(server: &str) -> Cow<'_, str> {
    let server = server.strip_suffix(':').unwrap_or(server);
    match server.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => server.to_ascii_lowercase().into(),
        false => server.into(),
    }
}

/// The route that axum has matched.
fn matched(extensions: &Extensions) -> Option<&str> {
    #[cfg(feature = "axum")]
    if let Some(path) = extensions.get::<axum::extract::MatchedPath>() {
        return Some(path.as_str());
    }
    let _ = extensions;
    None
}

fn method_of(path: &PathAndQuery) -> &str {
    path.path().trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_one_however_they_are_written() {
        let places = Interner::new(8);
        let number = |uri: &str| {
            let request = Request::get(uri).body(()).expect("a request");
            Place::of_server(&request, None, &places).number(&places, || true)
        };
        let one = number("http://example.com/");
        for other in [
            "http://EXAMPLE.com/",
            "http://example.com:/",
            "http://user:secret@Example.Com/",
        ] {
            assert_eq!(number(other), one, "{other}");
        }
        assert_ne!(number("http://example.com:8080/"), one);
        assert_eq!(places.text(one.expect("a number")), "example.com");
    }
}
