//! All orders of the layers in a storm of failures, hangs, panics and drops: no call is stuck, and nothing is left behind.

use std::time::Duration;

use tower::{Layer, util::BoxCloneSyncService};
use tower_keep::{
    Bulkhead, CircuitBreaker, Retry, Throttle,
    breaker::CircuitState,
    hedge::{Hedge, HedgeLayer},
    observe,
    retry::RetryLayer,
    timeout::TimeoutLayer,
};

use super::SECOND;
use crate::support::storm::{Storm, StormService, orders};

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

    fn layer(&self, index: usize, inner: StormService) -> StormService {
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

async fn weather(order: &[usize]) {
    let parts = Parts::new();
    let storm = Storm::new(order, 110, |index, inner| parts.layer(index, inner));
    storm.run().await;
    let stats = parts.bulkhead.stats();
    assert_eq!((stats.in_flight, stats.queued), (0, 0), "{order:?}");
    assert!(parts.hedge.stats().sent > 0, "{order:?}");
    storm.serves_again().await;
    assert_ne!(parts.breaker.state(), CircuitState::Open, "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn storm_leaves_nothing_behind_in_any_order_of_the_layers() {
    let orders = orders(PARTS);
    assert_eq!(orders.len(), 720);
    // All orders of two parts are among them, at all distances.
    for order in orders.iter().step_by(5) {
        weather(order).await;
    }
}
