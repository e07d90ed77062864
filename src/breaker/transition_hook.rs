use std::{fmt, sync::Arc};

use super::transition::Transition;
use crate::call::catch_hook;

/// A hook that is called with each transition.
#[derive(Clone)]
pub(super) struct TransitionHook(Arc<dyn Fn(&Transition) + Send + Sync>);

impl TransitionHook {
    pub(super) fn new(hook: impl Fn(&Transition) + Send + Sync + 'static) -> Self {
        TransitionHook(Arc::new(hook))
    }

    /// Calls the hook. A panic is counted, and changes nothing.
    pub(super) fn call(&self, transition: &Transition) {
        catch_hook(|| (self.0)(transition));
    }
}

impl fmt::Debug for TransitionHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransitionHook")
    }
}
