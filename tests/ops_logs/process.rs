//! The recorder, and the end of an operations side.

use tracing::subscriber::with_default;
use tracing_subscriber::{layer::SubscriberExt, registry};

use super::support::*;

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
