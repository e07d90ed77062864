//! The endpoints: from a list, a channel, and DNS.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc, time::advance};
use tower::{ServiceExt, service_fn};
use tower_keep::{
    Balance, BoxError, Rejection, RejectionKind,
    balance::{EndpointChange, Endpoints, Resolve, SystemResolver},
    testing::{Reply, Script},
};

use super::{MILLI, Peers, SECOND, balancer, builder, calls, request};

/// A name server whose answer a test changes.
#[derive(Clone, Default)]
struct Names {
    answer: Arc<Mutex<Option<Vec<u8>>>>,
    asked: Arc<AtomicU32>,
}

impl Names {
    fn answer(&self, hosts: Option<&[u8]>) {
        *self.answer.lock().expect("no panic") = hosts.map(<[u8]>::to_vec);
    }
}

impl Resolve for Names {
    async fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        assert_eq!(name, "ledger.internal:80");
        self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = self.answer.lock().expect("no panic").clone();
        let hosts = answer.ok_or(io::ErrorKind::NotConnected)?;
        Ok(hosts.into_iter().map(address).collect())
    }
}

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], 80))
}

#[tokio::test(start_paused = true)]
async fn addresses_of_a_name_are_followed_and_kept_while_it_is_not_found() {
    let balancer =
        Balance::new("by name").client(|_: &SocketAddr| Script::<BoxError>::always(Reply::ok));
    let (endpoints, names) = (balancer.endpoints(), Names::default());
    let hosts = || {
        let keys = endpoints.keys();
        let host = |key: &SocketAddr| key.to_string().split(['.', ':']).nth(3).map(str::to_owned);
        keys.iter().filter_map(host).collect::<Vec<_>>().join(" ")
    };
    names.answer(Some(&[1, 2, 2]));
    let follow = endpoints.follow_dns("ledger.internal:80", 30 * SECOND, names.clone());
    let follow = tokio::spawn(follow.expect("valid settings"));
    let tick = async || {
        tokio::time::sleep(30 * SECOND).await;
        tokio::task::yield_now().await;
    };
    tokio::time::sleep(MILLI).await;
    assert_eq!(hosts(), "1 2");
    names.answer(Some(&[2, 3]));
    tick().await;
    assert_eq!(hosts(), "2 3");
    for failed in [None, Some(&[][..])] {
        names.answer(failed);
        tick().await;
        assert_eq!(hosts(), "2 3", "kept");
    }
    names.answer(Some(&[4]));
    tick().await;
    assert_eq!(hosts(), "4");
    assert_eq!(names.asked.load(Ordering::Relaxed), 5);
    drop(balancer);
    follow.await.expect("it ends with the balancer");
}

#[tokio::test(start_paused = true)]
async fn look_up_that_hangs_keeps_the_endpoints() {
    struct Hangs;
    impl Resolve for Hangs {
        async fn resolve(&self, _: &str) -> io::Result<Vec<SocketAddr>> {
            std::future::pending().await
        }
    }
    let balancer =
        Balance::new("hangs").client(|_: &SocketAddr| Script::<BoxError>::always(Reply::ok));
    balancer.endpoints().set([address(1)]);
    let follow = balancer
        .endpoints()
        .follow_dns("ledger.internal:80", SECOND, Hangs);
    let follow = tokio::spawn(follow.expect("valid settings"));
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(balancer.endpoints().keys(), [address(1)]);
    drop(balancer);
    follow.await.expect("it ends although it hangs");
}

#[tokio::test]
async fn system_resolver_finds_this_machine() {
    let found = SystemResolver
        .resolve("localhost:81")
        .await
        .expect("an address");
    assert!(
        found
            .iter()
            .all(|address| address.ip().is_loopback() && address.port() == 81)
    );
}

#[tokio::test]
async fn look_up_that_cannot_be_is_an_error_that_names_the_field() {
    let balancer =
        Balance::new("bad look-up").client(|_: &SocketAddr| Script::<BoxError>::always(Reply::ok));
    let endpoints = balancer.endpoints();
    let error = |name: &str, interval| {
        let follow = endpoints.follow_dns(name, interval, SystemResolver);
        follow.err().expect("an error").to_string()
    };
    for name in [
        "ledger",
        ":80",
        "ledger:0",
        "ledger:http",
        &format!("{}:80", "a".repeat(300)),
    ] {
        assert!(
            error(name, SECOND).ends_with("must be host:port, at most 259 bytes"),
            "{name}"
        );
    }
    for interval in [Duration::ZERO, 2 * Duration::from_secs(3_600)] {
        let text = format!("look-up: interval is {interval:?}, must be 100 ms to 1 h");
        assert_eq!(error("ledger:80", interval), text);
    }
}

