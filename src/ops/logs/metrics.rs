use metrics::{Unit, counter, describe_counter};

use super::{kept::Uncounted, level::LogLevel};
use crate::ops::recorder::Recorder;

const RECORDS: &str = "tower_keep_ops_log_records_total";
const DROPPED: &str = "tower_keep_ops_log_records_dropped_total";

/// Adds to the metrics what was stored and dropped.
pub(super) fn count(recorder: &Recorder, uncounted: &Uncounted) {
    metrics::with_local_recorder(recorder, || {
        for (level, count) in LogLevel::ALL.into_iter().zip(uncounted.stored) {
            if count > 0 {
                let help = "Records of the log that were stored.";
                describe_counter!(RECORDS, Unit::Count, help);
                counter!(RECORDS, "level" => level.as_str()).increment(count);
            }
        }
        if uncounted.dropped > 0 {
            let help = "Events of the log that came faster than they could be stored.";
            describe_counter!(DROPPED, Unit::Count, help);
            counter!(DROPPED).increment(uncounted.dropped);
        }
    });
}
