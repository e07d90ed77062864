//! Spans, metrics and records as a collector gets them.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use opentelemetry_proto::tonic::{
    common::v1::{KeyValue, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::{Metric, metric::Data, number_data_point},
    trace::v1::Span,
};
use tower::{ServiceBuilder, ServiceExt};
use tower_keep::{
    Context, observe,
    ops::{otlp::Signal, recorder::Recorder},
};

use super::{LIMIT, builder, collector::Export, collectors, on_each_runtime, only, subscribe};

fn text(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(is)) => is.to_string(),
        other => format!("{other:?}"),
    };
    let attributes = attributes.iter().map(|KeyValue { key, value, .. }| {
        let value = value.clone().and_then(|value| value.value);
        (key.clone(), text(value))
    });
    attributes.collect()
}

#[derive(Default)]
struct Everything {
    resources: Vec<BTreeMap<String, String>>,
    spans: Vec<Span>,
    logs: Vec<(String, LogRecord)>,
    metrics: BTreeMap<String, Metric>,
}

fn everything(exports: Vec<Export>) -> Everything {
    let mut all = Everything::default();
    for export in exports {
        match export {
            Export::Traces(request) => {
                for resource in request.resource_spans {
                    let attributes = resource.resource.unwrap_or_default().attributes;
                    all.resources.push(text(&attributes));
                    let scopes = resource.scope_spans.into_iter();
                    all.spans.extend(scopes.flat_map(|scope| scope.spans));
                }
            }
            Export::Metrics(request) => {
                for resource in request.resource_metrics {
                    let attributes = resource.resource.unwrap_or_default().attributes;
                    all.resources.push(text(&attributes));
                    let scopes = resource.scope_metrics.into_iter();
                    let metrics = scopes.flat_map(|scope| scope.metrics);
                    all.metrics
                        .extend(metrics.map(|metric| (metric.name.clone(), metric)));
                }
            }
            Export::Logs(request) => {
                for resource in request.resource_logs {
                    let attributes = resource.resource.unwrap_or_default().attributes;
                    all.resources.push(text(&attributes));
                    for scope in resource.scope_logs {
                        let target = scope.scope.unwrap_or_default().name;
                        let records = scope.log_records.into_iter();
                        all.logs
                            .extend(records.map(|record| (target.clone(), record)));
                    }
                }
            }
        }
    }
    all
}

/// Calls a service that logs an event, and returns the context of the call.
async fn served_call() -> Context {
    let service = ServiceBuilder::new()
        .layer(observe("orders").server())
        .service_fn(async |_: Request<Empty<Bytes>>| {
            tracing::warn!(items = 2_u64, paid = true, shop = "eu", "an order");
            let mut response = Response::new(Empty::<Bytes>::new());
            let call = Context::current().expect("a call has a context");
            response.extensions_mut().insert(Called(call));
            Ok::<_, Infallible>(response)
        });
    let response = service.oneshot(Request::new(Empty::new())).await;
    let response = response.expect("it cannot fail");
    let Called(call) = response.extensions().get().expect("a call has a context");
    call.clone()
}

#[derive(Clone)]
struct Called(Context);

