use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    buffer::TraceBuffer,
    trace_state::{Finished, TraceState},
};
use crate::context::TraceId;

/// A trace in flight, which its spans share.
#[derive(Debug)]
pub(super) struct ActiveTrace {
    /// The moment from which its times count.
    pub(super) base: Instant,
    pub(super) base_at: SystemTime,
    state: Mutex<Locked>,
}

/// The state under the lock.
#[derive(Debug)]
pub(super) struct Locked {
    pub(super) state: TraceState,
    /// The bytes that are counted for it.
    pub(super) bytes: usize,
    /// The time at which a part of it was finished.
    pub(super) finished_at: Instant,
}

/// A part of a trace that is to be kept or forgotten, with its time.
#[derive(Debug)]
pub(super) struct FinishedPart {
    pub(super) part: Finished,
    pub(super) base_at: SystemTime,
    /// The bytes that were counted for it.
    pub(super) bytes: usize,
}

impl ActiveTrace {
    pub(super) fn new(
        trace_id: TraceId,
        now: Instant,
        at: SystemTime,
        buffer: TraceBuffer,
    ) -> Arc<Self> {
        Arc::new(ActiveTrace {
            base: now,
            base_at: at,
            state: Mutex::new(Locked {
                state: TraceState::new(trace_id, buffer),
                bytes: 0,
                finished_at: now,
            }),
        })
    }

    /// Takes the lock, for a few lines.
    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, Locked> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a time as it is kept.
    #[inline]
    pub(super) fn nanos(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.base);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.base)
    }

    /// Returns what is finished, with what belongs to it.
    pub(super) fn finished(
        &self,
        locked: &mut Locked,
        part: Finished,
        now: Instant,
    ) -> FinishedPart {
        locked.finished_at = now;
        FinishedPart {
            part,
            base_at: self.base_at,
            bytes: std::mem::take(&mut locked.bytes),
        }
    }
}
