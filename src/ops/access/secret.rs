//! Secrets, which are kept as digests.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// The SHA-256 digest of a secret. Two are compared in constant time.
#[derive(Clone, Copy)]
pub(super) struct SecretDigest([u8; 32]);

impl SecretDigest {
    pub(super) fn of(secret: &str) -> Self {
        SecretDigest(Sha256::digest(secret.as_bytes()).into())
    }
}

impl PartialEq for SecretDigest {
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        // All bytes, whichever differs. The digest of what a stranger sends says nothing about a prefix of the secret anyway.
        pairs.fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

impl Eq for SecretDigest {}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(..)")
    }
}

/// Returns a new secret of 192 random bits, as text that fits into URLs and cookies.
///
/// # Errors
///
/// Returns an error if the system has no random numbers.
pub(super) fn new_secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_digest_is_equal_only_for_the_same_secret_and_shows_nothing() {
        let digest = SecretDigest::of("correct horse");
        assert!(digest == SecretDigest::of("correct horse"));
        for other in ["", "correct horsf", "correct hors", "Correct horse"] {
            assert!(digest != SecretDigest::of(other), "{other}");
        }
        assert_eq!(format!("{digest:?}"), "SecretDigest(..)");
    }

    #[test]
    fn new_secrets_differ_and_have_192_bits() {
        let [a, b] = [(); 2].map(|()| new_secret().expect("random numbers"));
        assert_ne!(a, b);
        assert_eq!(a.len(), 32);
    }
}
