//! What is known of a call in low-cardinality terms: small numbers that pack into the key of its series.

use http::{Method, Version};

use crate::{
    call::{Cause, End, GrpcCode, Outcome},
    context::Context,
    errors::error_type,
    observe::table::Interner,
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
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) method: u8,
    version: u8,
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
        if self.https { "https" } else { "http" }
    }
}

/// The `error.type` of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorLabel {
    None,
    /// The status or the gRPC code says it all.
    Status,
    /// A text, by its number.
    Named(u16),
}

impl ErrorLabel {
    pub(super) fn of(side: Side, end: &End<'_>, types: &Interner) -> Self {
        let named = |text: &str| ErrorLabel::Named(types.number(text));
        match end.outcome() {
            Outcome::Cancelled if end.grpc_code().is_none() => named("cancelled"),
            Outcome::Panicked => named("panic"),
            Outcome::Rejected => match end.cause() {
                Some(Cause::Rejection(rejection)) => named(rejection.kind().as_str()),
                _ => named("rejected"),
            },
            // A body that failed or lacked its status after a good head.
            Outcome::Failure | Outcome::TimedOut if !status_is_error(side, end) => {
                named(&failure_type(end))
            }
            _ if status_is_error(side, end) => ErrorLabel::Status,
            _ => ErrorLabel::None,
        }
    }
}

/// Semantic conventions: a server's errors are 5xx and six gRPC codes, a client's everything but success.
fn status_is_error(side: Side, end: &End<'_>) -> bool {
    if let Some(code) = end.grpc_code() {
        return match side {
            Side::Client => code != GrpcCode::OK,
            Side::Server => matches!(
                code,
                GrpcCode::UNKNOWN
                    | GrpcCode::DEADLINE_EXCEEDED
                    | GrpcCode::UNIMPLEMENTED
                    | GrpcCode::INTERNAL
                    | GrpcCode::UNAVAILABLE
                    | GrpcCode::DATA_LOSS
            ),
        };
    }
    let least = if side == Side::Client { 400 } else { 500 };
    end.status().is_some_and(|status| status.as_u16() >= least)
}

fn failure_type(end: &End<'_>) -> std::borrow::Cow<'static, str> {
    match end.cause() {
        Some(Cause::Error(error)) => error_type(*error),
        Some(Cause::Opaque { type_name, .. }) => crate::errors::short_type_name(type_name).into(),
        Some(Cause::MissingGrpcStatus) => "missing_grpc_status".into(),
        Some(Cause::WrongLength { .. }) => "wrong_length".into(),
        _ if end.outcome() == Outcome::TimedOut => "timeout".into(),
        _ => "failure".into(),
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

impl Facts {
    /// A number that is different for different facts: places and error types have 16 bits each.
    pub(super) fn key(&self) -> u64 {
        let mut key = 0u64;
        let mut push = |bits: u32, value: u64| key = key << bits | value;
        push(1, u64::from(self.lasting));
        push(4, u64::from(self.asked.method));
        push(3, u64::from(self.asked.version));
        push(1, u64::from(self.asked.https));
        push(1, u64::from(self.asked.grpc));
        push(16, self.place.map_or(0xffff, u64::from));
        push(10, u64::from(self.status.unwrap_or(0)));
        push(5, self.code.map_or(31, |code| u64::from(code.number())));
        push(
            17,
            match self.error {
                ErrorLabel::None => 0x1_0000,
                ErrorLabel::Status => 0x1_0001,
                ErrorLabel::Named(number) => u64::from(number),
            },
        );
        key
    }
}
