use std::time::Duration;

use tokio::time::Instant;

use super::{TimeLimit, call_timeout::CallTimeout};
use crate::call::{Elapsed, TimeoutKind};

/// The margin by which a peer may end a call early whose time it was sent: it runs a clock of its own.
pub(super) const PEER_CLOCK_TOLERANCE: Duration = Duration::from_millis(10);

/// The cause that ends a call first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpiryCause {
    Limit,
    Deadline,
    OuterLimit,
}

/// The moment at which the time of a call is over, and the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expiry {
    pub(super) at: Instant,
    pub(super) cause: ExpiryCause,
}

impl Expiry {
    /// Returns the earliest expiry, counted from now; None if it is later than any clock can tell.
    pub(super) fn earliest(timeout: &CallTimeout) -> Option<Self> {
        let limit = Instant::now().checked_add(timeout.limit);
        let causes = [
            (limit, ExpiryCause::Limit),
            (timeout.deadline, ExpiryCause::Deadline),
            (timeout.outer_limit_expiry(), ExpiryCause::OuterLimit),
        ];
        let expiries = causes.into_iter();
        let expiries = expiries.filter_map(|(at, cause)| at.map(|at| Expiry { at, cause }));
        // Of several at the same time, the first cause counts.
        expiries.min_by_key(|expiry| expiry.at)
    }

    /// Returns whether the time is up, or so nearly that a peer may think so.
    pub(super) fn is_near(&self) -> bool {
        self.at <= Instant::now() + PEER_CLOCK_TOLERANCE
    }

    /// Counts the timeout, and returns it.
    #[cold]
    pub(super) fn record_elapsed(&self, limit: &TimeLimit, timeout: &CallTimeout) -> Elapsed {
        if self.cause != ExpiryCause::Limit {
            // To this call, a limit around it is a deadline like the caller's.
            return limit.record_elapsed(TimeoutKind::Deadline, None);
        }
        let elapsed = limit.record_elapsed(TimeoutKind::Limit, Some(timeout.limit));
        // Cannot underflow: `earliest` made this moment by adding the limit.
        let started_at = self.at - timeout.limit;
        let blames_caller = timeout
            .upload
            .as_ref()
            .is_some_and(|upload| upload.blames_caller_for_timeout(started_at, Instant::now()));
        if blames_caller {
            elapsed.blame_caller()
        } else {
            elapsed
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use bytes::Bytes;
    use http_body::Frame;
    use tokio::time::advance;

    use super::*;
    use crate::{call::Evidence, protocol::upload::Upload};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn expiry_is_the_earliest_and_has_its_cause() {
        let table = [
            (CallTimeout::in_seconds(2, None, None), ExpiryCause::Limit),
            (
                CallTimeout::in_seconds(2, Some(2), Some(2)),
                ExpiryCause::Limit,
            ),
            (
                CallTimeout::in_seconds(2, Some(1), None),
                ExpiryCause::Deadline,
            ),
            // What is around ends at the deadline as well.
            (
                CallTimeout::in_seconds(2, Some(1), Some(1)),
                ExpiryCause::Deadline,
            ),
            (
                CallTimeout::in_seconds(2, Some(3), Some(1)),
                ExpiryCause::OuterLimit,
            ),
        ];
        for (timeout, ran) in table {
            assert_eq!(
                Expiry::earliest(&timeout).map(|expiry| expiry.cause),
                Some(ran),
                "{timeout:?}"
            );
        }
        let mut unlimited = CallTimeout::in_seconds(0, None, None);
        unlimited.limit = Duration::MAX;
        assert_eq!(Expiry::earliest(&unlimited), None);
    }

    #[tokio::test(start_paused = true)]
    async fn limit_blames_the_peer_unless_the_upload_stalls() {
        let limit = TimeLimit::new("blame", SECOND);
        let mut slow = CallTimeout::in_seconds(1, None, None);
        for (upload, is_caller) in [(None, false), (Some(false), false), (Some(true), true)] {
            slow.upload = upload.map(Upload::stalled);
            let elapsed = Expiry::earliest(&slow)
                .expect("an end")
                .record_elapsed(&limit, &slow);
            assert_eq!(elapsed.is_caller_fault(), is_caller);
            assert_eq!(elapsed.evidence() == Evidence::Unhealthy, !is_caller);
        }
        let with_deadline = CallTimeout::in_seconds(2, Some(1), None);
        let elapsed = Expiry::earliest(&with_deadline)
            .expect("an end")
            .record_elapsed(&limit, &with_deadline);
        assert_eq!(elapsed.evidence(), Evidence::Inconclusive);
    }

    #[tokio::test(start_paused = true)]
    async fn limit_blames_the_caller_if_the_upload_took_most_of_it() {
        type Data = Result<Frame<Bytes>, ()>;
        let limit = TimeLimit::new("blame", SECOND);
        for (percent, is_caller) in [(60, true), (40, false)] {
            let (mut slow, upload) = (CallTimeout::in_seconds(1, None, None), Upload::default());
            let (expiry, waited) = (
                Expiry::earliest(&slow).expect("an end"),
                SECOND * percent / 100,
            );
            let mut reporter = upload.reporter(&Default::default(), None).expect("first");
            reporter.on_poll(&Poll::<Option<Data>>::Pending, || false);
            advance(waited).await;
            let data = Frame::data(Bytes::from_static(b"more"));
            reporter.on_poll(&Poll::Ready(Some(Data::Ok(data))), || false);
            advance(SECOND - waited).await;
            slow.upload = Some(upload);
            let elapsed = expiry.record_elapsed(&limit, &slow);
            assert_eq!(elapsed.is_caller_fault(), is_caller, "{percent} %");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn expiry_is_near_ten_milliseconds_before_it() {
        let expiry = Expiry::earliest(&CallTimeout::in_seconds(1, None, None)).expect("an end");
        tokio::time::advance(SECOND - PEER_CLOCK_TOLERANCE - Duration::from_nanos(1)).await;
        assert!(!expiry.is_near());
        tokio::time::advance(Duration::from_nanos(1)).await;
        assert!(expiry.is_near());
    }
}
