use std::sync::Arc;

use tokio::sync::{broadcast, watch};

use crate::breaker::Transition;

/// An event at which a check runs before its time.
pub(super) enum CheckTrigger {
    Transitions(broadcast::Receiver<Transition>),
    /// A text that says what is wrong.
    Text(watch::Receiver<Option<Arc<str>>>),
    /// An event that will not come.
    Never,
}

impl CheckTrigger {
    pub(super) fn transitions(receiver: broadcast::Receiver<Transition>) -> Self {
        CheckTrigger::Transitions(receiver)
    }

    /// Waits for the next event; forever if there will be none.
    pub(super) async fn wait(&mut self) {
        let is_over = match self {
            CheckTrigger::Transitions(receiver) => match receiver.recv().await {
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {
                    // The state is read afterwards: one run is enough for all that have come.
                    *receiver = receiver.resubscribe();
                    false
                }
                Err(broadcast::error::RecvError::Closed) => true,
            },
            CheckTrigger::Text(receiver) => receiver.changed().await.is_err(),
            CheckTrigger::Never => true,
        };
        if is_over {
            *self = CheckTrigger::Never;
            std::future::pending().await
        }
    }
}
