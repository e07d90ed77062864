//! A soak: the gateway for a while between clients without manners and an upstream in bad health. Nothing of it
//! may stay behind, and everything must have been counted.
//!
//! Clients leave before the head and in the body, stop reading, stall, break off and garble uploads, are slow both ways,
//! send no HTTP at all, and ask too late. The upstream fails, hangs, is slow, cuts and garbles heads and bodies, resets
//! connections, and is killed again and again. Handlers panic in a test of its own, behind the embedded upstream. At the
//! end nothing is in flight, no connection is left, no probe is out, the budget of retries is full, and clients, log,
//! metrics and upstream agree on what was sent.
//!
//! `TOWER_KEEP_SOAK_SECONDS` is how long the load lasts (default: 16), `TOWER_KEEP_SOAK_UPSTREAM` is the gateway's
//! `--upstream-protocol` (default: `auto`), `TOWER_KEEP_SOAK_SEED` is the seed of what callers
//! choose (default: 7); the timing differs from run to run.

mod call_log;
pub mod callers;
mod faulty_upstream;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower_keep::Outcome;

use super::footprint::Footprint;
use super::process::{Gateway, eventually};
use call_log::{CallLog, Entry, Fate, Manner, by_id};
use callers::Caller;
use faulty_upstream::{BAD, FaultyUpstream, GRPC_BAD, Seen};

const ARGS: [&str; 4] = ["--log", "json", "--timeout", "2"];
const CALLERS: u64 = 12;
const SEED: u64 = 7;
/// The load in the normal run. Half of it is warm-up, with an upstream in good health.
const LOAD: Duration = Duration::from_secs(16);
const PANICS: Duration = Duration::from_secs(4);
/// The number of calls, of a hundred, that ask a faulty upstream for something that goes wrong.
///
/// Few enough that the circuit is closed for most of the time and what goes wrong gets to happen; that it opens, the
/// kills see to.
const FAULTY: u32 = 15;
/// The same where a panic is what is wanted, of which no circuit knows.
const VERY_SICK: u32 = 70;
/// The time for which the upstream is faulty before it is killed, and for which it then stays away.
const SPELL: Duration = Duration::from_millis(2500);
const AWAY: Duration = Duration::from_millis(300);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The growth of memory that is allowed after the warm-up, in KiB. Measured, on two cores: 16 s from 7.6 MiB less to 2.4 MiB
/// more, in whichever protocol the upstream speaks; 300 s and 57,000 calls 3 MiB less, of 36 MiB; 300 s and 69,000 calls over
/// HTTP/2 1.4 MiB more, of 22 MiB. And what the gateway's console keeps of the log and of traces, up to 2 and 4 MiB, most of
/// which comes when the upstream is faulty.
const GROWTH: u64 = 8192 + 6 * 1024;

