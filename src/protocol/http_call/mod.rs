mod end;
mod fault;
mod head;
mod notes;

use std::time::Duration;

use http::{Extensions, HeaderMap, HeaderValue, Method, Request, StatusCode, Version, header};
use tokio::time::Instant;

use fault::Fault;

use super::{
    Kind, Side, Wire,
    grpc_frames::Frames,
    shared_classifier::OuterClassifier,
    timeout_header::parse_grpc_timeout,
    upload::{Upload, watch_request},
};
use crate::call::{Classifier, GrpcCode, Judged, Outcome, Small, quietly};

/// State of an HTTP or gRPC call, for its judgement.
#[derive(Debug)]
pub struct HttpCall {
    wire: Wire,
    /// What the request spoke, before the peer answered.
    asked: Wire,
    side: Side,
    /// Whether an answer that is not gRPC is a failure.
    only_grpc: bool,
    /// Whether a gRPC-Web request is in its text form.
    web_text: bool,
    /// Whether it was a time limit of this process that ran out, which knows why.
    is_certain: bool,
    method: Verb,
    judged: Judged,
    status: Option<StatusCode>,
    code: Option<GrpcCode>,
    /// True while the reader of the body waits: its last poll was pending.
    waiting: bool,
    /// Bytes of body handed on so far.
    sent: u64,
    /// Bytes of body that are known to be all.
    promised: Small,
    /// Whether it was a `content-length` that promised them.
    declared: bool,
    classifier: Option<Classifier>,
    rare: Option<Box<Rare>>,
}

/// What most calls have none of: boxed, since calls are moved about.
#[derive(Debug, Default)]
struct Rare {
    /// Time that the caller waits, if its request says so.
    time_limit: Option<Duration>,
    /// The request's body, and when the call began; only of a body that can be watched.
    upload: Option<(Upload, Instant)>,
    /// Looks for the status in the body of a gRPC-Web answer.
    frames: Option<Frames>,
    fault: Option<Fault>,
}

