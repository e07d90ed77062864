//! The [`Guard`] trait and the one [`Guarded`] service, future and body that serve every guard.
//!
//! A guard may reject a call, opens a scope around its polls, sees the head of the response, and learns exactly once how
//! the call ended. Writing one takes no future, no body and no `Service`. To wrap services whose readiness or requests must
//! change, write a tower `Layer` instead.
//!
//! ```
//! use tower_keep::{Guard, GuardLayer, Rejection, call::{CallClock, CallEnd}, guard::Admit};
//!
//! /// Rejects everything after closing time.
//! struct Curfew { closes: tokio::time::Instant }
//!
//! impl Guard for Curfew {
//!     type Permit = ();
//!     fn on_end(&self, _: (), _: &CallEnd<'_>) {}
//! }
//! impl<Req> Admit<Req> for Curfew {
//!     fn admit(&self, _: &mut Req, clock: &CallClock) -> Result<(), Rejection> {
//!         if clock.now() < self.closes {
//!             Ok(())
//!         } else {
//!             Err(Rejection::overloaded("curfew").with_reason("after closing time"))
//!         }
//!     }
//! }
//!
//! let layer = GuardLayer::server(Curfew { closes: tokio::time::Instant::now() });
//! # let _ = layer;
//! ```
//!
//! # What happens
//!
//! | phase | what the guard sees |
//! |---|---|
//! | `Service::poll_ready`, before the wrapped service | [`rejects`](Guard::rejects): whether calls would be rejected now |
//! | `Service::call` | [`admit`](Admit::admit): the request; it returns a permit or a rejection |
//! | each poll of the future and of the body, and their drops | [`enter`](Guard::enter): its scope opens, and closes afterwards |
//! | the head of the response, a rejection's too | [`on_head`](Guard::on_head) |
//! | the end of the body: its last frame, its trailers, an error, a drop, a panic | [`on_end`](Guard::on_end) |
//!
//! A pair of guards is a guard, and so is `Option<G>`; more guards nest, as in `(a, (b, c))`. What the second guard does
//! happens in the scope of the first, so that its events carry the IDs of the call. When the second guard rejects, the
//! first sees the head of the rejection, and its call ends as [`Rejected`](crate::Outcome::Rejected).
//!
//! # Readiness
//!
//! Guards are asked before the wrapped service is polled, so that a rejected call takes no permit or buffer slot inside.
//! [`FailFast`], the default, is ready at once while the guards reject; [`BackPressure`] is not ready until they admit calls
//! again. A guard that rejects in `admit` only, by what is in the request, does so after readiness was taken: both modes
//! give that back. [`PassThrough`] asks no guard and gives nothing back: for guards that never reject.
//!
//! # Clones
//!
//! A clone of [`Guarded`] shares guards and protocol behind one `Arc`; it starts without any readiness of the wrapped
//! service. State that must outlive a service lives in the guard.
//!
//! # Cancellation
//!
//! A call that is dropped completes at once:
//!
//! | the call | outcome |
//! |---|---|
//! | had a head that was a failure | that of the head |
//! | had handed on every promised byte, or its client was not waiting for more | success |
//! | was dropped on a [timeout](crate::timeout) around it | timed out |
//! | anything else, whatever deadline came with the request | cancelled |
//!
//! # Panics
//!
//! A panic of the service completes the call as panicked; then a [`Server`](crate::protocol::Server) responds with 500 or
//! `INTERNAL`, and the other protocols pass the panic on. A hook that panics is counted
//! ([`hook_panics`](crate::hook_panics)) and changes nothing else: a guard whose `admit` panics admits the call.
//! A body that panics when it is dropped after its end does so after the call: that was a success, and the panic goes on to
//! the caller that drops it, which costs hyper the connection.

mod body;
mod completion;
mod future;
mod in_flight;
mod layer;
mod mode;
mod oneshot;
mod optional;
mod pair;
mod readiness;
mod rejects;
mod respond;
mod service;
mod signal;
mod stack;

