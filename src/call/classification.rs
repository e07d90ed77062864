use super::{Evidence, Outcome};

/// The decision of a classifier about a call: an outcome and, optionally, the evidence.
///
/// An [`Outcome`] converts into one. Evidence that is not set stays the protocol's as long as the outcome is the
/// protocol's, and follows from the outcome otherwise.
///
/// ```
/// use tower_keep::{Outcome, call::{Evidence, ClassifyOutput}};
///
/// // A failure in metrics and logs, but no reason to stop calling the peer.
/// let output = ClassifyOutput::from(Outcome::Failure).with_evidence(Evidence::Inconclusive);
/// assert_eq!(output.outcome(), Outcome::Failure);
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

    /// Fills in evidence that was not set, from the protocol's classification.
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

/// The outcome of a call and the evidence that it gives, both decided.
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
    /// The call was dropped before the peer had answered.
    pub(crate) const CANCELLED: Classification =
        Classification::new(Outcome::Cancelled, Evidence::Inconclusive);
    /// The caller is at fault, and the peer had no part in saying so.
    pub(crate) const CALLER_FAULT: Classification =
        Classification::new(Outcome::ClientError, Evidence::Inconclusive);

    pub(crate) const fn new(outcome: Outcome, evidence: Evidence) -> Self {
        Classification { outcome, evidence }
    }
}

/// Derives the evidence from the outcome, as for a response.
impl From<Outcome> for Classification {
    fn from(outcome: Outcome) -> Self {
        Classification::new(outcome, Evidence::from_outcome(outcome, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classification_without_evidence_keeps_the_evidence_of_an_unchanged_outcome() {
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
