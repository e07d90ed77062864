//! Traces in the file of the store.

use std::path::PathBuf;

use serde_json::json;
use tower_keep::ops::Ops;
use tracing::{error, info, info_span};

use crate::support::Kept;

/// A folder that is removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tower-keep-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn open(&self) -> Kept {
        let builder = Ops::builder("orders").sqlite(self.0.join("ops.db"));
        Kept::of(builder.traces(|traces| traces.sample_rate(1.0)))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn traces_are_there_after_a_restart() {
    let folder = Folder::new("restart");
    let kept = folder.open();
    kept.run(|| {
        for n in 0..10 {
            let root = info_span!("root", otel.name = format!("job {n}"), n).entered();
            info_span!("inner").in_scope(|| match n {
                3 => error!("disk full"),
                _ => info!(n, "well"),
            });
            drop(root);
        }
    });
    let before = kept.list("").await;
    let trace = kept
        .trace(before[6]["trace_id"].as_str().expect("an ID"))
        .await;
    let span = kept.span(&trace, 1).await;
    drop(kept);

    let kept = folder.open();
    assert_eq!(kept.list("").await, before);
    let again = kept.trace(trace.id()).await;
    assert_eq!(again.0, trace.0);
    assert_eq!(kept.span(&again, 1).await, span);
    for (query, found) in [
        ("?errors=1", 1),
        ("?attribute=n%3D7", 1),
        ("?q=JOB", 10),
        ("?q=job%204", 1),
        ("?min_seconds=60", 0),
    ] {
        assert_eq!(kept.list(query).await.len(), found, "{query}");
    }
    // Numbers go on, and pages have both what was before and what is new.
    kept.run(|| drop(info_span!("new")));
    let page = kept.get("traces?limit=4").await;
    let seqs = |page: &serde_json::Value| {
        let traces = page["traces"].as_array().expect("a list").clone();
        traces
            .iter()
            .map(|trace| trace["seq"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (seqs(&page), &page["next"]),
        (vec![json!(11), json!(10), json!(9), json!(8)], &json!(8))
    );
    assert_eq!(
        seqs(&kept.get("traces?limit=4&before=8").await),
        [7, 6, 5, 4]
    );
}

#[tokio::test]
async fn trace_that_was_evicted_is_found_in_the_file() {
    let folder = Folder::new("evicted");
    let builder = Ops::builder("orders").sqlite(folder.0.join("ops.db"));
    let kept = Kept::of(builder.traces(|traces| traces.sample_rate(1.0).max_bytes(65_536)));
    kept.run(|| drop(info_span!("first", shop = "eu")));
    let first = kept.only().await;
    for _ in 0..30 {
        kept.run(|| (0..10).for_each(|n| drop(info_span!("later", n, text = "x".repeat(500)))));
        kept.list("").await;
    }
    // Once it is written.
    while kept.ask(&format!("traces/{}", first.id())).await.0 != 200 {
        std::thread::yield_now();
    }
    assert_eq!(kept.trace(first.id()).await.shape(), ["0 first"]);
    assert_eq!(kept.list("?attribute=shop%3Deu").await.len(), 1);
}
