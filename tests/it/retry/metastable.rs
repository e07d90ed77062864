//! A metastable failure, simulated: retries that keep a server down after what brought it down has passed, and what
//! each means against that does alone.
//!
//! A fleet calls one server at three quarters of what it can serve, whatever comes back. For ten seconds the server is
//! ten times as slow, then as fast as before. By then its queue is so long that each call gives up before its turn
//! comes, and the work is done for nobody. Whether the server ever gets out of this is up to the clients.
//!
//! Goodput is the share of calls that end well, by the second they begin in. Recovery is counted from the end of the
//! dip to the second from which on goodput is at least 95 %. Measured over the seeds, with the defaults of each part:
//!
//! | clients | attempts a call, in the dip | in the 30 s after it | goodput after it | recovery |
//! |---|---|---|---|---|
//! | five, no retries | 1.0 | 1.0 | 92 % | 2-3 s |
//! | five, three attempts, no bound | 3.0 | 3.0 | 0 % | none |
//! | five, and a budget | 1.6 | 1.2 | 79 % | 6-7 s |
//! | five, and a breaker instead | 1.1 | 0.7-0.9 | 65-91 % | 13-14 s |
//! | five, and both | 1.1 | 0.8-1.0 | 79-95 % | 3-14 s |
//! | fifty small ones, budgets only | 3.0 | 3.0 | 0 % | none |
//! | fifty small ones, both | 1.1 | 0.7-0.8 | 71-77 % | 14-15 s |
//!
//! A budget lets the queue drain but goes on asking a server that is down; a breaker leaves it alone, and comes back
//! when its open time is over, which is what its recovery takes. A budget of its own for each of many small clients
//! bounds nothing: ten retries a second are more than they can use.
//!
//! `cargo test --test metastable -- --nocapture` prints a line for each seed.

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use fastrand::Rng;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep, sleep_until, timeout},
};
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    CircuitBreaker, GuardLayer,
    retry::{Budget, Retry, RetryLayer},
};

/// Together 200 calls a second.
const WORKERS: usize = 5;
const WORK: Duration = Duration::from_millis(25);
/// At full speed, who comes last in a full queue waits for a second: nobody waits that long.
const QUEUE: usize = 200;
const PATIENCE: Duration = Duration::from_millis(500);

/// Of the whole fleet.
const CALLS_A_SECOND: f64 = 150.0;
const FEW: usize = 5;
const MANY: usize = 50;

const DIP: Range<usize> = 10..20;
const SLOWER: u32 = 10;
/// The time at which the last call begins, in seconds; the last answer comes within as much again.
const END: usize = 50;
const AFTER: Range<usize> = DIP.end..DIP.end + 30;
const BACK: f64 = 0.95;
const SEEDS: Range<u64> = 1..5;

#[test]
fn metastable_queue_drains_without_retries() {
    let fleet = Fleet {
        attempts: 1,
        ..RETRIES
    };
    for course in fleet.play("no retries") {
        assert!(course.recovery().is_some_and(|seconds| seconds <= 5));
    }
}

#[test]
fn metastable_failure_under_unbounded_retries() {
    for course in RETRIES.play("retries only") {
        assert!(course.goodput(AFTER) < 0.05, "{course:?}");
        assert!(course.attempts_a_call(AFTER) > 2.5, "{course:?}");
        assert_eq!(course.recovery(), None, "{course:?}");
    }
}

#[test]
fn metastable_recovery_with_budget() {
    let fleet = Fleet {
        budget: true,
        ..RETRIES
    };
    for course in fleet.play("budget") {
        assert!(
            course.recovery().is_some_and(|seconds| seconds <= 10),
            "{course:?}"
        );
    }
}

#[test]
fn metastable_recovery_with_breakers() {
    let fleet = Fleet {
        breaker: true,
        ..RETRIES
    };
    for course in fleet.play("breakers") {
        assert!(
            course.recovery().is_some_and(|seconds| seconds <= 20),
            "{course:?}"
        );
    }
}

#[test]
fn metastable_recovery_with_budget_and_breakers() {
    for course in DEFAULTS.play("budget and breakers") {
        assert!(
            course.recovery().is_some_and(|seconds| seconds <= 20),
            "{course:?}"
        );
        assert!(course.attempts_a_call(DIP) < 1.25, "{course:?}");
    }
}

/// A budget allows ten retries a second to those who make few calls: to a client of three calls a second, all of them.
#[test]
fn metastable_small_clients_need_breakers() {
    let fleet = Fleet {
        clients: MANY,
        ..DEFAULTS
    };
    let budgets_only = Fleet {
        breaker: false,
        ..fleet
    };
    for course in budgets_only.play("small, budget") {
        assert_eq!(course.recovery(), None, "{course:?}");
    }
    for course in fleet.play("small, both") {
        assert!(
            course.recovery().is_some_and(|seconds| seconds <= 20),
            "{course:?}"
        );
    }
}

#[test]
fn metastable_simulation_is_deterministic_by_seed() {
    let course = DEFAULTS.simulate(7);
    assert_eq!(course, DEFAULTS.simulate(7));
    assert_ne!(course, DEFAULTS.simulate(8));
}

/// The clients. Each has a budget and a breaker of its own, as processes have.
#[derive(Clone, Copy)]
struct Fleet {
    clients: usize,
    attempts: u32,
    budget: bool,
    breaker: bool,
}

const RETRIES: Fleet = Fleet {
    clients: FEW,
    attempts: 3,
    budget: false,
    breaker: false,
};

const DEFAULTS: Fleet = Fleet {
    budget: true,
    breaker: true,
    ..RETRIES
};