struct Soak {
    gateway: Gateway,
    footprint: Footprint,
    files_at_start: usize,
    call_log: Arc<CallLog>,
    seen: Seen,
    dice: fastrand::Rng,
    lines: Vec<Value>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_with_a_faulty_upstream_leaves_nothing_behind_and_counts_everything() {
    let load = from_env("TOWER_KEEP_SOAK_SECONDS").map_or(LOAD, Duration::from_secs);
    let seen = Seen::default();
    let mut upstream = FaultyUpstream::start(Arc::clone(&seen));
    let url = format!("http://{}", upstream.address);
    let upstream_speaks = std::env::var("TOWER_KEEP_SOAK_UPSTREAM").unwrap_or("auto".into());
    let args = ["--open", "0.1", "--upstream-protocol", &upstream_speaks];
    let gateway = Gateway::before(&url, &[&ARGS[..], &args].concat()).await;
    let mut soak = Soak::new(gateway, Some(upstream.address), seen);
    let budget = soak.budget().await;

    let rude = soak.load("rude", load / 2, 0).await;
    rude.join_all().await;
    soak.settle().await;
    soak.rude_clients_harm_nobody();
    let warm = soak.footprint.memory();

    let end = Instant::now() + load / 2;
    let mut good = Caller::new(0, "well", &soak.gateway.url, Arc::clone(&soak.call_log));
    let bad = soak.load("faulty", load / 2, FAULTY).await;
    while Instant::now() < end {
        upstream.faulty.store(true, Ordering::Relaxed);
        let longest = soak.sick_spell().await;
        upstream.faulty.store(false, Ordering::Relaxed);
        upstream = upstream.restart(AWAY).await;
        // The circuit opens for twice as long each time, unless it has been closed for long enough in between: without
        // that the gateway soon rejected all, and for up to a minute.
        soak.get_well(&mut good, longest).await;
    }
    bad.join_all().await;
    drop(good);
    soak.recover(&upstream, budget).await;
    soak.settle().await;
    let memory = soak.footprint.memory();
    println!("memory: {warm} KiB warm, {memory} KiB at the end");
    assert!(memory < warm + GROWTH, "{memory} KiB after {warm} KiB");

    upstream.kill().await;
    soak.hang_up().await;
    soak.settle().await;
    // In less time chance decides what gets to happen.
    if load >= LOAD {
        soak.everything_happened();
    }
    soak.everything_is_counted().await;
    soak.nothing_unrepeatable_is_repeated();
    soak.errors_are_the_upstreams();
    soak.end().await;
}

/// Only the embedded upstream's gateway has a handler that panics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_with_panics_leaves_nothing_behind_and_counts_everything() {
    let gateway = Gateway::start(&[&ARGS[..], &["--load", "0"]].concat()).await;
    let mut soak = Soak::new(gateway, None, Seen::default());
    let load = soak.load("panics", PANICS, VERY_SICK).await;
    load.join_all().await;
    // A status of any kind: the embedded upstream's circuit may be open.
    assert!(soak.last_call().await.is_some());
    soak.hang_up().await;
    soak.settle().await;
    soak.everything_is_counted().await;
    assert!(soak.gateway.ended("panicked").await > 0.0);
    soak.end().await;
}

impl Soak {
    fn new(gateway: Gateway, upstream: Option<SocketAddr>, seen: Seen) -> Self {
        let seed = from_env("TOWER_KEEP_SOAK_SEED").unwrap_or(SEED);
        println!("TOWER_KEEP_SOAK_SEED={seed}");
        let footprint = Footprint::of(&gateway, upstream);
        let files_at_start = footprint.files();
        Soak {
            gateway,
            footprint,
            files_at_start,
            call_log: Arc::default(),
            seen,
            dice: fastrand::Rng::with_seed(seed),
            lines: Vec::new(),
        }
    }

    async fn load(&mut self, name: &str, time: Duration, faulty: u32) -> JoinSet<()> {
        let end = Instant::now() + time;
        let mut callers = JoinSet::new();
        for number in 0..CALLERS {
            let name = format!("{name}-{number}");
            let call_log = Arc::clone(&self.call_log);
            let caller = Caller::new(self.dice.u64(..), &name, &self.gateway.url, call_log);
            callers.spawn(caller.run(end, faulty));
        }
        callers
    }

    /// Returns when nothing is in flight and every call has its line.
    async fn settle(&mut self) {
        for gauge in ["http_server_active_requests", "http_client_active_requests"] {
            eventually(gauge, async || {
                (self.gateway.metric(gauge, &[]).await == 0.0).then_some(())
            })
            .await;
        }
        let (lines, gateway) = (&mut self.lines, &mut self.gateway);
        eventually("a line for each call", async || {
            let told = gateway.unread_log();
            lines.extend(told.iter().map(|line| parse(line)).filter(is_access));
            let calls = gateway
                .metric("tower_keep_calls_total", &["kind=\"server\""])
                .await;
            (calls == lines.len() as f64).then_some(())
        })
        .await;
    }

    /// Good calls close the circuit, and in time the budget for retries is full again.
    async fn recover(&mut self, upstream: &FaultyUpstream, budget: u64) {
        let call_log = Arc::clone(&self.call_log);
        let mut caller = Caller::new(0, "good", &self.gateway.url, call_log);
        // If the circuit was open for so long that one of these never happened, it does so now.
        upstream.faulty.store(true, Ordering::Relaxed);
        for (path, outcome) in [
            ("/fail", "failure"),
            ("/busy", "overload"),
            ("/hang", "timed_out"),
        ] {
            eventually(outcome, async || {
                let happened = self.gateway.ended(outcome).await > 0.0;
                if !happened {
                    caller.ask("/ok").await;
                    caller.ask(path).await;
                }
                happened.then_some(())
            })
            .await;
        }
        upstream.faulty.store(false, Ordering::Relaxed);
        self.until_closed(&mut caller, async |_| {}).await;
        let breaker = self.gateway.guard("circuit_breaker").await;
        assert_eq!(breaker["stats"]["probes_in_flight"], 0, "{breaker}");
        assert_eq!(self.last_call().await, Some(200));
        eventually("the budget is full", async || {
            (self.budget().await >= budget).then_some(())
        })
        .await;
    }

