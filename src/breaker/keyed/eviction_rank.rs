use std::sync::Arc;

use tokio::time::Instant;

use crate::breaker::{CircuitBreaker, state::CircuitState};

/// The reason to keep a breaker, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EvictionRank {
    /// A breaker with a call in flight, or a handle.
    InUse,
    /// A breaker that keeps calls away from a failing peer.
    Rejecting,
    /// A breaker whose state has been overridden.
    Overridden,
}

impl EvictionRank {
    /// Returns the rank of a breaker, or `None` if only its counts would be lost with it.
    pub(super) fn of(breaker: &CircuitBreaker, now: Instant) -> Option<Self> {
        // The map is locked: that of a breaker may be taken inside, but nothing of it may be reported.
        let shared = &breaker.shared;
        match shared.core.state() {
            CircuitState::ForcedOpen | CircuitState::Disabled => Some(EvictionRank::Overridden),
            // A circuit whose open time has elapsed keeps nobody away any more.
            CircuitState::Open | CircuitState::HalfOpen
                if shared.core.lock().machine.rejects(now).is_all() =>
            {
                Some(EvictionRank::Rejecting)
            }
            // The reference of the map is the only one.
            _ if Arc::strong_count(shared) == 1 => None,
            _ => Some(EvictionRank::InUse),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn eviction_rank_follows_state_and_use() {
        let breaker = |change: fn(&CircuitBreaker)| {
            let breaker = CircuitBreaker::new("rank");
            change(&breaker);
            breaker
        };
        for (breaker, unused, in_use) in [
            (breaker(|_| ()), None, EvictionRank::InUse),
            (
                breaker(|it| it.open_for(HOUR / 2)),
                None,
                EvictionRank::InUse,
            ),
            (
                breaker(|it| it.open_for(HOUR * 2)),
                Some(EvictionRank::Rejecting),
                EvictionRank::Rejecting,
            ),
            (
                breaker(CircuitBreaker::force_open),
                Some(EvictionRank::Overridden),
                EvictionRank::Overridden,
            ),
            (
                breaker(CircuitBreaker::disable),
                Some(EvictionRank::Overridden),
                EvictionRank::Overridden,
            ),
        ] {
            let now = Instant::now() + HOUR;
            assert_eq!(EvictionRank::of(&breaker, now), unused, "{breaker:?}");
            let _handle = breaker.clone();
            assert_eq!(EvictionRank::of(&breaker, now), Some(in_use), "{breaker:?}");
        }
    }
}
