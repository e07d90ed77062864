//! A guard that does nothing: the cost of being guarded at all.

use std::hint::black_box;

use tower_keep::{
    Rejection,
    call::{CallClock, CallEnd},
    guard::{Admit, Guard},
};

#[derive(Clone, Copy)]
pub struct NoopGuard;

impl Guard for NoopGuard {
    type Permit = ();
    fn on_end(&self, _: (), end: &CallEnd<'_>) {
        black_box(end.outcome());
    }
}
impl<Req> Admit<Req> for NoopGuard {
    fn admit(&self, _: &mut Req, _: &CallClock) -> Result<(), Rejection> {
        Ok(())
    }
}
