//! The cost of workflows: one with steps, one without an `Ops`, one with a file, and the memory of those that are kept.
//!
//! `cargo bench --bench workflows --features ops`, with `ops-sqlite` for the file. Medians of many turns.

#[path = "support/allocations.rs"]
mod allocations;

use std::{
    alloc::{GlobalAlloc, Layout},
    future::ready,
    hint::black_box,
    io,
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use allocations::CountingAllocator;

use futures_util::FutureExt;
use tower_keep::{
    Context, operation,
    ops::{Ops, workflow, workflows::Workflow},
};

#[global_allocator]
static ALLOCATOR: AllThreads = AllThreads;

/// The bytes that all threads have and have not given back.
static LIVE: AtomicI64 = AtomicI64::new(0);

/// An allocator that counts what all threads have, beside what each asks for.
struct AllThreads;

// SAFETY: everything is handed on as it came.
unsafe impl GlobalAlloc for AllThreads {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, Relaxed);
        unsafe { CountingAllocator.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Relaxed);
        unsafe { CountingAllocator.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size as i64 - layout.size() as i64, Relaxed);
        unsafe { CountingAllocator.realloc(at, layout, size) }
    }
}

const TURNS: usize = 41;
const RUNS: u32 = 2_000;

/// The median time of one run.
fn median(mut run: impl FnMut()) -> Duration {
    let turn = |_| {
        let began = Instant::now();
        (0..RUNS).for_each(|_| run());
        began.elapsed() / RUNS
    };
    let mut turns: Vec<_> = (0..TURNS).map(turn).collect();
    turns.sort();
    turns[TURNS / 2]
}

fn report(what: &str, mut run: impl FnMut()) {
    let allocations = allocations::per_call(&mut run);
    let time = median(&mut run);
    println!(
        "{what:<58} {time:>10.0?}  {:>5.1} allocations, {:>6.0} bytes",
        allocations.0, allocations.1
    );
}

/// A workflow of some steps that are ready at once.
fn run(workflow: Workflow, steps: usize) {
    let work = workflow.run(|flow| async move {
        for _ in 0..steps {
            flow.step("load").run(ready(Ok::<_, io::Error>(7))).await?;
        }
        Ok::<_, io::Error>(steps)
    });
    black_box(work.now_or_never().expect("ready").expect("done"));
}

fn failing(workflow: Workflow) {
    let work = workflow.run(|flow| async move {
        let failed = ready(Err::<(), _>(io::Error::other(
            "no answer from stock after 2 s",
        )));
        flow.step("load").run(failed).await
    });
    let result = work.now_or_never().expect("ready");
    black_box(result.is_err());
}

fn costs(ops: &Ops, what: &str) {
    for steps in [0, 1, 5] {
        report(&format!("{what}, {steps} steps"), || {
            run(ops.workflow("job"), steps)
        });
    }
}

fn main() {
    let ops = Ops::builder("orders").build().expect("valid");
    report("an operation, for comparison", || {
        let work = operation("load").run(ready(Ok::<_, io::Error>(7)));
        black_box(work.now_or_never().expect("ready").expect("done"));
    });
    for steps in [0, 1, 5] {
        report(&format!("without an Ops, {steps} steps"), || {
            run(workflow("job"), steps)
        });
        Context::new_root().run(|| {
            report(
                &format!("without an Ops, in a context, {steps} steps"),
                || run(workflow("job"), steps),
            );
        });
    }
    costs(&ops, "in memory");
    report("in memory, failing in a step", || {
        failing(ops.workflow("job"))
    });
    file();
    memory();
}

#[cfg(feature = "ops-sqlite")]
fn file() {
    let path = std::env::temp_dir().join(format!("tower-keep-workflows-{}.db", std::process::id()));
    let ops = Ops::builder("orders")
        .sqlite(&*path)
        .build()
        .expect("valid");
    costs(&ops, "with a file");
    drop(ops);
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", path.display()));
    }
}

#[cfg(not(feature = "ops-sqlite"))]
fn file() {}

/// Tells what 1,000 workflows take that have ended.
fn memory() {
    for steps in [0, 1, 10] {
        let ops = Ops::builder("orders").build().expect("valid");
        run(ops.workflow("job"), 1);
        let before = allocations::live();
        for n in 0..1_000 {
            run(ops.workflow("job").attribute("order", n), steps);
        }
        let bytes = allocations::live() - before;
        println!("1,000 that have ended, {steps} steps: {bytes} bytes");
    }
    #[cfg(feature = "ops-logs")]
    with_spans_and_logs();
}

/// Tells what they take with all their spans and lines of the log, each step one.
#[cfg(feature = "ops-logs")]
fn with_spans_and_logs() {
    use tower_keep::ops::traces::TracesBuilder;
    use tracing_subscriber::layer::SubscriberExt;

    const STEPS: usize = 5;
    let keep_traces = |traces: TracesBuilder| traces.sample_rate(1.0);
    let ops = Ops::builder("orders").traces(keep_traces);
    let ops = ops.build().expect("valid");
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().expect("a runtime");
    let before = LIVE.load(Relaxed);
    let work = || {
        ops.workflow("job")
            .attribute("order", 4711)
            .run_infallible(|flow| async move {
                for n in 0..STEPS {
                    let line =
                        async { tracing::info!(order = 4711, n, "loaded a part of the order") };
                    flow.step("load").run_infallible(line).await;
                }
            })
    };
    let subscriber = tracing_subscriber::registry().with(ops.layer());
    tracing::subscriber::with_default(subscriber, || {
        runtime.block_on(async {
            ops.spawn();
            for _ in 0..1_000 {
                work().await;
            }
            // The driver stores the lines that wait.
            tokio::time::sleep(Duration::from_millis(1_500)).await;
        });
    });
    let bytes = LIVE.load(Relaxed) - before;
    println!("1,000 that have ended, {STEPS} steps, with spans and logs: {bytes} bytes in all");
}
