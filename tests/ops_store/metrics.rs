//! The history of metrics in the file, as the API shows it, and what it takes.

use std::time::{Duration, SystemTime};

use tower_keep::ops::Ops;

use crate::support::*;

fn some_days_ago(days: u64) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs();
    (now - days * 86_400) / 3_600 * 3_600
}

fn tick(ops: &Ops, second: u64) {
    let metrics = ops.recorder().metrics();
    metrics.increment("orders_total", 7, &[("shop", "eu")]);
    metrics.record("load_seconds", 0.2, &[]);
    ops.recorder().tick(second);
}

/// Waits until the file has the minute before the last one.
async fn written(folder: &Folder, last: u64) {
    let file = open(&folder.file());
    let sql = "SELECT max(coalesce((SELECT max(minute) FROM metric_minutes), 0),
        coalesce((SELECT (max(block) + 1) * 60 - 1 FROM metric_blocks WHERE tier = 60), 0))";
    while number(&file, sql) < (last / 60) as i64 - 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn metrics_of_days_ago_are_found_after_a_restart() {
    let folder = Folder::new();
    let from = some_days_ago(3);
    let first = ops(&folder.file());
    let minutes = 2 * 24 * 60;
    for minute in 0..minutes {
        tick(&first, from + minute * 60);
        if minute % 700 == 699 {
            written(&folder, from + minute * 60).await;
        }
    }
    drop(first);
    let second = ops(&folder.file());
    tick(&second, from + minutes * 60);
    let path = "/api/v1/metrics/query?name=orders_total&agg=count&range=2d&step=1h";
    let answer = get(&second, path).await;
    assert_eq!(answer["step"], 3_600);
    let points = answer["series"][0]["points"].as_array().expect("points");
    assert_eq!(points.len(), 48);
    let hour = |at: usize| points[at][1].as_f64().expect("a number");
    // From the second hour on, since the range ends with the one that has begun.
    assert!((0..47).all(|at| hour(at) == 420.0), "{points:?}");
    assert_eq!(hour(47), 7.0);
    let path = "/api/v1/metrics/query?name=load_seconds&agg=p95&range=7d";
    let answer = get(&second, path).await;
    let points = answer["series"][0]["points"].as_array().expect("points");
    let known: Vec<_> = points
        .iter()
        .filter_map(|point| point[1].as_f64())
        .collect();
    assert_eq!(known.len(), 49);
    assert!(known.iter().all(|p95| (p95 - 0.2).abs() < 0.2 / 64.0));
}

/// Prints what a day of a series takes.
#[tokio::test]
#[ignore = "a measurement: cargo test --all-features --test ops_store bytes_of -- --ignored --nocapture"]
async fn bytes_of_a_day_of_a_series() {
    const SERIES: usize = 10;
    let folder = Folder::new();
    let from = some_days_ago(3);
    let ops = ops(&folder.file());
    let metrics = ops.recorder().metrics();
    let mut random = fastrand::Rng::with_seed(7);
    for minute in 0..24 * 60 + 1 {
        // Two ticks a minute: the points of a minute are what counts.
        for half in 0..2 {
            for n in 0..SERIES {
                let labels: &[(&str, &str)] = &[("n", &n.to_string())];
                metrics.increment("busy_total", random.u64(1..5_000), labels);
                metrics.increment("idle_total", 0, labels);
                metrics.set("steady", 12.0, labels);
                metrics.set("moving", random.f64(), labels);
                for _ in 0..50 {
                    // As durations are: most near 20 ms, some far above.
                    let value = 0.02 * (1.0 + random.f64()).powi(1 + random.i32(0..6));
                    metrics.record("busy_seconds", value, labels);
                }
            }
            ops.recorder().tick(from + minute * 60 + half * 30);
        }
        if minute % 100 == 99 {
            written(&folder, from + minute * 60).await;
        }
    }
    drop(ops);
    let file = open(&folder.file());
    for name in [
        "busy_total",
        "idle_total",
        "steady",
        "moving",
        "busy_seconds",
    ] {
        for tier in [60, 3_600] {
            let sql = format!(
                "SELECT coalesce(sum(length(points) + 12), 0) FROM metric_blocks JOIN metric_series ON number = series
                 WHERE name = '{name}' AND tier = {tier}"
            );
            let bytes = number(&file, &sql) as usize / SERIES;
            println!("{name:<14} tier {tier:>4}: {bytes:>6} bytes per series and day");
        }
    }
    let bytes = std::fs::metadata(folder.file()).expect("a file").len();
    println!(
        "the file: {bytes} bytes for {} series and a day",
        5 * SERIES
    );
}
