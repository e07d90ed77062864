use super::cases::Case;

/// A run that has just ended.
pub(super) struct CompletedRun<'a> {
    pub(super) description: &'a str,
    /// The number of calls, which all have ended.
    pub(super) calls: usize,
    /// The case, if all of its calls were polled to their end.
    pub(super) completed_case: Option<&'a Case>,
}
