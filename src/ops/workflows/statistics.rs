use std::collections::BTreeMap;

use super::{Run, RunState};
use crate::ops::series::Histogram;

/// The most workflows with statistics of their own. The others share those of one name.
const MAX_NAMES: usize = 200;
/// The name that they share.
pub(crate) const OVERFLOW: &str = "_OTHER";
/// The most steps of one workflow whose failures are counted.
const MAX_STEPS: usize = 32;

/// The ends of workflows, by name.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    names: BTreeMap<Box<str>, NameStatistics>,
}

/// The ends of the workflows of one name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NameStatistics {
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) lost: u64,
    /// The seconds that those took which came to their end, done or failed.
    pub(crate) seconds: Histogram,
    /// The number of times that each step was the one that failed.
    pub(crate) failing_steps: BTreeMap<Box<str>, u64>,
}

impl Statistics {
    /// Counts a run that has ended.
    pub(crate) fn count(&mut self, run: &Run) {
        let name = self.known(run.name.as_str());
        self.add(name);
        if let Some(statistics) = self.names.get_mut(name) {
            statistics.count(run);
        }
    }

    /// Returns the name under which a workflow is counted.
    pub(crate) fn known<'a>(&self, name: &'a str) -> &'a str {
        match self.names.len() < MAX_NAMES || self.names.contains_key(name) {
            true => name,
            false => OVERFLOW,
        }
    }

    /// Returns a copy, to look at without the lock.
    pub(crate) fn copy(&self) -> Statistics {
        let names = self.names.clone();
        Statistics { names }
    }

    /// Adds a name of which no run has ended.
    pub(crate) fn add(&mut self, name: &str) {
        if !self.names.contains_key(name) {
            self.names.insert(name.into(), NameStatistics::default());
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, &NameStatistics)> {
        self.names.iter().map(|(name, each)| (&**name, each))
    }

    /// Returns the number of runs that ended in a state.
    pub(crate) fn total(&self, state: RunState) -> u64 {
        self.names.values().map(|each| each.of(state)).sum()
    }
}

impl NameStatistics {
    fn count(&mut self, run: &Run) {
        match run.state {
            RunState::Running => return,
            RunState::Done => self.done += 1,
            RunState::Failed => self.failed += 1,
            RunState::Cancelled => self.cancelled += 1,
            RunState::Lost => self.lost += 1,
        }
        if let (RunState::Done | RunState::Failed, Some(took)) = (run.state, run.took) {
            self.seconds.record(took.as_secs_f64());
        }
        if let Some(step) = run.failed_step() {
            let is_full = self.failing_steps.len() >= MAX_STEPS;
            let name = match step.name.as_str() {
                name if is_full && !self.failing_steps.contains_key(name) => OVERFLOW,
                name => name,
            };
            *self.failing_steps.entry(name.into()).or_default() += 1;
        }
    }

    fn of(&self, state: RunState) -> u64 {
        match state {
            RunState::Running => 0,
            RunState::Done => self.done,
            RunState::Failed => self.failed,
            RunState::Cancelled => self.cancelled,
            RunState::Lost => self.lost,
        }
    }
}
