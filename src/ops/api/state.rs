use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{StatusCode, request::Parts};
use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{ApiResult, Problem};
use crate::ops::{Access, core::Core};

/// The most failed logins that are slowed down at once. More are told so at once.
const MAX_SLOWED: usize = 32;
/// The time for which a failed login waits for its answer.
const SLOW_DOWN: Duration = Duration::from_millis(500);

/// The most threads that read history or render metrics at once. More requests wait for them.
const MAX_READERS: usize = 2;

/// The state that handlers share.
#[derive(Clone)]
pub(super) struct ApiState {
    pub(super) core: Arc<Core>,
    pub(super) access: Access,
    slowed: Arc<AtomicUsize>,
    readers: Arc<Semaphore>,
}

impl ApiState {
    pub(super) fn new(core: Arc<Core>, access: Access) -> Self {
        ApiState {
            core,
            access,
            slowed: Arc::default(),
            readers: Arc::new(Semaphore::new(MAX_READERS)),
        }
    }

    /// Reads what takes some milliseconds, on a thread for it: no call of the application waits for a storm of scrapes, or for a
    /// dashboard of many panels.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Core) -> T + Send + 'static,
    ) -> ApiResult<T> {
        let failed = |detail| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail);
        let reader = self.readers.clone().acquire_owned().await;
        let reader = reader.map_err(|_| failed("the service shuts down"))?;
        let core = self.core.clone();
        let reading = spawn_blocking(move || {
            // Until it has read, even if the one who asked is gone.
            let _reader = reader;
            read(&core)
        });
        reading.await.map_err(|_| failed("reading has failed"))
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt;

    use super::*;
    use crate::ops::Ops;

    fn state() -> ApiState {
        let core = Ops::builder("orders").build().expect("valid").into_core();
        ApiState::new(core, Access::login_links())
    }

    /// A scrape of 10,000 series took a thread of the application for its time.
    #[tokio::test(flavor = "current_thread")]
    async fn reads_block_no_task_and_are_few_at_once() {
        let state = state();
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(std::sync::Mutex::new(released));
        let reads = (0..2).map(|_| {
            let (state, released) = (state.clone(), released.clone());
            tokio::spawn(async move {
                let wait = move |_: &Core| released.lock().expect("no panic").recv();
                state.read(wait).await.expect("read").expect("released");
            })
        });
        let reads: Vec<_> = reads.collect();
        while state.readers.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        // A third one waits, and takes nothing with it when it is given up.
        assert!(state.read(|_| ()).now_or_never().is_none());
        for _ in 0..2 {
            release.send(()).expect("a reader");
        }
        for read in reads {
            read.await.expect("no panic");
        }
        assert_eq!(state.read(|core| core.hub.viewers()).await, Ok(0));
    }

    #[tokio::test]
    async fn read_that_panics_is_a_problem() {
        let state = state();
        let read = state.read(|_| -> () { panic!("a bug") }).await;
        assert_eq!(read.expect_err("panicked").to_json()["status"], 500);
        assert_eq!(state.readers.available_permits(), MAX_READERS);
    }
}