impl Rare {
    #[cold]
    fn of_time_limit(limit: Duration) -> Box<Self> {
        Box::new(Rare {
            time_limit: Some(limit),
            ..Rare::default()
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Head,
    Connect,
    Other,
}

/// Tells whether a call goes on after what was just seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    GoesOn,
    Over,
}

impl HttpCall {
    /// Reads a request as a client that may speak either protocol.
    #[inline]
    pub(crate) fn read(method: &Method, headers: &HeaderMap) -> Self {
        let wire = Wire::requested(Side::Client, method, Version::HTTP_11, headers);
        HttpCall::new(Side::Client, wire, method, headers)
    }

    /// Reads a request, and takes or leaves the classifier that all layers of its stack judge by.
    #[inline]
    pub(super) fn of<K: Kind, B: 'static>(
        request: &mut Request<B>,
        own: Option<&Classifier>,
    ) -> Self {
        let (method, headers) = (request.method(), request.headers());
        let wire = if K::ONLY_GRPC {
            match Wire::of_content_type(headers) {
                Wire::GrpcWeb => Wire::GrpcWeb,
                _ => Wire::Grpc,
            }
        } else {
            Wire::requested(K::SIDE, method, request.version(), headers)
        };
        let call = HttpCall::new(K::SIDE, wire, method, headers);
        let classifier = shared_classifier(K::SIDE, own, request.extensions_mut());
        let frames = request_frames(K::SIDE, wire);
        let mut rare = call.rare;
        // A body that panics here is one that nothing is known of.
        quietly(|| {
            if let Some(upload) = watch_request(request, frames) {
                rare.get_or_insert_default().upload = Some((upload, Instant::now()));
            }
        });
        HttpCall {
            only_grpc: K::ONLY_GRPC,
            classifier,
            rare,
            ..call
        }
    }

    /// A call of which only this is known.
    pub(super) fn speaking(wire: Wire) -> Self {
        HttpCall::new(Side::Server, wire, &Method::POST, &HeaderMap::new())
    }

    #[inline]
    fn new(side: Side, wire: Wire, method: &Method, headers: &HeaderMap) -> Self {
        let time_limit = match wire {
            Wire::Plain => None,
            _ => headers.get("grpc-timeout").and_then(parse_grpc_timeout),
        };
        HttpCall {
            wire,
            asked: wire,
            side,
            only_grpc: false,
            is_certain: false,
            web_text: wire == Wire::GrpcWeb && is_text(headers),
            method: match *method {
                Method::HEAD => Verb::Head,
                Method::CONNECT => Verb::Connect,
                _ => Verb::Other,
            },
            judged: Judged::SUCCESS,
            status: None,
            code: None,
            waiting: false,
            sent: 0,
            promised: Small::NONE,
            declared: false,
            classifier: None,
            rare: time_limit.map(Rare::of_time_limit),
        }
    }

    /// Returns the protocol that the call speaks, as far as it is known by now.
    pub fn wire(&self) -> Wire {
        self.wire
    }

    /// Returns whether the call is gRPC, gRPC-Web included.
    pub fn is_grpc(&self) -> bool {
        self.wire.is_grpc()
    }

    /// Returns the outcome so far; final once the call is over.
    pub fn verdict(&self) -> Outcome {
        self.judged.outcome
    }

    /// The gRPC code, once there was one.
    pub fn grpc_code(&self) -> Option<GrpcCode> {
        self.code
    }

    fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    fn upload(&self) -> Option<&(Upload, Instant)> {
        self.rare.as_deref()?.upload.as_ref()
    }

    fn frames(&self) -> Option<&Frames> {
        self.rare.as_deref()?.frames.as_ref()
    }

    fn fault(&self) -> Option<&Fault> {
        self.rare.as_deref()?.fault.as_ref()
    }

    fn note_fault(&mut self, fault: impl Into<Option<Fault>>) {
        if let Some(fault) = fault.into() {
            self.rare_mut().fault = Some(fault);
        }
    }

    pub(crate) fn grpc_content_type(&self) -> &'static str {
        match self.wire {
            Wire::GrpcWeb if self.web_text => "application/grpc-web-text",
            Wire::GrpcWeb => "application/grpc-web",
            _ => "application/grpc",
        }
    }

    /// Notes whether a reader of the body found nothing there.
    #[inline]
    pub(crate) fn set_waiting(&mut self, waiting: bool) {
        self.waiting = waiting;
    }

    /// Returns whether the end of the body must bring a gRPC status.
    fn awaits_code(&self) -> bool {
        (self.wire == Wire::Grpc || self.frames().is_some())
            && self.code.is_none()
            && self.status == Some(StatusCode::OK)
            && self.judged.outcome == Outcome::Success
    }
}

/// Returns the reader of the messages of a gRPC request on a server.
#[inline]
fn request_frames(side: Side, wire: Wire) -> Option<Frames> {
    (side == Side::Server && wire == Wire::Grpc).then(Frames::new)
}

/// Returns the classifier that all layers of a stack judge by, this one's in it, and leaves it for those further in.
#[inline]
fn shared_classifier(
    side: Side,
    own: Option<&Classifier>,
    extensions: &mut Extensions,
) -> Option<Classifier> {
    let outer = match extensions.is_empty() {
        true => None,
        false => extensions.get::<OuterClassifier>(),
    };
    let outer = outer
        .filter(|outer| outer.side == side)
        .map(|outer| &outer.classifier);
    let Some(own) = own else {
        return outer.cloned();
    };
    let classifier = own.within(outer);
    extensions.insert(OuterClassifier {
        side,
        classifier: classifier.clone(),
    });
    Some(classifier)
}

/// Reads `grpc-status`, from headers or trailers.
pub(crate) fn code_of(headers: &HeaderMap) -> Option<GrpcCode> {
    headers
        .get("grpc-status")
        .map(|value| GrpcCode::parse(value.as_bytes()))
}

/// Returns whether gRPC-Web is in its text form.
fn is_text(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|kind| kind.starts_with(b"application/grpc-web-text"))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
