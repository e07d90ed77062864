//! Describes a call in low-cardinality terms: small numbers that are cheap to keep and to compare.

use http::{Method, Version};

use crate::{
    call::{CallEnd, GrpcCode},
    context::Context,
    errors::error_description::{ErrorDescription, StatusRules},
    util::append_map::Interner,
};

/// Which end of the wire this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallSide {
    Server,
    Client,
}

impl CallSide {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            CallSide::Server => "server",
            CallSide::Client => "client",
        }
    }

    pub(super) fn status_rules(self) -> StatusRules {
        match self {
            CallSide::Server => StatusRules::Server,
            CallSide::Client => StatusRules::Client,
        }
    }
}

/// The methods that semantic conventions know; every other one is `_OTHER`.
const METHODS: [&str; 11] = [
    "_OTHER", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    "QUERY",
];
pub(super) const METHOD_COUNT: usize = METHODS.len();

pub(super) fn method_index(method: &Method) -> u8 {
    let known = METHODS[1..]
        .iter()
        .position(|known| *known == method.as_str());
    known.map_or(0, |at| at as u8 + 1)
}

pub(super) fn method_name(number: u8) -> &'static str {
    METHODS[usize::from(number)]
}

const VERSIONS: [&str; 5] = ["", "1.0", "1.1", "2", "3"];

fn version_index(version: Version) -> u8 {
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
pub(super) fn resend_count(side: CallSide, context: &Context) -> Option<i64> {
    match (side, context.attempt()) {
        (CallSide::Client, attempt @ 2..) => Some(i64::from(attempt) - 1),
        _ => None,
    }
}

/// The parts of `host:port`.
pub(super) fn split_host_port(authority: &str) -> (&str, Option<&str>) {
    // An IPv6 address has colons of its own, inside of brackets.
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, Some(port)),
        _ => (authority, None),
    }
}

/// What the request says.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct RequestLabels {
    pub(super) method: u8,
    pub(super) version: u8,
    pub(super) https: bool,
    pub(super) is_grpc: bool,
}

impl RequestLabels {
    /// A client's request says nothing about the version: the connection decides.
    pub(super) fn from_request<B>(
        side: CallSide,
        request: &http::Request<B>,
        https: bool,
        grpc: bool,
    ) -> Self {
        let version = match side {
            CallSide::Server => version_index(request.version()),
            CallSide::Client => 0,
        };
        RequestLabels {
            method: method_index(request.method()),
            version,
            https,
            is_grpc: grpc,
        }
    }

    pub(super) fn set_version(&mut self, version: Version) {
        self.version = version_index(version);
    }

    pub(super) fn version(self) -> Option<&'static str> {
        Some(VERSIONS[usize::from(self.version)]).filter(|version| !version.is_empty())
    }

    pub(super) fn scheme(self) -> &'static str {
        scheme_name(self.https)
    }
}

pub(super) fn scheme_name(https: bool) -> &'static str {
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
    pub(super) fn new(
        fault: Option<&ErrorDescription<'_>>,
        end: &CallEnd<'_>,
        types: &Interner,
    ) -> Self {
        let Some(kind) = fault.map(ErrorDescription::kind) else {
            return ErrorLabel::None;
        };
        let is_status = match (end.grpc_code(), end.status()) {
            (Some(code), _) => code.as_str() == kind,
            (None, Some(status)) => status.as_str() == kind,
            (None, None) => false,
        };
        match is_status {
            true => ErrorLabel::Status,
            false => ErrorLabel::Named(types.intern(kind)),
        }
    }
}

/// Everything that labels a call's series.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallLabels {
    pub(super) request: RequestLabels,
    pub(super) target: Option<u16>,
    pub(super) status: Option<u16>,
    pub(super) grpc_code: Option<GrpcCode>,
    pub(super) error: ErrorLabel,
    /// A stream that is meant to last.
    pub(super) long_lived: bool,
}

#[cfg(test)]
mod tests {
    use http::{Request, StatusCode};

    use super::*;
    use crate::call::{CallClock, Outcome};

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
            assert_eq!(method_name(method_index(&method)), name);
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
            let of = |side| RequestLabels::from_request(side, &request, false, false);
            assert_eq!(of(CallSide::Server).version(), text);
            assert_eq!(of(CallSide::Client).version(), None);
            let mut asked = of(CallSide::Client);
            asked.set_version(version);
            assert_eq!(asked.version(), text);
        }
    }

    #[test]
    fn side_and_scheme_have_names() {
        assert_eq!(CallSide::Server.as_str(), "server");
        assert_eq!(CallSide::Client.as_str(), "client");
        for (https, name) in [(true, "https"), (false, "http")] {
            let asked =
                RequestLabels::from_request(CallSide::Server, &Request::new(()), https, false);
            assert_eq!((asked.scheme(), scheme_name(https)), (name, name));
        }
    }

    #[test]
    fn resends_are_counted_by_clients_from_the_second_attempt() {
        let context = Context::new_root();
        for (attempt, count) in [(1, None), (2, Some(1)), (4, Some(3))] {
            let context = context.with_attempt(attempt);
            assert_eq!(resend_count(CallSide::Client, &context), count);
            assert_eq!(resend_count(CallSide::Server, &context), None);
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
            assert_eq!(split_host_port(authority), parts);
        }
    }

    #[test]
    fn error_is_the_status_or_has_a_name() {
        let (now, types) = (CallClock::default(), Interner::new(2));
        let label = |status: Option<u16>, code: Option<&[u8]>| {
            let mut end = CallEnd::new(Outcome::Failure, &now);
            end.status = status.map(|status| StatusCode::from_u16(status).expect("a status"));
            end.grpc_code = code.map(GrpcCode::parse);
            let fault = ErrorDescription::from_end(&end, StatusRules::Server);
            ErrorLabel::new(fault.as_ref(), &end, &types)
        };
        let named = ErrorLabel::Named(1);
        assert_eq!(label(Some(500), None), ErrorLabel::Status);
        assert_eq!(label(Some(200), Some(b"13")), ErrorLabel::Status);
        // A classifier calls it a failure.
        assert_eq!(label(Some(200), None), named);
        assert_eq!(label(Some(200), Some(b"0")), named);
        assert_eq!(label(None, None), named);
        let good = CallEnd::new(Outcome::Success, &now);
        assert_eq!(ErrorLabel::new(None, &good, &types), ErrorLabel::None);
        assert_eq!(types.resolve(1), "failure");
    }
}
