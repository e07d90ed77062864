use std::cell::Cell;

use tokio::time::Instant;

/// The clock, read when somebody first asks and shared by all guards of the call.
///
/// A clock reading costs as much as everything else that a closed breaker does. A guard that does not
/// ask costs none; however many ask, it is read once. Obeys tokio's paused clock.
#[derive(Clone, Debug, Default)]
pub struct Moment(Cell<Option<Instant>>);

impl Moment {
    /// A moment that is already known.
    pub fn at(now: Instant) -> Self {
        Moment(Cell::new(Some(now)))
    }

    /// The time, the same at every call.
    #[inline]
    pub fn now(&self) -> Instant {
        self.0.get().unwrap_or_else(|| {
            let now = Instant::now();
            self.0.set(Some(now));
            now
        })
    }

    /// The time if anybody has asked for it, without reading the clock.
    #[inline]
    pub fn known(&self) -> Option<Instant> {
        self.0.get()
    }
}
