//! The [`Guard`] trait and the one [`Guarded`] service, future and body that serve every guard.
//!
//! A guard may refuse a call, runs around its polls, sees the head of the response, and learns how the call
//! ended, exactly once. Writing one takes no future, no body and no `Service`:
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
//!     fn admit(&self, _: &mut Req, now: &CallClock) -> Result<(), Rejection> {
//!         if now.now() < self.closes {
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
//! | moment | what the guard sees |
//! |---|---|
//! | `Service::poll_ready`, before the wrapped service | [`ask_rejects`](Guard::rejects): whether calls would be refused now |
//! | `Service::call` | [`admit`](Admit::admit): the request, and a permit or a refusal |
//! | each poll of the future and of the body, and their drops | [`register`](Guard::enter) |
//! | the response's head, a refusal's too | [`truncate`](Guard::on_head) |
//! | the end of the body: its last frame, its trailers, an error, a drop, a panic | [`settle`](Guard::on_end) |
//!
//! A tuple of guards is a guard, and so is `Option<G>`. Later guards are admitted, shown the head and settled
//! *inside* `enter` of the earlier ones, so that their events carry the call's IDs. When a later guard refuses,
//! the refusal's head is shown to those that had already granted, and they settle as
//! [`Rejected`](crate::Outcome::Rejected).
//!
//! # Readiness
//!
//! Guards are asked before the wrapped service is polled, so that a refused call takes no permit or buffer slot below.
//! [`FailFast`], the default, is ready at once while the guards refuse; [`BackPressure`] is not ready until they let
//! calls pass again. A guard that refuses in `admit` only, by what is in the request, does so after readiness was
//! taken: both give that back. [`PassThrough`] asks nobody and gives nothing back: for guards that never refuse.
//!
//! # Clones
//!
//! A clone of [`Guarded`] shares guards and protocol behind one `Arc`; it starts without any readiness of the
//! service it wraps. State that must outlive a service lives in the guard.
//!
//! # Cancellation
//!
//! A call that is dropped settles at once: with what the head said if that was bad news; as a success if every promised
//! byte had been taken, or if a client's reader was not waiting for more; as timed out if a [time
//! limit](crate::timeout) around it gave it up; else as cancelled, whatever deadline came with the request.
//!
//! # Panics
//!
//! A panic of the service settles the call as panicked; then a [`Server`](crate::protocol::Server) answers
//! 500 or `INTERNAL`, the other protocols pass it on. A hook that panics is counted
//! ([`hook_panics`](crate::hook_panics)) and changes nothing: a guard whose `admit` panics lets the call pass.
//! A body that panics when it is dropped after its end does so after the call: that was a success, and the panic goes on to
//! whoever drops it, which costs hyper the connection.

mod body;
mod completion;
mod future;
mod in_flight;
mod inner_state;
mod layer;
mod mode;
mod oneshot;
mod optional;
mod pair;
mod readiness;
mod rejects;
mod respond;
mod scope;
mod service;
mod signal;
mod stack;

use std::time::Duration;

use http::{Extensions, HeaderMap, StatusCode, Version};

use crate::call::{CallClock, CallEnd, Evidence, Outcome, Rejection, catch_nested_hook};
use crate::protocol::{WireFormat, upload::Upload};

pub use body::GuardedBody;
use completion::Completion;
pub use future::GuardFuture;
pub use in_flight::InFlightCall;
use inner_state::InnerState;
pub use layer::{GuardLayer, GuardLayerBuilder};
pub use mode::{BackPressure, FailFast, PassThrough};
pub use oneshot::FailFastFuture;
pub(crate) use oneshot::Oneshot;
pub use rejects::Rejects;
use respond::WrapGuarded;
pub(crate) use scope::enter_scope;
pub use service::{Guarded, assert_service};
pub use signal::ReadySignal;
#[cfg(test)]
pub(crate) use signal::SignalWaiter;
use stack::GuardStack;

