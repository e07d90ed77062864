//! Collectors that are not there, hang, fail, throttle and cut.

use std::time::Duration;

use tower_keep::ops::otlp::{Otlp, OtlpProtocol, Signal};

use super::{
    LIMIT, builder,
    collector::{Collector, Reaction},
    collectors, end_span, exporter_of,
    nobody::nobody,
    on_each_runtime, only, subscribe, without_runtime,
};

const PROTOCOLS: [OtlpProtocol; 2] = [OtlpProtocol::HttpProtobuf, OtlpProtocol::Grpc];

fn exporter_with_span(endpoint: String, protocol: OtlpProtocol) -> Otlp {
    let otlp = exporter_of(Signal::Traces, endpoint, protocol);
    let _scope = subscribe(&otlp);
    end_span();
    otlp
}

#[test]
fn shutdown_does_not_wait_for_a_collector_that_is_not_there() {
    on_each_runtime(async || {
        for protocol in PROTOCOLS {
            let otlp = exporter_with_span(format!("http://{}", nobody()), protocol);
            let error = otlp
                .shutdown(LIMIT)
                .await
                .expect_err("nobody takes the span");
            assert!(!error.is_elapsed(), "{error}");
            assert_eq!(error.unsent(), 1);
            assert!(
                error
                    .reason()
                    .is_some_and(|reason| reason.contains("refused")),
                "{error}"
            );
            let stats = otlp.stats(Signal::Traces);
            assert_eq!((stats.sent, stats.failed, stats.queued), (0, 1, 0));
            assert_eq!(otlp.shutdown(LIMIT).await, Ok(()), "it has stopped");
        }
    });
}

#[test]
fn shutdown_ends_at_its_limit_if_the_collector_hangs() {
    on_each_runtime(async || {
        for (protocol, collector) in collectors(&[Reaction::Hang]) {
            let otlp = exporter_with_span(collector.endpoint(), protocol);
            let limit = Duration::from_millis(50);
            let error = otlp.shutdown(limit).await.expect_err("the collector hangs");
            assert_eq!(error.unsent(), 1, "{error}");
        }
    });
}

#[test]
fn flush_ends_at_its_limit_and_what_waits_is_sent_later() {
    on_each_runtime(async || {
        let busy = |code| [Reaction::Status(code, Some(1))];
        for (protocol, mut collector) in [
            (OtlpProtocol::HttpProtobuf, Collector::http(&busy(503))),
            (OtlpProtocol::Grpc, Collector::grpc(&busy(14))),
        ] {
            let otlp = exporter_with_span(collector.endpoint(), protocol);
            let error = otlp.flush(Duration::from_millis(20)).await;
            let error = error.expect_err("the collector is busy for a second");
            assert!(error.is_elapsed());
            collector.next().await;
            collector.next().await;
            otlp.shutdown(LIMIT)
                .await
                .expect("the second attempt succeeds");
            assert_eq!(otlp.stats(Signal::Traces).sent, 1);
        }
    });
}

#[tokio::test]
async fn attempt_is_made_again_after_a_failure_that_may_pass() {
    for reaction in [
        Reaction::Status(502, None),
        Reaction::Status(503, None),
        Reaction::Status(504, None),
        Reaction::Status(429, None),
        Reaction::Status(429, Some(1)),
        Reaction::Cut,
    ] {
        let mut collector = Collector::http(std::slice::from_ref(&reaction));
        let otlp = exporter_with_span(collector.endpoint(), OtlpProtocol::HttpProtobuf);
        otlp.flush(LIMIT)
            .await
            .expect("the second attempt succeeds");
        assert_eq!(collector.so_far().len(), 2, "{reaction:?}");
        let stats = otlp.stats(Signal::Traces);
        assert_eq!((stats.sent, stats.failed, stats.error), (1, 0, None));
    }
    for reaction in [
        Reaction::Status(14, None),
        Reaction::Status(4, None),
        Reaction::Status(8, Some(1)),
    ] {
        let mut collector = Collector::grpc(std::slice::from_ref(&reaction));
        let otlp = exporter_with_span(collector.endpoint(), OtlpProtocol::Grpc);
        otlp.flush(LIMIT)
            .await
            .expect("the second attempt succeeds");
        assert_eq!(collector.so_far().len(), 2, "{reaction:?}");
        assert_eq!(otlp.stats(Signal::Traces).sent, 1);
    }
}

