use std::time::Instant;

use tokio::sync::watch;

/// The wishes of who holds the exporter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ExportControl {
    /// The number of the latest flush.
    pub(super) flush: u64,
    /// The time at which all attempts end, once the exporter is to stop.
    pub(super) stop_by: Option<Instant>,
}

/// The number of the latest flush that each signal has done.
pub(super) type Done = [u64; 3];

/// Waits until the exporter has to be at its end.
pub(super) async fn past_stop(mut control: watch::Receiver<ExportControl>) {
    loop {
        let stop_by = control.borrow_and_update().stop_by;
        if let Some(stop_by) = stop_by {
            return tokio::time::sleep_until(stop_by.into()).await;
        }
        if control.changed().await.is_err() {
            return;
        }
    }
}