impl Fleet {
    fn play(self, what: &str) -> Vec<Course> {
        let courses: Vec<_> = SEEDS.map(|seed| self.simulate(seed)).collect();
        for (seed, course) in SEEDS.zip(&courses) {
            println!(
                "{what:>20} | seed {seed} | {:.2} attempts a call in the dip, {:.2} after it | goodput {:3.0} % | back after {:?} s",
                course.attempts_a_call(DIP),
                course.attempts_a_call(AFTER),
                course.goodput(AFTER) * 100.0,
                course.recovery(),
            );
        }
        courses
    }

    fn simulate(self, seed: u64) -> Course {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let server = Server::start();
            let mut rng = Rng::with_seed(seed);
            for _ in 0..self.clients {
                tokio::spawn(self.client(server.clone(), rng.fork()));
            }
            sleep(Duration::from_secs(2 * END as u64)).await;
            server.course()
        })
    }

    /// Begins calls at random, and waits for none of them.
    async fn client(self, server: Arc<Server>, mut rng: Rng) {
        let mut retry = Retry::builder("fleet")
            .max_attempts(self.attempts)
            .seed(rng.u64(..));
        if !self.budget {
            retry = retry.budget(None::<Budget>);
        }
        let breaker = CircuitBreaker::builder("server").seed(rng.u64(..));
        let breaker = self.breaker.then(|| breaker.build().unwrap());
        let called = server.clone();
        let stack = ServiceBuilder::new()
            .layer(RetryLayer::any(retry.build().unwrap()))
            .layer(GuardLayer::any(breaker))
            .service(service_fn(move |()| {
                let server = called.clone();
                async move { server.serve().await }
            }));
        let each = self.clients as f64 / CALLS_A_SECOND;
        let mut next = server.began;
        loop {
            next += Duration::from_secs_f64(each * -(1.0 - rng.f64()).ln());
            sleep_until(next).await;
            let second = server.second();
            if second >= END {
                return;
            }
            server.note(|course| course.seconds[second].calls += 1);
            let (call, server) = (stack.clone().oneshot(()), server.clone());
            tokio::spawn(async move {
                if call.await.is_ok() {
                    server.note(|course| course.seconds[second].good += 1);
                }
            });
        }
    }
}

/// A queue, and workers who do not know whether anybody still waits for what they do.
struct Server {
    queue: Mutex<VecDeque<oneshot::Sender<()>>>,
    came: Notify,
    began: Instant,
    course: Mutex<Course>,
}

impl Server {
    fn start() -> Arc<Self> {
        let server = Arc::new(Server {
            queue: Mutex::default(),
            came: Notify::new(),
            began: Instant::now(),
            course: Mutex::new(Course {
                seconds: vec![Second::default(); 2 * END],
            }),
        });
        for _ in 0..WORKERS {
            tokio::spawn(server.clone().work());
        }
        server
    }

    async fn work(self: Arc<Self>) {
        loop {
            let next = self.queue.lock().unwrap().pop_front();
            let Some(answer) = next else {
                self.came.notified().await;
                continue;
            };
            let slow = DIP.contains(&self.second());
            sleep(if slow { WORK * SLOWER } else { WORK }).await;
            // Nobody listens, most often, while it is down.
            let _ = answer.send(());
        }
    }

    async fn serve(&self) -> io::Result<()> {
        let second = self.second();
        self.note(|course| course.seconds[second].attempts += 1);
        let answer = self.enqueue()?;
        timeout(PATIENCE, answer).await?.map_err(io::Error::other)
    }

    fn enqueue(&self) -> io::Result<oneshot::Receiver<()>> {
        let mut queue = self.queue.lock().unwrap();
        if queue.len() >= QUEUE {
            return Err(io::Error::other("the queue is full"));
        }
        let (answer, answered) = oneshot::channel();
        queue.push_back(answer);
        self.came.notify_one();
        Ok(answered)
    }

    fn second(&self) -> usize {
        self.began.elapsed().as_secs() as usize
    }

    fn note(&self, what: impl FnOnce(&mut Course)) {
        what(&mut self.course.lock().unwrap());
    }

    fn course(&self) -> Course {
        self.course.lock().unwrap().clone()
    }
}

/// The course of the test, second by second.
#[derive(Clone, PartialEq)]
struct Course {
    seconds: Vec<Second>,
}

#[derive(Clone, Copy, Default, PartialEq)]
struct Second {
    /// Calls that began in it.
    calls: u32,
    /// Those of them that ended well, whenever.
    good: u32,
    /// The attempts that the server got in it.
    attempts: u32,
}

impl Course {
    fn sum(&self, when: Range<usize>, of: fn(&Second) -> u32) -> f64 {
        f64::from(self.seconds[when].iter().map(of).sum::<u32>())
    }

    fn goodput(&self, when: Range<usize>) -> f64 {
        self.sum(when.clone(), |second| second.good) / self.sum(when, |second| second.calls)
    }

    fn attempts_a_call(&self, when: Range<usize>) -> f64 {
        self.sum(when.clone(), |second| second.attempts) / self.sum(when, |second| second.calls)
    }

    /// Returns how many seconds after the dip it is up for good, with ten seconds in which to show it.
    fn recovery(&self) -> Option<usize> {
        let up = |&second: &usize| self.goodput(second..second + 1) >= BACK;
        let for_good = (DIP.end..END).rev().take_while(up).last()?;
        (for_good <= END - 10).then(|| for_good - DIP.end)
    }
}

impl std::fmt::Debug for Course {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let goodput = (0..END).map(|second| (self.goodput(second..second + 1) * 100.0).round());
        write!(
            f,
            "goodput in % by the second: {:?}",
            goodput.collect::<Vec<_>>()
        )
    }
}
