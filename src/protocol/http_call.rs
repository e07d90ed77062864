use std::{error::Error, sync::Arc, time::Duration};

use http::{Extensions, HeaderMap, Method, StatusCode, header, response};
use percent_encoding::percent_decode;

use super::{
    CaughtPanic, Notes, Side, Wire,
    judge::{error_verdict, grpc_verdict, http_verdict},
    timeout_header::parse_grpc_timeout,
};
use crate::call::{
    Cause, Classify, End, Ending, GrpcCode, Outcome, Rejection, Small, judged, view,
};

/// How much of a `grpc-message` is kept, in bytes before decoding.
const MAX_GRPC_MESSAGE: usize = 1024;

/// What is remembered of an HTTP or gRPC call.
#[derive(Debug)]
pub struct HttpCall {
    wire: Wire,
    method: Verb,
    verdict: Outcome,
    status: Option<StatusCode>,
    code: Option<GrpcCode>,
    time_limit: Small,
    /// Bytes of body handed on so far.
    sent: u64,
    /// Bytes of body that the head promised.
    promised: Small,
    fault: Option<Box<Fault>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Head,
    Connect,
    Other,
}

/// What went wrong, kept until the call settles.
#[derive(Debug)]
enum Fault {
    Error(Arc<dyn Error + Send + Sync>),
    Rejection(Rejection),
    Panic(Arc<str>),
    GrpcMessage(String),
    MissingGrpcStatus,
}

/// Whether a call goes on after what was just seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    GoesOn,
    Over,
}

impl HttpCall {
    #[inline]
    pub(crate) fn read(method: &Method, headers: &HeaderMap) -> Self {
        let wire = wire_of(headers);
        let time_limit = match wire {
            Wire::Plain => None,
            _ => headers.get("grpc-timeout").and_then(parse_grpc_timeout),
        };
        HttpCall {
            wire,
            method: match *method {
                Method::HEAD => Verb::Head,
                Method::CONNECT => Verb::Connect,
                _ => Verb::Other,
            },
            verdict: Outcome::Success,
            status: None,
            code: None,
            time_limit: Small::of_time(time_limit),
            sent: 0,
            promised: Small::NONE,
            fault: None,
        }
    }

    /// Whether the request was a gRPC call, gRPC-Web included.
    pub fn is_grpc(&self) -> bool {
        self.wire != Wire::Plain
    }

    /// What has been judged so far; final once the call is over.
    pub fn verdict(&self) -> Outcome {
        self.verdict
    }

    /// The gRPC code, once there was one.
    pub fn grpc_code(&self) -> Option<GrpcCode> {
        self.code
    }

