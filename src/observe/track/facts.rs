//! What is known of a call in low-cardinality terms: small numbers that are cheap to keep and to compare.

use http::{Method, Version};

use crate::{
    call::{End, GrpcCode},
    context::Context,
    observe::{
        fault::{Fault, Statuses},
        table::Interner,
    },
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
