//! Where a call goes: a route, a server or a gRPC method, each by its number.

use std::borrow::Cow;

use http::{Extensions, Request, uri::PathAndQuery};

use super::route::{RouteCell, RouteSlot, TrackerId, TrackerPosition};
use crate::util::append_map::Interner;

/// Where a call goes, as far as it is known.
#[derive(Debug)]
pub(super) enum Target {
    Known(u16),
    /// Known when somebody further in has said it.
    Pending(RouteCell),
    /// A gRPC method that is new, and that anybody can make up. Boxed for its size; it is new only once.
    UnverifiedMethod(Box<PathAndQuery>),
    Unknown,
    /// A tracker of the same name is around this one, and does it all.
    AlreadyTracked,
}

impl Target {
    /// Returns the server that a client calls: the authority of the request, else what it was told.
    pub(super) fn from_authority<B>(
        request: &Request<B>,
        told: Option<&str>,
        places: &Interner,
    ) -> Self {
        let authority = request.uri().authority();
        let server = authority.map(|authority| authority.as_str()).or(told);
        // Credentials before an `@` are nobody's to see.
        let server = server.map(|server| server.rsplit('@').next().unwrap_or(server));
        server.map_or(Target::Unknown, |server| {
            Target::Known(places.intern(&normalize_authority(server)))
        })
    }

    pub(super) fn from_grpc_method<B>(request: &Request<B>, places: &Interner) -> Self {
        #[cfg(feature = "tonic")]
        if let Some(method) = request.extensions().get::<tonic::GrpcMethod<'static>>() {
            let method = format!("{}/{}", method.service(), method.method());
            return Target::Known(places.intern(&method));
        }
        let Some(path) = request.uri().path_and_query() else {
            return Target::Unknown;
        };
        match places.lookup(method_from_path(path)) {
            Some(number) => Target::Known(number),
            None => Target::UnverifiedMethod(Box::new(path.clone())),
        }
    }

    /// Returns the route that a server has matched, or will.
    pub(super) fn from_route<B>(
        request: &mut Request<B>,
        tracker: TrackerId,
        places: &Interner,
    ) -> Self {
        let known = matched_path(request.extensions()).map(|path| places.intern(path));
        let passage =
            RouteSlot::register_tracker(request.extensions_mut(), tracker, known.is_none());
        // Nobody waits for the route further out, unless there is a tracker.
        if !matches!(passage, TrackerPosition::Outermost(_))
            && let Some(path) = matched_path(request.extensions())
        {
            RouteSlot::set(request.extensions(), path);
        }
        match (passage, known) {
            (TrackerPosition::Duplicate, _) => Target::AlreadyTracked,
            (_, Some(number)) => Target::Known(number),
            (TrackerPosition::Outermost(slot) | TrackerPosition::Inner(slot), None) => {
                slot.map_or(Target::Unknown, Target::Pending)
            }
        }
    }

    /// Its number, now that the call is over; `is_real` says whether it has shown that there is such a method.
    pub(super) fn resolve(&self, places: &Interner, is_real: impl FnOnce() -> bool) -> Option<u16> {
        match self {
            Target::Known(number) => Some(*number),
            Target::Pending(slot) => slot.get().map(|route| places.intern(route)),
            Target::UnverifiedMethod(path) => {
                let method = method_from_path(path);
                Some(match is_real() {
                    true => places.intern(method),
                    false => places.lookup(method).unwrap_or(0),
                })
            }
            Target::Unknown | Target::AlreadyTracked => None,
        }
    }
}

/// A server as it is written: in lower case, and without the colon of a port that is not there.
fn normalize_authority(server: &str) -> Cow<'_, str> {
    let server = server.strip_suffix(':').unwrap_or(server);
    match server.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => server.to_ascii_lowercase().into(),
        false => server.into(),
    }
}

/// The route that axum has matched.
fn matched_path(extensions: &Extensions) -> Option<&str> {
    #[cfg(feature = "axum")]
    if let Some(path) = extensions.get::<axum::extract::MatchedPath>() {
        return Some(path.as_str());
    }
    let _ = extensions;
    None
}

fn method_from_path(path: &PathAndQuery) -> &str {
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
            Target::from_authority(&request, None, &places).resolve(&places, || true)
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
        assert_eq!(places.resolve(one.expect("a number")), "example.com");
    }
}
