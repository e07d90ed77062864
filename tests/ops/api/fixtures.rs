//! A console with something of everything.

use std::time::SystemTime;

use tower_keep::{
    BoxError, CircuitBreaker,
    errors::{ErrorRecord, ErrorTracker},
    ops::{
        Ops, OpsBuilder,
        alerts::Rule,
        health::{Check, HealthStatus},
        notify::ChannelBuilder,
    },
};

use crate::support::*;

pub(super) fn seconds_since_1970() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("after 1970").as_secs()
}

/// Records HTTP and gRPC calls, operations and a gauge, and ticks over them.
pub(super) fn record(ops: &Ops) {
    use metrics::{counter, gauge, histogram};
    let recorder = ops.recorder();
    let end = seconds_since_1970();
    for second in end - 5..=end {
        metrics::with_local_recorder(recorder, || {
            for (outcome, calls) in [("success", 80), ("failure", 20)] {
                let labels = [
                    ("service", "orders"),
                    ("kind", "server"),
                    ("outcome", outcome),
                ];
                counter!("tower_keep_calls_total", &labels).increment(calls);
            }
            let http = [
                ("http_request_method", "GET"),
                ("http_route", "/orders/{id}"),
            ];
            histogram!("http_server_request_duration_seconds", &http).record(0.1);
            let failed = [http[0], http[1], ("error_type", "500")];
            histogram!("http_server_request_duration_seconds", &failed).record(0.1);
            let grpc = [
                ("rpc_system_name", "grpc"),
                ("rpc_method", "shop.Orders/Get"),
            ];
            for _ in 0..8 {
                histogram!("rpc_server_call_duration_seconds", &grpc).record(0.4);
            }
            let pay = [
                ("operation", "pay"),
                ("kind", "payments"),
                ("outcome", "timed_out"),
            ];
            histogram!("operation_duration_seconds", &pay).record(2.0);
            gauge!("http_server_active_requests", "url_scheme" => "http").set(3.0);
        });
        recorder.tick(second);
    }
}

pub(super) async fn console() -> (Console, Vec<CircuitBreaker>) {
    let errors = ErrorTracker::new();
    let console = Console::start(builder(&errors)).await;
    let breakers = fill(&console, &errors);
    (console, breakers)
}

/// The same, whose history is that of the fixtures however long a test takes.
pub(super) async fn console_without_driver() -> (Console, Vec<CircuitBreaker>) {
    let errors = ErrorTracker::new();
    let console = Console::without_driver(builder(&errors)).await;
    let breakers = fill(&console, &errors);
    (console, breakers)
}

fn builder(errors: &ErrorTracker) -> OpsBuilder {
    let check = || async { HealthStatus::Healthy };
    let builder = Ops::builder("orders")
        .errors(errors.clone())
        .version("1.2.3");
    let builder = builder.check(
        Check::new("ledger <b>", check)
            .critical()
            .group("readiness"),
    );
    let set = |_: &str| -> Result<(), BoxError> { Ok(()) };
    let builder = builder.log_filter((|| "info".to_owned(), set));
    let builder = builder.rule(Rule::breaker_open());
    let builder = builder.notify(ChannelBuilder::new("nobody", Nobody));
    builder.allow_control(true)
}

fn fill(console: &Console, errors: &ErrorTracker) -> Vec<CircuitBreaker> {
    let breaker = CircuitBreaker::new("api: payments / eu");
    breaker.force_open();
    let error = ErrorRecord::new("Disk", "disk is <img onerror=alert(1)> full");
    errors.record(error);
    record(&console.ops);
    vec![breaker]
}
