//! Orders of the layers, coalescing and a prioritizer among them, in a storm of failures, hangs, panics and drops: no call is
//! stuck, and nothing is left behind.

use std::time::Duration;

use tower::{Layer, util::BoxCloneSyncService};
use tower_keep::{
    Bulkhead, Prioritizer, Retry,
    bulkhead::{BulkheadStats, QueueOrder},
    coalesce::{Coalesce, CoalesceLayer, CoalesceStats},
    hedge::{Hedge, HedgeLayer},
    priority::{PrioritizerStats, Priority, PriorityClass},
    retry::RetryLayer,
    timeout::TimeoutLayer,
};

use crate::support::storm::{Storm, StormService, orders};

const SECOND: Duration = Duration::from_secs(1);
const PARTS: usize = 6;
const LIMIT: u32 = 4;
/// The calls that come one after the other, and ask for the same.
const SAME: u64 = 6;

/// The layers, each under its own index.
struct Parts {
    prioritizer: Prioritizer,
    coalesce: Coalesce,
    bulkhead: Bulkhead,
    retry: Retry,
    hedge: Hedge,
}

impl Parts {
    fn new() -> Self {
        let prioritizer = Prioritizer::builder("storm").min_calls(10).seed(7);
        let bulkhead = Bulkhead::builder("storm").limit(LIMIT).queue_limit(8);
        let bulkhead = bulkhead.queue_order(QueueOrder::Priority).build();
        let retry = Retry::builder("storm").seed(7);
        let retry = retry.build().expect("valid settings");
        let hedge = Hedge::builder("storm").delay(Duration::from_millis(50));
        let hedge = hedge.retry_budget(&retry).build();
        Parts {
            prioritizer: prioritizer.build().expect("valid settings"),
            coalesce: Coalesce::new("storm"),
            bulkhead: bulkhead.expect("valid settings"),
            retry,
            hedge: hedge.expect("valid settings"),
        }
    }

    fn layer(&self, index: usize, inner: StormService) -> StormService {
        match index {
            0 => {
                let guard = self.prioritizer.by(|call: &u64| Some(priority(*call)));
                BoxCloneSyncService::new(guard.layer().any().layer(inner))
            }
            1 => {
                let coalesce = self.coalesce.clone();
                let layer = CoalesceLayer::any(coalesce, |call: &u64| Some(*call / SAME));
                BoxCloneSyncService::new(layer.layer(inner))
            }
            2 => BoxCloneSyncService::new(self.bulkhead.layer().any().layer(inner)),
            3 => BoxCloneSyncService::new(RetryLayer::any(self.retry.clone()).layer(inner)),
            4 => BoxCloneSyncService::new(HedgeLayer::any(self.hedge.clone()).layer(inner)),
            _ => BoxCloneSyncService::new(TimeoutLayer::any(SECOND).layer(inner)),
        }
    }

    fn stats(&self) -> (BulkheadStats, CoalesceStats, PrioritizerStats) {
        (
            self.bulkhead.stats(),
            self.coalesce.stats(),
            self.prioritizer.stats(),
        )
    }

    /// Takes all slots of the bulkhead, and gives them back.
    fn take_all_slots(&self) -> usize {
        let slots = (0..LIMIT).map_while(|_| self.bulkhead.try_acquire().ok());
        slots.collect::<Vec<_>>().len()
    }
}

fn priority(call: u64) -> Priority {
    let class = PriorityClass::ALL[call as usize % PriorityClass::ALL.len()];
    Priority::new(class).with_level((call % 100) as u8)
}

/// Returns what the parts have counted in the storm.
async fn weather(order: &[usize]) -> (BulkheadStats, CoalesceStats, PrioritizerStats) {
    let parts = Parts::new();
    let storm = Storm::new(order, 90, |index, inner| parts.layer(index, inner));
    storm.run().await;
    let stats = parts.stats();
    let (bulkhead, coalesce, prioritizer) = &stats;
    assert_eq!((bulkhead.in_flight, bulkhead.queued), (0, 0), "{order:?}");
    assert_eq!(coalesce.in_flight, 0, "{order:?}: {coalesce:?}");
    assert!(coalesce.led > 0 && coalesce.joined > 0, "{order:?}");
    let critical = prioritizer.class(PriorityClass::Critical);
    assert!(critical.admitted > 0, "{order:?}: {prioritizer:?}");
    assert_eq!(parts.take_all_slots(), LIMIT as usize, "{order:?}");
    storm.serves_again().await;
    assert_eq!(parts.take_all_slots(), LIMIT as usize, "{order:?}");
    stats
}

#[tokio::test(start_paused = true)]
async fn storm_leaves_nothing_behind_where_calls_are_shared_and_shed() {
    let orders = orders(PARTS);
    assert_eq!(orders.len(), 720);
    let (mut handed_over, mut shed) = (0, 0);
    // All orders of two parts are among them, at all distances.
    for order in orders.iter().step_by(5) {
        let (_, coalesce, prioritizer) = weather(order).await;
        handed_over += coalesce.handed_over;
        let classes = PriorityClass::ALL.iter();
        shed += classes
            .map(|class| prioritizer.class(*class).shed)
            .sum::<u64>();
    }
    assert!(handed_over > 0 && shed > 0, "{handed_over} {shed}");
}

#[tokio::test(start_paused = true)]
async fn storm_is_the_same_for_the_same_seeds() {
    for order in orders(PARTS).iter().step_by(97) {
        assert_eq!(weather(order).await, weather(order).await, "{order:?}");
    }
}
