//! Answers for a guarded service: hands on what it gave, or responds in its place, and completes the call.

use std::{borrow::Borrow, marker::PhantomData};

use bytes::Bytes;
use http::response;
use http_body::Body;

use super::{Completion, Guard, GuardedBody, InFlightCall};
use crate::{
    call::{CallClock, CapturedPanic, Cause, Classification, Rejection},
    protocol::{BodyExpected, BodyInfo, CallState, LocalFailure, Protocol, Respond, WrapBody},
    util::poll::POLLED_AFTER_COMPLETION,
};

/// The result of a guarded service whose own response is `Res` and whose own error is `E`.
pub(super) type GuardedResult<G, P, Res, E> =
    Result<<P as Respond<Res, E>>::Response<WrapGuarded<G, P>>, <P as Respond<Res, E>>::Error>;

/// A wrapper that puts bodies in a [`GuardedBody`].
#[derive(Debug)]
pub struct WrapGuarded<G, P>(PhantomData<fn() -> (G, P)>);

/// A call whose head was classified, and whether its response is complete with it.
pub struct WrapContext<'a, G: Guard, P: Protocol> {
    call: &'a mut Option<InFlightCall<G, P>>,
    clock: &'a CallClock,
    is_complete: bool,
}

impl<G: Guard, P: Protocol> WrapBody for WrapGuarded<G, P> {
    type Body<B> = GuardedBody<B, G, P>;
    type With<'a>
        = WrapContext<'a, G, P>
    where
        Self: 'a;

    /// Shows the head to the guards. The body takes the call, unless there is nothing to come.
    #[inline]
    fn wrap_body<B: Body<Data = Bytes>>(
        with: WrapContext<'_, G, P>,
        parts: &mut response::Parts,
        body: B,
    ) -> GuardedBody<B, G, P> {
        let call = with.call.as_mut().expect(POLLED_AFTER_COMPLETION);
        let classification = call.exchange().classification();
        call.on_head(parts, classification, with.clock);
        let call = match with.is_complete {
            true => None,
            false => with.call.take(),
        };
        GuardedBody::new(body, call)
    }

    fn message_body<B>(message: Bytes) -> GuardedBody<B, G, P> {
        GuardedBody::message(message)
    }
}

/// Hands on the result of the service.
///
/// Always inlined, like [`respond_with`]: the response is large, and would be copied on its way.
#[inline(always)]
pub(super) fn respond<G, P, Res, E>(
    slot: &mut Option<InFlightCall<G, P>>,
    result: Result<Res, E>,
    clock: &CallClock,
) -> GuardedResult<G, P, Res, E>
where
    G: Guard,
    P: Respond<Res, E>,
{
    let call = slot.as_mut().expect(POLLED_AFTER_COMPLETION);
    match result {
        Ok(response) => match P::body_info(&response) {
            Ok(info) => Ok(respond_with::<G, P, Res, E>(slot, response, info, clock)),
            Err(payload) => {
                respond_to_panic::<G, P, Res, E>(call, CapturedPanic::new(payload), clock)
            }
        },
        Err(error) => Err(respond_to_error::<G, P, Res, E>(call, error, clock)),
    }
}

/// Classifies the response, shows its head to the guards, and completes the call if there is nothing to come.
#[inline(always)]
fn respond_with<G, P, Res, E>(
    slot: &mut Option<InFlightCall<G, P>>,
    mut response: Res,
    info: BodyInfo,
    clock: &CallClock,
) -> P::Response<WrapGuarded<G, P>>
where
    G: Guard,
    P: Respond<Res, E>,
{
    let call = slot.as_mut().expect(POLLED_AFTER_COMPLETION);
    let (exchange, protocol) = call.exchange_mut();
    let body = protocol.classify_response(exchange, &response, info.exact_len);
    call.excuse_timeout();
    P::share_classification(call.exchange(), &mut response);
    let is_complete = body == BodyExpected::No || info.is_end;
    let with = WrapContext {
        call: slot,
        clock,
        is_complete,
    };
    // Returned at once: a response that is looked at again first would be copied.
    if !is_complete {
        return P::wrap_response::<WrapGuarded<G, P>>(response, with);
    }
    let response = P::wrap_response::<WrapGuarded<G, P>>(response, with);
    if let Some(call) = slot {
        if body == BodyExpected::Yes {
            call.exchange_mut().0.on_body_end();
        }
        call.complete(Completion::Response, clock);
    }
    response
}

/// Completes a call whose service failed without a response.
fn respond_to_error<G, P, Res, E>(
    call: &mut InFlightCall<G, P>,
    error: E,
    clock: &CallClock,
) -> P::Error
where
    G: Guard,
    P: Respond<Res, E>,
{
    let error = P::convert_error(error);
    let (exchange, protocol) = call.exchange_mut();
    let cause = match protocol.classify_error(exchange, &error) {
        Some(error) => Cause::from_error(error),
        None => Cause::Opaque {
            type_name: std::any::type_name::<P::Error>(),
            message: None,
        },
    };
    call.excuse_timeout();
    call.complete(Completion::Error(cause), clock);
    let (exchange, protocol) = call.exchange_mut();
    protocol.wrap_error(exchange, error)
}

/// Responds in the place of a service that panicked, or passes the panic on, as the protocol has it.
#[cold]
pub(super) fn respond_to_panic<G, P, Res, E>(
    call: &mut InFlightCall<G, P>,
    panic: CapturedPanic,
    clock: &CallClock,
) -> GuardedResult<G, P, Res, E>
where
    G: Guard,
    P: Respond<Res, E>,
{
    if !P::CATCHES_PANICS {
        call.complete(Completion::Panicked(&panic), clock);
        panic.resume();
    }
    let failure = LocalFailure::Panicked(panic.message());
    let result = respond_locally::<G, P, Res, E>(call, failure, Classification::PANICKED, clock);
    call.complete(Completion::Panicked(&panic), clock);
    result
}

/// Responds to a call that a guard of its own has rejected.
pub(super) fn respond_to_rejection<G, P, Res, E>(
    call: &mut InFlightCall<G, P>,
    rejection: P::Rejection,
    clock: &CallClock,
) -> GuardedResult<G, P, Res, E>
where
    G: Guard,
    P: Respond<Res, E>,
{
    if !P::RESPONDS_LOCALLY {
        // There is no head to show, and the rejection becomes the error without a copy.
        call.complete(Completion::Rejected(rejection.borrow()), clock);
        let failure = LocalFailure::Rejected(rejection);
        return respond_locally::<G, P, Res, E>(call, failure, Classification::REJECTED, clock);
    }
    let cause: Rejection = rejection.borrow().clone();
    let failure = LocalFailure::Rejected(rejection);
    let result = respond_locally::<G, P, Res, E>(call, failure, Classification::REJECTED, clock);
    call.complete(Completion::Rejected(&cause), clock);
    result
}

/// Responds in the service's place, and shows the head of that response to the guards.
fn respond_locally<G, P, Res, E>(
    call: &mut InFlightCall<G, P>,
    failure: LocalFailure<'_, P::Rejection>,
    classification: Classification,
    clock: &CallClock,
) -> GuardedResult<G, P, Res, E>
where
    G: Guard,
    P: Respond<Res, E>,
{
    let mut result = call.respond_in_scope(|exchange| P::local_response(exchange, failure));
    if let Ok(message) = &mut result {
        let (head, length) = P::message_head(message);
        call.exchange_mut().0.set_local_response(head, length);
        call.on_head(head, classification, clock);
    }
    result.map(P::message_response::<WrapGuarded<G, P>>)
}
