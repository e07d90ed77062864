//! Ending in good order: everything that must be finished holds a [`DrainToken`].

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// The time that is left when everybody was told to stop at once: closing sockets, no more work.
const LAST_MOMENT: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Running,
    Draining,
    Cut,
}

/// The one end that tells everybody to finish, and learns when everybody has.
pub struct Drain {
    phase: watch::Sender<Phase>,
}

/// Held by whatever the end has to wait for; dropping it says "done".
#[derive(Clone)]
pub struct DrainToken {
    phase: watch::Receiver<Phase>,
}

impl Drain {
    /// Nobody is told anything before [`Drain::finish`]; dropping it unfinished tells everybody to stop.
    pub fn new() -> (Self, DrainToken) {
        let (sender, receiver) = watch::channel(Phase::Running);
        (Self { phase: sender }, DrainToken { phase: receiver })
    }

    /// Asks everybody to finish and waits for them until `limit` resolves; true if nobody had to be cut off.
    pub async fn finish(self, limit: impl Future<Output = ()>) -> bool {
        self.phase.send_replace(Phase::Draining);
        tokio::select! {
            // All tickets gone means all work done; look there first, or a limit of zero cuts off nobody.
            biased;
            () = self.phase.closed() => return true,
            () = limit => {}
        }
        self.phase.send_replace(Phase::Cut);
        let _ = timeout(LAST_MOMENT, self.phase.closed()).await;
        false
    }
}

impl DrainToken {
    /// Resolves when it is time to take nothing new.
    pub async fn draining(&mut self) {
        self.reached(|phase| phase != Phase::Running).await;
    }

    /// Resolves when it is time to drop everything.
    pub async fn cut(&mut self) {
        self.reached(|phase| phase == Phase::Cut).await;
    }

    async fn reached(&mut self, wanted: impl Fn(Phase) -> bool) {
        // An error says that the `Drain` is gone, which is the end as well.
        let _ = self.phase.wait_for(|phase| wanted(*phase)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    #[tokio::test]
    async fn drain_waits_for_the_last_token() {
        let (drain, mut ticket) = Drain::new();
        let work = tokio::spawn(async move { ticket.draining().await });
        assert!(drain.finish(pending()).await);
        assert!(work.await.is_ok());
    }

    #[tokio::test]
    async fn drain_cuts_off_holders_that_do_not_finish() {
        let (drain, mut ticket) = Drain::new();
        let work = tokio::spawn(async move { ticket.cut().await });
        assert!(!drain.finish(ready(())).await);
        assert!(work.await.is_ok());
    }
}
