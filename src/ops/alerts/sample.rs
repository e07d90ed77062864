use std::collections::BTreeMap;

use crate::util::fnv::{FNV_OFFSET_BASIS, fnv1a};

pub(super) type Labels = BTreeMap<String, String>;

/// A value that a rule looks at.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RuleSample {
    pub(super) labels: Labels,
    /// `None` if it is unknown.
    pub(super) value: Option<f64>,
}

/// The values that a rule looks at, or why there are none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RuleSamples {
    pub(super) values: Vec<RuleSample>,
    /// The error, if the values could not be had, or not all of them.
    pub(super) error: Option<String>,
}

/// Returns the identity of an alert: the same for the rule and the labels of the series, after a restart as well.
pub(super) fn fingerprint(rule: &str, labels: &Labels) -> String {
    let parts = labels.iter().flat_map(|(name, value)| [name, value]);
    let hash = std::iter::once(rule)
        .chain(parts.map(String::as_str))
        // The end of each text, so that `ab`, `c` is not `a`, `bc`.
        .fold(FNV_OFFSET_BASIS, |hash, text| {
            fnv1a(fnv1a(hash, text.as_bytes()), &[0xff])
        });
    format!("{hash:016x}")
}
