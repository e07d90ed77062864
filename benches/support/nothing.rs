//! A guard that does nothing: the cost of being guarded at all.

use std::hint::black_box;

use tower_keep::{
    Rejection,
    call::{CallClock, CallEnd},
    guard::{Admit, Guard},
};

#[derive(Clone, Copy)]
pub struct Nothing;

impl Guard for Nothing {
    type Permit = ();
    fn on_end(&self, _: (), end: &CallEnd<'_>) {
        black_box(end.outcome());
    }
}
impl<Req> Admit<Req> for Nothing {
    fn admit(&self, _: &mut Req, _: &CallClock) -> Result<(), Rejection> {
        Ok(())
    }
}
