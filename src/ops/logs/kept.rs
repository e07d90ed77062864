use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

#[cfg(feature = "ops-sqlite")]
use super::{
    file::{self, LogFileLimits},
    file_trim::trim,
    file_write::write,
    waiting::WaitingRecords,
};
use super::{
    level::LogLevel, memory::Memory, muted::muted, page::PageFill, record::LogRecord,
    shared::Shared, tail::TailChunk,
};
#[cfg(feature = "ops-sqlite")]
use crate::ops::store::WriterSignal;

/// The most records of a second that viewers are offered: what they filter takes less than a millisecond.
const MAX_TAIL: usize = 2_000;

/// The records of the log, without what reads the file.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) shared: Arc<Shared>,
    /// Held while what waits is stored, so that records keep their order. Comes before `state`.
    storing: Mutex<()>,
    state: Mutex<State>,
    #[cfg(feature = "ops-sqlite")]
    file: Option<FileSettings>,
}

#[cfg(feature = "ops-sqlite")]
#[derive(Debug)]
pub(super) struct FileSettings {
    pub(super) limits: LogFileLimits,
    /// Wakes the writer.
    pub(super) signal: WriterSignal,
}

#[derive(Debug)]
struct State {
    memory: Memory,
    /// The number of the last record.
    last: u64,
    stored: u64,
    /// The records that have not got into the file.
    not_in_file: u64,
    /// The records of each level that no metric has counted yet, and the drops that one has.
    uncounted: [u64; LogLevel::ALL.len()],
    counted_drops: u64,
    #[cfg(feature = "ops-sqlite")]
    waiting: WaitingRecords,
}

/// The records that no metric has counted yet.
#[derive(Debug)]
pub(super) struct Uncounted {
    pub(super) stored: [u64; LogLevel::ALL.len()],
    pub(super) dropped: u64,
}

impl Kept {
    /// Creates one, where `last` is the number of the last record that is in the file.
    pub(super) fn new(shared: Shared, memory: Memory, last: u64) -> Self {
        Kept {
            shared: Arc::new(shared),
            storing: Mutex::default(),
            state: Mutex::new(State {
                memory,
                last: last.max(first_number(SystemTime::now())),
                stored: 0,
                not_in_file: 0,
                uncounted: Default::default(),
                counted_drops: 0,
                #[cfg(feature = "ops-sqlite")]
                waiting: WaitingRecords::default(),
            }),
            #[cfg(feature = "ops-sqlite")]
            file: None,
        }
    }

    /// Lets records wait for a file.
    #[cfg(feature = "ops-sqlite")]
    pub(super) fn with_file(self, file: Option<FileSettings>) -> Self {
        Kept { file, ..self }
    }

    /// Stores what waits. Takes about a microsecond for each event.
    pub(super) fn store(&self) {
        muted(|| {
            let _storing = lock(&self.storing);
            let raw = self.shared.queue.take();
            if raw.is_empty() {
                return;
            }
            let first = self.state().last + 1;
            let numbered = raw.iter().zip(first..);
            let records: Vec<_> = numbered
                .map(|(raw, id)| Arc::new(LogRecord::new(id, raw)))
                .collect();
            self.add(records);
        });
    }

    fn add(&self, records: Vec<Arc<LogRecord>>) {
        let mut state = self.state();
        state.last += records.len() as u64;
        state.stored += records.len() as u64;
        for record in records {
            state.uncounted[record.level as usize - 1] += 1;
            #[cfg(feature = "ops-sqlite")]
            if self.file.is_some() {
                let lost = state.waiting.push(record.clone());
                state.not_in_file += lost;
            }
            state.memory.push(record);
        }
        #[cfg(feature = "ops-sqlite")]
        if let Some(file) = &self.file
            && state.waiting.len() >= crate::ops::store::MAX_ROWS
        {
            drop(state);
            file.signal.notify();
        }
    }

    /// Offers the records in memory to a page, the newest first.
    pub(super) fn fill_from_memory(&self, page: &mut PageFill<'_>) {
        let state = self.state();
        let oldest = state.memory.oldest().map(|record| record.at);
        page.add_kept(state.memory.len() as u64, oldest);
        state.memory.fill(page);
    }

    /// Offers the records that are not in the file yet, the newest first, and returns the number of the oldest of them.
    #[cfg(feature = "ops-sqlite")]
    pub(super) fn fill_from_waiting(&self, page: &mut PageFill<'_>) -> Option<u64> {
        let state = self.state();
        let oldest = state.waiting.oldest().map(|record| (record.id, record.at));
        page.add_kept(state.waiting.len() as u64, oldest.map(|(_, at)| at));
        let _ = state
            .waiting
            .newest_first()
            .all(|record| page.offer(record));
        oldest.map(|(id, _)| id)
    }

    /// Returns the newest records after a number, for viewers, and the number of the last record.
    pub(super) fn tail(&self, after: u64) -> (TailChunk, u64) {
        let state = self.state();
        let (records, skipped) = state.memory.after(after, MAX_TAIL);
        (TailChunk { records, skipped }, state.last)
    }

    /// Returns how many records were stored since the start, and how many were dropped, or did not get into the file.
    pub(super) fn figures(&self) -> (u64, u64) {
        let state = self.state();
        (
            state.stored,
            self.shared.queue.dropped() + state.not_in_file,
        )
    }

    /// Returns what no metric has counted yet, and is counted then.
    pub(super) fn take_uncounted(&self) -> Uncounted {
        let (_, dropped) = self.figures();
        let mut state = self.state();
        let before = state.counted_drops;
        state.counted_drops = dropped.max(before);
        Uncounted {
            stored: std::mem::take(&mut state.uncounted),
            dropped: dropped.saturating_sub(before),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[cfg(feature = "ops-sqlite")]
impl crate::ops::store::WriteSource for Kept {
    fn name(&self) -> &'static str {
        "logs"
    }

    fn migrations(&self) -> &'static [&'static str] {
        &file::MIGRATIONS
    }

    fn write(&self, transaction: &rusqlite::Transaction<'_>) -> rusqlite::Result<usize> {
        self.store();
        let batch = self.state().waiting.take(crate::ops::store::MAX_ROWS);
        let left_out = muted(|| write(transaction, &batch))?;
        self.state().not_in_file += left_out;
        Ok(batch.len())
    }

    fn finished(&self, result: Result<(), crate::ops::store::WriteError>) {
        let mut state = self.state();
        let lost = state.waiting.finish(result);
        state.not_in_file += lost;
    }

    fn trim(&self, connection: &rusqlite::Connection, now: SystemTime) -> rusqlite::Result<bool> {
        match &self.file {
            Some(settings) => trim(connection, &settings.limits, now),
            None => Ok(false),
        }
    }
}

/// Returns where the numbers of a process begin: above those of an earlier one, which had up to 65,536 records per second,
/// also where its file cannot be read now.
fn first_number(now: SystemTime) -> u64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() << 16
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
