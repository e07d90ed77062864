//! A shared value whose references are counted by each thread for itself.

#[cfg(all(test, tower_keep_loom))]
mod loom_tests;

use std::{array, ops::Deref, sync::Arc};

use super::{
    padded::Padded,
    thread_slot::{THREAD_SLOTS, thread_slot},
};
use crate::util::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

/// A shared value, as an [`Arc`], for what is cloned or called with each request.
///
/// Threads that count references in one place wait for each other's cache line. Here each thread counts in a shard of its
/// own: a clone or a reference belongs to the shard of the thread that makes it, wherever it is dropped. Shards are kept by
/// handles and references alone, never by a thread: the value is dropped with the last of them.
///
/// A handle that another thread uses for the second time allocates shards for the threads that use it, and keeps them for
/// as long as it lives. One that is used once, such as the clone for a request that was moved to another thread, counts
/// where it was made.
pub(crate) struct ShardedArc<T> {
    own: ShardedRef<T>,
    /// The shards of other threads, by their slots.
    others: OnceLock<Box<[OnceLock<ShardedRef<T>>; THREAD_SLOTS]>>,
    /// Set once another thread has used it.
    was_elsewhere: AtomicBool,
}

/// A reference to the value of a [`ShardedArc`], for one call.
pub(crate) struct ShardedRef<T>(Arc<Shard<T>>);

/// The references of one thread, and of those that share its slot.
///
/// Padded: the count of references stands before it, in lines of its own.
#[repr(align(128))]
struct Shard<T> {
    value: Arc<Padded<T>>,
    slot: usize,
}

impl<T> ShardedArc<T> {
    pub(crate) fn new(value: T) -> Self {
        ShardedArc::of(ShardedRef::new(Arc::new(Padded(value)), thread_slot()))
    }

    #[inline]
    fn of(own: ShardedRef<T>) -> Self {
        ShardedArc {
            own,
            others: OnceLock::new(),
            was_elsewhere: AtomicBool::new(false),
        }
    }

    /// Returns a reference that the current thread counts.
    #[inline]
    pub(crate) fn reference(&self) -> ShardedRef<T> {
        let slot = thread_slot();
        if slot == self.own.0.slot {
            self.own.share()
        } else {
            self.reference_elsewhere(slot)
        }
    }

    #[inline(never)]
    fn reference_elsewhere(&self, slot: usize) -> ShardedRef<T> {
        // Read first: what every thread writes, none could keep in its cache.
        if !self.was_elsewhere.load(Ordering::Relaxed) {
            self.was_elsewhere.store(true, Ordering::Relaxed);
            return self.own.share();
        }
        let others = self
            .others
            .get_or_init(|| Box::new(array::from_fn(|_| OnceLock::new())));
        let shard = others[slot].get_or_init(|| ShardedRef::new(self.own.0.value.clone(), slot));
        shard.share()
    }
}

impl<T> ShardedRef<T> {
    fn new(value: Arc<Padded<T>>, slot: usize) -> Self {
        ShardedRef(Arc::new(Shard { value, slot }))
    }

    /// Returns another reference of the same shard.
    #[inline]
    fn share(&self) -> Self {
        ShardedRef(self.0.clone())
    }
}

impl<T> Clone for ShardedArc<T> {
    #[inline]
    fn clone(&self) -> Self {
        ShardedArc::of(self.reference())
    }
}

impl<T> Deref for ShardedArc<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.own
    }
}

impl<T> Deref for ShardedRef<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.value.0
    }
}

#[cfg(all(test, not(tower_keep_loom)))]
mod tests {
    use std::{any::Any, sync::Weak, thread};

    use super::*;

    /// Returns a handle, and what tells whether its value is still there.
    fn watched() -> (ShardedArc<Arc<()>>, Weak<()>) {
        let value = Arc::new(());
        let watch = Arc::downgrade(&value);
        (ShardedArc::new(value), watch)
    }

    /// Runs the work on a thread of another slot.
    fn elsewhere<T: Send + Sync, R: Send>(
        handle: &ShardedArc<T>,
        work: impl Fn(&ShardedArc<T>) -> R + Sync,
    ) -> R {
        loop {
            let run = || (thread_slot() != handle.own.0.slot).then(|| work(handle));
            let result = thread::scope(|scope| scope.spawn(run).join().expect("no panic"));
            if let Some(result) = result {
                return result;
            }
        }
    }

    fn is_same_shard<T>(one: &ShardedRef<T>, other: &ShardedRef<T>) -> bool {
        Arc::ptr_eq(&one.0, &other.0)
    }

    #[test]
    fn sharded_arc_counts_where_it_was_made_until_another_thread_uses_it_again() {
        let first = ShardedArc::new(7);
        assert!(is_same_shard(&first.own, &first.clone().own));
        let [once, again] = elsewhere(&first, |first| [first.reference(), first.reference()]);
        assert!(is_same_shard(&first.own, &once));
        assert!(!is_same_shard(&first.own, &again));
        assert_ne!(again.0.slot, first.own.0.slot);
        assert!(is_same_shard(&first.own, &first.reference()));
        assert_eq!((*first, *once, *again), (7, 7, 7));
    }

    #[test]
    fn sharded_arc_keeps_one_shard_for_each_slot() {
        let first = ShardedArc::new(());
        drop(elsewhere(&first, ShardedArc::reference));
        let of_thread = || (thread_slot(), first.clone());
        let clones: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4 * THREAD_SLOTS)
                .map(|_| scope.spawn(of_thread))
                .collect();
            let threads = threads.into_iter();
            threads
                .map(|thread| thread.join().expect("no panic"))
                .collect()
        });
        for (slot, clone) in &clones {
            assert_eq!(*slot, clone.own.0.slot);
            for (other_slot, other) in &clones {
                assert_eq!(is_same_shard(&clone.own, &other.own), slot == other_slot);
            }
        }
    }

    #[test]
    fn sharded_arc_drops_its_value_with_the_last_handle_or_reference() {
        for last in 0..4 {
            let (first, watch) = watched();
            drop(elsewhere(&first, ShardedArc::clone));
            let second = elsewhere(&first, ShardedArc::clone);
            let third = elsewhere(&second, ShardedArc::reference);
            let fourth = elsewhere(&second, ShardedArc::reference);
            let mut all: Vec<Box<dyn Any>> = vec![
                Box::new(first),
                Box::new(second),
                Box::new(third),
                Box::new(fourth),
            ];
            let kept = all.swap_remove(last);
            drop(all);
            assert!(watch.upgrade().is_some(), "{last}");
            drop(kept);
            assert!(watch.upgrade().is_none(), "{last}");
        }
    }

    /// A service that is replaced by its clone for each call, in a task that moves between threads, beside another handle
    /// that stays.
    #[test]
    fn sharded_arc_leaves_no_shards_of_dropped_handles_behind() {
        let (stays, _watch) = watched();
        let shards = || Arc::strong_count(&stays.own.0.value);
        let mut handle = stays.clone();
        for _ in 0..50 {
            drop(elsewhere(&handle, ShardedArc::reference));
            handle = elsewhere(&handle, ShardedArc::clone);
            assert!(shards() <= 2, "{}", shards());
        }
        drop(handle);
        assert_eq!(shards(), 1);
    }
}
