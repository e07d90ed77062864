/// A change of the limit that people hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LimitReport {
    /// The limit that was reported last, or with which it began.
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// The reason, in lower case, words joined by `_`.
    pub(crate) reason: &'static str,
}
