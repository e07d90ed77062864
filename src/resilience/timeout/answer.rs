//! What a protocol makes of a time limit: what the request says about it, what goes on with the request, and how a
//! call is answered that has taken too long.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use tokio::time::Instant;

use super::{TimeoutBody, layer::Plan};
use crate::{
    call::{BoxError, Elapsed, Moment, Rejection},
    context::Context,
    observe::context::{TimeScope, earlier, known_deadline},
    protocol::{
        Any, Client, GrpcClient, Http, HttpCall, Notes, Protocol, Read, Server, refusal_answer,
        timeout_answer, write_grpc_timeout,
    },
};

/// How long one call may take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    pub(super) limit: Duration,
    pub(super) deadline: Option<Instant>,
}

impl Asked {
    /// Within what time the call runs.
    #[inline]
    pub(super) fn scope(&self) -> TimeScope {
        let scope = TimeScope::within(self.limit);
        match self.deadline {
            Some(deadline) => scope.and_until(deadline),
            None => scope,
        }
    }

    /// Whether nothing is left of it. Without a deadline, nobody asks for the time.
    #[inline]
    pub(super) fn is_over(&self, now: &Moment) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now.now())
    }

    fn left(&self, now: &Moment) -> Duration {
        let left = |deadline: Instant| deadline.saturating_duration_since(now.now());
        self.deadline
            .map_or(self.limit, |deadline| left(deadline).min(self.limit))
    }
}

/// A protocol that can tell how long a request may take. Not meant to be implemented elsewhere.
pub trait Ask<Req>: Protocol {
    #[doc(hidden)]
    fn ask(&self, request: &mut Req, limit: Duration, now: &Moment) -> (Self::Call, Asked);
    #[doc(hidden)]
    fn send_on(&self, _: &mut Req, _: &Asked, _: &Moment, _: Option<&HeaderName>) {}
}

/// How a protocol hands on what comes in time, and answers for what does not. Not meant to be implemented elsewhere.
pub trait Respond<Res, E>: Protocol + Sized {
    /// What the service with a time limit gives.
    type Response;
    /// Its error.
    type Error;

    #[doc(hidden)]
    fn pass(
        plan: &Plan<Self>,
        asked: &Asked,
        result: Result<Res, E>,
    ) -> Result<Self::Response, Self::Error>;
    #[doc(hidden)]
    fn late(call: &Self::Call, why: Elapsed) -> Result<Self::Response, Self::Error>;
    #[doc(hidden)]
    fn refuse(call: &Self::Call, why: Rejection) -> Result<Self::Response, Self::Error>;
    #[doc(hidden)]
    fn unready(error: E) -> Self::Error;
}

impl<Req> Ask<Req> for Any {
    #[inline]
    fn ask(&self, _: &mut Req, limit: Duration, _: &Moment) -> ((), Asked) {
        let deadline = known_deadline();
        ((), Asked { limit, deadline })
    }
}

impl<Res, E: Into<BoxError>> Respond<Res, E> for Any {
    type Response = Res;
    type Error = BoxError;

    #[inline]
    fn pass(_: &Plan<Self>, _: &Asked, result: Result<Res, E>) -> Result<Res, BoxError> {
        result.map_err(Into::into)
    }
    fn late((): &(), why: Elapsed) -> Result<Res, BoxError> {
        Err(why.into())
    }
    fn refuse((): &(), why: Rejection) -> Result<Res, BoxError> {
        Err(why.into())
    }
    fn unready(error: E) -> BoxError {
        error.into()
    }
}

/// The limit of an HTTP call: the shortest of the layer's, the request's own and what its context has left.
fn ask_http<P, B>(
    protocol: &P,
    request: &mut Request<B>,
    limit: Duration,
    now: &Moment,
) -> (HttpCall, Asked)
where
    P: Http + Read<Request<B>>,
{
    let call = protocol.read(request);
    let own = request.extensions().get::<Context>();
    let deadline = earlier(own.and_then(Context::deadline), known_deadline());
    let told = call.time_limit();
    let told = told.and_then(|time| now.now().checked_add(time));
    let deadline = earlier(deadline, told);
    (call, Asked { limit, deadline })
}

