//! A limit for each key.

use std::{convert::Infallible, future::ready, net::SocketAddr, time::Duration};

use http::{HeaderName, Request, Response};
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keep::{
    Rejection,
    context::TrustedProxies,
    rate_limit::{KeyedRateLimit, RateLimit, RateLimitLayer},
    registry::Stat,
    testing::{Reply, Script, ScriptedBody},
};

use super::{SECOND, always, builder, request};
use crate::support::{listing::listing, logs::logs, meter::meter};

/// One call per second for each key, and so many at once.
fn keyed(burst: u32) -> KeyedRateLimit {
    let built = KeyedRateLimit::builder(builder(burst)).build();
    built.expect("valid settings")
}

#[tokio::test(start_paused = true)]
async fn key_has_a_limit_of_its_own() {
    let tenants = keyed(2);
    for _ in 0..2 {
        tenants.check("a").expect("the burst of a");
    }
    let rejection = tenants.check("a").expect_err("used up");
    assert_eq!(rejection.retry_after(), Some(SECOND));
    tenants.check_n("b", 2).expect("the burst of b");
    assert_eq!((tenants.available("a"), tenants.available("c")), (0, 2));
    assert_eq!(tenants.len(), 2);
    advance(SECOND).await;
    tenants.clone().check("a").expect("one has come back");
    tenants.check("a").expect_err("one only");
    tenants.reset();
    assert!(tenants.is_empty());
    tenants.check_n("a", 2).expect("full");
}

#[tokio::test(start_paused = true)]
async fn waits_of_one_key_do_not_delay_another() {
    let tenants = keyed(1);
    let waits: Vec<_> = ["a", "a", "b", "a"]
        .map(|key| tenants.reserve(key, 1, 9 * SECOND).expect("in time").wait())
        .into();
    assert_eq!(waits, [0, 1, 0, 2].map(|seconds| SECOND * seconds));
    let last = tenants.reserve("a", 1, 9 * SECOND).expect("in time");
    last.cancel();
    let again = tenants.reserve("a", 1, 9 * SECOND).expect("in time");
    assert_eq!(again.wait(), 3 * SECOND);
    tenants.wait("b", SECOND).await.expect("in time");
    tenants.wait("a", SECOND).await.expect_err("too long");
}

#[tokio::test(start_paused = true)]
async fn flood_of_new_keys_neither_evicts_nor_exempts_those_that_are_there() {
    const PLACES: usize = 1_000;
    const HONEST: u32 = 100;
    let limits = KeyedRateLimit::builder(RateLimit::builder("flooded").rate(10, SECOND).burst(5));
    let limits = limits.max_keys(PLACES).build().expect("valid");
    // Callers who come twice a second, and one who is at the limit.
    let come = |caller: u32| limits.check(&("honest", caller)).is_ok();
    (0..HONEST).for_each(|caller| assert!(come(caller)));
    advance(SECOND / 2).await;
    let (mut stranger, mut admitted, mut greedy) = (0_u64, 0, 0);
    for step in 0..100 {
        (0..HONEST).for_each(|caller| assert!(come(caller), "{step}"));
        greedy += (0..10).filter(|_| limits.check("greedy").is_ok()).count();
        for _ in 0..2 * PLACES {
            stranger += 1;
            admitted += usize::from(limits.check(&("stranger", stranger)).is_ok());
        }
        assert!(limits.len() <= PLACES);
        advance(SECOND / 2).await;
    }
    // 50 seconds at 10 per second, and the burst.
    assert!((490..=505).contains(&greedy), "{greedy}");
    // Each place once for each time that it is free, and one bucket for all others.
    let bound = 100 * PLACES + 505;
    assert!(
        admitted <= bound,
        "{admitted} of {stranger}, at most {bound}"
    );
}

