//! The name of a group: a hash that stays the same on every machine and in every release.

use std::fmt;
use std::str::FromStr;

/// The version of the way errors are grouped: of [`normalize_message`](super::normalize_message) and of the hash.
///
/// It rises when either changes, so that groups of different versions never mix.
pub const VERSION: u8 = 2;

const FNV_OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

// Bytes that UTF-8 never has: no text can imitate the border between two fields, or a missing route.
const FIELD_SEP: u8 = 0xff;
const NONE: u8 = 0xfe;

/// The name of a group of errors: 64 bits over version, kind, route, parameterised message, parameterised last cause and
/// location.
///
/// It is written `v2-` and 16 hex digits, and read back from that text. It may be stored and compared
/// across restarts, machines and releases. It is no secret and no seal: whoever may choose messages may
/// find two with one fingerprint.
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

/// Holds the fields that all records of a group have in common.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FingerprintInput<'a> {
    pub(super) kind: &'a str,
    pub(super) route: Option<&'a str>,
    /// Parameterised.
    pub(super) message: &'a str,
    /// The last cause, parameterised.
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
        let texts = [Some(kind), route, Some(message), cause, location];
        let start = fnv1a(fnv1a(FNV_OFFSET_BASIS, &[VERSION]), &[FIELD_SEP]);
        let hash = texts.into_iter().fold(start, |hash, text| {
            let bytes = text.map_or(&[NONE][..], str::as_bytes);
            fnv1a(fnv1a(hash, bytes), &[FIELD_SEP])
        });
        Self(hash)
    }

    /// The bare 64 bits.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The version of the grouping that made it.
    #[must_use]
    pub fn version(self) -> u8 {
        VERSION
    }
}

/// FNV-1a, written out: the hasher of the standard library may change with any release.
fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
    })
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
        if version != VERSION {
            return Err(ParseFingerprintError {
                other_version: Some(version),
            });
        }
        let fingerprint = u64::from_str_radix(digits, 16)
            .map(Self)
            .map_err(|_| invalid)?;
        // One fingerprint has one text: no signs, no capitals, no missing or extra zeros.
        if fingerprint.to_string() == text {
            Ok(fingerprint)
        } else {
            Err(invalid)
        }
    }
}

/// A text that is no [`Fingerprint`] of this release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseFingerprintError {
    other_version: Option<u8>,
}

impl ParseFingerprintError {
    /// The version of the text, if it is a fingerprint of another version than [`VERSION`].
    #[must_use]
    pub fn other_version(&self) -> Option<u8> {
        self.other_version
    }
}

impl fmt::Display for ParseFingerprintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.other_version {
            Some(version) => write!(
                f,
                "fingerprint is of version {version}, this release makes version {VERSION}"
            ),
            None => write!(
                f,
                "not a fingerprint, which reads like v{VERSION}-0123456789abcdef"
            ),
        }
    }
}

impl std::error::Error for ParseFingerprintError {}

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
    fn fingerprints_never_change() {
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
    fn the_borders_between_the_fields_count() {
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
    fn texts_that_are_no_fingerprint_say_so() {
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
    fn a_text_is_made_of_the_version_and_the_bits() {
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
        fn fingerprints_are_read_back(kind in ".*", route in prop::option::of(".*"), message in ".*") {
            let fingerprint = Fingerprint::compute(input(&kind, route.as_deref(), &message));
            prop_assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        }
    }
}
