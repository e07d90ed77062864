//! All orders of the layers in a storm of failures, hangs, panics and drops: no call is stuck, and nothing is left behind.

use std::{io, time::Duration};

use tokio::time::{sleep, timeout};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_keep::{
    BoxError, Bulkhead, CircuitBreaker, Retry, Throttle,
    breaker::CircuitState,
    hedge::{Hedge, HedgeLayer},
    observe,
    retry::RetryLayer,
    timeout::TimeoutLayer,
};

use super::{InFlight, SECOND};

type Service = BoxCloneSyncService<u64, u64, BoxError>;

const CALLS: u64 = 120;
const PARTS: usize = 6;

/// The layers, each under its own index.
struct Parts {
    hedge: Hedge,
    retry: Retry,
    bulkhead: Bulkhead,
    breaker: CircuitBreaker,
    throttle: Throttle,
}

impl Parts {
    fn new() -> Self {
        let retry = Retry::builder("storm").seed(7);
        let retry = retry.build().expect("valid settings");
        let hedge = Hedge::builder("storm").delay(Duration::from_millis(50));
        let hedge = hedge.max_hedges(2).retry_budget(&retry).build();
        let bulkhead = Bulkhead::builder("storm").limit(6).queue_limit(8);
        let breaker = CircuitBreaker::builder("storm")
            .seed(7)
            .consecutive_failures(8);
        let throttle = Throttle::builder("storm").seed(7).build();
        Parts {
            hedge: hedge.expect("valid settings"),
            retry,
            bulkhead: bulkhead.build().expect("valid settings"),
            breaker: breaker.open_time(SECOND).build().expect("valid settings"),
            throttle: throttle.expect("valid settings"),
        }
    }

    fn layer(&self, index: usize, inner: Service) -> Service {
        match index {
            0 => BoxCloneSyncService::new(HedgeLayer::any(self.hedge.clone()).layer(inner)),
            1 => BoxCloneSyncService::new(RetryLayer::any(self.retry.clone()).layer(inner)),
            2 => BoxCloneSyncService::new(self.bulkhead.layer().any().layer(inner)),
            3 => {
                let inner = self.throttle.layer().any().layer(inner);
                BoxCloneSyncService::new(self.breaker.layer().any().layer(inner))
            }
            4 => BoxCloneSyncService::new(TimeoutLayer::any(SECOND).layer(inner)),
            _ => BoxCloneSyncService::new(observe("storm").any().layer(inner)),
        }
    }
}

/// A service in which anything may happen to an attempt.
fn stormy(in_flight: InFlight) -> Service {
    BoxCloneSyncService::new(service_fn(move |request: u64| {
        let token = in_flight.enter();
        async move {
            let _token = token;
            match fate(request) {
                0..110 => Ok(request),
                110..150 => {
                    sleep(Duration::from_millis(request % 700)).await;
                    Ok(request)
                }
                150..190 => Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
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

fn orders() -> Vec<Vec<usize>> {
    let mut orders = vec![vec![]];
    for part in 0..PARTS {
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

async fn weather(order: &[usize]) {
    let (parts, in_flight) = (Parts::new(), InFlight::default());
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
    assert_eq!(in_flight.count(), 0, "{order:?}");
    assert!(parts.hedge.stats().sent > 0, "{order:?}");
    // Nothing holds a slot, a probe or a permit: calls are served again.
    let served = (0..).find(|request| fate(*request) < 110);
    let again = async {
        while service
            .clone()
            .oneshot(served.unwrap_or_default())
            .await
            .is_err()
        {
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
    assert_eq!(orders.len(), 720);
    // All orders of two parts are among them, at all distances.
    for order in orders.iter().step_by(5) {
        weather(order).await;
    }
}
