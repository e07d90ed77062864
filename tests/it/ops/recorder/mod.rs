//! The recorder as an application uses it: through the facade, by scrapes, by queries.

mod exposition;
mod history;
mod limits;
mod promtool;
mod scrape;

use metrics::with_local_recorder;
use tower_keep::ops::recorder::Recorder;

/// Records metrics of every kind, with labels and values that need care.
fn record_everything(recorder: &Recorder) {
    with_local_recorder(recorder, || {
        metrics::describe_counter!(
            "orders_total",
            metrics::Unit::Count,
            "Orders \"of\" all\nkinds \\"
        );
        metrics::describe_histogram!("wait_seconds", metrics::Unit::Seconds, "Time in the queue");
        metrics::describe_gauge!("pool_bytes", metrics::Unit::Bytes, "Bytes in use");
        for shop in ["eu", "us", "a\"b\\c\nd", "ä"] {
            metrics::counter!("orders_total", "shop" => shop, "method" => "GET").increment(7);
            metrics::histogram!("wait_seconds", "shop" => shop).record(0.02);
            metrics::histogram!("wait_seconds", "shop" => shop).record(7_000.0);
            metrics::gauge!("pool_bytes", "shop" => shop).set(1_048_576.5);
        }
        metrics::counter!("plain").increment(1);
        metrics::gauge!("temperature_celsius").set(-3.25);
        metrics::gauge!("far").set(1e300);
        metrics::histogram!("body_size_bytes").record(2_000.0);
        metrics::histogram!("anything").record(3.0);
        metrics::counter!("with.dots-and-dashes", "a.label" => "x", "le" => "1").increment(1);
    });
}
