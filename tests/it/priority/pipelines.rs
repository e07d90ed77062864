//! Prioritizers as parts of pipelines.

use std::io;

use tower_keep::{
    Context, Pipeline, PipelineError,
    bulkhead::QueueOrder,
    priority::{Priority, PriorityClass},
};

use super::{SECOND, builder, class, push_back};

use PriorityClass::{Bulk, High, Low, Normal};

async fn work() -> Result<Option<Priority>, io::Error> {
    Ok(Priority::current())
}

#[tokio::test(start_paused = true)]
async fn pipeline_takes_the_priority_of_the_work_around_it() {
    let pipeline = Pipeline::builder("piped").prioritizer(|it| it.seed(7).floor(0.0));
    let pipeline = pipeline.build().expect("valid settings");
    let found = pipeline.run(work).await.expect("done");
    assert_eq!(found.map(Priority::class), Some(Normal));
    let around = Context::new_root().with_priority(Low);
    let found = around.scope(async { pipeline.run(work).await }).await;
    let found = found.expect("done");
    assert_eq!(found.map(Priority::class), Some(Low));
    let prioritizer = pipeline.prioritizer().expect("a prioritizer");
    assert_eq!(class(prioritizer, Low), (1, 0, 0));
    assert_eq!(Priority::current(), None);
}

#[tokio::test(start_paused = true)]
async fn pipeline_sheds_calls_that_its_bulkhead_has_pushed_back() {
    let pipeline = Pipeline::builder("full")
        .prioritizer(|it| it.seed(7).floor(0.0).max_shed_rate(1.0))
        .bulkhead(|bulkhead| bulkhead.limit(1).queue_order(QueueOrder::Priority))
        .build()
        .expect("valid settings");
    let slot = pipeline.bulkhead().expect("a bulkhead").try_acquire();
    let slot = slot.expect("free");
    let prioritizer = pipeline.prioritizer().expect("a prioritizer").clone();
    for _ in 0..100 {
        let error = pipeline.run(work).await.expect_err("full");
        assert!(matches!(error, PipelineError::Rejected(_)));
    }
    let (_, shed, pushed_back) = class(&prioritizer, Normal);
    assert!(shed > 50 && pushed_back >= 20, "{shed} {pushed_back}");
    drop(slot);
    tokio::time::advance(2 * SECOND).await;
    pipeline.run(work).await.expect("there is room again");
}

#[tokio::test(start_paused = true)]
async fn prioritizer_is_shared_by_pipelines() {
    let shared = builder("shared").max_shed_rate(1.0).build();
    let shared = shared.expect("valid settings");
    let [reads, writes] = ["reads", "writes"].map(|name| {
        let pipeline = Pipeline::builder(name).shared_prioritizer(&shared);
        pipeline.build().expect("valid settings")
    });
    push_back(&shared, 1_024);
    for (pipeline, class) in [(&reads, Bulk), (&writes, High)] {
        let around = Context::new_root().with_priority(class);
        let error = around.scope(async { pipeline.run(work).await }).await;
        let rejection = error.expect_err("shed");
        assert!(matches!(&rejection, PipelineError::Rejected(it) if it.guard() == "shared"));
    }
}

#[test]
fn pipeline_names_an_invalid_setting_of_its_prioritizer() {
    let pipeline = Pipeline::builder("bad")
        .prioritizer(|it| it.floor(9.0))
        .build();
    let error = pipeline.expect_err("invalid");
    assert_eq!(
        error.to_string(),
        r#"prioritizer "bad": floor is 9, must be 0 to 0.5 (a fraction)"#
    );
}
