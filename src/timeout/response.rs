//! Hands on what comes in time, and answers in the place of what does not.

use std::{error::Error, marker::PhantomData, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, response};
use http_body::Body;

use super::{TimeoutBody, call_timeout::CallTimeout, layer::TimeoutConfig, timer::Expiry};
use crate::{
    call::{Elapsed, GrpcCode, Rejection, as_std_error, find, is_timeout},
    protocol::{
        CallState, LocalFailure, Protocol, Respond, ResponseHead, Side, WireFormat, WrapBody,
        grpc_status_of,
    },
};

/// Wraps bodies in a [`TimeoutBody`].
#[derive(Debug)]
pub struct WrapTimeoutBody<P>(PhantomData<fn() -> P>);

/// The result of a service with a time limit whose own response is `Res` and whose own error is `E`.
pub(super) type TimeoutResult<P, Res, E> =
    Result<<P as Respond<Res, E>>::Response<WrapTimeoutBody<P>>, <P as Respond<Res, E>>::Error>;

/// Answers in the service's place.
pub(super) fn respond_locally<P, Res, E>(
    call: &P::Call,
    why: LocalFailure<'_, P::Refusal>,
) -> TimeoutResult<P, Res, E>
where
    P: Respond<Res, E>,
{
    P::local_response(call, why).map(P::message_response::<WrapTimeoutBody<P>>)
}

/// A call that has come to its head, or failed.
pub struct ResponseContext<'a, P: Protocol> {
    pub(super) config: &'a TimeoutConfig<P>,
    pub(super) call: &'a P::Call,
    pub(super) timeout: &'a CallTimeout,
    pub(super) expiry: Option<Expiry>,
}

impl<P: Protocol> ResponseContext<'_, P> {
    /// Hands the answer on, unless it is a client's that says no more than that the time was up.
    #[inline]
    pub(super) fn forward<Res, E>(self, result: Result<Res, E>) -> TimeoutResult<P, Res, E>
    where
        P: Respond<Res, E>,
    {
        match result {
            Ok(response) => match self.elapsed_by_head(P::response_head(&response)) {
                None => Ok(P::wrap_response::<WrapTimeoutBody<P>>(response, self)),
                Some(why) => respond_locally::<P, Res, E>(self.call, LocalFailure::TimedOut(why)),
            },
            Err(error) => {
                let error = P::convert_error(error);
                match self.elapsed_by_error(&error) {
                    None => Err(error),
                    Some(why) => {
                        respond_locally::<P, Res, E>(self.call, LocalFailure::TimedOut(why))
                    }
                }
            }
        }
    }

    /// Returns the end of a call just when its time is up: the peer or the transport goes by the time that it was sent.
    fn elapsed_at_peer(&self) -> Option<Elapsed> {
        let over = self.expiry.filter(Expiry::is_near)?;
        Some(over.record_elapsed(&self.config.limit, self.timeout))
    }

    #[inline]
    fn elapsed_by_head(&self, head: Option<ResponseHead<'_>>) -> Option<Elapsed> {
        if P::SIDE == Side::Server || self.expiry.is_none() {
            return None;
        }
        let head = head?;
        let late = if self.call.wire().is_grpc() {
            reports_timeout(head.headers)
        } else {
            self.config.timeout_header.is_some() && head.status == StatusCode::GATEWAY_TIMEOUT
        };
        if late {
            self.elapsed_by_peer_response(head)
        } else {
            None
        }
    }

    /// An answer of this process, by a limit or a guard further in, has its own word.
    #[cold]
    fn elapsed_by_peer_response(&self, head: ResponseHead<'_>) -> Option<Elapsed> {
        let extensions = head.extensions;
        let ours = extensions.get::<Rejection>().is_some()
            || extensions.get::<Arc<dyn Error + Send + Sync>>().is_some();
        if ours { None } else { self.elapsed_at_peer() }
    }

    /// A limit further in has its own word.
    fn elapsed_by_error<E: 'static>(&self, error: &E) -> Option<Elapsed> {
        if P::SIDE == Side::Server || !self.call.wire().is_grpc() {
            return None;
        }
        let error = as_std_error(error)?;
        if is_timeout(error) && find::<Elapsed>(error).is_none() {
            self.elapsed_at_peer()
        } else {
            None
        }
    }
}

/// The body has the caller's deadline, and limits of its own.
impl<P: Protocol> WrapBody for WrapTimeoutBody<P> {
    type Body<B> = TimeoutBody<B>;
    type With<'a>
        = ResponseContext<'a, P>
    where
        Self: 'a;

    #[inline]
    fn wrap_body<B: Body<Data = Bytes>>(
        with: ResponseContext<'_, P>,
        parts: &mut response::Parts,
        body: B,
    ) -> TimeoutBody<B> {
        let in_trailers = || with.call.wire().is_grpc() && expects_grpc_trailers(&parts.headers);
        TimeoutBody::new(body, with.config, with.timeout, in_trailers)
    }

    fn message_body<B>(message: Bytes) -> TimeoutBody<B> {
        TimeoutBody::from_bytes(message)
    }
}

/// Returns whether a body ends with a gRPC status in trailers. gRPC-Web has it in the body's last message, where
/// nothing can be put once a message has begun.
fn expects_grpc_trailers(headers: &HeaderMap) -> bool {
    WireFormat::from_headers(headers) == WireFormat::Grpc && !headers.contains_key(GRPC_STATUS)
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Returns whether a gRPC peer says in these headers or trailers that its time was up, or that it was told to stop.
pub(super) fn reports_timeout(headers: &HeaderMap) -> bool {
    const LATE: [GrpcCode; 2] = [GrpcCode::CANCELLED, GrpcCode::DEADLINE_EXCEEDED];
    grpc_status_of(headers).is_some_and(|code| LATE.contains(&code))
}
