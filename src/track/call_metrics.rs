use metrics::{Counter, Histogram};

use super::report::CallReport;

/// The handles of one set of labels; `None` for metrics that are off, and for the duration of tunnels.
#[derive(Debug)]
pub(super) struct CallMetrics {
    pub(super) duration: Option<Histogram>,
    pub(super) total: Option<Counter>,
    pub(super) time_to_head: Option<Histogram>,
    pub(super) poll_time: Option<Histogram>,
    pub(super) readiness_wait: Option<Histogram>,
    pub(super) request_size: Option<Histogram>,
    pub(super) response_size: Option<Histogram>,
}

impl CallMetrics {
    /// Records a completed call.
    #[inline]
    pub(super) fn record(&self, report: &CallReport<'_>, request_bytes: Option<u64>) {
        let end = report.end;
        if let Some(duration) = &self.duration {
            duration.record(report.elapsed.as_secs_f64());
        }
        if let Some(total) = &self.total {
            total.increment(1);
        }
        // A time is known if its option made a guard read the clock for it.
        let times = [
            (&self.time_to_head, end.time_to_head()),
            (&self.poll_time, end.poll_time()),
            (&self.readiness_wait, end.readiness_wait()),
        ];
        for (histogram, time) in times {
            if let (Some(histogram), Some(time)) = (histogram, time) {
                histogram.record(time.as_secs_f64());
            }
        }
        if let Some(histogram) = &self.response_size {
            histogram.record(end.response_bytes() as f64);
        }
        // Nothing rather than a 0 where no `RequestBodyLayer` counts.
        if let (Some(histogram), Some(bytes)) = (&self.request_size, request_bytes) {
            histogram.record(bytes as f64);
        }
    }
}
