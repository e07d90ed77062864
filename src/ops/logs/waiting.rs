use std::{collections::VecDeque, sync::Arc};

use super::record::LogRecord;
use crate::ops::store::WriteError;

/// The most records that wait for the file, and the most bytes in them: those of some seconds at full load.
const MAX_WAITING: usize = 100_000;
const MAX_WAITING_BYTES: usize = 32 * 1_024 * 1_024;

/// The records that are not in the file yet, oldest first.
#[derive(Debug, Default)]
pub(super) struct WaitingRecords {
    /// The records that are being written.
    batch: Vec<Arc<LogRecord>>,
    queue: VecDeque<Arc<LogRecord>>,
    /// The bytes of those in the queue.
    bytes: usize,
}

impl WaitingRecords {
    /// Adds a record, and returns how many go to make room.
    pub(super) fn push(&mut self, record: Arc<LogRecord>) -> u64 {
        self.bytes += record.size();
        self.queue.push_back(record);
        self.shrink()
    }

    fn shrink(&mut self) -> u64 {
        let mut dropped = 0;
        while self.queue.len() > MAX_WAITING || self.bytes > MAX_WAITING_BYTES {
            let Some(oldest) = self.queue.pop_front() else {
                break;
            };
            self.bytes -= oldest.size();
            dropped += 1;
        }
        dropped
    }

    /// Takes a batch of at most so many, which is to be written.
    pub(super) fn take(&mut self, max: usize) -> Vec<Arc<LogRecord>> {
        let taken = self.queue.drain(..self.queue.len().min(max));
        self.batch = taken.collect();
        self.bytes -= size(&self.batch);
        self.batch.clone()
    }

    /// Learns what became of the batch, and returns how many records are lost.
    pub(super) fn finish(&mut self, result: Result<(), WriteError>) -> u64 {
        let batch = std::mem::take(&mut self.batch);
        match result {
            Ok(()) => 0,
            Err(WriteError::Never) => batch.len() as u64,
            Err(WriteError::Later) => {
                self.bytes += size(&batch);
                batch
                    .into_iter()
                    .rev()
                    .for_each(|record| self.queue.push_front(record));
                self.shrink()
            }
        }
    }

    /// Returns all, the newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Arc<LogRecord>> {
        self.queue.iter().rev().chain(self.batch.iter().rev())
    }

    /// Returns the oldest record.
    pub(super) fn oldest(&self) -> Option<&Arc<LogRecord>> {
        self.batch.first().or(self.queue.front())
    }

    pub(super) fn len(&self) -> usize {
        self.batch.len() + self.queue.len()
    }
}

fn size(records: &[Arc<LogRecord>]) -> usize {
    records.iter().map(|record| record.size()).sum()
}
