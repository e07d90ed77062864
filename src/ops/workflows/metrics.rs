use metrics::{Unit, counter, describe_counter, with_local_recorder};

use crate::ops::recorder::Recorder;

const LOST: &str = "tower_keep_workflows_lost_total";
const DROPPED: &str = "tower_keep_ops_workflows_dropped_total";

/// Counts a workflow that was found to be lost.
pub(super) fn count_lost(recorder: &Recorder, workflow: &str) {
    with_local_recorder(recorder, || {
        let help =
            "Workflows that were found to be lost, since their process ended while they ran.";
        describe_counter!(LOST, Unit::Count, help);
        counter!(LOST, "workflow" => workflow.to_owned()).increment(1);
    });
}

/// Counts what is not recorded.
pub(super) fn count_dropped(recorder: &Recorder, part: &'static str, more: u64) {
    with_local_recorder(recorder, || {
        let help = "Parts of workflows that are not recorded, since there were too many.";
        describe_counter!(DROPPED, Unit::Count, help);
        counter!(DROPPED, "part" => part).increment(more);
    });
}
