//! Hands on what comes in time, and answers in the place of what does not.

use std::{error::Error, marker::PhantomData, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, response};
use http_body::Body;

use super::{TimeoutBody, asked::Asked, layer::Plan, timer::Over};
use crate::{
    call::{Elapsed, GrpcCode, Rejection, find, is_timeout, view},
    protocol::{Instead, Notes, Protocol, Respond, ResponseHead, Side, Wire, Wrap, code_of},
};

/// Wraps bodies in a [`TimeoutBody`].
#[derive(Debug)]
pub struct InTime<P>(PhantomData<fn() -> P>);

/// The result of a service with a time limit whose own response is `Res` and whose own error is `E`.
pub(super) type Answer<P, Res, E> =
    Result<<P as Respond<Res, E>>::Response<InTime<P>>, <P as Respond<Res, E>>::Error>;

/// Answers in the service's place.
pub(super) fn instead<P, Res, E>(call: &P::Call, why: Instead<'_, P::Refusal>) -> Answer<P, Res, E>
where
    P: Respond<Res, E>,
{
    P::instead(call, why).map(P::say::<InTime<P>>)
}

/// A call that has come to its head, or failed.
pub struct Exchange<'a, P: Protocol> {
    pub(super) plan: &'a Plan<P>,
    pub(super) call: &'a P::Call,
    pub(super) asked: &'a Asked,
    pub(super) over: Option<Over>,
}

impl<P: Protocol> Exchange<'_, P> {
    /// Hands the answer on, unless it is a client's that says no more than that the time was up.
    #[inline]
    pub(super) fn pass<Res, E>(self, result: Result<Res, E>) -> Answer<P, Res, E>
    where
        P: Respond<Res, E>,
    {
        match result {
            Ok(response) => match self.late_head(P::head(&response)) {
                None => Ok(P::wrap::<InTime<P>>(response, self)),
                Some(why) => instead::<P, Res, E>(self.call, Instead::TimedOut(why)),
            },
            Err(error) => {
                let error = P::error(error);
                match self.late_error(&error) {
                    None => Err(error),
                    Some(why) => instead::<P, Res, E>(self.call, Instead::TimedOut(why)),
                }
            }
        }
    }

    /// Returns the end of a call just when its time is up: the peer or the transport goes by the time that it was sent.
    fn late_by_peer(&self) -> Option<Elapsed> {
        let over = self.over.filter(Over::is_near)?;
        Some(over.elapsed(&self.plan.limit, self.asked))
    }

    #[inline]
    fn late_head(&self, head: Option<ResponseHead<'_>>) -> Option<Elapsed> {
        if P::SIDE == Side::Server || self.over.is_none() {
            return None;
        }
        let head = head?;
        let late = if self.call.wire().is_grpc() {
            says_late(head.headers)
        } else {
            self.plan.header.is_some() && head.status == StatusCode::GATEWAY_TIMEOUT
        };
        if late { self.late_answer(head) } else { None }
    }

    /// An answer of this process, by a limit or a guard further in, has its own word.
    #[cold]
    fn late_answer(&self, head: ResponseHead<'_>) -> Option<Elapsed> {
        let extensions = head.extensions;
        let ours = extensions.get::<Rejection>().is_some()
            || extensions.get::<Arc<dyn Error + Send + Sync>>().is_some();
        if ours { None } else { self.late_by_peer() }
    }

    /// A limit further in has its own word.
    fn late_error<E: 'static>(&self, error: &E) -> Option<Elapsed> {
        if P::SIDE == Side::Server || !self.call.wire().is_grpc() {
            return None;
        }
        let error = view(error)?;
        if is_timeout(error) && find::<Elapsed>(error).is_none() {
            self.late_by_peer()
        } else {
            None
        }
    }
}

/// The body has the caller's deadline, and limits of its own.
impl<P: Protocol> Wrap for InTime<P> {
    type Body<B> = TimeoutBody<B>;
    type With<'a>
        = Exchange<'a, P>
    where
        Self: 'a;

    #[inline]
    fn wrap<B: Body<Data = Bytes>>(
        with: Exchange<'_, P>,
        parts: &mut response::Parts,
        body: B,
    ) -> TimeoutBody<B> {
        let in_trailers = || with.call.wire().is_grpc() && is_open_grpc(&parts.headers);
        TimeoutBody::new(body, with.plan, with.asked, in_trailers)
    }

    fn message<B>(message: Bytes) -> TimeoutBody<B> {
        TimeoutBody::message(message)
    }
}

/// Returns whether a body ends with a gRPC status in trailers. gRPC-Web has it in the body's last message, where
/// nothing can be put once a message has begun.
fn is_open_grpc(headers: &HeaderMap) -> bool {
    Wire::of_content_type(headers) == Wire::Grpc && !headers.contains_key(GRPC_STATUS)
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Returns whether a gRPC peer says in these headers or trailers that its time was up, or that it was told to stop.
pub(super) fn says_late(headers: &HeaderMap) -> bool {
    const LATE: [GrpcCode; 2] = [GrpcCode::CANCELLED, GrpcCode::DEADLINE_EXCEEDED];
    code_of(headers).is_some_and(|code| LATE.contains(&code))
}
