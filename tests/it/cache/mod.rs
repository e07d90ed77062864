//! Caches: around closures and plain services, and over HTTP.

mod http_calls;
mod keys;
mod memory;
mod real;
mod removal;
mod storm;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::time::advance;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    BoxError, CircuitBreaker, Rejection,
    cache::{Cache, CacheLayer, CacheSettings},
    registry::{self, GuardAction},
};

const SECOND: Duration = Duration::from_secs(1);

/// A cache of ten seconds, and of ten more after failures.
fn cache(name: &'static str) -> Cache {
    let cache = Cache::builder(name).ttl(10 * SECOND);
    let cache = cache.stale_if_error(10 * SECOND).build();
    cache.expect("valid settings")
}

/// A source of numbers that counts how often it is asked, and can be told to fail.
#[derive(Clone, Default)]
struct Source {
    calls: Arc<AtomicU32>,
    fails: Arc<AtomicU32>,
}

impl Source {
    fn calls(&self) -> u32 {
        self.calls.load(SeqCst)
    }

    fn fail(&self, on: bool) {
        self.fails.store(u32::from(on), SeqCst);
    }

    async fn load(self) -> io::Result<u32> {
        let number = self.calls.fetch_add(1, SeqCst);
        match self.fails.load(SeqCst) {
            0 => Ok(number),
            _ => Err(io::Error::other("down")),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn result_is_given_again_until_its_time_is_over() {
    let (cache, source) = (cache("ttl"), Source::default());
    let load = |key: u32| cache.run(key, source.clone().load());
    assert_eq!(load(7).await.expect("a number"), 0);
    advance(9 * SECOND).await;
    assert_eq!(load(7).await.expect("a number"), 0);
    assert_eq!(load(8).await.expect("a number"), 1, "another key");
    advance(SECOND).await;
    assert_eq!(load(7).await.expect("a number"), 2);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.stored), (1, 3, 3));
    assert_eq!((stats.entries, stats.stale), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn failure_is_not_kept_and_gives_way_to_a_stale_result() {
    let (cache, source) = (cache("failures"), Source::default());
    let load = || cache.run(7, source.clone().load());
    source.fail(true);
    for _ in 0..2 {
        load().await.expect_err("down, and nothing is kept");
    }
    assert_eq!((source.calls(), cache.stats().stored), (2, 0));
    source.fail(false);
    assert_eq!(load().await.expect("a number"), 2);
    source.fail(true);
    advance(10 * SECOND).await;
    assert_eq!(load().await.expect("a stale number"), 2);
    assert_eq!((source.calls(), cache.stats().stale), (4, 1));
    advance(10 * SECOND).await;
    load().await.expect_err("older than allowed");
}

#[tokio::test(start_paused = true)]
async fn error_of_the_caller_is_no_reason_for_a_stale_result() {
    let cache = cache("callers");
    let result = cache.run_display(7, async { Ok::<_, BoxError>(1) }).await;
    assert_eq!(result.expect("a number"), 1);
    advance(10 * SECOND).await;
    let down = async { Err::<i32, BoxError>("down".into()) };
    assert_eq!(cache.run_display(7, down).await.expect("a stale number"), 1);
    #[cfg(feature = "tonic")]
    {
        let invalid = async { Err::<i32, _>(tonic::Status::invalid_argument("no such quote")) };
        cache.run(7, invalid).await.expect_err("the caller's fault");
    }
}

#[tokio::test(start_paused = true)]
async fn results_of_other_types_are_other_results() {
    let cache = cache("types");
    let number = cache.run(7, async { Ok::<_, io::Error>(1_u8) }).await;
    let text = cache.run(7, async { Ok::<_, io::Error>("one") }).await;
    assert_eq!(
        (number.expect("a number"), text.expect("a text")),
        (1, "one")
    );
    assert!(cache.remove::<_, u8>(7));
    assert_eq!(cache.stats().entries, 1);
    cache.clear();
    assert_eq!(cache.stats().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn service_gives_kept_responses_while_the_circuit_is_open() {
    let (cache, source) = (cache("circuit"), Source::default());
    let breaker = CircuitBreaker::new("cache.circuit");
    let inner = {
        let source = source.clone();
        service_fn(move |_: u32| source.clone().load())
    };
    let keys = |id: &u32| (*id > 0).then_some(*id);
    let service = ServiceBuilder::new()
        .layer(CacheLayer::any(cache.clone(), keys))
        .layer(breaker.layer().any())
        .service(inner);
    let call = |id: u32| service.clone().oneshot(id);
    assert_eq!(call(7).await.expect("a number"), 0);
    assert_eq!(call(7).await.expect("the same number"), 0);
    breaker.force_open();
    advance(10 * SECOND).await;
    assert_eq!(call(7).await.expect("a stale number"), 0);
    for id in [8, 0] {
        let error = call(id).await.expect_err("nothing is kept");
        assert!(Rejection::find(&*error).is_some());
    }
    breaker.reset();
    assert_eq!(call(7).await.expect("a new number"), 1);
    assert_eq!(
        (call(0).await.expect("made"), call(0).await.expect("made")),
        (2, 3)
    );
    assert_eq!((source.calls(), cache.stats().stale), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn flood_of_keys_stays_inside_of_the_bounds() {
    let cache = Cache::builder("cache.flood")
        .max_entries(100)
        .max_bytes(10_000);
    let cache = cache.max_body_bytes(100).build().expect("valid settings");
    for key in 0..10_000_u32 {
        let result = cache.run(key, async { Ok::<_, io::Error>(key) }).await;
        assert_eq!(result.expect("a number"), key);
        // One that is in use.
        cache
            .run("hot", async { Ok::<_, io::Error>(1) })
            .await
            .expect("a number");
    }
    let stats = cache.stats();
    assert!(stats.entries <= 100 && stats.bytes <= 10_000, "{stats:?}");
    assert!(stats.hits > 9_000, "what is in use stays: {stats:?}");
    let huge = cache
        .run(1_u8, async { Ok::<_, io::Error>([0_u8; 20_000]) })
        .await;
    assert_eq!(huge.expect("an array").len(), 20_000);
    assert!(cache.stats().bytes <= 10_000);
}

#[tokio::test(start_paused = true)]
async fn call_that_finds_a_result_holds_no_readiness_of_the_service() {
    let cache = cache("cache.readiness");
    let inner = tower::limit::ConcurrencyLimitLayer::new(1)
        .layer(service_fn(async |id: u32| Ok::<_, io::Error>(id)));
    let layer = CacheLayer::any(cache, |id: &u32| Some(*id));
    let service = layer.layer(inner.clone());
    service.clone().oneshot(7).await.expect("a number");
    let mut found = service.clone();
    let found = ServiceExt::<u32>::ready(&mut found).await.expect("ready");
    let call = tower::Service::call(found, 7);
    let mut inner = inner;
    let ready = tokio::time::timeout(SECOND, ServiceExt::<u32>::ready(&mut inner)).await;
    assert!(ready.is_ok(), "the slot is free");
    assert_eq!(call.await.expect("a number"), 7);
}

#[tokio::test(start_paused = true)]
async fn settings_are_checked_and_applied_and_operators_control_it() {
    let mut settings = CacheSettings::default();
    settings.ttl = Duration::ZERO;
    let error = Cache::builder("x").settings(&settings).build();
    assert_eq!(
        error.expect_err("a bad value").to_string(),
        r#"cache "x": ttl is 0ns, must be 1 ms to 365 days"#
    );
    let (cache, source) = (cache("cache.operated"), Source::default());
    let load = || cache.run(7, source.clone().load());
    load().await.expect("a number");
    assert!(cache.apply(&settings).is_err());
    settings = cache.settings();
    settings.ttl = SECOND;
    cache.apply(&settings).expect("valid settings");
    assert_eq!(cache.stats().entries, 1, "times leave results as they are");
    advance(SECOND).await;
    assert_eq!(load().await.expect("a new number"), 1);
    settings.max_entries = 5;
    cache.apply(&settings).expect("valid settings");
    assert_eq!(
        cache.stats().entries,
        0,
        "results have the weight of other bounds"
    );
    for key in 0..50 {
        cache
            .run(key, source.clone().load())
            .await
            .expect("a number");
    }
    assert!(cache.stats().entries <= 5);

    let set = |name, value| registry::set("cache", "cache.operated", name, value);
    set("ttl_seconds", Some(60.0)).expect("in range");
    set("stale_if_error_seconds", None).expect("can be off");
    assert_eq!(cache.settings().ttl, 60 * SECOND);
    assert_eq!(cache.settings().stale_if_error, None);
    let act = |action| registry::act("cache", "cache.operated", action);
    assert_eq!(act(GuardAction::Disable), 1);
    let before = source.calls();
    load().await.expect("a number");
    load().await.expect("a number");
    assert_eq!(source.calls(), before + 2);
    assert_eq!(act(GuardAction::Reset), 1);
    assert_eq!(cache.stats().entries, 0);
    load().await.expect("a number");
    load().await.expect("a number");
    assert_eq!(source.calls(), before + 3);
}

#[cfg(feature = "serde")]
#[test]
fn settings_come_from_a_file() {
    let settings: CacheSettings =
        toml::from_str("ttl = \"5s\"\nstale_if_error = \"off\"").expect("settings");
    assert_eq!((settings.ttl, settings.stale_if_error), (5 * SECOND, None));
    let error = toml::from_str::<CacheSettings>("time = 5").expect_err("unknown");
    assert!(error.to_string().contains("max_entries"), "{error}");
}
