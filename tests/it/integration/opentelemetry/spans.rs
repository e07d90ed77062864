//! The spans of servers, clients and operations, and the IDs that calls have of them.

use axum::{Router, body::Body, routing::get as on_get};
use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry_sdk::trace::Sampler;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    Context, Track,
    context::{Correlate, TracePolicy, in_context},
    observe, operation,
    track::SpanLevel,
};
use tracing::Level;
use tracing_subscriber::{Layer, filter::LevelFilter};

use super::{
    CALLERS_SPAN, CALLERS_TRACE, Exporter, back, call_back, front, id, send, traced, traceparent,
};
use crate::support::{
    get, http1,
    logs::{logs, logs_before},
    serve, text,
};

#[tokio::test]
async fn unsampled_trace_is_sent_on_as_unsampled_under_the_ids_of_the_tracer() {
    let exporter = Exporter::new(Sampler::AlwaysOff);
    let logs = logs_before(tracing_opentelemetry::layer().with_tracer(exporter.tracer()));
    let (back, seen) = back(0).await;
    let front = front(back).await;
    assert_eq!(send(&http1(), get(front, "/orders/7")).await, "7");
    assert_eq!(exporter.finished().len(), 0);
    let trace = logs.calls()[0].get("trace_id").to_owned();
    let [sent] = &seen.sent()[..] else {
        panic!("one request")
    };
    let client = logs
        .calls()
        .into_iter()
        .find(|line| line.get("kind") == "client");
    let client = client.expect("the client's line");
    assert_eq!(*sent, format!("00-{trace}-{}-00", client.get("span_id")));
}

#[tokio::test]
async fn new_trace_has_the_ids_of_the_exported_span_on_a_server_and_a_client() {
    let exporter = Exporter::new(Sampler::AlwaysOn);
    let _logs = logs_before(tracing_opentelemetry::layer().with_tracer(exporter.tracer()));
    let (back, seen) = back(0).await;
    assert_eq!(call_back(back).await.expect("a response"), "7");
    let (client, server) = (
        exporter.only(SpanKind::Client),
        exporter.only(SpanKind::Server),
    );
    assert_eq!(seen.sent(), [traceparent(&client)]);
    assert_eq!(seen.handled(), [traceparent(&server)]);
    assert_eq!(server.parent_span_id, id(&client));
}

#[tokio::test]
async fn span_that_is_filtered_out_sends_on_the_span_around_it() {
    let exporter = Exporter::new(Sampler::AlwaysOn);
    let layer = tracing_opentelemetry::layer().with_tracer(exporter.tracer());
    let _logs = logs_before(layer.with_filter(LevelFilter::from_level(Level::INFO)));
    let (back, seen) = back(0).await;
    let app = Router::new()
        .route(
            "/",
            on_get(move || async move {
                let track = Track::builder("stock").span_level(SpanLevel::Debug);
                let client = ServiceBuilder::new()
                    .layer(observe(track.build().expect("a tracker")).client())
                    .service(http1());
                let response = client.oneshot(get(back, "/stock")).await;
                text(response.expect("a response")).await
            }),
        )
        .layer(observe("orders").server());
    assert_eq!(send(&http1(), traced(serve(app).await, "/")).await, "7");
    let servers = exporter.of_kind(SpanKind::Server);
    assert_eq!(exporter.of_kind(SpanKind::Client).len(), 0);
    assert_eq!(seen.sent(), [traceparent(&servers[0])]);
    assert_eq!(servers[1].parent_span_id, id(&servers[0]));
}

#[tokio::test]
async fn task_that_a_call_has_spawned_continues_the_span_of_the_call() {
    let exporter = Exporter::new(Sampler::AlwaysOn);
    let _logs = logs_before(tracing_opentelemetry::layer().with_tracer(exporter.tracer()));
    let (back, _) = back(0).await;
    let app = Router::new()
        .route(
            "/",
            on_get(move || async move {
                let work = in_context(operation("restock").run_display(call_back(back)));
                tokio::spawn(work)
                    .await
                    .expect("no panic")
                    .expect("a response")
            }),
        )
        .layer(observe("orders").server());
    assert_eq!(send(&http1(), traced(serve(app).await, "/")).await, "7");
    let server = exporter.of_kind(SpanKind::Server).remove(0);
    let restock = exporter.of_kind(SpanKind::Internal).remove(0);
    assert_eq!(restock.name, "restock");
    assert_eq!(restock.parent_span_id, id(&server));
    assert_eq!(exporter.only(SpanKind::Client).parent_span_id, id(&restock));
}

