//! An allocator that counts what the current thread asks for.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    static COUNTED: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

pub struct CountingAllocator;

fn count(bytes: usize) {
    let _ = COUNTED.try_with(|counted| {
        let (calls, sum) = counted.get();
        counted.set((calls + 1, sum + bytes as u64));
    });
}

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
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
