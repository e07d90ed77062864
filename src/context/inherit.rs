use super::{Context, scope::ContextScope};
use crate::{
    call::{CallClock, CallEnd, Rejection},
    guard::{Admit, Guard},
};

/// A guard for services other than HTTP: runs each call in the current [`Context`], or in a new one if there is none.
///
/// Never rejects a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct InheritContext;

impl Guard for InheritContext {
    type Permit = Option<Context>;

    #[inline]
    fn enter(&self, permit: &mut Option<Context>) -> impl Sized {
        ContextScope::enter(permit)
    }

    #[inline]
    fn on_end(&self, _: Option<Context>, _: &CallEnd<'_>) {}
}

impl<Req> Admit<Req> for InheritContext {
    fn admit(&self, _: &mut Req, _: &CallClock) -> Result<Option<Context>, Rejection> {
        Ok(Some(Context::current().unwrap_or_else(Context::new_root)))
    }
}
