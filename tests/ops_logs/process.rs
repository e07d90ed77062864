//! The subscriber and the recorder of a process, and their end.

use tower_keep::ops::Ops;
use tracing::subscriber::with_default;
use tracing_subscriber::{layer::SubscriberExt, registry};

use super::support::*;

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

#[tokio::test(start_paused = true)]
async fn records_are_counted_by_level() {
    let kept = kept();
    kept.ops.spawn();
    kept.log(|| {
        tracing::info!("first");
        tracing::info!("second");
        tracing::error!("third");
    });
    let count = |level| {
        let all = kept.ops.recorder().metrics().snapshot();
        let of_level = all.into_iter().find(|series| {
            series.name == "tower_keep_ops_log_records_total"
                && series.labels.iter().any(|(_, value)| value == level)
        });
        of_level.map(|series| series.value.number())
    };
    while count("error").is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(
        (count("info"), count("error"), count("warn")),
        (Some(2.0), Some(1.0), None)
    );
}

#[tokio::test]
async fn layer_keeps_nothing_once_its_ops_is_gone() {
    let Kept { ops, console } = kept();
    let subscriber = registry().with(ops.layer());
    drop((ops, console));
    with_default(subscriber, || tracing::info!("nobody hears it"));
}
