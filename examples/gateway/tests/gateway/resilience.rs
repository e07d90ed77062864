//! The breaker, the retries and the deadlines between the gateway and its upstream.

use http::{Request, StatusCode};
use http_body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::client::{Client, full, get, pieces, text};
use super::process::{DEADLINE, Gateway, eventually};
use super::upstream::Upstream;

const TIME_LEFT: &str = "x-envoy-expected-rq-timeout-ms";

async fn break_upstream(gateway: &Gateway) {
    let client = Client::http1();
    eventually("the circuit opens", async || {
        let answer = client.get(&gateway.at("/")).await;
        (answer.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
}

#[tokio::test]
async fn circuit_opens_for_a_dead_upstream_and_closes_when_it_is_back() {
    let upstream = Upstream::start().await;
    let address = upstream.address;
    let mut gateway = Gateway::before(&upstream.url(), &["--open", "0.3"]).await;
    let client = Client::http1();
    assert_eq!(client.get(&gateway.at("/")).await.status(), StatusCode::OK);
    let closed = gateway.guard("circuit_breaker").await;
    assert_eq!(
        (&closed["name"], &closed["state"]),
        (&"upstream".into(), &"closed".into())
    );
    upstream.kill().await;

    break_upstream(&gateway).await;
    let line = gateway.line(|line| line.contains("circuit breaker")).await;
    assert!(line.contains("upstream: closed -> open ("), "{line}");
    assert!(line.contains("refused"), "the true cause: {line}");
    let open = gateway.guard("circuit_breaker").await;
    assert_eq!(open["state"], "open", "{open}");
    assert!(open["stats"]["last_error"].is_string(), "{open}");
    for state in ["open", "closed"] {
        let labels = ["breaker=\"upstream\"", &format!("state=\"{state}\"")];
        let shown = gateway.metric("tower_keep_breaker_state", &labels).await;
        assert_eq!(shown, f64::from(state == "open"), "{state}");
    }

    let mut upstream = Upstream::start_at(address).await;
    eventually("the circuit closes", async || {
        let answer = client.get(&gateway.at("/")).await;
        let closed = gateway.guard("circuit_breaker").await["state"] == "closed";
        (closed && answer.status() == StatusCode::OK).then_some(())
    })
    .await;
    gateway
        .line(|line| line.contains("half_open -> closed"))
        .await;
    assert!(upstream.hits() >= 2, "the probes");
}

#[tokio::test]
async fn open_circuit_answers_in_the_wire_format_of_the_caller_and_calls_no_upstream() {
    let upstream = Upstream::start().await;
    let address = upstream.address;
    let gateway = Gateway::before(&upstream.url(), &["--open", "600"]).await;
    upstream.kill().await;
    break_upstream(&gateway).await;

    let mut upstream = Upstream::start_at(address).await;
    let client = Client::http1();
    let rejected = client.get(&gateway.at("/")).await;
    assert_eq!(rejected.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        rejected.headers()["content-type"],
        "application/problem+json"
    );
    let wait = rejected.headers()["retry-after"]
        .to_str()
        .map(str::parse::<u32>);
    assert!(matches!(wait, Ok(Ok(590..=900))), "{wait:?}");

    let browser = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    let page = client.send(get(&gateway.at("/"), &browser)).await;
    assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.headers().contains_key("retry-after"));
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert!(text(page).await.contains("Back soon"));
    assert_eq!(gateway.guard("fallback").await["stats"]["served"], 1);

    let call = super::grpc(&gateway.at("/demo/Call"));
    let rejected = Client::http2().send(call).await;
    assert_eq!(rejected.headers()["grpc-status"], "14");
    assert!(rejected.headers().contains_key("grpc-retry-pushback-ms"));
    assert_eq!(upstream.hits(), 0);
    assert!(
        gateway.ended("rejected").await >= 3.0,
        "whoever was answered, and how"
    );
}

#[tokio::test]
async fn retry_sends_only_repeatable_requests_again() {
    let mut upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream.url(), &[]).await;
    let post = |path: &str, key: Option<&str>| {
        let mut request = Request::post(gateway.at(path));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        request.body(full("an order")).expect("a request")
    };
    for (version, client) in [("1.1", Client::http1()), ("2", Client::http2())] {
        let answer = client
            .get(&gateway.at(&format!("/once?get-{version}")))
            .await;
        assert_eq!((answer.status(), upstream.hits()), (StatusCode::OK, 2));
        let answer = client
            .send(post(&format!("/once?keyed-{version}"), Some("a")))
            .await;
        assert_eq!((answer.status(), upstream.hits()), (StatusCode::OK, 2));
        assert_eq!(text(answer).await, "an order");
        let answer = client
            .send(post(&format!("/once?post-{version}"), None))
            .await;
        let status = answer.status();
        assert_eq!(
            (status, upstream.hits()),
            (StatusCode::SERVICE_UNAVAILABLE, 1)
        );
    }
    // Its own Retry-After is the client's to heed.
    let busy = Client::http1().get(&gateway.at("/busy")).await;
    assert_eq!(
        (busy.status(), upstream.hits()),
        (StatusCode::SERVICE_UNAVAILABLE, 1)
    );
    assert_eq!(busy.headers()["retry-after"], "7");
    let counted = async |name: &str| gateway.metric(name, &["retry=\"upstream\""]).await;
    assert_eq!(counted("tower_keep_retries_recovered_total").await, 4.0);
}

#[tokio::test]
async fn deadline_is_propagated_and_expired_calls_are_rejected() {
    let mut upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream.url(), &[]).await;
    let client = Client::http1();
    let left = |head: &http::request::Parts| -> u64 {
        let value = head.headers[TIME_LEFT].to_str().expect("text");
        value.parse().expect("milliseconds")
    };
    // The gateway's own limit ends at the head: sent on, it would end bodies.
    client.get(&gateway.at("/")).await;
    assert!(!upstream.received().await.headers.contains_key(TIME_LEFT));
    let answer = client
        .send(get(&gateway.at("/"), &[(TIME_LEFT, "5000")]))
        .await;
    assert_eq!(answer.status(), StatusCode::OK);
    let left = left(&upstream.received().await);
    assert!((1..5000).contains(&left), "{left}");

    let late = client
        .send(get(&gateway.at("/"), &[(TIME_LEFT, "0")]))
        .await;
    assert_eq!(late.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!((upstream.hits(), gateway.ended("rejected").await), (0, 1.0));

    // It ends a call that hangs, too.
    let hung = client
        .send(get(&gateway.at("/hold"), &[(TIME_LEFT, "100")]))
        .await;
    assert_eq!(hung.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(gateway.ended("timed_out").await, 1.0);
}

#[tokio::test]
async fn guards_are_listed_with_state_and_figures() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream.url(), &[]).await;
    Client::http1().get(&gateway.at("/")).await;
    let breaker = gateway.guard("circuit_breaker").await;
    assert_eq!(breaker["stats"]["calls"], 1, "{breaker}");
    for kind in ["retry", "timeout", "fallback"] {
        let shown = gateway.guard(kind).await;
        assert_eq!(shown["state"], "on", "{shown}");
        assert!(shown["stats"].is_object(), "{shown}");
    }
}