use std::{mem::needs_drop, time::Duration};

use http::{Extensions, HeaderMap, StatusCode, Version};

use crate::call::{CallClock, CallEnd, Evidence, Outcome, Rejection, catch_nested_hook};
use crate::protocol::{WireFormat, upload::Upload};

pub use body::GuardedBody;
use completion::Completion;
pub use future::GuardFuture;
use in_flight::InFlightCall;
pub use layer::{GuardLayer, GuardLayerBuilder};
pub use mode::{BackPressure, FailFast, PassThrough};
pub use oneshot::FailFastFuture;
pub(crate) use oneshot::Oneshot;
pub use rejects::Rejects;
pub(crate) use respond::WrapGuarded;
pub use service::{Guarded, assert_service};
pub use signal::ReadySignal;
pub(crate) use signal::SignalWaiter;
use stack::GuardStack;

/// A guard of calls, which may reject a call and learns how it ended.
///
/// Not generic over the request, so that futures and bodies can name it; see [`Admit`] for what is.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a guard",
    note = "guards combine in pairs: `(a, (b, c))` instead of `(a, b, c)`"
)]
pub trait Guard {
    /// The permit of an admitted call: plain data, which comes back in [`on_end`](Self::on_end) exactly once.
    type Permit;

    /// Returns what to measure that costs extra readings of the clock. Called when a layer is built, not for each call.
    fn measure(&self) -> Measure {
        Measure::default()
    }

    /// Returns whether a call that came now would be rejected. Called before the wrapped service is polled, so that a rejected
    /// call takes no permit or buffer slot of that service.
    ///
    /// Default: [`Rejects::None`]; a guard may still reject in [`admit`](Admit::admit).
    #[inline]
    fn rejects(&self, now: &CallClock) -> Rejects {
        let _ = now;
        Rejects::None
    }

    /// Returns whether [`rejects`](Self::rejects) is anything but `None`, for guards that know so more cheaply.
    #[doc(hidden)]
    #[inline]
    fn rejects_any(&self, now: &CallClock) -> bool {
        self.rejects(now) != Rejects::None
    }

    /// Adds the signals that wake when the answer of [`rejects`](Self::rejects) changes.
    fn ready_signals(&self, add: &mut dyn FnMut(&ReadySignal)) {
        let _ = add;
    }

    /// Opens a scope around each poll of the call, its drop, and all that later guards do.
    ///
    /// Dropping what it returns closes the scope, such as the guard of a span that was entered.
    ///
    /// ```
    /// use tower_keep::{Guard, call::CallEnd};
    ///
    /// /// Runs each call in a span.
    /// struct Spans;
    ///
    /// impl Guard for Spans {
    ///     type Permit = tracing::Span;
    ///
    ///     fn enter(&self, span: &mut tracing::Span) -> impl Sized {
    ///         span.enter()
    ///     }
    ///
    ///     fn on_end(&self, _: tracing::Span, _: &CallEnd<'_>) {}
    /// }
    /// ```
    #[inline]
    #[must_use = "dropping it closes the scope"]
    fn enter(&self, permit: &mut Self::Permit) -> impl Sized {
        let _ = permit;
    }

    /// Handles the head of the response, and may add to it.
    #[inline]
    fn on_head(&self, permit: &mut Self::Permit, head: &mut Head<'_>) {
        let _ = (permit, head);
    }

