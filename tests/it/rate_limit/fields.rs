//! The fields by which a server tells its callers about the limit.

use http::HeaderMap;
use tower_keep::{
    rate_limit::{RateLimit, RateLimitFields},
    testing::Reply,
};

use super::{SECOND, call, grpc_request, request};

fn limit(fields: RateLimitFields) -> RateLimit {
    let builder = RateLimit::builder("secret name").rate(6, 60 * SECOND);
    let builder = builder.burst(3).fields(fields).policy_name("per minute");
    builder.build().expect("valid")
}

fn fields(headers: &HeaderMap) -> [Option<&str>; 2] {
    ["ratelimit-policy", "ratelimit"].map(|name| headers.get(name)?.to_str().ok())
}

/// Returns the fields of the responses to the burst and to one more call.
async fn fields_of_four(limit: &RateLimit) -> Vec<String> {
    let layer = limit.layer().server();
    let mut all = Vec::new();
    for _ in 0..4 {
        let response = call(&layer, request(), Reply::ok)
            .await
            .expect("a response");
        let [policy, limit] = fields(response.headers());
        assert_eq!(policy.is_some(), limit.is_some());
        assert!(policy.is_none_or(|policy| policy == r#""per minute";q=3;w=30"#));
        all.push(limit.unwrap_or("-").to_owned());
    }
    all
}

#[tokio::test(start_paused = true)]
async fn rejections_have_the_fields_by_default() {
    let all = fields_of_four(&limit(RateLimitFields::default())).await;
    assert_eq!(all, ["-", "-", "-", r#""per minute";r=0;t=10"#]);
}

#[tokio::test(start_paused = true)]
async fn fields_are_on_all_responses_by_option_or_on_none() {
    let all = fields_of_four(&limit(RateLimitFields::Always)).await;
    let expected = [(2, 10), (1, 10), (0, 10), (0, 10)];
    assert_eq!(
        all,
        expected.map(|(rest, time)| format!(r#""per minute";r={rest};t={time}"#))
    );
    let all = fields_of_four(&limit(RateLimitFields::Off)).await;
    assert_eq!(all, ["-"; 4]);
}

#[tokio::test(start_paused = true)]
async fn fields_stand_behind_those_of_the_service_and_not_in_grpc() {
    let layer = limit(RateLimitFields::Always).layer().server();
    let reply = || Reply::ok().header("ratelimit", r#""daily";r=7"#);
    let response = call(&layer, request(), reply).await.expect("a response");
    let all: Vec<_> = response.headers().get_all("ratelimit").iter().collect();
    assert_eq!(all, [r#""daily";r=7"#, r#""per minute";r=2;t=10"#]);
    let reply = || Reply::grpc(0);
    let response = call(&layer, grpc_request(), reply).await;
    assert_eq!(
        fields(response.expect("a response").headers()),
        [None, None]
    );
}

#[tokio::test(start_paused = true)]
async fn fields_are_not_sent_by_clients() {
    let layer = limit(RateLimitFields::Always).layer().client();
    let response = call(&layer, request(), Reply::ok)
        .await
        .expect("a response");
    assert_eq!(fields(response.headers()), [None, None]);
}
