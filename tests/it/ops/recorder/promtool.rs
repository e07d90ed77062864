//! Prometheus' own judgment of a scrape. Needs `promtool` (Debian: `prometheus`); says so and passes without it.

use std::{
    io::{ErrorKind, Write},
    process::{Command, Stdio},
};

use tower_keep::ops::recorder::{Format, Recorder};

#[test]
fn promtool_has_no_objections() {
    let recorder = Recorder::new();
    let metrics = recorder.metrics();
    metrics::with_local_recorder(&recorder, || {
        metrics::describe_counter!("orders_total", "Orders");
        metrics::describe_gauge!("pool_bytes", metrics::Unit::Bytes, "Bytes \"in\" use\n\\");
        metrics::describe_histogram!("wait_seconds", metrics::Unit::Seconds, "Time in the queue");
    });
    metrics.increment(
        "orders_total",
        7,
        &[("shop", "a\"b\\c\nd"), ("method", "GET")],
    );
    metrics.set("pool_bytes", 1e21, &[("shop", "ä")]);
    metrics.record("wait_seconds", 0.02, &[]);
    metrics.record("wait_seconds", 1e9, &[("shop", "eu")]);
    // It reads the text format; OpenMetrics is checked against the server, by the gateway's tests.
    let text = recorder.render(Format::Text);
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("SKIPPED: no promtool; install Debian's package `prometheus`");
            return;
        }
        child => child.expect("promtool runs"),
    };
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(text.as_bytes())
        .expect("promtool reads");
    let output = child.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "{}\n{text}",
        String::from_utf8_lossy(&said)
    );
}
