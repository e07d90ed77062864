use std::{error::Error, fmt};

use super::fingerprint::VERSION;

/// An error returned when a text is not a [`Fingerprint`](super::Fingerprint) of this release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseFingerprintError {
    pub(super) other_version: Option<u8>,
}

impl ParseFingerprintError {
    /// Returns the version of the text if it is a fingerprint of another version than this release computes.
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

impl Error for ParseFingerprintError {}
