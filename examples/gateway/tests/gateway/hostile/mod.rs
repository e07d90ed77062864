//! Hostile clients between an honest one and an upstream in good health. No circuit opens, the honest client is
//! served, and nothing that a stranger makes up stays behind.
//!
//! `TOWER_KEEP_HOSTILE_SECONDS` is how long it lasts after a warm-up of at least half as long (default: 12),
//! `TOWER_KEEP_HOSTILE_UPSTREAM` is the gateway's `--upstream-protocol` (default: `auto`).

mod attack;
mod attackers;
mod counters;
mod healthy_upstream;
mod honest;

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::footprint::Footprint;
use super::process::{Gateway, eventually};
use attack::Attack;
use counters::{Counters, Saw};
use healthy_upstream::{HealthyUpstream, Speaks};
use honest::Service;

/// The time that an attempt may take.
const LIMIT: Duration = Duration::from_secs(2);
/// The load after the warm-up.
const LOAD: Duration = Duration::from_secs(12);
/// The parts of the warm-up, each half as long as the load after it: at most so many.
const MAX_WARM_UPS: u32 = 12;
/// The growth of memory in one part of the warm-up, in KiB, below which the gateway counts as warm: what the console keeps of
/// the log and of traces is full then.
const WARM_GROWTH: u64 = 1024;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A thousand calls of the honest client, and not one more than this, may go wrong.
const BAD_OF_1000: u64 = 1;
/// Clients that take the head of a large answer and nothing more.
const IDLE_READERS: usize = 8;
/// The growth of memory that is allowed after the warm-up, in KiB.
const GROWTH: u64 = 8192;
/// Combinations of method, version, status and error that chance kept from the warm-up; one is in up to four series.
const NEW_SERIES: usize = 60;

struct Siege {
    gateway: Gateway,
    upstream: HealthyUpstream,
    footprint: Footprint,
    counters: Counters,
    /// The most that the breaker has counted against the upstream.
    held_against: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_clients_open_no_circuit_and_take_nothing_from_an_honest_one() {
    let seconds = std::env::var("TOWER_KEEP_HOSTILE_SECONDS").ok();
    let load = seconds.map_or(LOAD, |text| {
        Duration::from_secs(text.parse().expect("seconds"))
    });
    let protocol = std::env::var("TOWER_KEEP_HOSTILE_UPSTREAM").unwrap_or("auto".into());
    let mut siege = Siege::begin(&protocol).await;
    let files = siege.footprint.files();

    let mut served = siege.warm_up(load / 2).await;
    let (warm, warm_memory) = (siege.series().await, siege.footprint.memory());
    let warm_files = siege.footprint.files();
    let then = siege.attack(load).await;
    served.good += then.good;
    served.bad.extend(then.bad);
    siege.settle().await;
    let (series, memory) = (siege.series().await, siege.footprint.memory());
    println!("{}", siege.counters);
    let (good, total) = (served.good, served.good + served.bad.len() as u64);
    println!("honest: {good} of {total} {:#?}", served.bad);
    println!("series: {} warm, {} at the end", warm.len(), series.len());
    println!("memory: {warm_memory} KiB warm, {memory} KiB at the end");
    let end_files = siege.footprint.files();
    println!("descriptors: {files} at first, {warm_files} warm, {end_files} at the end");
    println!("held against the upstream: {}", siege.held_against);

    // However slow the machine is.
    assert!(total >= 200, "{total}");
    let bad = served.bad;
    assert!(bad.len() as u64 * 1000 <= total * BAD_OF_1000, "{bad:#?}");
    siege.no_circuit_opened().await;
    siege.everything_happened().await;
    let new: Vec<_> = series.iter().filter(|one| !warm.contains(one)).collect();
    assert!(new.len() <= NEW_SERIES, "{} new: {new:#?}", new.len());
    for made_up in attackers::MADE_UP {
        let shown = series.iter().find(|one| one.contains(made_up));
        assert_eq!(shown, None, "{made_up}");
    }
    assert!(memory < warm_memory + GROWTH, "{memory} KiB");
    siege.nothing_is_left(files).await;
}

/// One header on ten requests a second, before an upstream that has never heard of gRPC, nor of HTTP/2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_header_opens_no_circuit_to_an_upstream_without_grpc() {
    let upstream = HealthyUpstream::start(Speaks::Http1).await;
    let besieged = ["h1", "auto"].map(async |protocol| {
        let gateway = Gateway::before(&upstream.url(), &["--upstream-protocol", protocol]).await;
        let until = Instant::now() + Duration::from_secs(10);
        let (sent, statuses) = tokio::join!(
            attackers::say_grpc(&gateway.url, until),
            honest::ask(&gateway.url, until),
        );
        println!("{protocol}: {sent} with the header; innocents: {statuses:?}");
        assert!(sent >= 50, "{sent}");
        assert_eq!(statuses.keys().collect::<Vec<_>>(), [&200], "{protocol}");
        let breaker = gateway.guard("circuit_breaker").await;
        assert_eq!(breaker["stats"]["transitions"], 0, "{breaker}");
        assert_eq!(breaker["stats"]["failures"], 0, "{breaker}");
    });
    futures_util::future::join_all(besieged).await;
}

