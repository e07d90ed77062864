use std::{
    collections::{BTreeMap, VecDeque},
    time::SystemTime,
};

use super::{Run, RunState, Statistics, WorkflowId};

/// The limits of a board.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BoardLimits {
    pub(crate) running: usize,
    pub(crate) finished: usize,
    /// Of what is finished.
    pub(crate) bytes: usize,
}

/// The workflows that run and the latest that have ended. Pure: what it holds of each is the shell's affair.
#[derive(Debug)]
pub(crate) struct Board<T> {
    bounds: BoardLimits,
    last_id: Option<WorkflowId>,
    running: BTreeMap<WorkflowId, T>,
    /// The runs that are done, and the others: neither pushes out the last half of the other.
    done: VecDeque<Finished<T>>,
    others: VecDeque<Finished<T>>,
    finished_bytes: usize,
    statistics: Statistics,
    /// Runs that are not in it, since too many ran.
    missed: u64,
}

#[derive(Debug)]
struct Finished<T> {
    id: WorkflowId,
    bytes: usize,
    value: T,
}

impl<T: Clone> Board<T> {
    pub(crate) fn new(bounds: BoardLimits) -> Self {
        Board {
            bounds,
            last_id: None,
            running: BTreeMap::new(),
            done: VecDeque::new(),
            others: VecDeque::new(),
            finished_bytes: 0,
            statistics: Statistics::default(),
            missed: 0,
        }
    }

    /// Adds a run that begins; `None` if too many run.
    pub(crate) fn begin(
        &mut self,
        at: SystemTime,
        make: impl FnOnce(WorkflowId) -> T,
    ) -> Option<T> {
        if self.running.len() >= self.bounds.running {
            self.missed += 1;
            return None;
        }
        let id = WorkflowId::after(self.last_id, at);
        self.last_id = Some(id);
        let value = make(id);
        self.running.insert(id, value.clone());
        Some(value)
    }

    /// Moves a run that has ended to those that are finished, and returns what has to go for it.
    #[must_use = "what is dropped here is not dropped under the lock"]
    pub(crate) fn end(&mut self, run: &Run) -> Vec<T> {
        let Some(value) = self.running.remove(&run.id) else {
            return Vec::new();
        };
        self.statistics.count(run);
        self.add_finished(run, value)
    }

    /// Adds a run of before the start. One that was found to be lost counts in the statistics.
    #[must_use = "what is dropped here is not dropped under the lock"]
    pub(crate) fn restore(&mut self, run: &Run, value: T, is_lost: bool) -> Vec<T> {
        if is_lost {
            self.statistics.count(run);
        }
        self.last_id = self.last_id.max(Some(run.id));
        self.add_finished(run, value)
    }

    fn add_finished(&mut self, run: &Run, value: T) -> Vec<T> {
        let bytes = run.bytes();
        self.finished_bytes += bytes;
        let list = match run.state {
            RunState::Done => &mut self.done,
            _ => &mut self.others,
        };
        list.push_back(Finished {
            id: run.id,
            bytes,
            value,
        });
        let mut evicted = Vec::new();
        while self.finished() > self.bounds.finished || self.finished_bytes > self.bounds.bytes {
            let longer = match self.done.len() >= self.others.len() {
                true => &mut self.done,
                false => &mut self.others,
            };
            let Some(oldest) = longer.pop_front() else {
                break;
            };
            self.finished_bytes -= oldest.bytes;
            evicted.push(oldest.value);
        }
        evicted
    }

    /// Returns up to `limit` of those that run, after an ID, the oldest first.
    pub(crate) fn running_after(
        &self,
        after: Option<WorkflowId>,
        limit: usize,
    ) -> Vec<(WorkflowId, T)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let later = self.running.range((from, Unbounded)).take(limit);
        later.map(|(id, value)| (*id, value.clone())).collect()
    }

    /// Returns up to `limit` of those that run, the latest first.
    pub(crate) fn running_last(&self, limit: usize) -> Vec<T> {
        self.running.values().rev().take(limit).cloned().collect()
    }

    /// Returns up to `limit` of those that ended last from each of the two lists, in no order.
    pub(crate) fn finished_last(&self, limit: usize) -> Vec<T> {
        let [done, others] = [&self.done, &self.others].map(|list| list.iter().rev().take(limit));
        done.chain(others).map(|each| each.value.clone()).collect()
    }

    pub(crate) fn find(&self, id: WorkflowId) -> Option<T> {
        let finished = || {
            let mut all = self.done.iter().rev().chain(self.others.iter().rev());
            all.find(|each| each.id == id)
                .map(|each| each.value.clone())
        };
        self.running.get(&id).cloned().or_else(finished)
    }

    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    pub(crate) fn finished(&self) -> usize {
        self.done.len() + self.others.len()
    }

    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }

    pub(crate) fn statistics(&self) -> &Statistics {
        &self.statistics
    }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
