//! The health of the component behind a circuit, by the state of the circuit.

use super::CheckResult;
use crate::breaker::CircuitState;

/// Returns the result for a state.
pub(super) fn judge(state: CircuitState) -> CheckResult {
    match state {
        CircuitState::Closed => CheckResult::healthy(),
        CircuitState::HalfOpen => CheckResult::degraded("circuit is half-open"),
        CircuitState::Open => CheckResult::unhealthy("circuit is open"),
        CircuitState::ForcedOpen => CheckResult::unhealthy("circuit is held open manually"),
        // Calls are admitted, and nobody counts whether they fail.
        CircuitState::Disabled => CheckResult::degraded("circuit breaker is disabled"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::health::HealthStatus::*;

    #[test]
    fn breaker_is_healthy_while_closed_and_unhealthy_while_open() {
        let results = CircuitState::ALL.map(judge);
        assert_eq!(
            results.each_ref().map(CheckResult::status),
            [Healthy, Unhealthy, Degraded, Unhealthy, Degraded]
        );
        let texts = results
            .each_ref()
            .map(|result| result.text().unwrap_or_default());
        let expected = [
            "",
            "circuit is open",
            "circuit is half-open",
            "circuit is held open manually",
            "circuit breaker is disabled",
        ];
        assert_eq!(texts, expected);
    }
}
