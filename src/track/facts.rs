//! Describes a call in low-cardinality terms: small numbers that are cheap to keep and to compare.

use http::{Method, Version};

use crate::{
    call::{End, GrpcCode},
    context::Context,
    errors::fault::{Fault, Statuses},
    util::table::Interner,
};

/// Which end of the wire this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Server,
    Client,
}

impl Side {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Side::Server => "server",
            Side::Client => "client",
        }
    }

    pub(super) fn statuses(self) -> Statuses {
        match self {
            Side::Server => Statuses::OfServer,
            Side::Client => Statuses::OfClient,
        }
    }
}

/// The methods that semantic conventions know; every other one is `_OTHER`.
const METHODS: [&str; 11] = [
    "_OTHER", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    "QUERY",
];
pub(super) const METHOD_COUNT: usize = METHODS.len();

pub(super) fn method_number(method: &Method) -> u8 {
    let known = METHODS[1..]
        .iter()
        .position(|known| *known == method.as_str());
    known.map_or(0, |at| at as u8 + 1)
}

pub(super) fn method_name(number: u8) -> &'static str {
    METHODS[usize::from(number)]
}

const VERSIONS: [&str; 5] = ["", "1.0", "1.1", "2", "3"];

fn version_number(version: Version) -> u8 {
    match version {
        Version::HTTP_10 => 1,
        Version::HTTP_11 => 2,
        Version::HTTP_2 => 3,
        Version::HTTP_3 => 4,
        _ => 0,
    }
}

/// Returns how many attempts at the call a client has made before, unless this is the first. It is that of the
/// [retry](crate::retry) that the call is made in.
pub(super) fn resend_count(side: Side, context: &Context) -> Option<i64> {
    match (side, context.attempt()) {
        (Side::Client, attempt @ 2..) => Some(i64::from(attempt) - 1),
        _ => None,
    }
}

/// The parts of `host:port`.
pub(super) fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    // An IPv6 address has colons of its own, inside of brackets.
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, Some(port)),
        _ => (authority, None),
    }
}

/// What the request says.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) method: u8,
    pub(super) version: u8,
    pub(super) https: bool,
    pub(super) grpc: bool,
}

impl Asked {
    /// A client's request says nothing about the version: the connection decides.
    pub(super) fn of<B>(side: Side, request: &http::Request<B>, https: bool, grpc: bool) -> Self {
        let version = match side {
            Side::Server => version_number(request.version()),
            Side::Client => 0,
        };
        Asked {
            method: method_number(request.method()),
            version,
            https,
            grpc,
        }
    }

    pub(super) fn set_version(&mut self, version: Version) {
        self.version = version_number(version);
    }

    pub(super) fn version(self) -> Option<&'static str> {
        Some(VERSIONS[usize::from(self.version)]).filter(|version| !version.is_empty())
    }

    pub(super) fn scheme(self) -> &'static str {
        scheme(self.https)
    }
}

pub(super) fn scheme(https: bool) -> &'static str {
    if https { "https" } else { "http" }
}

/// The `error.type` of a call.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) enum ErrorLabel {
    None,
    /// The status or the gRPC code says it all.
    Status,
    /// A text, by its number.
    Named(u16),
}

impl ErrorLabel {
    /// Texts that are not the status are few; what they are depends on the application alone.
    pub(super) fn of(fault: Option<&Fault<'_>>, end: &End<'_>, types: &Interner) -> Self {
        let Some(kind) = fault.map(Fault::kind) else {
            return ErrorLabel::None;
        };
        let is_status = match (end.grpc_code(), end.status()) {
            (Some(code), _) => code.as_str() == kind,
            (None, Some(status)) => status.as_str() == kind,
            (None, None) => false,
        };
        match is_status {
            true => ErrorLabel::Status,
            false => ErrorLabel::Named(types.number(kind)),
        }
    }
}

