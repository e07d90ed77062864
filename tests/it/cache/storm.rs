//! All orders of the layers, a cache and an adaptive limit among them, in a storm of failures, hangs, panics and drops: no call is
//! stuck, and nothing is left behind.

use tower::{Layer, util::BoxCloneSyncService};
use tower_keep::{
    Bulkhead, Retry,
    adaptive::AdaptiveSettings,
    cache::{Cache, CacheLayer},
    coalesce::{Coalesce, CoalesceLayer},
    retry::RetryLayer,
    timeout::TimeoutLayer,
};

use super::SECOND;
use crate::support::storm::{Storm, StormService, orders};

const PARTS: usize = 5;
/// The calls that come one after the other, and ask for the same.
const SAME: u64 = 6;

/// The layers, each under its own index.
struct Parts {
    cache: Cache,
    coalesce: Coalesce,
    bulkhead: Bulkhead,
    retry: Retry,
}

impl Parts {
    fn new() -> Self {
        let cache = Cache::builder("storm").ttl(SECOND / 20);
        let cache = cache.stale_if_error(SECOND / 10).build();
        let bulkhead = Bulkhead::builder("storm").limit(6).queue_limit(8);
        let bulkhead = bulkhead.adaptive(AdaptiveSettings::default()).build();
        let retry = Retry::builder("storm").seed(7).build();
        Parts {
            cache: cache.expect("valid settings"),
            coalesce: Coalesce::new("storm"),
            bulkhead: bulkhead.expect("valid settings"),
            retry: retry.expect("valid settings"),
        }
    }

    fn layer(&self, index: usize, inner: StormService) -> StormService {
        let key = |call: &u64| Some(*call / SAME);
        match index {
            0 => BoxCloneSyncService::new(CacheLayer::any(self.cache.clone(), key).layer(inner)),
            1 => {
                let layer = CoalesceLayer::any(self.coalesce.clone(), key);
                BoxCloneSyncService::new(layer.layer(inner))
            }
            2 => BoxCloneSyncService::new(self.bulkhead.layer().any().layer(inner)),
            3 => BoxCloneSyncService::new(RetryLayer::any(self.retry.clone()).layer(inner)),
            _ => BoxCloneSyncService::new(TimeoutLayer::any(SECOND).layer(inner)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn storm_leaves_nothing_behind_where_results_are_kept() {
    let orders = orders(PARTS);
    assert_eq!(orders.len(), 120);
    let (mut hits, mut stale) = (0, 0);
    for order in &orders {
        let parts = Parts::new();
        let storm = Storm::new(order, 90, |index, inner| parts.layer(index, inner));
        storm.run().await;
        let (bulkhead, cache) = (parts.bulkhead.stats(), parts.cache.stats());
        assert_eq!((bulkhead.in_flight, bulkhead.queued), (0, 0), "{order:?}");
        assert_eq!(parts.coalesce.stats().in_flight, 0, "{order:?}");
        assert!(cache.stored > 0 && cache.misses > 0, "{order:?}: {cache:?}");
        (hits, stale) = (hits + cache.hits, stale + cache.stale);
        storm.serves_again().await;
        assert_eq!(parts.bulkhead.stats().in_flight, 0, "{order:?}");
    }
    assert!(hits > 0 && stale > 0, "{hits} {stale}");
}