/// The soak found that a client could open the circuit for everybody: to the connection upstream an upload that
/// is no body after a while looks like an upstream that breaks off.
#[tokio::test]
async fn malformed_upload_is_the_fault_of_the_client_not_of_the_upstream() {
    let upstream = Upstream::start().await;
    for protocol in ["h1", "h2"] {
        let args = ["--upstream-protocol", protocol];
        let gateway = Gateway::before(&upstream.url(), &args).await;
        for _ in 0..30 {
            let answer = garbled(&gateway, "/echo").await;
            assert!(!answer.starts_with("HTTP/1.1 5"), "{answer}");
            // Where the answer comes after the body, the client is told.
            let answer = garbled(&gateway, "/read").await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{protocol}: {answer}");
        }
        assert_eq!(gateway.guard("circuit_breaker").await["state"], "closed");
        for kind in ["kind=\"server\"", "kind=\"client\""] {
            let labels = [kind, "outcome=\"failure\""];
            let failures = gateway.metric("tower_keep_calls_total", &labels).await;
            assert_eq!(failures, 0.0, "{kind}");
        }
    }
}

async fn garbled(gateway: &Gateway, path: &str) -> String {
    let address = gateway.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let garbled = format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nfew\r\nzz\r\n"
    );
    stream
        .write_all(garbled.as_bytes())
        .await
        .expect("a connection");
    let mut answer = Vec::new();
    let read = timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("an end in time");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Another of hostile clients' discoveries: whoever answers an upload before it has read it, and closes then, is in good
/// health, but to the connection it looks like one that breaks off.
#[tokio::test]
async fn upload_that_is_not_wanted_is_not_held_against_the_upstream() {
    let upstream = answer_and_close().await;
    let gateway = Gateway::before(&upstream, &["--upstream-protocol", "h1"]).await;
    let client = Client::http1();
    let mut cut_off = 0;
    for _ in 0..60 {
        let request = Request::post(gateway.at("/")).body(full(vec![b'u'; 1 << 20]));
        let answer = client.try_send(request.expect("a request")).await;
        let status = answer.map(|answer| answer.status());
        cut_off += u32::from(status.as_ref().ok() == Some(&StatusCode::BAD_GATEWAY));
        let rejected = status.is_ok_and(|status| status == StatusCode::SERVICE_UNAVAILABLE);
        assert!(!rejected, "the circuit is open");
    }
    assert!(cut_off > 0, "the answer was always seen");
    let breaker = gateway.guard("circuit_breaker").await;
    assert_eq!(breaker["state"], "closed", "{breaker}");
    assert_eq!(breaker["stats"]["failures"], 0, "{breaker}");
}

