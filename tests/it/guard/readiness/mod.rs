//! Guards are asked before the wrapped service is polled: a balancer picks another endpoint, and nobody who is rejected
//! holds what others wait for.

mod balancers;
mod slots;
mod unready;

use std::time::Duration;

use tower_keep::{
    CircuitBreaker, Outcome,
    breaker::CircuitState,
    testing::{Reply, Script},
};

const HOUR: Duration = Duration::from_secs(3600);

fn breaker(name: &'static str) -> CircuitBreaker {
    let builder = CircuitBreaker::builder(name).consecutive_failures(3);
    let builder = builder
        .open_time(HOUR)
        .max_open_time(2 * HOUR)
        .open_jitter(0.0);
    builder.build().expect("sound settings")
}

fn open(breaker: &CircuitBreaker) {
    for _ in 0..3 {
        let permit = breaker.try_acquire().expect("closed");
        permit.complete(Outcome::Failure);
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

fn peer() -> Script {
    Script::always(Reply::ok)
}