/// Over HTTP/2 all calls share a connection to the upstream, and with it the connection's window.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_stop_hold_up_nobody_else() {
    let siege = Siege::begin("h2").await;
    let idle: Vec<_> = attackers::stop_reading(&siege.gateway.url, IDLE_READERS).await;
    let until = Instant::now() + Duration::from_secs(1);
    let served = honest::run(&siege.gateway.url, until).await;
    println!("honest: {} {:#?}", served.good, served.bad);
    assert!(
        served.good > 0 && served.bad.is_empty(),
        "{:#?}",
        served.bad
    );
    siege.no_circuit_opened().await;
    drop(idle);
}

impl Siege {
    async fn begin(protocol: &str) -> Self {
        let upstream = HealthyUpstream::start(Speaks::Both).await;
        let limit = LIMIT.as_secs().to_string();
        let args = ["--timeout", &limit, "--upstream-protocol", protocol];
        let gateway = Gateway::before(&upstream.url(), &args).await;
        let footprint = Footprint::of(&gateway, Some(upstream.address));
        Siege {
            gateway,
            upstream,
            footprint,
            counters: Counters::default(),
            held_against: 0,
        }
    }

    /// All attacks at once, beside an honest client.
    async fn attack(&mut self, time: Duration) -> Service {
        let until = Instant::now() + time;
        let attackers = attackers::start(&self.gateway.url, &self.counters, until);
        let url = self.gateway.url.clone();
        let (served, ()) = tokio::join!(honest::run(&url, until), self.watch(until));
        attackers.join_all().await;
        served
    }

    /// Attacks until the gateway's memory no longer grows.
    async fn warm_up(&mut self, part: Duration) -> Service {
        let mut served = self.attack(part).await;
        for _ in 1..MAX_WARM_UPS {
            self.settle().await;
            let before = self.footprint.memory();
            let then = self.attack(part).await;
            served.good += then.good;
            served.bad.extend(then.bad);
            self.settle().await;
            let memory = self.footprint.memory();
            println!("warm-up: {before} KiB, then {memory} KiB");
            if memory < before + WARM_GROWTH {
                return served;
            }
        }
        panic!("memory grows without end");
    }

    async fn watch(&mut self, until: Instant) {
        while Instant::now() < until {
            let breaker = self.gateway.guard("circuit_breaker").await;
            assert_eq!(breaker["state"], "closed", "{breaker}");
            let failures = breaker["stats"]["failures"].as_u64().expect("a number");
            self.held_against = self.held_against.max(failures);
            sleep(LOOK_EVERY).await;
        }
    }

    /// Returns when nothing is in flight.
    async fn settle(&self) {
        for gauge in ["http_server_active_requests", "http_client_active_requests"] {
            eventually(gauge, async || {
                (self.gateway.metric(gauge, &[]).await == 0.0).then_some(())
            })
            .await;
        }
    }

    /// Names and labels; a histogram is one.
    async fn series(&self) -> Vec<String> {
        let page = self.gateway.page("/metrics").await;
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| line.rsplit_once(' '));
        let series = series.map(|(series, _)| series.to_owned());
        let parts = |series: &String| series.contains("_bucket{") || series.contains("_sum{");
        series.filter(|series| !parts(series)).collect()
    }

    async fn no_circuit_opened(&self) {
        let breaker = self.gateway.guard("circuit_breaker").await;
        assert_eq!(breaker["state"], "closed", "{breaker}");
        assert_eq!(breaker["stats"]["transitions"], 0, "{breaker}");
        let changes = "tower_keep_breaker_transitions_total";
        assert_eq!(self.gateway.metric(changes, &[]).await, 0.0);
        assert_eq!(
            self.held_against, 0,
            "failures of an upstream that had none"
        );
        // Of these the answer is lost, but they say nothing of the upstream.
        let cut_off = self.counters.saw(Attack::UnwantedUpload, Saw::Status(502));
        let labels = ["kind=\"client\"", "outcome=\"failure\""];
        let failures = self.gateway.metric("tower_keep_calls_total", &labels);
        assert_eq!(failures.await, cut_off as f64);
    }

    /// A siege in which something did not happen shows nothing of it.
    async fn everything_happened(&self) {
        for attack in Attack::ALL {
            assert!(self.counters.of(attack) > 0, "{attack:?}");
        }
        for (attack, status) in [
            (Attack::AbortedUpload, 400),
            (Attack::MalformedChunks, 400),
            (Attack::StalledUpload, 408),
            (Attack::LateUpload, 200),
            (Attack::TinyDeadline, 504),
            (Attack::SlowReader, 200),
            (Attack::LeavingReader, 200),
            (Attack::GrpcHeader, 200),
            (Attack::GrpcHeader, 404),
            (Attack::OddRequest, 405),
            (Attack::OddRequest, 400),
            (Attack::OldVersion, 200),
            (Attack::Garbage, 400),
        ] {
            let seen = self.counters.saw(attack, Saw::Status(status));
            assert!(seen > 0, "{attack:?}: no {status}");
        }
        assert!(self.counters.saw(Attack::ResetStream, Saw::Left) > 0);
        for outcome in ["cancelled", "client_error", "timed_out", "rejected"] {
            assert!(self.gateway.ended(outcome).await > 0.0, "{outcome}");
        }
    }

    /// Without its clients and its upstream's connections the gateway has no more open than before the first call.
    async fn nothing_is_left(&self, files: usize) {
        self.upstream.hang_up();
        eventually("connections are closed", async || {
            (self.footprint.files() <= files).then_some(())
        })
        .await;
    }
}
