//! The name of a group: a hash that stays the same on every machine and in every release.

use std::fmt;
use std::str::FromStr;

/// The version of the way errors are grouped: of [`parameterise`](super::parameterise) and of the hash.
///
/// It rises when either changes, so that groups of different versions never mix.
pub const VERSION: u8 = 2;

const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

// Bytes that UTF-8 never has: no text can imitate the border between two fields, or a missing route.
const BORDER: u8 = 0xff;
const MISSING: u8 = 0xfe;

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
pub(super) struct Key<'a> {
    pub(super) kind: &'a str,
    pub(super) route: Option<&'a str>,
    /// Parameterised.
    pub(super) message: &'a str,
    /// The last cause, parameterised.
    pub(super) cause: Option<&'a str>,
    pub(super) location: Option<&'a str>,
}

impl Fingerprint {
    pub(super) fn of(key: Key<'_>) -> Self {
        let Key {
            kind,
            route,
            message,
            cause,
            location,
        } = key;
        let texts = [Some(kind), route, Some(message), cause, location];
        let start = mix(mix(BASIS, &[VERSION]), &[BORDER]);
        let hash = texts.into_iter().fold(start, |hash, text| {
            let bytes = text.map_or(&[MISSING][..], str::as_bytes);
            mix(mix(hash, bytes), &[BORDER])
        });
        Self(hash)
    }

    /// The bare 64 bits.
    #[must_use]
    pub fn value(self) -> u64 {
        self.0
    }

    /// The version of the grouping that made it.
    #[must_use]
    pub fn version(self) -> u8 {
        VERSION
    }
}

/// FNV-1a, written out: the hasher of the standard library may change with any release.
fn mix(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
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
        let unreadable = ParseFingerprintError { version: None };
        let (version, digits) = text
            .strip_prefix('v')
            .and_then(|rest| rest.split_once('-'))
            .ok_or(unreadable)?;
        let version = version.parse().map_err(|_| unreadable)?;
        if version != VERSION {
            return Err(ParseFingerprintError {
                version: Some(version),
            });
        }
        let fingerprint = u64::from_str_radix(digits, 16)
            .map(Self)
            .map_err(|_| unreadable)?;
        // One fingerprint has one text: no signs, no capitals, no missing or extra zeros.
        if fingerprint.to_string() == text {
            Ok(fingerprint)
        } else {
            Err(unreadable)
        }
    }
}

/// A text that is no [`Fingerprint`] of this release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseFingerprintError {
    version: Option<u8>,
}

impl ParseFingerprintError {
    /// The version of the text, if it is a fingerprint of another version than [`VERSION`].
    #[must_use]
    pub fn other_version(&self) -> Option<u8> {
        self.version
    }
}

impl fmt::Display for ParseFingerprintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
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

    fn key<'a>(kind: &'a str, route: Option<&'a str>, message: &'a str) -> Key<'a> {
        Key {
            kind,
            route,
            message,
            ..Key::default()
        }
    }

    #[test]
    fn fingerprints_never_change() {
        let index = "index out of bounds: the len is <num> but the index is <num>";
        let golden = [
            (key("", None, ""), "v2-f6cdc4ea07437ab9"),
            (key("", Some(""), ""), "v2-33a0b0e1402e62f5"),
            (
                key(
                    "Timeout",
                    Some("/orders/{id}"),
                    "no answer after <duration>",
                ),
                "v2-0dbbe25f734fe305",
            ),
            (
                Key {
                    location: Some("src/main.rs:12:5"),
                    ..key("panic", None, index)
                },
                "v2-a0ac3a4c4f42364d",
            ),
            (
                Key {
                    cause: Some("connection refused"),
                    ..key("io::Error", Some("orders.v1.Orders/Get"), "用户<num>不存在")
                },
                "v2-5d5c70cff25d02db",
            ),
        ];
        for (key, text) in golden {
            assert_eq!(Fingerprint::of(key).to_string(), text);
        }
    }

    #[test]
    fn the_borders_between_the_fields_count() {
        let with = |cause, location| Key {
            cause,
            location,
            ..key("ab", Some("c"), "d")
        };
        let all = [
            key("ab", Some("c"), "d"),
            key("a", Some("bc"), "d"),
            key("ab", None, "cd"),
            key("ab", Some(""), "cd"),
            key("", Some("abc"), "d"),
            with(Some("e"), None),
            with(None, Some("e")),
            with(Some(""), None),
            with(Some("e"), Some("")),
        ];
        assert_eq!(HashSet::from(all.map(Fingerprint::of)).len(), all.len());
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
        let fingerprint = Fingerprint::of(key("Timeout", None, ""));
        let (version, bits) = (fingerprint.version(), fingerprint.value());
        assert_eq!(fingerprint.to_string(), format!("v{version}-{bits:016x}"));
        assert_eq!(
            format!("{fingerprint:?}"),
            format!("Fingerprint({fingerprint})")
        );
    }

    proptest! {
        #[test]
        fn fingerprints_are_read_back(kind in ".*", route in prop::option::of(".*"), message in ".*") {
            let fingerprint = Fingerprint::of(key(&kind, route.as_deref(), &message));
            prop_assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        }
    }
}
