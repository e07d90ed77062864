use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{StatusCode, request::Parts};
use tokio::time::{Instant, sleep};

use super::{ApiResult, Problem};
use crate::ops::{Access, core::Core};

/// The most failed logins that are slowed down at once. More are told so at once.
const MAX_SLOWED: usize = 32;
/// The time for which a failed login waits for its answer.
const SLOW_DOWN: Duration = Duration::from_millis(500);

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

    /// Counts a failed login, and waits before its answer, unless too many wait already. Whoever has the right token is never kept
    /// waiting by others.
    pub(super) async fn fail_login(&self, request: &Parts) -> ApiResult<()> {
        let address = self.access.client_address(request);
        self.core.failed_logins().count(address, Instant::now());
        let _slowed = self.slow_down().ok_or_else(|| {
            let detail = "too many logins fail at the same time";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
        })?;
        sleep(SLOW_DOWN).await;
        Ok(())
    }

    fn slow_down(&self) -> Option<SlowedLogin> {
        let join = |slowed| (slowed < MAX_SLOWED).then_some(slowed + 1);
        let relaxed = Ordering::Relaxed;
        self.slowed.fetch_update(relaxed, relaxed, join).ok()?;
        Some(SlowedLogin(self.slowed.clone()))
    }
}

/// A failed login that waits.
struct SlowedLogin(Arc<AtomicUsize>);

impl Drop for SlowedLogin {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
