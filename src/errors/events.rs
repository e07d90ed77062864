use tokio::sync::broadcast::{self, error::RecvError};

use super::event::ErrorEvent;

/// A subscription to the events of an [`ErrorTracker`](super::ErrorTracker).
///
/// It works with any async runtime, and does not keep the tracker alive.
#[derive(Debug)]
pub struct ErrorEvents {
    pub(super) receiver: broadcast::Receiver<ErrorEvent>,
}

impl ErrorEvents {
    /// Waits for the next event. Returns `None` after the last handle of the tracker is dropped.
    ///
    /// Dropping the future loses no event.
    ///
    /// A subscriber that ends along with the tracker:
    ///
    /// ```
    /// use tower_keep::errors::{ErrorEvent, ErrorTracker};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let errors = ErrorTracker::new();
    /// let mut events = errors.subscribe();
    /// errors.capture(&std::fmt::Error);
    /// drop(errors);
    ///
    /// assert!(matches!(events.next().await, Some(ErrorEvent::New(_))));
    /// assert_eq!(events.next().await, None);
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<ErrorEvent> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            // The receiver continues with the oldest event that is still in the buffer.
            Err(RecvError::Lagged(lost)) => Some(ErrorEvent::Lagged(lost)),
            Err(RecvError::Closed) => None,
        }
    }
}
