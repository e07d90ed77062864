use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use tokio::sync::broadcast;

use super::Update;

/// The updates that wait for the slowest viewer: more than a burst of changes, less than anyone can still use.
const WAITING_UPDATES: usize = 32;

/// Passes updates on to all viewers.
#[derive(Debug)]
pub(crate) struct Hub {
    max_viewers: usize,
    viewers: AtomicUsize,
    updates: broadcast::Sender<Arc<Update>>,
    latest: Mutex<Option<Arc<Update>>>,
    /// Updates that some viewer has not got, since it was too slow.
    dropped: AtomicU64,
}

impl Hub {
    pub(crate) fn new(max_viewers: usize) -> Self {
        Hub {
            max_viewers,
            viewers: AtomicUsize::new(0),
            updates: broadcast::Sender::new(WAITING_UPDATES),
            latest: Mutex::default(),
            dropped: AtomicU64::new(0),
        }
    }

    /// Takes a seat, unless all are taken.
    pub(crate) fn join(self: &Arc<Self>) -> Option<Seat> {
        let join = |viewers| (viewers < self.max_viewers).then_some(viewers + 1);
        self.viewers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, join)
            .ok()?;
        Some(Seat {
            hub: self.clone(),
            updates: self.updates.subscribe(),
        })
    }

    /// Returns whether anybody looks.
    pub(crate) fn has_viewers(&self) -> bool {
        self.viewers.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn send(&self, update: Arc<Update>) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(update.clone());
        // Fails without a viewer, who may have gone just now.
        let _ = self.updates.send(update);
    }

    pub(crate) fn latest(&self) -> Option<Arc<Update>> {
        let latest = self.latest.lock();
        latest.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the latest update, when nobody looks: it becomes old.
    pub(crate) fn clear(&self) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The place of a viewer, which it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    hub: Arc<Hub>,
    updates: broadcast::Receiver<Arc<Update>>,
}

impl Seat {
    /// Waits for the next update; `None` says that some were lost. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Arc<Update>> {
        match self.updates.recv().await {
            Ok(update) => Some(update),
            Err(broadcast::error::RecvError::Lagged(lost)) => {
                self.hub.dropped.fetch_add(lost, Ordering::Relaxed);
                None
            }
            // The hub is held by this seat, so its sender is there.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{UpdateKind, update::tests::update},
        *,
    };

    #[tokio::test]
    async fn hub_has_so_many_seats_and_no_more() {
        let hub = Arc::new(Hub::new(2));
        assert!(!hub.has_viewers());
        let (first, second) = (hub.join(), hub.join());
        assert!(first.is_some() && second.is_some() && hub.join().is_none());
        drop(first);
        assert!(hub.has_viewers() && hub.join().is_some());
        drop(second);
        assert!(!hub.has_viewers());
    }

    #[tokio::test]
    async fn hub_drops_updates_for_slow_viewers_and_counts_them() {
        let hub = Arc::new(Hub::new(2));
        let mut slow = hub.join().expect("a seat");
        let sent = WAITING_UPDATES as u64 + 3;
        for seq in 1..=sent {
            hub.send(update(UpdateKind::Tick, seq, &[]));
        }
        assert!(slow.next().await.is_none());
        assert_eq!(hub.dropped(), 3);
        assert_eq!(slow.next().await.map(|update| update.seq), Some(4));
        assert_eq!(hub.latest().map(|update| update.seq), Some(sent));
        hub.clear();
        assert!(hub.latest().is_none());
    }
}
