//! Rows of a block that take turns, so that a busy machine slows them alike.
#![allow(dead_code)] // each bench uses its part

use std::{convert::Infallible, hint::black_box, sync::Barrier, time::Instant};

use tower_service::Service;

use crate::{allocations, poll};

const TURNS: usize = 61;
const CALLS: u32 = 20_000;

/// Runs so many calls on each of so many threads that share what it is about; the nanoseconds that one call took.
type Run<'a> = Box<dyn Fn(u32) -> f64 + 'a>;

pub struct Row<'a> {
    name: String,
    run: Run<'a>,
    allocations: f64,
}

/// A row of one thread.
pub fn row<'a, F: FnMut() + 'a>(name: &str, make: impl Fn() -> F + 'a) -> Row<'a> {
    let (allocations, _) = allocations::per_call(make());
    let run = move |calls| {
        let mut call = make();
        let began = Instant::now();
        (0..calls).for_each(|_| call());
        began.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    Row {
        name: name.to_owned(),
        run: Box::new(run),
        allocations,
    }
}

/// The same by two threads at once.
pub fn pair<'a, F: FnMut() + 'a>(name: &str, make: impl Fn() -> F + Sync + 'a) -> Row<'a> {
    let (allocations, _) = allocations::per_call(make());
    let run = move |calls| {
        let barrier = Barrier::new(2);
        let work = || {
            let mut call = make();
            barrier.wait();
            let began = Instant::now();
            (0..calls).for_each(|_| call());
            began.elapsed().as_nanos() as f64 / f64::from(calls)
        };
        std::thread::scope(|scope| {
            let threads = [scope.spawn(work), scope.spawn(work)];
            let took = threads.map(|thread| thread.join().expect("no panic"));
            (took[0] + took[1]) / 2.0
        })
    };
    Row {
        name: name.to_owned(),
        run: Box::new(run),
        allocations,
    }
}

pub fn block(title: &str, rows: &[Row<'_>]) {
    let mut turns = vec![Vec::new(); rows.len()];
    for _ in 0..TURNS {
        for (row, turns) in rows.iter().zip(&mut turns) {
            turns.push((row.run)(CALLS));
        }
    }
    println!(
        "\n{title:<44} {:>8} {:>8} {:>8} {:>12}",
        "ns", "added", "times", "allocations"
    );
    let mut first = None;
    for (row, mut turns) in rows.iter().zip(turns) {
        turns.sort_by(f64::total_cmp);
        let ns = turns[TURNS / 2];
        let first = *first.get_or_insert(ns);
        let (name, allocations) = (&row.name, row.allocations);
        let (added, times) = (ns - first, ns / first);
        println!("{name:<44} {ns:>8.1} {added:>8.1} {times:>8.1} {allocations:>12.2}");
    }
}

pub async fn answer(n: u64) -> Result<u64, Infallible> {
    Ok(n)
}

pub fn one(service: &mut impl Service<u64, Response = u64>) {
    let _ = black_box(poll::call(service, black_box(7)).ok());
}

/// The calls of one handle, and of a clone for each call, as servers do it.
#[macro_export]
macro_rules! calls {
    ($row:ident, $name:expr, $service:expr) => {{
        let service = $service;
        $row($name, move || {
            let mut service = service.clone();
            move || $crate::rows::one(&mut service)
        })
    }};
    ($row:ident, cloned $name:expr, $service:expr) => {{
        let service = $service;
        $row($name, move || {
            let service = service.clone();
            move || $crate::rows::one(&mut service.clone())
        })
    }};
}
