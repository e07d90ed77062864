use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

use crate::{call::Outcome, retry::Reservation};

pin_project! {
    /// The next attempt of a call, which is not started yet.
    #[project = NextHedgeProj]
    pub(super) enum NextHedge {
        /// An attempt that nothing has planned.
        Unplanned,
        /// An attempt that is due at a time.
        Timed { #[pin] sleep: Sleep },
        /// An attempt that the peer has asked to send no sooner.
        HeldBack { #[pin] sleep: Sleep },
        /// An attempt that is due now, after one with this outcome.
        Due { after: Outcome },
        /// An attempt that is paid, and waits for the service.
        AwaitingReady { reservation: Option<Reservation> },
    }
}

impl NextHedge {
    /// Returns whether no peer has asked to wait until this time or longer.
    pub(super) fn ends_before(&self, time: Instant) -> bool {
        match self {
            NextHedge::HeldBack { sleep } => sleep.deadline() < time,
            _ => true,
        }
    }

    /// Returns whether the service was asked to become ready for the attempt, and may hold a place for it.
    #[inline]
    pub(super) fn waits_for_service(&self) -> bool {
        matches!(self, NextHedge::AwaitingReady { .. })
    }
}
