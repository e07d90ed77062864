use tokio::time::Instant;

/// The calls that a guard would reject if they came now. Read before the wrapped service is polled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejects {
    /// Calls are not rejected.
    #[default]
    None,
    /// Some calls are admitted, such as probes of a half-open circuit. Decided when the call is made, so that no more callers
    /// wait for the wrapped service than may call it.
    Some,
    /// Every call is rejected until this time, or until the guard's [`ReadySignal`](super::ReadySignal) wakes.
    AllUntil(Instant),
    /// Every call is rejected until the guard's [`ReadySignal`](super::ReadySignal) wakes.
    All,
}

impl Rejects {
    /// Combines the answers of two guards: the stricter one counts.
    pub(crate) fn stricter(self, other: Rejects) -> Rejects {
        match (self, other) {
            (Rejects::All, _) | (_, Rejects::All) => Rejects::All,
            (Rejects::AllUntil(one), Rejects::AllUntil(other)) => Rejects::AllUntil(one.max(other)),
            (Rejects::AllUntil(until), _) | (_, Rejects::AllUntil(until)) => {
                Rejects::AllUntil(until)
            }
            (Rejects::Some, _) | (_, Rejects::Some) => Rejects::Some,
            (Rejects::None, Rejects::None) => Rejects::None,
        }
    }

    /// Returns whether every call is rejected.
    pub fn is_all(self) -> bool {
        matches!(self, Rejects::AllUntil(_) | Rejects::All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_combines_to_the_stricter_answer() {
        let soon = Instant::now();
        let later = soon + std::time::Duration::from_secs(1);
        let order = [
            Rejects::None,
            Rejects::Some,
            Rejects::AllUntil(soon),
            Rejects::AllUntil(later),
            Rejects::All,
        ];
        for (at, one) in order.iter().enumerate() {
            for (other_at, other) in order.iter().enumerate() {
                assert_eq!(one.stricter(*other), order[at.max(other_at)]);
            }
        }
        assert_eq!(order.map(Rejects::is_all), [false, false, true, true, true]);
    }
}
