/// A change of a guard's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LimitChange {
    /// The limit before: the one that was reported last.
    pub from: u32,
    /// The limit from now on.
    pub to: u32,
}
