//! Changes of settings of time limits that are in use.

use std::time::Duration;

use super::{TimeLimit, TimeLimits, TimeLimitsSettings, TimeoutSettings, Timeouts};

const SECOND: Duration = Duration::from_secs(1);

fn seconds(attempt: impl Into<Option<u32>>, total: u32) -> TimeoutSettings {
    TimeoutSettings {
        attempt: attempt.into().map(|attempt| attempt * SECOND),
        total: total * SECOND,
    }
}

fn limits_of(timeouts: &Timeouts) -> (u64, u64) {
    (
        timeouts.attempt().get().as_secs(),
        timeouts.total().get().as_secs(),
    )
}

#[test]
fn timeouts_become_what_the_settings_say() {
    let timeouts = Timeouts::new("applied");
    assert_eq!(timeouts.settings(), TimeoutSettings::default());
    let handles = timeouts.clone();
    for (attempt, total, expected) in [
        (Some(2), 20, (2, 20)),
        (Some(40), 60, (40, 60)),
        (Some(3), 5, (3, 5)),
        (Some(4), 4, (4, 4)),
        (None, 60, (10, 60)),
        (None, 6, (6, 6)),
    ] {
        for _ in 0..2 {
            timeouts.apply(&seconds(attempt, total)).expect("valid");
            assert_eq!(limits_of(&handles), expected);
            assert_eq!(handles.settings(), seconds(attempt, total));
        }
    }
}

#[test]
fn timeouts_that_were_set_by_themselves_become_what_the_settings_say() {
    let timeouts = Timeouts::new("applied");
    timeouts.total().set(SECOND);
    timeouts.apply(&seconds(5, 20)).expect("valid");
    assert_eq!(limits_of(&timeouts), (5, 20));
    timeouts.total().set(100 * SECOND);
    timeouts.attempt().set(90 * SECOND);
    timeouts.apply(&seconds(5, 20)).expect("valid");
    assert_eq!(limits_of(&timeouts), (5, 20));
}

#[test]
fn invalid_timeouts_change_nothing() {
    let timeouts = Timeouts::builder("applied")
        .settings(&seconds(2, 20))
        .build();
    let timeouts = timeouts.expect("valid");
    for (invalid, field) in [(seconds(2, 1), "attempt"), (seconds(1, 0), "total")] {
        assert_eq!(
            timeouts.apply(&invalid).expect_err("invalid").field(),
            field
        );
        assert_eq!(limits_of(&timeouts), (2, 20));
        assert_eq!(timeouts.settings(), seconds(2, 20));
    }
}

#[tokio::test(start_paused = true)]
async fn call_keeps_the_time_limit_with_which_it_began() {
    let timeouts = Timeouts::builder("applied")
        .settings(&seconds(2, 20))
        .build();
    let timeouts = timeouts.expect("valid");
    let timed_out = |limit: &TimeLimit| {
        let run = limit.run(std::future::pending::<()>());
        async move { run.await.expect_err("a timeout").to_string() }
    };
    let limit = timeouts.attempt();
    let mut before = Box::pin(timed_out(&limit));
    assert!(futures_util::poll!(&mut before).is_pending());
    timeouts.apply(&seconds(1, 10)).expect("valid");
    let after = timed_out(&limit);
    assert_eq!(
        after.await,
        r#"timed out after 1s (time limit "applied.attempt")"#
    );
    assert_eq!(
        before.await,
        r#"timed out after 2s (time limit "applied.attempt")"#
    );
    assert_eq!(limit.timeout_count(), 2, "counts go on");
}

fn limits(limits: &[(&str, u32)]) -> TimeLimitsSettings {
    let limits = limits.iter();
    TimeLimitsSettings {
        limits: limits
            .map(|(name, time)| ((*name).to_owned(), *time * SECOND))
            .collect(),
    }
}

#[test]
fn time_limits_become_what_the_settings_say_or_what_they_were_built_with() {
    let table = TimeLimits::builder().set("reports", 50 * SECOND).build();
    let table = table.expect("valid");
    let times = || ["reports", "db", "unknown"].map(|name| table.get(name).get().as_secs());
    assert_eq!(times(), [50, 5, 30]);
    for _ in 0..2 {
        table
            .apply(&limits(&[("db", 2), ("otherwise", 7)]))
            .expect("valid");
        assert_eq!(times(), [50, 2, 7]);
    }
    table.get("db").set(9 * SECOND);
    table.apply(&limits(&[("reports", 600)])).expect("valid");
    assert_eq!(times(), [600, 5, 30]);
}

#[test]
fn invalid_time_limits_change_nothing() {
    let table = TimeLimits::builder().build().expect("valid");
    let names = "limits of cache, db, file, http, llm, queue, otherwise";
    for (invalid, text) in [
        (
            &[("cache", 2), ("dbs", 2)],
            format!(r#"limits is "dbs", must be {names}"#),
        ),
        (
            &[("cache", 2), ("db", 0)],
            r#"limits is 0ns for "db", must be 1ms to 600s"#.to_owned(),
        ),
        (
            &[("cache", 2), ("db", 601)],
            r#"limits is 601s for "db", must be 1ms to 600s"#.to_owned(),
        ),
    ] {
        let error = table.apply(&limits(invalid)).expect_err("invalid");
        assert_eq!(error.to_string(), format!("time limits: {text}"));
        assert_eq!(error.field(), "limits");
        assert_eq!(table.get("cache").get(), SECOND);
    }
    let long = "x".repeat(10_000);
    let error = table.apply(&limits(&[(&long, 1)])).expect_err("unknown");
    assert!(error.to_string().len() < 400, "{error}");
}

/// Threads that read the limits of attempts while both are changed see none above either total.
#[test]
fn attempt_is_within_the_total_while_both_change() {
    let timeouts = Timeouts::builder("applied")
        .settings(&seconds(2, 4))
        .build();
    let timeouts = timeouts.expect("valid");
    let reader = timeouts.clone();
    std::thread::scope(|scope| {
        let reads = scope.spawn(move || {
            for _ in 0..20_000 {
                let attempt = reader.attempt().get().as_secs();
                assert!([2, 4, 5].contains(&attempt), "{attempt}");
            }
        });
        while !reads.is_finished() {
            timeouts.apply(&seconds(5, 10)).expect("valid");
            timeouts.apply(&seconds(2, 4)).expect("valid");
        }
    });
}

#[test]
fn limit_of_the_name_otherwise_is_that_of_other_names() {
    let built = TimeLimits::builder().set("otherwise", 3 * SECOND).build();
    let built = built.expect("valid");
    assert_eq!(built.get("anything").get(), 3 * SECOND);
    let names = built.iter().filter(|limit| limit.name() == "otherwise");
    assert_eq!(names.count(), 1);
    built.apply(&limits(&[("otherwise", 7)])).expect("valid");
    assert_eq!(built.get("anything").get(), 7 * SECOND);
    built.apply(&limits(&[])).expect("valid");
    assert_eq!(built.get("anything").get(), 3 * SECOND);
}