    pub(crate) fn grpc_content_type(&self) -> &'static str {
        match self.wire {
            Wire::GrpcWeb => "application/grpc-web",
            _ => "application/grpc",
        }
    }

    /// Whether the end of the body must bring a gRPC status.
    fn awaits_code(&self) -> bool {
        self.wire == Wire::Grpc
            && self.code.is_none()
            && self.status == Some(StatusCode::OK)
            && self.verdict == Outcome::Success
    }

    /// Judges the head of the response. `exact` is the body's length if it is known.
    #[inline]
    pub(crate) fn judge_head(
        &mut self,
        side: Side,
        parts: &response::Parts,
        exact: Option<u64>,
        classify: &impl Classify,
    ) -> Step {
        self.status = Some(parts.status);
        if self.is_grpc() {
            self.code = code_of(&parts.headers);
            // Anybody can say gRPC to a service that does not speak it. A client that asked for it waits for a status.
            if side == Side::Server && self.code.is_none() && !is_grpc(&parts.headers) {
                self.wire = Wire::Plain;
            }
        }
        match settled_inside(&parts.extensions) {
            Some((verdict, fault)) => {
                self.verdict = verdict;
                self.fault = Some(Box::new(fault));
            }
            None if self.awaits_code() => {}
            None => {
                let mut ending = Ending::of(match self.code {
                    Some(code) => grpc_verdict(code),
                    None => http_verdict(side, parts.status),
                });
                ending.status = self.status;
                ending.grpc_code = self.code;
                ending.headers = Some(&parts.headers);
                ending.extensions = Some(&parts.extensions);
                self.verdict = judged(classify, &ending);
            }
        }
        if self.verdict != Outcome::Success && self.fault.is_none() {
            self.fault = fault_in(&parts.extensions)
                .or_else(|| message_of(&parts.headers).filter(|_| self.is_grpc()))
                .map(Box::new);
        }
        if self.ends_at_head(parts.status) {
            return Step::Over;
        }
        self.promised = Small::of(exact.or_else(|| content_length(&parts.headers)));
        Step::GoesOn
    }

    fn ends_at_head(&self, status: StatusCode) -> bool {
        let bodiless = status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        let tunnel = self.method == Verb::Connect && status.is_success();
        let trailers_only = self.wire == Wire::Grpc && self.code.is_some();
        bodiless || tunnel || trailers_only || self.method == Verb::Head
    }

    /// Notes a response that the service did not give.
    pub(crate) fn answered_instead(&mut self, parts: &response::Parts, bytes: u64) {
        self.status = Some(parts.status);
        if self.is_grpc() {
            self.code = code_of(&parts.headers);
        }
        self.sent = bytes;
    }

    #[inline]
    pub(crate) fn add_sent(&mut self, bytes: u64) {
        self.sent = self.sent.saturating_add(bytes);
    }

    /// Judges trailers, which end a body.
    pub(crate) fn judge_trailers(&mut self, trailers: &HeaderMap, classify: &impl Classify) {
        if !self.awaits_code() {
            return;
        }
        let Some(code) = code_of(trailers) else {
            return self.judge_clean_end();
        };
        self.code = Some(code);
        let mut ending = Ending::of(grpc_verdict(code));
        ending.status = self.status;
        ending.grpc_code = self.code;
        ending.headers = Some(trailers);
        self.verdict = judged(classify, &ending);
        if self.verdict != Outcome::Success {
            self.fault = message_of(trailers).map(Box::new);
        }
    }

    /// Judges a body that ended without trailers.
    #[inline]
    pub(crate) fn judge_clean_end(&mut self) {
        if self.awaits_code() {
            self.verdict = Outcome::Failure;
            self.fault = Some(Box::new(Fault::MissingGrpcStatus));
        }
    }

    /// Judges an error: of the service, or of its body.
    pub(crate) fn judge_error(&mut self, error: &(dyn Error + 'static), classify: &impl Classify) {
        let mut ending = Ending::of(error_verdict(error));
        ending.status = self.status;
        ending.error = Some(error);
        self.verdict = judged(classify, &ending);
    }

    /// Judges an error of a type that may not be known, and gives it back if it can be looked into.
    pub(crate) fn judge_any_error<'a, E: 'static>(
        &mut self,
        error: &'a E,
        classify: &impl Classify,
    ) -> Option<&'a (dyn Error + 'static)> {
        let error = view(error);
        match error {
            Some(error) => self.judge_error(error, classify),
            None => self.verdict = judged(classify, &Ending::of(Outcome::Failure)),
        }
        error
    }
}

impl Notes for HttpCall {
    #[inline]
    fn wire(&self) -> Wire {
        self.wire
    }

    #[inline]
    fn time_limit(&self) -> Option<Duration> {
        self.time_limit.time()
    }

    /// Bad news survives an early drop; a body of which every promised byte was taken is complete.
    fn dropped(&self, late: impl FnOnce() -> bool) -> Outcome {
        if self.verdict != Outcome::Success {
            return self.verdict;
        }
        let complete =
            self.status.is_some() && !self.awaits_code() && self.promised.get() == Some(self.sent);
        if complete {
            Outcome::Success
        } else if late() {
            Outcome::TimedOut
        } else {
            Outcome::Cancelled
        }
    }

