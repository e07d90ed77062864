//! Calls go by the breaker of their key, and complete in it.

use std::{io, time::Duration};

use http::Request;
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    CircuitBreaker, GuardLayer, Outcome, Rejection,
    breaker::{CircuitState, KeyedBreaker},
    protocol::WireFormat,
};

use super::{census, fail, keyed, keys};
use crate::support::{listing::listing, logs::logs};

#[test]
fn keyed_failure_is_isolated_to_its_key() {
    let hosts = keyed("apart", 10);
    fail(&hosts, "a");
    assert!(hosts.get("a").is_rejecting());
    assert!(!hosts.get("b").is_rejecting());
    assert!(hosts.peek("c").is_none());
    assert_eq!(hosts.len(), 2);
    hosts.reset_all();
    assert!(!hosts.clone().get_owned("a".to_owned()).is_rejecting());
}

#[test]
fn keyed_in_flight_call_completes_in_its_breaker() {
    let hosts = keyed("in flight", 1);
    let breaker = hosts.get("a");
    let call = breaker.try_acquire().expect("closed");
    hosts.get("b");
    assert!(hosts.peek("a").is_none());
    call.complete(Outcome::Failure);
    assert_eq!(breaker.state(), CircuitState::Open);
    assert_eq!(census(&hosts), [1, 0, 0, 0, 0], "the evicted do not count");
    assert!(!hosts.get("a").is_rejecting(), "it begins anew");
}

#[tokio::test]
async fn keyed_guard_uses_breaker_of_request_key() {
    let hosts = keyed("guard", 10);
    let broken = service_fn(|request: Request<String>| async move {
        match request.uri().host() {
            Some("good.example") => Ok(http::Response::new(String::new())),
            _ => Err(io::Error::other("no")),
        }
    });
    let service = GuardLayer::client(hosts.keyed_by_authority()).layer(broken);
    let ask = |uri: &'static str| {
        let request = Request::get(uri).body(String::new()).expect("a request");
        service.clone().oneshot(request)
    };
    let error = ask("http://bad.example:81/").await.expect_err("fails");
    assert!(Rejection::find(&*error).is_none());
    let error = ask("http://bad.example:81/").await.expect_err("rejected");
    let rejection = Rejection::find(&*error).expect("a rejection");
    assert_eq!(rejection.guard(), "guard");
    assert_eq!(rejection.key(), Some("bad.example:81"));
    ask("http://good.example/").await.expect("another key");
    for _ in 0..3 {
        let error = ask("/no/key").await.expect_err("fails");
        assert!(Rejection::find(&*error).is_none(), "uncounted");
    }
    assert_eq!(keys(&hosts), ["bad.example:81", "good.example"]);
}

/// `refused by "peers": circuit_open (consecutive_failures)` was all there was to read, whichever of 40 hosts it was.
#[tokio::test(start_paused = true)]
async fn rejection_has_key_last_error_and_retry_after() {
    let template = CircuitBreaker::builder("peers")
        .consecutive_failures(1)
        .open_time(Duration::from_secs(3))
        .open_jitter(0.0);
    let hosts: KeyedBreaker<String> = KeyedBreaker::builder(template).build().expect("sound");
    let refused = async { Err::<(), _>(io::Error::other("connection refused")) };
    let failed = hosts.get("a.example").call(refused).await;
    assert!(failed.is_err_and(|error| !error.is_rejected()));

    let rejection = hosts.get("a.example").try_acquire().expect_err("open");
    assert_eq!(
        (rejection.guard(), rejection.key()),
        ("peers", Some("a.example"))
    );
    assert_eq!(rejection.reason(), Some("consecutive_failures"));
    assert_eq!(rejection.last_error(), Some("connection refused"));
    assert_eq!(rejection.retry_after(), Some(Duration::from_secs(3)));
    assert_eq!(
        rejection.to_string(),
        r#"rejected by "peers" for a.example: circuit_open (consecutive_failures; last error: connection refused); retry after 3 s"#
    );
    // Callers over the wire learn only the kind and the retry-after.
    let response = rejection.to_response(WireFormat::Plain);
    let seen = format!("{:?} {:?}", response.headers(), response.body());
    for hidden in ["peers", "a.example", "consecutive", "refused"] {
        assert!(!seen.contains(hidden), "{seen}");
    }

    let single = CircuitBreaker::new("single");
    single.force_open();
    assert_eq!(single.try_acquire().expect_err("open").key(), None);
}

/// Keys had user info in them, which went to the log, and one host had a circuit for each spelling.
#[tokio::test]
async fn authority_key_is_normalized_without_credentials() {
    let logs = logs();
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let hosts = keyed("authorities", 10);
    let mut events = hosts.subscribe();
    let broken = service_fn(|_: Request<String>| async {
        Err::<http::Response<String>, _>(io::Error::other("no"))
    });
    let service = GuardLayer::client(hosts.keyed_by_authority()).layer(broken);
    let ask = |uri: &str, host: Option<&[u8]>| {
        let mut request = Request::get(uri);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        service
            .clone()
            .oneshot(request.body(String::new()).expect("a request"))
    };
    let is_rejected = async |uri: &str, host: Option<&[u8]>| {
        let error = ask(uri, host).await.expect_err("fails");
        Rejection::find(&*error).is_some()
    };
    assert!(!is_rejected("http://joe:secret@api.example/x", None).await);
    for uri in [
        "http://api.example",
        "HTTP://API.example",
        "http://api.example:80",
    ] {
        assert!(is_rejected(uri, None).await, "{uri}");
    }
    for host in ["api.example", "joe:secret@API.example", "api.example:"] {
        assert!(is_rejected("/", Some(host.as_bytes())).await, "{host}");
    }
    assert!(
        !is_rejected("https://api.example:80", None).await,
        "another port"
    );
    assert!(!is_rejected("http://[2001:DB8::1]:80", None).await);
    assert!(is_rejected("http://joe@[2001:db8::1]", None).await);
    assert!(!is_rejected("/", Some(b"joe:secret@no host")).await);
    let long = "x".repeat(256);
    let hostile: [&[u8]; 4] = [b"joe:secret@", b"\xff", b"a:99999", long.as_bytes()];
    for host in hostile {
        assert!(
            is_rejected("/", Some(host)).await,
            "one circuit for all of them"
        );
    }
    assert!(
        !is_rejected("/", None).await && !is_rejected("/", Some(b"")).await,
        "uncounted"
    );
    assert_eq!(
        keys(&hosts),
        ["[2001:db8::1]", "_OTHER", "api.example", "api.example:80"]
    );

    let logged = logs.events("tower_keep::breaker");
    assert_eq!(logged.len(), 4);
    let seen = format!(
        "{logged:?}{}{:?}",
        recorder.handle().render(),
        listing().snapshots()
    );
    let told: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    for text in [seen, format!("{told:?}")] {
        assert!(!text.contains("joe") && !text.contains("secret"), "{text}");
    }
}

#[test]
fn keyed_invalid_max_keys_is_named() {
    let template = CircuitBreaker::builder("b");
    let built = KeyedBreaker::<u32>::builder(template).max_keys(0).build();
    assert_eq!(
        built.expect_err("silly").to_string(),
        r#"breaker "b": max_keys is 0, must be 1 to 100000"#
    );
}
