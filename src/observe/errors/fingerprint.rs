//! The name of a group: a hash that stays the same on every machine and in every release.

use std::fmt;
use std::str::FromStr;

/// The version of the way errors are grouped: of [`parameterise`](super::parameterise) and of the hash.
///
/// It rises when either changes, so that groups of different versions never mix.
pub const VERSION: u8 = 1;

const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

// Bytes that UTF-8 never has: no text can imitate the border between two fields, or a missing route.
const BORDER: u8 = 0xff;
const MISSING: u8 = 0xfe;

/// The name of a group of errors: 64 bits over version, kind, route and parameterised message.
///
/// It is written `v1-` and 16 hex digits, and read back from that text. It may be stored and compared
/// across restarts, machines and releases. It is no secret and no seal: whoever may choose messages may
/// find two with one fingerprint.
///
/// ```
/// use tower_keep::errors::Fingerprint;
///
/// let fingerprint = Fingerprint::of("Timeout", Some("/orders/{id}"), "no answer after <num>ms");
/// assert_eq!(fingerprint.to_string(), "v1-2855ceea486fcd28");
/// assert_eq!("v1-2855ceea486fcd28".parse(), Ok(fingerprint));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of the group for this kind, route and [parameterised](super::parameterise) message.
    #[must_use]
    pub fn of(kind: &str, route: Option<&str>, parameterised: &str) -> Self {
        let route = route.map_or(&[MISSING][..], str::as_bytes);
        let fields = [
            &[VERSION][..],
            kind.as_bytes(),
            route,
            parameterised.as_bytes(),
        ];
        Self(
            fields
                .into_iter()
                .fold(BASIS, |hash, field| mix(mix(hash, field), &[BORDER])),
        )
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

    #[test]
    fn fingerprints_never_change() {
        let golden = [
            (Fingerprint::of("", None, ""), "v1-2c6c69e075de204a"),
            (Fingerprint::of("", Some(""), ""), "v1-8feeb81e87a47e48"),
            (
                Fingerprint::of("Timeout", Some("/orders/{id}"), "no answer after <num>ms"),
                "v1-2855ceea486fcd28",
            ),
            (
                Fingerprint::of(
                    "panic",
                    None,
                    "index out of bounds: the len is <num> but the index is <num>",
                ),
                "v1-f1e2253f9fe3e55f",
            ),
            (
                Fingerprint::of("io::Error", Some("orders.v1.Orders/Get"), "用户<num>不存在"),
                "v1-104abd171ca39cb4",
            ),
        ];
        for (fingerprint, text) in golden {
            assert_eq!(fingerprint.to_string(), text);
        }
    }

    #[test]
    fn the_borders_between_the_fields_count() {
        let all = [
            Fingerprint::of("ab", Some("c"), "d"),
            Fingerprint::of("a", Some("bc"), "d"),
            Fingerprint::of("ab", None, "cd"),
            Fingerprint::of("ab", Some(""), "cd"),
            Fingerprint::of("", Some("abc"), "d"),
        ];
        assert_eq!(HashSet::from(all).len(), all.len());
    }

    #[test]
    fn texts_that_are_no_fingerprint_say_so() {
        let error = |text: &str| text.parse::<Fingerprint>().unwrap_err();
        assert_eq!(error("v2-2855ceea486fcd28").other_version(), Some(2));
        for text in [
            "",
            "v1",
            "v1-",
            "v1-2855ceea486fcd2",
            "v1-2855CEEA486FCD28",
            "v1-+855ceea486fcd28",
            "v01-2855ceea486fcd28",
        ] {
            assert_eq!(error(text).other_version(), None, "{text}");
            assert_eq!(
                error(text).to_string(),
                "not a fingerprint, which reads like v1-0123456789abcdef"
            );
        }
    }

    #[test]
    fn a_text_is_made_of_the_version_and_the_bits() {
        let fingerprint = Fingerprint::of("Timeout", None, "");
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
            let fingerprint = Fingerprint::of(&kind, route.as_deref(), &message);
            prop_assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        }
    }
}
