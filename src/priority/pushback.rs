//! Decides whether a call found room further in.

use http::Extensions;

use crate::call::{Cause, Evidence, Outcome, Rejection, RejectionKind};

/// A statement of a call's result about the load further in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoadSign {
    /// The call found room, whatever became of it.
    Room,
    /// The call was pushed back: what is further in has no room for all calls.
    NoRoom,
    /// The result says nothing about the load.
    Nothing,
}

impl LoadSign {
    /// Reads the result of a call, which a guard further in may have rejected.
    #[inline]
    pub(super) fn new(outcome: Outcome, evidence: Evidence, rejection: Option<&Rejection>) -> Self {
        match outcome {
            Outcome::Success | Outcome::Failure | Outcome::ClientError | Outcome::Panicked => {
                LoadSign::Room
            }
            Outcome::Overload => LoadSign::NoRoom,
            // At a limit of this process; the caller's deadline says more about the caller.
            Outcome::TimedOut if evidence == Evidence::Unhealthy => LoadSign::NoRoom,
            Outcome::Rejected => match rejection.map(Rejection::kind) {
                Some(RejectionKind::Full | RejectionKind::Overloaded) => LoadSign::NoRoom,
                // A rate limit is often one of a single caller, and an open circuit does not open for fewer calls.
                _ => LoadSign::Nothing,
            },
            _ => LoadSign::Nothing,
        }
    }

    /// Finds the rejection in the head of a response.
    pub(super) fn rejection_of_head(extensions: &Extensions) -> Option<&Rejection> {
        extensions.get::<Rejection>()
    }

    /// Finds the rejection in the cause of an end.
    pub(super) fn rejection_of_cause<'a>(cause: Option<&Cause<'a>>) -> Option<&'a Rejection> {
        match cause {
            Some(Cause::Rejection(rejection)) => Some(rejection),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_is_pushed_back_where_there_is_no_room_and_not_where_its_caller_is_at_fault() {
        use Evidence::{Healthy, Inconclusive, Unhealthy};
        for (outcome, evidence, rejection, sign) in [
            (Outcome::Success, Healthy, None, LoadSign::Room),
            (Outcome::ClientError, Healthy, None, LoadSign::Room),
            (Outcome::Failure, Unhealthy, None, LoadSign::Room),
            (Outcome::Panicked, Unhealthy, None, LoadSign::Room),
            (Outcome::Overload, Unhealthy, None, LoadSign::NoRoom),
            (Outcome::TimedOut, Unhealthy, None, LoadSign::NoRoom),
            (Outcome::TimedOut, Inconclusive, None, LoadSign::Nothing),
            (Outcome::Cancelled, Inconclusive, None, LoadSign::Nothing),
            (Outcome::Rejected, Inconclusive, None, LoadSign::Nothing),
            (
                Outcome::Rejected,
                Inconclusive,
                Some(RejectionKind::Full),
                LoadSign::NoRoom,
            ),
            (
                Outcome::Rejected,
                Inconclusive,
                Some(RejectionKind::Overloaded),
                LoadSign::NoRoom,
            ),
            (
                Outcome::Rejected,
                Inconclusive,
                Some(RejectionKind::RateLimited),
                LoadSign::Nothing,
            ),
            (
                Outcome::Rejected,
                Inconclusive,
                Some(RejectionKind::CircuitOpen),
                LoadSign::Nothing,
            ),
        ] {
            let rejection = rejection.map(|kind| Rejection::new(kind, "further in"));
            let found = LoadSign::new(outcome, evidence, rejection.as_ref());
            assert_eq!(found, sign, "{outcome:?} {rejection:?}");
        }
    }
}
