use std::fmt;

/// The state of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CircuitState {
    /// Calls are admitted and counted.
    Closed,
    /// Calls are rejected until the open time has elapsed.
    Open,
    /// A few calls are admitted as probes, and decide whether the circuit closes.
    HalfOpen,
    /// Calls are rejected until the override is taken back.
    ForcedOpen,
    /// Calls are admitted, and none is counted.
    Disabled,
}

impl CircuitState {
    /// Every state.
    // In the order of the discriminants: metrics count by `state as usize`, and the fast path packs it.
    pub const ALL: [CircuitState; 5] = [
        CircuitState::Closed,
        CircuitState::Open,
        CircuitState::HalfOpen,
        CircuitState::ForcedOpen,
        CircuitState::Disabled,
    ];

    /// Returns the state in lower case, words joined by `_`, for labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            CircuitState::Closed => "closed",
            CircuitState::Open => "open",
            CircuitState::HalfOpen => "half_open",
            CircuitState::ForcedOpen => "forced_open",
            CircuitState::Disabled => "disabled",
        }
    }
}

impl fmt::Display for CircuitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
