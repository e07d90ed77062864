//! Reads requests, classifies how calls end, and responds to rejections.
//!
//! | protocol | for | a rejection is | the service's error |
//! |---|---|---|---|
//! | [`AnyService`] | any service at all | an error | becomes [`BoxError`](crate::BoxError) |
//! | [`Server`] | axum, tonic and hyper servers | 503, 429 or 504 with a problem body, or trailers-only gRPC | stays, `Infallible` too |
//! | [`Client`] | HTTP clients such as hyper-util's | an error | becomes `BoxError` |
//! | [`GrpcClient`] | tonic channels | with the feature `tonic` a `tonic::Status`, in which [`Rejection::find`](crate::Rejection::find) finds it; else a trailers-only response, of which only code and message arrive | becomes `BoxError` |
//!
//! HTTP and gRPC are told apart per request, so that one layer serves both: see [`WireFormat`]. A gRPC call is classified by
//! its status wherever that is, in headers, in trailers, or in the last message of a gRPC-Web body. A call without one is a
//! failure, whatever its method and HTTP status, as it is for the caller of tonic: 200, 204 and 302 alike. An HTTP status from 400
//! on is classified by itself. A response that is not gRPC is classified by its HTTP status, except by [`GrpcClient`], for which
//! every response is gRPC.
//!
//! With tonic-web, place servers' layers [outside of `GrpcWebLayer`](crate::guide::troubleshooting#grpc-web).
//!
//! Protocols are chosen through the constructors of layers, such as [`GuardLayer::server`](crate::GuardLayer::server), never by
//! default. This module reads, classifies and responds locally; its decisions are carried out by [`guard`](crate::guard),
//! [`timeout`](crate::timeout), [`retry`](crate::retry) and [`fallback`](crate::fallback).
//!
//! A generated tonic client does not compile inside of an `#[async_trait]` method or a spawned task if the error of its stack
//! is a `BoxError`, boxed or not: [convert it to a `tonic::Status`](crate::guide::troubleshooting#boxerror-under-a-tonic-client).
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
mod call_state;
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
mod read_request;
mod rejection_details;
mod respond;
mod shared_classifier;
pub(crate) mod upload;
mod wire;

use std::borrow::Borrow;

use http::response;

use crate::call::{Classifier, Rejection};

pub use any::AnyService;
pub use http_protocol::{Client, GrpcClient, HttpProtocol, Server};
pub use local_response::CaughtPanic;
pub use wire::WireFormat;

// Nobody else may implement or name these: users choose a protocol by the constructor of a layer.
pub(crate) use call_state::CallState;
#[cfg(feature = "ops")]
pub(crate) use classify::classify_status;
pub(crate) use classify::{Side, classify_error, classify_grpc_code, error_outcome};
pub(crate) use exchange::{BodyExpected, HttpExchange, ResponseHead, grpc_status_of};
pub(crate) use grpc_timeout::{grpc_timeout_of, remove_grpc_timeout, set_grpc_timeout};
pub(crate) use idempotent::{DEFAULT_MAX_REPLAY_BYTES, is_idempotent};
pub(crate) use kind::{ClientKind, GrpcClientKind, HttpKind, HttpKindFor, ServerKind};
pub(crate) use local_failure::{InjectedFailure, LocalFailure};
pub(crate) use local_response::rejection_response_in;
pub(crate) use read_request::ReadRequest;
pub(crate) use respond::{BodyInfo, Respond, WrapBody};

mod sealed {
    pub trait Sealed {}
}

/// A protocol, which reads calls, classifies them and responds to them.
///
/// Implemented by [`AnyService`], [`Server`], [`Client`] and [`GrpcClient`], and by no other type.
pub trait Protocol: sealed::Sealed {
    /// The state that is kept for the length of a call.
    #[doc(hidden)]
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
    #[doc(hidden)]
    const CATCHES_PANICS: bool = matches!(Self::SIDE, Side::Server);

    #[doc(hidden)]
    fn with_classifier(self, classifier: Classifier) -> Self;

    #[doc(hidden)]
    fn classifier(&self) -> Option<&Classifier>;

    /// Returns the head and the length of a message.
    #[doc(hidden)]
    fn message_head(message: &mut Self::Message) -> (&mut response::Parts, u64);
}
