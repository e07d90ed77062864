//! Requests that are told apart and found again: IDs, traces, the log.

use http::{HeaderMap, Request, StatusCode};

use super::{
    client::{Client, full, get, text},
    clients, id,
    process::Gateway,
    upstream::Upstream,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

#[tokio::test]
async fn correlation_id_finds_a_failure_everywhere() {
    let mut upstream = Upstream::start().await;
    let mut gateway = Gateway::before(&upstream.url(), &["--log", "json"]).await;
    let request = get(&gateway.at("/fail"), &[("x-correlation-id", "chain-1")]);
    let answer = Client::http1().send(request).await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.headers()["x-correlation-id"], "chain-1");
    let request_id = id(answer.headers());
    text(answer).await;

    let received = upstream.received().await.headers;
    assert_eq!(received["x-correlation-id"], "chain-1");
    let (trace_id, _) = traceparent(&received);

    let line = gateway
        .logged(|line| line["correlation_id"] == "chain-1")
        .await;
    assert_eq!(
        (&line["level"], &line["outcome"]),
        (&"ERROR".into(), &"failure".into())
    );
    let groups = gateway.errors().await;
    let [group] = &*groups else {
        panic!("one fault is one group: {groups:#?}");
    };
    assert_eq!(group["fingerprint"], line["error_group"]);
    for seen in [&group["latest"], &line] {
        assert_eq!(seen["correlation_id"], "chain-1");
        assert_eq!(seen["request_id"], request_id);
        assert_eq!(seen["trace_id"], trace_id);
    }
}

#[tokio::test]
async fn operator_changes_the_log_filter_over_the_console() {
    const TOKEN: &str = "the token of an operator";
    let upstream = Upstream::start().await;
    let upstream = upstream.url();
    let args = ["--upstream", &*upstream, "--log", "json"];
    let mut gateway = Gateway::with_env(&args, &[("OPS_OPERATOR_TOKEN", TOKEN)]).await;
    let client = Client::http1();
    let resource = format!("{}/ops/api/v1/log-level", gateway.admin);
    let bearer = format!("Bearer {TOKEN}");
    let filter = async || {
        let answer = client
            .send(get(&resource, &[("authorization", &bearer)]))
            .await;
        serde_json::from_str::<serde_json::Value>(&text(answer).await).expect("JSON")["filter"]
            .clone()
    };
    let set = async |filter: &str| {
        let body = serde_json::json!({"filter": filter, "seconds": 60, "reason": "a test"});
        let request = Request::post(&resource)
            .header("authorization", &bearer)
            .header("content-type", "application/json")
            .body(full(body.to_string()));
        let answer = client.send(request.expect("a request")).await;
        assert_eq!(answer.status(), StatusCode::OK, "{}", text(answer).await);
    };
    assert_eq!(filter().await, "info");
    let call = async |id: &str| {
        let request = get(&gateway.at("/"), &[("x-correlation-id", id)]);
        text(client.send(request).await).await;
    };
    call("before").await;
    set("warn").await;
    assert_eq!(filter().await, "warn");
    call("quiet").await;
    set("info").await;
    call("after").await;
    let id = async |gateway: &mut Gateway| {
        let line = gateway.logged(|line| line["correlation_id"].is_string());
        line.await["correlation_id"].clone()
    };
    assert_eq!(id(&mut gateway).await, "before");
    assert_eq!(id(&mut gateway).await, "after");
}

#[tokio::test]
async fn valid_ids_are_kept_and_others_replaced() {
    let mut upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream.url(), &[]).await;
    let endless = "x".repeat(10_000);
    for (client, _) in clients() {
        let valid = get(&gateway.at("/"), &[("x-request-id", "mine-1")]);
        let answer = client.send(valid).await;
        assert_eq!(id(answer.headers()), "mine-1");
        let received = upstream.received().await.headers;
        assert_eq!(id(&received), "mine-1");
        assert!(!received.contains_key("x-correlation-id"), "the same");

        let malformed = get(&gateway.at("/"), &[("x-request-id", &endless)]);
        let answer = client.send(malformed).await;
        assert_eq!(id(answer.headers()).len(), 32);
        let received = upstream.received().await.headers;
        assert_eq!(id(&received), id(answer.headers()));
    }
}

#[tokio::test]
async fn trace_continues_with_a_span_for_each_hop() {
    let mut upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream.url(), &[]).await;
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let headers = [("traceparent", &*parent), ("tracestate", "vendor=1")];
    let mut spans = vec![SPAN.to_owned()];
    for _ in 0..2 {
        Client::http1().send(get(&gateway.at("/"), &headers)).await;
        let received = upstream.received().await.headers;
        assert_eq!(received["tracestate"], "vendor=1");
        let (trace, span) = traceparent(&received);
        assert_eq!(trace, TRACE);
        assert!(!spans.contains(&span), "{span} again");
        spans.push(span);
    }
}

/// Returns the trace and the span that a request belongs to.
fn traceparent(headers: &HeaderMap) -> (String, String) {
    let value = headers["traceparent"].to_str().expect("text");
    let mut parts = value.split('-').skip(1).map(str::to_owned);
    (
        parts.next().expect("a trace"),
        parts.next().expect("a span"),
    )
}
