//! Reads requests, classifies how calls end, and responds to rejections.
//!
//! | protocol | for | a rejection is | the service's error |
//! |---|---|---|---|
//! | [`AnyService`] | any service at all | an error | becomes [`BoxError`](crate::BoxError) |
//! | [`Server`] | axum, tonic and hyper servers | 503, 429 or 504 with a problem body, or trailers-only gRPC | stays, `Infallible` too |
//! | [`Client`] | HTTP clients such as hyper-util's | an error | becomes `BoxError` |
//! | [`GrpcClient`] | tonic channels | a trailers-only response, which arrives as a proper `tonic::Status` | becomes `BoxError` |
//!
//! HTTP and gRPC are told apart per request, so that one layer serves both: see [`WireFormat`]. A gRPC call is classified by
//! its status wherever that is, in headers, in trailers, or in the last message of a gRPC-Web body. A call without one is a
//! failure, whatever its method and HTTP status, as it is for the caller of tonic: 200, 204 and 302 alike. An HTTP status from 400
//! on is classified by itself. A response that is not gRPC is classified by its HTTP status, except by [`GrpcClient`], for which
//! every response is gRPC.
//!
//! Protocols are chosen through the constructors of layers, such as [`GuardLayer::server`](crate::GuardLayer::server), never by
//! default. This module reads, classifies and responds locally ([`ReadRequest`], [`Respond`]); its decisions are carried out by
//! [`guard`](crate::guard), [`timeout`](crate::timeout), [`retry`](crate::retry) and [`fallback`](crate::fallback).
//!
//! A stack whose type was boxed, such as tower's `BoxCloneSyncService<_, _, BoxError>`, does not compile inside of an
//! `#[async_trait]` method: keep it in a field and clone it there.
//!
//! # One classification
//!
//! The layers of one stack agree. A classifier that is set on one of them travels with the request and its response, so that
//! all of them use it: [`GuardLayer::classify`](crate::GuardLayer::classify). A call that an inner guard has rejected, or whose
//! panic it has caught, stays rejected or panicked. Over a plain service only an error can carry a classification: there, set
//! the classifier on the innermost layer.
//!
//! Without a classifier each layer classifies the head on its own, by the same tables: sharing the result through the
//! extensions would cost every call an allocation, which is more than the classification. For the same reason each layer reads
//! the wire format: a request that is not a `POST` is plain by its method alone.

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
pub(crate) use local_response::rejection_response_in;
pub use respond::Respond;
pub(crate) use respond::{BodyInfo, WrapBody};
pub(crate) use response_head::ResponseHead;
pub use wire::WireFormat;

use upload::Upload;

mod sealed {
    pub trait Sealed {}
}

/// A protocol: how calls are read, classified and answered; see [`ReadRequest`] and [`Respond`]. Implemented by the four
/// protocols of this module and by no other type.
pub trait Protocol: sealed::Sealed {
    /// The state that is kept for the length of a call.
    type Call: CallState;

    /// A rejection until it is handed on: in the box that an error needs, or bare where it becomes a response.
    #[doc(hidden)]
    type Rejection: From<Rejection> + Borrow<Rejection>;

    /// A response in the service's place.
    #[doc(hidden)]
    type Message;

    #[doc(hidden)]
    const SIDE: Side;

    /// True if a rejection is a response, and not an error.
    #[doc(hidden)]
    const RESPONDS_LOCALLY: bool;

    /// True if a panic of the service becomes a response: on servers. Otherwise it is passed on.
    const CATCHES_PANICS: bool = matches!(Self::SIDE, Side::Server);

    #[doc(hidden)]
    fn with_classifier(self, classifier: Classifier) -> Self;

    #[doc(hidden)]
    fn classifier(&self) -> Option<&Classifier>;

    /// Returns the head and the length of a message.
    #[doc(hidden)]
    fn message_head(message: &mut Self::Message) -> (&mut response::Parts, u64);
}

/// A protocol that can read this kind of request.
pub trait ReadRequest<Req>: Protocol {
    /// Reads the state by which the call is classified.
    fn read(&self, request: &mut Req) -> Self::Call;

    /// Returns the request's extensions, if it is an HTTP request.
    #[doc(hidden)]
    #[inline]
    fn extensions(request: &Req) -> Option<&Extensions> {
        let _ = request;
        None
    }

    /// Returns the request's headers, if it is an HTTP request.
    #[doc(hidden)]
    #[inline]
    fn headers_mut(request: &mut Req) -> Option<&mut HeaderMap> {
        let _ = request;
        None
    }
}

/// The state of a call, as its protocol keeps it.
pub trait CallState {
    /// Returns the time limit that came with the request, if any.
    #[inline]
    fn time_limit(&self) -> Option<Duration> {
        None
    }

    /// Returns the time spent waiting for the caller's request so far.
    #[doc(hidden)]
    #[inline]
    fn upload_wait(&self) -> Duration {
        Duration::ZERO
    }

    /// Returns the wire format of the call.
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

    /// Creates the clock of the call.
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

    /// Returns the classification so far.
    #[doc(hidden)]
    fn classification(&self) -> Classification;

    /// Resets the state for another response to the same request.
    #[doc(hidden)]
    fn reset(&mut self);

    /// Returns whether the peer reports a timeout, and nothing else is known about the reason.
    #[doc(hidden)]
    #[inline]
    fn is_unexplained_timeout(&self) -> bool {
        false
    }

    /// Clears the peer of a timeout at its caller's own deadline.
    #[doc(hidden)]
    #[inline]
    fn excuse_timeout(&mut self) {}

    /// Handles the end of a body without trailers, or with trailers that carry no status.
    #[doc(hidden)]
    #[inline]
    fn on_body_end(&mut self) {}

    /// Records a response in the service's place.
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

    /// Fills in the end of the call.
    fn write_end<'a>(&'a self, end: &mut CallEnd<'a>);
}

/// The state of a call to a plain service is its classification alone.
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
