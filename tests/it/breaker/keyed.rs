//! A breaker for each key: bounded, evicting, counted as one.

use std::{
    io,
    sync::Arc,
    task::{Context, Wake, Waker},
    time::Duration,
};

use http::Request;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use proptest::prelude::*;
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    CircuitBreaker, GuardLayer, Outcome, Rejection,
    breaker::{CircuitState, KeyedBreaker},
    registry::Stat,
};

use crate::support::{listing::listing, logs::logs};

fn keyed(name: &'static str, max_keys: usize) -> KeyedBreaker<String> {
    let template = CircuitBreaker::builder(name)
        .consecutive_failures(1)
        .open_jitter(0.0)
        .probes(1);
    let builder = KeyedBreaker::builder(template).max_keys(max_keys);
    builder.build().expect("sound")
}

fn fail(keyed: &KeyedBreaker<String>, key: &str) {
    let permit = keyed.get(key).try_acquire().expect("closed");
    permit.complete(Outcome::Failure);
}

fn keys(keyed: &KeyedBreaker<String>) -> Vec<String> {
    let mut keys: Vec<_> = keyed.states().into_iter().map(|(key, _)| key).collect();
    keys.sort();
    keys
}

fn census(keyed: &KeyedBreaker<String>) -> [u64; 5] {
    CircuitState::ALL.map(|state| keyed.keys_in(state))
}

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
fn evict_removes_least_recently_used() {
    let hosts = keyed("lru", 3);
    for key in ["a", "b", "c", "a", "d"] {
        hosts.get(key);
    }
    hosts.peek("c").expect("there");
    assert_eq!(keys(&hosts), ["a", "c", "d"]);
    hosts.get("e");
    assert_eq!(keys(&hosts), ["a", "d", "e"], "to look is not to use");
}

