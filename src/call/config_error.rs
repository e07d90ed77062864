use std::{fmt, ops::RangeInclusive};

/// An invalid setting, as returned by `build()`.
///
/// Reads like `tracker "orders": sample is 50, must be 0 to 1 (a fraction; did you mean 0.5?)`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    component: String,
    field: &'static str,
    value: String,
    expected: String,
}

impl ConfigError {
    /// Creates the error of a `field` of a component that has a value other than expected.
    ///
    /// The builder of a custom guard reports a value that it cannot use:
    ///
    /// ```
    /// use tower_keep::call::ConfigError;
    ///
    /// let error = ConfigError::new("queue \"orders\"", "capacity", 0, "1 or more");
    /// assert_eq!(error.to_string(), r#"queue "orders": capacity is 0, must be 1 or more"#);
    /// ```
    pub fn new(
        component: impl Into<String>,
        field: &'static str,
        value: impl fmt::Display,
        expected: impl Into<String>,
    ) -> Self {
        ConfigError {
            component: component.into(),
            field,
            value: value.to_string(),
            expected: expected.into(),
        }
    }

    /// Returns the name of the setter that got the value.
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// Returns the allowed values.
    pub fn expected(&self) -> &str {
        &self.expected
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigError {
            component,
            field,
            value,
            expected,
        } = self;
        write!(f, "{component}: {field} is {value}, must be {expected}")
    }
}

impl std::error::Error for ConfigError {}

/// Checks that a value is a fraction. The error suggests one where the value looks like a percentage.
pub(crate) fn check_fraction(
    component: &str,
    field: &'static str,
    value: f64,
) -> Result<f64, ConfigError> {
    // `NaN` is in no range, and so is an error here.
    if (0.0..=1.0).contains(&value) {
        return Ok(value);
    }
    let expected = format!("0 to 1{}", fraction_hint(value));
    Err(ConfigError::new(component, field, value, expected))
}

/// Returns what an error about a fraction says of the value: a number above 1 looks like a percentage.
pub(crate) fn fraction_hint(value: f64) -> String {
    if value > 1.0 && value <= 100.0 {
        format!(" (a fraction; did you mean {}?)", value / 100.0)
    } else {
        " (a fraction)".to_owned()
    }
}

/// Checks that a value is in a range, which the error shows as `1 to 100`. `NaN` is in none.
pub(crate) fn check_range<T: PartialOrd + fmt::Display>(
    component: &str,
    field: &'static str,
    value: T,
    allowed: RangeInclusive<T>,
) -> Result<(), ConfigError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    let expected = format!("{} to {}", allowed.start(), allowed.end());
    Err(ConfigError::new(component, field, value, expected))
}