    /// Part of the load: nothing waits for it to have an effect. Returns the longest time that the circuit was open for.
    async fn sick_spell(&self) -> Duration {
        let (mut longest, end) = (Duration::ZERO, Instant::now() + SPELL);
        while Instant::now() < end {
            longest = longest.max(open_for(&self.gateway.guard("circuit_breaker").await));
            sleep(LOOK_EVERY).await;
        }
        longest
    }

    /// Until the circuit is closed, and has been for long enough to open for no longer the next time.
    async fn get_well(&self, caller: &mut Caller, mut longest: Duration) {
        self.until_closed(caller, async |breaker| {
            longest = longest.max(open_for(breaker));
        })
        .await;
        sleep(4 * longest).await;
    }

    /// Good calls close the circuit.
    async fn until_closed(&self, caller: &mut Caller, mut saw: impl AsyncFnMut(&Value)) {
        eventually("the circuit closes", async || {
            let status = caller.ask("/ok").await;
            let breaker = self.gateway.guard("circuit_breaker").await;
            saw(&breaker).await;
            (status == Some(200) && breaker["state"] == "closed").then_some(())
        })
        .await;
    }

    async fn budget(&self) -> u64 {
        let retry = self.gateway.guard("retry").await;
        let left = retry["stats"]["budget_available"].as_u64();
        left.unwrap_or_else(|| panic!("no budget in {retry}"))
    }

    /// With an upstream in good health every call that its client lets be goes well, and no other is a failure.
    fn rude_clients_harm_nobody(&self) {
        let lines = by_id(&self.lines);
        for (id, entry) in self.call_log.entries() {
            let line = lines.get(&*id);
            let outcome = line.map(|line| line["outcome"].as_str().expect("an outcome"));
            let as_expected = match entry.manner {
                Manner::Polite | Manner::ReadsSlowly | Manner::UploadsSlowly => {
                    let good = Fate::Answered {
                        status: 200,
                        whole: true,
                    };
                    entry.fate == good && outcome == Some("success")
                }
                Manner::Late => outcome == Some("rejected"),
                _ => !matches!(
                    outcome,
                    Some("failure" | "timed_out" | "panicked" | "overload")
                ),
            };
            assert!(as_expected, "{id}: {entry:?} {line:?}");
        }
    }

    /// A soak that leaves something out shows nothing of it.
    fn everything_happened(&self) {
        let entries = self.call_log.entries();
        for manner in Manner::ALL {
            let calls = entries.values().filter(|entry| entry.manner == manner);
            println!("{manner:?}: {} calls", calls.clone().count());
            assert!(calls.count() > 0, "{manner:?}");
        }
        for outcome in Outcome::ALL.map(Outcome::as_str) {
            let lines = self.lines.iter().filter(|line| line["outcome"] == outcome);
            println!("{outcome}: {} lines", lines.clone().count());
            // Without the embedded upstream there is no handler to panic.
            assert!(lines.count() > 0 || outcome == "panicked", "{outcome}");
        }
        let stalled = |line: &&Value| line["status"] == 408 && line["outcome"] == "client_error";
        let stalled = self.lines.iter().filter(stalled).count();
        println!("{stalled} uploads stalled for longer than an attempt may take");
        assert!(stalled > 0);
    }

    /// The metrics, the log and the clients agree.
    async fn everything_is_counted(&self) {
        let lines = by_id(&self.lines);
        for outcome in Outcome::ALL.map(Outcome::as_str) {
            let logged = lines.values().filter(|line| line["outcome"] == outcome);
            let counted = self.gateway.ended(outcome).await;
            assert_eq!(counted, logged.count() as f64, "{outcome}");
        }
        let entries = self.call_log.entries();
        for (id, line) in &lines {
            assert!(entries.contains_key(*id), "nobody asked: {line}");
        }
        for (id, Entry { fate, .. }) in &entries {
            if let Fate::Answered { status, .. } = fate {
                let line = lines.get(&**id);
                let logged = line.and_then(|line| line["status"].as_u64());
                assert_eq!(logged, Some(u64::from(*status)), "{id}: {line:?}");
            }
        }
        println!("{} calls sent, {} received", entries.len(), lines.len());
        self.attempts_add_up().await;
    }

