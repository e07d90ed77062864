//! What a protocol makes of a time limit: what the request says about it, what goes on with the request, and how a
//! call is answered that has taken too long.

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Body;

use super::{RequestLimit, TimeoutBody, asked::Asked, layer::Plan, timer::Over};
use crate::{
    call::{BoxError, Elapsed, GrpcCode, Moment, Rejection, find, is_timeout},
    context::Context,
    observe::context::earlier,
    protocol::{
        Any, Client, GrpcClient, Http, HttpCall, Notes, Protocol, Read, Server, Wire,
        refusal_answer, timeout_answer, write_grpc_timeout,
    },
};

/// A protocol that can tell how long a request may take. Not meant to be implemented elsewhere.
pub trait Ask<Req>: Protocol + Sized {
    #[doc(hidden)]
    fn ask(plan: &Plan<Self>, request: &mut Req, now: &Moment) -> (Self::Call, Asked);
    #[doc(hidden)]
    fn send_on(_: &Plan<Self>, _: &Self::Call, _: &Asked, _: &mut Req, _: &Moment) {}
}

/// A call that has come to its head, or failed.
#[doc(hidden)]
pub struct Exchange<'a, P: Protocol> {
    pub(super) plan: &'a Plan<P>,
    pub(super) call: &'a P::Call,
    pub(super) asked: &'a Asked,
    pub(super) over: Option<Over>,
}

/// How a protocol hands on what comes in time, and answers for what does not. Not meant to be implemented elsewhere.
pub trait Respond<Res, E>: Protocol + Sized {
    /// What the service with a time limit gives.
    type Response;
    /// Its error.
    type Error;

    #[doc(hidden)]
    fn pass(of: Exchange<'_, Self>, result: Result<Res, E>) -> Result<Self::Response, Self::Error>;
    #[doc(hidden)]
    fn late(call: &Self::Call, why: Elapsed) -> Result<Self::Response, Self::Error>;
    #[doc(hidden)]
    fn refuse(call: &Self::Call, why: Rejection) -> Result<Self::Response, Self::Error>;
    #[doc(hidden)]
    fn unready(error: E) -> Self::Error;
}

impl<Req> Ask<Req> for Any {
    #[inline]
    fn ask(plan: &Plan<Self>, _: &mut Req, _: &Moment) -> ((), Asked) {
        ((), Asked::here(plan.limit.get()))
    }
}

impl<Res, E: Into<BoxError>> Respond<Res, E> for Any {
    type Response = Res;
    type Error = BoxError;

