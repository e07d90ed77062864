//! Logs that are kept for the console by the subscriber of a process, which is therefore one of its own: it also hears what other tests do.

#[path = "support/callsites.rs"]
mod callsites;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "ops_logs/support.rs"]
mod support;

use tower_keep::ops::Ops;

use support::Kept;

/// The subscriber of the process, to which the layer is added later.
#[tokio::test]
async fn installed_logging_passes_on_what_both_crates_log() {
    let logging = tower_keep::logging::builder().writer(std::io::sink);
    let filter = logging.install_reloadable().expect("no other subscriber");
    let kept = Kept::new(Ops::builder("orders").log_filter(filter));
    tracing::info!("before there was an ops");
    kept.ops.install().expect("no other recorder");
    tracing::info!(target: "orders::pay", "by tracing");
    log::warn!(target: "sqlx::query", "by log");
    tracing::debug!("filtered");
    let found = kept.find("").await;
    let texts: Vec<_> = found["records"]
        .as_array()
        .expect("records")
        .iter()
        .map(|record| (record["target"].as_str(), record["message"].as_str()))
        .collect();
    assert!(
        texts.contains(&(Some("orders::pay"), Some("by tracing"))),
        "{texts:?}"
    );
    assert!(
        texts.contains(&(Some("sqlx::query"), Some("by log"))),
        "{texts:?}"
    );
    assert_eq!(texts.len(), 2, "{texts:?}");
}
