use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::Extensions;

use crate::protocol::Side;

/// The value of a counter whose body is not counted, since there is no [`RequestBodyLayer`](super::RequestBodyLayer).
const UNCOUNTED: u64 = u64::MAX;

/// A shared counter of the bytes of a request body that have been read.
#[derive(Clone, Debug)]
pub(super) struct ByteCounter(Arc<AtomicU64>);

impl ByteCounter {
    /// Returns the number of bytes, if they are counted.
    pub(super) fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&bytes| bytes != UNCOUNTED)
    }

    pub(super) fn add(&self, bytes: u64) {
        // Relaxed: only a number is read, and nothing is ordered by it.
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A request extension with the byte counter of the body, for all trackers of the call.
#[derive(Clone, Debug)]
pub(super) struct RequestByteCount {
    counter: ByteCounter,
    /// The side of the trackers: a proxy may pass the extensions of a server's request on to its client.
    side: Side,
    /// A layer counts the body already.
    is_counted: bool,
}

impl RequestByteCount {
    /// Returns the counter of an outer tracker, or inserts one.
    pub(super) fn get_or_insert(extensions: &mut Extensions, side: Side) -> ByteCounter {
        let found = extensions.get::<RequestByteCount>();
        if let Some(found) = found.filter(|found| found.side == side) {
            return found.counter.clone();
        }
        let counter = ByteCounter(Arc::new(AtomicU64::new(UNCOUNTED)));
        extensions.insert(RequestByteCount {
            counter: counter.clone(),
            side,
            is_counted: false,
        });
        counter
    }

    /// Returns the counter for a layer that counts the body; `None` if another layer counts it already.
    pub(super) fn start_counting(extensions: &mut Extensions) -> Option<ByteCounter> {
        let count = extensions.get_mut::<RequestByteCount>()?;
        // The outermost layer counts: one inside of it would count the same frames again.
        if std::mem::replace(&mut count.is_counted, true) {
            return None;
        }
        // Begins at 0 again: an earlier attempt may have been counted.
        count.counter.0.store(0, Ordering::Relaxed);
        Some(count.counter.clone())
    }
}
