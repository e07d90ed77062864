use serde::Serialize;

/// What a person may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// See everything.
    Viewer,
    /// See everything, and change what is allowed to be changed.
    Operator,
}
