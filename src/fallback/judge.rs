//! Reads the end of a call for those who decide about another answer.

use std::error::Error;

use super::Failed;
use crate::{
    call::{Cause, End, Ending, Moment, Outcome, Rejection},
    protocol::{Notes, Respond, Side},
};

/// Judges a result by what is known at its head, and gives what `then` makes of it if it is a failure.
pub(super) fn judge<P, Res, E, R>(
    protocol: &P,
    notes: &mut P::Call,
    result: &mut Result<Res, P::Error>,
    then: impl FnOnce(&Failed<'_>) -> R,
) -> Option<R>
where
    P: Respond<Res, E>,
{
    // What was asked for: the answer may be another thing, and is judged as that.
    let grpc = notes.wire().is_grpc();
    let ending = match result {
        Ok(response) => {
            judge_response::<P, Res, E>(protocol, notes, response);
            P::ending(notes, response)
        }
        Err(error) => {
            let error = protocol.judge_error(notes, error);
            Ending {
                error,
                ..Ending::of(notes.judged())
            }
        }
    };
    if ending.outcome() == Outcome::Success {
        return None;
    }
    with_rejection(notes, ending.error, |rejection| {
        Some(then(&Failed {
            ending,
            rejection,
            grpc,
            at_server: P::SIDE == Side::Server,
        }))
    })
}

/// Judges a response by its head.
pub(super) fn judge_response<P, Res, E>(protocol: &P, notes: &mut P::Call, response: &mut Res)
where
    P: Respond<Res, E>,
{
    protocol.judge(notes, response, None);
    P::leave(notes, response);
}

/// The refusal that an error or a head says it is, wherever it was left.
fn with_rejection<R>(
    notes: &impl Notes,
    error: Option<&(dyn Error + 'static)>,
    then: impl FnOnce(Option<&Rejection>) -> R,
) -> R {
    if error.is_some() {
        return then(error.and_then(Rejection::find));
    }
    let now = Moment::default();
    let mut end = End::new(notes.judged().outcome, &now);
    notes.fill(&mut end);
    match end.cause() {
        Some(Cause::Rejection(rejection)) => then(Some(rejection)),
        _ => then(None),
    }
}
