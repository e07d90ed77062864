//! Two hops with a retry and operations are one tree.

use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::Sampler;
use tracing_subscriber::{Layer, filter::LevelFilter};

use super::{CALLERS_SPAN, CALLERS_TRACE, Exporter, back, front, id, send, traced, traceparent};
use crate::support::{
    http1,
    logs::{Logs, logs_after, logs_before},
};

/// Asserts that two hops with a retry and operations are one tree, and that the log has its IDs.
async fn assert_one_tree(exporter: &Exporter, logs: &Logs) {
    let (back, seen) = back(1).await;
    let front = front(back).await;
    assert_eq!(send(&http1(), traced(front, "/orders/7")).await, "7");

    let spans = exporter.finished();
    for span in &spans {
        let trace = span.span_context.trace_id().to_string();
        assert_eq!(trace, CALLERS_TRACE, "{span:#?}");
    }
    let servers = exporter.of_kind(SpanKind::Server);
    let attempts = exporter.of_kind(SpanKind::Client);
    let operations = exporter.of_kind(SpanKind::Internal);
    let counts = (servers.len(), attempts.len(), operations.len());
    assert_eq!(counts, (3, 2, 2), "{spans:#?}");

    assert_eq!(servers[0].name, "GET /orders/{id}");
    assert_eq!(servers[0].parent_span_id.to_string(), CALLERS_SPAN);
    assert!(servers[0].parent_span_is_remote);
    for hop in 0..2 {
        let (attempt, server) = (&attempts[hop], &servers[hop + 1]);
        assert_eq!(attempt.parent_span_id, id(&servers[0]), "of attempt {hop}");
        assert_eq!(
            server.parent_span_id,
            id(attempt),
            "of the hop of attempt {hop}"
        );
        assert_eq!(
            operations[hop].parent_span_id,
            id(server),
            "of operation {hop}"
        );
    }
    let sent: Vec<_> = attempts.iter().map(traceparent).collect();
    assert_eq!(seen.sent(), sent);
    let handled: Vec<_> = servers[1..].iter().map(traceparent).collect();
    assert_eq!(seen.handled(), handled);

    let exported: Vec<_> = spans.iter().map(|span| id(span).to_string()).collect();
    let calls = logs.calls();
    assert_eq!(calls.len(), 5);
    for line in calls {
        assert_eq!(line.get("trace_id"), CALLERS_TRACE, "{line:#?}");
        assert!(
            exported.iter().any(|id| id == line.get("span_id")),
            "{line:#?}"
        );
    }
    for span in logs.call_spans() {
        assert!(
            exported.iter().any(|id| id == span.get("span_id")),
            "{span:#?}"
        );
    }
}

#[tokio::test]
async fn exported_spans_of_two_hops_and_a_retry_are_one_tree() {
    let exporter = Exporter::new(Sampler::AlwaysOn);
    let logs = logs_before(tracing_opentelemetry::layer().with_tracer(exporter.tracer()));
    assert_one_tree(&exporter, &logs).await;
}

#[tokio::test]
async fn exported_spans_are_one_tree_in_the_other_order_of_layers_and_with_a_filter() {
    let exporter = Exporter::new(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)));
    let layer = tracing_opentelemetry::layer().with_tracer(exporter.tracer());
    let logs = logs_after(layer.with_filter(LevelFilter::DEBUG));
    assert_one_tree(&exporter, &logs).await;
}

#[tokio::test]
async fn exported_spans_are_one_tree_without_context_activation() {
    let exporter = Exporter::new(Sampler::AlwaysOn);
    let layer = tracing_opentelemetry::layer().with_tracer(exporter.tracer());
    let logs = logs_before(layer.with_context_activation(false));
    assert_one_tree(&exporter, &logs).await;
}
