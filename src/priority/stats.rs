use crate::context::PriorityClass;

/// Numbers that a [`Prioritizer`](super::Prioritizer) gives about itself.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct PrioritizerStats {
    /// The fraction of calls that is shed now, those of the lowest priority.
    pub shed_rate: f64,
    pub(super) classes: [ClassStats; PriorityClass::ALL.len()],
}

/// The numbers of calls of a class since the prioritizer was made, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassStats {
    /// The number of calls that were admitted.
    pub admitted: u64,
    /// The number of calls that were shed, or would have been in shadow mode.
    pub shed: u64,
    /// The number of calls that were admitted, and found no room further in.
    pub pushed_back: u64,
}

impl PrioritizerStats {
    /// Returns the numbers of a class.
    ///
    /// ```
    /// use tower_keep::priority::{Prioritizer, PriorityClass};
    ///
    /// let orders = Prioritizer::new("orders");
    /// let permit = orders.try_acquire(PriorityClass::High)?;
    /// permit.complete(tower_keep::Outcome::Success);
    /// assert_eq!(orders.stats().class(PriorityClass::High).admitted, 1);
    /// # Ok::<_, tower_keep::Rejection>(())
    /// ```
    pub fn class(&self, class: PriorityClass) -> ClassStats {
        self.classes[class as usize]
    }
}