    fn fill<'a>(&'a self, end: &mut End<'a>) {
        end.wire = self.wire;
        end.status = self.status;
        end.grpc_code = self.code;
        end.response_bytes = self.sent;
        if end.cause.is_none() {
            end.cause = self.fault.as_deref().map(Fault::cause);
        }
    }
}

impl Fault {
    fn cause(&self) -> Cause<'_> {
        match self {
            Fault::Error(error) => Cause::of(&**error),
            Fault::Rejection(rejection) => Cause::Rejection(rejection),
            Fault::Panic(message) => Cause::Panic(message),
            Fault::GrpcMessage(message) => Cause::GrpcMessage(message),
            Fault::MissingGrpcStatus => Cause::MissingGrpcStatus,
        }
    }
}

/// Whether a request or a response is gRPC's, gRPC-Web included.
#[inline]
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    wire_of(headers) != Wire::Plain
}

#[inline]
fn wire_of(headers: &HeaderMap) -> Wire {
    headers
        .get(header::CONTENT_TYPE)
        .map_or(Wire::Plain, |value| wire_named(value.as_bytes()))
}

fn wire_named(content_type: &[u8]) -> Wire {
    match content_type.strip_prefix(b"application/grpc") {
        Some([] | [b'+' | b';' | b' ', ..]) => Wire::Grpc,
        Some(rest) if rest.starts_with(b"-web") => Wire::GrpcWeb,
        _ => Wire::Plain,
    }
}

fn code_of(headers: &HeaderMap) -> Option<GrpcCode> {
    headers
        .get("grpc-status")
        .map(|value| GrpcCode::parse(value.as_bytes()))
}

/// What a guard further in has already decided.
#[inline]
fn settled_inside(extensions: &Extensions) -> Option<(Outcome, Fault)> {
    if extensions.is_empty() {
        return None;
    }
    if let Some(rejection) = extensions.get::<Rejection>() {
        return Some((Outcome::Rejected, Fault::Rejection(rejection.clone())));
    }
    #[cfg(feature = "tonic")]
    if let Some(rejection) = extensions
        .get::<tonic::Status>()
        .and_then(|s| Rejection::find(s))
    {
        return Some((Outcome::Rejected, Fault::Rejection(rejection.clone())));
    }
    let CaughtPanic(message) = extensions.get::<CaughtPanic>()?;
    Some((Outcome::Panicked, Fault::Panic(message.clone())))
}

/// The error that a service left for us: any `Arc<dyn Error>`, or tonic's status before it is flattened.
fn fault_in(extensions: &Extensions) -> Option<Fault> {
    if let Some(error) = extensions.get::<Arc<dyn Error + Send + Sync>>() {
        return Some(Fault::Error(error.clone()));
    }
    #[cfg(feature = "tonic")]
    if let Some(status) = extensions.get::<tonic::Status>() {
        return Some(Fault::Error(Arc::new(status.clone())));
    }
    None
}

fn message_of(headers: &HeaderMap) -> Option<Fault> {
    let raw = headers.get("grpc-message")?.as_bytes();
    let raw = &raw[..raw.len().min(MAX_GRPC_MESSAGE)];
    let message = || percent_decode(raw).decode_utf8_lossy().into_owned();
    (!raw.is_empty()).then(|| Fault::GrpcMessage(message()))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_tell_grpc_from_its_look_alikes() {
        for grpc in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc; x",
        ] {
            assert_eq!(wire_named(grpc.as_bytes()), Wire::Grpc, "{grpc}");
        }
        assert_eq!(wire_named(b"application/grpc-web+proto"), Wire::GrpcWeb);
        for plain in ["application/json", "application/grpcx", "text/plain", ""] {
            assert_eq!(wire_named(plain.as_bytes()), Wire::Plain, "{plain}");
        }
    }
}
