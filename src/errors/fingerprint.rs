//! The fingerprint of an error group: a hash that is the same on every machine and in every release.

use std::fmt;
use std::str::FromStr;

use super::parse_fingerprint_error::ParseFingerprintError;
use crate::util::fnv::{FNV_OFFSET_BASIS, fnv1a};

/// The version of the grouping: of [`normalize_message`](super::normalize_message) and of the hash.
///
/// It is raised when either changes, so that groups of different versions never mix.
pub(super) const VERSION: u8 = 2;

// Bytes that never occur in UTF-8, so that no text can imitate a field separator or a missing field.
const FIELD_SEP: u8 = 0xff;
const NONE: u8 = 0xfe;

/// Identifies a group of errors: a 64-bit hash of version, kind, route, normalized message, normalized last cause and
/// location.
///
/// `Display` writes `v2-` and 16 hex digits, and `FromStr` parses them. It may be stored and compared across restarts,
/// machines and releases. The hash is not cryptographic: a caller who chooses messages can find two with the same
/// fingerprint.
///
/// ```
/// use tower_keep::errors::ErrorRecord;
///
/// let record = ErrorRecord::new("Timeout", "no answer after 30ms").with_route("/orders/{id}");
/// let fingerprint = record.fingerprint();
/// assert_eq!(fingerprint.to_string(), "v2-0dbbe25f734fe305");
/// assert_eq!("v2-0dbbe25f734fe305".parse(), Ok(fingerprint));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u64);

/// The fields that all records of a group have in common.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FingerprintInput<'a> {
    pub(super) kind: &'a str,
    pub(super) route: Option<&'a str>,
    /// The normalized message.
    pub(super) message: &'a str,
    /// The normalized last cause.
    pub(super) cause: Option<&'a str>,
    pub(super) location: Option<&'a str>,
}

impl Fingerprint {
    pub(super) fn compute(key: FingerprintInput<'_>) -> Self {
        let FingerprintInput {
            kind,
            route,
            message,
            cause,
            location,
        } = key;
        // The order is part of the version, as are the separators.
        let texts = [Some(kind), route, Some(message), cause, location];
        let start = fnv1a(fnv1a(FNV_OFFSET_BASIS, &[VERSION]), &[FIELD_SEP]);
        let hash = texts.into_iter().fold(start, |hash, text| {
            // A missing text differs from an empty one.
            let bytes = text.map_or(&[NONE][..], str::as_bytes);
            fnv1a(fnv1a(hash, bytes), &[FIELD_SEP])
        });
        Self(hash)
    }

    /// Returns the hash without its version.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// Returns the version of the grouping that computed it.
    #[must_use]
    pub fn version(self) -> u8 {
        VERSION
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{VERSION}-{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = ParseFingerprintError {
            other_version: None,
        };
        let (version, digits) = text
            .strip_prefix('v')
            .and_then(|rest| rest.split_once('-'))
            .ok_or(invalid)?;
        let version = version.parse().map_err(|_| invalid)?;
        // Told apart from what is no fingerprint at all: it may come from a store of an earlier release.
        if version != VERSION {
            return Err(ParseFingerprintError {
                other_version: Some(version),
            });
        }
        let fingerprint = u64::from_str_radix(digits, 16)
            .map(Self)
            .map_err(|_| invalid)?;
        // Each fingerprint has exactly one text: no signs, no capitals, no missing or extra zeros.
        if fingerprint.to_string() == text {
            Ok(fingerprint)
        } else {
            Err(invalid)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use proptest::prelude::*;

    fn input<'a>(kind: &'a str, route: Option<&'a str>, message: &'a str) -> FingerprintInput<'a> {
        FingerprintInput {
            kind,
            route,
            message,
            ..FingerprintInput::default()
        }
    }

    #[test]
    fn fingerprint_is_stable() {
        let index = "index out of bounds: the len is <num> but the index is <num>";
        let golden = [
            (input("", None, ""), "v2-f6cdc4ea07437ab9"),
            (input("", Some(""), ""), "v2-33a0b0e1402e62f5"),
            (
                input(
                    "Timeout",
                    Some("/orders/{id}"),
                    "no answer after <duration>",
                ),
                "v2-0dbbe25f734fe305",
            ),
            (
                FingerprintInput {
                    location: Some("src/main.rs:12:5"),
                    ..input("panic", None, index)
                },
                "v2-a0ac3a4c4f42364d",
            ),
            (
                FingerprintInput {
                    cause: Some("connection refused"),
                    ..input("io::Error", Some("orders.v1.Orders/Get"), "用户<num>不存在")
                },
                "v2-5d5c70cff25d02db",
            ),
        ];
        for (key, text) in golden {
            assert_eq!(Fingerprint::compute(key).to_string(), text);
        }
    }

    #[test]
    fn fingerprint_separates_fields() {
        let with = |cause, location| FingerprintInput {
            cause,
            location,
            ..input("ab", Some("c"), "d")
        };
        let all = [
            input("ab", Some("c"), "d"),
            input("a", Some("bc"), "d"),
            input("ab", None, "cd"),
            input("ab", Some(""), "cd"),
            input("", Some("abc"), "d"),
            with(Some("e"), None),
            with(None, Some("e")),
            with(Some(""), None),
            with(Some("e"), Some("")),
        ];
        assert_eq!(
            HashSet::from(all.map(Fingerprint::compute)).len(),
            all.len()
        );
    }

    #[test]
    fn fingerprint_parse_rejects_invalid_text() {
        let error = |text: &str| text.parse::<Fingerprint>().unwrap_err();
        assert_eq!(error("v1-2855ceea486fcd28").other_version(), Some(1));
        for text in [
            "",
            "v2",
            "v2-",
            "v2-2855ceea486fcd2",
            "v2-2855CEEA486FCD28",
            "v2-+855ceea486fcd28",
            "v02-2855ceea486fcd28",
        ] {
            assert_eq!(error(text).other_version(), None, "{text}");
            assert_eq!(
                error(text).to_string(),
                "not a fingerprint, which reads like v2-0123456789abcdef"
            );
        }
    }

    #[test]
    fn fingerprint_display_has_version_and_bits() {
        let fingerprint = Fingerprint::compute(input("Timeout", None, ""));
        let (version, bits) = (fingerprint.version(), fingerprint.as_u64());
        assert_eq!(fingerprint.to_string(), format!("v{version}-{bits:016x}"));
        assert_eq!(
            format!("{fingerprint:?}"),
            format!("Fingerprint({fingerprint})")
        );
    }

    proptest! {
        #[test]
        fn fingerprint_round_trips_through_text(kind in ".*", route in prop::option::of(".*"), message in ".*") {
            let fingerprint = Fingerprint::compute(input(&kind, route.as_deref(), &message));
            prop_assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        }
    }
}
