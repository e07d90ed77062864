//! Properties of every retry, whatever its settings, its luck, and the moment at which it is dropped.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    io::Error,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context as Cx, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use proptest::prelude::*;
use tokio::time::{Instant, advance};
use tower::{Layer, Service, ServiceExt};
use tower_keep::{
    call::CallClock,
    registry::Stat,
    retry::{Backoff, Budget, Retry, RetryAfter, RetryLayer},
};

use crate::support::listing::listing;

const TOKENS: u32 = 10;

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The course of one attempt: so many polls without readiness, so many without an end, and then this end.
#[derive(Clone, Copy, Debug)]
struct AttemptScript {
    unready: u8,
    pending: u8,
    good: bool,
}

fn any_attempt_script() -> impl Strategy<Value = AttemptScript> {
    (0_u8..3, 0_u8..3, prop::bool::weighted(0.3)).prop_map(|(unready, pending, good)| {
        AttemptScript {
            unready,
            pending,
            good,
        }
    })
}

/// A service that has this luck, attempt by attempt, and counts them.
#[derive(Debug)]
struct Peer {
    luck: Arc<[AttemptScript]>,
    begun: Arc<AtomicUsize>,
    unready: u8,
    ready: bool,
}

impl Peer {
    fn new(luck: &[AttemptScript]) -> Self {
        Peer {
            luck: luck.into(),
            begun: Arc::default(),
            unready: 0,
            ready: false,
        }
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    fn luck(&self) -> AttemptScript {
        self.luck[self.begun() % self.luck.len()]
    }

    fn begin(&self) -> Attempt {
        let AttemptScript { pending, good, .. } = self.luck();
        self.begun.fetch_add(1, Ordering::Relaxed);
        Attempt { pending, good }
    }
}

impl Clone for Peer {
    fn clone(&self) -> Self {
        Peer {
            luck: self.luck.clone(),
            begun: self.begun.clone(),
            unready: 0,
            ready: false,
        }
    }
}

struct Attempt {
    pending: u8,
    good: bool,
}

impl Future for Attempt {
    type Output = Result<Response<Full<Bytes>>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Self::Output> {
        if let Some(left) = self.pending.checked_sub(1) {
            self.pending = left;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(match self.good {
            true => Ok(Response::new(Full::default())),
            false => Err(Error::other("down")),
        })
    }
}

impl<Req> Service<Req> for Peer {
    type Response = Response<Full<Bytes>>;
    type Error = Error;
    type Future = Attempt;

    fn poll_ready(&mut self, cx: &mut Cx<'_>) -> Poll<Result<(), Error>> {
        if self.unready < self.luck().unready {
            self.unready += 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Req) -> Attempt {
        assert!(
            std::mem::take(&mut self.ready),
            "called without being ready"
        );
        self.unready = 0;
        self.begin()
    }
}

/// Polls at most so often, some time apart, and then drops it: whether it has come to a good end, if to any.
async fn poll_and_drop<T, E>(
    future: impl Future<Output = Result<T, E>>,
    polls: usize,
) -> Option<bool> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(result) = polled {
            return Some(result.is_ok());
        }
        advance(millis(7)).await;
    }
    None
}

fn on_paused_clock<F: Future>(future: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(future)
}

#[derive(Clone, Copy, Debug)]
enum EntryPoint {
    Run,
    Any,
    Http,
}

fn any_entry_point() -> impl Strategy<Value = EntryPoint> {
    prop_oneof![
        Just(EntryPoint::Run),
        Just(EntryPoint::Any),
        Just(EntryPoint::Http)
    ]
}

/// A call that is polled so often and then dropped; see [`poll_and_drop`].
fn call(way: EntryPoint, retry: &Retry, peer: &Peer, polls: usize) -> Option<bool> {
    let retry = retry.clone();
    on_paused_clock(async {
        match way {
            EntryPoint::Run => poll_and_drop(retry.run(|_| peer.begin()), polls).await,
            EntryPoint::Any => {
                let service = RetryLayer::any(retry).layer(peer.clone());
                poll_and_drop(service.oneshot(7), polls).await
            }
            EntryPoint::Http => {
                let service = RetryLayer::client(retry).layer(peer.clone());
                let request = Request::new(Full::<Bytes>::from("an order"));
                poll_and_drop(service.oneshot(request), polls).await
            }
        }
    })
}

/// The statistics that a list of calls comes to, call by call.
#[derive(Debug, Default, PartialEq)]
struct ExpectedStats {
    retries: u64,
    recovered: u64,
    not_retried_max_attempts: u64,
    not_retried_budget: u64,
}

impl ExpectedStats {
    fn count(&mut self, begun: usize, attempts: u32, end: Option<bool>) {
        self.retries += begun.saturating_sub(1) as u64;
        match end {
            Some(true) => self.recovered += u64::from(begun > 1),
            Some(false) if begun == attempts as usize => self.not_retried_max_attempts += 1,
            Some(false) => self.not_retried_budget += 1,
            None => {}
        }
    }