#[tokio::test]
async fn operations_of_a_job_are_in_one_trace() {
    let exporter = Exporter::new(Sampler::AlwaysOn);
    let _logs = logs_before(tracing_opentelemetry::layer().with_tracer(exporter.tracer()));
    let job = Context::new_root();
    for name in ["read", "write"] {
        let work = operation(name).run(async { Ok::<_, std::io::Error>(()) });
        job.scope(work).await.expect("no error");
    }
    let spans = exporter.finished();
    assert_eq!(spans.len(), 2);
    assert_eq!(job.traceparent().to_string(), traceparent(&spans[0]));
    assert_eq!(
        spans[1].span_context.trace_id(),
        spans[0].span_context.trace_id()
    );
    assert_eq!(spans[1].parent_span_id, id(&spans[0]));
}

#[tokio::test]
async fn exported_span_of_a_failure_has_the_text_of_its_error() {
    let exporter = Exporter::new(Sampler::AlwaysOn);
    let _logs = logs_before(tracing_opentelemetry::layer().with_tracer(exporter.tracer()));
    let work = async { Err::<(), _>(std::io::Error::other("the disk is full")) };
    operation("write").run(work).await.expect_err("the error");
    let fails = ServiceBuilder::new()
        .layer(observe("disk").client())
        .service(service_fn(async |_: axum::http::Request<Body>| {
            Err::<axum::http::Response<Body>, _>(std::io::Error::other("the peer is gone"))
        }));
    let sent = fails.oneshot(axum::http::Request::new(Body::empty())).await;
    sent.expect_err("the error");
    let statuses: Vec<_> = exporter
        .finished()
        .into_iter()
        .map(|span| span.status)
        .collect();
    let expected = ["the disk is full", "the peer is gone"].map(Status::error);
    assert_eq!(statuses, expected);
}

#[tokio::test]
async fn trace_that_is_left_is_linked() {
    let exporter = Exporter::new(Sampler::AlwaysOn);
    let _logs = logs_before(tracing_opentelemetry::layer().with_tracer(exporter.tracer()));
    let correlate = Correlate::builder()
        .trace_policy(TracePolicy::Restart)
        .build();
    let app = Router::new()
        .route(
            "/",
            on_get(|context: Context| async move { context.trace_id().to_string() }),
        )
        .layer(
            observe("orders")
                .correlate(correlate.expect("settings"))
                .server(),
        );
    let trace = send(&http1(), traced(serve(app).await, "/")).await;
    let server = exporter.only(SpanKind::Server);
    assert_eq!(server.span_context.trace_id().to_string(), trace);
    assert_ne!(trace, CALLERS_TRACE);
    assert_eq!(server.parent_span_id, SpanId::INVALID);
    let [link] = &server.links[..] else {
        panic!("one link: {server:#?}")
    };
    assert_eq!(link.span_context.trace_id().to_string(), CALLERS_TRACE);
    assert_eq!(link.span_context.span_id().to_string(), CALLERS_SPAN);
}

#[tokio::test]
async fn state_of_the_trace_is_sent_on() {
    let exporter = Exporter::new(Sampler::AlwaysOn);
    let _logs = logs_before(tracing_opentelemetry::layer().with_tracer(exporter.tracer()));
    let app = Router::new()
        .route(
            "/",
            on_get(|context: Context| async move {
                let state = context.tracestate();
                let vendor = state.and_then(|state| state.get("vendor"));
                vendor.unwrap_or_default().to_owned()
            }),
        )
        .layer(observe("orders").server());
    assert_eq!(send(&http1(), traced(serve(app).await, "/")).await, "1");
    assert_eq!(
        exporter
            .only(SpanKind::Server)
            .span_context
            .trace_state()
            .header(),
        "vendor=1"
    );
}

#[tokio::test]
async fn span_ids_of_a_hook_are_those_of_the_context() {
    let _logs = logs();
    let own = "00-11111111111111111111111111111111-2222222222222222-00";
    let ids = tower_keep::context::Traceparent::parse(own.as_bytes()).expect("a span");
    let track = Track::builder("orders")
        .span_ids(move |_| Some(ids))
        .build();
    let app = Router::new()
        .route(
            "/",
            on_get(|context: Context| async move { context.traceparent().to_string() }),
        )
        .layer(observe(track.expect("a tracker")).server());
    assert_eq!(send(&http1(), traced(serve(app).await, "/")).await, own);
}