#[tokio::test(start_paused = true)]
async fn changes_of_a_channel_are_followed_until_it_closes_or_the_balancer_is_dropped() {
    let peers = Peers::new([]);
    let balancer = balancer(builder("channel"), &peers);
    let (changes, receiver) = mpsc::channel(4);
    let follow = tokio::spawn(balancer.endpoints().follow(receiver));
    for change in [
        EndpointChange::Insert(1),
        EndpointChange::Insert(2),
        EndpointChange::Insert(1),
        EndpointChange::Remove(7),
        EndpointChange::Remove(1),
        EndpointChange::Insert(3),
    ] {
        changes.send(change).await.expect("a follower");
    }
    drop(changes);
    follow.await.expect("the channel is closed");
    assert_eq!(balancer.endpoints().keys(), [2, 3]);

    let (changes, receiver) = mpsc::channel::<EndpointChange<u32>>(4);
    let endpoints = balancer.endpoints();
    let follow = tokio::spawn(endpoints.follow(receiver));
    drop(balancer);
    follow.await.expect("the balancer is dropped");
    assert!(changes.is_closed());
    assert!(!endpoints.insert(1) && endpoints.keys().is_empty());
}

#[tokio::test(start_paused = true)]
async fn endpoint_that_stays_keeps_its_state() {
    let peers = Peers::new([(200, MILLI), (200, MILLI), (200, MILLI)]);
    let balancer = balancer(builder("stays"), &peers);
    calls(&balancer, 90).await;
    let called = |index: usize| balancer.balance().stats().endpoints[index].calls;
    let before = called(1);
    assert!(before > 0);
    balancer.endpoints().set([1, 2]);
    assert_eq!(called(0), before);
    // One that comes back is new.
    balancer.endpoints().remove(&1);
    assert!(balancer.endpoints().insert(1));
    assert_eq!(called(1), 0);
}

#[tokio::test(start_paused = true)]
async fn removed_endpoint_drops_its_state_after_a_hundred_thousand_changes() {
    let token = Arc::new(());
    let made = token.clone();
    let balancer = Balance::new("changing").any(move |_: &u32| {
        let token = made.clone();
        service_fn(move |_: ()| {
            let token = token.clone();
            async move { Ok::<_, BoxError>(Arc::strong_count(&token)) }
        })
    });
    let endpoints = balancer.endpoints();
    endpoints.set(0..8);
    let few = Arc::strong_count(&token);
    for key in 8..50_008 {
        assert!(endpoints.insert(key) && endpoints.remove(&(key - 8)));
        if key % 5_000 == 0 {
            balancer.clone().oneshot(()).await.expect("an endpoint");
        }
    }
    assert_eq!(endpoints.keys().len(), 8);
    assert_eq!(balancer.balance().stats().endpoints.len(), 8);
    assert_eq!(Arc::strong_count(&token), few);
    let balance = balancer.balance();
    drop(balancer);
    assert_eq!(balance.stats().endpoints, []);
    assert_eq!(Arc::strong_count(&token), 1);
}

#[tokio::test(start_paused = true)]
async fn endpoints_are_bounded() {
    let balancer =
        Balance::new("bounded").any(|_: &u32| service_fn(async |_: ()| Ok::<_, BoxError>(())));
    let endpoints = balancer.endpoints();
    endpoints.set(0..3_000);
    assert_eq!(endpoints.keys(), (0..1_000).collect::<Vec<_>>());
    assert!(!endpoints.insert(5_000));
    endpoints.remove(&0);
    assert!(endpoints.insert(5_000));
}