/// Everything that labels a call's series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) asked: Asked,
    pub(super) place: Option<u16>,
    pub(super) status: Option<u16>,
    pub(super) code: Option<GrpcCode>,
    pub(super) error: ErrorLabel,
    /// A stream that is meant to last.
    pub(super) lasting: bool,
}

#[cfg(test)]
mod tests {
    use http::{Request, StatusCode};

    use super::*;
    use crate::call::{Moment, Outcome};

    #[test]
    fn method_goes_by_its_name_if_conventions_know_it() {
        for (method, name) in [
            (&b"GET"[..], "GET"),
            (b"HEAD", "HEAD"),
            (b"QUERY", "QUERY"),
            (b"BREW", "_OTHER"),
            (b"get", "_OTHER"),
        ] {
            let method = Method::from_bytes(method).expect("a method");
            assert_eq!(method_name(method_number(&method)), name);
        }
    }

    #[test]
    fn version_is_that_of_a_servers_request_or_of_the_connection() {
        for (version, text) in [
            (Version::HTTP_09, None),
            (Version::HTTP_10, Some("1.0")),
            (Version::HTTP_11, Some("1.1")),
            (Version::HTTP_2, Some("2")),
            (Version::HTTP_3, Some("3")),
        ] {
            let mut request = Request::new(());
            *request.version_mut() = version;
            let of = |side| Asked::of(side, &request, false, false);
            assert_eq!(of(Side::Server).version(), text);
            assert_eq!(of(Side::Client).version(), None);
            let mut asked = of(Side::Client);
            asked.set_version(version);
            assert_eq!(asked.version(), text);
        }
    }

    #[test]
    fn side_and_scheme_have_names() {
        assert_eq!(Side::Server.as_str(), "server");
        assert_eq!(Side::Client.as_str(), "client");
        for (https, name) in [(true, "https"), (false, "http")] {
            let asked = Asked::of(Side::Server, &Request::new(()), https, false);
            assert_eq!((asked.scheme(), scheme(https)), (name, name));
        }
    }

    #[test]
    fn resends_are_counted_by_clients_from_the_second_attempt() {
        let context = Context::root();
        for (attempt, count) in [(1, None), (2, Some(1)), (4, Some(3))] {
            let context = context.with_attempt(attempt);
            assert_eq!(resend_count(Side::Client, &context), count);
            assert_eq!(resend_count(Side::Server, &context), None);
        }
    }

    #[test]
    fn host_and_port_are_divided_by_a_colon_outside_of_brackets() {
        for (authority, parts) in [
            ("stock", ("stock", None)),
            ("stock:80", ("stock", Some("80"))),
            ("[::1]", ("[::1]", None)),
            ("[::1]:80", ("[::1]", Some("80"))),
        ] {
            assert_eq!(host_and_port(authority), parts);
        }
    }

    #[test]
    fn error_is_the_status_or_has_a_name() {
        let (now, types) = (Moment::default(), Interner::new(2));
        let label = |status: Option<u16>, code: Option<&[u8]>| {
            let mut end = End::new(Outcome::Failure, &now);
            end.status = status.map(|status| StatusCode::from_u16(status).expect("a status"));
            end.grpc_code = code.map(GrpcCode::parse);
            let fault = Fault::of(&end, Statuses::OfServer);
            ErrorLabel::of(fault.as_ref(), &end, &types)
        };
        let named = ErrorLabel::Named(1);
        assert_eq!(label(Some(500), None), ErrorLabel::Status);
        assert_eq!(label(Some(200), Some(b"13")), ErrorLabel::Status);
        // A classifier calls it a failure.
        assert_eq!(label(Some(200), None), named);
        assert_eq!(label(Some(200), Some(b"0")), named);
        assert_eq!(label(None, None), named);
        let good = End::new(Outcome::Success, &now);
        assert_eq!(ErrorLabel::of(None, &good, &types), ErrorLabel::None);
        assert_eq!(types.text(1), "failure");
    }
}
