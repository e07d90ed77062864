use axum::body::Body;
use http::{
    Method, Request,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use tokio::time::sleep;
use tower::ServiceExt;
use tower_keep::ops::health::{
    Check, Health, HealthDocument, HealthFormat, Phase, READINESS, STARTUP,
};

use super::support::*;

fn works(name: &'static str) -> Check {
    Check::new(name, || async {})
}

fn fails(name: &'static str) -> Check {
    Check::new(name, || async { Err::<(), _>("refused") })
}

#[tokio::test(start_paused = true)]
async fn readiness_waits_for_critical_components_and_liveness_does_not() {
    let health = Health::builder("orders")
        .check(works("db").critical())
        .build()
        .expect("valid");
    assert_eq!(probe(&health, "/livez").await, (200, "ok".to_owned()));
    assert_eq!(
        probe(&health, "/readyz").await,
        (503, "not ready".to_owned())
    );
    assert_eq!(
        probe(&health, "/startupz").await,
        (503, "not started".to_owned())
    );
    health.spawn();
    first_runs().await;
    for path in ["/livez", "/readyz", "/startupz"] {
        let (status, headers, body) = get(&health, path).await;
        assert_eq!((status.as_u16(), &*body), (200, "ok"), "{path}");
        assert_eq!(headers[CONTENT_TYPE], "text/plain; charset=utf-8");
        assert_eq!(headers[CACHE_CONTROL], "no-store");
    }
}

#[tokio::test(start_paused = true)]
async fn failing_component_takes_readiness_down_if_critical_and_never_liveness() {
    let health = Health::builder("orders")
        .check(fails("cache"))
        .check(works("db").critical())
        .build()
        .expect("valid");
    health.spawn();
    first_runs().await;
    assert_eq!(probe(&health, "/readyz").await.0, 200);
    let health = Health::builder("orders")
        .check(fails("db").critical())
        .build()
        .expect("valid");
    health.spawn();
    first_runs().await;
    assert_eq!(
        probe(&health, "/readyz").await,
        (503, "not ready".to_owned())
    );
    assert_eq!(probe(&health, "/livez").await, (200, "ok".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn groups_decide_which_components_readiness_and_startup_depend_on() {
    let health = Health::builder("orders")
        .check(works("db").critical().group(READINESS))
        .check(fails("ledger").critical())
        .check(Check::new("warm", || async { sleep(secs(3)).await }).group(STARTUP))
        .build()
        .expect("valid");
    health.spawn();
    first_runs().await;
    assert_eq!(
        probe(&health, "/startupz").await,
        (503, "not started".to_owned())
    );
    assert_eq!(
        probe(&health, "/readyz").await,
        (503, "not ready".to_owned())
    );
    sleep(secs(3)).await;
    assert_eq!(probe(&health, "/startupz").await, (200, "ok".to_owned()));
    assert_eq!(probe(&health, "/readyz").await, (200, "ok".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn application_tells_that_it_has_started_and_whether_it_takes_requests() {
    let health = Health::builder("orders")
        .wait_for_started()
        .build()
        .expect("valid");
    health.spawn();
    assert_eq!(probe(&health, "/startupz").await.0, 503);
    assert_eq!(probe(&health, "/readyz").await.0, 503);
    health.started();
    assert_eq!(probe(&health, "/startupz").await.0, 200);
    assert_eq!(probe(&health, "/readyz").await.0, 200);
    health.set_ready(false);
    assert_eq!(probe(&health, "/readyz").await.0, 503);
    assert_eq!(probe(&health, "/startupz").await.0, 200);
    health.set_ready(true);
    assert_eq!(probe(&health, "/readyz").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn shutdown_takes_readiness_down_first_and_nothing_else() {
    let health = Health::builder("orders")
        .check(works("db").critical())
        .build()
        .expect("valid");
    health.spawn();
    first_runs().await;
    health.begin_shutdown();
    assert_eq!(
        probe(&health, "/readyz").await,
        (503, "not ready".to_owned())
    );
    assert_eq!(probe(&health, "/livez").await, (200, "ok".to_owned()));
    assert_eq!(probe(&health, "/startupz").await, (200, "ok".to_owned()));
    assert_eq!(health.snapshot().phase, Phase::ShuttingDown);
    // Neither a check nor the application takes that back.
    sleep(secs(60)).await;
    health.set_ready(true);
    health.started();
    assert_eq!(
        probe(&health, "/readyz").await,
        (503, "not ready".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn probe_excludes_components_and_lists_them_only_if_that_is_configured() {
    let build = |verbose| {
        let health = Health::builder("orders")
            .verbose_probes(verbose)
            .check(works("db").critical())
            .check(fails("ledger").critical())
            .check(works("warm").group(STARTUP))
            .build()
            .expect("valid");
        health.spawn();
        health
    };
    let (silent, verbose) = (build(false), build(true));
    first_runs().await;
    assert_eq!(probe(&silent, "/readyz?exclude=db").await.0, 503);
    assert_eq!(
        probe(&silent, "/readyz?exclude=ledger").await,
        (200, "ok".to_owned())
    );
    assert_eq!(
        probe(&silent, "/readyz?verbose").await,
        (503, "not ready".to_owned())
    );
    let lines = "[+]db ok\n[-]ledger failed: reason withheld\n[+]warm ok\nnot ready\n";
    assert_eq!(
        probe(&verbose, "/readyz?verbose").await,
        (503, lines.to_owned())
    );
    let lines = "[+]db ok\n[+]ledger excluded: ok\n[+]warm ok\nok\n";
    assert_eq!(
        probe(&verbose, "/readyz?verbose&exclude=ledger").await,
        (200, lines.to_owned())
    );
    assert_eq!(
        probe(&verbose, "/readyz").await,
        (503, "not ready".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn probes_take_get_and_head_only() {
    let health = Health::builder("orders").build().expect("valid");
    for (method, expected) in [(Method::GET, 200), (Method::HEAD, 200), (Method::POST, 405)] {
        let request = Request::builder().method(&method).uri("/livez");
        let request = request.body(Body::empty()).expect("a request");
        let response = health.probes().oneshot(request).await.expect("an answer");
        assert_eq!(response.status().as_u16(), expected, "{method}");
    }
}

/// A runtime that runs no task cannot answer either, so another one serves the probes here.
#[test]
fn liveness_goes_down_while_the_runtime_runs_no_task() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
    };
    let (watched, other) = (runtime().expect("a runtime"), runtime().expect("a runtime"));
    let _other = other.enter();
    let health = Health::builder("orders")
        .liveness_limit(secs(2))
        .build()
        .expect("valid");
    assert!(health.is_live(), "not started");
    health.spawn_on(watched.handle());
    // The other runtime's clock goes on, while nobody drives the watched one.
    other.block_on(async {
        sleep(secs(2)).await;
        assert_eq!(probe(&health, "/livez").await, (200, "ok".to_owned()));
        sleep(ms(2)).await;
        assert_eq!(
            probe(&health, "/livez").await,
            (503, "not alive".to_owned())
        );
        assert_eq!(probe(&health, "/readyz").await, (200, "ok".to_owned()));
    });
}

#[tokio::test(start_paused = true)]
async fn document_of_a_live_process_has_its_components() {
    let health = Health::builder("orders")
        .version("2.14.0")
        .check(fails("db").critical())
        .build()
        .expect("valid");
    health.spawn();
    first_runs().await;
    let document = HealthDocument::new(&health.snapshot(), HealthFormat::Text, true);
    assert_eq!(document.status, 503);
    assert_eq!(
        document.body,
        "[-]db failed: refused\norders is unhealthy\n"
    );
    let document = HealthDocument::new(&health.snapshot(), HealthFormat::HealthJson, true);
    let body: serde_json::Value = serde_json::from_str(&document.body).expect("JSON");
    assert_eq!(body["checks"]["db:responseTime"][0]["output"], "refused");
    assert_eq!(
        (&body["status"], &body["releaseId"]),
        (&"fail".into(), &"2.14.0".into())
    );
}
