use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::ops::{Access, core::Core};

/// The most failed logins that are slowed down at once. More are told so at once.
const MAX_SLOWED: usize = 32;

/// The state that handlers share.
#[derive(Clone)]
pub(super) struct ApiState {
    pub(super) core: Arc<Core>,
    pub(super) access: Access,
    slowed: Arc<AtomicUsize>,
}

impl ApiState {
    pub(super) fn new(core: Arc<Core>, access: Access) -> Self {
        ApiState {
            core,
            access,
            slowed: Arc::default(),
        }
    }

    /// Counts a failed login that is slowed down, unless there are too many.
    pub(super) fn slow_down(&self) -> Option<SlowedLogin> {
        let join = |slowed| (slowed < MAX_SLOWED).then_some(slowed + 1);
        let relaxed = Ordering::Relaxed;
        self.slowed.fetch_update(relaxed, relaxed, join).ok()?;
        Some(SlowedLogin(self.slowed.clone()))
    }
}

/// A failed login that waits.
pub(super) struct SlowedLogin(Arc<AtomicUsize>);

impl Drop for SlowedLogin {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