#[tokio::test(start_paused = true)]
async fn new_keys_without_room_share_one_limit() {
    let (meter, listing) = (meter(), listing());
    let limits = KeyedRateLimit::builder(RateLimit::builder("small").rate(1, 60 * SECOND).burst(3));
    let limits = limits.max_keys(2).build().expect("valid");
    for key in [1, 2] {
        limits.check(&key).expect("a place");
    }
    let admitted = (3..20).filter(|key| limits.check(key).is_ok()).count();
    assert_eq!(admitted, 3);
    for key in [1, 2] {
        limits.check_n(&key, 2).expect("its own");
    }
    let name = [("rate_limit", "small")];
    let sum = |metric| meter.sum(metric, &name);
    assert_eq!(sum("tower_keep_rate_limit_overflows_total"), Some(17.0));
    assert_eq!(sum("tower_keep_rate_limit_rejections_total"), Some(14.0));
    let all = listing.snapshots();
    let own = all.iter().find(|guard| guard.name() == "small");
    let own = own.expect("registered");
    assert_eq!((own.kind(), own.state()), ("keyed_rate_limit", "full"));
    for (stat, count) in [
        ("burst", 3),
        ("keys", 2),
        ("max_keys", 2),
        ("admitted", 7),
        ("rejected", 14),
        ("overflowed", 17),
        ("evicted", 0),
    ] {
        assert_eq!(own.stat(stat), Some(&Stat::Count(count)), "{stat}");
    }
    // Their buckets are full again, and their places are free.
    advance(3 * 60 * SECOND).await;
    limits.check(&3).expect("a place");
    assert_eq!(limits.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn applied_settings_are_those_of_all_keys_and_keep_what_was_used() {
    let (limits, logs) = (keyed(10), logs());
    for (key, calls) in [("a", 8), ("b", 3)] {
        limits.check_n(key, calls).expect("of the burst");
    }
    let mut settings = limits.settings();
    settings.burst = Some(20);
    limits.apply(&settings).expect("valid");
    let available = ["a", "b", "c"].map(|key| limits.available(key));
    assert_eq!(available, [12, 17, 20]);
    settings.burst = Some(0);
    limits.apply(&settings).expect_err("invalid");
    assert_eq!(limits.settings().burst, Some(20));
    assert_eq!(logs.events("tower_keep::rate_limit").len(), 1);
}

#[test]
fn build_names_the_invalid_setting() {
    let keyed = || KeyedRateLimit::builder(builder(1));
    for (builder, field) in [
        (keyed().max_keys(0), "max_keys"),
        (keyed().max_keys(usize::MAX), "max_keys"),
        (keyed().idle_time(std::time::Duration::MAX), "idle_time"),
        (KeyedRateLimit::builder(super::builder(0)), "burst"),
    ] {
        let error = builder.build().expect_err("invalid");
        assert_eq!(error.field(), field);
        assert!(error.to_string().starts_with(r#"rate limit "peer": "#));
    }
}

/// Makes a call with these headers and this peer, and returns the status and the key of the rejection.
async fn call<L>(
    layer: &L,
    header: Option<(&'static str, &'static str)>,
    peer: Option<&str>,
) -> (u16, Option<String>)
where
    L: Layer<Script>,
    L::Service: Service<Request<ScriptedBody>, Response: IsResponse, Error: std::fmt::Debug>,
{
    let mut request = request();
    if let Some((name, value)) = header {
        let value = value.parse().expect("a value");
        request.headers_mut().insert(name, value);
    }
    if let Some(peer) = peer {
        let peer: SocketAddr = peer.parse().expect("an address");
        request.extensions_mut().insert(peer);
    }
    let service = layer.layer(always(Reply::ok));
    let response = service.oneshot(request).await.expect("a response");
    response.status_and_key()
}

trait IsResponse {
    fn status_and_key(&self) -> (u16, Option<String>);
}

impl<B> IsResponse for Response<B> {
    fn status_and_key(&self) -> (u16, Option<String>) {
        let rejection = self.extensions().get::<Rejection>();
        let key = rejection.and_then(Rejection::key).map(str::to_owned);
        (self.status().as_u16(), key)
    }
}

#[tokio::test(start_paused = true)]
async fn header_is_the_key_and_is_shown_nowhere() {
    let limits = keyed(1);
    let guard = limits.keyed_by_header(HeaderName::from_static("x-api-key"));
    let layer = guard.layer().server();
    for (key, status) in [("a", 200), ("a", 429), ("b", 200), ("b", 429)] {
        let (found, shown) = call(&layer, Some(("x-api-key", key)), None).await;
        assert_eq!((found, shown), (status, None), "{key}");
    }
    assert_eq!(limits.available("a"), 0);
    // Those without the header are one caller.
    assert_eq!(call(&layer, None, None).await.0, 200);
    assert_eq!(call(&layer, Some(("x-other", "a")), None).await.0, 429);
}

#[tokio::test(start_paused = true)]
async fn calls_without_a_key_are_admitted_by_option() {
    let limits = KeyedRateLimit::builder(builder(1)).admit_without_key(true);
    let limits = limits.build().expect("valid");
    let guard = limits.keyed_by_header(HeaderName::from_static("x-api-key"));
    let layer = guard.layer().server();
    for _ in 0..3 {
        assert_eq!(call(&layer, None, None).await.0, 200);
    }
    assert!(limits.is_empty());
}

#[tokio::test(start_paused = true)]
async fn client_address_is_that_of_the_peer_unless_a_proxy_is_trusted() {
    let forwarded = |address| Some(("x-forwarded-for", address));
    let layer = |proxies| keyed(1).keyed_by_client_address(proxies).layer().server();
    let untrusted = layer(TrustedProxies::none());
    let peer = Some("10.0.0.1:80");
    assert_eq!(call(&untrusted, forwarded("192.0.2.1"), peer).await.0, 200);
    let rejected = call(&untrusted, forwarded("192.0.2.2"), peer).await;
    assert_eq!(rejected, (429, Some("10.0.0.1".to_owned())));

    let proxies = TrustedProxies::x_forwarded_for(["10.0.0.0/8"]).expect("networks");
    let trusted = layer(proxies);
    for (address, status) in [
        ("192.0.2.1", 200),
        ("192.0.2.2", 200),
        ("192.0.2.1", 429),
        // What a caller adds in front counts for nothing.
        ("192.0.2.9, 192.0.2.2", 429),
    ] {
        let found = call(&trusted, forwarded(address), peer).await;
        assert_eq!(found.0, status, "{address}");
    }
    // A caller has as many IPv6 addresses as it likes.
    for (peer, status) in [
        ("[2001:db8::1]:80", 200),
        ("[2001:db8::ffff:1]:80", 429),
        ("[2001:db8:0:1::1]:80", 200),
    ] {
        assert_eq!(call(&trusted, None, Some(peer)).await.0, status, "{peer}");
    }
}

#[cfg(feature = "axum")]
#[tokio::test(start_paused = true)]
async fn route_of_axum_is_the_key() {
    use axum::{Router, body::Body, routing::get};

    let limits = keyed(1);
    let app: Router = Router::new()
        .route("/orders/{id}", get(async || "an order"))
        .route("/quotes", get(async || "a quote"))
        .route_layer(limits.keyed_by_route().layer().server());
    for (path, status) in [
        ("/orders/1", 200),
        ("/orders/2", 429),
        ("/quotes", 200),
        ("/quotes", 429),
    ] {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let response = app.clone().oneshot(request).await.expect("a response");
        assert_eq!(response.status(), status, "{path}");
    }
    assert_eq!(limits.available("/orders/{id}"), 0);
}

#[tokio::test(start_paused = true)]
async fn closures_make_or_find_keys_of_any_service() {
    let service = service_fn(|row: u32| ready(Ok::<_, Infallible>(row)));
    let limits = keyed(1);
    let layer = limits.keyed_by(|row: &u32| (*row < 100).then_some(row % 2));
    let layer = layer.layer().any();
    for (row, is_admitted) in [(0, true), (2, false), (1, true), (3, false), (100, true)] {
        let answer = layer.layer(service).oneshot(row).await;
        assert_eq!(answer.is_ok(), is_admitted, "{row}");
        if let Err(error) = answer {
            let rejection = Rejection::find(&*error).expect("a rejection");
            assert_eq!(rejection.key(), Some(&*(row % 2).to_string()));
        }
    }
    let service = service_fn(|name: String| ready(Ok::<_, Infallible>(name)));
    let layer = limits.keyed_by_ref(|name: &String| Some(name.as_str()));
    let layer = layer.layer().any();
    let call = async |name: &str| layer.layer(service).oneshot(name.to_owned()).await.is_ok();
    assert!(call("a").await && !call("a").await && call("b").await);
    assert_eq!(limits.available("a"), 0);
}

#[tokio::test(start_paused = true)]
async fn closure_that_panics_admits_the_call() {
    let service = service_fn(|row: u32| ready(Ok::<_, Infallible>(row)));
    let limits = keyed(1);
    let broken = limits.keyed_by(|_: &u32| -> Option<u32> { panic!("a bug") });
    let layer = broken.layer().any();
    for row in 0..3 {
        layer.layer(service).oneshot(row).await.expect("admitted");
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_empty_the_limit_of_the_key() {
    let limits = keyed(10);
    let guard = limits.keyed_by_ref(|request: &Request<ScriptedBody>| request.uri().host());
    let layer = guard.layer().client();
    let reply = || Reply::status(429).header("retry-after", "7");
    let service = layer.layer(always(reply));
    service.oneshot(request()).await.expect("a response");
    let rejection = limits.check("a.example").expect_err("empty");
    assert_eq!(rejection.retry_after(), Some(7 * SECOND));
    assert_eq!(limits.available("b.example"), 10);
}

#[tokio::test(start_paused = true)]
async fn weight_of_a_request_is_as_many_calls_of_its_key() {
    let tenants = keyed(10);
    let guard = tenants
        .keyed_by(|(tenant, _): &(&'static str, u32)| Some(*tenant))
        .weighted_by(|(_, weight): &(&'static str, u32)| match weight {
            13 => panic!("unlucky"),
            weight => *weight,
        });
    let service = service_fn(|_: (&str, u32)| ready(Ok::<_, Infallible>(())));
    let service = guard.layer().any().layer(service);
    let call = |tenant, weight| service.clone().oneshot((tenant, weight));
    call("a", 7).await.expect("of the burst");
    let error = call("a", 4).await.expect_err("3 are left");
    let rejection = Rejection::find(&*error).expect("a rejection");
    assert_eq!(rejection.retry_after(), Some(SECOND));
    assert_eq!(rejection.key(), Some("a"));
    call("a", 0).await.expect("takes nothing");
    call("b", 10).await.expect("a limit of its own");
    let error = call("c", 11).await.expect_err("above the burst");
    let rejection = Rejection::find(&*error).expect("a rejection");
    assert_eq!(rejection.retry_after(), None);
    call("c", 13).await.expect("limits nothing");
    let available = ["a", "b", "c"].map(|key| tenants.available(key));
    assert_eq!(available, [3, 0, 10]);
}

/// The key or the weight of a request, or the text of its key for the rejection.
#[tokio::test(start_paused = true)]
async fn closure_that_panics_limits_nothing_where_calls_wait_as_well() {
    let service = service_fn(|_: u32| ready(Ok::<_, Infallible>(())));
    let limits = keyed(1);
    let broken = limits.keyed_by(|_: &u32| -> Option<u32> { panic!("a bug") });
    let layer = RateLimitLayer::any(broken);
    let weighted = limits.keyed_by(|key: &u32| Some(*key));
    let weighted = RateLimitLayer::any(weighted.weighted_by(|_| panic!("a bug")));
    for row in 0..3 {
        let answer = layer.layer(service).oneshot(row).await;
        answer.expect("admitted");
        let answer = weighted.layer(service).oneshot(row).await;
        answer.expect("admitted");
    }
    assert!(limits.is_empty());
}

/// A key whose text cannot be had.
#[derive(Hash)]
struct Silent;

impl std::fmt::Display for Silent {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("a bug")
    }
}

#[tokio::test(start_paused = true)]
async fn rejection_stays_one_if_the_text_of_its_key_panics() {
    let service = service_fn(|_: u32| ready(Ok::<_, Infallible>(())));
    let template = builder(1).max_wait(Duration::ZERO);
    let limits = KeyedRateLimit::builder(template).build().expect("valid");
    let guard = limits.keyed_by(|_: &u32| Some(Silent));
    limits.check(&Silent).expect("the burst");
    let error = guard.layer().any().layer(service).oneshot(7).await;
    let error = error.expect_err("rejected at once");
    assert_eq!(Rejection::find(&*error).and_then(Rejection::key), None);
    let error = RateLimitLayer::any(guard).layer(service).oneshot(7).await;
    let error = error.expect_err("cannot wait");
    assert_eq!(Rejection::find(&*error).and_then(Rejection::key), None);
}

/// The rejection said that all of the burst was left, that of a key which had never called.
#[tokio::test(start_paused = true)]
async fn fields_of_a_key_without_a_place_are_those_of_the_limit_that_it_shares() {
    let limits = KeyedRateLimit::builder(builder(2)).max_keys(1);
    let limits = limits.build().expect("valid");
    limits.check("a").expect("a place");
    limits.check("b").expect("shares a limit");
    limits.check("c").expect("shares it");
    assert_eq!(["a", "b", "d"].map(|key| limits.available(key)), [1, 0, 0]);
    let guard = limits.keyed_by_ref(|request: &Request<ScriptedBody>| request.uri().host());
    let service = guard.layer().server().layer(always(Reply::ok));
    let response = service.oneshot(request()).await.expect("a response");
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["ratelimit"], r#""default";r=0;t=1"#);
}
