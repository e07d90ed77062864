use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::SystemTime,
};

use crate::ops::time::unix;

/// Returns an ID that sorts by time.
pub(super) fn message_id(at: SystemTime) -> Arc<str> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let millis = (unix(at) * 1e3) as u64;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let random = fastrand::u64(..);
    format!("msg_{millis:012x}{number:04x}{random:016x}").into()
}
