/// The progress of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RunProgress {
    /// A part, from 0 to 1.
    Fraction(f64),
    /// A number of things that are done, of all there are.
    Count { done: u64, total: u64 },
}

impl RunProgress {
    /// Returns the progress from 0 to 1; `None` if nobody knows of how many.
    pub(crate) fn fraction(self) -> Option<f64> {
        match self {
            RunProgress::Fraction(fraction) => Some(fraction),
            RunProgress::Count { total: 0, .. } => None,
            RunProgress::Count { done, total } => Some((done as f64 / total as f64).min(1.0)),
        }
    }
}