#[tokio::test]
async fn attempt_is_not_made_again_after_a_refusal() {
    let refusals = [
        (
            Collector::http(&[Reaction::Status(400, None)]),
            OtlpProtocol::HttpProtobuf,
        ),
        (
            Collector::http(&[Reaction::Status(401, None)]),
            OtlpProtocol::HttpProtobuf,
        ),
        (
            Collector::grpc(&[Reaction::Status(3, None)]),
            OtlpProtocol::Grpc,
        ),
        (
            Collector::grpc(&[Reaction::Status(8, None)]),
            OtlpProtocol::Grpc,
        ),
    ];
    for (mut collector, protocol) in refusals {
        let otlp = exporter_with_span(collector.endpoint(), protocol);
        let error = otlp.flush(LIMIT).await.expect_err("the collector refuses");
        assert_eq!(error.unsent(), 1);
        assert!(!error.to_string().contains("abc"), "no credential: {error}");
        assert_eq!(collector.so_far().len(), 1);
        assert_eq!(otlp.stats(Signal::Traces).failed, 1);
    }
}

#[tokio::test]
async fn items_that_the_collector_rejects_are_counted() {
    for (protocol, collector) in collectors(&[Reaction::TakeWithout(1)]) {
        let otlp = exporter_of(Signal::Traces, collector.endpoint(), protocol);
        let scope = subscribe(&otlp);
        (0..3).for_each(|_| end_span());
        drop(scope);
        otlp.flush(LIMIT)
            .await
            .expect("the collector takes the rest");
        let stats = otlp.stats(Signal::Traces);
        assert_eq!((stats.sent, stats.rejected, stats.failed), (2, 1, 0));
    }
}

#[tokio::test]
async fn queue_is_bounded_while_the_collector_hangs() {
    for (protocol, collector) in collectors(&[Reaction::Hang]) {
        let variables = |name: &str| match name {
            "OTEL_BSP_MAX_QUEUE_SIZE" => Some("16".to_owned()),
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" => Some("4".to_owned()),
            _ => None,
        };
        let builder = builder().endpoint(collector.endpoint()).protocol(protocol);
        let otlp = only(Signal::Traces, builder).variables(variables).build();
        let otlp = otlp.expect("the settings are valid");
        let scope = subscribe(&otlp);
        (0..1_000).for_each(|_| end_span());
        drop(scope);
        let stats = otlp.stats(Signal::Traces);
        assert!(stats.queued <= 16);
        // Some are on their way.
        assert!(stats.dropped >= 1_000 - 16 - 4, "{stats:?}");
        let _ = otlp.shutdown(Duration::from_millis(20)).await;
        let stats = otlp.stats(Signal::Traces);
        assert_eq!(
            stats.dropped + stats.failed + stats.sent,
            1_000,
            "all are counted: {stats:?}"
        );
    }
}

#[tokio::test]
async fn spans_after_the_shutdown_are_dropped() {
    let [(protocol, collector), _] = collectors(&[]);
    let otlp = exporter_of(Signal::Traces, collector.endpoint(), protocol);
    let _scope = subscribe(&otlp);
    otlp.shutdown(LIMIT).await.expect("nothing is there");
    end_span();
    assert_eq!(otlp.stats(Signal::Traces).dropped, 1);
}

#[test]
fn exporter_needs_no_runtime() {
    for (protocol, mut collector) in collectors(&[]) {
        let otlp = exporter_with_span(collector.endpoint(), protocol);
        without_runtime(otlp.shutdown(LIMIT)).expect("the collector takes the span");
        assert_eq!(collector.spans().len(), 1);
    }
}

/// The runtime of the application waits for the exporter: it may not need it.
#[test]
fn shutdown_works_while_the_only_worker_is_blocked() {
    for (protocol, mut collector) in collectors(&[]) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let endpoint = collector.endpoint();
        let work = async move {
            let otlp = exporter_with_span(endpoint, protocol);
            without_runtime(otlp.shutdown(LIMIT))
        };
        let runtime = runtime.expect("a runtime");
        let shutdown = runtime.block_on(async { tokio::spawn(work).await });
        shutdown
            .expect("no panic")
            .expect("the collector takes the span");
        assert_eq!(collector.spans().len(), 1);
    }
}

#[tokio::test]
async fn drop_of_the_last_handle_sends_what_is_there() {
    for (protocol, mut collector) in collectors(&[]) {
        drop(exporter_with_span(collector.endpoint(), protocol));
        collector.next().await;
    }
}
