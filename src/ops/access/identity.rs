use super::Role;
use crate::util::text::truncate;

/// The longest name of a person, in bytes.
const MAX_NAME: usize = 128;

/// A person or a program that was let in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    name: Option<Box<str>>,
    role: Role,
}

impl Identity {
    /// Creates an identity without a name.
    ///
    /// ```
    /// use tower_keep::ops::{Identity, Role};
    ///
    /// let mira = Identity::new(Role::Operator).named("mira");
    /// assert_eq!((mira.name(), mira.role()), (Some("mira"), Role::Operator));
    /// ```
    pub fn new(role: Role) -> Self {
        Identity { name: None, role }
    }

    /// Sets the name, which the journal shows beside what the person has changed. Names longer than 128 bytes are truncated.
    #[must_use]
    pub fn named(mut self, name: impl AsRef<str>) -> Self {
        self.name = Some(truncate(name.as_ref(), MAX_NAME).into());
        self
    }

    /// Returns the name.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the role.
    pub fn role(&self) -> Role {
        self.role
    }
}
