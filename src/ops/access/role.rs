/// The rights of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// See everything.
    Viewer,
    /// See everything, and change what is allowed to be changed.
    Operator,
}

impl Role {
    /// Returns the role in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
        }
    }
}
