//! How to read a request, judge its end, and answer a refusal.
//!
//! | protocol | for | a refusal is | the service's error |
//! |---|---|---|---|
//! | [`AnyService`] | any service at all | an error | becomes [`BoxError`](crate::BoxError) |
//! | [`Server`] | axum, tonic and hyper servers | 503, 429 or 504 with a problem body, or trailers-only gRPC | stays, `Infallible` too |
//! | [`Client`] | HTTP clients such as hyper-util's | an error | becomes `BoxError` |
//! | [`GrpcClient`] | tonic channels | a trailers-only response, which arrives as a proper `tonic::Status` | becomes `BoxError` |
//!
//! HTTP and gRPC are told apart per request, so that one layer serves both: see [`WireFormat`]. A gRPC call is judged by its
//! status wherever that is, in headers, in trailers, or in the last message of a gRPC-Web body; one that ends without
//! is a failure. An answer that is not gRPC is judged by its HTTP status, except by [`GrpcClient`].
//!
//! Protocols are chosen through [`GuardLayer`](crate::guard::GuardLayer)'s constructors, never by default. This
//! module only reads, judges and speaks in a service's place ([`ReadRequest`], [`Respond`]): what it decides is carried out by
//! [`check_guard`](crate::guard), [`timeout`](crate::timeout), [`retry`](crate::retry) and [`fallback`](crate::fallback).
//!
//! A stack whose type was boxed, such as tower's `BoxCloneSyncService<_, _, BoxError>`, does not compile inside of an
//! `#[async_trait]` method: keep it in a field and clone it there.
//!
//! # One judgement
//!
//! Layers of one stack agree. A classifier that is set on one of them travels with the request and its response, so
//! that all of them judge by it: [`GuardLayer::classify`](crate::GuardLayer::classify). What a guard further in has
//! refused, or caught as a panic, stays refused or panicked. Over a plain service there is nothing to travel with but
//! an error: there, set a classifier on the innermost layer.

mod any;
mod classify;
mod decode_errors;
mod exchange;
pub(crate) mod grpc_framing;
mod grpc_timeout;
mod http_protocol;
mod idempotent;
mod kind;
mod local_failure;
mod local_response;
mod respond;
mod response_head;
mod shared_classifier;
pub(crate) mod upload;
mod wire;

use std::{borrow::Borrow, time::Duration};

use http::{Extensions, HeaderMap, response};

use crate::call::{CallClock, CallEnd, Classification, Classifier, Rejection};

pub use any::AnyService;
pub use classify::Side;
pub(crate) use classify::{classify_error, error_outcome};
pub use exchange::HttpExchange;
pub(crate) use exchange::{BodyExpected, grpc_status_of};
pub(crate) use grpc_timeout::{GRPC_TIMEOUT, parse_grpc_timeout, write_grpc_timeout};
pub use http_protocol::{Client, GrpcClient, HttpProtocol, Server};
pub(crate) use idempotent::{REPLAY_CAP, may_be_done_twice};
pub(crate) use kind::HttpKindFor;
pub use kind::{ClientKind, GrpcClientKind, HttpKind, ServerKind};
pub(crate) use local_failure::LocalFailure;
pub use local_response::CaughtPanic;
pub use respond::Respond;
pub(crate) use respond::{BodyInfo, WrapBody};
pub(crate) use response_head::ResponseHead;
pub use wire::WireFormat;

use upload::Upload;

mod sealed {
    pub trait Sealed {}
}

/// A way to read, judge and answer calls; see [`ReadRequest`] and [`Respond`]. Implemented by the four protocols of this
/// module and by no other type.
pub trait Protocol: sealed::Sealed {
    /// What is remembered of a request for the length of its call.
    type Call: CallState;

    /// A refusal until it is handed on: in the box that an error needs, or bare where it becomes a response.
    #[doc(hidden)]
    type Refusal: From<Rejection> + Borrow<Rejection>;

    /// A response that is made in the service's place.
    #[doc(hidden)]
    type Message;

    #[doc(hidden)]
    const SIDE: Side;

