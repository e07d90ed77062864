//! Carries out what the protocol has judged: settles the call and hands on the response.

use std::{borrow::Borrow, marker::PhantomData};

use bytes::Bytes;
use http::response;
use http_body::Body;

use super::{Guard, GuardedBody, InFlightCall, future::POLLED_AFTER_COMPLETION};
use crate::{
    call::{CallClock, CapturedPanic, CatchScope, Cause, Classification, Rejection},
    protocol::{BodyExpected, BodyInfo, CallState, LocalFailure, Protocol, Respond, WrapBody},
};

/// The result of a guarded service whose own response is `Res` and whose own error is `E`.
pub(super) type GuardedResult<G, P, Res, E> =
    Result<<P as Respond<Res, E>>::Response<WrapGuarded<G, P>>, <P as Respond<Res, E>>::Error>;

/// Wraps bodies in a [`GuardedBody`].
#[derive(Debug)]
pub struct WrapGuarded<G, P>(PhantomData<fn() -> (G, P)>);

/// A call whose head was judged, and whether nothing is still to come.
pub struct WrapContext<'a, G: Guard, P: Protocol> {
    inside: &'a CatchScope,
    held: &'a mut Option<InFlightCall<G, P>>,
    now: &'a CallClock,
    is_over: bool,
}

impl<G: Guard, P: Protocol> WrapBody for WrapGuarded<G, P> {
    type Body<B> = GuardedBody<B, G, P>;
    type With<'a>
        = WrapContext<'a, G, P>
    where
        Self: 'a;

    /// Shows the head to the guards. The body holds the call, unless that is over.
    #[inline]
    fn wrap_body<B: Body<Data = Bytes>>(
        with: WrapContext<'_, G, P>,
        parts: &mut response::Parts,
        body: B,
    ) -> GuardedBody<B, G, P> {
        let held = with.held.as_mut().expect(POLLED_AFTER_COMPLETION);
        let judged = held.exchange().classification();
        held.on_head(with.inside, parts, judged, with.now);
        let held = match with.is_over {
            true => None,
            false => with.held.take(),
        };
        GuardedBody::new(body, held)
    }

    fn message_body<B>(message: Bytes) -> GuardedBody<B, G, P> {
        GuardedBody::message(message)
    }
}

/// The service has answered.
#[inline]
pub(super) fn finish<G, P, Res, E>(
    inside: &CatchScope,
    held: &mut Option<InFlightCall<G, P>>,
    result: Result<Res, E>,
) -> GuardedResult<G, P, Res, E>
where
    G: Guard,
    P: Respond<Res, E>,
{
    match result {
        Ok(response) => match P::body_info(&response) {
            Ok(info) => Ok(respond::<G, P, Res, E>(inside, held, response, info)),
            Err(thrown) => panicked::<G, P, Res, E>(
                inside,
                held.as_mut().expect(POLLED_AFTER_COMPLETION),
                CapturedPanic::new(thrown),
            ),
        },
        Err(error) => Err(failed::<G, P, Res, E>(
            inside,
            held.as_mut().expect(POLLED_AFTER_COMPLETION),
            error,
        )),
    }
}

/// Judges the response, shows its head to the guards, and ends the call if there is nothing to come.
#[inline]
fn respond<G, P, Res, E>(
    inside: &CatchScope,
    all: &mut Option<InFlightCall<G, P>>,
    mut response: Res,
    info: BodyInfo,
) -> P::Response<WrapGuarded<G, P>>
where
    G: Guard,
    P: Respond<Res, E>,
{
    let held = all.as_mut().expect(POLLED_AFTER_COMPLETION);
    let (call, protocol) = held.exchange_mut();
    let step = protocol.classify_response(call, &response, info.exact_len);
    held.excuse_timeout(inside);
    P::share_classification(held.exchange(), &mut response);
    let now = CallClock::default();
    let is_over = step == BodyExpected::No || info.is_end;
    let at_head = WrapContext {
        inside,
        held: all,
        now: &now,
        is_over,
    };
    if !is_over {
        return P::wrap_response::<WrapGuarded<G, P>>(response, at_head);
    }
    let response = P::wrap_response::<WrapGuarded<G, P>>(response, at_head);
    if let Some(held) = all {
        if step == BodyExpected::Yes {
            held.exchange_mut().0.on_body_end();
        }
        let judged = held.exchange().classification();
        held.complete(inside, judged, None, &now);
    }
    response
}

/// The service has failed, and there is no response.
fn failed<G, P, Res, E>(inside: &CatchScope, held: &mut InFlightCall<G, P>, error: E) -> P::Error
where
    G: Guard,
    P: Respond<Res, E>,
{
    let error = P::convert_error(error);
    let (call, protocol) = held.exchange_mut();
    let cause = match protocol.classify_error(call, &error) {
        Some(error) => Cause::from_error(error),
        None => Cause::Opaque {
            type_name: std::any::type_name::<P::Error>(),
            message: None,
        },
    };
    held.excuse_timeout(inside);
    let judged = held.exchange().classification();
    held.complete(inside, judged, Some(cause), &CallClock::default());
    let (call, protocol) = held.exchange_mut();
    protocol.wrap_error(call, error)
}

/// The service has panicked.
pub(super) fn panicked<G, P, Res, E>(
    inside: &CatchScope,
    held: &mut InFlightCall<G, P>,
    payload: CapturedPanic,
) -> GuardedResult<G, P, Res, E>
where
    G: Guard,
    P: Respond<Res, E>,
{
    if !P::CATCHES_PANICS {
        held.complete_panicked(inside, &payload, &CallClock::default());
        payload.resume();
    }
    let why = LocalFailure::Panicked(payload.message());
    instead::<G, P, Res, E>(inside, held, why, Classification::PANICKED, |held, now| {
        held.complete_panicked(inside, &payload, now);
    })
}

/// A guard of this very call has refused it.
pub(super) fn refuse<G, P, Res, E>(
    inside: &CatchScope,
    held: &mut InFlightCall<G, P>,
    why: P::Refusal,
) -> GuardedResult<G, P, Res, E>
where
    G: Guard,
    P: Respond<Res, E>,
{
    if !P::RESPONDS_LOCALLY {
        // Nobody sees a head, and the refusal itself becomes the error.
        held.complete_rejected(inside, why.borrow());
        let answer = P::local_response(held.exchange(), LocalFailure::Rejected(why));
        return answer.map(P::message_response::<WrapGuarded<G, P>>);
    }
    let known: Rejection = why.borrow().clone();
    let why = LocalFailure::Rejected(why);
    instead::<G, P, Res, E>(inside, held, why, Classification::REJECTED, |held, now| {
        held.complete(
            inside,
            Classification::REJECTED,
            Some(Cause::Rejection(&known)),
            now,
        );
    })
}

/// Answers in the service's place. The guards see the head of what is said.
fn instead<G, P, Res, E>(
    inside: &CatchScope,
    held: &mut InFlightCall<G, P>,
    why: LocalFailure<'_, P::Refusal>,
    judged: Classification,
    settle: impl FnOnce(&mut InFlightCall<G, P>, &CallClock),
) -> GuardedResult<G, P, Res, E>
where
    G: Guard,
    P: Respond<Res, E>,
{
    let mut answer = P::local_response(held.exchange(), why);
    let now = CallClock::default();
    if let Ok(message) = &mut answer {
        let (head, length) = P::message_head(message);
        held.exchange_mut().0.set_local_response(head, length);
        held.on_head(inside, head, judged, &now);
    }
    settle(held, &now);
    answer.map(P::message_response::<WrapGuarded<G, P>>)
}
