use metrics::{Unit, counter, describe_counter};

use super::traces::TraceStats;
use crate::call::catch_hook;

const TRACES: &str = "tower_keep_ops_traces_total";
const DROPPED: &str = "tower_keep_ops_span_parts_dropped_total";

/// Adds to the metrics what has been counted since the last time.
pub(super) fn report(before: &TraceStats, now: &TraceStats) {
    // A recorder may panic.
    catch_hook(|| {
        if *before == TraceStats::default() {
            let help = "Traces and later parts of them, by what became of them.";
            describe_counter!(TRACES, Unit::Count, help);
            let help = "Spans, values and events of spans for which there was no room.";
            describe_counter!(DROPPED, Unit::Count, help);
        }
        for (result, before, now) in [
            ("kept", before.last, now.last),
            ("not_kept", before.not_kept, now.not_kept),
            ("lost", before.lost, now.lost),
            ("evicted", before.evicted, now.evicted),
        ] {
            counter!(TRACES, "result" => result).increment(now.saturating_sub(before));
        }
        for (part, before, now) in [
            ("span", before.dropped_spans, now.dropped_spans),
            ("value", before.dropped_values, now.dropped_values),
            ("event", before.dropped_events, now.dropped_events),
        ] {
            counter!(DROPPED, "part" => part).increment(now.saturating_sub(before));
        }
    });
}
