use std::time::Duration;

use tokio::time::Instant;

use super::{bucket::Bucket, window_shape::WindowShape};

/// The clock that cuts time into the buckets of a window, since the breaker was created.
#[derive(Clone, Copy, Debug)]
pub(super) struct BucketClock {
    pub(super) start: Instant,
    pub(super) shape: WindowShape,
}

impl BucketClock {
    /// Returns the bucket, counted from 1.
    pub(super) fn bucket_at(&self, now: Instant) -> Bucket {
        self.shape.bucket_at(|| self.since_start(now))
    }

    pub(super) fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    /// Returns a clock of another shape with the same start.
    pub(super) fn with_shape(self, shape: WindowShape) -> Self {
        BucketClock { shape, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_begins_with_its_first_nanosecond() {
        let start = Instant::now();
        let shape = WindowShape::of_time(9, Duration::from_secs(30), 10);
        let clock = BucketClock { start, shape };
        let nano = Duration::from_nanos(1);
        for (time, index) in [(0, 1), (3, 2), (30, 11)] {
            let at = start + Duration::from_secs(time);
            let bucket = Bucket { shape: 9, index };
            assert_eq!(clock.bucket_at(at), bucket);
            assert_eq!(clock.bucket_at(at + Duration::from_secs(3) - nano), bucket);
        }
        let before = clock.bucket_at(start - nano).index;
        assert_eq!(before, 1, "before the first there is none");
    }
}
