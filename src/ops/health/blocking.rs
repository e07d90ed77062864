//! Closures that block, in a thread of the runtime's pool.

use std::{
    future::Future,
    sync::{Arc, Mutex},
};

use tokio::task::{JoinHandle, spawn_blocking};

use super::{CheckResult, shared::lock};

/// Returns a closure whose future runs `check` in a thread, and which has one thread at most: while one is blocked, further
/// futures wait for that one.
pub(super) fn single_thread(
    check: impl Fn() -> CheckResult + Send + Sync + 'static,
) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = CheckResult> + Send>> + Send + Sync + 'static
{
    let check = Arc::new(check);
    let running: Arc<Mutex<Option<JoinHandle<CheckResult>>>> = Arc::default();
    move || {
        let (check, running) = (check.clone(), running.clone());
        Box::pin(async move {
            let earlier = lock(&running).take();
            let handle = earlier.unwrap_or_else(|| spawn_blocking(move || check()));
            PutBack {
                handle: Some(handle),
                running,
            }
            .join()
            .await
        })
    }
}

/// A handle of a thread, which is put back when the run is dropped before the thread has returned.
struct PutBack {
    handle: Option<JoinHandle<CheckResult>>,
    running: Arc<Mutex<Option<JoinHandle<CheckResult>>>>,
}

impl PutBack {
    async fn join(mut self) -> CheckResult {
        let Some(handle) = &mut self.handle else {
            return CheckResult::unknown("not running");
        };
        let result = handle.await;
        self.handle = None;
        super::run::result_of(result)
    }
}

impl Drop for PutBack {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            *lock(&self.running) = Some(handle);
        }
    }
}
