/// The directives of the log filter before a change and after it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LogLevelChange {
    pub(crate) before: String,
    pub(crate) after: String,
}
