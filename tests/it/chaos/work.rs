//! Work that is no service: by itself, and in a pipeline.

use std::io;

use tokio::time::Instant;
use tower_keep::{
    BoxError, Pipeline,
    breaker::CircuitState,
    chaos::{Chaos, FaultKind, InjectedFault},
};

use super::{HOUR, SECOND, on};

async fn seven() -> io::Result<u32> {
    Ok(7)
}

#[tokio::test(start_paused = true)]
async fn work_gets_faults_while_the_chaos_is_on() {
    let chaos = Chaos::builder("work")
        .error_rate(1.0)
        .build()
        .expect("valid");
    assert_eq!(chaos.run(seven(), io::Error::other).await.expect("off"), 7);
    chaos.enable();
    let error = chaos.run(seven(), io::Error::other).await.expect_err("on");
    assert_eq!(
        error.to_string(),
        r#"fault injected by chaos "work": error"#
    );
    let late = on("work", |chaos| chaos.latency_rate(1.0));
    let begun = Instant::now();
    assert_eq!(late.run(seven(), io::Error::other).await.expect("late"), 7);
    assert_eq!((begun.elapsed(), late.delayed_count()), (SECOND, 0));
    let hanging = on("work", |chaos| chaos.hang_rate(1.0));
    let work = hanging.run(seven(), io::Error::other);
    tokio::time::timeout(HOUR, work)
        .await
        .expect_err("it hangs");
    assert_eq!(hanging.delayed_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn pipeline_gets_faults_inside_of_its_other_parts() {
    let chaos = on("work", |chaos| chaos.hang_rate(1.0));
    let pipeline = Pipeline::builder("work")
        .retry(|retry| retry.max_attempts(2).budget(None))
        .breaker(|breaker| breaker.consecutive_failures(4))
        .attempt_limit(SECOND)
        .chaos(&chaos)
        .build()
        .expect("valid");
    for _ in 0..2 {
        let error = pipeline.run(seven).await.expect_err("it hangs");
        assert!(error.elapsed().is_some(), "{error}");
    }
    let breaker = pipeline.breaker().expect("configured");
    assert_eq!(breaker.state(), CircuitState::Open);
    assert_eq!(chaos.injected_count(FaultKind::Hang), 4);
    chaos.disable();
    breaker.reset();
    assert_eq!(pipeline.run(seven).await.expect("off"), 7);
}

#[tokio::test(start_paused = true)]
async fn pipeline_makes_errors_of_known_types_out_of_faults() {
    let chaos = on("work", |chaos| chaos.error_rate(1.0));
    let pipeline = Pipeline::builder("work")
        .chaos(&chaos)
        .build()
        .expect("valid");
    let text = r#"fault injected by chaos "work": error"#;
    let io = pipeline.run(seven).await.expect_err("a fault");
    assert_eq!(io.into_inner().expect("of the work").to_string(), text);
    let boxed = pipeline.run_display(async || Ok::<u32, BoxError>(7)).await;
    let boxed = boxed
        .expect_err("a fault")
        .into_inner()
        .expect("of the work");
    assert!(boxed.is::<InjectedFault>());
    let string = pipeline.run_display(async || Ok::<u32, String>(7)).await;
    assert_eq!(
        string.expect_err("a fault").into_inner().as_deref(),
        Some(text)
    );
    #[cfg(feature = "tonic")]
    {
        let status = pipeline.run(async || Ok::<u32, tonic::Status>(7)).await;
        let status = status
            .expect_err("a fault")
            .into_inner()
            .expect("of the work");
        assert_eq!(status.code(), tonic::Code::Unavailable);
    }
}

#[tokio::test(start_paused = true)]
async fn pipeline_skips_faults_that_its_error_type_has_no_value_for() {
    let chaos = on("work", |chaos| chaos.error_rate(1.0));
    let pipeline = Pipeline::builder("work").chaos(&chaos);
    let numbers = || async { Ok::<u32, std::num::ParseIntError>(7) };
    let none = pipeline.clone().build().expect("valid");
    assert_eq!(none.run(numbers).await.expect("skipped"), 7);
    assert_eq!(
        (
            chaos.skipped_count(),
            chaos.injected_count(FaultKind::Error)
        ),
        (1, 0)
    );
    let custom = pipeline.chaos_error(|_| "x".parse::<u32>().expect_err("no number"));
    let custom = custom.build().expect("valid");
    let error = custom.run(numbers).await.expect_err("a fault");
    assert!(error.failed().is_some());
    assert_eq!(chaos.injected_count(FaultKind::Error), 1);
}
