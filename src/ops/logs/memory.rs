use std::{collections::VecDeque, sync::Arc};

use super::{page::PageFill, record::LogRecord};

/// The latest records, within bounds of number and size.
#[derive(Debug)]
pub(super) struct Memory {
    records: VecDeque<Arc<LogRecord>>,
    bytes: usize,
    max_records: usize,
    max_bytes: usize,
}

impl Memory {
    pub(super) fn new(max_records: usize, max_bytes: usize) -> Self {
        Memory {
            records: VecDeque::new(),
            bytes: 0,
            max_records,
            max_bytes,
        }
    }

    /// Adds a record; the oldest go to make room.
    pub(super) fn push(&mut self, record: Arc<LogRecord>) {
        self.bytes += record.size();
        self.records.push_back(record);
        while self.records.len() > self.max_records || self.bytes > self.max_bytes {
            let Some(oldest) = self.records.pop_front() else {
                break;
            };
            self.bytes -= oldest.size();
        }
    }

    /// Offers records to a page, the newest first.
    pub(super) fn fill(&self, page: &mut PageFill<'_>) {
        let mut records = self.records.iter().rev();
        let _ = records.all(|record| page.offer(record));
    }

    /// Returns up to `max` of the records after a number, the newest first, and how many others there are.
    pub(super) fn after(&self, id: u64, max: usize) -> (Vec<Arc<LogRecord>>, u64) {
        let begin = self.records.partition_point(|record| record.id <= id);
        let latest: Vec<_> = self
            .records
            .range(begin..)
            .rev()
            .take(max)
            .cloned()
            .collect();
        let others = self.records.len() - begin - latest.len();
        (latest, others as u64)
    }

    /// Returns the oldest record.
    pub(super) fn oldest(&self) -> Option<&LogRecord> {
        self.records.front().map(|record| &**record)
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }
}