#[tokio::test(start_paused = true)]
async fn call_without_an_endpoint_is_rejected() {
    let balance = Balance::new("empty");
    let balancer = balance.client(|_: &u32| Script::<BoxError>::always(Reply::ok));
    let error = balancer
        .clone()
        .oneshot(request())
        .await
        .expect_err("no endpoint");
    let rejection = Rejection::find(&*error).expect("a rejection");
    assert_eq!(rejection.kind(), RejectionKind::Overloaded);
    assert_eq!(
        (rejection.guard(), rejection.reason()),
        ("empty", Some("there is no endpoint"))
    );
    assert_eq!(balance.stats().rejected, 1);
    let grpc = balance.grpc_client(|_: &u32| Script::<BoxError>::always(Reply::ok));
    let error = grpc.oneshot(request()).await.expect_err("a status");
    let rejection = Rejection::find(&*error).expect("a rejection");
    assert_eq!(rejection.kind(), RejectionKind::Overloaded);
}

#[tokio::test(start_paused = true)]
async fn text_of_an_endpoint_is_bounded_and_has_no_control_characters() {
    let balance = Balance::new("named");
    let balancer = balance.any(|_: &String| service_fn(async |_: ()| Ok::<_, BoxError>(())));
    balancer
        .endpoints()
        .set(["a\nb".to_owned(), "é".repeat(10_000)]);
    let stats = balance.stats();
    assert_eq!(stats.endpoints[0].endpoint.as_str(), "a?b");
    assert!(stats.endpoints[1].endpoint.as_str().len() <= 128);
    advance(SECOND).await;
}

/// Endpoints were removed before those that replace them were there: calls in between were rejected.
#[tokio::test(start_paused = true)]
async fn calls_find_an_endpoint_while_all_are_replaced() {
    let balancer = Balance::new("replaced");
    let (made, seen) = (Arc::new(Mutex::new(None)), Arc::new(AtomicU32::new(0)));
    let (hook, count) = (made.clone(), seen.clone());
    let balancer = balancer.any(move |key: &u32| {
        // A call that comes while the service of a new endpoint is made.
        if let Some(balancer) = &*hook.lock().expect("no panic") {
            let keys: Vec<u32> = Endpoints::keys(balancer);
            assert!(!keys.is_empty(), "while {key} is made");
            count.fetch_add(1, Ordering::Relaxed);
        }
        service_fn(async |_: ()| Ok::<_, BoxError>(()))
    });
    let endpoints = balancer.endpoints();
    endpoints.set([1]);
    *made.lock().expect("no panic") = Some(endpoints.clone());
    for key in 2..100 {
        endpoints.set([key]);
        assert_eq!(endpoints.keys(), [key]);
    }
    assert_eq!(seen.load(Ordering::Relaxed), 98);
    assert_eq!(balancer.balance().stats().endpoints.len(), 1);
}

/// The first thousand of each answer replaced those of the answer before.
#[tokio::test(start_paused = true)]
async fn endpoints_beyond_the_maximum_replace_none_that_are_wanted() {
    let balancer =
        Balance::new("rotating").any(|_: &u32| service_fn(async |_: ()| Ok::<_, BoxError>(())));
    let endpoints = balancer.endpoints();
    endpoints.set(0..3_000);
    endpoints.set((0..3_000).rev());
    assert_eq!(endpoints.keys(), (0..1_000).collect::<Vec<_>>());
    // Places of those that are gone are filled.
    endpoints.set(500..3_000);
    assert_eq!(endpoints.keys(), (500..1_500).collect::<Vec<_>>());
    assert_eq!(balancer.balance().stats().endpoints.len(), 1_000);
    // Without an end, and the same again and again.
    endpoints.set(std::iter::repeat(7));
    assert_eq!(endpoints.keys(), [7]);
}

#[tokio::test(start_paused = true)]
async fn endpoint_whose_service_cannot_be_made_leaves_nothing_behind() {
    let balancer = Balance::new("panics").any(|key: &u32| {
        assert!(*key < 3, "no service");
        service_fn(async |_: ()| Ok::<_, BoxError>(()))
    });
    let endpoints = balancer.endpoints();
    endpoints.set([0]);
    let set = || endpoints.set([0, 1, 2, 3]);
    let set = std::panic::catch_unwind(std::panic::AssertUnwindSafe(set));
    set.expect_err("it panics");
    assert_eq!(endpoints.keys(), [0]);
    assert_eq!(balancer.balance().stats().endpoints.len(), 1);
    balancer.clone().oneshot(()).await.expect("an endpoint");
}