#[test]
fn evict_spares_open_and_in_use_keys() {
    let hosts = keyed("worth", 4);
    fail(&hosts, "open");
    let call = hosts.get("busy").try_acquire().expect("closed");
    for flood in 0..1_000 {
        hosts.get(format!("idle-{flood}").as_str());
        assert!(hosts.len() <= 4);
    }
    assert!(hosts.peek("open").is_some() && hosts.peek("busy").is_some());
    assert_eq!(census(&hosts), [3, 1, 0, 0, 0]);
    for open in ["o2", "o3", "o4"] {
        fail(&hosts, open);
    }
    assert!(hosts.peek("busy").is_none(), "closed goes before open");
    assert_eq!(census(&hosts), [0, 4, 0, 0, 0]);
    fail(&hosts, "o5");
    assert!(hosts.peek("open").is_none(), "bounded all the same");
    assert_eq!(census(&hosts), [0, 4, 0, 0, 0]);
    call.complete(Outcome::Success);
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

#[tokio::test(start_paused = true)]
async fn keyed_gauge_counts_by_state_without_key_label() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let hosts = keyed("counted keys", 16);
    let shown = |state: &str| {
        let start =
            format!(r#"tower_keep_breaker_state{{breaker="counted keys",state="{state}"}} "#);
        let text = recorder.handle().render();
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.expect("a series").parse::<u32>().expect("a number")
    };
    assert_eq!((shown("closed"), shown("open")), (0, 0));
    fail(&hosts, "a");
    fail(&hosts, "b");
    hosts.get("c");
    assert_eq!((shown("closed"), shown("open")), (1, 2));
    tokio::time::advance(Duration::from_secs(5)).await;
    let probe = hosts.get("a").try_acquire().expect("a probe");
    assert_eq!((shown("half_open"), shown("open")), (1, 1));
    probe.complete(Outcome::Success);
    hosts.remove("b").expect("there").reset();
    assert_eq!((shown("closed"), shown("open")), (2, 0));
    for flood in 0..100 {
        hosts.get(format!("wire-{flood}").as_str());
    }
    assert_eq!(shown("closed"), 16);
    hosts.get("wire-99").force_open();
    hosts.get("wire-99").try_acquire().expect_err("forced");
    let text = recorder.handle().render();
    let evicted = r#"tower_keep_breaker_evictions_total{breaker="counted keys"} 86"#;
    assert!(text.contains(evicted), "{text}");
    let rejected = r#"tower_keep_breaker_rejections_total{breaker="counted keys"} 1"#;
    assert!(text.contains(rejected), "{text}");
    assert!(!text.contains("wire"), "{text}");
}

#[test]
fn keyed_gauge_reaches_late_recorder() {
    let hosts = keyed("late keys", 16);
    fail(&hosts, "a");
    hosts.get("b");
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || fail(&hosts, "c"));
    let text = recorder.handle().render();
    for (state, keys) in [("closed", 1), ("open", 2)] {
        let line = format!(r#"breaker_state{{breaker="late keys",state="{state}"}} {keys}"#);
        assert!(text.contains(&line), "{text}");
    }
}

#[test]
fn keyed_breaker_is_one_registry_entry() {
    let hosts = keyed("entry", 10);
    fail(&hosts, "a");
    hosts.get("b");
    let all = listing().snapshots();
    let mut entries = all.iter().filter(|guard| guard.name() == "entry");
    let entry = entries.next().expect("one");
    assert!(entries.next().is_none());
    assert_eq!(
        (entry.kind(), entry.state()),
        ("keyed_circuit_breaker", "open")
    );
    for (stat, count) in [("keys", 2), ("max_keys", 10), ("open", 1), ("closed", 1)] {
        assert_eq!(entry.stat(stat), Some(&Stat::Count(count)), "{stat}");
    }
}

#[test]
fn keyed_transition_logs_key_escaped() {
    let logs = logs();
    let hosts = keyed("named", 10);
    let mut events = hosts.subscribe();
    let mut of_one = hosts.get("b").subscribe();
    fail(&hosts, "evil\n2026-01-01 INFO all is well\u{1b}[2J");
    fail(&hosts, &"x".repeat(10_000));
    let event = events.try_recv().expect("an event");
    assert_eq!(event.breaker.as_str(), "named");
    let clean = "evil?2026-01-01 INFO all is well?[2J";
    assert_eq!(event.key.expect("a key").as_str(), clean);
    let event = events.try_recv().expect("an event");
    assert!(event.key.expect("a key").as_str().len() <= 132);
    assert!(of_one.try_recv().is_err(), "another key's");
    assert_eq!(logs.events("tower_keep::breaker")[0].get("key"), clean);
}

struct BadWaker;

impl Wake for BadWaker {
    fn wake(self: Arc<Self>) {
        panic!("a waker");
    }
}

/// The panic went to the caller, whose call had nothing to do with it, and nobody was told of any transition of the
/// key any more.
#[test]
fn keyed_subscriber_waker_panic_is_contained() {
    let hosts = keyed("waked", 10);
    let (mut bad, mut good) = (hosts.subscribe(), hosts.subscribe());
    let waker = Waker::from(Arc::new(BadWaker));
    let mut event = Box::pin(bad.recv());
    let first = Future::poll(event.as_mut(), &mut Context::from_waker(&waker));
    assert!(first.is_pending());
    fail(&hosts, "a");
    hosts.get("a").reset();
    for state in [CircuitState::Open, CircuitState::Closed] {
        assert_eq!(good.try_recv().expect("an event").to, state);
    }
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
    assert_eq!(
        Rejection::find(&*error).expect("a rejection").guard(),
        "guard"
    );
    ask("http://good.example/").await.expect("another key");
    for _ in 0..3 {
        let error = ask("/no/key").await.expect_err("fails");
        assert!(Rejection::find(&*error).is_none(), "uncounted");
    }
    assert_eq!(keys(&hosts), ["bad.example:81", "good.example"]);
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

fn opens_after(name: &'static str, failures: u32, max_keys: usize) -> KeyedBreaker<String> {
    let template = CircuitBreaker::builder(name).consecutive_failures(failures);
    let builder = KeyedBreaker::builder(template).max_keys(max_keys);
    builder.build().expect("sound")
}

/// How many of the calls to keys that fail are let pass.
fn passed(hosts: &KeyedBreaker<String>, keys: &[&str], rounds: u32) -> u32 {
    let mut passed = 0;
    for _ in 0..rounds {
        for key in keys {
            if let Ok(permit) = hosts.get(*key).try_acquire() {
                permit.complete(Outcome::Failure);
                passed += 1;
            }
        }
    }
    passed
}

fn open_made_up(hosts: &KeyedBreaker<String>, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let key = format!("made-up-{number}");
        passed(hosts, &[&key], 5);
    }
}

/// Open circuits were kept for ever, so that new keys drove each other out before they had failed often enough.
#[tokio::test(start_paused = true)]
async fn evict_removes_keys_opened_long_ago() {
    let hosts = opens_after("month", 5, 1_000);
    open_made_up(&hosts, 0..2_000);
    assert_eq!(hosts.len() as u64, hosts.keys_in(CircuitState::Open));
    tokio::time::advance(Duration::from_secs(30 * 86_400)).await;
    let all: Vec<_> = (0..100).map(|number| format!("real-{number}")).collect();
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    assert_eq!(passed(&hosts, &all, 10), 500, "five for each, then none");
}

#[tokio::test(start_paused = true)]
async fn evict_spares_used_keys_under_made_up_keys() {
    let hosts = opens_after("attack", 5, 1_000);
    open_made_up(&hosts, 0..1_000);
    let mut let_pass = [0; 2];
    for round in 0..40 {
        for (key, let_pass) in ["real-1", "real-2"].iter().zip(&mut let_pass) {
            *let_pass += passed(&hosts, &[key], 1);
        }
        open_made_up(&hosts, 1_000 + round * 50..1_050 + round * 50);
    }
    assert_eq!(let_pass, [5, 5]);
}

/// Keys between two calls lost their place to any new one, as long as all others had calls in flight.
#[tokio::test(start_paused = true)]
async fn evict_spares_used_keys_while_others_hang() {
    let hosts = opens_after("hang", 20, 100);
    let mut hanging = Vec::new();
    let mut let_pass = 0;
    for round in 0..40 {
        let_pass += passed(&hosts, &["real-1", "real-2"], 1);
        for number in 0..10 {
            let key = format!("hang-{round}-{number}");
            hanging.push(hosts.get(key.as_str()).try_acquire().expect("closed"));
        }
    }
    assert_eq!(let_pass, 40, "twenty for each, then none");
}

fn shown(recorder: &PrometheusRecorder, name: &str, state: &str) -> u64 {
    let start = format!(r#"tower_keep_breaker_state{{breaker="{name}",state="{state}"}} "#);
    let text = recorder.handle().render();
    let line = text.lines().find_map(|line| line.strip_prefix(&start));
    line.expect("a series").parse().expect("a number")
}

/// The gauge said for ever that circuits were open which nobody had any more.
#[test]
fn keyed_gauge_forgets_dropped_set() {
    let _listing = listing();
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let hosts = keyed("leaves", 10);
    let guard = hosts.keyed_by_authority();
    fail(&hosts, "a");
    let b = hosts.get("b");
    let in_flight = b.try_acquire().expect("closed");
    drop(hosts);
    assert_eq!(shown(&recorder, "leaves", "open"), 1, "a guard is left");
    drop(guard);
    for state in CircuitState::ALL {
        assert_eq!(shown(&recorder, "leaves", state.as_str()), 0, "{state}");
    }
    in_flight.complete(Outcome::Failure);
    assert_eq!(b.state(), CircuitState::Open);
    assert_eq!(shown(&recorder, "leaves", "open"), 0, "it counts no more");
}

/// Each set showed its own numbers alone.
#[test]
fn keyed_gauge_sums_sets_of_one_name() {
    let _listing = listing();
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (one, other) = (keyed("twin sets", 10), keyed("twin sets", 10));
    fail(&one, "a");
    fail(&one, "b");
    fail(&other, "a");
    other.get("c");
    assert_eq!(
        (census(&one), census(&other)),
        ([0, 2, 0, 0, 0], [1, 1, 0, 0, 0])
    );
    let both = || ["closed", "open"].map(|state| shown(&recorder, "twin sets", state));
    assert_eq!(both(), [1, 3]);
    drop(one);
    assert_eq!(both(), [1, 1]);
    other.remove("a");
    let third = keyed("twin sets", 10);
    fail(&third, "z");
    assert_eq!(both(), [1, 1]);
    drop((other, third));
    assert_eq!(both(), [0, 0]);
}

#[test]
fn keyed_gauge_clears_in_every_recorder() {
    let _listing = listing();
    let hosts = keyed("leaves all", 10);
    fail(&hosts, "a");
    let [early, late] = [(); 2].map(|()| PrometheusBuilder::new().build_recorder());
    metrics::with_local_recorder(&early, || fail(&hosts, "b"));
    assert_eq!(shown(&early, "leaves all", "open"), 2);
    metrics::with_local_recorder(&late, || fail(&hosts, "c"));
    assert_eq!(shown(&late, "leaves all", "open"), 3);
    // Where neither is the recorder.
    drop(hosts);
    for recorder in [&early, &late] {
        assert_eq!(shown(recorder, "leaves all", "open"), 0);
    }
}

#[test]
fn keyed_flood_stays_within_max_keys() {
    let hosts = keyed("flood", 64);
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let hosts = &hosts;
            scope.spawn(move || {
                for n in 0..2_000_u32 {
                    let key = format!("{}", (n * 7 + thread * 13) % 200);
                    let Ok(permit) = hosts.get(key.as_str()).try_acquire() else {
                        continue;
                    };
                    let failed = n % 97 == 0;
                    permit.complete(match failed {
                        true => Outcome::Failure,
                        false => Outcome::Success,
                    });
                }
            });
        }
    });
    assert!(hosts.len() <= 64);
    let states = hosts.states();
    let count = |state: CircuitState| states.iter().filter(|kept| kept.1 == state).count() as u64;
    assert_eq!(census(&hosts), CircuitState::ALL.map(count));
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

