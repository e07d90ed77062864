//! An allocator that counts what the current thread asks for.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    static COUNTED: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    /// The bytes that the thread has and has not given back. Less than zero where others have allocated them.
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

pub struct CountingAllocator;

fn count(bytes: usize) {
    let _ = COUNTED.try_with(|counted| {
        let (calls, sum) = counted.get();
        counted.set((calls + 1, sum + bytes as u64));
    });
}

fn change_live(bytes: i64) {
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
}

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        change_live(layout.size() as i64);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        change_live(-(layout.size() as i64));
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        change_live(size as i64 - layout.size() as i64);
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Allocations and bytes per call, over many calls after a warm-up.
pub fn per_call(mut call: impl FnMut()) -> (f64, f64) {
    const CALLS: u64 = 10_000;
    (0..500).for_each(|_| call());
    let (calls, bytes) = COUNTED.get();
    (0..CALLS).for_each(|_| call());
    let (more_calls, more_bytes) = COUNTED.get();
    let each = |sum: u64| sum as f64 / CALLS as f64;
    (each(more_calls - calls), each(more_bytes - bytes))
}

/// Allocations and bytes of this thread until now.
#[allow(dead_code)] // each user takes its part
pub fn so_far() -> (u64, u64) {
    COUNTED.get()
}

/// Bytes that this thread has allocated and not given back.
#[allow(dead_code)] // each user takes its part
pub fn live() -> i64 {
    LIVE.get()
}