/// Something that may reject a call and learns how it ended.
///
/// Not generic over the request, so that futures and bodies can name it; see [`Admit`] for what is.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a guard",
    note = "guards combine in pairs: `(a, (b, c))` instead of `(a, b, c)`"
)]
pub trait Guard {
    /// What an admitted call holds: plain data, settled exactly once.
    type Permit;

    /// Returns what the guard wants measured that costs extra clock readings. Asked when a layer is built, not for each
    /// call.
    fn measure(&self) -> Measure {
        Measure::default()
    }

    /// Tells whether a call that came now would be refused. Asked before the wrapped service is polled, so that a
    /// refused call takes no permit or buffer slot below.
    ///
    /// Default: [`Rejects::None`]; a guard may still refuse in [`admit`](Admit::admit).
    #[inline]
    fn rejects(&self, now: &CallClock) -> Rejects {
        let _ = now;
        Rejects::None
    }

    /// Returns whether [`rejects`](Self::rejects) would say anything but `No`: for guards that know so more cheaply.
    #[doc(hidden)]
    #[inline]
    fn rejects_any(&self, now: &CallClock) -> bool {
        self.rejects(now) != Rejects::None
    }

    /// Names the signals that wake when [`rejects`](Self::rejects) changes its answer.
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

    /// Sees the head of the response, and may add to it.
    #[inline]
    fn on_head(&self, permit: &mut Self::Permit, head: &mut Head<'_>) {
        let _ = (permit, head);
    }

    /// The call is over.
    fn on_end(&self, permit: Self::Permit, end: &CallEnd<'_>);

    /// The wrapped service failed to become ready: no call was made, and none can be.
    fn on_not_ready(&self) {}

    /// Gets the progress of the request's body, if that is watched: whoever measures time can tell whose doing it is.
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
    /// Lets the call pass, or refuses it.
    ///
    /// # Errors
    ///
    /// The refusal; the protocol turns it into a response or an error.
    fn admit(&self, request: &mut Req, now: &CallClock) -> Result<Self::Permit, Rejection>;

    /// Only tuples override it: what was granted before a refusal comes along, so that it sees the answer.
    #[doc(hidden)]
    #[inline]
    fn try_admit(&self, request: &mut Req, clock: &CallClock) -> Admitted<Self::Permit> {
        // Fails open: a guard that is broken must not take the service down with it.
        let (mut permit, mut rejection) = (None, None);
        catch_nested_hook(|| match self.admit(request, clock) {
            Ok(granted) => permit = Some(granted),
            Err(rejected) => rejection = Some(rejected),
        });
        Admitted { permit, rejection }
    }
}

/// What admission came to.
#[doc(hidden)]
#[derive(Debug)]
pub struct Admitted<P> {
    pub permit: Option<P>,
    pub rejection: Option<Rejection>,
}

/// What a guard wants measured beyond the two ends of a call. Each costs clock readings, so all are off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Measure {
    /// The time inside the service's own polls: two readings at every poll.
    pub poll_time: bool,
    /// The time a caller waits for readiness: two readings where the service is not ready at once.
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
    /// The protocol that the call speaks.
    pub wire: WireFormat,
    /// The status.
    pub status: StatusCode,
    /// The version of the protocol that the response came in, or is made for.
    pub version: Version,
    /// The headers, to read and to add to.
    pub headers: &'a mut HeaderMap,
    /// The extensions, to read and to add to.
    pub extensions: &'a mut Extensions,
    /// The outcome as far as the head tells it; the body may still bring worse.
    pub outcome: Outcome,
    /// The evidence of the peer's health that the head gives.
    pub evidence: Evidence,
    /// The time, read when somebody asks.
    pub clock: &'a CallClock,
    /// Time of admission, if any guard asked then; later by as long as the caller's request was awaited.
    pub admitted_at: Option<tokio::time::Instant>,
}

impl Head<'_> {
    /// Returns the time from admission to now, but for the time for which the caller's request was awaited, if any
    /// guard asked for the time at admission.
    pub fn elapsed(&self) -> Option<Duration> {
        Some(
            self.clock
                .now()
                .saturating_duration_since(self.admitted_at?),
        )
    }
}
