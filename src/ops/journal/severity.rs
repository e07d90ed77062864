/// The weight of an event for who is on call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Info,
    /// A part works worse than it should.
    Warning,
    /// A part does not work.
    Critical,
}

impl Severity {
    /// Returns the severity in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}