    /// Each call that was let in is one attempt and its retries, but for a retry whose call was given up before it came
    /// about; and the upstream saw none that is not counted.
    async fn attempts_add_up(&self) {
        let count = async |name: &str, labels: &[&str]| self.gateway.metric(name, labels).await;
        let calls = count("tower_keep_calls_total", &["kind=\"server\""]).await;
        let panicked = self.gateway.ended("panicked").await;
        let attempts = count("tower_keep_calls_total", &["kind=\"client\""]).await;
        let late = async |limit| count("tower_keep_expired_total", &[limit]).await;
        let late = late("limit=\"deadline\"").await + late("limit=\"upstream.total\"").await;
        let retries = count("tower_keep_retries_total", &[]).await;
        let retries = retries + count("tower_keep_retries_unsent_total", &[]).await;
        let cancelled = self.gateway.ended("cancelled").await;
        let most = calls - panicked - late + retries;
        println!("{attempts} attempts: {calls} calls, {late} of them late, and {retries} retries");
        assert!((most - cancelled..=most).contains(&attempts));
        let seen: u32 = self.seen.lock().expect("no panic").values().sum();
        assert!(f64::from(seen) <= attempts, "{seen} reached the upstream");
    }

    fn nothing_unrepeatable_is_repeated(&self) {
        let entries = self.call_log.entries();
        for (id, times) in self.seen.lock().expect("no panic").iter() {
            let entry = &entries[id];
            let most = if entry.repeatable { 2 } else { 1 };
            assert!(
                *times <= most,
                "{id} reached the upstream {times} times: {entry:?}"
            );
        }
    }

    /// An upstream in good health answers with no failure of its own, so a call of such a path is an error only
    /// if its connection was cut; and what a client breaks off is no error at all.
    fn errors_are_the_upstreams(&self) {
        let entries = self.call_log.entries();
        for line in self.lines.iter().filter(|line| line["level"] == "ERROR") {
            let entry = &entries[line["correlation_id"].as_str().expect("an ID")];
            let asked_for = BAD.contains(&entry.path) || GRPC_BAD.contains(&entry.path);
            assert!(asked_for || line["error"].is_string(), "{line}");
            assert_ne!(line["error"], "the request's body broke off", "{line}");
            assert_ne!(line["outcome"], "panicked", "{line}");
        }
    }

    /// Over a new connection: when it is answered, all earlier ones have been accepted.
    async fn last_call(&self) -> Option<u16> {
        let mut caller = Caller::new(0, "last", &self.gateway.url, Arc::clone(&self.call_log));
        caller.ask("/ok").await
    }

    /// Returns when no connection is left, of a client or to the upstream. After the last call nothing can arrive any
    /// more then.
    async fn hang_up(&self) {
        eventually("connections are closed", async || {
            (self.footprint.files() <= self.files_at_start).then_some(())
        })
        .await;
    }

    /// No connection keeps it from ending in good order.
    async fn end(mut self) {
        self.gateway.signal("TERM").await;
        self.gateway.line(|line| line == "all calls finished").await;
        let told = self.gateway.unread_log();
        assert_eq!(told, [""; 0]);
        assert_eq!(self.gateway.exit().await.code(), Some(0));
    }
}

/// Returns how much longer it is open, if it is and does not try out already.
fn open_for(breaker: &Value) -> Duration {
    let seconds = breaker["stats"]["open_for_seconds"].as_f64();
    let seconds = seconds.filter(|_| breaker["state"] == "open");
    Duration::from_secs_f64(seconds.unwrap_or(0.0))
}

/// A line that is no JSON is none of the gateway's: a panic, say.
fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| panic!("on standard error: {line}"))
}

/// Everything else that is logged must be no error.
fn is_access(line: &Value) -> bool {
    let access = line["target"] == "tower_keep::access";
    assert!(access || line["level"] != "ERROR", "{line}");
    access
}

fn from_env(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}: {value}")))
}
