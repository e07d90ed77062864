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

#[cfg(test)]
mod tests {
    use super::Role;

    #[test]
    fn role_has_a_word_and_operators_have_more_rights() {
        let words = [Role::Viewer, Role::Operator].map(Role::as_str);
        assert_eq!(words, ["viewer", "operator"]);
        assert!(Role::Operator > Role::Viewer);
    }
}
