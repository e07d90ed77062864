//! Balancers: which endpoint a call goes to, which are ejected, where endpoints come from, and real clients.

mod clients;
mod contract;
mod ejection;
mod endpoints;
mod handle;
mod load;
mod storm;

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response};
use tokio::time::sleep;
use tower::{Service, ServiceExt};
use tower_keep::{
    BoxError,
    balance::{Balance, BalanceBuilder, Balancer},
    protocol::Client,
    testing::{Reply, Script, ScriptedBody},
};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// The status that an endpoint answers with, and how long it takes.
type Answer = (u16, Duration);

/// Endpoints by number whose answers a test changes at any time.
#[derive(Clone, Default)]
struct Peers(Arc<Mutex<HashMap<u32, (Answer, u32)>>>);

impl Peers {
    /// Makes endpoints with these answers, from 0 on.
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let peers = Peers::default();
        for (endpoint, answer) in (0..).zip(answers) {
            peers.answer(endpoint, answer);
        }
        peers
    }

    fn answer(&self, endpoint: u32, answer: Answer) {
        let mut peers = self.0.lock().expect("no panic");
        peers.entry(endpoint).or_insert((answer, 0)).0 = answer;
    }

    /// Returns how many calls each endpoint got since it was asked last.
    fn take_calls(&self) -> Vec<u32> {
        let mut peers = self.0.lock().expect("no panic");
        let mut keys: Vec<u32> = peers.keys().copied().collect();
        keys.sort_unstable();
        let take = |key: &u32| std::mem::take(&mut peers.get_mut(key).expect("a key").1);
        keys.iter().map(take).collect()
    }

    fn service(&self, endpoint: u32) -> Peer {
        Peer(self.clone(), endpoint)
    }
}

/// One endpoint.
#[derive(Clone)]
struct Peer(Peers, u32);

impl<Req> Service<Req> for Peer {
    type Response = Response<ScriptedBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Req) -> Self::Future {
        let mut peers = self.0.0.lock().expect("no panic");
        let ((status, time), calls) = peers.get_mut(&self.1).expect("a known endpoint");
        *calls += 1;
        let (status, time) = (*status, *time);
        Box::pin(async move {
            sleep(time).await;
            Script::always(move || Reply::status(status))
                .oneshot(())
                .await
        })
    }
}

type Peered = Balancer<u32, Peer, Client>;

/// Returns a builder without what a test does not ask for: no ejection, no slow start.
fn builder(name: &'static str) -> BalanceBuilder {
    let mut breaker = tower_keep::breaker::BreakerSettings::default();
    breaker.failure_rate = None;
    breaker.open_jitter = 0.0;
    breaker.open_time = 5 * SECOND;
    breaker.probes = 1;
    Balance::builder(name)
        .seed(7)
        .slow_start(None)
        .breaker(&breaker)
}

/// The same, where three failures in a row eject.
fn ejecting(name: &'static str) -> BalanceBuilder {
    let base = builder(name);
    let mut breaker = base.clone().build().expect("settings").settings().breaker;
    breaker.consecutive_failures = Some(3);
    base.breaker(&breaker)
}

/// Returns a balancer of these peers, with as many endpoints as there are.
fn balancer(builder: BalanceBuilder, peers: &Peers) -> Peered {
    let balance = builder.build().expect("valid settings");
    let count = peers.0.lock().expect("no panic").len() as u32;
    let made = peers.clone();
    let balancer = balance.client(move |endpoint: &u32| made.service(*endpoint));
    balancer.endpoints().set(0..count);
    balancer
}

fn request() -> Request<ScriptedBody> {
    let request = Request::get("http://ledger/").body(ScriptedBody::new());
    request.expect("a request")
}

/// Makes one call, and reads its body. Returns the status.
async fn call(balancer: &Peered) -> u16 {
    let response = balancer.clone().oneshot(request()).await;
    let response = response.expect("a response");
    let status = response.status().as_u16();
    http_body_util::BodyExt::collect(response.into_body())
        .await
        .expect("a body");
    status
}

/// Makes so many calls, one after the other.
async fn calls(balancer: &Peered, count: u32) {
    for _ in 0..count {
        call(balancer).await;
    }
}
