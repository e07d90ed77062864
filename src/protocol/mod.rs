//! How to read a request, judge its end, and answer a refusal.
//!
//! | protocol | for | a refusal is | the service's error |
//! |---|---|---|---|
//! | [`Any`] | any service at all | an error | becomes [`BoxError`](crate::BoxError) |
//! | [`Server`] | axum, tonic and hyper servers | 503, 429 or 504 with a problem body, or trailers-only gRPC | stays, `Infallible` too |
//! | [`Client`] | HTTP clients such as hyper-util's | an error | becomes `BoxError` |
//! | [`GrpcClient`] | tonic channels | a trailers-only response, which arrives as a proper `tonic::Status` | becomes `BoxError` |
//!
//! HTTP and gRPC are told apart per request, so that one layer serves both: see [`Wire`]. A gRPC call is judged by its
//! status wherever that is, in headers, in trailers, or in the last message of a gRPC-Web body; one that ends without
//! is a failure. An answer that is not gRPC is judged by its HTTP status, except by [`GrpcClient`].
//!
//! Protocols are chosen through [`GuardLayer`](crate::guard::GuardLayer)'s constructors, never by default. This
//! module only reads, judges and speaks in a service's place ([`Read`], [`Respond`]): what it decides is carried out by
//! [`guard`](crate::guard), [`timeout`](crate::timeout), [`retry`](crate::retry) and [`fallback`](crate::fallback).
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
pub(crate) mod grpc_frames;
mod http_call;
mod http_protocol;
mod idempotent;
mod instead;
mod judge;
mod kind;
mod refusal;
mod respond;
mod response_head;
mod shared_classifier;
mod timeout_header;
mod undecodable;
pub(crate) mod upload;
mod wire;

use std::{borrow::Borrow, time::Duration};

use http::{Extensions, HeaderMap, response};

use crate::call::{Classifier, End, Judged, Moment, Rejection};

pub use any::Any;
pub use http_call::HttpCall;
pub(crate) use http_call::{Step, code_of};
pub use http_protocol::{Client, GrpcClient, HttpProtocol, Server};
pub(crate) use idempotent::{REPLAY_CAP, may_be_done_twice};
pub(crate) use instead::Instead;
pub use judge::Side;
pub(crate) use judge::{error_verdict, judge_error};
pub(crate) use kind::KindOver;
pub use kind::{ClientKind, GrpcClientKind, Kind, ServerKind};
pub use refusal::CaughtPanic;
pub use respond::Respond;
pub(crate) use respond::{BodyInfo, Wrap};
pub(crate) use response_head::ResponseHead;
pub(crate) use timeout_header::{GRPC_TIMEOUT, parse_grpc_timeout, write_grpc_timeout};
pub use wire::Wire;

use upload::Upload;

mod sealed {
    pub trait Sealed {}
}

/// A way to read, judge and answer calls; see [`Read`] and [`Respond`]. Implemented by the four protocols of this
/// module and by no other type.
pub trait Protocol: sealed::Sealed {
    /// What is remembered of a request for the length of its call.
    type Call: Notes;

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
    const ANSWERS: bool;

    /// Whether a panic of the service is answered instead of passed on: by servers.
    const CATCHES_PANICS: bool = matches!(Self::SIDE, Side::Server);

    #[doc(hidden)]
    fn classified(self, classifier: Classifier) -> Self;

    #[doc(hidden)]
    fn classifier(&self) -> Option<&Classifier>;

    /// Head and length of a message.
    #[doc(hidden)]
    fn head_of(message: &mut Self::Message) -> (&mut response::Parts, u64);
}

/// A protocol that can read this kind of request.
pub trait Read<Req>: Protocol {
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
pub trait Notes {
    /// The time limit that came with the request, if it had one.
    #[inline]
    fn time_limit(&self) -> Option<Duration> {
        None
    }

    /// Returns how long the caller was waited for so far, while it sent its request.
    #[doc(hidden)]
    #[inline]
    fn waited(&self) -> Duration {
        Duration::ZERO
    }

    /// Returns the protocol that the call speaks.
    #[inline]
    fn wire(&self) -> Wire {
        Wire::Plain
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
    fn moment(&self) -> Moment {
        Moment::default()
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
    fn judged(&self) -> Judged;

    /// Forgets the answer: another one follows, to the same request.
    #[doc(hidden)]
    fn begin_again(&mut self);

    /// Returns whether a peer says that time ran out, and nothing else is known about why.
    #[doc(hidden)]
    #[inline]
    fn is_late(&self) -> bool {
        false
    }

    /// A peer that gave up at its caller's own deadline says nothing about its health.
    #[doc(hidden)]
    #[inline]
    fn excuse_lateness(&mut self) {}

    /// Judges a body that ended without trailers, or with trailers that say nothing of the call.
    #[doc(hidden)]
    #[inline]
    fn judge_clean_end(&mut self) {}

    /// Notes a response that the service did not give.
    #[doc(hidden)]
    #[inline]
    fn answered_instead(&mut self, head: &response::Parts, bytes: u64) {
        let _ = (head, bytes);
    }

    #[doc(hidden)]
    #[inline]
    fn dropped(&self, given_up: Option<Judged>) -> Judged {
        given_up.unwrap_or(Judged::ABANDONED)
    }

    #[doc(hidden)]
    #[inline]
    fn panicked(&mut self) -> Judged {
        Judged::PANICKED
    }

    /// Adds to the end what is known of it.
    fn fill<'a>(&'a self, end: &mut End<'a>);
}

/// Of a call of any kind nothing is remembered but its end.
impl Notes for Judged {
    #[inline]
    fn judged(&self) -> Judged {
        *self
    }

    #[inline]
    fn begin_again(&mut self) {
        *self = Judged::SUCCESS;
    }

    #[inline]
    fn fill<'a>(&'a self, _: &mut End<'a>) {}
}