    #[inline]
    fn pass(_: Exchange<'_, Self>, result: Result<Res, E>) -> Result<Res, BoxError> {
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

/// The time of an HTTP call: the layer's limit or the request's own, and the earliest deadline that is known of.
fn ask_http<P, B>(plan: &Plan<P>, request: &mut Request<B>, now: &Moment) -> (HttpCall, Asked)
where
    P: Http + Read<Request<B>>,
{
    let call = plan.protocol.read(request);
    let extensions = request.extensions();
    let limit = match extensions.get::<RequestLimit>() {
        Some(own) => plan.limit.clamp(own.0),
        None => plan.limit.get(),
    };
    let mut asked = Asked::here(limit);
    let own = extensions.get::<Context>();
    let told = call.time_limit();
    let told = told.and_then(|time| now.now().checked_add(time));
    let own = earlier(own.and_then(Context::deadline), told);
    asked.deadline = earlier(asked.deadline, own);
    asked.upload = call.upload();
    (call, asked)
}

macro_rules! ask {
    ($protocol:ident, $send_on:expr) => {
        impl<B: 'static> Ask<Request<B>> for $protocol {
            #[inline]
            fn ask(plan: &Plan<Self>, request: &mut Request<B>, now: &Moment) -> (HttpCall, Asked) {
                ask_http(plan, request, now)
            }
            #[inline]
            fn send_on(
                plan: &Plan<Self>,
                call: &HttpCall,
                asked: &Asked,
                request: &mut Request<B>,
                now: &Moment,
            ) {
                let header = $send_on(plan, call);
                if let Some(header) = header {
                    send_left(header, plan.send_limit, asked, request.headers_mut(), now);
                }
            }
        }
    };
}
ask!(Server, |_, _| None::<Header<'_>>);
ask!(Client, client_header);
ask!(GrpcClient, |_, _| Some(Header::Grpc));

/// Where the time left is written.
enum Header<'a> {
    Grpc,
    Millis(&'a HeaderName),
}

fn client_header<'a>(plan: &'a Plan<Client>, call: &HttpCall) -> Option<Header<'a>> {
    if call.is_grpc() {
        Some(Header::Grpc)
    } else {
        plan.header.as_ref().map(Header::Millis)
    }
}

fn send_left(
    header: Header<'_>,
    limits: bool,
    asked: &Asked,
    headers: &mut HeaderMap,
    now: &Moment,
) {
    let Some(left) = asked.left(limits, now) else {
        return;
    };
    match header {
        Header::Grpc => {
            headers.insert(GRPC_TIMEOUT, write_grpc_timeout(left));
        }
        Header::Millis(name) => shorten_millis(headers, name, left),
    }
}

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

/// The body has the caller's deadline, and limits of its own.
fn respond<P, B>(of: &Exchange<'_, P>, response: Response<B>) -> Response<TimeoutBody<B>>
where
    P: Protocol<Call = HttpCall>,
{
    let (parts, body) = response.into_parts();
    let in_trailers = || of.call.is_grpc() && is_open_grpc(&parts.headers);
    let body = TimeoutBody::new(body, of.plan, of.asked, in_trailers);
    Response::from_parts(parts, body)
}

/// Whether a body ends with a gRPC status in trailers. gRPC-Web has it in the body's last message, where nothing can
/// be put once a message has begun.
fn is_open_grpc(headers: &HeaderMap) -> bool {
    Wire::of_content_type(headers) == Wire::Grpc && !headers.contains_key(GRPC_STATUS)
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Whether a gRPC peer says in these headers or trailers that its time was up, or that it was told to stop.
pub(super) fn says_late(headers: &HeaderMap) -> bool {
    const LATE: [GrpcCode; 2] = [GrpcCode::CANCELLED, GrpcCode::DEADLINE_EXCEEDED];
    let code = headers.get(GRPC_STATUS);
    code.is_some_and(|code| LATE.contains(&GrpcCode::parse(code.as_bytes())))
}

impl<P: Protocol<Call = HttpCall>> Exchange<'_, P> {
    /// What ends a call just when its time is up: the peer or the transport goes by the time that it was sent.
    fn late_by_peer(&self) -> Option<Elapsed> {
        let over = self.over.filter(Over::is_near)?;
        Some(over.elapsed(&self.plan.limit, self.asked))
    }

    #[inline]
    fn late_head<B>(&self, response: &Response<B>) -> Option<Elapsed> {
        self.over?;
        let late = if self.call.is_grpc() {
            says_late(response.headers())
        } else {
            self.plan.header.is_some() && response.status() == StatusCode::GATEWAY_TIMEOUT
        };
        if late {
            self.late_answer(response)
        } else {
            None
        }
    }

    /// An answer of this process, by a limit or a guard further in, has its own word.
    #[cold]
    fn late_answer<B>(&self, response: &Response<B>) -> Option<Elapsed> {
        let extensions = response.extensions();
        let ours = extensions.get::<Rejection>().is_some()
            || extensions.get::<Arc<dyn Error + Send + Sync>>().is_some();
        if ours { None } else { self.late_by_peer() }
    }

    /// A limit further in has its own word.
    fn late_error(&self, error: &BoxError) -> Option<Elapsed> {
        let transports = || is_timeout(&**error) && find::<Elapsed>(&**error).is_none();
        if !self.call.is_grpc() || !transports() {
            return None;
        }
        self.late_by_peer()
    }
}

impl<B, E> Respond<Response<B>, E> for Server
where
    B: Body<Data = Bytes>,
{
    type Response = Response<TimeoutBody<B>>;
    type Error = E;

    #[inline]
    fn pass(of: Exchange<'_, Self>, result: Result<Response<B>, E>) -> Result<Self::Response, E> {
        result.map(|response| respond(&of, response))
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
                of: Exchange<'_, Self>,
                result: Result<Response<B>, E>,
            ) -> Result<Self::Response, BoxError> {
                match result {
                    Ok(response) => match of.late_head(&response) {
                        None => Ok(respond(&of, response)),
                        Some(why) => $late(of.call, why),
                    },
                    Err(error) => {
                        let error = error.into();
                        match of.late_error(&error) {
                            None => Err(error),
                            Some(why) => $late(of.call, why),
                        }
                    }
                }
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
