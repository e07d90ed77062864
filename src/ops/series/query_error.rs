use std::{error::Error, fmt};

use crate::util::text::truncated;

/// The longest text that an error quotes, in bytes.
const MAX_QUOTED: usize = 80;

/// An error in a query: names the parameter, what it is, and what it may be.
///
/// Reads like `limit is 5000, must be 1 to 500`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    field: &'static str,
    value: String,
    expected: String,
}

impl QueryError {
    pub(super) fn new(
        field: &'static str,
        value: impl fmt::Display,
        expected: impl Into<String>,
    ) -> Self {
        let value = truncated(&value.to_string(), MAX_QUOTED).into_owned();
        QueryError {
            field,
            value,
            expected: expected.into(),
        }
    }

    /// Returns the name of the parameter, such as `range`.
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// Returns the value of the parameter, truncated.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns the allowed values.
    pub fn expected(&self) -> &str {
        &self.expected
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QueryError {
            field,
            value,
            expected,
        } = self;
        write!(f, "{field} is {value}, must be {expected}")
    }
}

impl Error for QueryError {}
