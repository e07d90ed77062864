//! The cost of the console: the parts of an update with 200 routes and 500 guards. One update has `status`, `guards`, `health` and
//! `errors`, and every fifth one `routes`.

use axum::{Router, body::Body};
use criterion::{Criterion, criterion_group, criterion_main};
use http::Request;
use http_body_util::BodyExt;
use tokio::runtime::Runtime;
use tower::ServiceExt;
use tower_keep::{
    CircuitBreaker,
    ops::{Access, Identity, Ops, Role},
};

const ROUTES: usize = 200;
const GUARDS: usize = 500;

/// Records five minutes of calls of all routes.
fn record(ops: &Ops) {
    let recorder = ops.recorder();
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    let end = now.expect("after 1970").as_secs();
    let routes: Vec<_> = (0..ROUTES).map(|n| format!("/orders/{n}/{{id}}")).collect();
    for second in end - 300..=end {
        metrics::with_local_recorder(recorder, || {
            for (n, route) in routes.iter().enumerate() {
                let labels = [
                    ("http_request_method", "GET".to_owned()),
                    ("http_route", route.clone()),
                ];
                let duration = metrics::histogram!("http_server_request_duration_seconds", &labels);
                for call in 0..5 {
                    duration.record(0.001 * (1 + (n * 7 + call * 13) % 400) as f64);
                }
                let calls = [
                    ("service", "orders".to_owned()),
                    ("kind", "server".to_owned()),
                    ("outcome", "success".to_owned()),
                    ("http_route", route.clone()),
                ];
                metrics::counter!("tower_keep_calls_total", &calls).increment(5);
            }
        });
        recorder.tick(second);
    }
}

async fn get(router: Router, path: &str) -> usize {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = router.oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), 200, "{path}");
    response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes()
        .len()
}

fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let ops = Ops::builder("orders").build().expect("valid");
    record(&ops);
    let guards: Vec<_> = (0..GUARDS)
        .map(|n| CircuitBreaker::new(format!("guard {n}")))
        .collect();
    guards[0].force_open();
    let access = Access::builder().by(|_| Some(Identity::new(Role::Viewer)));
    let router: Router = ops.console(access.build().expect("valid"));
    for path in ["status", "guards", "routes", "overview", "health", "errors"] {
        let path = format!("/api/v1/{path}");
        let bytes = runtime.block_on(get(router.clone(), &path));
        println!("{path}: {bytes} bytes");
        criterion.bench_function(&path, |bencher| {
            bencher.iter(|| runtime.block_on(get(router.clone(), &path)));
        });
    }
    criterion.bench_function("recorder tick", |bencher| {
        let mut second = 2_000_000_000;
        bencher.iter(|| {
            second += 1;
            ops.recorder().tick(second);
        });
    });
}

criterion_group! { name = all; config = Criterion::default().sample_size(20); targets = benches }
criterion_main!(all);
