//! Carries out what the protocol has judged: settles the call and hands on the response.

use std::{borrow::Borrow, marker::PhantomData};

use bytes::Bytes;
use http::response;
use http_body::Body;

use super::{Guard, GuardedBody, Held, future::TWICE};
use crate::{
    call::{Cause, Inside, Judged, Moment, Payload, Rejection},
    protocol::{BodyInfo, Instead, Notes, Protocol, Respond, Step, Wrap},
};

/// The result of a guarded service whose own response is `Res` and whose own error is `E`.
pub(super) type Answer<G, P, Res, E> =
    Result<<P as Respond<Res, E>>::Response<InGuards<G, P>>, <P as Respond<Res, E>>::Error>;

/// Wraps bodies in a [`GuardedBody`].
#[derive(Debug)]
pub struct InGuards<G, P>(PhantomData<fn() -> (G, P)>);

/// A call whose head was judged, and whether nothing is still to come.
pub struct AtHead<'a, G: Guard, P: Protocol> {
    inside: &'a Inside,
    held: &'a mut Option<Held<G, P>>,
    now: &'a Moment,
    is_over: bool,
}

impl<G: Guard, P: Protocol> Wrap for InGuards<G, P> {
    type Body<B> = GuardedBody<B, G, P>;
    type With<'a>
        = AtHead<'a, G, P>
    where
        Self: 'a;

    /// Shows the head to the guards. The body holds the call, unless that is over.
    #[inline]
    fn wrap<B: Body<Data = Bytes>>(
        with: AtHead<'_, G, P>,
        parts: &mut response::Parts,
        body: B,
    ) -> GuardedBody<B, G, P> {
        let held = with.held.as_mut().expect(TWICE);
        let judged = held.notes().judged();
        held.show(with.inside, parts, judged, with.now);
        let held = match with.is_over {
            true => None,
            false => with.held.take(),
        };
        GuardedBody::new(body, held)
    }

    fn message<B>(message: Bytes) -> GuardedBody<B, G, P> {
        GuardedBody::message(message)
    }
}

/// The service has answered.
#[inline]
pub(super) fn finish<G, P, Res, E>(
    inside: &Inside,
    held: &mut Option<Held<G, P>>,
    result: Result<Res, E>,
) -> Answer<G, P, Res, E>
where
    G: Guard,
    P: Respond<Res, E>,
{
    match result {
        Ok(response) => match P::body_info(&response) {
            Ok(info) => Ok(respond::<G, P, Res, E>(inside, held, response, info)),
            Err(thrown) => {
                panicked::<G, P, Res, E>(inside, held.as_mut().expect(TWICE), Payload::new(thrown))
            }
        },
        Err(error) => Err(failed::<G, P, Res, E>(
            inside,
            held.as_mut().expect(TWICE),
            error,
        )),
    }
}

/// Judges the response, shows its head to the guards, and ends the call if there is nothing to come.
#[inline]
fn respond<G, P, Res, E>(
    inside: &Inside,
    all: &mut Option<Held<G, P>>,
    mut response: Res,
    info: BodyInfo,
) -> P::Response<InGuards<G, P>>
where
    G: Guard,
    P: Respond<Res, E>,
{
    let held = all.as_mut().expect(TWICE);
    let (call, protocol) = held.judge();
    let step = protocol.judge(call, &response, info.exact);
    held.excuse_lateness(inside);
    P::leave(held.notes(), &mut response);
    let now = Moment::default();
    let is_over = step == Step::Over || info.ended;
    let at_head = AtHead {
        inside,
        held: all,
        now: &now,
        is_over,
    };
    if !is_over {
        return P::wrap::<InGuards<G, P>>(response, at_head);
    }
    let response = P::wrap::<InGuards<G, P>>(response, at_head);
    if let Some(held) = all {
        if step == Step::GoesOn {
            held.judge().0.judge_clean_end();
        }
        let judged = held.notes().judged();
        held.settle(inside, judged, None, &now);
    }
    response
}

/// The service has failed, and there is no response.
fn failed<G, P, Res, E>(inside: &Inside, held: &mut Held<G, P>, error: E) -> P::Error
where
    G: Guard,
    P: Respond<Res, E>,
{
    let error = P::error(error);
    let (call, protocol) = held.judge();
    let cause = match protocol.judge_error(call, &error) {
        Some(error) => Cause::of(error),
        None => Cause::Opaque {
            type_name: std::any::type_name::<P::Error>(),
            message: None,
        },
    };
    held.excuse_lateness(inside);
    let judged = held.notes().judged();
    held.settle(inside, judged, Some(cause), &Moment::default());
    let (call, protocol) = held.judge();
    protocol.leave_with(call, error)
}

/// The service has panicked.
pub(super) fn panicked<G, P, Res, E>(
    inside: &Inside,
    held: &mut Held<G, P>,
    payload: Payload,
) -> Answer<G, P, Res, E>
where
    G: Guard,
    P: Respond<Res, E>,
{
    if !P::CATCHES_PANICS {
        held.settle_panicked(inside, &payload, &Moment::default());
        payload.resume();
    }
    let why = Instead::Panicked(payload.message());
    instead::<G, P, Res, E>(inside, held, why, Judged::PANICKED, |held, now| {
        held.settle_panicked(inside, &payload, now);
    })
}

/// A guard of this very call has refused it.
pub(super) fn refuse<G, P, Res, E>(
    inside: &Inside,
    held: &mut Held<G, P>,
    why: P::Refusal,
) -> Answer<G, P, Res, E>
where
    G: Guard,
    P: Respond<Res, E>,
{
    if !P::ANSWERS {
        // Nobody sees a head, and the refusal itself becomes the error.
        held.settle_refused(inside, why.borrow());
        let answer = P::instead(held.notes(), Instead::Refused(why));
        return answer.map(P::say::<InGuards<G, P>>);
    }
    let known: Rejection = why.borrow().clone();
    let why = Instead::Refused(why);
    instead::<G, P, Res, E>(inside, held, why, Judged::REJECTED, |held, now| {
        held.settle(
            inside,
            Judged::REJECTED,
            Some(Cause::Rejection(&known)),
            now,
        );
    })
}

/// Answers in the service's place. The guards see the head of what is said.
fn instead<G, P, Res, E>(
    inside: &Inside,
    held: &mut Held<G, P>,
    why: Instead<'_, P::Refusal>,
    judged: Judged,
    settle: impl FnOnce(&mut Held<G, P>, &Moment),
) -> Answer<G, P, Res, E>
where
    G: Guard,
    P: Respond<Res, E>,
{
    let mut answer = P::instead(held.notes(), why);
    let now = Moment::default();
    if let Ok(message) = &mut answer {
        let (head, length) = P::head_of(message);
        held.judge().0.answered_instead(head, length);
        held.show(inside, head, judged, &now);
    }
    settle(held, &now);
    answer.map(P::say::<InGuards<G, P>>)
}
