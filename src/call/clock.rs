use std::cell::Cell;

use tokio::time::Instant;

use crate::protocol::{Side, WireFormat};

/// A timestamp that is read lazily and shared by all guards of a call, with the wire format of the call and the
/// side of it that the layer is on.
///
/// Reading the clock costs as much as everything else that a closed breaker does. It is read once, when the first guard asks,
/// and not at all if none does. Follows tokio's paused clock.
#[derive(Clone, Debug, Default)]
pub struct CallClock {
    now: Cell<Option<Instant>>,
    wire: WireFormat,
    side: Side,
    has_upload: bool,
}

impl CallClock {
    /// Creates a clock whose time is known already.
    ///
    /// Every guard that asks it reads the same time:
    ///
    /// ```
    /// use tokio::time::Instant;
    /// use tower_keep::call::CallClock;
    ///
    /// let now = Instant::now();
    /// assert_eq!(CallClock::at(now).now(), now);
    /// ```
    pub fn at(now: Instant) -> Self {
        CallClock {
            now: Cell::new(Some(now)),
            wire: WireFormat::Plain,
            side: Side::default(),
            has_upload: false,
        }
    }

    /// Sets the wire format of the call.
    #[must_use]
    pub fn with_wire(mut self, wire: WireFormat) -> Self {
        self.wire = wire;
        self
    }

    /// Sets the side of the call, which is that of the protocol.
    #[inline]
    #[must_use]
    pub(crate) fn with_side(mut self, side: Side) -> Self {
        self.side = side;
        self
    }

    /// Returns the side of the call.
    #[inline]
    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// Sets whether the request has a body that is watched.
    #[must_use]
    pub(crate) fn with_upload(mut self, has_upload: bool) -> Self {
        self.has_upload = has_upload;
        self
    }

    /// Returns whether the request has a body that is still to come, whose delay is the caller's fault.
    #[inline]
    pub(crate) fn has_upload(&self) -> bool {
        self.has_upload
    }

    /// Returns the time, which stays the same until the next phase of the call.
    #[inline]
    pub fn now(&self) -> Instant {
        self.now.get().unwrap_or_else(|| {
            let now = Instant::now();
            self.now.set(Some(now));
            now
        })
    }

    /// Sets the time that was read just before the call was made, unless a guard has read the clock since.
    #[cfg(feature = "balance")]
    #[inline]
    pub(crate) fn set_if_unread(&self, now: Instant) {
        if self.now.get().is_none() {
            self.now.set(Some(now));
        }
    }

    /// Returns the time if it was read already, without reading the clock.
    #[inline]
    pub fn peek(&self) -> Option<Instant> {
        self.now.get()
    }

    /// Returns the wire format of the call, as the protocol has read it from the request.
    #[inline]
    pub fn wire(&self) -> WireFormat {
        self.wire
    }
}
