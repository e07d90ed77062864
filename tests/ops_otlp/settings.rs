//! Settings from variables.

use tower_keep::{
    ConfigError,
    ops::otlp::{Otlp, OtlpProtocol, Signal},
};

use super::{LIMIT, builder, collector::Collector, end_span, only, subscribe};

fn build(variables: &[(&str, String)]) -> Result<Otlp, ConfigError> {
    let variables: Vec<(String, String)> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    let look_up = move |name: &str| {
        let found = variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    Otlp::builder().variables(look_up).build()
}

#[tokio::test]
async fn variables_say_where_and_how_each_signal_is_sent() {
    let mut http = Collector::http(&[]);
    let mut grpc = Collector::grpc(&[]);
    let otlp = build(&[
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            format!("{}/base/", http.endpoint()),
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "api-key=a%20b, tenant = eu".to_owned(),
        ),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc".to_owned()),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", grpc.address.to_string()),
        ("OTEL_EXPORTER_OTLP_LOGS_INSECURE", "true".to_owned()),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "tenant=us".to_owned()),
        ("OTEL_METRICS_EXPORTER", "none".to_owned()),
        ("OTEL_SERVICE_NAME", "orders".to_owned()),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "team=shop%2C1,service.name=other".to_owned(),
        ),
    ])
    .expect("the variables are valid");
    let scope = subscribe(&otlp);
    end_span();
    tracing::info!("an order");
    drop(scope);
    otlp.shutdown(LIMIT).await.expect("the collectors take all");

    let traces = http.next().await;
    assert_eq!(traces.path, "/base/v1/traces");
    assert_eq!(traces.headers["api-key"], "a b");
    assert_eq!(traces.headers["tenant"], "eu");
    let text = format!("{:?}", traces.export);
    assert!(
        text.contains("orders") && text.contains("shop,1") && !text.contains("other"),
        "{text}"
    );
    let logs = grpc.next().await;
    assert_eq!(logs.headers["tenant"], "us");
    assert!(
        !logs.headers.contains_key("api-key"),
        "those of the signal are all"
    );
    assert!(http.so_far().is_empty() && grpc.so_far().is_empty());
}

#[tokio::test]
async fn endpoint_of_one_signal_is_taken_as_it_is() {
    let mut collector = Collector::http(&[]);
    let endpoint = format!("{}/ingest/traces?v=1", collector.endpoint());
    let otlp = build(&[
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint),
        ("OTEL_METRICS_EXPORTER", "none".to_owned()),
        ("OTEL_LOGS_EXPORTER", "none".to_owned()),
    ])
    .expect("the variables are valid");
    let scope = subscribe(&otlp);
    end_span();
    drop(scope);
    otlp.shutdown(LIMIT)
        .await
        .expect("the collector takes the span");
    assert_eq!(collector.next().await.path, "/ingest/traces");
}

#[tokio::test]
async fn settings_of_the_code_count_more_than_variables() {
    let mut collector = Collector::grpc(&[]);
    let variables = |name: &str| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some("http://127.0.0.1:1".to_owned()),
        "OTEL_EXPORTER_OTLP_PROTOCOL" => Some("http/protobuf".to_owned()),
        "OTEL_EXPORTER_OTLP_HEADERS" => Some("tenant=eu,zone=a".to_owned()),
        "OTEL_SERVICE_NAME" => Some("other".to_owned()),
        _ => None,
    };
    let builder = builder()
        .variables(variables)
        .endpoint(collector.endpoint())
        .protocol(OtlpProtocol::Grpc)
        .header("tenant", "us");
    let otlp = only(Signal::Traces, builder)
        .build()
        .expect("the settings are valid");
    let scope = subscribe(&otlp);
    end_span();
    drop(scope);
    otlp.shutdown(LIMIT)
        .await
        .expect("the collector takes the span");
    let traces = collector.next().await;
    assert_eq!(
        (&traces.headers["tenant"], &traces.headers["zone"]),
        (&"us".parse().unwrap(), &"a".parse().unwrap())
    );
    assert!(format!("{:?}", traces.export).contains("\"orders\""));
}

#[test]
fn variables_that_are_invalid_are_named() {
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector with spaces"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://collector"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "smoke"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "ten"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "0"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "1s"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team"),
    ] {
        let error = build(&[(name, value.to_owned())]).expect_err(name);
        assert_eq!(error.field(), name, "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let sampler = [
        ("OTEL_TRACES_SAMPLER", "traceidratio".to_owned()),
        ("OTEL_TRACES_SAMPLER_ARG", "50".to_owned()),
    ];
    let error = build(&sampler).expect_err("a fraction");
    assert_eq!(error.field(), "OTEL_TRACES_SAMPLER_ARG");
    let tls = [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "https://localhost:4318".to_owned(),
        ),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem".to_owned()),
    ];
    let error = build(&tls).expect_err("no such file");
    assert_eq!(error.field(), "OTEL_EXPORTER_OTLP_CERTIFICATE");
}

#[test]
fn settings_that_are_invalid_are_named() {
    use std::time::Duration;
    for (field, builder) in [
        ("endpoint", builder().endpoint("://")),
        ("timeout", builder().timeout(Duration::ZERO)),
        ("metric_interval", builder().metric_interval(Duration::MAX)),
        ("sampled", builder().sampled(50.0)),
        ("header", builder().header("a b", "c")),
    ] {
        let error = builder.build().expect_err(field);
        assert_eq!(error.field(), field, "{error}");
    }
}

#[tokio::test]
async fn collector_behind_tls_gets_everything_if_its_certificate_is_trusted() {
    const CERTIFICATE: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/ops_otlp/tls/certificate.pem"
    );
    const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ops_otlp/tls/key.pem");
    for protocol in [OtlpProtocol::HttpProtobuf, OtlpProtocol::Grpc] {
        let mut collector = Collector::https(&[]);
        let endpoint = format!("https://localhost:{}", collector.address.port());
        let trusting = |name: &str| match name {
            "OTEL_EXPORTER_OTLP_CERTIFICATE" | "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE" => {
                Some(CERTIFICATE.to_owned())
            }
            "OTEL_EXPORTER_OTLP_CLIENT_KEY" => Some(KEY.to_owned()),
            _ => None,
        };
        for (variables, is_trusted) in [(trusting as fn(&str) -> _, true), (|_| None, false)] {
            let builder = builder().endpoint(endpoint.clone()).protocol(protocol);
            let builder = only(Signal::Traces, builder).variables(variables);
            let otlp = match builder.build() {
                Ok(otlp) => otlp,
                // A system without any certificates trusts nobody.
                Err(error) if !is_trusted && error.field() == "endpoint" => continue,
                Err(error) => panic!("{error}"),
            };
            let scope = subscribe(&otlp);
            end_span();
            drop(scope);
            let shutdown = otlp.shutdown(LIMIT).await;
            assert_eq!(shutdown.is_ok(), is_trusted, "{protocol:?}: {shutdown:?}");
        }
        assert_eq!(collector.spans().len(), 1, "{protocol:?}");
    }
}

#[tokio::test]
async fn exporter_that_is_disabled_does_nothing() {
    let otlp = build(&[("OTEL_SDK_DISABLED", "TRUE".to_owned())]).expect("it is valid");
    assert!(otlp.is_disabled() && otlp.tracer().is_none());
    let scope = subscribe(&otlp);
    end_span();
    drop(scope);
    assert_eq!(otlp.flush(LIMIT).await, Ok(()));
    assert_eq!(otlp.shutdown(LIMIT).await, Ok(()));
}
