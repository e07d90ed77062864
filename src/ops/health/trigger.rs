use std::sync::Arc;

use tokio::sync::{broadcast, watch};

use crate::breaker::Transition;

/// An event at which a check runs before its time.
pub(super) enum Trigger {
    Transitions(broadcast::Receiver<Transition>),
    /// A text that says what is wrong.
    Text(watch::Receiver<Option<Arc<str>>>),
    /// An event that will not come.
    Never,
}

impl Trigger {
    pub(super) fn transitions(receiver: broadcast::Receiver<Transition>) -> Self {
        Trigger::Transitions(receiver)
    }

    /// Waits for the next event; forever if there will be none.
    pub(super) async fn wait(&mut self) {
        let is_over = match self {
            Trigger::Transitions(receiver) => match receiver.recv().await {
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {
                    // The state is read afterwards: one run is enough for all that have come.
                    *receiver = receiver.resubscribe();
                    false
                }
                Err(broadcast::error::RecvError::Closed) => true,
            },
            Trigger::Text(receiver) => receiver.changed().await.is_err(),
            Trigger::Never => true,
        };
        if is_over {
            *self = Trigger::Never;
            std::future::pending().await
        }
    }
}
