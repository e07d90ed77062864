use tokio::time::Instant;

/// A guard's answer to whether it would refuse a call that came now; asked before the wrapped service is polled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refuses {
    /// No call is refused.
    #[default]
    No,
    /// Some calls pass and the others are refused, such as probes of a half-open circuit. Decided when the call is
    /// made, so that no more callers wait for the wrapped service than may call it.
    Some,
    /// Every call is refused until this moment, or until the guard's [`Signal`](super::Signal) wakes.
    Until(Instant),
    /// Every call is refused until the guard's [`Signal`](super::Signal) wakes.
    Yes,
}

impl Refuses {
    /// Combines the answers of two guards: the stricter counts.
    pub(crate) fn or(self, other: Refuses) -> Refuses {
        match (self, other) {
            (Refuses::Yes, _) | (_, Refuses::Yes) => Refuses::Yes,
            (Refuses::Until(one), Refuses::Until(other)) => Refuses::Until(one.max(other)),
            (Refuses::Until(until), _) | (_, Refuses::Until(until)) => Refuses::Until(until),
            (Refuses::Some, _) | (_, Refuses::Some) => Refuses::Some,
            (Refuses::No, Refuses::No) => Refuses::No,
        }
    }

    /// Returns whether every call is refused.
    pub fn all(self) -> bool {
        matches!(self, Refuses::Until(_) | Refuses::Yes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_combines_to_the_stricter_answer() {
        let soon = Instant::now();
        let later = soon + std::time::Duration::from_secs(1);
        let order = [
            Refuses::No,
            Refuses::Some,
            Refuses::Until(soon),
            Refuses::Until(later),
            Refuses::Yes,
        ];
        for (at, one) in order.iter().enumerate() {
            for (other_at, other) in order.iter().enumerate() {
                assert_eq!(one.or(*other), order[at.max(other_at)]);
            }
        }
        assert_eq!(order.map(Refuses::all), [false, false, true, true, true]);
    }
}
