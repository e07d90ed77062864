use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{
    permit::SlotPermit,
    shared::{BulkheadShared, WaiterKind},
    waiter::{Waiter, Waiting},
};

/// The slot that a handle has, or its place in the queue. Dropping it gives back either.
#[derive(Default)]
pub(super) enum SlotReservation {
    #[default]
    None,
    Waits(Waiter),
    Reserved(ReservedSlot),
}

pub(super) struct ReservedSlot {
    shared: Arc<BulkheadShared>,
    /// `None` once a call has taken it.
    permit: Option<SlotPermit>,
}

impl SlotReservation {
    /// Returns ready once there is a slot.
    pub(super) fn poll(&mut self, shared: &Arc<BulkheadShared>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let permit = match self {
                SlotReservation::Reserved(_) => return Poll::Ready(()),
                SlotReservation::None if shared.take_slot() => Some(shared.permit()),
                SlotReservation::None => match Waiter::start(shared, WaiterKind::Handle) {
                    Waiting::Granted(permit) => Some(permit),
                    Waiting::Waits(waiter) => {
                        *self = SlotReservation::Waits(waiter);
                        None
                    }
                    // Handles are not rejected.
                    Waiting::Rejected(_) => None,
                },
                SlotReservation::Waits(waiter) => ready!(waiter.poll(cx)).ok(),
            };
            if let Some(permit) = permit {
                *self = SlotReservation::Reserved(ReservedSlot {
                    shared: shared.clone(),
                    permit: Some(permit),
                });
            }
        }
    }

    /// Takes the slot for a call.
    pub(super) fn take(&mut self) -> Option<SlotPermit> {
        match self {
            SlotReservation::Reserved(slot) => slot.permit.take(),
            SlotReservation::None | SlotReservation::Waits(_) => None,
        }
    }
}

impl Drop for ReservedSlot {
    fn drop(&mut self) {
        if let Some(mut permit) = self.permit.take() {
            self.shared.give_back(&mut permit);
        }
    }
}
