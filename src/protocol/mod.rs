//! How to read a request, judge its end, and answer a refusal.
//!
//! | protocol | for | a refusal is | the service's error |
//! |---|---|---|---|
//! | [`Any`] | any service at all | an error | becomes [`BoxError`] |
//! | [`Server`] | axum, tonic and hyper servers | 503, 429 or 504 with a problem body, or trailers-only gRPC | stays, `Infallible` too |
//! | [`Client`] | HTTP clients such as hyper-util's | an error | becomes `BoxError` |
//! | [`GrpcClient`] | tonic channels | a trailers-only response, which arrives as a proper `tonic::Status` | becomes `BoxError` |
//!
//! HTTP and gRPC are told apart per request, by the content type, so that one layer serves both. A gRPC call is
//! judged by its status wherever that is, in headers or in trailers; one that ends without is a failure.
//! gRPC-Web hides its trailers in the body: such calls are judged by their headers.
//!
//! Protocols are chosen through [`GuardLayer`](crate::guard::GuardLayer)'s constructors, never by default. This
//! module only reads and judges: what it decides is carried out by [`guard`](crate::guard).

// INTEGRATE: the first use takes the `allow` away.
#[allow(dead_code, unused_imports)]
pub(crate) mod grpc_frames;
mod http_call;
mod judge;
mod refusal;
mod timeout_header;
// INTEGRATE: the first use takes the `allow` away.
#[allow(dead_code)]
mod undecodable;
mod wire;

use std::{borrow::Borrow, time::Duration};

use crate::call::{BoxError, Classify, End, Ending, Outcome, Rejection, judged};

pub use http_call::HttpCall;
pub(crate) use http_call::{Step, is_grpc};
pub use judge::Side;
pub(crate) use judge::error_verdict;
pub use refusal::CaughtPanic;
pub(crate) use refusal::{panic_answer, refusal_answer, timeout_answer};
pub(crate) use timeout_header::{parse_grpc_timeout, write_grpc_timeout};
pub use wire::Wire;

mod sealed {
    pub trait Sealed {}
}

/// A way to read, judge and answer calls. Implemented by the four protocols of this module and by no other type.
pub trait Protocol: sealed::Sealed {
    /// What is remembered of a request for the length of its call.
    type Call: Notes;

    /// A refusal until it is handed on: in the box that an error needs, or bare where it becomes a response.
    #[doc(hidden)]
    type Refusal: From<Rejection> + Borrow<Rejection>;

    /// Whether a panic of the service is answered instead of passed on.
    const CATCHES_PANICS: bool;
}

/// A protocol that can read this kind of request.
pub trait Read<Req>: Protocol {
    /// Notes what the end of the call will be judged by.
    fn read(&self, request: &Req) -> Self::Call;
}

/// What a protocol remembers of a call.
pub trait Notes {
    /// The time limit that came with the request, if it had one.
    #[inline]
    fn time_limit(&self) -> Option<Duration> {
        None
    }

    /// What the call speaks.
    #[inline]
    fn wire(&self) -> Wire {
        Wire::Plain
    }

    /// How a call ends that is dropped now; `late` says whether its time limit has passed.
    fn dropped(&self, late: impl FnOnce() -> bool) -> Outcome;

    /// Adds to the end what is known of it.
    fn fill<'a>(&'a self, end: &mut End<'a>);
}

impl Notes for () {
    #[inline]
    fn dropped(&self, _: impl FnOnce() -> bool) -> Outcome {
        Outcome::Cancelled
    }
    #[inline]
    fn fill<'a>(&'a self, _: &mut End<'a>) {}
}

/// What HTTP servers and clients have in common.
pub trait Http: Protocol<Call = HttpCall> {
    #[doc(hidden)]
    type Classify: Classify;
    #[doc(hidden)]
    fn classify(&self) -> &Self::Classify;
    #[doc(hidden)]
    const SIDE: Side;
}

/// Any service: see the [module](self). `C` is how its end is judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Any<C = ()>(pub(crate) C);

impl<C: Classify> Any<C> {
    /// What there is to judge a result by, and as what it was judged.
    #[inline]
    pub(crate) fn judge<'a, T: 'static>(&self, result: Result<&'a T, &'a BoxError>) -> Ending<'a> {
        let mut ending = match result {
            Ok(response) => Ending {
                response: Some(response),
                ..Ending::of(Outcome::Success)
            },
            Err(error) => Ending {
                error: Some(&**error),
                ..Ending::of(error_verdict(&**error))
            },
        };
        ending.verdict = judged(&self.0, &ending);
        ending
    }
}

impl<C> sealed::Sealed for Any<C> {}
impl<C> Protocol for Any<C> {
    type Call = ();
    type Refusal = Box<Rejection>;
    const CATCHES_PANICS: bool = false;
}
impl<Req, C> Read<Req> for Any<C> {
    #[inline]
    fn read(&self, _: &Req) {}
}

macro_rules! http_protocol {
    ($name:ident, side: $side:ident, refuses_with: $refusal:ty, catches: $catches:expr, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name<C = ()>(pub(crate) C);

        impl<C> sealed::Sealed for $name<C> {}
        impl<C: Classify> Protocol for $name<C> {
            type Call = HttpCall;
            type Refusal = $refusal;
            const CATCHES_PANICS: bool = $catches;
        }
        impl<B, C: Classify> Read<http::Request<B>> for $name<C> {
            #[inline]
            fn read(&self, request: &http::Request<B>) -> HttpCall {
                HttpCall::read(request.method(), request.headers())
            }
        }
        impl<C: Classify> Http for $name<C> {
            type Classify = C;
            const SIDE: Side = Side::$side;
            #[inline]
            fn classify(&self) -> &C {
                &self.0
            }
        }
    };
}
http_protocol!(
    Server, side: Server, refuses_with: Rejection, catches: true,
    "HTTP and gRPC servers: see the [module](self). `C` is how their end is judged."
);
http_protocol!(
    Client, side: Client, refuses_with: Box<Rejection>, catches: false,
    "HTTP clients: see the [module](self). `C` is how their end is judged."
);
http_protocol!(
    GrpcClient, side: Client, refuses_with: Rejection, catches: false,
    "gRPC clients: see the [module](self). `C` is how their end is judged."
);