    /// Whether a refusal is a response, and no error.
    #[doc(hidden)]
    const RESPONDS_LOCALLY: bool;

    /// Whether a panic of the service is answered instead of passed on: by servers.
    const CATCHES_PANICS: bool = matches!(Self::SIDE, Side::Server);

    #[doc(hidden)]
    fn with_classifier(self, classifier: Classifier) -> Self;

    #[doc(hidden)]
    fn classifier(&self) -> Option<&Classifier>;

    /// Head and length of a message.
    #[doc(hidden)]
    fn message_head(message: &mut Self::Message) -> (&mut response::Parts, u64);
}

/// A protocol that can read this kind of request.
pub trait ReadRequest<Req>: Protocol {
    /// Notes what the end of the call will be judged by.
    fn read(&self, request: &mut Req) -> Self::Call;

    /// The request's extensions, if it is one of HTTP.
    #[doc(hidden)]
    #[inline]
    fn extensions(request: &Req) -> Option<&Extensions> {
        let _ = request;
        None
    }

    /// The request's headers, if it is one of HTTP.
    #[doc(hidden)]
    #[inline]
    fn headers_mut(request: &mut Req) -> Option<&mut HeaderMap> {
        let _ = request;
        None
    }
}

/// What a protocol remembers of a call.
pub trait CallState {
    /// The time limit that came with the request, if it had one.
    #[inline]
    fn time_limit(&self) -> Option<Duration> {
        None
    }

    /// Returns how long the caller was waited for so far, while it sent its request.
    #[doc(hidden)]
    #[inline]
    fn upload_wait(&self) -> Duration {
        Duration::ZERO
    }

    /// Returns the protocol that the call speaks.
    #[inline]
    fn wire(&self) -> WireFormat {
        WireFormat::Plain
    }

    /// Returns whether the request's body is watched.
    #[doc(hidden)]
    #[inline]
    fn has_upload(&self) -> bool {
        false
    }

    /// Makes what the guards are told when the call begins.
    #[doc(hidden)]
    #[inline]
    fn clock(&self) -> CallClock {
        CallClock::default()
            .with_wire(self.wire())
            .with_upload(self.has_upload())
    }

    /// Returns the progress of the request's body, if it can be watched.
    #[doc(hidden)]
    #[inline]
    fn upload(&self) -> Option<Upload> {
        None
    }

    /// As what it has been judged so far.
    #[doc(hidden)]
    fn classification(&self) -> Classification;

    /// Forgets the answer: another one follows, to the same request.
    #[doc(hidden)]
    fn reset(&mut self);

    /// Returns whether a peer says that time ran out, and nothing else is known about why.
    #[doc(hidden)]
    #[inline]
    fn is_unexplained_timeout(&self) -> bool {
        false
    }

    /// A peer that gave up at its caller's own deadline says nothing about its health.
    #[doc(hidden)]
    #[inline]
    fn excuse_timeout(&mut self) {}

    /// Judges a body that ended without trailers, or with trailers that say nothing of the call.
    #[doc(hidden)]
    #[inline]
    fn on_body_end(&mut self) {}

    /// Notes a response that the service did not give.
    #[doc(hidden)]
    #[inline]
    fn set_local_response(&mut self, head: &response::Parts, bytes: u64) {
        let _ = (head, bytes);
    }

    #[doc(hidden)]
    #[inline]
    fn classify_drop(&self, given_up: Option<Classification>) -> Classification {
        given_up.unwrap_or(Classification::CANCELLED)
    }

    #[doc(hidden)]
    #[inline]
    fn on_panic(&mut self) -> Classification {
        Classification::PANICKED
    }

    /// Adds to the end what is known of it.
    fn write_end<'a>(&'a self, end: &mut CallEnd<'a>);
}

/// Of a call of any kind nothing is remembered but its end.
impl CallState for Classification {
    #[inline]
    fn classification(&self) -> Classification {
        *self
    }

    #[inline]
    fn reset(&mut self) {
        *self = Classification::SUCCESS;
    }

    #[inline]
    fn write_end<'a>(&'a self, _: &mut CallEnd<'a>) {}
}