#[test]
fn collector_gets_all_signals_with_the_ids_of_their_call() {
    on_each_runtime(async || {
        for (protocol, mut collector) in collectors(&[]) {
            let recorder = Recorder::new();
            recorder
                .metrics()
                .increment("orders_total", 3, &[("shop", "eu")]);
            let otlp = builder()
                .attribute("team", "shop")
                .endpoint(collector.endpoint())
                .protocol(protocol)
                .recorder(recorder)
                .build()
                .expect("the settings are valid");
            let scope = subscribe(&otlp);
            let call = served_call().await;
            drop(scope);
            otlp.shutdown(LIMIT).await.expect("the collector takes all");

            let exports = collector
                .so_far()
                .into_iter()
                .map(|received| received.export);
            let all = everything(exports.collect());
            for resource in &all.resources {
                assert_eq!(resource["service.name"], "orders");
                assert_eq!(resource["team"], "shop");
                assert_eq!(resource["telemetry.sdk.language"], "rust");
            }
            assert_eq!(all.resources.len(), 3, "one request each");

            let [span] = &all.spans[..] else {
                panic!("one span: {:?}", all.spans)
            };
            assert_eq!(span.trace_id, call.trace_id().to_bytes());
            assert_eq!(span.span_id, call.traceparent().parent_id.to_bytes());
            assert!(span.end_time_unix_nano >= span.start_time_unix_nano);

            let [(target, log), (access, line)] = &all.logs[..] else {
                panic!("the event and the access log: {:?}", all.logs)
            };
            assert_eq!(
                (&**target, &**access),
                ("ops_otlp::content", "tower_keep::access")
            );
            let names: BTreeSet<_> = line.attributes.iter().map(|field| &field.key).collect();
            assert_eq!(names.len(), line.attributes.len(), "each attribute once");
            assert_eq!(
                (&log.trace_id, &log.span_id),
                (&span.trace_id, &span.span_id)
            );
            assert_eq!((log.severity_number, &*log.severity_text), (13, "WARN"));
            let attributes = text(&log.attributes);
            assert_eq!(attributes["items"], "2");
            assert_eq!(attributes["paid"], "true");
            assert_eq!(attributes["shop"], "eu");
            assert_eq!(attributes["request_id"], call.request_id());
            let body = log.body.clone().and_then(|body| body.value);
            assert_eq!(body, Some(Value::StringValue("an order".to_owned())));

            let Some(Data::Sum(orders)) = &all.metrics["orders"].data else {
                panic!("a sum: {:?}", all.metrics["orders"])
            };
            assert!(orders.is_monotonic);
            let point = &orders.data_points[0];
            assert_eq!(point.value, Some(number_data_point::Value::AsInt(3)));
            assert_eq!(text(&point.attributes)["shop"], "eu");
            assert!(point.start_time_unix_nano < point.time_unix_nano);
        }
    });
}

#[tokio::test]
async fn metrics_have_the_names_of_the_semantic_conventions_and_exact_buckets() {
    let [(protocol, mut collector), _] = collectors(&[]);
    let recorder = Recorder::builder()
        .buckets("http_server_request_duration_seconds", &[0.1, 1.0])
        .build()
        .expect("the settings are valid");
    let call = Context::new_root();
    metrics::with_local_recorder(&recorder, || {
        let labels = [
            ("http_request_method", "GET"),
            ("http_response_status_code", "200"),
        ];
        let duration = metrics::histogram!("http_server_request_duration_seconds", &labels);
        for seconds in [0.05, 0.1, 0.5, 2.0, 4.0] {
            duration.record(seconds);
        }
        call.run(|| duration.record(0.7));
        metrics::gauge!("http_server_active_requests").set(4.0);
        metrics::gauge!("queue_length").set(f64::NAN);
    });
    let builder = builder().endpoint(collector.endpoint()).protocol(protocol);
    let builder = only(Signal::Metrics, builder).recorder(recorder);
    let otlp = builder.build().expect("the settings are valid");
    otlp.flush(LIMIT).await.expect("the collector takes all");
    let all = everything(vec![collector.next().await.export]);

    let duration = &all.metrics["http.server.request.duration"];
    assert_eq!(duration.unit, "s");
    let Some(Data::Histogram(histogram)) = &duration.data else {
        panic!("a histogram: {duration:?}")
    };
    assert_eq!(histogram.aggregation_temporality, 2, "cumulative");
    let point = &histogram.data_points[0];
    assert_eq!(point.explicit_bounds, [0.1, 1.0]);
    assert_eq!(point.bucket_counts, [2, 2, 2]);
    assert_eq!(point.count, 6);
    assert!(point.sum.is_some_and(|sum| (sum - 7.35).abs() < 1e-9));
    let attributes = text(&point.attributes);
    assert_eq!(attributes["http.request.method"], "GET");
    assert_eq!(attributes["http.response.status_code"], "200");
    assert_eq!(point.exemplars[0].trace_id, call.trace_id().to_bytes());

    let Some(Data::Sum(active)) = &all.metrics["http.server.active_requests"].data else {
        panic!("calls in flight are a sum that goes up and down")
    };
    assert!(!active.is_monotonic);
    assert!(matches!(
        all.metrics["queue_length"].data,
        Some(Data::Gauge(_))
    ));
}

