//! Several upstreams: calls are spread over them, and the loss of one fails none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::{Client, text};
use super::process::{Gateway, eventually};
use super::upstream::Upstream;

const CALLERS: usize = 12;

/// Callers that go on until they are told to end, and count what fails.
struct Load {
    end: Arc<AtomicBool>,
    served: Arc<AtomicU32>,
    failed: Arc<AtomicU32>,
    callers: JoinSet<()>,
}

impl Load {
    fn start(url: &str) -> Self {
        let mut load = Load {
            end: Arc::default(),
            served: Arc::default(),
            failed: Arc::default(),
            callers: JoinSet::new(),
        };
        for _ in 0..CALLERS {
            let (end, url) = (Arc::clone(&load.end), format!("{url}/"));
            let (served, failed) = (Arc::clone(&load.served), Arc::clone(&load.failed));
            load.callers.spawn(async move {
                let client = Client::http1();
                while !end.load(Ordering::Relaxed) {
                    let answer = client.get(&url).await;
                    let is_served = answer.status() == StatusCode::OK;
                    let is_whole = text(answer).await == "from upstream";
                    let count = if is_served && is_whole {
                        &served
                    } else {
                        &failed
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                    // Some hundred calls a second altogether: what is measured is the gateway, not the machine.
                    sleep(Duration::from_millis(20)).await;
                }
            });
        }
        load
    }

    fn served(&self) -> u32 {
        self.served.load(Ordering::Relaxed)
    }

    /// Waits until so many more calls were served.
    async fn serve_more(&self, calls: u32) {
        let until = self.served() + calls;
        eventually("more calls", async || {
            (self.served() >= until).then_some(())
        })
        .await;
    }

    /// Ends it, and returns how many calls were served, and how many failed.
    async fn end(mut self) -> (u32, u32) {
        self.end.store(true, Ordering::Relaxed);
        while let Some(ended) = self.callers.join_next().await {
            ended.expect("no panic");
        }
        (self.served(), self.failed.load(Ordering::Relaxed))
    }
}

/// The key of an endpoint and its calls in the last line that the gateway has printed of it.
fn calls_of(line: &str, upstream: &Upstream) -> Option<u32> {
    let address = upstream.address.to_string();
    let mut words = line.split_whitespace().skip_while(|word| *word != address);
    words.nth(1)?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_of_one_of_three_upstreams_under_load_fails_no_call() {
    let mut upstreams = Vec::new();
    for _ in 0..3 {
        upstreams.push(Upstream::start().await);
    }
    let urls: Vec<String> = upstreams.iter().map(Upstream::url).collect();
    let args = [
        "--upstream",
        &urls[1],
        "--upstream",
        &urls[2],
        "--open",
        "0.5",
    ];
    let mut gateway = Gateway::before(&urls[0], &args).await;
    let load = Load::start(&gateway.url);
    load.serve_more(300).await;
    let all = |line: &str| {
        let calls = upstreams
            .iter()
            .filter_map(|upstream| calls_of(line, upstream));
        calls.filter(|calls| *calls > 0).count() == 3
    };
    gateway.line(all).await;

    // Killed with its connections, while calls are on them.
    let lost = upstreams.pop().expect("three");
    let address = lost.address;
    lost.kill().await;
    load.serve_more(600).await;

    // It comes back at the same address, and gets calls again.
    let back = Upstream::start_at(address).await;
    let has_calls = |line: &str| calls_of(line, &back).is_some_and(|calls| calls > 2);
    gateway.line(has_calls).await;
    let (served, failed) = load.end().await;
    assert_eq!(failed, 0, "of {served}");
    assert!(served > 900, "{served}");

    let balance = gateway.guard("balance").await;
    assert_eq!(balance["name"], "upstream");
    assert_eq!(balance["stats"]["endpoints"], 3);
    assert!(balance["stats"]["failures"].as_u64() > Some(0), "{balance}");
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_that_answers_with_failures_is_ejected_and_shown() {
    let (good, bad) = (Upstream::start().await, failing().await);
    let bad_url = format!("http://{bad}");
    let args = ["--upstream", &bad_url, "--policy", POLICY];
    let mut gateway = Gateway::before(&good.url(), &args).await;
    // Several at once, so that both get calls, however long the first connection to each took.
    let mut callers = JoinSet::new();
    for _ in 0..6 {
        let url = gateway.at("/");
        callers.spawn(async move {
            let client = Client::http1();
            for _ in 0..10 {
                let answer = client.get(&url).await;
                assert_eq!(answer.status(), StatusCode::OK, "a retry goes to the other");
                assert_eq!(text(answer).await, "from upstream");
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.expect("no failure");
    }
    let ejected = format!("endpoint {bad}: in_rotation -> ejected (consecutive_failures: 500");
    gateway.line(|line| line.contains(&ejected)).await;
    gateway
        .line(|line| line.contains(&format!(" {bad} ejected")))
        .await;
    let balance = gateway.guard("balance").await;
    assert_eq!(balance["state"], "some_ejected");
    assert_eq!(balance["stats"]["ejected_endpoints"], bad.to_string());
    let ejected = ["balance=\"upstream\"", "state=\"ejected\""];
    let value = gateway
        .metric("tower_keep_balance_endpoints", &ejected)
        .await;
    assert_eq!(value, 1.0);
}

/// Without a penalty, so that the upstream that fails at once is called until it is ejected.
const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/balance.toml");

/// Starts a server that answers everything with 500.
async fn failing() -> std::net::SocketAddr {
    use std::convert::Infallible;

    use http::{Request, Response};
    use hyper::body::Incoming;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use hyper_util::server::conn::auto;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = hyper::service::service_fn(|_: Request<Incoming>| async {
                let response = Response::builder().status(500);
                Ok::<_, Infallible>(response.body(super::full("broken")).expect("a response"))
            });
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    address
}