macro_rules! ask {
    ($protocol:ident, |$request:ident, $left:ident, $header:ident| $send_on:expr) => {
        impl<B: 'static> Ask<Request<B>> for $protocol {
            #[inline]
            fn ask(
                &self,
                request: &mut Request<B>,
                limit: Duration,
                now: &Moment,
            ) -> (HttpCall, Asked) {
                ask_http(self, request, limit, now)
            }
            #[inline]
            fn send_on(
                &self,
                $request: &mut Request<B>,
                asked: &Asked,
                now: &Moment,
                $header: Option<&HeaderName>,
            ) {
                let $left = || asked.left(now);
                $send_on
            }
        }
    };
}
ask!(Server, |_request, _left, _header| ());
ask!(Client, |request, left, header| {
    let headers = request.headers_mut();
    if crate::protocol::Wire::of_content_type(headers).is_grpc() {
        headers.insert(GRPC_TIMEOUT, write_grpc_timeout(left()));
    } else if let Some(header) = header {
        shorten_millis(headers, header, left());
    }
});
ask!(GrpcClient, |request, left, _header| {
    let headers = request.headers_mut();
    headers.insert(GRPC_TIMEOUT, write_grpc_timeout(left()));
});

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// One that is there and shorter stays: its writer knows better.
fn shorten_millis(headers: &mut HeaderMap, header: &HeaderName, left: Duration) {
    let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    let known = headers.get(header).and_then(parse_millis);
    if known.is_none_or(|known| known > Duration::from_millis(left)) {
        headers.insert(header, HeaderValue::from(left));
    }
}

/// Reads whole milliseconds.
pub(super) fn parse_millis(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Nothing but digits fails only by being too large.
    digits.then(|| Duration::from_millis(text.parse().unwrap_or(u64::MAX)))
}

fn respond<P, B>(plan: &Plan<P>, asked: &Asked, response: Response<B>) -> Response<TimeoutBody<B>> {
    response.map(|body| TimeoutBody::new(body, plan, asked.deadline))
}

impl<B, E> Respond<Response<B>, E> for Server
where
    B: Body<Data = Bytes>,
{
    type Response = Response<TimeoutBody<B>>;
    type Error = E;

    #[inline]
    fn pass(
        plan: &Plan<Self>,
        asked: &Asked,
        result: Result<Response<B>, E>,
    ) -> Result<Self::Response, E> {
        result.map(|response| respond(plan, asked, response))
    }
    fn late(call: &HttpCall, why: Elapsed) -> Result<Self::Response, E> {
        Ok(timeout_answer(call, why).map(TimeoutBody::message))
    }
    fn refuse(call: &HttpCall, why: Rejection) -> Result<Self::Response, E> {
        Ok(refusal_answer(call, why).map(TimeoutBody::message))
    }
    fn unready(error: E) -> E {
        error
    }
}

macro_rules! client {
    ($protocol:ident, late: $late:expr, refuse: $refuse:expr) => {
        impl<B, E> Respond<Response<B>, E> for $protocol
        where
            B: Body<Data = Bytes>,
            E: Into<BoxError>,
        {
            type Response = Response<TimeoutBody<B>>;
            type Error = BoxError;

            #[inline]
            fn pass(
                plan: &Plan<Self>,
                asked: &Asked,
                result: Result<Response<B>, E>,
            ) -> Result<Self::Response, BoxError> {
                result
                    .map(|response| respond(plan, asked, response))
                    .map_err(Into::into)
            }
            fn late(call: &HttpCall, why: Elapsed) -> Result<Self::Response, BoxError> {
                $late(call, why)
            }
            fn refuse(call: &HttpCall, why: Rejection) -> Result<Self::Response, BoxError> {
                $refuse(call, why)
            }
            fn unready(error: E) -> BoxError {
                error.into()
            }
        }
    };
}
client!(
    Client,
    late: |_, why: Elapsed| Err(why.into()),
    refuse: |_, why: Rejection| Err(why.into())
);
client!(
    GrpcClient,
    late: |call, why| Ok(timeout_answer(call, why).map(TimeoutBody::message)),
    refuse: |call, why| Ok(refusal_answer(call, why).map(TimeoutBody::message))
);
