use std::time::Duration;

use crate::util::family::InFlightGauge;

/// The permit of a call that a bulkhead has admitted: its slot, and where it is counted.
#[derive(Debug)]
pub struct SlotPermit {
    pub(super) in_flight: InFlightGauge,
    /// True if the slot is given back at the head.
    pub(super) until_head: bool,
    /// True if the limit adapts itself to the times of the calls.
    pub(super) is_adaptive: bool,
    /// The time for which the call had its slot; `None` while it has it.
    pub(super) held_for: Option<Duration>,
}
