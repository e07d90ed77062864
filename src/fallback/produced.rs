use tokio::time::Instant;

use super::error::FallbackError;
use crate::{
    call::catch_hook,
    context::{caller_deadline, deadline, min_some},
};

/// The immediate result of an alternative.
#[derive(Debug)]
pub enum Produced<Res, FallbackReq> {
    /// The response.
    Ready(Res),
    /// A request to the fallback service, which has time until the deadline.
    NeedsCall(FallbackReq, Option<Instant>),
    Unavailable(FallbackError),
}

impl<Res, FallbackReq> Produced<Res, FallbackReq> {
    /// Produces a response by code of others, which may panic.
    pub(super) fn caught(respond: impl FnOnce() -> Res) -> Self {
        catch_hook(respond).map_or(
            Produced::Unavailable(FallbackError::Panicked),
            Produced::Ready,
        )
    }
}

/// Returns when the caller stops waiting, by the request's deadline and by the current one. None if it has stopped.
pub(crate) fn remaining_deadline(requested: Option<Instant>) -> Option<Option<Instant>> {
    // The current deadline includes the time limits around the call.
    let is_over = min_some(requested, deadline()).is_some_and(|at| at <= Instant::now());
    // Time limits around the call end it by themselves, so only deadlines are returned.
    (!is_over).then(|| min_some(requested, caller_deadline()))
}
