use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use rusqlite::{Connection, Statement, Transaction, params};

use super::{
    callsite::Callsite,
    file::{MIGRATIONS, TraceFileLimits},
    file_encode::{encode, encode_callsite},
    kept_trace::KeptTrace,
};
use crate::{
    context::TraceId,
    ops::store::{MAX_ROWS, WriteError, WriteSource, WriterSignal},
};

/// The most bytes of the traces that wait.
const MAX_WAITING: usize = 16 * 1_024 * 1_024;

const DELETE: &str = "DELETE FROM traces_kept WHERE trace_id = ?1";
const INSERT: &str = "INSERT OR REPLACE INTO traces_kept VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, \
    ?15, ?16, ?17, ?18, ?19)";

/// The traces that are to be in the file.
pub(super) struct TraceFile {
    limits: TraceFileLimits,
    signal: WriterSignal,
    waiting: Mutex<Waiting>,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    /// The latest of each trace, which has all of its parts.
    queue: HashMap<TraceId, Arc<KeptTrace>>,
    bytes: usize,
    /// The traces that are being written.
    batch: Vec<Arc<KeptTrace>>,
    /// The numbers that callsites have in the file.
    callsites: HashMap<Vec<u8>, u64>,
}

impl fmt::Debug for TraceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceFile").finish_non_exhaustive()
    }
}

impl Waiting {
    /// Adds a trace, unless there is no room or a later state of it.
    fn push(&mut self, trace: Arc<KeptTrace>) -> bool {
        if let Some(known) = self.queue.get(&trace.trace_id) {
            if known.seq > trace.seq {
                return true;
            }
            self.bytes -= known.bytes();
        }
        let bytes = trace.bytes();
        if self.bytes + bytes > MAX_WAITING {
            self.queue.remove(&trace.trace_id);
            return false;
        }
        self.bytes += bytes;
        self.queue.insert(trace.trace_id, trace);
        true
    }
}

impl TraceFile {
    pub(super) fn new(limits: TraceFileLimits, signal: WriterSignal) -> Self {
        TraceFile {
            limits,
            signal,
            waiting: Mutex::default(),
            dropped: AtomicU64::new(0),
        }
    }

    /// Puts a trace into the file, some time later.
    pub(super) fn put(&self, trace: Arc<KeptTrace>) {
        let mut waiting = self.lock();
        let is_kept = waiting.push(trace);
        let is_batch = waiting.queue.len() >= MAX_ROWS;
        drop(waiting);
        if !is_kept {
            self.dropped.fetch_add(1, Relaxed);
        }
        if is_batch {
            self.signal.notify();
        }
    }

    /// Returns how many traces found no room on their way to the file.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_trace(
        &self,
        transaction: &Transaction<'_>,
        (delete, insert): &mut (Statement<'_>, Statement<'_>),
        trace: &KeptTrace,
    ) -> rusqlite::Result<()> {
        let segments = encode(&trace.segments, |callsite| {
            self.callsite_id(transaction, callsite)
        })?;
        let summary = &trace.summary;
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let groups = summary.error_groups.iter();
        let groups = groups.map(|group| format!(" {group} "));
        let id = trace.trace_id.to_bytes();
        // A later state of the trace has another number.
        delete.execute(params![&id[..]])?;
        insert.execute(params![
            number(trace.seq),
            &id[..],
            number(summary.start),
            number(summary.nanos),
            &*summary.name,
            summary.route.as_deref(),
            summary.kind as i64,
            summary.outcome.map(|outcome| outcome.index() as i64),
            summary.status,
            trace.reason as i64,
            summary.correlation_id.as_deref(),
            summary.request_id.as_deref(),
            groups.collect::<String>(),
            summary.spans as i64,
            summary.errors as i64,
            summary.open as i64,
            number(summary.truncated),
            segments.len() as i64,
            segments,
        ])?;
        Ok(())
    }

    fn callsite_id(
        &self,
        transaction: &Transaction<'_>,
        callsite: &Callsite,
    ) -> rusqlite::Result<u64> {
        let packed = encode_callsite(callsite);
        if let Some(id) = self.lock().callsites.get(&packed) {
            return Ok(*id);
        }
        transaction
            .prepare("INSERT OR IGNORE INTO traces_callsites (callsite) VALUES (?1)")?
            .execute(params![packed])?;
        let id = transaction
            .prepare("SELECT id FROM traces_callsites WHERE callsite = ?1")?
            .query_row(params![packed], |row| row.get::<_, i64>(0))? as u64;
        self.lock().callsites.insert(packed, id);
        Ok(id)
    }
}

impl WriteSource for TraceFile {
    fn name(&self) -> &'static str {
        "traces"
    }

    fn migrations(&self) -> &'static [&'static str] {
        // Asked for when a file is opened, which may be another one with other numbers.
        self.lock().callsites.clear();
        &MIGRATIONS
    }

    fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<usize> {
        let batch = {
            let mut waiting = self.lock();
            let mut oldest: Vec<_> = waiting.queue.values().cloned().collect();
            oldest.sort_unstable_by_key(|trace| trace.seq);
            oldest.truncate(MAX_ROWS);
            for trace in &oldest {
                waiting.queue.remove(&trace.trace_id);
                waiting.bytes -= trace.bytes();
            }
            waiting.batch = oldest.clone();
            oldest
        };
        let mut statements = (transaction.prepare(DELETE)?, transaction.prepare(INSERT)?);
        for trace in &batch {
            self.write_trace(transaction, &mut statements, trace)?;
        }
        Ok(batch.len())
    }

    fn finished(&self, result: Result<(), WriteError>) {
        let mut waiting = self.lock();
        let batch = std::mem::take(&mut waiting.batch);
        let dropped = match result {
            Ok(()) => 0,
            Err(error) => {
                // Theirs may not be in the file either.
                waiting.callsites.clear();
                let mut lost = 0;
                for trace in batch {
                    // A later state has come meanwhile, which has all of this one.
                    let is_old = waiting.queue.contains_key(&trace.trace_id);
                    if !is_old && (error == WriteError::Never || !waiting.push(trace)) {
                        lost += 1;
                    }
                }
                lost
            }
        };
        drop(waiting);
        self.dropped.fetch_add(dropped, Relaxed);
    }

    fn trim(&self, connection: &Connection, now: SystemTime) -> rusqlite::Result<bool> {
        let since = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let end = since.saturating_sub(self.limits.keep_for).as_nanos() as i64;
        let old = "DELETE FROM traces_kept WHERE seq IN (SELECT seq FROM traces_kept ORDER BY seq LIMIT ?1) AND start < ?2";
        if connection.execute(old, params![MAX_ROWS as i64, end])? > 0 {
            return Ok(true);
        }
        let sum = "SELECT coalesce(sum(bytes), 0) FROM traces_kept";
        let bytes: i64 = connection.query_row(sum, [], |row| row.get(0))?;
        let excess = (bytes as u64).saturating_sub(self.limits.max_bytes);
        if excess == 0 {
            return Ok(false);
        }
        // So many of the oldest as take what is too much.
        let much = "DELETE FROM traces_kept WHERE seq IN (SELECT seq FROM (SELECT seq, \
            sum(bytes) OVER (ORDER BY seq) - bytes AS before FROM (SELECT seq, bytes FROM traces_kept ORDER BY seq LIMIT ?1)) WHERE before < ?2)";
        Ok(connection.execute(much, params![MAX_ROWS as i64, excess as i64])? > 0)
    }
}