    /// Handles the end of the call.
    fn on_end(&self, permit: Self::Permit, end: &CallEnd<'_>);

    /// Handles that the wrapped service failed to become ready: no call was made, and none can be.
    fn on_not_ready(&self) {}

    /// Handles the progress of the request's body, if that is watched: it tells who took the time.
    #[doc(hidden)]
    fn on_upload(&self, permit: &mut Self::Permit, upload: &Upload) {
        let _ = (permit, upload);
    }
}

/// A guard that can admit requests of this type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not guard requests of type `{Req}`",
    label = "not a guard for this request type",
    note = "HTTP guards read headers: they guard `http::Request<_>` only",
    note = "`tower_keep::guard::assert_service::<Req, _>(service)` shows which service does not fit which request"
)]
pub trait Admit<Req>: Guard {
    /// Admits the call, or rejects it.
    ///
    /// # Errors
    ///
    /// Returns the rejection; the protocol makes it a response or an error.
    fn admit(&self, request: &mut Req, clock: &CallClock) -> Result<Self::Permit, Rejection>;

    /// Admits the call, or rejects it with the permits that were granted before: those guards see the response. Overridden by
    /// pairs, and by guards that add to the head of their own rejection.
    #[doc(hidden)]
    #[inline]
    fn try_admit(
        &self,
        request: &mut Req,
        clock: &CallClock,
        permit: &mut Option<Self::Permit>,
    ) -> Option<Rejection> {
        let mut rejection = None;
        // Fails open: a guard that is broken must not take the service down with it.
        catch_nested_hook(|| match self.admit(request, clock) {
            Ok(granted) => *permit = Some(granted),
            Err(rejected) => rejection = Some(rejected),
        });
        rejection
    }
}

/// Measurements beyond the start and the end of a call. Each costs readings of the clock, so all are off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Measure {
    /// The time inside the polls of the service: two readings at every poll.
    pub poll_time: bool,
    /// The time that a caller waits for readiness: two readings where the service is not ready at once.
    pub readiness_wait: bool,
}

impl Measure {
    #[inline]
    fn union(self, other: Measure) -> Measure {
        Measure {
            poll_time: self.poll_time || other.poll_time,
            readiness_wait: self.readiness_wait || other.readiness_wait,
        }
    }
}

/// The head of a response, on its way out.
#[derive(Debug)]
pub struct Head<'a> {
    /// The wire format of the call.
    pub wire: WireFormat,
    /// The status.
    pub status: StatusCode,
    /// The version of the protocol that the response came in, or is made for.
    pub version: Version,
    /// The headers, to read and to add to.
    pub headers: &'a mut HeaderMap,
    /// The extensions, to read and to add to.
    pub extensions: &'a mut Extensions,
    /// The outcome as far as the head tells it; the body may still fail.
    pub outcome: Outcome,
    /// The evidence of the peer's health that the head gives.
    pub evidence: Evidence,
    /// The clock of the call.
    pub clock: &'a CallClock,
    /// The time of admission, if a guard asked for the time then; later by the time spent waiting for the request.
    pub admitted_at: Option<tokio::time::Instant>,
}

impl Head<'_> {
    /// Returns the time from admission to now, without the time spent waiting for the caller's request, if a guard asked for the
    /// time at admission.
    pub fn elapsed(&self) -> Option<Duration> {
        Some(
            self.clock
                .now()
                .saturating_duration_since(self.admitted_at?),
        )
    }
}

/// The open scope of a guard; dropping it closes the scope.
///
/// A hook that panics when the scope is opened or closed is counted, and changes nothing else.
#[must_use = "dropping it closes the scope"]
pub(crate) struct GuardScope<S>(
    // None if the guard holds no permit, or if `enter` has panicked.
    Option<S>,
);

/// Opens the scope of a guard, if it holds a permit.
#[inline]
pub(crate) fn enter_scope<'g, 'p, G: Guard>(
    guard: &'g G,
    permit: Option<&'p mut G::Permit>,
) -> GuardScope<impl Sized + use<'g, 'p, G>> {
    GuardScope(permit.and_then(|permit| catch_nested_hook(|| guard.enter(permit))))
}

impl<S> Drop for GuardScope<S> {
    #[inline]
    fn drop(&mut self) {
        if needs_drop::<S>() && self.0.is_some() {
            catch_nested_hook(|| self.0 = None);
        }
    }
}