#[tokio::test]
async fn metrics_of_many_series_come_in_several_requests() {
    let [_, (protocol, mut collector)] = collectors(&[]);
    let recorder = Recorder::new();
    for number in 0..1_500 {
        let shop = number.to_string();
        recorder
            .metrics()
            .increment("orders_total", 1, &[("shop", &shop)]);
    }
    let builder = builder().endpoint(collector.endpoint()).protocol(protocol);
    let otlp = only(Signal::Metrics, builder).recorder(recorder).build();
    let otlp = otlp.expect("the settings are valid");
    otlp.flush(LIMIT).await.expect("the collector takes all");
    let exports: Vec<_> = collector
        .so_far()
        .into_iter()
        .map(|received| received.export)
        .collect();
    assert_eq!(exports.len(), 2);
    let points = exports.into_iter().flat_map(|export| {
        let all = everything(vec![export]);
        let Some(Data::Sum(orders)) = all.metrics["orders"].data.clone() else {
            panic!("a sum")
        };
        orders.data_points
    });
    assert_eq!(points.count(), 1_500);
    assert!(otlp.stats(Signal::Metrics).sent >= 1_500);
}

#[tokio::test]
async fn credentials_do_not_reach_a_collector() {
    let [(protocol, mut collector), _] = collectors(&[]);
    let otlp = builder()
        .endpoint(collector.endpoint())
        .protocol(protocol)
        .export(Signal::Metrics, false)
        .build()
        .expect("the settings are valid");
    let scope = subscribe(&otlp);
    let span = tracing::info_span!("login", password = "hush-1", url = "http://ann:hush-2@db/");
    span.in_scope(|| tracing::error!(api_key = "hush-3", detail = "token=hush-4", "Bearer hush-5"));
    drop((span, scope));
    otlp.shutdown(LIMIT).await.expect("the collector takes all");
    let all: Vec<_> = collector.so_far();
    let all = format!("{all:?}");
    assert!(!all.contains("hush"), "{all}");
    assert!(all.contains("REDACTED"));
}

#[tokio::test]
async fn spans_that_are_not_sampled_are_not_exported() {
    let [(protocol, mut collector), _] = collectors(&[]);
    let builder = builder().endpoint(collector.endpoint()).protocol(protocol);
    let otlp = only(Signal::Traces, builder).sampled(0.0).build();
    let otlp = otlp.expect("the settings are valid");
    let scope = subscribe(&otlp);
    super::end_span();
    drop(scope);
    otlp.shutdown(LIMIT).await.expect("nothing is there");
    assert!(collector.spans().is_empty());
}

#[tokio::test]
async fn full_batch_is_sent_at_once() {
    for (protocol, mut collector) in collectors(&[]) {
        let variables = |name: &str| match name {
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" => Some("2".to_owned()),
            "OTEL_BSP_SCHEDULE_DELAY" => Some("3600000".to_owned()),
            _ => None,
        };
        let builder = builder().endpoint(collector.endpoint()).protocol(protocol);
        let otlp = only(Signal::Traces, builder).variables(variables).build();
        let otlp = otlp.expect("the settings are valid");
        let _scope = subscribe(&otlp);
        (0..2).for_each(|_| super::end_span());
        collector.next().await;
    }
}

#[tokio::test]
async fn span_does_not_wait_longer_than_the_delay() {
    let [(protocol, mut collector), _] = collectors(&[]);
    let variables = |name: &str| (name == "OTEL_BSP_SCHEDULE_DELAY").then(|| "1".to_owned());
    let builder = builder().endpoint(collector.endpoint()).protocol(protocol);
    let otlp = only(Signal::Traces, builder).variables(variables).build();
    let otlp = otlp.expect("the settings are valid");
    let _scope = subscribe(&otlp);
    super::end_span();
    collector.next().await;
}

#[tokio::test]
async fn event_whose_value_panics_is_exported_without_it() {
    struct Panics;
    impl std::fmt::Debug for Panics {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("no text")
        }
    }
    let [(protocol, mut collector), _] = collectors(&[]);
    let builder = builder().endpoint(collector.endpoint()).protocol(protocol);
    let otlp = only(Signal::Logs, builder)
        .build()
        .expect("the settings are valid");
    let scope = subscribe(&otlp);
    tracing::info!(shop = "eu", value = ?Panics, "an order");
    drop(scope);
    otlp.shutdown(LIMIT).await.expect("the collector takes all");
    let exports = collector
        .so_far()
        .into_iter()
        .map(|received| received.export);
    let all = everything(exports.collect());
    assert_eq!(text(&all.logs[0].1.attributes)["shop"], "eu");
}
