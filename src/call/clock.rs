use std::cell::Cell;

use tokio::time::Instant;

use crate::protocol::WireFormat;

/// The clock, read when somebody first asks and shared by all guards of the call; and what the call speaks.
///
/// A clock reading costs as much as everything else that a closed breaker does. A guard that does not
/// ask costs none; however many ask, it is read once. Obeys tokio's paused clock.
#[derive(Clone, Debug, Default)]
pub struct CallClock {
    now: Cell<Option<Instant>>,
    wire: WireFormat,
    has_upload: bool,
}

impl CallClock {
    /// A moment that is already known.
    pub fn at(now: Instant) -> Self {
        CallClock {
            now: Cell::new(Some(now)),
            wire: WireFormat::Plain,
            has_upload: false,
        }
    }

    /// Sets what the call speaks.
    #[must_use]
    pub fn with_wire(mut self, wire: WireFormat) -> Self {
        self.wire = wire;
        self
    }

    /// Sets whether the request has a body that is watched.
    #[must_use]
    pub(crate) fn with_upload(mut self, has_upload: bool) -> Self {
        self.has_upload = has_upload;
        self
    }

    /// Returns whether the request has a body that is still to come, for whose delay its caller is to blame.
    #[inline]
    pub(crate) fn has_upload(&self) -> bool {
        self.has_upload
    }

    /// The time, the same at every call.
    #[inline]
    pub fn now(&self) -> Instant {
        self.now.get().unwrap_or_else(|| {
            let now = Instant::now();
            self.now.set(Some(now));
            now
        })
    }

    /// Forgets the time, so that it is read again when it is asked for.
    #[inline]
    pub(crate) fn tick(&mut self) {
        self.now.set(None);
    }

    /// The time if anybody has asked for it, without reading the clock.
    #[inline]
    pub fn peek(&self) -> Option<Instant> {
        self.now.get()
    }

    /// Returns what the call speaks, as the layer's protocol has read it from the request.
    #[inline]
    pub fn wire(&self) -> WireFormat {
        self.wire
    }
}
