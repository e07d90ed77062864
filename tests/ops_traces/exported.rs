//! Spans have the IDs under which they are exported.

use std::collections::BTreeSet;

use axum::{Router, body::Body, routing::get};
use http::{Request, Response};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{InMemorySpanExporterBuilder, SdkTracerProvider};
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{observe, ops::Ops};
use tracing::{Dispatch, Instrument, info_span};
use tracing_subscriber::layer::SubscriberExt;

use crate::support::Kept;

#[tokio::test]
async fn spans_have_the_ids_under_which_they_are_exported() {
    for is_first in [true, false] {
        let exported = InMemorySpanExporterBuilder::new().build();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exported.clone());
        let provider = provider.build();
        let tracer = provider.tracer("test");
        let ops = Ops::builder("orders")
            .traces(|traces| traces.sample_rate(1.0))
            .build();
        let ops = ops.expect("valid settings");
        let registry = tracing_subscriber::registry();
        let dispatch = match is_first {
            true => Dispatch::new({
                let otel = tracing_opentelemetry::layer().with_tracer(tracer);
                registry.with(ops.layer()).with(otel)
            }),
            false => Dispatch::new({
                let otel = tracing_opentelemetry::layer().with_tracer(tracer);
                registry.with(otel).with(ops.layer())
            }),
        };
        let kept = Kept::of_subscriber(ops, dispatch);
        let client = |_: Request<Body>| async {
            Ok::<_, std::convert::Infallible>(Response::new(Body::empty()))
        };
        let client = observe("payments").client().layer(service_fn(client));
        let handler = async move || {
            let request = Request::get("http://payments/pay").body(Body::empty());
            let call = client.oneshot(request.expect("a request"));
            call.instrument(info_span!("pay"))
                .await
                .expect("infallible");
            "an order"
        };
        let app = Router::new()
            .route("/orders/{id}", get(handler))
            .layer(observe("orders").server());
        let request = Request::get("/orders/7")
            .body(Body::empty())
            .expect("a request");
        kept.scope(async {
            let response = app.oneshot(request).await.expect("infallible");
            axum::body::to_bytes(response.into_body(), 1_000)
                .await
                .expect("a body");
        })
        .await;
        // A job, in which a client is called that knows of no call around it.
        let client = |_: Request<Body>| async {
            Ok::<_, std::convert::Infallible>(Response::new(Body::empty()))
        };
        let client = observe("payments").client().layer(service_fn(client));
        let request = Request::get("http://payments/pay").body(Body::empty());
        let job = client.oneshot(request.expect("a request"));
        kept.scope(async { job.instrument(info_span!("job")).await.expect("infallible") })
            .await;

        let ids = exported.get_finished_spans().expect("spans");
        let ids: BTreeSet<_> = ids
            .iter()
            .map(|span| {
                format!(
                    "{} {}",
                    span.span_context.trace_id(),
                    span.span_context.span_id()
                )
            })
            .collect();
        let mut found = BTreeSet::new();
        let mut shapes = Vec::new();
        for row in kept.list("").await {
            let trace = kept.trace(row["trace_id"].as_str().expect("an ID")).await;
            for at in 0..trace.len() {
                let id = trace.column("id", at).as_str().expect("an ID");
                found.insert(format!("{} {id}", trace.id()));
            }
            shapes.push(trace.shape());
        }
        assert_eq!(found, ids, "{shapes:?}");
        assert_eq!(shapes[0], ["0 job", "1 GET payments"]);
        assert_eq!(shapes[1], ["0 GET /orders/{id}", "1 pay", "2 GET payments"]);
    }
}
