//! The history of metrics over restarts, and beyond memory, at a time that the test makes.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use crate::ops::{
    Ops, StoreFile,
    core::Core,
    series::{Aggregation, Filter, Histogram, Query},
};

/// A folder of a test, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tower-keep-metrics-{}-{n}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("ops.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn start(file: &Path) -> Arc<Core> {
    start_with(StoreFile::new(file))
}

fn start_with(file: StoreFile) -> Arc<Core> {
    let ops = Ops::builder("orders").sqlite(file).build().expect("valid");
    ops.into_core()
}

/// Returns a time some days ago at which an hour begins, so that nothing is too old for the file.
fn some_days_ago(days: u64) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs();
    (now - days * 86_400) / 3_600 * 3_600
}

/// Records an order, and a duration, and ticks.
fn tick(core: &Core, second: u64, shop: &str, orders: u64, load: f64) {
    let metrics = core.recorder.metrics();
    metrics.increment("orders_total", orders, &[("shop", shop)]);
    metrics.record("load_seconds", load, &[("shop", shop)]);
    metrics.set("queue_depth", orders as f64, &[]);
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
    core.tick(at, tokio::time::Instant::now());
}

fn orders(range: u64, step: u64) -> Query {
    Query::new("orders_total")
        .range(Duration::from_secs(range))
        .step(Duration::from_secs(step))
        .aggregate(Aggregation::Count)
}

fn numbers(core: &Core, query: &Query) -> Vec<Option<f64>> {
    let result = core.query(query).expect("a valid query");
    assert!(!result.truncated);
    let lines = result.series;
    assert_eq!(lines.len(), 1);
    lines[0].points.iter().map(|(_, number)| *number).collect()
}

/// Waits until the file has all minutes before the last one, and all hours before are packed.
fn written(core: &Core) {
    let (_, last) = core.recorder.ticked().expect("ticked");
    let (minute, hour) = ((last / 60) as i64, (last / 3_600) as i64);
    let end = Instant::now() + Duration::from_secs(60);
    let sql = "SELECT coalesce((SELECT max(minute) FROM metric_minutes), 0) >= ?1 - 1
        AND coalesce((SELECT min(minute) FROM metric_minutes), 0) >= ?2 * 60
        OR ?1 = ?2 * 60 AND NOT EXISTS (SELECT 1 FROM metric_minutes)
        AND EXISTS (SELECT 1 FROM metric_blocks WHERE block = ?2 - 1 AND tier = 60)";
    loop {
        let read = core
            .store
            .read(|file| file.query_row(sql, (minute, hour), |row| row.get(0)));
        if read.unwrap_or(false) {
            return;
        }
        assert!(Instant::now() < end, "it was never written");
        std::thread::yield_now();
    }
}

#[test]
fn history_goes_on_after_a_restart_without_a_gap_or_a_double_count() {
    let folder = Folder::new();
    let from = some_days_ago(1);
    let first = start(&folder.file());
    // 70 minutes and 20 s: one hour is packed, ten minutes are rows, and one minute has begun.
    for second in from..from + 4_220 {
        tick(&first, second, "eu", 1, 0.1);
    }
    assert_eq!(numbers(&first, &orders(3_600, 60)).len(), 60);
    first.flush();
    drop(first);
    let second = start(&folder.file());
    for n in from + 4_230..from + 4_290 {
        tick(&second, n, "eu", 2, 0.4);
    }
    // By minute: whole ones of the first process, the one of the restart, and the one that has begun.
    let minutes = numbers(&second, &orders(600, 60));
    let expected = [[60.0; 8].as_slice(), &[20.0 + 2.0 * 30.0, 2.0 * 30.0]].concat();
    assert_eq!(
        minutes.iter().flatten().copied().collect::<Vec<_>>(),
        expected
    );
    let all = numbers(&second, &orders(7_200, 7_200));
    assert_eq!(all, [Some(4_220.0 + 120.0)]);
    // In memory as well, where charts look.
    let in_memory = second.recorder.query(&orders(86_400, 60)).expect("valid");
    let sum: f64 = in_memory.series[0]
        .points
        .iter()
        .filter_map(|(_, number)| *number)
        .sum();
    assert_eq!(sum, 4_220.0 + 120.0);
    let day = Duration::from_secs(86_400);
    assert_eq!(second.recorder.covered_of(day).as_secs(), 4_290);
    assert_eq!(second.recorder.covered_of(day / 24).as_secs(), 60);
    // And after one more.
    drop(second);
    let third = start(&folder.file());
    tick(&third, from + 4_300, "eu", 5, 0.1);
    assert_eq!(numbers(&third, &orders(7_200, 7_200)), [Some(4_345.0)]);
    let quantile = Query::new("load_seconds").range(Duration::from_secs(7_200));
    let quantile = quantile.step(Duration::from_secs(7_200));
    let mut expected = Histogram::new();
    (0..4_221).for_each(|_| expected.record(0.1));
    (0..60).for_each(|_| expected.record(0.4));
    for q in [0.5, 0.99] {
        let query = quantile.clone().aggregate(Aggregation::Quantile(q));
        assert_eq!(numbers(&third, &query), [expected.quantile(q)]);
    }
}

