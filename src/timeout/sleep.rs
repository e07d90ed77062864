use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep};

/// Polls a timer beside work that may have used up the cooperative budget of its task.
///
/// Without budget, a tokio timer is pending whatever the time is, so that work which uses it up at every poll would never
/// be ended.
pub(crate) fn poll_sleep(mut sleep: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    match sleep.as_mut().poll(cx) {
        Poll::Pending if sleep.deadline() <= Instant::now() => Poll::Ready(()),
        poll => poll,
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, time::Duration};

    use tokio::{
        task::consume_budget,
        time::{advance, sleep_until},
    };

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Polls once.
    async fn poll_now<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        poll_fn(|cx| Poll::Ready(poll(cx))).await
    }

    #[tokio::test(start_paused = true)]
    async fn timer_fires_without_cooperative_budget() {
        let mut sleep = pin!(sleep_until(Instant::now() + SECOND));
        let poll = poll_now(|cx| poll_sleep(sleep.as_mut(), cx)).await;
        assert!(poll.is_pending());
        advance(SECOND).await;
        let poll = poll_now(|cx| {
            while pin!(consume_budget()).poll(cx).is_ready() {}
            assert!(sleep.as_mut().poll(cx).is_pending(), "without budget");
            poll_sleep(sleep.as_mut(), cx)
        });
        assert!(poll.await.is_ready());
    }
}
