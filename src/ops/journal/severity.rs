use serde::Serialize;

/// How much an event matters to who is on call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something works worse than it should.
    Warning,
    /// Something does not work.
    Critical,
}