// ---- the figures against a list

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Keeps a handle.
    Get(u8),
    Call(u8, Outcome),
    Forced(u8, bool),
    Remove(u8),
    /// Uses one of the handles that are kept, whatever has become of its key.
    Late(usize, Outcome),
    ResetAll,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..6_u8;
    let outcome = || prop::sample::select(&[Outcome::Success, Outcome::Failure][..]);
    prop_oneof![
        2 => key().prop_map(Step::Get),
        5 => (key(), outcome()).prop_map(|(key, outcome)| Step::Call(key, outcome)),
        2 => (key(), any::<bool>()).prop_map(|(key, open)| Step::Forced(key, open)),
        1 => key().prop_map(Step::Remove),
        3 => (any::<usize>(), outcome()).prop_map(|(which, outcome)| Step::Late(which, outcome)),
        1 => Just(Step::ResetAll),
    ]
}

fn settle(breaker: &CircuitBreaker, outcome: Outcome) {
    if let Ok(permit) = breaker.try_acquire() {
        permit.complete(outcome);
    }
}

proptest! {
    #[test]
    fn keyed_counts_match_a_model(
        most in 1..5_usize, steps in prop::collection::vec(step(), 1..60),
    ) {
        let hosts = keyed("listed keys", most);
        let (mut handles, mut made, mut removed) = (Vec::new(), 0, 0);
        for step in steps {
            let get = |key: u8, made: &mut u64| {
                let key = key.to_string();
                *made += u64::from(hosts.peek(&key).is_none());
                hosts.get(&key)
            };
            match step {
                Step::Get(key) => handles.push(get(key, &mut made)),
                Step::Call(key, outcome) => settle(&get(key, &mut made), outcome),
                Step::Forced(key, true) => get(key, &mut made).force_open(),
                Step::Forced(key, false) => get(key, &mut made).disable(),
                Step::Remove(key) => {
                    removed += u64::from(hosts.remove(&key.to_string()).is_some());
                }
                Step::Late(which, outcome) if !handles.is_empty() => {
                    settle(&handles[which % handles.len()], outcome);
                }
                Step::Late(..) => {}
                Step::ResetAll => hosts.reset_all(),
            }
            let states = hosts.states();
            prop_assert!(states.len() <= most && states.len() == hosts.len());
            let counted = |state| states.iter().filter(|kept| kept.1 == state).count() as u64;
            prop_assert_eq!(census(&hosts), CircuitState::ALL.map(counted));
            let all = listing().snapshots();
            let shown = all.iter().find(|guard| guard.name() == "listed keys").expect("alive");
            let gone = made - removed - states.len() as u64;
            prop_assert_eq!(shown.stat("evicted"), Some(&Stat::Count(gone)));
        }
    }
}
