//! Classifies the result of a call by what is known at its head.

use std::error::Error;

use super::FailedCall;
use crate::{
    call::{CallClock, CallEnd, Cause, ClassifyInput, Outcome, Rejection},
    protocol::{CallState, Respond, Side},
};

/// Classifies a result. Returns what `on_failure` makes of it, if it is a failure.
pub(super) fn classify_failure<P, Res, E, R>(
    protocol: &P,
    call: &mut P::Call,
    result: &mut Result<Res, P::Error>,
    on_failure: impl FnOnce(&FailedCall<'_>) -> R,
) -> Option<R>
where
    P: Respond<Res, E>,
{
    // Read before the response is classified, which may speak something else than the request.
    let is_grpc = call.wire().is_grpc();
    let input = match result {
        Ok(response) => {
            classify_response::<P, Res, E>(protocol, call, response);
            P::classify_input(call, response)
        }
        Err(error) => {
            let error = protocol.classify_error(call, error);
            ClassifyInput {
                error,
                ..ClassifyInput::new(call.classification())
            }
        }
    };
    if input.outcome() == Outcome::Success {
        return None;
    }
    with_rejection(call, input.error, |rejection| {
        Some(on_failure(&FailedCall {
            input,
            rejection,
            is_grpc,
            is_server: P::SIDE == Side::Server,
        }))
    })
}

/// Classifies a response by its head, and shares the classification with outer layers.
pub(super) fn classify_response<P, Res, E>(protocol: &P, call: &mut P::Call, response: &mut Res)
where
    P: Respond<Res, E>,
{
    protocol.classify_response(call, response, None);
    // Afterwards: layers further out read the outcome from the response's extensions.
    P::share_classification(call, response);
}

/// Calls `then` with the rejection that an error or a response head carries, if any.
fn with_rejection<R>(
    call: &impl CallState,
    error: Option<&(dyn Error + 'static)>,
    then: impl FnOnce(Option<&Rejection>) -> R,
) -> R {
    if error.is_some() {
        return then(error.and_then(Rejection::find));
    }
    // A response has no error: the state of the call knows whether a guard further in made it.
    let clock = CallClock::default();
    let mut end = CallEnd::new(call.classification().outcome, &clock);
    call.write_end(&mut end);
    match end.cause() {
        Some(Cause::Rejection(rejection)) => then(Some(rejection)),
        _ => then(None),
    }
}
