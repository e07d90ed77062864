//! All orders of the layers in a storm of failures, hangs and drops: no call is stuck, and nothing is left behind.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_keep::{
    BoxError, CircuitBreaker, Retry,
    breaker::CircuitState,
    bulkhead::{Bulkhead, QueueOrder},
    observe,
    retry::RetryLayer,
    timeout::TimeoutLayer,
};

use super::{SECOND, ends};

type Service = BoxCloneSyncService<u64, u64, BoxError>;

const CALLS: u64 = 120;

/// The layers, each under its own index.
struct Parts {
    bulkhead: Bulkhead,
    breaker: CircuitBreaker,
    retry: Retry,
}

impl Parts {
    fn new(order: QueueOrder) -> Self {
        let bulkhead = Bulkhead::builder("storm").limit(4).queue_limit(8);
        let breaker = CircuitBreaker::builder("storm").consecutive_failures(8);
        Parts {
            bulkhead: bulkhead.queue_order(order).build().expect("valid settings"),
            breaker: breaker.open_time(SECOND).build().expect("valid settings"),
            retry: Retry::builder("storm")
                .seed(7)
                .build()
                .expect("valid settings"),
        }
    }

    fn layer(&self, index: usize, inner: Service) -> Service {
        match index {
            0 => BoxCloneSyncService::new(self.bulkhead.layer().any().layer(inner)),
            1 => BoxCloneSyncService::new(self.breaker.layer().any().layer(inner)),
            2 => BoxCloneSyncService::new(RetryLayer::any(self.retry.clone()).layer(inner)),
            3 => BoxCloneSyncService::new(TimeoutLayer::any(SECOND).layer(inner)),
            _ => BoxCloneSyncService::new(observe("storm").any().layer(inner)),
        }
    }
}

/// A service in which anything may happen to a call.
fn stormy(in_flight: Arc<AtomicUsize>) -> Service {
    BoxCloneSyncService::new(service_fn(move |request: u64| {
        let in_flight = in_flight.clone();
        async move {
            let _in_flight = InFlight::new(in_flight);
            match fate(request) {
                0..90 => Ok(request),
                90..130 => {
                    sleep(Duration::from_millis(request % 700)).await;
                    Ok(request)
                }
                130..190 => Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
                190..220 => std::future::pending().await,
                220..240 => {
                    sleep(Duration::from_millis(300)).await;
                    Err(io::Error::other("late").into())
                }
                _ => std::panic::resume_unwind(Box::new("a panic")),
            }
        }
    }))
}

/// Decides what happens to a request, which is sent as often as that takes.
fn fate(request: u64) -> u8 {
    fastrand::Rng::with_seed(request).u8(..)
}

struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    fn new(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        InFlight(count)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn orders() -> Vec<Vec<usize>> {
    let mut orders = vec![vec![]];
    for part in 0..5 {
        orders = orders
            .into_iter()
            .flat_map(|order: Vec<usize>| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, part);
                    longer
                })
            })
            .collect();
    }
    orders
}

async fn weather(order: &[usize], queue_order: QueueOrder) {
    let (parts, in_flight) = (Parts::new(queue_order), Arc::new(AtomicUsize::new(0)));
    // The last of the order is the innermost.
    let layered = |inner, index: &usize| parts.layer(*index, inner);
    let service = order.iter().rev().fold(stormy(in_flight.clone()), layered);
    let mut calls = Vec::new();
    for call in 0..CALLS {
        let service = service.clone();
        let patience = Duration::from_millis(call * 37 % 5_000);
        // Some callers lose patience, and drop their calls.
        calls.push(tokio::spawn(async move {
            sleep(Duration::from_millis(call * 20)).await;
            let _ = timeout(patience, service.oneshot(call)).await;
        }));
    }
    for call in calls {
        let end = timeout(600 * SECOND, call).await;
        // A panic of the service is passed on.
        let _ = end.unwrap_or_else(|_| panic!("a call is stuck in {order:?}"));
    }
    let stats = parts.bulkhead.stats();
    assert_eq!((stats.in_flight, stats.queued), (0, 0), "{order:?}");
    assert!(ends(&stats)[0] > 0, "{order:?}: {stats:?}");
    assert_eq!(in_flight.load(Ordering::SeqCst), 0, "{order:?}");
    // Nothing holds a slot, a probe or a permit: calls are served again.
    let served = (0..)
        .find(|request| fate(*request) < 90)
        .unwrap_or_default();
    let again = async {
        loop {
            if service.clone().oneshot(served).await.is_ok() {
                return;
            }
            sleep(SECOND).await;
        }
    };
    let end = timeout(600 * SECOND, again).await;
    end.unwrap_or_else(|_| panic!("no call is served in {order:?}"));
    assert_ne!(parts.breaker.state(), CircuitState::Open, "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn storm_leaves_nothing_behind_in_any_order_of_the_layers() {
    let orders = orders();
    assert_eq!(orders.len(), 120);
    for order in &orders {
        weather(order, QueueOrder::Fifo).await;
    }
}

#[tokio::test(start_paused = true)]
async fn storm_leaves_nothing_behind_where_the_last_is_first() {
    for order in orders().iter().step_by(7) {
        weather(order, QueueOrder::Lifo).await;
    }
}
