//! All orders of the layers in a storm of failures, hangs and drops: no call is stuck, and nothing is left behind.

use tower::{Layer, util::BoxCloneSyncService};
use tower_keep::{
    CircuitBreaker, Retry,
    breaker::CircuitState,
    bulkhead::{Bulkhead, QueueOrder},
    observe,
    retry::RetryLayer,
    timeout::TimeoutLayer,
};

use super::{SECOND, ends};
use crate::support::storm::{Storm, StormService, orders};

const PARTS: usize = 5;

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

    fn layer(&self, index: usize, inner: StormService) -> StormService {
        match index {
            0 => BoxCloneSyncService::new(self.bulkhead.layer().any().layer(inner)),
            1 => BoxCloneSyncService::new(self.breaker.layer().any().layer(inner)),
            2 => BoxCloneSyncService::new(RetryLayer::any(self.retry.clone()).layer(inner)),
            3 => BoxCloneSyncService::new(TimeoutLayer::any(SECOND).layer(inner)),
            _ => BoxCloneSyncService::new(observe("storm").any().layer(inner)),
        }
    }
}

async fn weather(order: &[usize], queue_order: QueueOrder) {
    let parts = Parts::new(queue_order);
    let storm = Storm::new(order, 90, |index, inner| parts.layer(index, inner));
    storm.run().await;
    let stats = parts.bulkhead.stats();
    assert_eq!((stats.in_flight, stats.queued), (0, 0), "{order:?}");
    assert!(ends(&stats)[0] > 0, "{order:?}: {stats:?}");
    storm.serves_again().await;
    assert_ne!(parts.breaker.state(), CircuitState::Open, "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn storm_leaves_nothing_behind_in_any_order_of_the_layers() {
    let orders = orders(PARTS);
    assert_eq!(orders.len(), 120);
    for order in &orders {
        weather(order, QueueOrder::Fifo).await;
    }
}

#[tokio::test(start_paused = true)]
async fn storm_leaves_nothing_behind_where_the_last_is_first() {
    for order in orders(PARTS).iter().step_by(7) {
        weather(order, QueueOrder::Lifo).await;
    }
}
