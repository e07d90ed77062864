use tokio::sync::broadcast;

use crate::breaker::Transition;

/// An event at which a check runs before its time.
pub(super) struct Trigger(Option<broadcast::Receiver<Transition>>);

impl Trigger {
    pub(super) fn transitions(receiver: broadcast::Receiver<Transition>) -> Self {
        Trigger(Some(receiver))
    }

    /// Waits for the next event; forever if there will be none.
    pub(super) async fn wait(&mut self) {
        if let Some(receiver) = &mut self.0 {
            match receiver.recv().await {
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {
                    // The state is read afterwards: one run is enough for all that have come.
                    *receiver = receiver.resubscribe();
                    return;
                }
                Err(broadcast::error::RecvError::Closed) => self.0 = None,
            }
        }
        std::future::pending().await
    }
}