#[test]
fn series_that_is_not_seen_again_is_still_found() {
    let folder = Folder::new();
    let from = some_days_ago(1);
    let first = start(&folder.file());
    (0..200).for_each(|n| tick(&first, from + n, "eu", 1, 0.1));
    first.flush();
    drop(first);
    let second = start(&folder.file());
    (200..300).for_each(|n| tick(&second, from + n, "us", 1, 0.1));
    let query = orders(3_600, 3_600).by(["shop"]);
    let result = second.query(&query).expect("valid");
    let lines = result
        .series
        .into_iter()
        .map(|line| (line.labels[0].1.clone(), line.points[0].1));
    let expected = [
        ("eu".to_owned(), Some(200.0)),
        ("us".to_owned(), Some(100.0)),
    ];
    assert_eq!(lines.collect::<Vec<_>>(), expected);
    let of_eu = query.filter(Filter::is("shop", "eu"));
    assert_eq!(numbers(&second, &of_eu), [Some(200.0)]);
}

#[test]
fn query_reaches_beyond_memory_and_merges_histograms() {
    let folder = Folder::new();
    let from = some_days_ago(5);
    let core = start(&folder.file());
    let mut all = Histogram::new();
    let minutes = 3 * 24 * 60 + 30;
    for minute in 0..minutes {
        let load = if minute % 10 == 9 { 2.0 } else { 0.01 };
        all.record(load);
        tick(&core, from + minute * 60, "eu", 3, load);
        if minute % 600 == 599 {
            written(&core);
        }
    }
    let range = minutes * 60;
    let hours = numbers(&core, &orders(range, 3_600));
    assert_eq!(hours.len(), 73);
    let known: Vec<_> = hours.iter().flatten().copied().collect();
    assert_eq!(known[..72], [180.0; 72]);
    assert_eq!(known[72], 90.0);
    let minutes_of_days = numbers(&core, &orders(range, 600));
    let sum: f64 = minutes_of_days.iter().flatten().sum();
    assert_eq!(sum, 3.0 * minutes as f64);
    for q in [0.5, 0.95] {
        let query = Query::new("load_seconds").range(Duration::from_secs(range));
        let query = query
            .step(Duration::from_secs(range))
            .aggregate(Aggregation::Quantile(q));
        assert_eq!(numbers(&core, &query), [all.quantile(q)], "{q}");
    }
    // An average of percentiles would be something in between.
    let gauge = Query::new("queue_depth").range(Duration::from_secs(range));
    let gauge = gauge.step(Duration::from_secs(range));
    assert_eq!(
        numbers(&core, &gauge.aggregate(Aggregation::Max)),
        [Some(3.0)]
    );
}

#[test]
fn history_in_the_file_is_bounded_by_age_and_bytes() {
    let folder = Folder::new();
    // Older than what is kept of minutes.
    let from = some_days_ago(9);
    let core = start(&folder.file());
    for minute in 0..300 {
        tick(&core, from + minute * 60, "eu", 3, 0.1);
    }
    written(&core);
    let count = |core: &Core, tier: i64| {
        let sql = "SELECT count(*) FROM metric_blocks WHERE tier = ?1";
        let read = core
            .store
            .read(|file| file.query_row(sql, [tier], |row| row.get::<_, i64>(0)));
        read.unwrap_or(-1)
    };
    assert!(count(&core, 60) > 0 && count(&core, 3_600) > 0);
    let now = SystemTime::now();
    let trim = |core: &Core| {
        let source = &core.metric_history().expect("a file").source;
        let path = folder.file();
        let file = rusqlite::Connection::open(path).expect("opened");
        file.busy_timeout(Duration::from_secs(9)).expect("set");
        while crate::ops::store::WriteSource::trim(&**source, &file, now).expect("trimmed") {}
    };
    trim(&core);
    assert_eq!(count(&core, 60), 0);
    let hours = count(&core, 3_600);
    assert!(hours > 0);
    drop(core);
    let small = start_with(StoreFile::new(folder.file()).max_metric_bytes(1 << 20));
    let fill = "INSERT INTO metric_sizes VALUES (60, 1, 2000000)";
    let file = rusqlite::Connection::open(folder.file()).expect("opened");
    file.execute_batch(fill).expect("filled");
    trim(&small);
    let sizes = "SELECT count(*) FROM metric_sizes WHERE tier = 60";
    let left: i64 = file.query_row(sizes, [], |row| row.get(0)).expect("read");
    assert_eq!((left, count(&small, 3_600)), (0, hours));
}
