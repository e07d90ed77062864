use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    broadcast::{self, error::RecvError},
};

use super::Update;

/// The updates that wait for the slowest viewer: more than a burst of changes, less than anyone can still use.
const WAITING_UPDATES: usize = 32;

/// The connections that are told at once that all seats are taken: enough for the pages of a team that come back together.
/// What is beyond it is rejected before it becomes a connection, so that thousands cost no more than that.
const TURNED_AWAY: usize = 16;

/// Passes updates on to all viewers.
#[derive(Debug)]
pub(crate) struct Hub {
    max_viewers: usize,
    counters: Arc<Counters>,
    turned_away: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` once the process shuts down.
    updates: Option<broadcast::Sender<Arc<Update>>>,
    latest: Option<Arc<Update>>,
}

#[derive(Debug, Default)]
struct Counters {
    viewers: AtomicUsize,
    /// Updates that some viewer has not got, since it was too slow.
    dropped: AtomicU64,
}

/// The reason for which there is no place for a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSeat {
    /// All are taken.
    Full,
    /// The process shuts down.
    Closed,
}

impl Hub {
    pub(crate) fn new(max_viewers: usize) -> Self {
        Hub {
            max_viewers,
            counters: Arc::default(),
            turned_away: Arc::new(Semaphore::new(TURNED_AWAY)),
            state: Mutex::new(State {
                updates: Some(broadcast::Sender::new(WAITING_UPDATES)),
                latest: None,
            }),
        }
    }

    /// Takes a seat, unless all are taken.
    pub(crate) fn join(&self) -> Result<ViewerSeat, NoSeat> {
        let state = self.lock();
        let updates = state.updates.as_ref().ok_or(NoSeat::Closed)?.subscribe();
        let join = |viewers| (viewers < self.max_viewers).then_some(viewers + 1);
        let joined = self.counters.viewers.fetch_update(Relaxed, Relaxed, join);
        joined.map_err(|_| NoSeat::Full)?;
        let counters = self.counters.clone();
        Ok(ViewerSeat { counters, updates })
    }

    /// Lets in a connection that is only told that all seats are taken, for as long as it holds this; `None` if there are
    /// many of those already.
    pub(crate) fn turn_away(&self) -> Option<OwnedSemaphorePermit> {
        self.turned_away.clone().try_acquire_owned().ok()
    }

    /// Returns how many look.
    pub(crate) fn viewers(&self) -> usize {
        self.counters.viewers.load(Relaxed)
    }

    /// Sends an update to all viewers.
    pub(crate) fn send(&self, update: Arc<Update>) {
        let mut state = self.lock();
        let Some(updates) = state.updates.clone() else {
            return;
        };
        state.latest = Some(update.clone());
        // Sending wakes viewers.
        drop(state);
        // Fails without a viewer, who may have gone just now.
        let _ = updates.send(update);
    }

    /// Keeps an update for those who come, without sending it.
    pub(crate) fn keep(&self, update: Arc<Update>) {
        self.lock().latest = Some(update);
    }

    pub(crate) fn latest(&self) -> Option<Arc<Update>> {
        self.lock().latest.clone()
    }

    /// Forgets the latest update, when nobody looks: it becomes old.
    pub(crate) fn clear(&self) {
        self.lock().latest = None;
    }

    /// Sends every viewer away and lets none in any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        (state.updates, state.latest) = (None, None);
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.counters.dropped.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next thing that comes to a viewer.
#[derive(Debug)]
pub(crate) enum NextUpdate {
    Update(Arc<Update>),
    /// Some updates were lost, since the viewer is too slow.
    Lost,
    /// The end: the process shuts down, or nobody holds the operations side any more.
    Closed,
}

/// The place of a viewer, which it leaves when this is dropped. It does not hold the hub.
#[derive(Debug)]
pub(crate) struct ViewerSeat {
    counters: Arc<Counters>,
    updates: broadcast::Receiver<Arc<Update>>,
}

impl ViewerSeat {
    /// Waits for what comes next. Cancel safe.
    pub(crate) async fn next(&mut self) -> NextUpdate {
        match self.updates.recv().await {
            Ok(update) => NextUpdate::Update(update),
            Err(RecvError::Lagged(lost)) => {
                self.counters.dropped.fetch_add(lost, Relaxed);
                NextUpdate::Lost
            }
            Err(RecvError::Closed) => NextUpdate::Closed,
        }
    }
}

impl Drop for ViewerSeat {
    fn drop(&mut self) {
        self.counters.viewers.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{UpdateKind, update::tests::update},
        *,
    };

    #[test]
    fn hub_has_so_many_seats_and_no_more() {
        let hub = Hub::new(2);
        assert_eq!(hub.viewers(), 0);
        let (first, second) = (hub.join(), hub.join());
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(hub.join().err(), Some(NoSeat::Full));
        drop(first);
        assert_eq!(hub.viewers(), 1);
        assert!(hub.join().is_ok());
        drop(second);
        assert_eq!(hub.viewers(), 0);
    }

    #[test]
    fn hub_turns_away_so_many_at_once() {
        let hub = Hub::new(1);
        let turned_away: Vec<_> = (0..TURNED_AWAY).map(|_| hub.turn_away()).collect();
        assert!(turned_away.iter().all(Option::is_some));
        assert!(hub.turn_away().is_none());
        drop(turned_away);
        assert!(hub.turn_away().is_some());
        assert!(hub.join().is_ok(), "they take no seat");
    }

    #[tokio::test]
    async fn hub_drops_updates_for_slow_viewers_and_counts_them() {
        let hub = Hub::new(2);
        let mut slow = hub.join().expect("a seat");
        let sent = WAITING_UPDATES as u64 + 3;
        for seq in 1..=sent {
            hub.send(update(UpdateKind::Tick, seq, &[]));
        }
        assert!(matches!(slow.next().await, NextUpdate::Lost));
        assert_eq!(hub.dropped(), 3);
        assert!(matches!(slow.next().await, NextUpdate::Update(update) if update.seq == 4));
        assert_eq!(hub.latest().map(|update| update.seq), Some(sent));
        hub.clear();
        assert!(hub.latest().is_none());
        hub.keep(update(UpdateKind::Tick, 1, &[]));
        assert_eq!(hub.latest().map(|update| update.seq), Some(1));
    }

    #[tokio::test]
    async fn hub_that_is_closed_or_dropped_sends_viewers_away() {
        let hub = Hub::new(2);
        let mut seat = hub.join().expect("a seat");
        hub.close();
        assert!(matches!(seat.next().await, NextUpdate::Closed));
        assert_eq!(hub.join().err(), Some(NoSeat::Closed));
        hub.send(update(UpdateKind::Tick, 1, &[]));
        assert!(hub.latest().is_none());

        let hub = Hub::new(2);
        let mut seat = hub.join().expect("a seat");
        drop(hub);
        assert!(matches!(seat.next().await, NextUpdate::Closed));
    }
}
