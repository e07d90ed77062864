use std::mem::needs_drop;

use super::Guard;
use crate::call::catch_nested_hook;

/// The open scope of a guard; dropping it closes the scope.
///
/// A hook that panics when the scope is opened or closed is counted, and changes nothing else.
#[must_use = "dropping it closes the scope"]
pub(crate) struct GuardScope<S>(
    // None if the guard holds no permit, or if `enter` has panicked.
    Option<S>,
);

/// Opens the scope of a guard, if it holds a permit.
#[inline]
pub(crate) fn enter_scope<'g, 'p, G: Guard>(
    guard: &'g G,
    permit: Option<&'p mut G::Permit>,
) -> GuardScope<impl Sized + use<'g, 'p, G>> {
    GuardScope(permit.and_then(|permit| catch_nested_hook(|| guard.enter(permit))))
}

impl<S> Drop for GuardScope<S> {
    #[inline]
    fn drop(&mut self) {
        if needs_drop::<S>() && self.0.is_some() {
            catch_nested_hook(|| self.0 = None);
        }
    }
}
