use metrics::{Counter, Unit};

use super::not_hedged::NotHedged;
use crate::{
    call::{Label, catch_hook},
    util::{event_counts::EventCounts, setting_changes::SettingChanges},
};

const SENT: usize = 0;
const WON: usize = 1;
/// The first reason of [`NotHedged`]; the others follow.
const NOT_HEDGED: usize = 2;
const COUNT: usize = NOT_HEDGED + NotHedged::ALL.len();

/// Counts of hedges, for metrics and for the registry. Calls that are answered in time touch nothing here.
pub(super) struct HedgeMetrics {
    name: Label,
    counts: EventCounts<COUNT>,
}

impl HedgeMetrics {
    pub(super) fn new(name: Label) -> Self {
        HedgeMetrics {
            name,
            counts: EventCounts::new(),
        }
    }

    pub(super) fn name(&self) -> &Label {
        &self.name
    }

    /// Counts a hedge that is sent.
    pub(super) fn count_sent(&self, attempt: u32) {
        self.count(SENT);
        catch_hook(|| {
            let hedge = self.name.as_str();
            tracing::debug!(target: "tower_keep::hedge", hedge, attempt, "hedge sent");
        });
    }

    /// Counts a call whose result is that of a hedge.
    pub(super) fn count_won(&self) {
        self.count(WON);
    }

    /// Counts a call for which no hedge was sent although one was due.
    pub(super) fn count_not_hedged(&self, reason: NotHedged) {
        self.count(NOT_HEDGED + reason.index());
        catch_hook(|| {
            let (hedge, reason) = (self.name.as_str(), reason.as_str());
            tracing::debug!(target: "tower_keep::hedge", hedge, reason, "no hedge sent");
        });
    }

    /// Logs which settings were changed.
    pub(super) fn report_applied(&self, changes: &SettingChanges) {
        catch_hook(|| {
            tracing::info!(
                target: "tower_keep::hedge",
                hedge = self.name.as_str(),
                changes = &*changes.text(),
                "hedge settings applied"
            );
        });
    }

    pub(super) fn sent(&self) -> u64 {
        self.counts.get(SENT)
    }

    pub(super) fn won(&self) -> u64 {
        self.counts.get(WON)
    }

    pub(super) fn not_hedged(&self, reason: NotHedged) -> u64 {
        self.counts.get(NOT_HEDGED + reason.index())
    }

    fn count(&self, index: usize) {
        self.counts.count(index, || make_counters(&self.name));
    }
}

/// Makes the counters in the order of the counts.
fn make_counters(name: &Label) -> [Counter; COUNT] {
    // For each recorder once, with its first counter.
    describe();
    let name = || name.to_string();
    std::array::from_fn(|index| match index {
        SENT => metrics::counter!("tower_keep_hedges_total", "hedge" => name()),
        WON => metrics::counter!("tower_keep_hedges_won_total", "hedge" => name()),
        _ => metrics::counter!(
            "tower_keep_not_hedged_total",
            "hedge" => name(),
            "reason" => NotHedged::ALL[index - NOT_HEDGED].as_str(),
        ),
    })
}

fn describe() {
    metrics::describe_counter!(
        "tower_keep_hedges_total",
        Unit::Count,
        "Attempts that were sent beside the first."
    );
    metrics::describe_counter!(
        "tower_keep_hedges_won_total",
        Unit::Count,
        "Calls that succeeded by a hedge."
    );
    metrics::describe_counter!(
        "tower_keep_not_hedged_total",
        Unit::Count,
        "Hedges that were due and were not sent."
    );
}