/// An upstream that answers every request at once, and closes without having read its body.
async fn answer_and_close() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read_u8().await;
            let answer =
                b"HTTP/1.1 413 Payload Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            let _ = stream.write_all(answer).await;
        }
    });
    url
}

/// The soak found this one, too: whoever sends a head and then nothing, or not enough, runs into the limit of an
/// attempt, for which the upstream was blamed.
#[tokio::test]
async fn stalled_upload_is_the_fault_of_the_client_unless_the_upstream_hangs() {
    let upstream = Upstream::start().await;
    for protocol in ["h1", "h2"] {
        let args = ["--timeout", "1", "--upstream-protocol", protocol];
        let gateway = Gateway::before(&upstream.url(), &args).await;
        // Thirty in a row are more than it takes to open a circuit.
        let calls = (0..3).map(|_| async {
            let (gateway, few) = (&gateway, "few");
            let impatient = format!("{TIME_LEFT}: 800\r\ncontent-length: 9\r\n\r\nfew");
            tokio::join!(
                stall_http1(gateway, "content-length: 100\r\n\r\n"),
                stall_http1(gateway, "content-length: 100\r\n\r\nfew"),
                stall_http1(gateway, "transfer-encoding: chunked\r\n\r\n"),
                stall_http1(gateway, "transfer-encoding: chunked\r\n\r\n3\r\nfew\r\n"),
                // The client's own patience may end first, of which it knows best.
                late_http1(gateway, &impatient),
                stall_http2(gateway, &[], ""),
                stall_http2(gateway, &[], few),
                stall_http2(gateway, &[("content-length", "100")], ""),
                stall_http2(gateway, &[("content-length", "100")], few),
                late_http2(gateway, &[(TIME_LEFT, "800")], few),
            );
        });
        futures_util::future::join_all(calls).await;
        assert_eq!(gateway.guard("circuit_breaker").await["state"], "closed");
        let counted = async |outcome: &str| {
            let labels = ["kind=\"client\"", &format!("outcome=\"{outcome}\"")];
            gateway.metric("tower_keep_calls_total", &labels).await
        };
        assert_eq!(counted("client_error").await, 30.0, "{protocol}");

        let whole = Request::post(gateway.at("/hold")).body(full("an order"));
        let hung = Client::http1().send(whole.expect("a request")).await;
        assert_eq!(hung.status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(counted("timed_out").await, 1.0);
    }
}

/// And this one: whoever stalled while his call was a probe outlasted the probing, which then had failed, so that the
/// circuit of an upstream in good health stayed open for twice as long each time.
#[tokio::test]
async fn probe_with_a_stalled_upload_does_not_reopen_the_circuit() {
    let upstream = Upstream::start().await;
    let address = upstream.address;
    let args = ["--open", "0.1", "--timeout", "0.5"];
    let gateway = Gateway::before(&upstream.url(), &args).await;
    upstream.kill().await;
    break_upstream(&gateway).await;
    let _upstream = Upstream::start_at(address).await;
    eventually("a probe", async || {
        let rest = "content-length: 100\r\n\r\nfew";
        (stalled_http1(&gateway, rest).await == "408").then_some(())
    })
    .await;
    let answer = Client::http1().get(&gateway.at("/")).await;
    assert_eq!(answer.status(), StatusCode::OK);
}

async fn stall_http1(gateway: &Gateway, rest: &str) {
    assert_eq!(stalled_http1(gateway, rest).await, "408", "{rest}");
}

async fn late_http1(gateway: &Gateway, rest: &str) {
    assert_eq!(stalled_http1(gateway, rest).await, "504", "{rest}");
}

/// The status.
async fn stalled_http1(gateway: &Gateway, rest: &str) -> String {
    let address = gateway.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("POST /read HTTP/1.1\r\nhost: a\r\n{rest}");
    let sent = stream.write_all(request.as_bytes()).await;
    sent.expect("a connection");
    let mut line = [0; 12];
    let read = timeout(DEADLINE, stream.read_exact(&mut line)).await;
    read.expect("an answer in time").expect("a status line");
    String::from_utf8_lossy(&line[9..]).into_owned()
}

async fn stall_http2(gateway: &Gateway, headers: &[(&str, &str)], some: &'static str) {
    let status = stalled_http2(gateway, headers, some).await;
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT, "{headers:?}");
}

async fn late_http2(gateway: &Gateway, headers: &[(&str, &str)], some: &'static str) {
    let status = stalled_http2(gateway, headers, some).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{headers:?}");
}

async fn stalled_http2(
    gateway: &Gateway,
    headers: &[(&str, &str)],
    some: &'static str,
) -> StatusCode {
    let (sender, body) = pieces();
    if !some.is_empty() {
        sender.send(Frame::data(some.into())).expect("a reader");
    }
    let mut request = Request::post(gateway.at("/read"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body).expect("a request");
    let answer = Client::http2().send(request).await;
    drop(sender);
    answer.status()
}
