//! Breakers that open for as long as the peer asks for.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, StatusCode};
use tower::{Layer, ServiceExt};
use tower_keep::{
    CircuitBreaker, Guard, GuardLayer, Outcome,
    breaker::{CircuitBreakerBuilder, CircuitState, KeyedBreaker, TransitionReason},
    call::CallClock,
    guard::{Admit, Head},
    testing::{Reply, Script, ScriptedBody},
};

const MINUTE: Duration = Duration::from_secs(60);

fn builder() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("peer").probes(1).open_jitter(0.0)
}

fn heeding() -> CircuitBreaker {
    let built = builder().open_on_retry_after(MINUTE).build();
    built.expect("sound")
}

/// One call that is answered so.
async fn answered(breaker: &CircuitBreaker, status: u16, header: (&'static str, &'static str)) {
    answered_through(GuardLayer::client(breaker.clone()), status, header).await;
}

async fn answered_through<L>(layer: L, status: u16, (name, value): (&'static str, &'static str))
where
    L: Layer<Script>,
    L::Service: tower::Service<Request<ScriptedBody>>,
{
    let script: Script = Script::new([Reply::status(status).header(name, value)]);
    let request = Request::get("http://a.example/").body(ScriptedBody::new());
    let answer = layer
        .layer(script)
        .oneshot(request.expect("a request"))
        .await;
    assert!(answer.is_ok());
}

fn wait(breaker: &CircuitBreaker) -> Option<Duration> {
    breaker.try_acquire().expect_err("open").retry_after()
}

#[tokio::test(start_paused = true)]
async fn retry_after_opens_while_that_setting_is_applied() {
    let breaker = builder().build().expect("sound");
    let off = breaker.settings();
    let mut on = off.clone();
    on.open_on_retry_after = Some(MINUTE);
    for (settings, state) in [
        (&off, CircuitState::Closed),
        (&on, CircuitState::Open),
        (&off, CircuitState::Closed),
    ] {
        breaker.reset();
        breaker.apply(settings).expect("sound");
        answered(&breaker, 503, ("retry-after", "7")).await;
        assert_eq!(breaker.state(), state);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_with_failure_opens_for_that_time() {
    for (status, header, seconds) in [
        (503, ("retry-after", "7"), 7),
        (429, ("retry-after", "3600"), 60),
        (500, ("grpc-retry-pushback-ms", "1000"), 1),
    ] {
        let breaker = heeding();
        let mut events = breaker.subscribe();
        answered(&breaker, status, header).await;
        assert_eq!(wait(&breaker), Some(Duration::from_secs(seconds)));
        let event = events.try_recv().expect("an event");
        assert_eq!(event.reason, TransitionReason::RetryAfter);
        let status = StatusCode::from_u16(status).expect("a status");
        let said = event.last_error.expect("the status");
        assert_eq!(said.as_str(), status.to_string());
        tokio::time::advance(Duration::from_secs(seconds)).await;
        let probe = breaker.try_acquire().expect("a probe");
        probe.complete(Outcome::Success);
        assert_eq!(breaker.state(), CircuitState::Closed);
    }
}

#[tokio::test]
async fn retry_after_needs_failure_and_opt_in() {
    let breaker = heeding();
    for (status, header) in [
        (200, ("retry-after", "7")),
        (404, ("retry-after", "7")),
        (301, ("retry-after", "7")),
        (503, ("retry-after", "soon")),
        (503, ("retry-after", "0")),
        (503, ("grpc-retry-pushback-ms", "-1")),
    ] {
        answered(&breaker, status, header).await;
        assert_eq!(breaker.state(), CircuitState::Closed, "{status} {header:?}");
    }
    let deaf = builder().build().expect("sound");
    answered(&deaf, 503, ("retry-after", "7")).await;
    assert_eq!(deaf.state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn retry_after_of_later_answer_extends_open_time() {
    let breaker = heeding();
    let now = CallClock::default();
    let admit = |_| breaker.admit(&mut (), &now).expect("closed");
    let mut permits: Vec<_> = (0..3).map(admit).collect();
    let mut answer = |seconds: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", HeaderValue::from_static(seconds));
        let mut permit = permits.pop().expect("another");
        let mut head = Head {
            status: StatusCode::SERVICE_UNAVAILABLE,
            version: http::Version::HTTP_11,
            headers: &mut headers,
            extensions: &mut http::Extensions::new(),
            outcome: Outcome::Overload,
            evidence: tower_keep::call::Evidence::Unhealthy,
            wire: tower_keep::protocol::WireFormat::Plain,
            clock: &now,
            admitted_at: None,
        };
        breaker.on_head(&mut permit, &mut head);
    };
    answer("10");
    answer("20");
    assert_eq!(wait(&breaker), Some(Duration::from_secs(20)));
    breaker.reset();
    answer("20");
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[tokio::test]
async fn retry_after_of_quota_opens_after_success() {
    let quota = builder().open_on_head(MINUTE, |head| {
        let left = head.headers.get("quota-left")?.to_str().ok()?;
        (left == "0").then_some(Duration::from_secs(30))
    });
    let breaker = quota.build().expect("sound");
    answered(&breaker, 200, ("quota-left", "1")).await;
    assert_eq!(breaker.state(), CircuitState::Closed);
    answered(&breaker, 200, ("quota-left", "0")).await;
    assert_eq!(breaker.state(), CircuitState::Open);

    let broken = builder().open_on_head(MINUTE, |_| panic!("a bug"));
    let breaker = broken.build().expect("sound");
    answered(&breaker, 200, ("quota-left", "0")).await;
    assert_eq!(breaker.counts().calls, 1);
}

#[tokio::test]
async fn retry_after_opens_keyed_breaker_of_that_key() {
    let template = builder().open_on_retry_after(MINUTE);
    let hosts: KeyedBreaker<String> = KeyedBreaker::builder(template).build().expect("sound");
    let layer = GuardLayer::client(hosts.keyed_by_authority());
    answered_through(layer, 429, ("retry-after", "7")).await;
    assert!(hosts.get("a.example").is_rejecting());
    assert!(!hosts.get("b.example").is_rejecting());
}

#[cfg(feature = "tonic")]
#[tokio::test(start_paused = true)]
async fn retry_after_of_grpc_pushback_opens() {
    use tonic::{Code, Status};
    let breaker = heeding();
    let mut status = Status::new(Code::Unavailable, "full");
    let value = "1500".parse().expect("a value");
    status
        .metadata_mut()
        .insert("grpc-retry-pushback-ms", value);
    let call = breaker.call(std::future::ready(Err::<(), _>(status)));
    call.await.expect_err("fails");
    assert_eq!(wait(&breaker), Some(Duration::from_millis(1500)));
}

#[test]
fn retry_after_max_of_zero_is_invalid() {
    let error = builder().open_on_retry_after(Duration::ZERO).build();
    assert_eq!(error.expect_err("silly").field(), "open_on_retry_after");
}