    /// Returns those of the only retry of that name.
    fn of_registry(name: &str) -> ExpectedStats {
        let all = listing().snapshots();
        let shown = all.iter().find(|guard| guard.name() == name);
        let shown = shown.expect("alive");
        let figure = |name: &str| match shown.stat(name) {
            Some(Stat::Count(count)) => *count,
            other => panic!("{name}: {other:?}"),
        };
        ExpectedStats {
            retries: figure("retries"),
            recovered: figure("recovered"),
            not_retried_max_attempts: figure("not_retried_max_attempts"),
            not_retried_budget: figure("not_retried_budget"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A retry that was reserved and not begun is given back; one that was begun and did not succeed is spent.
    #[test]
    fn budget_is_paid_for_any_dropped_call(
        luck in prop::collection::vec(any_attempt_script(), 1..6), polls in 0_usize..40, attempts in 1_u32..6,
        way in any_entry_point(),
    ) {
        let budget = Budget::bucket().capacity(TOKENS).cost(1).timeout_cost(1).build().unwrap();
        let retry = Retry::builder("peer")
            .max_attempts(attempts)
            .backoff(Backoff::constant(millis(20)))
            .budget(budget.clone())
            .build()
            .unwrap();
        let peer = Peer::new(&luck);
        let end = call(way, &retry, &peer, polls);
        let begun = peer.begun();
        prop_assert!(begun <= attempts as usize, "{begun} attempts");
        let further = begun.saturating_sub(1);
        // What a retry costs comes back if it succeeds.
        let spent = further - usize::from(end == Some(true) && further > 0);
        prop_assert_eq!(budget.available(&CallClock::default()), Some(u64::from(TOKENS) - spent as u64));
        if end == Some(false) {
            prop_assert_eq!(begun, attempts as usize);
        }
    }

    /// An attempt was counted before the wait for it, and so where the call was dropped during the wait, too.
    #[test]
    fn registry_retry_stats_match_model(
        luck in prop::collection::vec(any_attempt_script(), 1..6), attempts in 1_u32..5, capacity in 1_u32..6,
        calls in prop::collection::vec((any_entry_point(), 0_usize..40), 1..8),
    ) {
        let budget = Budget::bucket().capacity(capacity).cost(1).timeout_cost(1).refill(1);
        let retry = Retry::builder("counted retry")
            .max_attempts(attempts)
            .backoff(Backoff::constant(millis(20)))
            .budget(budget.build().unwrap())
            .build()
            .unwrap();
        let (peer, mut expected) = (Peer::new(&luck), ExpectedStats::default());
        for (way, polls) in calls {
            let before = peer.begun();
            let end = call(way, &retry, &peer, polls);
            expected.count(peer.begun() - before, attempts, end);
            prop_assert_eq!(&ExpectedStats::of_registry("counted retry"), &expected);
        }
    }

    #[test]
    fn retry_after_is_exact_plus_jitter_or_rejected(
        hint in 0_u64..5_000, most in 0_u64..5_000, first in 0_u64..300, seed: u64,
    ) {
        let retry = Retry::builder("peer")
            .max_attempts(2)
            .backoff(Backoff::exponential(millis(first)))
            .seed(seed)
            .max_retry_after(millis(most))
            .budget(None)
            .build()
            .unwrap();
        let (tries, took) = on_paused_clock(async {
            let (tries, began) = (Cell::new(0), Instant::now());
            let work = retry.run(|_| {
                tries.set(tries.get() + 1);
                async { Err::<(), _>(Error::other("down")) }
            });
            let _ = work.when(|_: &Error| RetryAfter::After(millis(hint))).await;
            (tries.get(), began.elapsed())
        });
        if hint > most {
            prop_assert_eq!((tries, took), (1, Duration::ZERO));
        } else {
            prop_assert_eq!(tries, 2);
            prop_assert!(took >= millis(hint), "too soon: {took:?}");
            // Timers run by the millisecond.
            prop_assert!(took <= millis(hint + first + 1), "too late: {took:?}");
        }
    }

    #[test]
    fn attempts_take_their_waits_and_work_only(
        attempts in 1_u32..8, first in 0_u64..100, work in 0_u64..50, seed: u64,
    ) {
        let max = 400;
        let retry = Retry::builder("peer")
            .max_attempts(attempts)
            .backoff(Backoff::exponential(millis(first)).max(millis(max)))
            .seed(seed)
            .budget(None)
            .build()
            .unwrap();
        let took = on_paused_clock(async {
            let began = Instant::now();
            let slow = retry.run(|_| async {
                tokio::time::sleep(millis(work)).await;
                Err::<(), _>(Error::other("down"))
            });
            let _ = slow.await;
            began.elapsed()
        });
        let waits: u64 = (0..attempts - 1).map(|n| max.min(first << n)).sum();
        let slack = u64::from(attempts) * 2;
        prop_assert!(took >= millis(work) * attempts);
        prop_assert!(took <= millis(work * u64::from(attempts) + waits + slack), "{took:?}");
    }
}
