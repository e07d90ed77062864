//! Forwards responses that come in time, and responds in place of those that do not.

use std::{error::Error, sync::Arc};

use http::{HeaderMap, StatusCode};

use super::{
    call_timeout::CallTimeout, config::TimeoutConfig, expiry::Expiry, wrap_body::WrapTimeoutBody,
};
use crate::{
    call::{Elapsed, GrpcCode, Rejection, as_std_error, find, is_timeout},
    protocol::{CallState, LocalFailure, Protocol, Respond, ResponseHead, Side, grpc_status_of},
};

/// The result of a service with a time limit whose own response is `Res` and whose own error is `E`.
pub(super) type TimeoutResult<P, Res, E> =
    Result<<P as Respond<Res, E>>::Response<WrapTimeoutBody<P>>, <P as Respond<Res, E>>::Error>;

/// Responds in the service's place.
pub(super) fn respond_locally<P, Res, E>(
    call: &P::Call,
    failure: LocalFailure<'_, P::Rejection>,
) -> TimeoutResult<P, Res, E>
where
    P: Respond<Res, E>,
{
    P::local_response(call, failure).map(P::message_response::<WrapTimeoutBody<P>>)
}

/// The state of a call when its service has responded or failed.
pub struct ResponseContext<'a, P: Protocol> {
    pub(super) config: &'a TimeoutConfig<P>,
    pub(super) call: &'a P::Call,
    pub(super) timeout: &'a CallTimeout,
    /// The moment at which the time of the call is over; None if it never waited.
    pub(super) expiry: Option<Expiry>,
}

impl<P: Protocol> ResponseContext<'_, P> {
    /// Forwards the result, unless it is a client's that only reports that the time was up.
    #[inline]
    pub(super) fn forward<Res, E>(self, result: Result<Res, E>) -> TimeoutResult<P, Res, E>
    where
        P: Respond<Res, E>,
    {
        let elapsed = match result {
            Ok(response) => match self.elapsed_by_head(P::response_head(&response)) {
                None => return Ok(P::wrap_response::<WrapTimeoutBody<P>>(response, self)),
                Some(elapsed) => elapsed,
            },
            Err(error) => {
                let error = P::convert_error(error);
                match self.elapsed_by_error(&error) {
                    None => return Err(error),
                    Some(elapsed) => elapsed,
                }
            }
        };
        respond_locally::<P, Res, E>(self.call, LocalFailure::TimedOut(elapsed))
    }

    /// Returns the timeout of a call that ends just when its time is up: the peer or the transport obeys the time that it
    /// was sent.
    fn elapsed_at_peer(&self) -> Option<Elapsed> {
        let expiry = self.expiry.filter(Expiry::is_near)?;
        Some(expiry.record_elapsed(&self.config.limit, self.timeout))
    }

    #[inline]
    fn elapsed_by_head(&self, head: Option<ResponseHead<'_>>) -> Option<Elapsed> {
        // A server decides itself what it responds, and a call that never waited cannot be late.
        if P::SIDE == Side::Server || self.expiry.is_none() {
            return None;
        }
        let head = head?;
        let is_timeout = if self.call.wire().is_grpc() {
            reports_timeout(head.headers)
        } else {
            // Plain HTTP: a hop that was sent no limit cannot have exceeded it.
            self.config.timeout_header.is_some() && head.status == StatusCode::GATEWAY_TIMEOUT
        };
        if is_timeout {
            self.elapsed_by_peer_response(head)
        } else {
            None
        }
    }

    /// Returns the timeout that a peer's response reports. A response of this process, by a limit or a guard further in, is
    /// classified already and stays.
    #[cold]
    fn elapsed_by_peer_response(&self, head: ResponseHead<'_>) -> Option<Elapsed> {
        let extensions = head.extensions;
        // Left there by guards and time limits of this process.
        let is_local = extensions.get::<Rejection>().is_some()
            || extensions.get::<Arc<dyn Error + Send + Sync>>().is_some();
        if is_local {
            None
        } else {
            self.elapsed_at_peer()
        }
    }

    /// Returns the timeout that an error reports. The error of a limit further in is classified already and stays.
    fn elapsed_by_error<E: 'static>(&self, error: &E) -> Option<Elapsed> {
        if P::SIDE == Side::Server || !self.call.wire().is_grpc() {
            return None;
        }
        // An error that cannot be inspected is passed on as it is.
        let error = as_std_error(error)?;
        if is_timeout(error) && find::<Elapsed>(error).is_none() {
            self.elapsed_at_peer()
        } else {
            None
        }
    }
}

/// Returns whether a gRPC peer reports in these headers or trailers that its time was up, or that it was cancelled.
pub(super) fn reports_timeout(headers: &HeaderMap) -> bool {
    const CODES: [GrpcCode; 2] = [GrpcCode::CANCELLED, GrpcCode::DEADLINE_EXCEEDED];
    grpc_status_of(headers).is_some_and(|code| CODES.contains(&code))
}
