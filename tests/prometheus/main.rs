//! Checks the recorder for Prometheus, and the list of all metrics in `docs/metrics.md`, by scrapes of a real server.
//!
//! In a process of its own, since the recorder is for the whole process.

mod documented;
mod scenario;
mod scrape;

use std::{collections::BTreeMap, sync::OnceLock};

use axum::{Router, routing::get};
use http::{Method, StatusCode};
use tower_keep::{
    observe,
    ops::recorder::{Format, Recorder},
    prometheus::Prometheus,
    track::MetricNaming,
};

use documented::Documented;
use scenario::*;
use scrape::{fetch, samples, serve};

fn prometheus() -> &'static Prometheus {
    static INSTALLED: OnceLock<Prometheus> = OnceLock::new();
    INSTALLED.get_or_init(|| tower_keep::prometheus::install().expect("the only recorder"))
}

#[tokio::test]
async fn route_responds_to_a_scrape_with_metrics_as_text() {
    let app = Router::new()
        .route("/orders/{id}", get(async || "an order"))
        .layer(observe("scraped").server())
        .route("/metrics", prometheus().route());
    let address = serve(app).await;
    let order = fetch(address, Method::GET, "/orders/7").await;
    assert_eq!(order.into_body(), "an order");

    let scrape = fetch(address, Method::GET, "/metrics").await;
    assert_eq!(scrape.status(), StatusCode::OK);
    assert_eq!(
        scrape.headers()["content-type"],
        "text/plain; version=0.0.4"
    );
    let text = scrape.into_body();
    let has = |labels: &BTreeMap<String, String>, name: &str, value: &str| {
        labels.get(name).is_some_and(|it| it == value)
    };
    let bucket = samples(&text).into_iter().any(|(name, labels)| {
        name == "http_server_request_duration_seconds_bucket"
            && has(&labels, "http_route", "/orders/{id}")
            && has(&labels, "le", "10")
    });
    assert!(bucket, "{text}");
    let calls = samples(&text).into_iter().filter(|(name, labels)| {
        name == "tower_keep_calls_total" && has(labels, "service", "scraped")
    });
    assert_eq!(calls.count(), 1, "scrapes are no calls");
    let post = fetch(address, Method::POST, "/metrics").await;
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn second_recorder_is_an_error_that_names_the_way_out() {
    prometheus();
    let error = tower_keep::prometheus::install().expect_err("installed already");
    assert!(error.is_already_installed());
    assert_eq!(
        error.to_string(),
        "prometheus: a metrics recorder is installed already; install only once and clone the handle, \
         or remove the other recorder"
    );
    let builder = tower_keep::prometheus::builder().buckets("lit_hours", &[]);
    let error = builder.install().expect_err("no bounds");
    assert_eq!(error.setting_name(), Some("buckets"));
}

#[tokio::test]
async fn metrics_in_docs_are_those_of_a_scrape() {
    let address = serve(Router::new().route("/metrics", prometheus().route())).await;
    for naming in [MetricNaming::SemConv, MetricNaming::Classic] {
        for service_label in [false, true] {
            make_calls(naming, service_label).await;
        }
    }
    call_through_real_connections().await;
    run_operations().await;
    open_circuits().await;
    fill_bulkhead().await;
    limit_rates().await;
    throttle_calls();
    shed_calls();
    coalesce_calls().await;
    cache_calls().await;
    balance_calls().await;
    check_health().await;
    export_to_nobody().await;
    notify().await;
    fall_back().await;
    inject_faults().await;
    // Only where nothing comes from a connection, which would look idle.
    tokio::time::pause();
    retry_calls().await;
    hedge_calls().await;
    exceed_limits().await;
    tokio::time::resume();
    break_hooks_and_logs().await;

    let text = fetch(address, Method::GET, "/metrics").await.into_body();
    let mut documented = Documented::read(include_str!("../../docs/metrics.md"));
    documented.split_off_recorder();
    let problems = documented.compare(&text);
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn metrics_in_docs_are_those_of_the_recorder_of_ops() {
    let mut documented = Documented::read(include_str!("../../docs/metrics.md"));
    let text = Recorder::new().render(Format::Text);
    let problems = documented.split_off_recorder().compare(&text);
    assert!(problems.is_empty(), "{problems:#?}");
}
