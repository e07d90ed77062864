use std::{
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{Context, context::TraceId};

/// The attempts of one bucket per turn to find a call that is sampled; each of them looks up the current context.
const MAX_ATTEMPTS: u32 = 64;
/// The bits of a word that count attempts; above them is the turn.
const ATTEMPT_BITS: u32 = 8;

/// A value with the trace of the call that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    pub(super) value: f64,
    pub(super) trace_id: TraceId,
    /// The Unix time in seconds.
    pub(super) at: f64,
}

/// The latest exemplar of each bucket of a histogram, at most one per bucket and turn.
#[derive(Debug)]
pub(super) struct Exemplars {
    /// For each bucket the turn that was last looked at, and the attempts in it.
    words: Box<[AtomicU32]>,
    /// Allocated with the first exemplar.
    kept: OnceLock<Box<[Mutex<Option<Exemplar>>]>>,
}

impl Exemplars {
    pub(super) fn new(buckets: usize) -> Self {
        Exemplars {
            words: (0..buckets).map(|_| AtomicU32::new(0)).collect(),
            kept: OnceLock::new(),
        }
    }

    /// Takes a value as the exemplar of its bucket if the current call is sampled, and the bucket has none of this turn.
    #[inline]
    pub(super) fn offer(&self, bucket: usize, turn: u32, value: f64) {
        let full = turn << ATTEMPT_BITS | MAX_ATTEMPTS;
        let word = self.words[bucket].load(Ordering::Relaxed);
        if word != full {
            self.attempt(bucket, word, turn, value);
        }
    }

    #[cold]
    fn attempt(&self, bucket: usize, word: u32, turn: u32, value: f64) {
        let begin = turn << ATTEMPT_BITS;
        let sampled = Context::with_current(|call| {
            call.filter(|call| call.trace_flags().is_sampled())
                .map(Context::trace_id)
        });
        let next = match sampled {
            Some(trace_id) => {
                let kept = self
                    .kept
                    .get_or_init(|| self.words.iter().map(|_| Mutex::default()).collect());
                // Another thread holds the lock only while it stores or reads one: its exemplar is as good.
                if let Ok(mut kept) = kept[bucket].try_lock() {
                    *kept = Some(Exemplar {
                        value,
                        trace_id,
                        at: unix_seconds(),
                    });
                }
                begin | MAX_ATTEMPTS
            }
            None if word >> ATTEMPT_BITS == turn => word + 1,
            None => begin + 1,
        };
        // Threads that do this at once lose an attempt or have one more, which is no harm.
        self.words[bucket].store(next, Ordering::Relaxed);
    }

    /// Returns the latest exemplar of a bucket.
    pub(super) fn get(&self, bucket: usize) -> Option<Exemplar> {
        *self.kept.get()?[bucket]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.words) + self.kept.get().map_or(0, |kept| size_of_val(&**kept))
    }
}

fn unix_seconds() -> f64 {
    // A clock before 1970 is none.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exemplar_is_the_first_of_its_turn_that_is_sampled() {
        let exemplars = Exemplars::new(2);
        let before = exemplars.heap_bytes();
        exemplars.offer(0, 1, 0.5);
        assert_eq!(exemplars.get(0), None, "no call");
        assert_eq!(exemplars.heap_bytes(), before);
        let (first, second) = (Context::new_root(), Context::new_root());
        let kept = |bucket| {
            exemplars
                .get(bucket)
                .map(|kept| (kept.value, kept.trace_id))
        };
        first.run(|| exemplars.offer(0, 1, 0.25));
        assert_eq!(kept(0), Some((0.25, first.trace_id())));
        assert!(exemplars.get(0).is_some_and(|kept| kept.at > 1e9));
        assert!(exemplars.heap_bytes() > before);
        second.run(|| exemplars.offer(0, 1, 0.75));
        assert_eq!(kept(0), Some((0.25, first.trace_id())), "one per turn");
        second.run(|| exemplars.offer(1, 1, 2.0));
        assert_eq!(kept(1), Some((2.0, second.trace_id())), "of another bucket");
        second.run(|| exemplars.offer(0, 2, 0.75));
        assert_eq!(kept(0), Some((0.75, second.trace_id())), "of the next turn");
    }

    #[test]
    fn attempts_of_a_turn_are_bounded() {
        let exemplars = Exemplars::new(1);
        let call = Context::new_root();
        (0..63).for_each(|_| exemplars.offer(0, 1, 0.5));
        call.run(|| exemplars.offer(0, 1, 0.5));
        assert!(exemplars.get(0).is_some(), "the 64th");
        (0..64).for_each(|_| exemplars.offer(0, 2, 0.5));
        call.run(|| exemplars.offer(0, 2, 0.75));
        assert_eq!(
            exemplars.get(0).map(|kept| kept.value),
            Some(0.5),
            "the 65th"
        );
        call.run(|| exemplars.offer(0, 3, 0.75));
        assert_eq!(exemplars.get(0).map(|kept| kept.value), Some(0.75));
    }
}
