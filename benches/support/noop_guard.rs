//! A guard that does nothing: the cost of being guarded at all.

use std::hint::black_box;

use tower_keep::{
    Rejection,
    call::{End, Moment},
    guard::{Admit, Guard},
};

#[derive(Clone, Copy)]
pub struct NoopGuard;

impl Guard for NoopGuard {
    type Permit = ();
    fn settle(&self, _: (), end: &End<'_>) {
        black_box(end.outcome());
    }
}
impl<Req> Admit<Req> for NoopGuard {
    fn admit(&self, _: &mut Req, _: &Moment) -> Result<(), Rejection> {
        Ok(())
    }
}
