//! The target of a call: a route, a server or a gRPC method.

use std::borrow::Cow;

use http::{Extensions, Request, uri::PathAndQuery};

use super::{
    in_flight::CallTarget,
    route_slot::{RouteCell, RouteSlot, TrackerPosition},
    tracker_id::TrackerId,
};
use crate::util::append_map::Interner;

/// The route, server or gRPC method that a call is labeled with, as far as it is known.
#[derive(Debug)]
pub(super) enum Target {
    /// The ID of a target.
    Known(u16),
    /// A route that an inner router will set.
    Pending(RouteCell),
    /// A gRPC method that no call has verified yet: the caller may have made it up. Boxed for its size; each method takes
    /// this way only until it is verified.
    UnverifiedMethod(Box<PathAndQuery>),
    Unknown,
    /// The tracker does not report the call: an outer one of the same name does, or the settings ignore it.
    Untracked,
}

impl Target {
    /// Returns the server that a client calls: the authority of the request, or else the configured address.
    pub(super) fn from_authority<B>(
        request: &Request<B>,
        configured: Option<&str>,
        targets: &Interner,
    ) -> Self {
        let authority = request.uri().authority();
        // The authority of the request first, since one client may call several servers.
        let server = authority.map(|authority| authority.as_str()).or(configured);
        // Strips the userinfo, which may contain credentials.
        let server = server.map(without_userinfo);
        server.map_or(Target::Unknown, |server| {
            Target::Known(targets.intern(&normalize_authority(server)))
        })
    }

    /// Returns the gRPC method of a request.
    pub(super) fn from_grpc_method<B>(request: &Request<B>, targets: &Interner) -> Self {
        // Left by generated clients, so no caller has made it up.
        #[cfg(feature = "tonic")]
        if let Some(method) = request.extensions().get::<tonic::GrpcMethod<'static>>() {
            let method = format!("{}/{}", method.service(), method.method());
            return Target::Known(targets.intern(&method));
        }
        let Some(path) = request.uri().path_and_query() else {
            return Target::Unknown;
        };
        // Looked up, not interned, or every made-up method would get a label.
        match targets.lookup(method_from_path(path)) {
            Some(id) => Target::Known(id),
            None => Target::UnverifiedMethod(Box::new(path.clone())),
        }
    }

    /// Returns the route of a request to a server, which may not be matched yet.
    pub(super) fn from_route<B>(
        request: &mut Request<B>,
        tracker: TrackerId,
        targets: &Interner,
    ) -> Self {
        // Known inside of the router. Outside, it is known only once the router has run.
        let known = matched_path(request.extensions()).map(|path| targets.intern(path));
        let position =
            RouteSlot::register_tracker(request.extensions_mut(), tracker, known.is_none());
        // Only an outer tracker can be waiting for the route.
        if !matches!(position, TrackerPosition::Outermost(_))
            && let Some(path) = matched_path(request.extensions())
        {
            RouteSlot::set(request.extensions(), path);
        }
        match (position, known) {
            (TrackerPosition::Duplicate, _) => Target::Untracked,
            (_, Some(id)) => Target::Known(id),
            (TrackerPosition::Outermost(route) | TrackerPosition::Inner(route), None) => {
                route.map_or(Target::Unknown, Target::Pending)
            }
        }
    }

    /// Returns the target for the table of calls in flight.
    pub(super) fn in_flight(&self) -> CallTarget {
        match self {
            Target::Known(id) => CallTarget::Known(*id),
            Target::Pending(route) => CallTarget::Pending(route.clone()),
            Target::UnverifiedMethod(path) => CallTarget::Unverified(path.clone()),
            Target::Unknown | Target::Untracked => CallTarget::Unknown,
        }
    }

    /// Returns the ID of the target of a completed call. `method_exists` tells whether the call has verified its gRPC
    /// method: only then may that take a label of its own.
    pub(super) fn resolve(
        &self,
        targets: &Interner,
        method_exists: impl FnOnce() -> bool,
    ) -> Option<u16> {
        match self {
            Target::Known(id) => Some(*id),
            Target::Pending(route) => route.get().map(|route| targets.intern(route)),
            Target::UnverifiedMethod(path) => {
                let method = method_from_path(path);
                Some(match method_exists() {
                    true => targets.intern(method),
                    // Another call may have verified it in the meantime.
                    false => targets.lookup(method).unwrap_or(0),
                })
            }
            Target::Unknown | Target::Untracked => None,
        }
    }
}

fn without_userinfo(authority: &str) -> &str {
    // Bytes are compared faster than `rsplit` sets up its search, since authorities are short.
    let userinfo = authority.bytes().rposition(|byte| byte == b'@');
    userinfo.map_or(authority, |at| &authority[at + 1..])
}

/// Returns an authority in lower case, without the colon of an empty port.
fn normalize_authority(server: &str) -> Cow<'_, str> {
    let server = server.strip_suffix(':').unwrap_or(server);
    match server.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => server.to_ascii_lowercase().into(),
        false => server.into(),
    }
}

/// Returns the route that axum has matched.
fn matched_path(extensions: &Extensions) -> Option<&str> {
    #[cfg(feature = "axum")]
    if let Some(path) = extensions.get::<axum::extract::MatchedPath>() {
        return Some(path.as_str());
    }
    let _ = extensions;
    None
}

/// Returns the `package.Service/Method` of a path.
fn method_from_path(path: &PathAndQuery) -> &str {
    path.path().trim_start_matches('/')
}

/// Splits `host:port`.
pub(super) fn split_host_port(authority: &str) -> (&str, Option<&str>) {
    // The colons of an IPv6 address are inside of brackets.
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_of_a_server_ignores_case_userinfo_and_empty_port() {
        let targets = Interner::new(8);
        let id = |uri: &str| {
            let request = Request::get(uri).body(()).expect("a request");
            Target::from_authority(&request, None, &targets).resolve(&targets, || true)
        };
        let example = id("http://example.com/");
        for other in [
            "http://EXAMPLE.com/",
            "http://example.com:/",
            "http://user:secret@Example.Com/",
        ] {
            assert_eq!(id(other), example, "{other}");
        }
        assert_ne!(id("http://example.com:8080/"), example);
        assert_eq!(targets.resolve(example.expect("an ID")), "example.com");
    }

    #[test]
    fn authority_is_split_at_a_colon_outside_of_brackets() {
        for (authority, parts) in [
            ("stock", ("stock", None)),
            ("stock:80", ("stock", Some("80"))),
            ("[::1]", ("[::1]", None)),
            ("[::1]:80", ("[::1]", Some("80"))),
        ] {
            assert_eq!(split_host_port(authority), parts);
        }
    }
}
