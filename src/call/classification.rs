use super::{Evidence, Outcome};

/// A classifier's decision about a call: its outcome and, where it knows better, the evidence.
///
/// An [`Outcome`] converts into one. Without evidence of its own, the protocol's stays as long as the outcome is the
/// protocol's, too; otherwise it follows from the outcome.
///
/// ```
/// use tower_keep::{Outcome, call::{Evidence, ClassifyOutput}};
///
/// // A failure for people, but no reason to stop calling the peer.
/// let verdict = ClassifyOutput::from(Outcome::Failure).with_evidence(Evidence::Inconclusive);
/// assert_eq!(verdict.outcome(), Outcome::Failure);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassifyOutput {
    outcome: Outcome,
    evidence: Option<Evidence>,
}

impl ClassifyOutput {
    /// Sets the evidence.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Evidence) -> Self {
        self.evidence = Some(evidence);
        self
    }

    /// Returns the outcome.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Returns the evidence, if it was set.
    pub fn evidence(&self) -> Option<Evidence> {
        self.evidence
    }

    /// Fills in the evidence that was not set, from what the protocol said.
    pub(crate) fn resolve(self, protocol: Classification, is_error: bool) -> Classification {
        let evidence = match self.evidence {
            Some(evidence) => evidence,
            None if self.outcome == protocol.outcome => protocol.evidence,
            None => Evidence::from_outcome(self.outcome, is_error),
        };
        Classification {
            outcome: self.outcome,
            evidence,
        }
    }
}

impl From<Outcome> for ClassifyOutput {
    fn from(outcome: Outcome) -> Self {
        ClassifyOutput {
            outcome,
            evidence: None,
        }
    }
}

/// Outcome and evidence, both decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classification {
    pub(crate) outcome: Outcome,
    pub(crate) evidence: Evidence,
}

impl Classification {
    pub(crate) const SUCCESS: Classification =
        Classification::new(Outcome::Success, Evidence::Healthy);
    pub(crate) const FAILURE: Classification =
        Classification::new(Outcome::Failure, Evidence::Unhealthy);
    pub(crate) const REJECTED: Classification =
        Classification::new(Outcome::Rejected, Evidence::Inconclusive);
    pub(crate) const PANICKED: Classification =
        Classification::new(Outcome::Panicked, Evidence::Unhealthy);
    /// Dropped before the peer had said anything.
    pub(crate) const CANCELLED: Classification =
        Classification::new(Outcome::Cancelled, Evidence::Inconclusive);
    /// The caller's own fault, known from something else than the peer's answer.
    pub(crate) const CALLER_FAULT: Classification =
        Classification::new(Outcome::ClientError, Evidence::Inconclusive);

    pub(crate) const fn new(outcome: Outcome, evidence: Evidence) -> Self {
        Classification { outcome, evidence }
    }
}

/// By the outcome alone, as that of a response.
impl From<Outcome> for Classification {
    fn from(outcome: Outcome) -> Self {
        Classification::new(outcome, Evidence::from_outcome(outcome, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_without_evidence_takes_that_of_an_outcome_it_does_not_change() {
        let odd = Classification::new(Outcome::Failure, Evidence::Inconclusive);
        let same = ClassifyOutput::from(Outcome::Failure);
        assert_eq!((same.outcome(), same.evidence()), (Outcome::Failure, None));
        assert_eq!(same.resolve(odd, true), odd);
        let ignored = ClassifyOutput::from(Outcome::ClientError);
        assert_eq!(ignored.resolve(odd, false).evidence, Evidence::Healthy);
        assert_eq!(ignored.resolve(odd, true).evidence, Evidence::Inconclusive);
        let told = same.with_evidence(Evidence::Healthy);
        assert_eq!(told.evidence(), Some(Evidence::Healthy));
        assert_eq!(told.resolve(odd, true).evidence, Evidence::Healthy);
    }
}
