use std::fmt;

/// The relative distance below which two numbers count as equal: sums of fractions are never quite what they should be.
const EPSILON: f64 = 1e-9;

/// A comparison of a value with a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// Greater than the threshold.
    Gt,
    /// Greater than the threshold, or equal to it.
    Gte,
    /// Less than the threshold.
    Lt,
    /// Less than the threshold, or equal to it.
    Lte,
    /// Equal to the threshold, but for what a sum of fractions is off. For states and counts.
    Eq,
    /// Not equal to it.
    Neq,
}

impl Comparison {
    /// The texts of each, of which the second is the usual one. Longer signs come before those that they begin with.
    pub(super) const TEXTS: [(&'static str, &'static str, Comparison); 6] = [
        ("gte", ">=", Comparison::Gte),
        ("gt", ">", Comparison::Gt),
        ("lte", "<=", Comparison::Lte),
        ("lt", "<", Comparison::Lt),
        ("neq", "!=", Comparison::Neq),
        ("eq", "==", Comparison::Eq),
    ];

    /// Returns whether the comparison holds. Nothing holds for a value that is not a number.
    ///
    /// ```
    /// use tower_keep::ops::alerts::Comparison;
    ///
    /// assert!(Comparison::Gt.holds(0.06, 0.05));
    /// assert!(Comparison::Eq.holds(0.1 + 0.2, 0.3));
    /// ```
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        let is_equal = || {
            let scale = value.abs().max(threshold.abs()).max(1.0);
            value == threshold
                || (scale.is_finite() && (value - threshold).abs() <= EPSILON * scale)
        };
        if value.is_nan() {
            return false;
        }
        match self {
            Comparison::Gt => value > threshold,
            Comparison::Gte => value >= threshold,
            Comparison::Lt => value < threshold,
            Comparison::Lte => value <= threshold,
            Comparison::Eq => is_equal(),
            Comparison::Neq => !is_equal(),
        }
    }

    /// Returns the sign, such as `>=`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Comparison::Gt => ">",
            Comparison::Gte => ">=",
            Comparison::Lt => "<",
            Comparison::Lte => "<=",
            Comparison::Eq => "==",
            Comparison::Neq => "!=",
        }
    }

    /// Returns what a sentence says about a value for which it holds.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Comparison::Gt => "above",
            Comparison::Gte => "at least",
            Comparison::Lt => "below",
            Comparison::Lte => "at most",
            Comparison::Eq => "equal to",
            Comparison::Neq => "not",
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparison_holds_at_and_around_the_threshold() {
        let held = |value: f64| {
            let all = Comparison::TEXTS.iter();
            let held = all.filter(|(_, _, comparison)| comparison.holds(value, 0.3));
            held.map(|(_, sign, _)| *sign).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(held(0.1), "<= < !=");
        assert_eq!(held(0.3), ">= <= ==");
        assert_eq!(held(0.1 + 0.2), ">= > ==", "off by a bit");
        assert_eq!(held(0.4), ">= > !=");
        assert_eq!(held(f64::INFINITY), ">= > !=");
        assert_eq!(held(f64::NAN), "");
        assert!(Comparison::Eq.holds(f64::INFINITY, f64::INFINITY));
    }

    #[test]
    fn comparison_of_large_and_small_numbers_is_relative() {
        assert!(Comparison::Eq.holds(3e15 + 1.0, 3e15));
        assert!(Comparison::Neq.holds(1e-6, 2e-6));
    }
}
