//! Reads the end of a call for those who decide about another answer.

use std::error::Error;

use super::FailedCall;
use crate::{
    call::{CallClock, CallEnd, Cause, ClassifyInput, Outcome, Rejection},
    protocol::{CallState, Respond, Side},
};

/// Judges a result by what is known at its head, and gives what `then` makes of it if it is a failure.
pub(super) fn classify_failure<P, Res, E, R>(
    protocol: &P,
    notes: &mut P::Call,
    result: &mut Result<Res, P::Error>,
    then: impl FnOnce(&FailedCall<'_>) -> R,
) -> Option<R>
where
    P: Respond<Res, E>,
{
    // What was asked for: the answer may be another thing, and is judged as that.
    let grpc = notes.wire().is_grpc();
    let ending = match result {
        Ok(response) => {
            classify_response::<P, Res, E>(protocol, notes, response);
            P::classify_input(notes, response)
        }
        Err(error) => {
            let error = protocol.classify_error(notes, error);
            ClassifyInput {
                error,
                ..ClassifyInput::new(notes.classification())
            }
        }
    };
    if ending.outcome() == Outcome::Success {
        return None;
    }
    with_rejection(notes, ending.error, |rejection| {
        Some(then(&FailedCall {
            input: ending,
            rejection,
            is_grpc: grpc,
            is_server: P::SIDE == Side::Server,
        }))
    })
}

/// Judges a response by its head.
pub(super) fn classify_response<P, Res, E>(protocol: &P, notes: &mut P::Call, response: &mut Res)
where
    P: Respond<Res, E>,
{
    protocol.classify_response(notes, response, None);
    P::share_classification(notes, response);
}

/// The refusal that an error or a head says it is, wherever it was left.
fn with_rejection<R>(
    notes: &impl CallState,
    error: Option<&(dyn Error + 'static)>,
    then: impl FnOnce(Option<&Rejection>) -> R,
) -> R {
    if error.is_some() {
        return then(error.and_then(Rejection::find));
    }
    let now = CallClock::default();
    let mut end = CallEnd::new(notes.classification().outcome, &now);
    notes.write_end(&mut end);
    match end.cause() {
        Some(Cause::Rejection(rejection)) => then(Some(rejection)),
        _ => then(None),
    }
}
